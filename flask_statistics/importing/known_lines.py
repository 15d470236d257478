"""Which lines of access logs were imported before.

Of each hour (UTC) the table ``statistics_imported`` holds the 8-byte hashes of its lines, as
often as they were imported. While a log is read, each of its lines uses up one of the equal
ones: what finds none left is new. So of identical lines as many are kept as the log with most
of them has, whatever logs overlap, were imported in part, or grew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from hashlib import blake2b
from tempfile import TemporaryFile
from typing import IO

import sqlalchemy as sa

from ..errors import ImportRefusedError
from ..recording.visitors import EPOCH

HASH_SIZE = 8
#: What is kept of a line: its hour since the epoch, and its hash.
Mark = tuple[int, bytes]
#: Hashes in memory before those of some hours are put into a temporary file.
MOST_HASHES = 400_000


def hash_line(line: bytes, host: bytes = b"") -> bytes:
    """Return what a line is recognised by.

    :param host: the host that the line does not name itself: the same line in the logs of two
        sites is two requests.
    """
    return blake2b(line, digest_size=HASH_SIZE, key=host).digest()


class KnownLines:
    """The lines that were imported before one log, used up as its lines come.

    :param load: returns the hashes of an hour, in parts; called once an hour.
    """

    def __init__(self, load: Callable[[int], Iterable[bytes]], most: int = MOST_HASHES) -> None:
        self._load = load
        self._most = most
        self._hours: dict[int, Counter[bytes]] = {}
        self._held = 0
        self._outside: dict[int, tuple[int, int]] = {}
        self._file: IO[bytes] | None = None

    def use(self, hour: int, line_hash: bytes) -> bool:
        """Return whether an equal line of this hour was left, and use it up."""
        counts = self._hours.get(hour)
        if counts is None:
            counts = self._take_in(hour)
        if line_hash not in counts:
            return False
        if counts[line_hash] > 1:
            counts[line_hash] -= 1
        else:
            del counts[line_hash]
            self._held -= 1
        return True

    def close(self) -> None:
        """Delete the temporary file."""
        if self._file is not None:
            self._file.close()

    def _take_in(self, hour: int) -> Counter[bytes]:
        parts = (
            [self._read(*self._outside.pop(hour))] if hour in self._outside else self._load(hour)
        )
        counts: Counter[bytes] = Counter()
        for part in parts:
            places = range(0, len(part), HASH_SIZE)
            counts.update(part[place : place + HASH_SIZE] for place in places)
        while self._hours and self._held + len(counts) > self._most:
            self._put_out(next(iter(self._hours)))
        self._hours[hour] = counts
        self._held += len(counts)
        return counts

    def _put_out(self, hour: int) -> None:
        counts = self._hours.pop(hour)
        self._held -= len(counts)
        if self._file is None:
            self._file = TemporaryFile(prefix="statistics-import-")  # noqa: SIM115 - see close()
        start = self._file.seek(0, 2)
        self._file.writelines(counts.elements())
        self._outside[hour] = (start, self._file.tell() - start)

    def _read(self, start: int, length: int) -> bytes:
        if self._file is None:
            return b""
        self._file.seek(start)
        return self._file.read(length)


class ImportedLines:
    """The table of the lines that were imported, for one importing process."""

    def __init__(self, engine: sa.Engine, table: sa.Table) -> None:
        self._engine = engine
        self._table = table
        with engine.connect() as connection:
            self._latest = self._read_latest(connection)

    def load(self, hour: int) -> list[bytes]:
        """Return the hashes of an hour since the epoch, in parts."""
        table = self._table
        query = sa.select(table.c.lines).where(table.c.hour == _moment(hour)).order_by(table.c.id)
        with self._engine.connect() as connection:
            return list(connection.scalars(query))

    def append(self, connection: sa.Connection, marks: Iterable[Mark]) -> int:
        """Add the marks of lines, inside the caller's transaction, which has written before.

        That transaction holds the lock of SQLite, other databases have locks for imports: no
        other import comes between the check and the end.

        :returns: what to hand to :meth:`note` once the transaction was committed.
        :raises ImportRefusedError: where another process imports: its lines are not known here.
        """
        if self._read_latest(connection) != self._latest:
            raise ImportRefusedError(
                "another import stored lines in the meantime. "
                "Run this one again when the other one has finished: it goes on where it was."
            )
        hours: dict[int, list[bytes]] = {}
        for hour, line_hash in marks:
            hours.setdefault(hour, []).append(line_hash)
        values = [{"hour": _moment(hour), "lines": b"".join(of)} for hour, of in hours.items()]
        connection.execute(self._table.insert(), values)
        return self._read_latest(connection)

    def note(self, latest: int) -> None:
        """Remember what :meth:`append` returned."""
        self._latest = latest

    def _read_latest(self, connection: sa.Connection) -> int:
        return int(connection.scalar(sa.select(sa.func.max(self._table.c.id))) or 0)


def _moment(hour: int) -> datetime:
    return EPOCH + timedelta(hours=hour)
