"""Which rows of the host's table a query is about, and what it groups them by, as SQL."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from ..errors import QueryError
from ..fields import BY_NAME as FIELDS
from .constructs import STARTS, exact, matches, shifted
from .filters import (
    VISIT_DIMENSIONS,
    Absent,
    Between,
    Filter,
    Like,
    Term,
    find_dimension,
    read_filter,
)
from .metrics import READ, Columns, Expression, page_view

if TYPE_CHECKING:
    from ..model import Model
    from .period import Segment
    from .query import Query

# SQLite compares texts: without a fraction, the boundary also suits rows stored without one.
_WHOLE_SECONDS = sqlite.DATETIME(truncate_microseconds=True)  # type: ignore[no-untyped-call]
_BOUNDARY = sa.DateTime().with_variant(_WHOLE_SECONDS, "sqlite")


class Rows(NamedTuple):
    """The rows of a selection: a subquery, and its columns."""

    keys: Sequence[Expression]
    columns: Columns
    source: sa.FromClause


class Selection:
    """The rows of one query, grouped.

    :param bucket: groups by time, before the query's dimensions.
    :param shown: only these values of the (one) dimension; None is the group without a value.
    """

    def __init__(
        self,
        model: Model,
        query: Query,
        bucket: str | None = None,
        shown: Sequence[Any] | None = None,
    ) -> None:
        self.model = model
        self.query = query
        self.bucket = bucket
        self.shown = shown

    @property
    def is_whole(self) -> bool:
        """Whether these are all rows of the period, in one group."""
        return not (self.query.filters or self.keys)

    @property
    def everything(self) -> Selection:
        """All rows of the period, in one group."""
        return Selection(self.model, self.query.replace(filters=(), group_by=()))

    @cached_property
    def keys(self) -> tuple[Expression, ...]:
        times = self._times(self.bucket) if self.bucket else ()
        return (*times, *(self._dimension(name) for name in self.query.group_by))

    def rows(self) -> Rows:
        """Return the rows with all that metrics read; what is not read costs nothing."""
        keys = [key.label(f"key_{number}") for number, key in enumerate(self.keys)]
        read = {name: self.model.columns[name] for name in READ if self.model.has(name)}
        named = [column.label(name) for name, column in read.items()]
        of = sa.select(*keys, *named).select_from(self.source).where(*self.conditions).subquery()
        columns: dict[str, Expression] = {name: of.c[name] for name in read}
        columns["person"] = self._person(columns)
        return Rows([of.c[key.name] for key in keys], columns, of)

    @cached_property
    def source(self) -> sa.FromClause:
        """The table, joined with the first and last pages of visits where they are asked for."""
        source: sa.FromClause = self.model.table
        for pages in self._visit_pages.values():
            source = source.outerjoin(pages, exact(self._visit) == pages.c.visit)
        return source

    @property
    def conditions(self) -> list[Expression]:
        date = self.model.columns["date"]
        conditions: list[Expression] = [
            date >= sa.literal(self.query.period.begins, _BOUNDARY),
            date < sa.literal(self.query.period.ends, _BOUNDARY),
            *self._bots(),
            *(part for condition in self.query.filters for part in self._filter(condition)),
        ]
        if self.shown is not None:
            values = [value for value in self.shown if value is not None]
            key = self.keys[-1]
            conditions.append(sa.or_(key.in_(values), key.is_(None)) if None in self.shown
                              else key.in_(values))  # fmt: skip
        return conditions

    def _person(self, columns: Columns) -> Expression:
        if "bot" in columns and self.query.include_bots is None:
            return columns["bot"].is_(None)
        return sa.true()

    def _bots(self) -> list[Expression]:
        bots, column = self.query.include_bots, self.model.columns.get("bot")
        if bots == "only" and column is None:
            raise QueryError("bots", "the model has no column bot, so bots are not known")
        if column is None or bots in {None, "1"}:
            return []
        return [column.is_(None) if bots == "0" else column.is_not(None)]

    # -- dimensions --------------------------------------------------------------------------

    def _stored(self, name: str) -> Expression:
        """Return the column of a dimension, texts as the database compares them."""
        if name in self._visit_pages:
            return self._visit_pages[name].c.path
        column = self.model.columns[name]
        if FIELDS[name].kind != "text":
            return column
        # Enumerations, JSON and types of the host's own are compared as texts.
        plain = isinstance(column.type, sa.String) and not isinstance(column.type, sa.Enum)
        return column if plain else sa.cast(column, sa.Text)

    def _dimension(self, name: str) -> Expression:
        """Return the values of a dimension as they group: texts exactly, empty ones as NULL."""
        field = find_dimension("dimension", name, self.model.columns)
        stored = self._stored(name)
        if field.kind != "text":
            return stored
        return sa.func.nullif(exact(stored), "", type_=sa.String())

    @property
    def _visit(self) -> Expression:
        return self.model.columns["visit"]

    @cached_property
    def _visit_pages(self) -> dict[str, sa.Subquery]:
        asked = [name for name in VISIT_DIMENSIONS if name in self.query.dimensions]
        for name in asked:
            find_dimension(name, name, self.model.columns)
        return {name: self._first_pages(last=name == "exit_path") for name in asked}

    def _first_pages(self, last: bool) -> sa.Subquery:
        """Return one row a visit: the path of its first, or last, page view in the period."""
        everything = self.everything
        columns = everything.model.columns
        order: list[Expression] = [columns["date"], self.model.primary_key]
        visit = exact(self._visit).label("visit")
        place = sa.func.row_number().over(
            partition_by=visit, order_by=[column.desc() if last else column for column in order]
        )
        viewed = page_view({**columns, "person": self._person(columns)})
        ranked = (
            sa.select(visit, columns["path"].label("path"), place.label("place"))
            .where(*everything.conditions, viewed, self._visit.is_not(None))
            .subquery()
        )
        return sa.select(ranked.c.visit, ranked.c.path).where(ranked.c.place == 1).subquery()

    # -- filters -----------------------------------------------------------------------------

    def _filter(self, condition: Filter) -> list[Expression]:
        terms = read_filter(condition, self.model.columns)
        value, stored = self._dimension(condition.dimension), self._stored(condition.dimension)
        conditions: list[Expression] = []
        if terms.accepted:
            conditions.append(sa.or_(*(_holds(value, stored, term) for term in terms.accepted)))
        for term in terms.excluded:
            excluded = sa.not_(_holds(value, stored, term))
            if not isinstance(term, Absent):  # what has no value is not excluded by a value
                excluded = sa.or_(value.is_(None), excluded)
            conditions.append(excluded)
        return conditions

    # -- time --------------------------------------------------------------------------------

    def _times(self, length: str) -> tuple[Expression, ...]:
        date, segments = self.model.columns["date"], self.query.period.segments()
        offset = _by_segment(date, segments, [segment.offset for segment in segments])
        is_utc = not any(segment.offset for segment in segments)
        start = STARTS[length](date if is_utc else shifted(date, offset))
        if length != "hour":
            return (start,)
        # The two hours of an autumn change have one label; they lie in two segments.
        return (start, _by_segment(date, segments, list(range(len(segments)))))


def _by_segment(date: Expression, segments: Sequence[Segment], values: Sequence[int]) -> Expression:
    """Return for each row the value of the segment that it lies in; newest first: most rows."""
    later = list(zip(segments[1:], values[1:], strict=True))[::-1]
    first = sa.literal(values[0], sa.Integer())
    if not later:
        return first
    return sa.case(
        *(
            (date >= sa.literal(segment.begins, _BOUNDARY), sa.literal(value, sa.Integer()))
            for segment, value in later
        ),
        else_=first,
    )


def _holds(value: Expression, stored: Expression, term: Term) -> Expression:
    if isinstance(term, Absent):
        return value.is_(None)
    if isinstance(term, Like):
        return matches(value, term.pattern)
    if isinstance(term, Between):
        return _between(value, term)
    if isinstance(term.value, bool):
        return value == sa.literal(term.value, sa.Boolean())
    exactly = value == term.value
    # The column as it is, too, for an index of the host's; what is exactly equal is equal.
    # MariaDB refuses to compare a column of another character set with what it cannot hold.
    return sa.and_(stored == term.value, exactly) if term.value.isascii() else exactly


def _between(column: Expression, term: Between) -> Expression:
    parts: list[Expression] = []
    if term.low is not None:
        low = _number(term.low)
        parts.append(column >= low if term.low_included else column > low)
    if term.high is not None:
        high = _number(term.high)
        parts.append(column <= high if term.high_included else column < high)
    return sa.and_(*parts)


def _number(value: int | float) -> sa.BindParameter[Any]:
    # The column's own type may be too small for the number.
    return sa.literal(value, sa.BigInteger() if isinstance(value, int) else sa.Double())
