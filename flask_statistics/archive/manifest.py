"""What the archive holds: the segments, and what each was made from.

The manifest is the archive: a file that it does not name does not count. It is a value; changing
the archive means writing another manifest in its place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cached_property
from hashlib import sha256
from itertools import pairwise
from typing import Any, Literal

from ..errors import ArchiveError

#: Raised with every change that older releases cannot read.
FORMAT = 1
#: How the values of a column are stored. "microseconds" are whole ones of a time in seconds.
Kind = Literal["integer", "float", "microseconds", "boolean", "text", "moment"]
#: The files of a segment.
_FILES = ("requests", "visits", "totals", "events")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\.parquet")
#: Kinds in which the same column may be stored in two segments.
_ALIKE = ({"float", "microseconds"},)


@dataclass(frozen=True)
class File:
    """One file of the archive.

    :ivar name: its name in the folder, never used twice.
    :ivar size: bytes.
    :ivar checksum: SHA-256 of its bytes, in hexadecimal digits.
    """

    name: str
    rows: int
    size: int
    checksum: str


@dataclass(frozen=True)
class Segment:
    """The requests of a span of time.

    A segment lies within one UTC day, or is made of whole ones.

    :ivar begin: the first moment, naive UTC; ``datetime.min`` in the first segment of an archive
        from which nothing was dropped.
    :ivar end: the first moment that is not in it.
    :ivar requests: the requests: a column for each of :attr:`columns`; None where there are none.
    :ivar visits: the visits as far as the span knows them, a row for each visit and person, with
        the columns of ``statistics_visit``; None where there are none.
    :ivar totals: the requests' figures, see :mod:`.totals`; None where there are none.
    :ivar events: the events with the columns of ``statistics_event``; None where there are none.
    :ivar first: the date of the oldest request; None where there are none.
    :ivar last: the date of the newest one.
    :ivar days: the number that each day had before its rows were read; 0 where not named.
    :ivar columns: how each column is stored, by the field's name; the primary key is ``id``.
    """

    begin: datetime
    end: datetime
    requests: File | None
    visits: File | None
    totals: File | None
    events: File | None
    first: datetime | None
    last: datetime | None
    days: Mapping[date, int]
    columns: Mapping[str, Kind]

    @property
    def name(self) -> str:
        """What people may call it."""
        named = self.requests or self.events
        return named.name if named else f"{self.begin:%Y-%m-%d %H:%M} to {self.end:%Y-%m-%d %H:%M}"

    @property
    def rows(self) -> int:
        """How many requests there are."""
        return self.requests.rows if self.requests else 0

    @property
    def files(self) -> tuple[File, ...]:
        """The files that there are."""
        return tuple(file for kind in _FILES if (file := getattr(self, kind)))

    @property
    def last_day(self) -> date:
        """The last day of which it holds something."""
        return (self.end - timedelta(microseconds=1)).date()

    def serves(self, columns: Mapping[str, Kind]) -> bool:
        """Whether it holds all these columns, in the same or an equivalent kind."""
        if not self.files:
            return True
        return all(
            name in self.columns and _is_alike(self.columns[name], kind)
            for name, kind in columns.items()
        )

    def changed_days(self, numbers: Mapping[date, int]) -> set[date]:
        """Return the days of its span that are not any more what they were.

        :param numbers: the numbers that the days have now, 0 where not named.
        """
        first, last = self.begin.date(), self.last_day
        known = {*self.days, *numbers}
        return {
            day
            for day in known
            if first <= day <= last and self.days.get(day, 0) != numbers.get(day, 0)
        }


def _is_alike(one: Kind, other: Kind) -> bool:
    return one == other or any({one, other} <= alike for alike in _ALIKE)


@dataclass(frozen=True)
class Absorbed:
    """Rows that are in a segment and, until they are deleted, in the table too.

    They are deleted in one transaction, which sets the value ``archive absorbed`` of
    ``statistics_state`` to :attr:`token`. Where a reader finds another value, it leaves the rows
    of the table whose ``id`` is in the file out.

    :ivar file: Parquet with the columns ``id`` (of requests) and ``event`` (of events), either of
        which is NULL.
    """

    token: str
    file: File


@dataclass(frozen=True)
class Manifest:
    """What the archive holds.

    :ivar identity: the random value that is in ``statistics_state`` as ``archive``, too.
    :ivar table: the name of the host's table.
    :ivar segments: in the order of time, without a gap: each begins where the one before ends.
    :ivar absorbed: see :class:`Absorbed`; None where there are none.
    :ivar written: when it was written, UTC.
    """

    identity: str
    table: str
    segments: tuple[Segment, ...] = ()
    absorbed: Absorbed | None = None
    written: datetime = datetime.min

    @property
    def begin(self) -> datetime:
        """The first moment that the archive covers: older requests are in the table only."""
        return self.segments[0].begin if self.segments else datetime.min

    @property
    def horizon(self) -> datetime:
        """The first moment that it does not cover yet."""
        return self.segments[-1].end if self.segments else datetime.min

    @property
    def rows(self) -> int:
        return sum(segment.rows for segment in self.segments)

    @cached_property
    def files(self) -> Mapping[str, File]:
        """All files that count, by name."""
        files = [file for segment in self.segments for file in segment.files]
        if self.absorbed:
            files.append(self.absorbed.file)
        return {file.name: file for file in files}

    def between(self, begins: datetime, ends: datetime) -> tuple[Segment, ...]:
        """Return the segments that hold something of this half-open span."""
        return tuple(s for s in self.segments if s.begin < ends and begins < s.end)

    def replaced(self, old: Iterable[Segment], new: Iterable[Segment]) -> Manifest:
        """Return the manifest with some segments in the place of others."""
        gone = {id(segment) for segment in old}
        kept = [segment for segment in self.segments if id(segment) not in gone]
        segments = tuple(sorted([*kept, *new], key=lambda segment: segment.begin))
        for earlier, later in pairwise(segments):
            if earlier.end != later.begin:
                raise AssertionError(f"segments overlap or leave a gap at {later.begin}")
        return replace(self, segments=segments)


# ---- as a file ------------------------------------------------------------------------------


def to_bytes(manifest: Manifest) -> bytes:
    """Return a manifest as JSON that knows its own checksum."""
    schemas: list[dict[str, str]] = []
    segments = [_segment_to_json(segment, schemas) for segment in manifest.segments]
    body = {
        "identity": manifest.identity,
        "table": manifest.table,
        "written": manifest.written.isoformat(),
        "absorbed": _absorbed_to_json(manifest.absorbed),
        "schemas": schemas,
        "segments": segments,
    }
    document = {"format": FORMAT, "checksum": _checksum(body), "archive": body}
    return json.dumps(document, ensure_ascii=False, indent=1).encode()


def from_bytes(content: bytes) -> Manifest:
    """Return the manifest that :func:`to_bytes` wrote.

    :raises ArchiveError: where it is damaged, or of another format.
    """
    try:
        document = json.loads(content)
        number = document["format"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ArchiveError("The manifest of the archive is damaged") from None
    if number != FORMAT:
        age = "a newer" if isinstance(number, int) and number > FORMAT else "an older or unknown"
        raise ArchiveError(f"The archive is of {age} format ({number!r}; this release: {FORMAT})")
    try:
        body = document["archive"]
        if document["checksum"] == _checksum(body):
            return _read_body(body)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        pass
    raise ArchiveError("The manifest of the archive is damaged")


def _checksum(body: Any) -> str:
    return sha256(json.dumps(body, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _segment_to_json(segment: Segment, schemas: list[dict[str, str]]) -> dict[str, Any]:
    columns = {str(name): str(kind) for name, kind in segment.columns.items()}
    if columns not in schemas:
        schemas.append(columns)
    return {
        "begin": segment.begin.isoformat(),
        "end": segment.end.isoformat(),
        **{kind: _file_to_json(getattr(segment, kind)) for kind in _FILES},
        "first": segment.first and segment.first.isoformat(),
        "last": segment.last and segment.last.isoformat(),
        "days": {day.isoformat(): number for day, number in sorted(segment.days.items())},
        "schema": schemas.index(columns),
    }


def _file_to_json(file: File | None) -> dict[str, Any] | None:
    return dict(vars(file)) if file else None


def _absorbed_to_json(absorbed: Absorbed | None) -> dict[str, Any] | None:
    return {"token": absorbed.token, "file": vars(absorbed.file)} if absorbed else None


def _read_body(body: dict[str, Any]) -> Manifest:
    return Manifest(
        body["identity"],
        body["table"],
        tuple(_read_segment(segment, body["schemas"]) for segment in body["segments"]),
        _read_absorbed(body["absorbed"]),
        datetime.fromisoformat(body["written"]),
    )


def _read_absorbed(found: dict[str, Any] | None) -> Absorbed | None:
    file = _read_file(found["file"]) if found else None
    return Absorbed(found["token"], file) if found and file else None


def _read_segment(found: dict[str, Any], schemas: list[dict[str, Kind]]) -> Segment:
    return Segment(
        datetime.fromisoformat(found["begin"]),
        datetime.fromisoformat(found["end"]),
        _read_file(found["requests"]),
        _read_file(found["visits"]),
        _read_file(found["totals"]),
        _read_file(found["events"]),
        first=found["first"] and datetime.fromisoformat(found["first"]),
        last=found["last"] and datetime.fromisoformat(found["last"]),
        days={date.fromisoformat(day): number for day, number in found["days"].items()},
        columns=schemas[found["schema"]],
    )


def _read_file(found: dict[str, Any] | None) -> File | None:
    if not found:
        return None
    file = File(**found)
    if not _NAME.fullmatch(file.name):  # a path would lead out of the folder
        raise ValueError
    return file
