"""Answers ``?explain=1``: what a page asks the database, for those who may manage."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from flask import Response, request

from ..asking.explaining import Asked, Explanation, Statement, explained
from ..asking.limits import within
from ..errors import QueryError, QueryTimeoutError
from ..state import get_state
from .links import Links, endpoint_url
from .permissions import require
from .questions import label
from .rendering import answer, page, render

#: What is explained may be long: a filter of 500 values, each a parameter.
_LONGEST_VALUE, _LONGEST_SQL = 1000, 200_000


def bounded_view(view: Callable[[], Any]) -> Any:
    """Return what a view answers within the time limit; with ``?explain=1``, how it does.

    :raises QueryError: for another value of ``explain``.
    :raises Refused: where somebody asks for an explanation who may not manage.
    """
    asked = request.args.get("explain") or None
    if asked not in {None, "1"}:
        raise QueryError("explain", f"{asked[:60]!r} is not 1")
    seconds = get_state().config.query_timeout
    if asked is None:
        with within(seconds):
            return view()
    require("manage")
    late = None
    response: Any = None
    with within(seconds), explained() as explanation:
        try:
            response = view()
        except QueryTimeoutError as error:
            late = error
    if request.endpoint and request.endpoint.startswith("statistics.api_"):
        return _json(explanation, response, late)
    return _page(explanation, late)


def _page(explanation: Explanation, late: QueryTimeoutError | None) -> Response:
    links = Links.of_request(endpoint_url("statistics.dashboard"))
    statements = [_described(statement) for statement in explanation.statements]
    html = render(
        "flask_statistics/explained.html",
        back=links.set(),
        asked=[_in_words(asked) for asked in explanation.asked],
        statements=statements,
        seconds=sum(statement.seconds for statement in explanation.statements),
        late=late,
    )
    return page(html, 503 if late else 200)


def _json(explanation: Explanation, response: Any, late: QueryTimeoutError | None) -> Response:
    data: dict[str, Any] = {"error": str(late)} if late else json.loads(response.get_data())
    asked = [vars(asked) for asked in explanation.asked]
    statements = [_described(statement) for statement in explanation.statements]
    return answer(
        {**data, "explain": {"asked": asked, "statements": statements}}, 503 if late else 200
    )


def _described(statement: Statement) -> dict[str, Any]:
    return {
        "origin": statement.origin,
        "sql": statement.sql[:_LONGEST_SQL],
        "parameters": {name: str(value)[:_LONGEST_VALUE] for name, value in statement.parameters},
        "plan": list(statement.plan),
        "rows": statement.rows,
        "milliseconds": round(1000 * statement.seconds, 3),
    }


def _in_words(asked: Asked) -> dict[str, Any]:
    args = [(name, value) for name, value in asked.args if value]
    return {
        "kind": asked.kind,
        "by": ", ".join(label(name) for name in asked.dimensions),
        "args": "&".join(f"{name}={value}" for name, value in args),
        "kept": asked.kept,
    }
