"""Renders our templates and makes the responses of our pages.

The templates are rendered by an overlay of the host's Jinja environment: the host's loaders,
globals and context processors, but our own delimiters, white space, escaping and filters, so
that no option of the host changes what our pages look like.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import flask
import jinja2.defaults
from flask import current_app
from werkzeug.datastructures import Headers

from .formats import FILTERS
from .links import endpoint_url

#: What the host must not weaken on our pages.
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_ENVIRONMENT = "statistics_templates"
_STATIC = Path(__file__).parent / "static"


def render(template: str, **context: Any) -> str:
    """Return the HTML of one of our templates, or of the host's file of the same name."""
    return flask.render_template(_environment().get_template(template), **context)


def _environment() -> jinja2.Environment:
    # Made at the first page, when the host has finished with its own environment.
    environment: jinja2.Environment | None = current_app.extensions.get(_ENVIRONMENT)
    if environment is None:
        environment = current_app.extensions[_ENVIRONMENT] = _overlay(current_app.jinja_env)
    return environment


def _overlay(environment: jinja2.Environment) -> jinja2.Environment:
    overlay = environment.overlay(
        block_start_string=jinja2.defaults.BLOCK_START_STRING,
        block_end_string=jinja2.defaults.BLOCK_END_STRING,
        variable_start_string=jinja2.defaults.VARIABLE_START_STRING,
        variable_end_string=jinja2.defaults.VARIABLE_END_STRING,
        comment_start_string=jinja2.defaults.COMMENT_START_STRING,
        comment_end_string=jinja2.defaults.COMMENT_END_STRING,
        line_statement_prefix=None,
        line_comment_prefix=None,
        trim_blocks=True,
        lstrip_blocks=True,
        newline_sequence="\n",
        keep_trailing_newline=False,
        autoescape=True,
        enable_async=False,
    )
    overlay.finalize = None
    overlay.globals = {**environment.globals, "statistics_asset": asset_url}
    overlay.filters = {**environment.filters, **FILTERS}
    return overlay


def asset_url(name: str) -> str:
    """Return the URL of a static file of ours; it changes with the file."""
    return endpoint_url("statistics.static", filename=name, v=_version(name))


@cache
def _version(name: str) -> str:
    return hashlib.sha256((_STATIC / name).read_bytes()).hexdigest()[:12]


def page(html: str, status: int = 200) -> flask.Response:
    """Return an HTML response whose security headers the host cannot weaken."""
    return _response(html, status, "text/html")


def answer(data: object, status: int = 200) -> flask.Response:
    """Return a JSON response; the host's own JSON provider has no part in it."""
    return _response(json.dumps(data, allow_nan=False), status, "application/json")


def attachment(parts: Iterable[bytes], content_type: str, name: str) -> flask.Response:
    """Return a file to keep, sent as its parts come."""
    protected = _protected(current_app.response_class)  # type: ignore[arg-type] # mypy: a class
    response = protected(parts, headers=SECURITY_HEADERS, content_type=content_type)
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name)
    response.headers["Content-Disposition"] = f'attachment; filename="{plain}"'
    return response


def _response(body: str, status: int, mimetype: str) -> flask.Response:
    protected = _protected(current_app.response_class)  # type: ignore[arg-type] # mypy: a class
    return protected(body, status=status, headers=SECURITY_HEADERS, mimetype=mimetype)


@cache
def _protected(response_class: type[flask.Response]) -> type[flask.Response]:
    class Protected(response_class):  # type: ignore[misc, valid-type]
        """Sets its security headers last, after every ``after_request`` of the host."""

        def get_wsgi_headers(self, environ: Any) -> Headers:
            headers: Headers = super().get_wsgi_headers(environ)
            for name, value in SECURITY_HEADERS.items():
                headers[name] = value
            return headers

    return Protected
