"""Which rule of the app a URL belongs to, where Flask did not say so itself.

Needed to find secrets in paths: of requests that were refused (405) or redirected to their slash
before a rule was matched, and of referrers that are pages of the app.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from flask import Flask
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import MapAdapter, RequestRedirect, Rule

Match = tuple[Rule, Mapping[str, Any]]


def match(adapter: MapAdapter, path: str | None = None, method: str | None = None) -> Match | None:
    """Return rule and arguments of a path, whatever the method; None where there is no rule."""
    try:
        return adapter.match(path, method, return_rule=True)
    except MethodNotAllowed as refused:
        methods = list(refused.valid_methods or ())
        return match(adapter, path, methods[0]) if methods and method not in methods else None
    except RequestRedirect as redirect:
        wanted = urlsplit(redirect.new_url).path
        target = "/" + unquote(wanted).removeprefix(adapter.script_name).lstrip("/")
        return match(adapter, target, method) if target != path else None
    except HTTPException:
        return None


class OwnRoutes:
    """The rules of an app that is not kept alive by this."""

    def __init__(self, app: Flask) -> None:
        self._app = weakref.ref(app)

    def match(self, path: str) -> Match | None:
        """Return rule and arguments of a path of the app, for whatever method.

        Outside of a request, so that a converter of the host that needs one finds no rule.
        """
        app = self._app()
        if app is None:
            return None
        adapter = app.url_map.bind("localhost")
        other = path.rstrip("/") if path.endswith("/") else path + "/"
        try:
            # With or without its slash: a secret that was mistyped stays a secret.
            return match(adapter, path, "GET") or match(adapter, other or "/", "GET")
        except Exception:  # noqa: BLE001 - a converter is the host's code
            return None
