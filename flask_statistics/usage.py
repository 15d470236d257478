"""Single requests in the shape of Flask-Track-Usage's ``get_usage``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

from .asking.limits import within
from .asking.query import Period, Query
from .errors import QueryError
from .state import State

#: The key of Flask-Track-Usage and the column that holds it.
_COLUMNS = {
    "url": "url",
    "blueprint": "blueprint",
    "status": "status_code",
    "remote_addr": "remote_address",
    "xforwardedfor": "xforwardedfor",
    "authorization": "authorization",
    "ip_info": "ip_info",
    "path": "path",
    "speed": "response_time",
    "date": "date",
    "username": "username",
}
_MOST = 100_000
_UTC = ZoneInfo("UTC")
_INSTANT = timedelta(microseconds=1)
_LAST_DAY = datetime(9999, 12, 30)


def get_usage(
    state: State, start: date | None, end: date | None, limit: int, page: int
) -> list[dict[str, Any]]:
    """Return requests from ``start`` to ``end``, newest first; see ``Statistics.get_usage``."""
    if type(limit) is not int or not 1 <= limit <= _MOST:
        raise QueryError("limit", f"must be a whole number between 1 and {_MOST}, not {limit!r}")
    if type(page) is not int or not 1 <= page <= 2**31:
        raise QueryError("page", f"must be a whole number from 1 on, not {page!r}")
    query = Query(_period(start, end), include_bots="1", limit=limit, offset=(page - 1) * limit)
    with within(state.config.query_timeout):
        rows = state.answers.requests(query, personal=True)
    return [_usage(row) for row in rows]


def _period(start: date | None, end: date | None) -> Period:
    since = None if start is None else _moment(start, "start_date")
    until = None if end is None else _moment(end, "end_date")
    if until is not None and isinstance(end, datetime):
        until = min(until, datetime.max - _INSTANT) + _INSTANT  # the end is included
    elif until is not None:
        until = min(until, _LAST_DAY) + timedelta(days=1)
    first = date.min if since is None else since.date()
    last = date.max if until is None else max((until - _INSTANT).date(), first)
    return Period(first, last, _UTC, until=until, since=since)


def _moment(given: date, parameter: str) -> datetime:
    if isinstance(given, datetime):
        aware = given.tzinfo is not None
        return given.astimezone(timezone.utc).replace(tzinfo=None) if aware else given
    if isinstance(given, date):
        return datetime.combine(given, time())
    raise QueryError(parameter, f"must be a date or a datetime (UTC), not {given!r}")


def _usage(row: Mapping[str, Any]) -> dict[str, Any]:
    usage = {key: row.get(column) for key, column in _COLUMNS.items()}
    usage["date"] = usage["date"] and datetime.fromisoformat(usage["date"].removesuffix("Z"))
    browser, version = row.get("browser"), row.get("browser_version")
    if browser and version is None and "browser_version" not in row:
        browser, version = _split(browser)
    usage["user_agent"] = {
        "browser": browser,
        "language": row.get("language"),
        "platform": row.get("platform"),
        "version": version,
    }
    usage["view_args"] = _json(row.get("view_args"))
    usage["track_var"] = _json(row.get("track_var"))
    return usage


def _split(browser: str) -> tuple[str, str | None]:
    """Part ``Firefox 72.0`` into name and version."""
    name, _, version = browser.rpartition(" ")
    return (name, version) if name and version[:1].isdigit() else (browser, None)


def _json(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value  # cut to the column's length
