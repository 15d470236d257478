"""Signing in and out."""

from __future__ import annotations

from urllib.parse import urlsplit

import sqlalchemy as sa
from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import login_user, logout_user

from .extensions import db
from .models import User

blueprint = Blueprint("account", __name__)


def local_path(target: str | None) -> str:
    """Return ``target`` if it stays on this site, else the home page."""
    parts = urlsplit((target or "").replace("\\", "/"))
    if parts.scheme or parts.netloc or not parts.path.startswith("/"):
        return url_for("shop.home")
    return parts._replace(fragment="").geturl()


@blueprint.get("/login")
def login() -> str:
    return render_template("shop/login.html")


@blueprint.post("/login")
def sign_in() -> ResponseReturnValue:
    user = db.session.scalar(sa.select(User).filter_by(username=request.form.get("name", "")))
    if user is None or not user.has_password(request.form.get("password", "")):
        flash("That name and password do not go together.")
        return render_template("shop/login.html"), 401
    login_user(user)
    return redirect(local_path(request.args.get("next")))


@blueprint.post("/logout")
def logout() -> ResponseReturnValue:
    logout_user()
    return redirect(url_for("shop.home"))
