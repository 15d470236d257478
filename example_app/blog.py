"""The blog."""

from __future__ import annotations

from flask import Blueprint, abort, render_template

from .catalogue import POSTS

blueprint = Blueprint("blog", __name__, url_prefix="/blog")


@blueprint.get("/")
def index() -> str:
    return render_template("shop/blog.html", posts=POSTS)


@blueprint.get("/<slug>")
def post(slug: str) -> str:
    for found in POSTS:
        if found.slug == slug:
            return render_template("shop/page.html", title=found.title, text=found.text)
    abort(404)
