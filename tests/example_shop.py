"""The example app as tests use it: no secret from outside, no waiting, rows at once."""

from __future__ import annotations

from typing import Any

from flask import Flask

from example_app import create_app
from example_app.extensions import db


def make_shop(url: str, **config: Any) -> Flask:
    """Return the shop in production, on the database at ``url``."""
    return create_app(
        {
            "SECRET_KEY": "a test's",
            "SQLALCHEMY_DATABASE_URI": url,
            "SLOW_SECONDS": 0,
            "STATISTICS_SYNC": True,
            "WTF_CSRF_ENABLED": False,
            **config,
        }
    )


def close(app: Flask) -> None:
    """Give back every connection of the shop's."""
    with app.app_context():
        db.session.remove()
        db.engine.dispose()
