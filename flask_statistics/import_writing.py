"""Stores imported lines: short transactions, on a thread while the next lines are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from time import perf_counter, sleep
from typing import Any

import sqlalchemy as sa

from .known_lines import ImportedLines
from .record import Record
from .storage import Storage, is_shared_memory

#: Seconds that a transaction should take: SQLite lets nobody else write meanwhile.
HELD = 0.25
#: Seconds between two transactions: SQLite's waiting writers look every 0.1 s at least.
GAP = 0.1
#: Bytes of SQLite's page cache, so that it writes once, at the end (its own default: 2 MB).
CACHE = 32 * 2**20
_FEWEST, _MOST = 500, 10_000
_ATTEMPTS = 8


class BatchWriter:
    """Writes batches of new lines one after the other, each in one transaction with its hashes.

    Databases work without the interpreter's lock, so that the next lines are parsed meanwhile.

    :ivar size: how many lines the next batch should have.
    :ivar stored: how many lines were committed.
    """

    def __init__(
        self, storage: Storage, connection: sa.Connection, imported: ImportedLines
    ) -> None:
        self.size = _FEWEST
        self.stored = 0
        self._storage = storage
        self._connection = connection
        self._imported = imported
        self._gap = GAP if connection.dialect.name == "sqlite" else 0.0
        self._released = 0.0
        shared = is_shared_memory(connection.engine)
        self._thread = None if shared else ThreadPoolExecutor(1, "flask_statistics_import")
        self._writing: Future[None] | None = None

    def put(self, records: Sequence[Record], hashes: Mapping[int, list[bytes]]) -> None:
        """Store records and the hashes of their lines by hour, after all that was put before.

        :raises sqlalchemy.exc.SQLAlchemyError: where this batch or the one before failed.
        :raises ImportRefusedError: where another process imports.
        """
        rows = self._storage.derive(records, live=False)
        self.wait()
        if self._thread is None:
            self._write_patiently(rows, hashes)
        else:
            self._writing = self._thread.submit(self._write_patiently, rows, hashes)

    def wait(self) -> None:
        """Wait until all that was put is committed; raises what :meth:`put` does."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def close(self) -> None:
        """End the thread, after the transaction that it is in."""
        if self._thread is not None:
            self._thread.shutdown()

    def _write_patiently(self, rows: list[list[Any]], hashes: Mapping[int, list[bytes]]) -> None:
        """Write in one transaction; where another one holds a lock, again.

        A commit whose answer was lost is not repeated: its lines count as another import's.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            sleep(max(0.0, self._released + self._gap - perf_counter()))
            try:
                self._write(rows, hashes)
            except sa.exc.OperationalError:
                if attempt == _ATTEMPTS:
                    raise
                sleep(GAP * attempt)
            else:
                return

    def _write(self, rows: list[list[Any]], hashes: Mapping[int, list[bytes]]) -> None:
        began = perf_counter()
        with self._connection.begin():
            self._storage.write(self._connection, rows, live=False)
            latest = self._imported.append(self._connection, hashes)
        self._released = perf_counter()
        self._imported.note(latest)
        self.stored += len(rows)
        fitting = len(rows) * HELD / (self._released - began)
        self.size = int(min(max(_FEWEST, fitting), 4 * self.size, _MOST))


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
