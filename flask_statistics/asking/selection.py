"""Which requests and events a query is about, and what it groups them by, as SQL."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from ..fields import BY_NAME as FIELDS
from .conditions import boundary, filtered, in_period, of_bots, person
from .constructs import STARTS, shifted
from .dimensions import Dimensions
from .events import EventDimensions, EventRows, is_of_events
from .filters import Filter, find_dimension, read_filter
from .metrics import READ, Columns, Expression

if TYPE_CHECKING:
    from .period import Segment
    from .query import Query
    from .source import Source

#: The values of a group, one for each key.
Key = tuple[Any, ...]
_OF_EVENTS = ("id", "date", "visit", "revenue")


class Rows(NamedTuple):
    """The rows of a selection: a subquery, and its columns."""

    keys: Sequence[Expression]
    columns: Columns
    source: sa.FromClause


class Selection:
    """The rows of one query, grouped.

    :param bucket: groups by time, before the query's dimensions.
    :param shown: only these groups of the query's dimensions; None in them is no value.
    """

    def __init__(
        self,
        source: Source,
        query: Query,
        bucket: str | None = None,
        shown: Sequence[Key] | None = None,
    ) -> None:
        self.tables = source
        self.model = source.model
        self.query = query
        self.bucket = bucket
        self.shown = shown
        for name in query.group_by:
            find_dimension("dimension", name, self.model.columns)

    @property
    def is_whole(self) -> bool:
        """Whether these are all rows of the period, in one group."""
        return not (self.query.filters or self.query.group_by or self.bucket)

    # -- requests ----------------------------------------------------------------------------

    @cached_property
    def _dimensions(self) -> Dimensions:
        columns = self.model.columns
        return Dimensions(self.tables, self.query, columns, columns.get("visit"))

    @cached_property
    def _of_events(self) -> EventDimensions:
        return EventDimensions(self.tables, self.query)

    @cached_property
    def keys(self) -> tuple[Expression, ...]:
        of = (self._key(name) for name in self.query.group_by)
        return (*self.times(self.model.columns["date"]), *of)

    def _key(self, name: str) -> Expression:
        return self._of_events.key(name) if is_of_events(name) else self._dimensions.value(name)

    def rows(self) -> Rows:
        """Return the requests with all that metrics read; what is not read costs nothing.

        A request is there once for each of its values of ``event`` and properties, where the
        query groups by them.
        """
        read = {name: self.model.columns[name] for name in READ if self.model.has(name)}
        of = self._subquery(self.keys, read, self.source, self.conditions)
        columns: dict[str, Expression] = {name: of.c[name] for name in read}
        columns["person"] = person(columns, self.query)
        return Rows(_keys_of(of, self.keys), columns, of)

    @cached_property
    def source(self) -> sa.FromClause:
        """The table, joined with the visits and events that its dimensions come from."""
        return self._of_events.join(self._dimensions.join(self.model.table))

    @property
    def conditions(self) -> list[Expression]:
        columns = self.model.columns
        return [
            *in_period(columns["date"], self.query.period),
            *of_bots(columns, self.query),
            *(part for condition in self.query.filters for part in self._filter(condition)),
            *self._shown(self.keys),
        ]

    def _filter(self, condition: Filter) -> list[Expression]:
        name = condition.dimension
        if is_of_events(name):
            return self._of_events.filter(condition)
        terms = read_filter(condition, self.model.columns)
        return filtered(terms, self._dimensions.value(name), self._dimensions.stored(name))

    # -- events ------------------------------------------------------------------------------

    @property
    def lists_events(self) -> bool:
        """Whether events make groups, too, also those that were tracked outside of requests."""
        names = self.query.dimensions
        of_events = bool(self.query.group_by) and all(map(is_of_events, self.query.group_by))
        return of_events and self.tables.events is not None and not any(n in FIELDS for n in names)

    def event_rows(self) -> Rows:
        """Return the events with all that metrics read; none where there is no table of them."""
        columns: Columns
        if self.tables.events is None:
            nothing: Expression = sa.cast(sa.null(), sa.Double())
            columns = {"id": self.model.primary_key, "date": self.model.columns["date"],
                       "revenue": nothing}  # fmt: skip
            keys, source, is_joined = self.keys, self.source, False
            conditions: list[Expression] = [sa.false()]
        else:
            events = EventRows(self.tables, self.tables.events, self.query)
            columns = {name: self.tables.events.c[name] for name in _OF_EVENTS}
            times = self.times(columns["date"])
            keys = (*times, *(events.key(name) for name in self.query.group_by))
            source, conditions = events.source, [*events.conditions, *self._shown(keys)]
            is_joined = events.is_joined
        of = self._subquery(keys, columns, source, conditions, distinct=is_joined)
        return Rows(_keys_of(of, keys), {name: of.c[name] for name in columns}, of)

    # -- either ------------------------------------------------------------------------------

    def _subquery(
        self,
        keys: Sequence[Expression],
        read: Columns,
        source: sa.FromClause,
        conditions: Sequence[Expression],
        distinct: bool = False,
    ) -> sa.Subquery:
        named = [key.label(f"key_{number}") for number, key in enumerate(keys)]
        named += [column.label(name) for name, column in read.items()]
        statement = sa.select(*named).select_from(source).where(*conditions)
        return (statement.distinct() if distinct else statement).subquery()

    def _shown(self, keys: Sequence[Expression]) -> list[Expression]:
        """Return the conditions of the groups that are shown."""
        if self.shown is None:
            return []
        count = len(self.query.group_by)
        keys = keys[len(keys) - count :]
        if count == 1:
            return [_among(keys[0], [value for (value,) in self.shown])]
        columns = zip(*self.shown, strict=True)
        among = [_among(key, values) for key, values in zip(keys, columns, strict=True)]
        return [*among, sa.or_(*_combinations(keys, self.shown))]

    # -- time --------------------------------------------------------------------------------

    def times(self, date: Expression) -> tuple[Expression, ...]:
        """Return the keys of the bucket that a moment lies in; none without buckets."""
        if self.bucket is None:
            return ()
        segments = self.query.period.segments()
        offset = _by_segment(date, segments, [segment.offset for segment in segments])
        is_utc = not any(segment.offset for segment in segments)
        start = STARTS[self.bucket](date if is_utc else shifted(date, offset))
        if self.bucket != "hour":
            return (start,)
        # The two hours of an autumn change have one label; they lie in two segments.
        return (start, _by_segment(date, segments, list(range(len(segments)))))


def _keys_of(rows: sa.Subquery, keys: Sequence[Expression]) -> list[Expression]:
    return [rows.c[f"key_{number}"] for number in range(len(keys))]


def _among(key: Expression, values: Sequence[Any]) -> Expression:
    among = key.in_(list(dict.fromkeys(value for value in values if value is not None)))
    return sa.or_(among, key.is_(None)) if None in values else among


def _combinations(keys: Sequence[Expression], shown: Sequence[Key]) -> list[Expression]:
    """Return one condition for each pattern of keys that have no value."""
    found: dict[tuple[bool, ...], list[Key]] = {}
    for values in shown:
        lacking = tuple(value is None for value in values)
        found.setdefault(lacking, []).append(tuple(v for v in values if v is not None))
    return [_combination(keys, lacking, values) for lacking, values in found.items()]


def _combination(
    keys: Sequence[Expression], lacking: tuple[bool, ...], values: list[Key]
) -> Expression:
    absent = [key.is_(None) for key, lacks in zip(keys, lacking, strict=True) if lacks]
    present = [key for key, lacks in zip(keys, lacking, strict=True) if not lacks]
    if len(present) > 1:
        return sa.and_(*absent, sa.tuple_(*present).in_(values))
    return sa.and_(*absent, *(key.in_([value for (value,) in values]) for key in present))


def _by_segment(date: Expression, segments: Sequence[Segment], values: Sequence[int]) -> Expression:
    """Return for each row the value of the segment that it lies in; newest first: most rows."""
    later = list(zip(segments[1:], values[1:], strict=True))[::-1]
    first = sa.literal(values[0], sa.Integer())
    if not later:
        return first
    return sa.case(
        *(
            (date >= boundary(segment.begins), sa.literal(value, sa.Integer()))
            for segment, value in later
        ),
        else_=first,
    )
