"""Who may see the statistics."""

from __future__ import annotations

from flask import abort, current_app
from flask.typing import ResponseReturnValue
from flask_login import current_user

from .extensions import login_manager


def open_to_admins() -> ResponseReturnValue | None:
    """Let admins in, send strangers to the login page, and refuse everybody else.

    The demo listens on this machine only and holds nothing but made-up visitors and a public
    log, so it lets everybody in.
    """
    if current_app.config["DEMO"]:
        return None
    if not current_user.is_authenticated:
        return login_manager.unauthorized()
    if not current_user.is_admin:
        abort(403)
    return None
