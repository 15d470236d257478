"""The JSON answers: the numbers of the pages, by the same questions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Response

from ..asking.filters import find_dimension
from ..asking.period import Period
from ..state import get_state
from .permissions import Action, allowed
from .questions import ask, require_dimensions
from .rendering import answer


def summary() -> Response:
    """``{"period": {"start", "end"}, "metrics": {…}, "previous": {…}}``."""
    question = ask()
    before = question.comparison
    previous = before and question.answers.summary(question.query.replace(period=before))
    return answer(
        {
            "period": _days(question.query.period),
            "metrics": question.answers.summary(question.query),
            "previous": previous or {},
            "previous_period": before and _days(before),
        }
    )


def timeseries() -> Response:
    """``{"interval", "points": [{"start", …metrics}]}``, empty buckets included."""
    question = ask()
    query = question.query
    interval = query.bucket or query.period.interval
    points = question.answers.timeseries(query.replace(bucket=interval))
    return answer({"interval": interval, "period": _days(query.period), "points": points})


def breakdown(dimension: str) -> Response:
    """``{"dimension", "total", "rows": [{"value", …metrics}]}``."""
    question = ask()
    find_dimension("dimension", dimension, question.columns)
    require_dimensions(frozenset({dimension}))
    found = question.answers.breakdown(question.query.replace(group_by=(dimension,)))
    return answer({"dimension": found.dimension, "total": found.total, "rows": found.rows})


def requests() -> Response:
    """``{"total", "page", "requests": […]}``, newest first.

    Personal columns are in it only for whom ``permission_f("personal")`` lets see them.
    """
    question = ask()
    found = question.requests(question.query)
    total = question.answers.count(question.query)
    return answer({"total": total, "page": question.query.page, "requests": found})


def status() -> Response:
    """The recorder's own health, of the process that answers."""
    found: dict[str, Any] = get_state().recorder.status()
    if found.get("last_error") and not allowed("manage"):
        # What a database says may quote what visitors sent.
        found = {**found, "last_error": found["last_error"].partition(":")[0]}
    return answer(found)


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
