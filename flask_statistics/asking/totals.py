"""Figures that were added up before for each value of a dimension, and are added up further.

What they do not cover is counted from requests. No visitor is in both, nor in two of the spans
that they are of, so that distinct visitors may be added, too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timezone
from typing import TYPE_CHECKING, Any, Protocol
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from .conditions import boundary, of_people
from .constructs import ratio
from .filters import Filter
from .metrics import BY_NAME, Columns, Expression, Metric, available
from .selection import Selection
from .steps import step_of

if TYPE_CHECKING:
    from .query import Query
    from .source import Source, Span

#: Dimensions of so few values that the figures of each may be kept.
DIMENSIONS = (
    *("route", "source", "browser", "platform", "device", "country", "language"),
    *("status_code", "exception", "method", "mimetype", "bot", "version"),
    *("utm_source", "utm_campaign"),
)
#: Before the name of a dimension: its requests by the step of their response time.
STEPS = "response_time by "
#: The dimensions whose requests are counted by step; the empty one is all together.
STEPPED = ("", "route")
#: The name under which the hours of a day stand: each hour in ``last_seen``, the visitors that
#: were first there in it in ``visitors``, those that were last there in it in ``number``.
HOURS = "hour"
_HOUR = 3600
_sum, _count = sa.func.sum, sa.func.count
#: The parts that are times.
OF_TIME = ("response_time_sum", "response_time_max", "db_time_sum")
#: What is added up, how it is computed from requests.
PARTS: dict[str, Callable[[Columns], Expression]] = {
    **{n: BY_NAME[n].expression for n in ("hits", "visitors", "page_views", "errors")},
    "response_time_max": BY_NAME["response_time_max"].expression,
    "last": lambda columns: sa.func.max(columns["date"]),
}
for _name in ("response_time", "size", "db_queries", "db_time"):
    PARTS[f"{_name}_sum"] = lambda columns, name=_name: _sum(columns[name])  # type: ignore[misc]
    PARTS[f"{_name}_count"] = lambda columns, name=_name: _count(columns[name])  # type: ignore[misc]


def _mean(name: str) -> tuple[tuple[str, ...], Callable[[Columns], Expression]]:
    parts = f"{name}_sum", f"{name}_count"
    return parts, lambda columns: ratio(_sum(columns[parts[0]]), _sum(columns[parts[1]]))


def _added(name: str) -> tuple[tuple[str, ...], Callable[[Columns], Expression]]:
    return (name,), lambda columns: _sum(columns[name])


#: The parts of each metric, and how it is made of them.
_METRICS: dict[str, tuple[tuple[str, ...], Callable[[Columns], Expression]]] = {
    **{name: _added(name) for name in ("hits", "visitors", "page_views", "errors")},
    **{name: _mean(name) for name in ("response_time", "db_queries", "db_time")},
    "size": _added("size_sum"),
    "error_rate": (("errors", "hits"), lambda c: ratio(_sum(c["errors"]), _sum(c["hits"]))),
    "response_time_max": (("response_time_max",), lambda c: sa.func.max(c["response_time_max"])),
}
#: Only what people did counts in these, unless bots are asked for.
_OF_PEOPLE = ("visitors", "page_views")


class Ask(Protocol):
    """A question, as far as it matters here; see :class:`.answers.Ask`."""

    @property
    def kind(self) -> str: ...

    @property
    def query(self) -> Query: ...


@dataclass(frozen=True)
class Totals:
    """The figures of some spans of time, and the requests of all others.

    :ivar table: a row for each span, dimension, value and whether it is of people; ``first`` and
        ``last`` are the span's, but the value's last request in ``last_seen``.
    :ivar dimensions: those that have figures; the empty name is all requests together.
    :ivar spans: the dates of the first and last request of each. None reaches over the begin or
        end of a period that is asked for.
    :ivar loose: what holds the requests of all other spans; None where there are none.
    :ivar gaps: the periods that may be asked for, and the spans of time in each that no figure is
        of; None where any period may, and ``loose`` holds nothing else.
    :ivar second: how many of the table's units of time are a second.
    """

    table: sa.FromClause
    dimensions: Collection[str]
    spans: Sequence[tuple[datetime, datetime]]
    loose: Source | None
    gaps: Mapping[Span, Sequence[Span]] | None = None
    second: float = 1e6

    def suits(self, source: Source, ask: Ask) -> bool:
        """Whether a question is about nothing but these figures."""
        query = ask.query
        names = query.group_by or ("",)
        return (
            ask.kind in {"summary", "timeseries", "breakdown"}
            and len(names) == 1
            and names[0] in self.dimensions
            and (self.gaps is None or (query.period.begins, query.period.ends) in self.gaps)
            and query.include_bots != "1"
            and (query.include_bots is None or source.model.has("bot"))
            and is_unfiltered(query)
            and self._has_metrics(source, query)
            and (ask.kind != "timeseries" or self._has_buckets(query))
        )

    def _has_metrics(self, source: Source, query: Query) -> bool:
        known = [metric.name for metric in available(source.model.columns)]
        order = (query.order or "hits").removeprefix("-")
        asked = [*(query.metrics or known), *([order] if query.group_by else [])]
        return all(
            name in _METRICS or name not in BY_NAME or BY_NAME[name].source != "requests"
            for name in asked
        )

    def _has_buckets(self, query: Query) -> bool:
        """Whether it is known in which bucket everything lies, buckets being no shorter than days.

        Each span must lie in one day of the reader's; where hours are known, in two.
        """
        period = query.period
        if (query.bucket or period.interval) == "hour":
            return False
        days = 1 if self._has_hours(query) else 0
        return all(
            (_day_of(last, period.zone) - _day_of(first, period.zone)).days <= days
            for first, last in self.spans
        )

    def _has_hours(self, query: Query) -> bool:
        """Whether hours are known, and each lies in one of the reader's days."""
        segments = query.period.segments()
        return HOURS in self.dimensions and not any(of.offset % _HOUR for of in segments)

    def aggregate(
        self, selection: Selection, metrics: Sequence[Metric], *, last: bool
    ) -> sa.Select[Any]:
        """Return the statement that :func:`.aggregates.aggregate` would, but adding up."""
        parts = dict.fromkeys(name for metric in metrics for name in _METRICS[metric.name][0])
        if last:
            parts["last"] = None
        pieces = [self._known(selection, list(parts))]
        pieces += [_counted(of, list(parts)) for of in self._uncounted(selection)]
        every = sa.union_all(*pieces).subquery()
        keys = [column for column in every.c if column.name.startswith("key_")]
        figures = [_METRICS[metric.name][1](dict(every.c)).label(metric.name) for metric in metrics]
        if last:
            figures.append(sa.func.max(every.c.last).label("last"))
        statement = sa.select(*keys, *figures).select_from(every)
        return statement.group_by(*keys) if keys else statement

    def _uncounted(self, selection: Selection) -> Iterator[Selection]:
        """Yield the requests of a selection that no figure is of."""
        if self.loose is None:
            return
        query, period = selection.query, selection.query.period
        if self.gaps is None:
            yield Selection(self.loose, query, bucket=selection.bucket)
            return
        for begins, ends in self.gaps[period.begins, period.ends]:
            within = replace(period, since=begins, until=ends)
            yield Selection(self.loose, query.replace(period=within), bucket=selection.bucket)

    def steps(self, selection: Selection) -> sa.Select[Any] | None:
        """Return the statement that counts the requests of each group by the step of their
        response time (see :mod:`.steps`): keys, step, requests. None where that is not known."""
        query = selection.query
        name = STEPS + _dimension(query)
        if name not in self.dimensions or selection.bucket:
            return None
        columns = self.table.c
        key = [columns["text"]] if query.group_by else []
        among = self._conditions(query, name, key)
        pieces = [sa.select(*_numbered([*key, columns["number"]]), columns["hits"]).where(*among)]
        for of in self._uncounted(selection):
            keys, values, rows = of.rows()
            value = values["response_time"]
            by = _numbered([*keys, step_of(value, columnar=of.tables.columnar)])
            each = sa.select(*by).select_from(rows).where(value.is_not(None)).subquery()
            pieces.append(sa.select(*each.c, _count().label("hits")).group_by(*each.c))
        every = sa.union_all(*pieces).subquery()
        keys = [column for column in every.c if column.name.startswith("key_")]
        return sa.select(*keys, _sum(every.c.hits)).group_by(*keys)

    def _known(self, selection: Selection, parts: Sequence[str]) -> sa.Select[Any]:
        query, columns = selection.query, self.table.c
        if selection.bucket and self._has_hours(query):
            return self._known_hours(selection, parts)
        number = query.group_by and query.group_by[0] == "status_code"
        key = [columns["number" if number else "text"]] if query.group_by else []
        keys = [*selection.times(columns["first"]), *key]
        figures = [self._part(name, query) for name in parts]
        among = self._conditions(query, _dimension(query), key)
        return sa.select(*_numbered(keys), *figures).where(*among)

    def _known_hours(self, selection: Selection, parts: Sequence[str]) -> sa.Select[Any]:
        """Return the figures of hours, by the bucket that each lies in.

        A span lies in one bucket or begins in one and ends in the next. Whoever was there in the
        first piece was first there in it, whoever was there in the second was last there in it.
        """
        query, columns = selection.query, self.table.c
        (key,), (begun,) = selection.times(columns["last_seen"]), selection.times(columns["first"])
        there = sa.case((key == begun, columns["visitors"]), else_=columns["number"])
        figures = [self._part(name, query, there) for name in parts]
        among = self._conditions(query, HOURS, [])
        return sa.select(*_numbered([key]), *figures).where(*among)

    def _conditions(
        self, query: Query, dimension: str, key: Sequence[Expression]
    ) -> list[Expression]:
        """Return the conditions of the rows that a query adds up."""
        columns = self.table.c
        return [
            columns["dimension"] == dimension,
            columns["first"] >= boundary(query.period.begins),
            columns["last"] < boundary(query.period.ends),
            *([] if query.include_bots is None else of_people(columns["person"], query)),
            *(column.is_not(None) for column in key if query.filters),
        ]

    def _part(self, name: str, query: Query, there: Expression | None = None) -> Expression:
        """Return a part of a row; ``there`` are its visitors, where they are no column."""
        part: Expression = self.table.c["last_seen" if name == "last" else name]
        if name == "visitors" and there is not None:
            part = there
        if name in OF_TIME and self.second != 1:
            part = part / sa.literal_column(f"{self.second:e}", sa.Double())
        if name in _OF_PEOPLE and query.include_bots is None:
            part = sa.case((self.table.c["person"], part), else_=sa.literal_column("0"))
        return part.label(name)


def _day_of(moment: datetime, zone: ZoneInfo) -> date:
    return moment.replace(tzinfo=timezone.utc).astimezone(zone).date()


def names_of(ask: Ask) -> set[str]:
    """Return under which dimensions the figures would stand that a question asks for."""
    query = ask.query
    name = ",".join(query.group_by)
    found = {name, HOURS} if ask.kind == "timeseries" else {name}
    asked = [BY_NAME[metric] for metric in query.metrics if metric in BY_NAME]
    if not asked or any(metric.source == "ranks" for metric in asked):
        found.add(STEPS + name)
    return found


def _dimension(query: Query) -> str:
    return query.group_by[0] if query.group_by else ""


def is_unfiltered(query: Query) -> bool:
    """Whether all requests of the period count, but for those without a value of a group."""
    return set(query.filters) <= {Filter(name, ("!",)) for name in query.group_by[:1]}


def _counted(selection: Selection, parts: Sequence[str]) -> sa.Select[Any]:
    keys, columns, rows = selection.rows()
    figures = (PARTS[name](columns).label(name) for name in parts)
    statement = sa.select(*_numbered(keys), *figures).select_from(rows)
    return statement.group_by(*keys) if keys else statement


def _numbered(keys: Sequence[Expression]) -> list[Expression]:
    return [key.label(f"key_{number}") for number, key in enumerate(keys)]
