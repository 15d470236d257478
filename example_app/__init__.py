"""A small tea shop whose requests Flask-Statistics records: the example, and a test's host app.

Run it with ``flask --app example_app demo``. Everything in it is made up.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask, Response, render_template

from . import account, api, blog, commands, shop
from .access import open_to_admins
from .extensions import csrf, db, login_manager, migrate, statistics
from .models import Request

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Return the shop.

    :param config: settings that win over the defaults and over ``DATABASE_URL``.
    """
    app = Flask(__name__)
    folder = Path(app.instance_path)
    app.config.from_mapping(
        SESSION_COOKIE_SAMESITE="Lax",
        SLOW_SECONDS=1.5,
        DEMO=False,
        SQLALCHEMY_DATABASE_URI=os.environ.get("DATABASE_URL", "sqlite:///shop.sqlite"),
        STATISTICS_EXCLUDE_PATHS=["/health"],
        STATISTICS_VERSION="2026.1",
    )
    app.config.from_mapping(config or {})
    if not app.config["SECRET_KEY"]:
        app.config["SECRET_KEY"] = os.environ.get("SECRET_KEY") or _kept_secret_key(folder)

    db.init_app(app)
    migrate.init_app(app, db, directory=str(MIGRATIONS), render_as_batch=True)
    csrf.init_app(app)
    login_manager.init_app(app)
    statistics.init_app(app, db, Request, before_f=open_to_admins)

    for module in (shop, blog, api, account):
        app.register_blueprint(module.blueprint)
    app.cli.add_command(commands.seed)
    app.cli.add_command(commands.demo)
    app.cli.add_command(commands.create_admin)
    app.register_error_handler(404, _not_found)
    app.register_error_handler(500, _failed)
    app.after_request(_harden)
    return app


def _kept_secret_key(folder: Path) -> str:
    """Return the key in the instance folder, made at the first start: sessions outlive it."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "secret_key"
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return file.read_text()
    with os.fdopen(descriptor, "w") as opened:
        opened.write(key := secrets.token_hex())
    return key


def _not_found(_error: Exception) -> tuple[str, int]:
    return render_template("shop/error.html", title="Not on our shelves"), 404


def _failed(_error: Exception) -> tuple[str, int]:
    return render_template("shop/error.html", title="We spilled something"), 500


def _harden(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", "default-src 'self'")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "strict-origin-when-cross-origin")
    return response
