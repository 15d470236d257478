"""Which rows count, as SQL: those of a period, of bots or people, and what filters hold for."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from ..errors import QueryError
from .constructs import matches
from .filters import Absent, Between, Like, Term, Terms
from .metrics import Columns, Expression

if TYPE_CHECKING:
    from .query import Period, Query

# SQLite compares texts: without a fraction, the boundary also suits rows stored without one.
_WHOLE_SECONDS = sqlite.DATETIME(truncate_microseconds=True)  # type: ignore[no-untyped-call]
_BOUNDARY = sa.DateTime().with_variant(_WHOLE_SECONDS, "sqlite")


def boundary(moment: datetime) -> sa.BindParameter[datetime]:
    """Return a moment, naive UTC, that dates are compared with by ``>=`` or ``<``."""
    return sa.literal(moment, sa.DateTime() if moment.microsecond else _BOUNDARY)


def in_period(date: Expression, period: Period) -> list[Expression]:
    """Return the conditions that a moment lies in a period."""
    return [date >= boundary(period.begins), date < boundary(period.ends)]


def person(columns: Columns, query: Query) -> Expression:
    """Return whether a request counts in metrics of people."""
    if "bot" in columns and query.include_bots is None:
        return columns["bot"].is_(None)
    return sa.true()


def of_bots(columns: Columns, query: Query) -> list[Expression]:
    """Return the conditions of requests that count at all, as far as bots decide it.

    :raises QueryError: when only bots are asked for, and the model does not know them.
    """
    bots, column = query.include_bots, columns.get("bot")
    if bots == "only" and column is None:
        raise QueryError("bots", "the model has no column bot, so bots are not known")
    if column is None or bots in {None, "1"}:
        return []
    return [column.is_(None) if bots == "0" else column.is_not(None)]


def of_people(marked: Expression, query: Query) -> list[Expression]:
    """Return the same for rows of ours, where ``person`` says what is not a bot's; without a
    word about bots they count in metrics of people only."""
    if query.include_bots == "1":
        return []
    return [sa.not_(marked) if query.include_bots == "only" else marked]


def filtered(terms: Terms, value: Expression, stored: Expression) -> list[Expression]:
    """Return the conditions of a filter on something that has one value, or none.

    :param value: as it groups; None stands for no value.
    :param stored: as it stands in the table, for an index of the host's.
    """
    conditions: list[Expression] = []
    if terms.accepted:
        conditions.append(sa.or_(*(holds(term, value, stored) for term in terms.accepted)))
    for term in terms.excluded:
        excluded = sa.not_(holds(term, value, stored))
        if not isinstance(term, Absent):  # what has no value is not excluded by a value
            excluded = sa.or_(value.is_(None), excluded)
        conditions.append(excluded)
    return conditions


def holds(term: Term, value: Expression, stored: Expression) -> Expression:
    """Return the condition that a value is meant by a term."""
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
    apart = stored is not value and term.value.isascii()
    return sa.and_(stored == term.value, exactly) if apart else exactly


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
