"""Figures that were added up before for each value of a dimension, and are added up further.

What they do not cover is counted from requests. No visitor is in both, nor in two of the spans
that they are of, so that distinct visitors may be added, too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Protocol

import sqlalchemy as sa

from .conditions import boundary, of_people
from .constructs import ratio
from .filters import Filter
from .metrics import BY_NAME, Columns, Expression, Metric, available
from .selection import Selection

if TYPE_CHECKING:
    from .query import Query
    from .source import Source

_sum, _count = sa.func.sum, sa.func.count
_MICROSECONDS: Expression = sa.literal_column("1e6", sa.Double())
_IN_MICROSECONDS = ("response_time_sum", "response_time_max", "db_time_sum")
#: What is added up, how it is computed from requests.
_PARTS: dict[str, Callable[[Columns], Expression]] = {
    **{n: BY_NAME[n].expression for n in ("hits", "visitors", "page_views", "errors")},
    "response_time_max": BY_NAME["response_time_max"].expression,
    "last": lambda columns: sa.func.max(columns["date"]),
}
for _name in ("response_time", "size", "db_queries", "db_time"):
    _PARTS[f"{_name}_sum"] = lambda columns, name=_name: _sum(columns[name])  # type: ignore[misc]
    _PARTS[f"{_name}_count"] = lambda columns, name=_name: _count(columns[name])  # type: ignore[misc]


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
    """

    table: sa.FromClause
    dimensions: Collection[str]
    spans: Sequence[tuple[datetime, datetime]]
    loose: Source | None

    def suits(self, source: Source, ask: Ask) -> bool:
        """Whether a question is about nothing but these figures."""
        query = ask.query
        names = query.group_by or ("",)
        return (
            ask.kind in {"summary", "timeseries", "breakdown"}
            and len(names) == 1
            and names[0] in self.dimensions
            and query.include_bots != "1"
            and set(query.filters) <= {Filter(names[0], ("!",))}
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
        """Whether each span lies within one bucket: within one day of the reader's."""
        if (query.bucket or query.period.interval) == "hour":
            return False
        zone = query.period.zone
        return all(
            first.replace(tzinfo=timezone.utc).astimezone(zone).date()
            == last.replace(tzinfo=timezone.utc).astimezone(zone).date()
            for first, last in self.spans
        )

    def aggregate(
        self, selection: Selection, metrics: Sequence[Metric], *, last: bool
    ) -> sa.Select[Any]:
        """Return the statement that :func:`.aggregates.aggregate` would, but adding up."""
        parts = dict.fromkeys(name for metric in metrics for name in _METRICS[metric.name][0])
        if last:
            parts["last"] = None
        pieces = [self._known(selection, list(parts))]
        if self.loose is not None:
            pieces.append(_counted(self.loose, selection, list(parts)))
        every = sa.union_all(*pieces).subquery()
        keys = [column for column in every.c if column.name.startswith("key_")]
        figures = [_METRICS[metric.name][1](dict(every.c)).label(metric.name) for metric in metrics]
        if last:
            figures.append(sa.func.max(every.c.last).label("last"))
        statement = sa.select(*keys, *figures).select_from(every)
        return statement.group_by(*keys) if keys else statement

    def _known(self, selection: Selection, parts: Sequence[str]) -> sa.Select[Any]:
        query, columns = selection.query, self.table.c
        keys = list(selection.times(columns["first"]))
        conditions = [
            columns["dimension"] == (query.group_by[0] if query.group_by else ""),
            columns["first"] >= boundary(query.period.begins),
            columns["last"] < boundary(query.period.ends),
        ]
        if query.include_bots is not None:
            conditions += of_people(columns["person"], query)
        if query.group_by:
            keys.append(columns["number" if query.group_by[0] == "status_code" else "text"])
            conditions += [keys[-1].is_not(None)] if query.filters else []
        figures = [self._part(name, query) for name in parts]
        return sa.select(*_numbered(keys), *figures).where(*conditions)

    def _part(self, name: str, query: Query) -> Expression:
        part: Expression = self.table.c["last_seen" if name == "last" else name]
        if name in _IN_MICROSECONDS:
            part = part / _MICROSECONDS
        if name in _OF_PEOPLE and query.include_bots is None:
            part = sa.case((self.table.c["person"], part), else_=sa.literal_column("0"))
        return part.label(name)


def _counted(loose: Source, selection: Selection, parts: Sequence[str]) -> sa.Select[Any]:
    keys, columns, rows = Selection(loose, selection.query, bucket=selection.bucket).rows()
    figures = (_PARTS[name](columns).label(name) for name in parts)
    statement = sa.select(*_numbered(keys), *figures).select_from(rows)
    return statement.group_by(*keys) if keys else statement


def _numbered(keys: Sequence[Expression]) -> list[Expression]:
    return [key.label(f"key_{number}") for number, key in enumerate(keys)]
