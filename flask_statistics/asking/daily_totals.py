"""Which days of the host's table need not be read, since their figures were added up before.

The keeper adds up each UTC day once it is over, into ``statistics_total``. A day's figures are
taken only while they are right: the day has the number that it had before it was read (see
:mod:`flask_statistics.changes`), it has as many requests as then, and no visitor of what is added
is counted twice. Whatever is not so is counted from the requests.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Collection, Iterable, Sequence, Set
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from .. import changes
from ..fields import BY_NAME as FIELDS
from .conditions import boundary
from .constructs import exact
from .metrics import PAGE_VIEW
from .source import Source, Span, exists, table_source
from .totals import DIMENSIONS, HOURS, PARTS, STEPPED, STEPS, Totals

if TYPE_CHECKING:
    from ..model import Model
    from ..tables import Tables

#: The dimension that is all requests together.
ALL = ""
DAY = timedelta(days=1)
#: Rises where what is added up comes to mean something else.
_LAYOUT = 1
#: More spans between days that are known would make a long statement.
_MOST_GAPS = 20
_SHORT = 24
_INTEGERS = ("size", "db_queries")
_TIMES = ("response_time", "db_time")
_NEEDS = {"visitors": ("visitor",), "page_views": PAGE_VIEW, "errors": ("status_code",)}


def can_be_added_up(model: Model) -> bool:
    """Whether figures of a model's days add up to what its requests would give.

    Visitors are looked up by an index that begins with them; sums of the host's own types may
    be other than ours.
    """
    who = model.columns.get("visitor")
    if who is None or not any(index.expressions[0] is who for index in model.table.indexes):
        return False
    numbers = [model.columns[name].type for name in _INTEGERS if model.has(name)]
    times = [model.columns[name].type for name in _TIMES if model.has(name)]
    return all(isinstance(type_, sa.Integer) for type_ in numbers) and all(map(_is_double, times))


def _is_double(type_: Any) -> bool:
    """Whether sums of a type do not depend on the order; those of short floats do."""
    return (
        isinstance(type_, sa.Float)
        and not isinstance(type_, sa.REAL)
        and (type_.precision is None or type_.precision > _SHORT)
    )


def dimensions_of(model: Model) -> list[str]:
    """Return the dimensions whose values are added up, among those that a model has."""
    return [
        name
        for name in DIMENSIONS
        if model.has(name)
        and (FIELDS[name].kind == "text" or isinstance(model.columns[name].type, sa.Integer))
    ]


def stepped_of(model: Model) -> list[str]:
    """Return the dimensions whose requests are counted by the steps of their response times."""
    if not model.has("response_time"):
        return []
    return [name for name in STEPPED if not name or model.has(name)]


def parts_of(model: Model) -> list[str]:
    """Return the names of what is added up, as far as a model has what it is computed from."""
    return [name for name in PARTS if model.has(*_NEEDS.get(name, _needed(name)))]


def _needed(part: str) -> tuple[str, ...]:
    field = part.rpartition("_")[0]
    return (field,) if field in FIELDS else ()


def layout_of(model: Model) -> str:
    """Return what is another where other things are added up: rows of before lack some of them."""
    told = repr((_LAYOUT, dimensions_of(model), parts_of(model), stepped_of(model)))
    return hashlib.blake2s(told.encode(), digest_size=8).hexdigest()


def source_with_totals(engine: sa.Engine, model: Model, tables: Tables) -> Source:
    """Return the host's own table as a source that takes the figures of its days into account."""
    source = table_source(engine, model, tables)
    return replace(source, totals=partial(_totals, engine, source, tables))


def _totals(
    engine: sa.Engine,
    source: Source,
    tables: Tables,
    connection: sa.Connection,
    dimensions: Set[str],
    spans: Collection[Span],
) -> Totals | None:
    """Return the figures that may be taken for these spans; None where there are none.

    :param dimensions: those that are asked for.
    """
    known = dimensions & {ALL, *dimensions_of(source.model)}
    if not spans or not known or not can_be_added_up(source.model):
        return None
    if not all(exists(engine, table, connection) for table in (tables.total, tables.change)):
        return None
    found = _Found(source.model, tables, connection)
    suited = {span: gaps for span in spans if (gaps := found.gaps(span)) is not None}
    if not suited:
        return None
    loose = source if any(suited.values()) else None
    days = [(first, first + DAY - timedelta.resolution) for first in found.days]
    stepped = (STEPS + name for name in stepped_of(source.model)[: found.stepped])
    finer = dimensions & {HOURS, *stepped}
    return Totals(found.figures(), known | finer, days, loose, suited, second=1)


class _Found:
    """The days that are known, as one connection sees them."""

    def __init__(self, model: Model, tables: Tables, connection: sa.Connection) -> None:
        self._model = model
        self._tables = tables
        self._connection = connection
        self._date = model.columns["date"]
        #: The midnights of the days whose figures are taken, with their numbers.
        self.days: dict[datetime, int] = {}
        #: How many of :func:`stepped_of` all of them have.
        self.stepped = sys.maxsize

    def gaps(self, span: Span) -> list[Span] | None:
        """Return what of a span is not known; None where all of it is better counted."""
        rows = self._read(span)
        gaps = _between([row.first for row in rows], span)
        if not rows or len(gaps) > _MOST_GAPS:
            return None
        if gaps and self._count(gaps) > sum(row.hits for row in rows):
            return None
        if any(any_returns(self._connection, self._model, gap, span) for gap in gaps):
            return None
        self.days |= {row.first: row.change for row in rows}
        self.stepped = min([self.stepped, *(row.stepped for row in rows)])
        return gaps

    def _read(self, span: Span) -> list[Any]:
        total = self._tables.total.c
        within = total.first >= boundary(span[0]), total.last < boundary(span[1])
        return days_that_are_right(
            self._connection, self._model, self._tables, total.apart, *within
        )

    def _count(self, spans: Sequence[Span]) -> int:
        counted = sa.select(sa.func.count()).where(_within(self._date, spans))
        return int(self._connection.execute(counted).scalar_one())

    def figures(self) -> sa.FromClause:
        """Return the rows of the days that are known."""
        total = self._tables.total
        # With the number of each: another process may add a day up at this moment.
        of_days: dict[int, list[datetime]] = {}
        for first, change in self.days.items():
            of_days.setdefault(change, []).append(first)
        among = [
            sa.and_(total.c.change == change, _within(total.c.first, _runs(days)))
            for change, days in of_days.items()
        ]
        columns = [
            exact(column).label("text") if column.name == "text" else column for column in total.c
        ]
        return sa.select(*columns).where(sa.or_(*among)).subquery()


def days_that_are_right(
    connection: sa.Connection,
    model: Model,
    tables: Tables,
    *conditions: Any,
    recount: bool = True,
) -> list[Any]:
    """Return the days whose figures are those of their requests, the first one first.

    :param conditions: on the rows of all requests together, which days are asked about.
    :param recount: take only those that have as many requests as then, of which the host may have
        deleted some, or added others, by SQL of its own.
    :returns: of each its ``first`` moment, its number (``change``), its requests (``hits``), and
        of how many of :func:`stepped_of` it has steps (``stepped``).
    """
    total, moment = tables.total.c, model.columns["date"]
    added = (
        sa.select(
            total.first,
            total.last,
            total.change,
            sa.func.sum(total.hits).label("hits"),
            sa.func.min(total.number).label("stepped"),
        )
        .where(total.dimension == ALL, total.text == layout_of(model), *conditions)
        .group_by(total.first, total.last, total.change)
        .subquery()
    )
    asked = sa.select(added).order_by(added.c.first)
    if recount:
        first: Any = added.c.first
        if connection.dialect.name == "sqlite":  # where texts are compared
            first = sa.func.substr(first, 1, 19)
        counted = sa.select(sa.func.count()).where(moment >= first, moment <= added.c.last)
        asked = asked.add_columns(counted.scalar_subquery().label("requests"))
    rows = connection.execute(asked).all()
    if not rows:
        return []
    numbers = changes.day_numbers(connection, tables, rows[0].first.date(), rows[-1].first.date())
    return [
        row
        for row in rows
        if row.change == numbers.get(row.first.date(), 0)
        and (not recount or row.requests == row.hits)
    ]


def any_returns(
    connection: sa.Connection, model: Model, there: Span, elsewhere: Span | None = None
) -> bool:
    """Whether a visitor of one span has requests outside of it, too.

    :param elsewhere: the span that these may lie in; None stands for any time.
    """
    who, other = model.columns["visitor"], model.table.alias()
    again = other.corresponding_column(who)
    when = other.corresponding_column(model.columns["date"])
    met = sa.select(who.label("who")).where(_within(model.columns["date"], [there]))
    names = met.where(who.is_not(None)).distinct().subquery()
    conditions: list[Any] = [again == names.c.who, sa.not_(_within(when, [there]))]
    if elsewhere is not None:
        conditions.append(_within(when, [elsewhere]))
    asked = sa.select(sa.literal(1)).select_from(names.join(other, sa.and_(*conditions)))
    return connection.execute(asked.limit(1)).first() is not None


def _within(date: Any, spans: Sequence[Span]) -> sa.ColumnElement[bool]:
    return sa.or_(
        *(sa.and_(date >= boundary(begins), date < boundary(ends)) for begins, ends in spans)
    )


def _runs(days: Iterable[datetime]) -> list[Span]:
    """Return days, those that follow each other as one."""
    runs: list[Span] = []
    for day in sorted(days):
        if runs and runs[-1][1] == day:
            runs[-1] = runs[-1][0], day + DAY
        else:
            runs.append((day, day + DAY))
    return runs


def _between(days: Iterable[datetime], span: Span) -> list[Span]:
    """Return what of a span lies between days."""
    gaps, begins = [], span[0]
    for first, ends in _runs(days):
        if begins < first:
            gaps.append((begins, first))
        begins = ends
    return [*gaps, (begins, span[1])] if begins < span[1] else gaps
