"""All rows of a table one after the other, in bounded memory.

From the host's database they are read page by page, each by a statement of its own, so that no
lock and no snapshot is held while a slow reader takes what was read. From the archive they are
read day by day.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

import sqlalchemy as sa

from .source import Open, Span

#: Rows of a page: some ten megabytes with all columns.
PAGE = 5_000
_DAY = timedelta(days=1)

Page = Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Listing:
    """Which rows are wanted, and what of them.

    :ivar source: what is selected from.
    :ivar columns: the values of a row, by name.
    :ivar conditions: what all rows have.
    :ivar moment: the column of time, which the rows are sorted by first.
    :ivar keys: further ones, so that no two rows are equal in all of them.
    :ivar indexed: whether an index has the moments in order; else keys are the order.
    """

    source: sa.FromClause
    columns: Mapping[str, sa.ColumnElement[Any]]
    conditions: Sequence[sa.ColumnElement[bool]]
    moment: sa.ColumnElement[Any]
    keys: tuple[sa.ColumnElement[Any], ...]
    indexed: bool = True

    def select(self, *more: sa.ColumnElement[Any]) -> sa.Select[Any]:
        """Return the statement for all rows, with more columns behind those that are wanted."""
        named = [column.label(name) for name, column in self.columns.items()]
        places = [column.label(f"order_{number}") for number, column in enumerate(more)]
        return sa.select(*named, *places).select_from(self.source).where(*self.conditions)


def stream(opened: Open, span: Span, listing: Listing, page: int = PAGE) -> Iterator[Page]:
    """Yield pages of rows, the oldest first, each a tuple of the wanted columns.

    :param opened: gives connections, as :class:`~.source.Source` does.
    :param span: that all rows lie in, naive UTC.
    :param page: rows of a page at most.
    """
    with opened([span]) as connection:
        in_place = connection.dialect.name == "duckdb"
        bounds = _bounds(connection, listing) if in_place else None
        order = _order(listing, connection.dialect.name)
    if not in_place:
        yield from _pages(opened, span, listing, order, page)
    elif bounds:
        yield from _days(opened, bounds, listing, page)


def _order(listing: Listing, dialect: str) -> tuple[sa.ColumnElement[Any], ...]:
    if not listing.indexed:
        return listing.keys
    if dialect == "sqlite":
        # As the texts that they are: some may be stored without a fraction of the second.
        return (sa.type_coerce(listing.moment, sa.String()), *listing.keys)
    return (listing.moment, *listing.keys)


def _pages(
    opened: Open,
    span: Span,
    listing: Listing,
    order: tuple[sa.ColumnElement[Any], ...],
    page: int,
) -> Iterator[Page]:
    statement = listing.select(*order).order_by(*order).limit(page)
    wanted = len(listing.columns)
    after: Sequence[Any] | None = None
    while True:
        asked = statement if after is None else statement.where(_behind(order, after))
        with opened([span]) as connection:
            rows = connection.execute(asked).all()
        if rows:
            yield [row[:wanted] for row in rows]
        if len(rows) < page:
            return
        after = rows[-1][wanted:]


def _behind(
    order: tuple[sa.ColumnElement[Any], ...], after: Sequence[Any]
) -> sa.ColumnElement[bool]:
    """Return the condition of rows that come after one with these values."""
    first, value = order[0], after[0]
    if len(order) == 1:
        behind: sa.ColumnElement[bool] = first > value
        return behind
    later = sa.and_(first == value, _behind(order[1:], after[1:]))
    # The first condition follows from the second; databases find its place in an index.
    return sa.and_(first >= value, sa.or_(first > value, later))


def _bounds(connection: sa.Connection, listing: Listing) -> tuple[datetime, datetime] | None:
    found = sa.select(sa.func.min(listing.moment), sa.func.max(listing.moment))
    first, last = connection.execute(
        found.select_from(listing.source).where(*listing.conditions)
    ).one()
    return None if first is None else (first, last)


def _days(
    opened: Open, bounds: tuple[datetime, datetime], listing: Listing, page: int
) -> Iterator[Page]:
    begin = datetime.combine(bounds[0].date(), time())
    while begin <= bounds[1]:
        day = listing.select().where(listing.moment >= begin, listing.moment < begin + _DAY)
        with opened([(begin, begin + _DAY)]) as connection:
            found = connection.execute(day.order_by(listing.moment, *listing.keys))
            for rows in found.partitions(page):
                yield [tuple(row) for row in rows]
        begin += _DAY
