"""Asks for the totals and the chart of the dashboard, and says in words what is asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from itertools import zip_longest
from typing import Any, Literal, NamedTuple

from ..asking.answers import Ask
from ..asking.figures import Number
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


class Point(NamedTuple):
    """One bucket of a chart.

    :ivar start: ISO 8601.
    :ivar state: whether it is over, running now, or still to come.
    """

    start: str
    value: Number
    before: Number
    state: Literal["over", "running", "future"]


@dataclass(frozen=True)
class Chart:
    """One metric over time; ``compared`` where there is anything to compare it with."""

    metric: Metric
    interval: str
    intervals: list[tuple[str, str]]
    points: list[Point]
    compared: bool

    @property
    def is_running(self) -> bool:
        return any(point.state == "running" for point in self.points)


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


def asks(question: Question) -> list[Ask]:
    """Return all that the tiles and the chart ask."""
    period = question.query.period
    tiles = [totals_query(question, of) for of in (period, same_span(question)) if of]
    lines = [_chart_query(question, of) for of in (period, question.comparison) if of]
    return [Ask("summary", query) for query in tiles] + [Ask("timeseries", q) for q in lines]


def totals(question: Question, period: Period | None = None) -> dict[str, Number]:
    """Return the metrics of the tiles over the query's period, or over another."""
    return question.answers.summary(totals_query(question, period or question.query.period))


def totals_query(question: Question, period: Period) -> Query:
    """Return the question for the tiles."""
    names = tuple(metric.name for metric in allowed_metrics(TILES, question.columns))
    return question.query.replace(
        metrics=names, period=period, order=None, bucket=None, limit=None, offset=0
    )


def same_span(question: Question) -> Period | None:
    """Return the period to compare totals with; of a running one, as much as has passed."""
    shown, earlier = question.query.period, question.comparison
    if earlier is None or not shown.start <= question.today <= shown.end:
        return earlier
    day = earlier.start + (question.today - shown.start)
    if day > earlier.end:
        return earlier
    # To the minute: whoever asks within it asks the same, and shares the answer.
    minute = question.now.time().replace(second=0, microsecond=0)
    moment = datetime.combine(day, minute, earlier.zone)
    until = moment.astimezone(timezone.utc).replace(tzinfo=None)
    return replace(earlier, end=day, until=until)


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
    now = question.answers.timeseries(_chart_query(question, query.period))
    before: list[dict[str, Any]] = []
    if question.comparison:
        before = question.answers.timeseries(_chart_query(question, question.comparison))
    states = _states([point["start"] for point in now], question)
    points = [
        _point(metric, point, earlier or {}, state)
        for point, earlier, state in zip_longest(now, before[: len(now)], states)
    ]
    intervals = [(name, links.set(interval=name)) for name in _intervals(query.period, interval)]
    return Chart(metric, interval, intervals, points, any(point.before for point in points))


def _chart_query(question: Question, period: Period) -> Query:
    query = question.query
    return query.replace(
        metrics=(chosen_metric(question).name,),
        period=period,
        bucket=query.bucket or query.period.interval,
        order=None,
        limit=None,
        offset=0,
    )


def _point(
    metric: Metric,
    point: dict[str, Any],
    earlier: dict[str, Any],
    state: Literal["over", "running", "future"],
) -> Point:
    value = point[metric.name]
    if state == "future" and not value:  # unless a clock was ahead, nothing can be there
        value = None
    return Point(point["start"], value, earlier.get(metric.name), state)


def _states(starts: list[str], question: Question) -> list[Literal["over", "running", "future"]]:
    today, now = question.today, question.now
    begun = [
        datetime.fromisoformat(start) <= now if "T" in start else date.fromisoformat(start) <= today
        for start in starts
    ]
    last = sum(begun) - 1
    is_running = question.query.period.start <= today <= question.query.period.end
    return [
        "future" if not has_begun else "running" if is_running and number == last else "over"
        for number, has_begun in enumerate(begun)
    ]


def _intervals(period: Period, chosen: str) -> list[str]:
    other_week = "week" if chosen == "week-sunday" else "week-sunday"
    fitting = [
        name
        for name, seconds in BUCKETS.items()
        if 1 < period.days * 86_400 / seconds <= _MOST_POINTS and name != other_week
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
