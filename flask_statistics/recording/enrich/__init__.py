"""From a record to the values of a row: a pipeline of plain functions.

Each :class:`Step` takes a record and returns values with the names that it announces. Only steps
that the host's model has columns for are run, and each keeps what it worked out for the values
that come again and again, in bounded memory.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any
from urllib.parse import parse_qsl

from ...config import Config
from ...fields import LONGEST_TEXT
from ...privacy import REDACTED, Secrets, decode_header, mask_address, mask_addresses, storable
from ..matching import OwnRoutes
from ..record import HARMLESS_ID, RECORD, WITHHELD, Record
from .converting import HostFields, Types
from .keeping import Limits, remember
from .own_paths import OwnPaths
from .referrers import referrer_source
from .user_agents import describe_user_agent

_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*")
_CAMPAIGN = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")
AGENT = ("browser", "browser_version", "platform", "platform_version", "device", "bot")
_CONSTANT = ("server_name", "version", "site", "country", "region", "city", "ip_info")
_MOST_ARGUMENTS = 1000
_EPOCH = datetime(1970, 1, 1)
#: What would end the path of a URL; text of all scripts stays readable.
_QUOTED = str.maketrans({"%": "%25", "?": "%3F", "#": "%23", " ": "%20"})

Step = tuple[tuple[str, ...], Callable[[Record], tuple[Any, ...]]]
(
    _DATE, _RESPONSE_TIME, _METHOD, _SCRIPT, _PATH, _QUERY, _STATUS, _CONTENT_TYPE, _SIZE,
    _ADDRESS, _USER_AGENT, _REFERRER, _ACCEPT_LANGUAGE, _SCHEME, _HOST, _FORWARDED,
    _AUTHORIZATION, _REQUEST_ID, _ENDPOINT, _ROUTE, _VIEW_ARGS, _EXCEPTION, _USERNAME,
    _TRACK_VAR, _DB_QUERIES, _DB_TIME, _FIELDS,
) = range(len(RECORD))  # fmt: skip


#: What a visitor is computed from, as one text; never stored.
Identity = str


class Enricher:
    """Turns records into rows of the wanted columns.

    :param wanted: names of fields that the host's model has.
    :param limits: the length of columns that have one.
    :param field_types: the types of the columns that functions of the host fill, in the order
        of the record's ``fields``.
    :ivar columns: the names of a row's values, in their order. ``visitor`` holds an
        :class:`Identity` until it is hashed, ``visit`` None until it is found.
    """

    def __init__(
        self,
        wanted: Collection[str],
        *,
        config: Config,
        app_name: str,
        limits: Mapping[str, int],
        field_types: Types | None = None,
        own_routes: OwnRoutes | None = None,
    ) -> None:
        self._config = config
        self._limits = Limits(limits)
        self._secrets = Secrets(config.secret_names)
        self._own = OwnPaths(self._secrets, own_routes)
        # Places come with a later release.
        self._constant = (app_name, config.version, config.site, None, None, None, None)
        self._split = {"browser_version", "platform_version"} & set(wanted)
        steps = [step for step in self._steps() if set(step[0]) & set(wanted)]
        fields = field_types or {}
        if fields:
            steps.append((tuple(fields), HostFields(fields, self._limits).of))
        positions = {name: place for place, name in enumerate(_names(steps))}
        self.columns = tuple(n for n in positions if n in wanted or n in fields)
        places = [positions[name] for name in self.columns]
        # Where the model has all that the steps give, there is nothing to pick. Else one column
        # more than there are, since itemgetter(0) would give no tuple.
        self._pick = None if places == list(range(len(_names(steps)))) else itemgetter(*places, 0)
        self._functions = [function for _, function in steps]

    def row(self, record: Record) -> list[Any]:
        """Return the values of a record in the order of :attr:`columns`."""
        row: list[Any] = []
        for function in self._functions:
            row += function(record)
        if self._pick is not None:
            *row, _ = self._pick(row)
        return row

    def _steps(self) -> Iterator[Step]:
        """Yield few steps: a call costs more than a look-up of what comes together."""
        yield (
            (
                "date", "response_time", "status_code", "size", "db_queries", "db_time",
                "authorization", "request_id", "visitor", "visit",
            ),
            _measured,
        )  # fmt: skip
        yield (
            ("username", "exception", "track_var", *_CONSTANT),
            self._said,
        )
        yield ("remote_address", "xforwardedfor"), remember(self._client, _ADDRESS, _FORWARDED)
        yield (
            ("user_agent", *AGENT, "language"),
            remember(self._browser, _USER_AGENT, _ACCEPT_LANGUAGE),
        )
        yield (
            (
                "method", "mimetype", "endpoint", "blueprint", "route", "host", "path",
                "view_args", "url", "query_string", "url_args", *_CAMPAIGN,
            ),
            remember(
                self._page, _METHOD, _CONTENT_TYPE, _ENDPOINT, _ROUTE, _SCHEME, _HOST, _SCRIPT,
                _PATH, _QUERY, _VIEW_ARGS,
            ),
        )  # fmt: skip
        yield ("referrer", "source"), remember(self._referrer, _REFERRER, _HOST, _SCRIPT)

    def _text(self, name: str, raw: str | None) -> str | None:
        return self._limits.cut(name, decode_header(raw)) if raw else None

    def _client(self, address: str | None, forwarded: str | None) -> tuple[Any, ...]:
        mask = self._config.mask_ip
        if mask is not None:
            address = address and mask_address(address, mask)
            forwarded = forwarded and mask_addresses(forwarded, mask)
        return self._text("remote_address", address), self._text("xforwardedfor", forwarded)

    def _browser(self, user_agent: str | None, languages: str | None) -> tuple[Any, ...]:
        language = _LANGUAGE.match((languages or "").strip())
        return *self._agent(user_agent), self._limits.cut("language", language and language[0])

    def _agent(self, raw: str | None) -> tuple[Any, ...]:
        text = decode_header(raw) if raw else None
        agent = describe_user_agent(text)
        return (
            self._limits.cut("user_agent", text),
            self._name("browser", agent.browser, agent.browser_version),
            self._limits.cut("browser_version", agent.browser_version or None),
            self._name("platform", agent.platform, agent.platform_version),
            self._limits.cut("platform_version", agent.platform_version or None),
            agent.device,
            self._limits.cut("bot", agent.bot),
        )

    def _name(self, column: str, name: str | None, version: str | None) -> str | None:
        if name and version and f"{column}_version" not in self._split:
            name = f"{name} {version}"
        return self._limits.cut(column, name)

    def _referrer(self, raw: str | None, host: str | None, script: str | None) -> tuple[Any, ...]:
        if not raw:
            return None, None
        text = decode_header(raw)
        source = referrer_source(text, host)
        clean = storable(self._secrets.redact_url(text))
        if source is None:
            clean = self._own.redact_url(clean, decode_header(script or ""))
        return self._limits.cut("referrer", clean), self._limits.cut("source", source)

    def _query(self, raw: str | None) -> tuple[Any, ...]:
        if not raw:
            return "", "{}", None, None, None, None, None
        clean = decode_header(self._secrets.redact_query(raw))
        pairs = parse_qsl(clean[:LONGEST_TEXT], keep_blank_values=True, errors="replace")
        arguments: dict[str, Any] = {}
        for name, value in pairs[:_MOST_ARGUMENTS]:
            arguments.setdefault(storable(name), []).append(storable(value))
        campaign = (arguments.get(name, [None])[0] or None for name in _CAMPAIGN)
        return (
            self._limits.cut("query_string", clean),
            self._json("url_args", {n: v[0] if len(v) == 1 else v for n, v in arguments.items()}),
            *(self._limits.cut(n, v) for n, v in zip(_CAMPAIGN, campaign, strict=True)),
        )

    def _json(self, column: str, values: dict[str, Any]) -> str:
        """Return JSON that fits the column: of too many values the last ones are left out."""
        while len(text := json.dumps(values, ensure_ascii=False)) > self._limits[column]:
            values = dict(list(values.items())[: len(values) // 2])
        return text

    def _page(
        self,
        method: str | None,
        content_type: str | None,
        endpoint: str | None,
        route: str | None,
        scheme: str,
        host: str | None,
        script: str | None,
        path: str | None,
        query: str | None,
        arguments: tuple[tuple[str, Any], ...] | None,
    ) -> tuple[Any, ...]:
        mimetype = content_type and storable(content_type.partition(";")[0].strip().lower())
        endpoint = endpoint and storable(endpoint)
        host = self._text("host", host and host.rpartition("@")[2])  # without credentials
        path = None if path is None else self._path(path, arguments, route)
        return (
            method and self._text("method", method),
            self._limits.cut("mimetype", mimetype),
            self._limits.cut("endpoint", endpoint),
            self._limits.cut("blueprint", endpoint and (endpoint.rpartition(".")[0] or None)),
            self._limits.cut("route", route and storable(route)),
            host,
            self._limits.cut("path", path),
            None if route is None and not arguments else self._arguments(arguments or ()),
            path and self._url(scheme, host, script, path, query),
            *self._query(query),
        )

    def _path(
        self, raw: str, arguments: tuple[tuple[str, Any], ...] | None, route: str | None
    ) -> str:
        path = "/" + decode_header(raw).lstrip("/")  # as Werkzeug's request.path
        if arguments:
            path = storable(self._secrets.redact_path(path, arguments, route))
        elif route is None:
            path = self._own.redact(path)
        return self._secrets.redact_url(path)

    def _url(
        self, scheme: str, host: str | None, script: str | None, path: str, query: str | None
    ) -> str | None:
        location = decode_header(script or "").rstrip("/") + path
        url = f"{scheme}://{host or ''}{location.translate(_QUOTED)}"
        if query:
            url += "?" + decode_header(self._secrets.redact_query(query))
        return self._limits.cut("url", url)

    def _arguments(self, arguments: tuple[tuple[str, Any], ...]) -> str:
        shown = {storable(name): self._argument(name, value) for name, value in arguments}
        return self._json("view_args", shown) if shown else "{}"

    def _argument(self, name: str, value: Any) -> Any:
        if self._secrets.is_secret(name):
            return REDACTED
        if isinstance(value, int | float | bool):
            return value
        return self._secrets.redact_url(storable(str(value)))

    def _said(self, record: Record) -> tuple[Any, ...]:
        username, exception, track_var = record[_USERNAME], record[_EXCEPTION], record[_TRACK_VAR]
        return (
            username and self._limits.cut("username", storable(username)),
            exception
            and self._limits.cut("exception", self._secrets.redact_text(storable(exception))),
            # Half of it would be no JSON.
            track_var and self._limits.whole("track_var", self._secrets.redact_json(track_var)),
            *self._constant,
        )


def _names(steps: Sequence[Step]) -> list[str]:
    """Return the names of all values; a later step of the same name has precedence."""
    return [name for names, _ in steps for name in names]


def _measured(record: Record) -> tuple[Any, ...]:
    seconds, sql_seconds = record[_RESPONSE_TIME], record[_DB_TIME]
    address, given = record[_ADDRESS], record[_REQUEST_ID]
    if not given or not HARMLESS_ID.fullmatch(given):
        given = None if given == WITHHELD else f"{random.getrandbits(64):016x}"
    return (
        _EPOCH + timedelta(seconds=record[_DATE]),
        # Microseconds: what a clock of the operating system is good for.
        seconds and round(seconds, 6),
        record[_STATUS],
        record[_SIZE],
        record[_DB_QUERIES],
        sql_seconds and round(sql_seconds, 6),
        record[_AUTHORIZATION],
        given,
        f"{address}\0{record[_USER_AGENT]}\0{record[_HOST]}" if address else None,
        None,
    )
