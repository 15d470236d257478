"""The span of time in which this process records, for imports to know."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from .visitors import Transaction

_SPAN_IS_KEPT = timedelta(seconds=10)
_SPANS_ARE_ONE = timedelta(seconds=60)


class LiveSpan:
    """The span of time, in a table of ours, in which this process records.

    Processes that record at once share one row.
    """

    def __init__(self, transaction: Transaction, table: sa.Table) -> None:
        self._transaction = transaction
        self._table = table
        self._id: int | None = None
        self._kept: datetime | None = None

    def include(self, first: datetime, last: datetime) -> bool:
        """Extend the span; return False where the row that was known is gone."""
        if self._kept and last - self._kept < _SPAN_IS_KEPT:
            return True
        table, known = self._table, self._id
        with self._transaction() as connection:
            number = known or self._find_or_start(connection, first, last)
            later = sa.case((table.c.ended < last, last), else_=table.c.ended)
            found = connection.execute(
                table.update().where(table.c.id == number).values(ended=later)
            )
            if not found.rowcount:
                number = self._find_or_start(connection, first, last)
        self._id, self._kept = number, last
        return known is None or bool(found.rowcount)

    def _find_or_start(self, connection: sa.Connection, first: datetime, last: datetime) -> int:
        table = self._table
        recent = sa.select(table.c.id).where(
            table.c.started <= first, table.c.ended >= first - _SPANS_ARE_ONE
        )
        found = connection.scalar(recent.order_by(table.c.id.desc()).limit(1))
        if found is not None:
            return int(found)
        inserted = connection.execute(table.insert().values(started=first, ended=last))
        (number,) = inserted.inserted_primary_key or (0,)
        return int(number)
