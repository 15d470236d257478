"""What the pages and the JSON answers say when something is wrong.

Never the traceback or the SQL: those are logged.
"""

from __future__ import annotations

import logging
from difflib import get_close_matches
from typing import Any

import sqlalchemy as sa
from flask import Response, request

from ..asking.filters import available_dimensions
from ..asking.metrics import available
from ..asking.query import PARAMETERS
from ..asking.reading import reading
from ..errors import QueryError
from ..state import State, get_state
from .links import OWN_PARAMETERS, endpoint_url
from .permissions import Refused
from .rendering import answer, page, render

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


def _failure(status: int, template: str, message: str, **context: Any) -> Response:
    if (request.endpoint or "").startswith("statistics.api_"):
        named = {"parameter": context["parameter"]} if "parameter" in context else {}
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
