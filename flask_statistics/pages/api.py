"""The JSON answers: the numbers of the pages, by the same questions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Response

from ..asking.answers import Ask
from ..asking.filters import read_dimensions
from ..asking.period import Period
from ..state import get_state
from .permissions import Action, allowed
from .questions import Question, ask, require_dimensions
from .rendering import answer


def summary() -> Response:
    """``{"period": {"start", "end"}, "metrics": {…}, "previous": {…}}``."""
    question = ask()
    before = question.comparison
    queries = [question.query.replace(period=period) for period in _both(question)]
    metrics, *previous = question.answers.many([Ask("summary", query) for query in queries])
    return answer(
        {
            "period": _days(question.query.period),
            "metrics": metrics,
            "previous": previous[0] if previous else {},
            "previous_period": before and _days(before),
        }
    )


def timeseries() -> Response:
    """``{"interval", "points": [{"start", …metrics}]}``, empty buckets included.

    With ``group=<dimension>``, or two with a comma between: ``{"interval", "dimension", "total",
    "series": [{"value", "points"}]}``, the series of the most frequent values.
    """
    question = ask()
    query = question.query.replace(bucket=question.query.bucket or question.query.period.interval)
    head = {"interval": query.bucket, "period": _days(query.period)}
    if not query.group_by:
        return answer(head | {"points": question.answers.timeseries(query)})
    found = question.answers.series(query)
    return answer(
        head | {"dimension": found.dimension, "total": found.total, "series": found.series}
    )


def breakdown(dimension: str) -> Response:
    """``{"dimension", "total", "rows": [{"value", …metrics}]}``.

    Of two dimensions with a comma between, each value is a list of two.
    """
    question = ask()
    dimensions = read_dimensions("dimension", dimension, question.columns)
    require_dimensions(frozenset(dimensions))
    found = question.answers.breakdown(question.query.replace(group_by=dimensions))
    return answer({"dimension": found.dimension, "total": found.total, "rows": found.rows})


def requests() -> Response:
    """``{"total", "page", "requests": […]}``, newest first.

    Personal columns are in it only for whom ``permission_f("personal")`` lets see them.
    """
    question = ask()
    query = question.query
    asks = [Ask("requests", query, allowed("personal")), Ask("count", query)]
    found, total = question.answers.many(asks)
    return answer({"total": total, "page": question.query.page, "requests": found})


def status() -> Response:
    """The recorder's own health, of the process that answers."""
    found: dict[str, Any] = get_state().recorder.status()
    if found.get("last_error") and not allowed("manage"):
        # What a database says may quote what visitors sent.
        found = {**found, "last_error": found["last_error"].partition(":")[0]}
    return answer(found)


def _both(question: Question) -> list[Period]:
    return [period for period in (question.query.period, question.comparison) if period]


def _days(period: Period) -> dict[str, str]:
    return {"start": period.start.isoformat(), "end": period.end.isoformat()}


#: rule, endpoint, view, the action that it needs
ROUTES: tuple[tuple[str, str, Callable[..., Response], Action], ...] = (
    ("/api/summary", "api_summary", summary, "view"),
    ("/api/timeseries", "api_timeseries", timeseries, "view"),
    ("/api/breakdown/<dimension>", "api_breakdown", breakdown, "view"),
    ("/api/requests", "api_requests", requests, "view"),
    ("/api/status", "api_status", status, "view"),
)
