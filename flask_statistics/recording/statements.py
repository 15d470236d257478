"""Counts the SQL statements of a request, by SQLAlchemy's engine events."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import sqlalchemy as sa
from flask import has_request_context, request

#: The execution option of engines whose statements are ours.
OWN_STATEMENTS = "flask_statistics"


def count_statements(engine: sa.Engine, key: str) -> None:
    """Add the statements on ``engine`` to the trace under ``key`` of the request's environ.

    The listeners hold nothing of the app, so that it can be collected with its engines.
    """

    def before(
        connection: Any, cursor: Any, statement: Any, parameters: Any, context: Any, many: Any
    ) -> None:
        if has_request_context() and OWN_STATEMENTS not in connection.get_execution_options():
            trace = request.environ.get(key)
            if trace is not None:
                trace.said = True
                trace.queries += 1
                context._flask_statistics = (trace, perf_counter())

    def after(
        connection: Any, cursor: Any, statement: Any, parameters: Any, context: Any, many: Any
    ) -> None:
        _add_time(context)

    def failed(context: Any) -> None:
        _add_time(context.execution_context)

    sa.event.listen(engine, "before_cursor_execute", before)
    sa.event.listen(engine, "after_cursor_execute", after)
    sa.event.listen(engine, "handle_error", failed)


def _add_time(context: Any) -> None:
    trace, began = getattr(context, "_flask_statistics", None) or (None, 0.0)
    if trace is not None:
        context._flask_statistics = None
        trace.seconds += perf_counter() - began
