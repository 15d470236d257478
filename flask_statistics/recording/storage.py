"""The writing half of the host's table: records become rows, rows are inserted."""

from __future__ import annotations

import logging
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
from .visitors import Salts, Transaction, Visits, hash_visitor

#: Rows that are derived between two turns of other threads, while these pause themselves and
#: while one never does; that one gets its turn every 5 ms without being asked.
SHORT, LONG = 40, 1000
_RECHECK = 60.0
_SPAN_IS_KEPT = timedelta(seconds=10)
_SPANS_ARE_ONE = timedelta(seconds=60)

logger = logging.getLogger("flask_statistics")


def is_shared_memory(engine: sa.Engine) -> bool:
    """Whether all users of the engine share one connection, as for SQLite in memory."""
    url = engine.url
    in_memory = engine.dialect.name == "sqlite" and (
        url.database in {None, "", ":memory:"} or "mode=memory" in str(url)
    )
    return in_memory or isinstance(engine.pool, sa.StaticPool)


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
            field_names=field_names,
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
        self._salts_missing_until = 0.0
        self._visits = Visits(model, config.visit_timeout)
        self._span = _LiveSpan(self.transaction, tables.live)

    def derive(self, records: Sequence[Record], *, live: bool = True) -> list[list[Any]]:
        """Return the rows of records, in the order of :attr:`columns`.

        The database is asked only for the salt of a day that was not met before.

        :param live: False for imported requests, whose salts are kept apart.
        """
        rows: list[list[Any]] = []
        stretch = SHORT
        while len(rows) < len(records):
            rows += map(self._row, records[len(rows) : len(rows) + stretch])
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
            if self.has_table("statistics_salt"):
                raise
            # Requests are worth keeping without their visitors.
            logger.warning(
                "The table statistics_salt is missing, so visitors are not recorded: "
                "run `flask db migrate` and `flask db upgrade`."
            )
            self._salts_missing_until = monotonic() + _RECHECK
            return None

    def has_table(self, name: str) -> bool:
        """Whether the database has this table.

        :raises sqlalchemy.exc.DBAPIError: where the database is away.
        """
        return sa.inspect(self.engine).has_table(name)

    def destroy_expired_salts(self) -> None:
        """Destroy what visitors were computed from; called from time to time."""
        if self._visitor is not None and monotonic() >= self._salts_missing_until:
            self._salts[True].destroy_expired()

    def write(self, connection: sa.Connection, rows: list[list[Any]], *, live: bool = True) -> None:
        """Find the visits of derived rows and insert them, inside the caller's transaction.

        :param live: False while nobody waits: an import may keep the interpreter's lock.
        """
        if self._visit is not None and self._visitor is not None:
            self._visits.fill(connection, rows, self._date, self._visitor, self._visit)
        if len(self._stored) < len(self.columns):
            rows = [[row[place] for place in self._stored] for row in rows]
        self._inserter.insert(connection, rows, polite=live)

    def note_live(self, rows: Sequence[list[Any]]) -> None:
        """Remember that requests of this time were recorded as they came."""
        moments = [row[self._date] for row in rows]
        try:
            self._span.include(min(moments), max(moments))
        except (sa.exc.OperationalError, sa.exc.ProgrammingError):
            # Needed by imports only, which say what is missing.
            logger.debug("The span of live requests was not stored.", exc_info=True)

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

    def include(self, first: datetime, last: datetime) -> None:
        if self._kept and last - self._kept < _SPAN_IS_KEPT:
            return
        table = self._table
        with self._transaction() as connection:
            if self._id is None:
                self._id = self._find_or_start(connection, first, last)
            connection.execute(
                table.update()
                .where(table.c.id == self._id, table.c.ended < last)
                .values(ended=last)
            )
        self._kept = last

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
