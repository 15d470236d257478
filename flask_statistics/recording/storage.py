"""The writing half of the host's table: records become rows, rows are inserted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import date, datetime
from operator import itemgetter
from time import monotonic, perf_counter, sleep
from typing import Any

import sqlalchemy as sa

from ..config import Config
from ..model import Model
from ..privacy import Secrets
from ..tables import Tables
from .connections import ended_when_idle
from .enrich import Enricher, Identity
from .event_table import EventTable, dated
from .inserting import BUSY, Inserter, no_waiting
from .live_span import LiveSpan
from .matching import OwnRoutes
from .own_tables import OwnTables
from .record import RECORD, Record, TrackedRecord
from .troubles import Troubles
from .visit_table import VisitTable
from .visitors import Salts, day_digits, hash_visitor
from .visits import Row, TrackedRow, is_alone

#: Rows that are derived between two turns of other threads, while these pause themselves and
#: while one never does; that one gets its turn every 5 ms without being asked.
SHORT, LONG = 10, 1000
#: Rows of a batch from which on the writer is behind, and catching up goes before politeness.
BEHIND = 2000
_RECHECK = 60.0
_ID = RECORD.index("request_id")


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
        places = {name: place for place, name in enumerate(self.columns)}
        self._request_id = places.get("request_id")
        self._visits = (
            VisitTable(engine, model, tables, places, config.visit_timeout)
            if self._visit is not None
            else None
        )
        # What the model has no column for is not kept with events either.
        stored = {name: place for name, place in places.items() if name in model.attributes}
        self._events = EventTable(engine, tables, stored, Secrets(config.secret_names))
        self._own = OwnTables(model, tables, self._has_table, self._say_missing)
        self._cuts_seconds = _keeps_whole_seconds(model.columns["date"], engine.dialect)
        self._span = LiveSpan(self.transaction, tables.live)

    def derive(self, records: Sequence[Record], *, live: bool = True) -> list[list[Any]]:
        """Return the rows of records, in the order of :attr:`columns`.

        The database is asked only for the salt of a day that was not met before.

        :param live: False for imported requests, whose salts are kept apart.
        """
        outside = [r for r in records if type(r) is TrackedRecord and not r]
        if outside:
            records = [record for record in records if record]
        rows: list[list[Any]] = []
        polite = live and len(records) < BEHIND
        stretch = SHORT if polite else LONG
        while len(rows) < len(records):
            rows += map(self._row, records[len(rows) : len(rows) + stretch])
            if polite:
                stretch = _give_way()
        if self._visitor is not None:
            self._hash_visitors(rows, self._visitor, self._salts[live])
        if self._cuts_seconds:
            for row in rows:
                row[self._date] = row[self._date].replace(microsecond=0)
        rows = [
            self._tracked(row, record) if type(record) is TrackedRecord else row
            for row, record in zip(rows, records, strict=True)
        ]
        nothing = [None] * len(self.columns)
        return rows + [TrackedRow(nothing, dated(r.tracked.events), alone=True) for r in outside]

    def _tracked(self, row: list[Any], record: TrackedRecord) -> TrackedRow:
        """Return a row with its request's events."""
        events, _, alone = record.tracked
        if alone and self._request_id is not None and row[self._request_id] != record[_ID]:
            row[self._request_id] = None  # the request's was drawn when its row was made
        return TrackedRow(row, dated(events), alone=alone)

    def _hash_visitors(self, rows: list[list[Any]], visitor: int, salts: Salts) -> None:
        day, salt, digits = None, None, ""
        for row in rows:
            identity: Identity | None = row[visitor]
            row[visitor] = None
            if identity is None:
                continue
            if row[self._date].date() != day:
                day = row[self._date].date()
                salt, digits = self._salt(salts, day), day_digits(day)
            if salt is not None:
                row[visitor] = hash_visitor(salt, identity, digits)

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
        polite = live and len(rows) < BEHIND
        tracked = [row for row in rows if type(row) is TrackedRow]
        keeps = self._own.begin(connection)
        if self._visits is not None and keeps:
            self._visits.store(connection, rows, polite=polite)
        elif self._visits is not None:
            self._visits.name(rows)
        requests = self._requests(rows) if tracked else rows
        if len(self._stored) < len(self.columns):
            requests = [[row[place] for place in self._stored] for row in requests]
        self._inserter.insert(connection, requests, polite=polite)
        if keeps:
            self._events.store(connection, tracked, polite=polite)
            self._own.note(connection, self._moments(rows, tracked))

    def _moments(self, rows: Iterable[Row], tracked: Iterable[TrackedRow]) -> set[datetime]:
        moments = set(map(itemgetter(self._date), rows))
        moments.discard(None)  # of events outside of requests
        return moments | {moment for row in tracked for moment, _ in row.events}

    @staticmethod
    def _requests(rows: Iterable[Row]) -> list[Row]:
        return [row for row in rows if not is_alone(row)]

    def prepare(self) -> None:
        """Do what must be done once before rows are stored."""
        self._own.prepare(self.transaction)

    def lost_tables(self, error: Exception) -> bool:
        """Whether an error came of a table of ours that is missing; then it is left out."""
        return self._own.lost(error)

    def note_live(self, rows: Sequence[list[Any]]) -> None:
        """Remember that requests of this time were recorded as they came."""
        if monotonic() < self._span_missing_until:
            return
        moments = [row[self._date] for row in self._requests(rows)]
        if not moments:
            return
        try:
            if not self._span.include(min(moments), max(moments)):
                # The tables were made anew, and with them the salts.
                for salts in self._salts.values():
                    salts.forget()
                self._own.forget()
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
            ended_when_idle(connection) if self.waits else nullcontext(),
        ):
            yield connection


def _keeps_whole_seconds(column: sa.Column[Any], dialect: sa.Dialect) -> bool:
    """Whether a column of moments drops the fraction, which visits must then leave out, too."""
    type_ = column.type.dialect_impl(dialect)
    return dialect.name in {"mysql", "mariadb"} and not getattr(type_, "fsp", None)


def _give_way() -> int:
    """Let other threads go first; return for how many rows to go on then."""
    began = perf_counter()
    sleep(0)
    return LONG if perf_counter() - began > BUSY else SHORT
