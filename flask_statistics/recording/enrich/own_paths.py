"""Secrets in paths of the app, where Flask matched no rule."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from ...privacy import REDACTED, Secrets
from ..matching import OwnRoutes


class OwnPaths:
    """Replaces the secret arguments that a rule of the app would find in a path.

    :param routes: the rules; None where there are none, as in an import without an app.
    """

    def __init__(self, secrets: Secrets, routes: OwnRoutes | None) -> None:
        self._secrets = secrets
        self._routes = routes

    def redact(self, path: str) -> str:
        """Return a decoded path without secrets: of a 404, a 405, a redirect, a log's line."""
        found = self._routes.match(path) if self._routes is not None else None
        if found is None or not any(self._secrets.is_secret(name) for name in found[1]):
            return path
        rule, arguments = found
        return self._secrets.redact_path(path, tuple(arguments.items()), rule.rule)

    def redact_url(self, url: str, mounted_at: str) -> str:
        """Return a URL of the app without secrets in its path.

        :param mounted_at: the prefix below which the app is served.
        """
        try:
            parts = urlsplit(url)
        except ValueError:
            return REDACTED
        path = unquote(parts.path)
        below = path.removeprefix(mounted_at.rstrip("/"))
        clean = self.redact(below)
        if clean == below:
            return url
        return parts._replace(path=path[: len(path) - len(below)] + clean).geturl()
