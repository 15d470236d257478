"""The writing half of the host's table: records become rows, rows are inserted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import date, datetime, timedelta
from time import monotonic, perf_counter, sleep
from typing import Any

import sqlalchemy as sa

from ..config import Config
from ..model import Model
from ..tables import Tables
from .enrich import Enricher, Identity
from .inserting import BUSY, Inserter, no_waiting
from .matching import OwnRoutes
from .record import Record
from .troubles import Troubles
from .visitors import Salts, Transaction, Visits, hash_visitor

#: Rows that are derived between two turns of other threads, while these pause themselves and
#: while one never does; that one gets its turn every 5 ms without being asked.
SHORT, LONG = 10, 1000
#: Rows of a batch from which on the writer is behind, and catching up goes before politeness.
BEHIND = 2000
_RECHECK = 60.0
_SPAN_IS_KEPT = timedelta(seconds=10)
_SPANS_ARE_ONE = timedelta(seconds=60)


class Storage:
    """Derives and inserts rows of the host's model.

    :ivar columns: the names of a row's values, in their order.
    :ivar waits: whether transactions wait for locks; else they fail at once.
    """

    def __init__(
        self,
        model: Model,
        tables: Tables,
        engine: sa.Engine,
        config: Config,
        app_name: str,
        field_names: Sequence[str] = (),
        own_routes: OwnRoutes | None = None,
    ) -> None:
        self.engine = engine
        self.waits = True
        names = [*model.columns, *field_names]
        columns = [model.attributes[name] for name in names]
        lengths = {n: getattr(c.type, "length", None) for n, c in zip(names, columns, strict=True)}
        # Where only visits are stored, visitors are still needed to find them.
        wanted = {*model.columns, "visitor"} if model.has("visit") else set(model.columns)
        enricher = Enricher(
            wanted,
            config=config,
            app_name=app_name,
            limits={name: length for name, length in lengths.items() if length},
            field_types={name: model.attributes[name].type for name in field_names},
            own_routes=own_routes,
        )
        self._row = enricher.row
        self.columns = enricher.columns
        self._stored = [p for p, n in enumerate(self.columns) if n in model.attributes]
        self._inserter = Inserter(
            engine, model.table, [model.attributes[self.columns[p]] for p in self._stored]
        )
        self._date = self.columns.index("date")
        self._visitor = self.columns.index("visitor") if "visitor" in self.columns else None
        self._visit = self.columns.index("visit") if "visit" in self.columns else None
        self._salts = {
            live: Salts(self.transaction, tables.salt, live=live) for live in (True, False)
        }
        self._tables = tables
        self._nothing = sa.select(*columns).limit(0)
        self._troubles = Troubles()
        self._salts_missing_until = self._span_missing_until = 0.0
        self._visits = Visits(model, config.visit_timeout)
        self._span = _LiveSpan(self.transaction, tables.live)

    def derive(self, records: Sequence[Record], *, live: bool = True) -> list[list[Any]]:
        """Return the rows of records, in the order of :attr:`columns`.

        The database is asked only for the salt of a day that was not met before.

        :param live: False for imported requests, whose salts are kept apart.
        """
        rows: list[list[Any]] = []
        polite = live and len(records) < BEHIND
        stretch = SHORT if polite else LONG
        while len(rows) < len(records):
            rows += map(self._row, records[len(rows) : len(rows) + stretch])
            if polite:
                stretch = _give_way()
        if self._visitor is not None:
            self._hash_visitors(rows, self._visitor, self._salts[live])
        return rows

    def _hash_visitors(self, rows: list[list[Any]], visitor: int, salts: Salts) -> None:
        day, salt = None, None
        for row in rows:
            identity: Identity | None = row[visitor]
            row[visitor] = None
            if identity is None:
                continue
            if row[self._date].date() != day:
                day = row[self._date].date()
                salt = self._salt(salts, day)
            if salt is not None:
                row[visitor] = hash_visitor(salt, identity)

    def _salt(self, salts: Salts, day: date) -> bytes | None:
        if monotonic() < self._salts_missing_until:
            return None
        try:
            return salts.of(day)
        except (sa.exc.OperationalError, sa.exc.ProgrammingError):
            if not self.waits or self._has_table(self._tables.salt):
                raise
            # Requests are worth keeping without their visitors.
            self._say_missing("statistics_salt", "visitors are not recorded")
            self._salts_missing_until = monotonic() + _RECHECK
            return None

    def _has_table(self, table: sa.Table) -> bool:
        with self.transaction() as connection:
            return sa.inspect(connection).has_table(table.name, schema=table.schema)

    def _say_missing(self, table: str, consequence: str) -> None:
        self._troubles.warning(
            f"The table {table} is missing, so {consequence}: "
            "run `flask db migrate` and `flask db upgrade`, or call db.create_all() after "
            "Statistics(…)."
        )

    def destroy_expired_salts(self) -> None:
        """Destroy what visitors were computed from; called from time to time.

        :raises sqlalchemy.exc.DBAPIError: where the table is missing or the database away.
        """
        if self._visitor is not None and monotonic() >= self._salts_missing_until:
            self._salts[True].destroy_expired()

    def check(self) -> None:
        """Ask for nothing, of all columns that are filled.

        :raises sqlalchemy.exc.DBAPIError: where the table or a column of it is missing.
        """
        with self.transaction() as connection:
            connection.execute(self._nothing)

    def write(self, connection: sa.Connection, rows: list[list[Any]], *, live: bool = True) -> None:
        """Find the visits of derived rows and insert them, inside the caller's transaction.

        :param live: False while nobody waits: an import may keep the interpreter's lock.
        """
        if self._visit is not None and self._visitor is not None:
            self._visits.fill(connection, rows, self._date, self._visitor, self._visit)
        if len(self._stored) < len(self.columns):
            rows = [[row[place] for place in self._stored] for row in rows]
        self._inserter.insert(connection, rows, polite=live and len(rows) < BEHIND)

    def note_live(self, rows: Sequence[list[Any]]) -> None:
        """Remember that requests of this time were recorded as they came."""
        if monotonic() < self._span_missing_until:
            return
        moments = [row[self._date] for row in rows]
        try:
            if not self._span.include(min(moments), max(moments)):
                # The tables were made anew, and with them the salts.
                for salts in self._salts.values():
                    salts.forget()
        except (sa.exc.OperationalError, sa.exc.ProgrammingError):
            if self.waits and not self._has_table(self._tables.live):
                self._say_missing(
                    "statistics_live", "imports cannot tell what was recorded as it came"
                )
                self._span_missing_until = monotonic() + _RECHECK

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Give a connection in a transaction that is committed at the end."""
        with (
            self.engine.connect() as connection,
            nullcontext() if self.waits else no_waiting(connection),
            connection.begin(),
        ):
            yield connection


def _give_way() -> int:
    """Let other threads go first; return for how many rows to go on then."""
    began = perf_counter()
    sleep(0)
    return LONG if perf_counter() - began > BUSY else SHORT


class _LiveSpan:
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
