"""Every figure: its name, unit, definition, and how a database computes it.

The definitions and their sources stand in ``docs/metrics.md``, word for word.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from .constructs import as_text, exact, nearest_rank, ratio, seconds_between

Expression = sa.ColumnElement[Any]
#: The columns of the rows that are counted, by field name; ``person`` is whether a row counts
#: in metrics of people. Of visits: ``page_views``, ``events``, ``first``, ``last``. Of events:
#: ``id`` and ``revenue``.
Columns = Mapping[str, Expression]


@dataclass(frozen=True)
class Metric:
    """One figure.

    :ivar name: as in URLs and JSON.
    :ivar label: how pages call it.
    :ivar unit: what it is counted in; a share lies between 0 and 1.
    :ivar definition: one sentence for pages and docs.
    :ivar needs: the fields without which it cannot be known.
    :ivar people: whether bots are left out of it, unless the query says otherwise.
    :ivar better: the direction that is good news.
    :ivar source: what it is computed over: requests, ranked requests, visits, or events.
    :ivar expression: the aggregate over the columns of that source.
    :ivar count: whether it is a whole number that is 0, not unknown, where nothing was recorded.
    :ivar total: whether it is 0, not unknown, where there is nothing to add up.
    """

    name: str
    label: str
    unit: Literal["count", "seconds", "bytes", "share", "number"]
    definition: str
    needs: tuple[str, ...]
    expression: Callable[[Columns], Expression]
    people: bool = False
    better: Literal["up", "down"] | None = None
    source: Literal["requests", "ranks", "visits", "events"] = "requests"
    count: bool = False
    total: bool = False


def page_view(columns: Columns) -> Expression:
    """Return the condition of a page view; a lacking media type is not asked for."""
    status = columns["status_code"]
    conditions = [
        columns["person"],
        exact(as_text(columns["method"])) == "GET",
        sa.or_(status.between(200, 299), status == 304),
    ]
    if "mimetype" in columns:
        conditions.append(exact(as_text(columns["mimetype"])) == "text/html")
    return sa.and_(*conditions)


#: The fields that any metric reads.
READ = (
    *("date", "method", "status_code", "mimetype", "bot", "visitor", "remote_address", "visit"),
    *("response_time", "size", "db_queries", "db_time"),
)
#: What :func:`page_view` reads; ``mimetype`` where the model has it.
PAGE_VIEW = ("method", "status_code")
VISIT = ("visit", "date", *PAGE_VIEW)


def _count(condition: Expression) -> Expression:
    return sa.func.count(sa.case((condition, 1)))


def _mean(name: str) -> Callable[[Columns], Expression]:
    return lambda columns: ratio(sa.func.sum(columns[name]), sa.func.count(columns[name]))


def _errors(columns: Columns) -> Expression:
    return _count(columns["status_code"] >= 500)


def _visitors(columns: Columns) -> Expression:
    who = columns["visitor"] if "visitor" in columns else columns["remote_address"]
    return sa.func.count(sa.distinct(sa.case((columns["person"], exact(who)))))


def _percentile(percent: int) -> Callable[[Columns], Expression]:
    """The smallest value whose cumulative share is at least ``percent``: nearest rank."""

    def expression(columns: Columns) -> Expression:
        if "place" not in columns:
            return nearest_rank(columns["response_time"], sa.literal_column(str(percent)))
        reached = columns["place"] * 100 >= columns["amount"] * percent
        return sa.func.min(sa.case((reached, columns["response_time"])))

    return expression


def _duration(columns: Columns) -> Expression:
    return seconds_between(columns["first"], columns["last"])


def _bounce(columns: Columns) -> Expression:
    is_bounce = sa.and_(columns["page_views"] == 1, columns["events"] == 0)
    return sa.case((is_bounce, 1), else_=0)


def _of_visits(value: Callable[[Columns], Expression]) -> Callable[[Columns], Expression]:
    return lambda columns: ratio(sa.func.sum(value(columns)), sa.func.count())


def _percentile_metric(percent: int) -> Metric:
    return Metric(
        f"response_time_p{percent}", f"Response time, p{percent}", "seconds",
        f"The smallest response time that at least {percent} % of the requests did not exceed.",
        ("response_time",), _percentile(percent), better="down", source="ranks",
    )  # fmt: skip


METRICS: tuple[Metric, ...] = (
    Metric("hits", "Hits", "count", "Recorded requests.", (),
           lambda columns: sa.func.count(), better="up", count=True),
    Metric("visitors", "Visitors", "count",
           "Distinct visitors; a person who returns on another day counts once a day. "
           "Without a column `visitor`, distinct addresses.",
           (), _visitors, people=True, better="up", count=True),
    Metric("page_views", "Page views", "count",
           "GET requests answered 2xx or 304 with text/html.",
           PAGE_VIEW, lambda columns: _count(page_view(columns)),
           people=True, better="up", count=True),
    Metric("visits", "Visits", "count", "Visits with at least one page view or event.",
           VISIT, lambda columns: sa.func.count(),
           people=True, better="up", source="visits", count=True),
    Metric("bounce_rate", "Bounce rate", "share",
           "The share of visits of one page view and no event.",
           VISIT, _of_visits(_bounce), people=True, better="down", source="visits"),
    Metric("visit_duration", "Visit duration", "seconds",
           "The mean time from the first to the last page view or event of a visit.",
           VISIT, _of_visits(_duration), people=True, better="up", source="visits"),
    Metric("views_per_visit", "Views per visit", "number", "Page views of a visit, on average.",
           VISIT, _of_visits(lambda columns: columns["page_views"]),
           people=True, better="up", source="visits"),
    Metric("events", "Events", "count", "Events that were tracked, those outside of requests too.",
           (), lambda columns: sa.func.count(),
           people=True, better="up", source="events", count=True),
    Metric("revenue", "Revenue", "number", "The revenue of all events together.",
           (), lambda columns: sa.func.sum(columns["revenue"]),
           people=True, better="up", source="events", total=True),
    Metric("response_time", "Response time, mean", "seconds", "The mean response time.",
           ("response_time",), _mean("response_time"), better="down"),
    _percentile_metric(50),
    _percentile_metric(95),
    _percentile_metric(99),
    Metric("response_time_max", "Longest response time", "seconds", "The longest response time.",
           ("response_time",), lambda columns: sa.func.max(columns["response_time"]),
           better="down"),
    Metric("size", "Size", "bytes", "Bytes of all bodies together.",
           ("size",), lambda columns: sa.func.sum(columns["size"]), count=True),
    Metric("errors", "Errors", "count", "Requests answered with a status of 500 or more.",
           ("status_code",), _errors, better="down", count=True),
    Metric("error_rate", "Error rate", "share", "Errors in relation to hits.",
           ("status_code",), lambda columns: ratio(_errors(columns), sa.func.count()),
           better="down"),
    Metric("db_queries", "SQL statements", "number", "SQL statements of a request, on average.",
           ("db_queries",), _mean("db_queries"), better="down"),
    Metric("db_time", "SQL time", "seconds", "Time of a request's SQL statements, on average.",
           ("db_time",), _mean("db_time"), better="down"),
)  # fmt: skip

BY_NAME: dict[str, Metric] = {metric.name: metric for metric in METRICS}


def is_available(metric: Metric, model_columns: Collection[str]) -> bool:
    """Whether a model with these fields allows a metric."""
    if metric.name == "visitors":
        return "visitor" in model_columns or "remote_address" in model_columns
    return all(name in model_columns for name in metric.needs)


def available(model_columns: Collection[str]) -> tuple[Metric, ...]:
    """Return the metrics that a model with these fields allows."""
    return tuple(metric for metric in METRICS if is_available(metric, model_columns))
