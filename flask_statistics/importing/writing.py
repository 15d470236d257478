"""Stores imported lines: short transactions, on a thread while the next lines are read."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from time import perf_counter, sleep
from typing import Any, NamedTuple

import sqlalchemy as sa

from ..recording.connections import is_shared_memory
from ..recording.record import Record
from ..recording.storage import Storage
from .known_lines import ImportedLines, Mark

#: Lines that are derived and handed to the writing thread together.
BATCH = 6_000
#: Rows that are inserted before it is looked whether a transaction has lasted long enough.
PART = 1_000
#: Seconds that a transaction may take: SQLite lets nobody else write meanwhile.
HELD = 0.2
#: Seconds between two transactions. A writer that waits for SQLite looks again after 25 ms, once
#: it has waited for 128 ms after 50, and from 228 ms on after 100 (sqlite3_busy_timeout).
GAP, LONG_GAP = 0.05, 0.1
_LONG = 0.228
#: Bytes of SQLite's page cache, so that it writes once, at the end (its own default: 2 MB).
CACHE = 32 * 2**20
#: Seconds that a thread may keep the interpreter's lock while the other one waits.
TURN = 0.0005
_ATTEMPTS = 8


class _Batch(NamedTuple):
    rows: list[list[Any]]
    marks: Sequence[Mark]


class BatchWriter:
    """Writes batches of new lines one after the other, each row with the mark of its line.

    Databases work without the interpreter's lock, so that the next lines are parsed meanwhile.

    :ivar stored: how many lines were committed.
    """

    def __init__(
        self, storage: Storage, connection: sa.Connection, imported: ImportedLines
    ) -> None:
        self.stored = 0
        self._storage = storage
        self._connection = connection
        self._imported = imported
        self._pauses = connection.dialect.name == "sqlite"
        self._next = 0.0
        shared = is_shared_memory(connection.engine)
        self._thread = None if shared else ThreadPoolExecutor(1, "flask_statistics_import")
        self._writing: Future[None] | None = None

    def put(self, records: Sequence[Record], marks: Sequence[Mark]) -> None:
        """Store records and the marks of their lines, after all that was put before.

        :raises sqlalchemy.exc.SQLAlchemyError: where this batch or the one before failed.
        :raises ImportRefusedError: where another process imports.
        """
        batch = _Batch(self._storage.derive(records, live=False), marks)
        self.wait()
        if self._thread is None:
            self._write_all(batch)
        else:
            self._writing = self._thread.submit(self._write_all, batch)

    def wait(self) -> None:
        """Wait until all that was put is committed; raises what :meth:`put` does."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def close(self) -> None:
        """End the thread, after what it was given."""
        if self._thread is not None:
            self._thread.shutdown()

    def _write_all(self, batch: _Batch) -> None:
        written = 0
        while written < len(batch.rows):
            rest = _Batch(batch.rows[written:], batch.marks[written:])
            written += self._write_patiently(rest)

    def _write_patiently(self, batch: _Batch) -> int:
        """Write in one transaction; where another one holds a lock, again.

        A commit whose answer was lost is not repeated: its lines count as another import's.
        """
        for attempt in range(1, _ATTEMPTS):
            try:
                return self._write(batch)
            except sa.exc.OperationalError:
                sleep(LONG_GAP * attempt)
        return self._write(batch)

    def _write(self, batch: _Batch) -> int:
        """Write as many rows as the time of a transaction allows; return how many."""
        sleep(max(0.0, self._next - perf_counter()))
        began = perf_counter()
        with self._connection.begin():
            written = self._write_parts(batch.rows, began)
            latest = self._imported.append(self._connection, batch.marks[:written])
        self._imported.note(latest)
        self.stored += written
        ended = perf_counter()
        gap = LONG_GAP if ended - began > _LONG else GAP
        self._next = ended + gap if self._pauses else ended
        return written

    def _write_parts(self, rows: list[list[Any]], began: float) -> int:
        written, lasted = 0, 0.0
        while written < len(rows) and perf_counter() - began + lasted < HELD:
            part_began = perf_counter()
            part = rows[written : written + PART]
            self._storage.write(self._connection, part, live=False)
            written += len(part)
            lasted = perf_counter() - part_began
        return written


@contextmanager
def shorter_turns() -> Iterator[None]:
    """Let the two threads of an import take turns more often than every 5 ms.

    The one that writes would else wait so long after each statement.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(TURN)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@contextmanager
def larger_cache(connection: sa.Connection) -> Iterator[None]:
    """Give SQLite's connection a larger cache: rows go to pages all over the indexes."""
    if connection.dialect.name != "sqlite":
        yield
        return
    with connection.begin():
        before = connection.exec_driver_sql("PRAGMA cache_size").scalar_one()
        connection.exec_driver_sql(f"PRAGMA cache_size = -{CACHE // 1024}")
    try:
        yield
    finally:
        with suppress(sa.exc.SQLAlchemyError), connection.begin():
            connection.exec_driver_sql(f"PRAGMA cache_size = {before}")
