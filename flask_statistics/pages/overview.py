"""Asks for the totals and the chart of the dashboard, and says in words what is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from itertools import zip_longest
from typing import Any

from ..asking.answers import Number
from ..asking.metrics import Metric
from ..asking.period import BUCKETS, Period
from ..asking.query import Query
from ..errors import QueryError
from .formats import Change, change
from .links import Links
from .panels import TILES, UNKNOWN, absent_label, allowed_metrics
from .questions import Question, label

#: More points are too many to tell apart in a chart.
_MOST_POINTS = 400
_BOTS = {None: ("people only", "bots included"), "0": ("people only", "people only"),
         "1": ("bots included", "bots included"), "only": ("bots only", "bots only")}  # fmt: skip


@dataclass(frozen=True)
class Tile:
    """One total. ``bots`` says whether they are in it; empty where the model cannot tell."""

    metric: Metric
    value: Number
    before: Number
    change: Change | None
    bots: str
    link: str
    chosen: bool


@dataclass(frozen=True)
class Chart:
    """One metric over time: ``points`` of start (ISO 8601), value, and the value before."""

    metric: Metric
    interval: str
    intervals: list[tuple[str, str]]
    points: list[tuple[str, Number, Number]]
    compared: bool


def chosen_metric(question: Question) -> Metric:
    """Return the metric that the URL chose for the chart, else the first that there is."""
    names = question.query.metrics
    if len(names) > 1:
        raise QueryError("metric", f"is given {len(names)} times")
    known = {metric.name: metric for metric in question.answers.metrics}
    if not names:
        return allowed_metrics(TILES, question.columns)[0]
    if names[0] not in known:
        raise QueryError("metric", f"{names[0][:60]!r} is none of {', '.join(known)}")
    return known[names[0]]


def totals(question: Question, period: Period | None = None) -> dict[str, Number]:
    """Return the metrics of the tiles over the query's period, or over another."""
    names = tuple(metric.name for metric in allowed_metrics(TILES, question.columns))
    query = question.query.replace(metrics=names, order=None)
    return question.answers.summary(query.replace(period=period) if period else query)


def tiles(
    question: Question, links: Links, now: dict[str, Number], before: dict[str, Number]
) -> list[Tile]:
    """Return the totals with what they changed by."""
    chosen = chosen_metric(question)
    people_or_requests = _BOTS[question.query.include_bots]
    return [
        Tile(
            metric,
            now[metric.name],
            before.get(metric.name),
            change(metric, now[metric.name], before.get(metric.name)),
            people_or_requests[not metric.people] if "bot" in question.columns else "",
            links.set(metric=metric.name),
            metric == chosen,
        )
        for metric in allowed_metrics(TILES, question.columns)
    ]


def chart(question: Question, links: Links) -> Chart:
    """Return the chosen metric over time, beside the period before."""
    metric, query = chosen_metric(question), question.query
    interval = query.bucket or query.period.interval
    asked = query.replace(metrics=(metric.name,), bucket=interval, order=None)
    now = question.answers.timeseries(asked)
    before: list[dict[str, Any]] = []
    if question.comparison:
        before = question.answers.timeseries(asked.replace(period=question.comparison))
    points = [
        (point["start"], point[metric.name], (earlier or {}).get(metric.name))
        for point, earlier in zip_longest(now, before[: len(now)])
    ]
    intervals = [(name, links.set(interval=name)) for name in _intervals(query.period, interval)]
    return Chart(metric, interval, intervals, points, question.comparison is not None)


def _intervals(period: Period, chosen: str) -> list[str]:
    fitting = [
        name
        for name, seconds in BUCKETS.items()
        if 1 < period.days * 86_400 / seconds <= _MOST_POINTS
    ]
    return [name for name in BUCKETS if name in fitting or name == chosen]


def presets(today: date) -> list[tuple[str, date, date]]:
    """Return the ranges to choose from: name, first day, last day."""
    day = timedelta(days=1)
    return [
        ("Today", today, today),
        ("Yesterday", today - day, today - day),
        ("7 days", today - 6 * day, today),
        ("30 days", today - 29 * day, today),
        ("90 days", today - 89 * day, today),
        ("This month", today.replace(day=1), today),
        ("12 months", _year_ago(today) + day, today),
    ]


def _year_ago(today: date) -> date:
    try:
        return today.replace(year=today.year - 1)
    except ValueError:  # 29 February
        return today.replace(year=today.year - 1, day=28)


@dataclass(frozen=True)
class Chip:
    """One value of a filter, in words, and the link that removes it."""

    label: str
    relation: str
    value: str
    link: str


def chips(query: Query, links: Links) -> list[Chip]:
    """Return the filters in words."""
    return [
        Chip(label(condition.dimension), *_in_words(condition.dimension, value),
             links.unfilter(condition.dimension, value))
        for condition in query.filters
        for value in condition.values
    ]  # fmt: skip


def _in_words(dimension: str, value: str) -> tuple[str, str]:
    relation = "is not" if value.startswith("!") else "is"
    if value.removeprefix("!"):
        return relation, value.removeprefix("!")
    absent = absent_label(dimension)
    return ("is", "known") if value and absent == UNKNOWN else (relation, absent)
