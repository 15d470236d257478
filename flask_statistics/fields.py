"""The table of recorded fields.

One row here is all that a new field needs: capture, masking, the mixin, filters, breakdowns
and the docs iterate :data:`FIELDS`. A host whose model lacks a column is not affected by it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

#: Characters kept of a value whose column has no length of its own (MariaDB's TEXT holds
#: 65,535 bytes, four of them a character).
LONGEST_TEXT = 16_000


def text(length: int) -> Callable[[], sa.types.TypeEngine[Any]]:
    return lambda: sa.String(length)


def timestamp() -> sa.types.TypeEngine[Any]:
    # MariaDB's plain DATETIME drops the fraction of the second.
    return sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


@dataclass(frozen=True)
class Field:
    """One recorded value.

    :ivar name: the column's name in the host's model.
    :ivar type: makes the column's type in :class:`~flask_statistics.RequestMixin`.
    :ivar read: where it comes from: the request, the response, a function of the host in the
        request's context, or derived from those on the background thread.
    :ivar personal: whether it can tell about one person; shown to ``"personal"`` only.
    :ivar dimension: whether it groups sensibly and may be filtered on.
    :ivar kind: what is compared: text, a number, or a moment.
    :ivar label: how pages call it.
    :ivar help: one sentence for the docs.
    """

    name: str
    type: Callable[[], sa.types.TypeEngine[Any]]
    read: Literal["request", "response", "host", "derived"]
    label: str
    help: str
    personal: bool = False
    dimension: bool = True
    kind: Literal["text", "number", "boolean", "moment"] = "text"


FIELDS: tuple[Field, ...] = (
    Field("date", timestamp, "request", "Date", "When the request began, UTC.",
          dimension=False, kind="moment"),
    Field("response_time", sa.Double, "response", "Response time",
          "Seconds from the start of the request until its body goes to the server; of a streamed "
          "body, until it has ended.",
          kind="number"),
    Field("method", text(32), "request", "Method", "The HTTP method."),
    Field("path", text(1024), "request", "Path", "The path without the query string."),
    Field("status_code", sa.Integer, "response", "Status", "The HTTP status.", kind="number"),
    Field("mimetype", text(255), "response", "Type", "The media type of the response."),
    Field("size", sa.BigInteger, "response", "Size", "Bytes of the body.", kind="number"),
    Field("referrer", sa.Text, "request", "Referrer", "The Referer header, secrets replaced."),
    Field("user_agent", text(1024), "request", "User agent", "The User-Agent header."),
    Field("remote_address", text(64), "request", "Address",
          "The client's address, masked as configured.", personal=True),
    Field("exception", sa.Text, "response", "Exception",
          "repr() of the exception that a view or a hook raised."),
    Field("browser", text(128), "derived", "Browser",
          "The browser's name, with its version unless the model has `browser_version`."),
    Field("browser_version", text(64), "derived", "Browser version", "The browser's version."),
    Field("platform", text(128), "derived", "Platform",
          "The operating system, with its version unless the model has `platform_version`."),
    Field("platform_version", text(64), "derived", "Platform version",
          "The operating system's version."),
    Field("device", text(16), "derived", "Device", "desktop, mobile, tablet, bot or other."),
    Field("bot", text(128), "derived", "Bot",
          "NULL for a person; else the bot's name or why it is held for one."),
    Field("language", text(35), "derived", "Language", "The first language that is accepted."),
    Field("url", sa.Text, "request", "URL", "The whole URL, secrets replaced."),
    Field("query_string", sa.Text, "request", "Query string",
          "What follows the question mark, secrets replaced."),
    Field("url_args", sa.Text, "derived", "URL arguments",
          "The query parameters as JSON, secrets replaced."),
    Field("host", text(255), "request", "Host", "The host that was asked for."),
    Field("server_name", text(128), "request", "App", "The name of the Flask app."),
    Field("endpoint", text(255), "request", "Endpoint", "Flask's endpoint."),
    Field("route", text(512), "request", "Route", "The URL rule; NULL if none matched."),
    Field("blueprint", text(128), "request", "Blueprint", "The blueprint of the endpoint."),
    Field("view_args", sa.Text, "request", "View arguments",
          "The arguments of the URL rule as JSON, secrets replaced."),
    Field("xforwardedfor", text(512), "request", "X-Forwarded-For",
          "The X-Forwarded-For header, masked as configured.", personal=True),
    Field("authorization", sa.Boolean, "request", "Authorization",
          "Whether an Authorization header came.", kind="boolean"),
    Field("username", text(255), "host", "User",
          "Flask-Login's user, the host's callback, or HTTP basic's name.", personal=True),
    Field("visitor", text(32), "derived", "Visitor",
          "A keyed hash of address, user agent and host; the key changes each day.",
          personal=True),
    Field("visit", text(32), "derived", "Visit", "Which visit of the visitor.", personal=True),
    Field("request_id", text(64), "request", "Request id",
          "The X-Request-ID header where it is harmless, else random.", personal=True),
    Field("country", text(2), "derived", "Country", "ISO 3166-1 alpha-2 code."),
    Field("region", text(128), "derived", "Region", "The region's name."),
    Field("city", text(128), "derived", "City", "The city's name."),
    Field("ip_info", sa.Text, "derived", "Place", "What is known of the address, as JSON.",
          personal=True, dimension=False),
    Field("source", text(255), "derived", "Source",
          "The referrer's name (Google, Hacker News), else its host; NULL for the own host."),
    Field("utm_source", text(255), "derived", "Campaign source", "utm_source of the query."),
    Field("utm_medium", text(255), "derived", "Campaign medium", "utm_medium of the query."),
    Field("utm_campaign", text(255), "derived", "Campaign", "utm_campaign of the query."),
    Field("utm_term", text(255), "derived", "Campaign term", "utm_term of the query."),
    Field("utm_content", text(255), "derived", "Campaign content", "utm_content of the query."),
    Field("db_queries", sa.Integer, "host", "SQL statements",
          "SQL statements that the request ran on the host's engines.", kind="number"),
    Field("db_time", sa.Double, "host", "SQL time", "Seconds of those statements.",
          kind="number"),
    Field("version", text(128), "host", "Release", "STATISTICS_VERSION."),
    Field("site", text(128), "host", "Site", "STATISTICS_SITE."),
    Field("track_var", sa.Text, "host", "Variables", "`g.track_var` as JSON.", personal=True,
          dimension=False),
)  # fmt: skip

BY_NAME: dict[str, Field] = {field.name: field for field in FIELDS}
PERSONAL: frozenset[str] = frozenset(field.name for field in FIELDS if field.personal)
