"""What the pages and the JSON answers say when something is wrong.

Never the traceback or the SQL: those are logged.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

import sqlalchemy as sa
from flask import Response, request

from ..asking.filters import available_dimensions
from ..asking.metrics import available
from ..asking.query import PARAMETERS
from ..asking.reading import reading
from ..checking import lacking_indexes
from ..errors import QueryError, QueryTimeoutError, StatisticsError
from ..state import State, get_state
from .links import OWN_PARAMETERS, Links, endpoint_url
from .permissions import Refused, allowed
from .questions import ask
from .rendering import answer, page, render

#: Days of the shorter ranges that are offered where a range took too long.
_SHORTER = (7, 30, 90)
logger = logging.getLogger("flask_statistics")


def bad_question(error: QueryError) -> Response:
    """Answer 400 with the parameter and what is wrong with it."""
    close = _close_matches(error)
    return _failure(400, "bad_question.html", str(error), parameter=error.parameter, close=close)


def _close_matches(error: QueryError) -> list[str]:
    """Return the names that a parameter, or the name that it gives, is probably meant to be."""
    columns = get_state().model.columns
    dimensions, metrics = available_dimensions(columns), [m.name for m in available(columns)]
    known = {"dimension": list(dimensions), "metric": metrics, "sort": [*metrics, "value", "last"]}
    if error.parameter in known:
        given = (request.view_args or {}).get("dimension", request.args.get(error.parameter, ""))
        return get_close_matches(given.removeprefix("-"), known[error.parameter])
    names = [*dimensions, *PARAMETERS, *OWN_PARAMETERS]
    return [] if error.parameter in names else get_close_matches(error.parameter, names)


def refused(refusal: Refused) -> Response:
    """Answer 403; where nothing opens the pages yet, with what would."""
    state = get_state()
    without_callback = state.before_f is None and state.permission_f is None
    closed = without_callback and refusal.action == "view"
    message = f"{refusal.action!r} is not allowed here"
    if closed:
        message += "; pass before_f or permission_f to Statistics, or set STATISTICS_PUBLIC = True"
    return _failure(403, "refused.html", message, action=refusal.action, how=closed)


def too_long(error: QueryTimeoutError) -> Response:
    """Answer 503 with what would make it fast."""
    logger.warning("%r: %s", request.path, error)
    links = Links.of_request(endpoint_url("statistics.dashboard"))
    state = get_state()
    indexes = _lacking_indexes(state)
    return _failure(
        503, "too_long.html", str(error), seconds=error.seconds, shorter=_shorter_ranges(links),
        indexes=indexes, archive=state.config.archive is not None, again=links.set(),
        explain=links.explained() if allowed("manage") else None,
    )  # fmt: skip


def _shorter_ranges(links: Links) -> list[tuple[str, str]]:
    """Return links to the last days of the range that took too long: names and URLs."""
    period = ask().query.period
    return [
        (f"The last {days} days", links.days(period.end - timedelta(days=days - 1), period.end))
        for days in _SHORTER
        if days <= period.days / 2
    ]


def _lacking_indexes(state: State) -> list[str]:
    try:
        return [", ".join(index.columns) for index in lacking_indexes(state) if not index.optional]
    except sa.exc.SQLAlchemyError:
        return []  # which is logged where it was asked first


def database_failed(error: sa.exc.SQLAlchemyError) -> Response:
    """Answer 503, with what to do where a table or a column is missing."""
    if isinstance(error, sa.exc.StatementError):
        error.hide_parameters = True  # they are what visitors sent
    logger.error("the statistics pages could not ask the database", exc_info=error)
    state = get_state()
    tables, columns = _missing(state)
    message = "the database did not answer"
    if tables or columns:
        message = f"the database lacks {', '.join(tables or columns)}: run `flask db upgrade`"
    return _failure(503, "database_failed.html", message, tables=tables, columns=columns)


def out_of_service(error: StatisticsError) -> Response:
    """Answer 503 where the archive, or a package, is missing; what to do only to its keepers."""
    logger.error("%r: %s", request.path, error)
    remedy = str(error) if allowed("manage") else "See the log of the app for what to do."
    return _failure(503, "out_of_service.html", remedy)


def _failure(status: int, template: str, message: str, **context: Any) -> Response:
    if (request.endpoint or "").startswith("statistics.api_"):
        named: dict[str, Any] = {
            name: context[name] for name in ("parameter", "indexes") if name in context
        }
        return answer({"error": message, **named}, status)
    return page(failure_html(template, message, **context), status)


def failure_html(template: str, message: str, **context: Any) -> str:
    """Return the page that says what is wrong."""
    home = endpoint_url("statistics.dashboard")
    return render(f"flask_statistics/{template}", message=message, home=home, **context)


def missing_tables(state: State) -> list[str]:
    """Return the names of our tables that the database does not have."""
    with reading(state.engine) as connection:
        inspector = sa.inspect(connection)
        return [
            table.name
            for table in state.tables
            if not inspector.has_table(table.name, schema=table.schema)
        ]


def _missing(state: State) -> tuple[list[str], list[str]]:
    """Return which of the host's table and its columns the database does not have."""
    table = state.model.table
    try:
        with reading(state.engine) as connection:
            inspector = sa.inspect(connection)
            if not inspector.has_table(table.name, schema=table.schema):
                return [table.name], []
            found = {c["name"] for c in inspector.get_columns(table.name, schema=table.schema)}
    except sa.exc.SQLAlchemyError:
        return [], []
    return [], [column.name for column in table.columns if column.name not in found]
