"""Imports access logs: each line once, and from where it was interrupted."""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from datetime import timezone as fixed_zone
from hashlib import blake2b
from time import perf_counter
from typing import Any

import sqlalchemy as sa

from ..errors import ImportRefusedError, MissingTableError
from ..recording.record import RECORD, Record
from ..recording.visitors import EPOCH
from ..state import State
from . import writing as import_writing
from .access_log import LineParser, is_whole
from .known_lines import ImportedLines, KnownLines, Mark, hash_line
from .lock import import_lock
from .log_file import LogFile
from .writing import BatchWriter, Origin, larger_cache, shorter_turns

#: Bad lines that are shown of each log.
SHOWN = 5
_SHOWN_BYTES = 200
#: How far the end of a recorded span, in the table, may lag behind the recording.
LIVE_LAG = timedelta(seconds=10)
_DATE, _HOST = RECORD.index("date"), RECORD.index("host")
_REMEDY = (
    "run `flask db migrate` and `flask db upgrade`, or db.create_all() after Statistics(…), "
    "to make it"
)


@dataclass
class Tally:
    """What became of the lines of a log.

    :ivar read: lines, those without anything in them not counted.
    :ivar new: stored; in a dry run, those that would be.
    :ivar known: imported before.
    :ivar bad: not a line of an access log, or one that the database refuses.
    :ivar refused: of a time that was recorded live.
    :ivar shown: number and beginning of the first bad lines.
    :ivar refused_span: the first and last refused moment, UTC.
    :ivar unfinished: whether the last line was left for later: its end is not written yet.
    :ivar seconds: how long it took.
    """

    read: int = 0
    new: int = 0
    known: int = 0
    bad: int = 0
    refused: int = 0
    shown: list[tuple[int, bytes]] = field(default_factory=list)
    refused_span: tuple[datetime, datetime] | None = None
    unfinished: bool = False
    seconds: float = 0.0


class Importer:
    """Imports logs one after the other; made by :func:`importing`.

    :param host: the host of lines that name none.
    :param zone: the time zone of lines whose time has no offset.
    :param overlap: import lines of a time that was recorded live, too.
    :param dry_run: store nothing.
    """

    def __init__(
        self,
        state: State,
        writer: BatchWriter,
        imported: ImportedLines,
        *,
        host: str | None = None,
        zone: tzinfo = fixed_zone.utc,
        overlap: bool = False,
        dry_run: bool = False,
    ) -> None:
        self._state = state
        self._writer = writer
        self._imported = imported
        self._parser = LineParser(host, zone, len(state.declarations.fields))
        self._host = host
        self._key = blake2b((host or "").encode("utf-8", "replace"), digest_size=16).digest()
        self._overlap = overlap
        self._dry_run = dry_run
        self._pretended: dict[int, bytearray] = {}
        self._records: list[Record] = []
        self._marks: list[Mark] = []
        self._origins: list[Origin] = []

    def read(self, log: LogFile, tally: Tally, progress: Callable[[], None] = lambda: None) -> None:
        """Import the lines of ``log`` that are new, and count all of them in ``tally``.

        :param progress: called now and then.
        :raises ImportRefusedError: where the log is damaged or no log; the lines before the
            damage are stored.
        """
        began, stored = perf_counter(), self._writer.stored
        self._records, self._marks, self._origins = [], [], []
        self._writer.refused.clear()
        live = LiveSpans() if self._overlap else LiveSpans.read(self._state)
        try:
            with closing(KnownLines(self._load)) as known:
                self._read_lines(log, tally, known, live, progress)
        finally:
            try:
                self._writer.wait()
            finally:
                tally.new += self._writer.stored - stored
                tally.seconds = perf_counter() - began
        if tally.bad and tally.bad == tally.read:
            raise ImportRefusedError("none of its lines is a line of an access log")
        _add_bad(tally, self._writer.refused)

    def _read_lines(
        self,
        log: LogFile,
        tally: Tally,
        known: KnownLines,
        live: LiveSpans,
        progress: Callable[[], None],
    ) -> None:
        before = None
        number = 0
        try:
            for lines, is_rest in log.blocks():
                if is_rest and self._is_unfinished(lines[0], before):
                    tally.unfinished = True
                    break
                for line in lines:
                    number += 1
                    if line:
                        self._take(line, number, tally, known, live)
                before = lines[-1] or before
                progress()
        finally:
            # After damage, too: the lines before it are good. Not after Ctrl-C: time is precious.
            if not isinstance(sys.exc_info()[1], KeyboardInterrupt):
                self._store(tally)

    def _is_unfinished(self, line: bytes, before: bytes | None) -> bool:
        """Whether the rest of a log is the beginning of a line that is still written."""
        return self._parser.parse(line) is not None and not is_whole(line, before)

    def _take(
        self, line: bytes, number: int, tally: Tally, known: KnownLines, live: LiveSpans
    ) -> None:
        tally.read += 1
        record = self._parser.parse(line)
        if record is None:
            tally.bad += 1
            if len(tally.shown) < SHOWN:
                tally.shown.append((number, line[:_SHOWN_BYTES]))
            return
        seconds = record[_DATE]
        hour = int(seconds // 3600)
        line_hash = hash_line(line, self._key_of(line, record) if self._host else b"")
        if known.use(hour, line_hash):
            tally.known += 1
        elif live.holds(seconds):
            _refuse(tally, seconds)
        else:
            self._records.append(record)
            self._marks.append((hour, line_hash))
            self._origins.append((number, line[:_SHOWN_BYTES]))
            if len(self._records) >= import_writing.BATCH:
                self._store(tally)

    def _key_of(self, line: bytes, record: Record) -> bytes:
        """Return the key for lines whose host is the one that was given for all."""
        if self._host is None or record[_HOST] != self._host:
            return b""
        return b"" if line.startswith(self._host.encode("utf-8", "replace")) else self._key

    def _load(self, hour: int) -> list[bytes]:
        return [*self._imported.load(hour), bytes(self._pretended.get(hour, b""))]

    def _store(self, tally: Tally) -> None:
        records, marks, origins = self._records, self._marks, self._origins
        self._records, self._marks, self._origins = [], [], []
        if not self._dry_run:
            if records:
                self._writer.put(records, marks, origins)
            return
        tally.new += len(records)
        for hour, line_hash in marks:
            self._pretended.setdefault(hour, bytearray()).extend(line_hash)


class LiveSpans:
    """The spans of time in which requests were recorded as they came, in seconds."""

    def __init__(self, spans: list[tuple[float, float]] | None = None) -> None:
        self._starts: list[float] = []
        self._ends: list[float] = []
        for start, end in sorted(spans or []):
            if self._ends and start <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], end)
            else:
                self._starts.append(start)
                self._ends.append(end)

    @classmethod
    def read(cls, state: State) -> LiveSpans:
        """Read the spans of all processes from their table."""
        table, second = state.tables.live, timedelta(seconds=1)
        with state.engine.connect() as connection:
            rows = connection.execute(sa.select(table.c.started, table.c.ended)).all()
        return cls(
            [((start - EPOCH) / second, (end + LIVE_LAG - EPOCH) / second) for start, end in rows]
        )

    def holds(self, second: float) -> bool:
        """Whether a request of this second of a log may have been recorded live."""
        # The request may have come at the second's end.
        place = bisect_right(self._starts, second + 0.999_999)
        return place > 0 and second <= self._ends[place - 1]


def _refuse(tally: Tally, seconds: float) -> None:
    moment = EPOCH + timedelta(seconds=seconds)
    first, last = tally.refused_span or (moment, moment)
    tally.refused += 1
    tally.refused_span = min(first, moment), max(last, moment)


def _add_bad(tally: Tally, lines: Sequence[Origin]) -> None:
    tally.bad += len(lines)
    tally.shown = sorted([*tally.shown, *lines])[:SHOWN]


@contextmanager
def importing(state: State, **options: Any) -> Iterator[Importer]:
    """Give an :class:`Importer` while no other process imports into the same database.

    :param options: those of :class:`Importer`.
    :raises MissingTableError: where the host's table or one of ours is missing.
    :raises ImportRefusedError: where another import runs.
    """
    inspector = sa.inspect(state.engine)
    for table in (state.model.table, *state.tables):
        if not inspector.has_table(table.name, schema=table.schema):
            raise MissingTableError(f"The table {table.name} is missing: {_REMEDY}.")
    storage = state.make_storage()
    storage.destroy_expired_salts()
    storage.prepare()
    with (
        state.engine.connect() as connection,
        import_lock(connection, state.tables.imported),
        larger_cache(connection),
        shorter_turns(),
    ):
        imported = ImportedLines(state.engine, state.tables.imported)
        with closing(BatchWriter(storage, connection, imported)) as writer:
            yield Importer(state, writer, imported, **options)
