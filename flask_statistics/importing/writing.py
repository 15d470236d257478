"""Stores imported lines: short transactions, on a thread while the next lines are read."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from time import perf_counter, sleep
from typing import Any, NamedTuple

import sqlalchemy as sa

from ..recording.batch import is_about_a_row, refuses_row
from ..recording.connections import is_shared_memory
from ..recording.inserting import LARGEST
from ..recording.record import Record
from ..recording.storage import Storage
from .known_lines import ImportedLines, Mark

#: Rows that are inserted before it is looked whether a transaction has lasted long enough: one
#: statement.
PART = LARGEST
#: Lines that are derived and handed to the writing thread together.
BATCH = 10 * PART
#: Seconds that a transaction may take: SQLite lets nobody else write meanwhile.
HELD = 0.15
#: Seconds between two transactions. A writer that waits for SQLite looks again after 25 ms, once
#: it has waited for 128 ms after 50, and from 228 ms on after 100 (sqlite3_busy_timeout).
GAP, LONG_GAP = 0.05, 0.1
_LONG = 0.228
#: Bytes of SQLite's page cache, so that it writes once, at the end (its own default: 2 MB).
CACHE = 32 * 2**20
#: Seconds that a thread may keep the interpreter's lock while the other one waits.
TURN = 0.0005
_ATTEMPTS = 8


#: The number of a line in its log, and its beginning.
Origin = tuple[int, bytes]


class _Batch(NamedTuple):
    rows: list[list[Any]]
    marks: Sequence[Mark]
    origins: Sequence[Origin]

    def part(self, start: int, end: int | None = None) -> _Batch:
        return _Batch(self.rows[start:end], self.marks[start:end], self.origins[start:end])


class BatchWriter:
    """Writes batches of new lines one after the other, each row with the mark of its line.

    Databases work without the interpreter's lock, so that the next lines are parsed meanwhile.

    :ivar stored: how many lines were committed.
    :ivar refused: the lines that the database does not take, of which nothing is stored.
    """

    def __init__(
        self, storage: Storage, connection: sa.Connection, imported: ImportedLines
    ) -> None:
        self.stored = 0
        self.refused: list[Origin] = []
        self._storage = storage
        self._connection = connection
        self._imported = imported
        self._pauses = connection.dialect.name == "sqlite"
        self._next = 0.0
        shared = is_shared_memory(connection.engine)
        self._thread = None if shared else ThreadPoolExecutor(1, "flask_statistics_import")
        self._writing: Future[None] | None = None

    def put(
        self, records: Sequence[Record], marks: Sequence[Mark], origins: Sequence[Origin]
    ) -> None:
        """Store records and the marks of their lines, after all that was put before.

        :raises sqlalchemy.exc.SQLAlchemyError: where this batch or the one before failed.
        :raises ImportRefusedError: where another process imports.
        """
        batch = _Batch(self._storage.derive(records, live=False), marks, origins)
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
        waiting = [batch]
        while waiting:
            part = waiting.pop()
            try:
                written = self._write_patiently(part)
            except _RowsError as error:
                # Asked now, since the transaction is over.
                if not is_about_a_row(error.error, self._storage):
                    raise error.error from None
                waiting += self._halves(part)
            else:
                if written < len(part.rows):
                    waiting.append(part.part(written))

    def _halves(self, batch: _Batch) -> list[_Batch]:
        """Return the halves of rows of which the database refuses one, the first one last."""
        half = len(batch.rows) // 2
        if half:
            return [batch.part(half), batch.part(0, half)]
        self.refused += batch.origins
        return []

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
        # At least one part, however long it took to begin: each transaction gets on.
        while written < len(rows) and (not written or perf_counter() - began + lasted < HELD):
            part_began = perf_counter()
            part = rows[written : written + PART]
            self._write_part(part)
            written += len(part)
            lasted = perf_counter() - part_began
        return written

    def _write_part(self, rows: list[list[Any]]) -> None:
        try:
            self._storage.write(self._connection, rows, live=False)
        except Exception as error:
            if isinstance(error, sa.exc.OperationalError) and not refuses_row(error):
                raise  # a lock, which will be given back
            raise _RowsError(error) from error


class _RowsError(Exception):
    """Raised where rows could not be written: perhaps the database refuses one of them."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


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
