"""Where the requests of each moment are read from: a segment, the host's table, or both.

Each request counts once, since each moment has its sources, and where it has two these share no
request: what the table holds from before ``pruned`` was added after the archive had become the
only place of such requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta

from .manifest import Kind, Manifest, Segment

#: The value of ``statistics_state`` (an ISO moment) before which the table has been pruned.
PRUNED = "pruned"
#: The value of ``statistics_state`` that says which absorbed rows were deleted.
ABSORBED = "archive absorbed"
#: The value of ``statistics_state`` that is the archive's identity.
IDENTITY = "archive"


@dataclass(frozen=True)
class Part:
    """A half-open span of time and its sources.

    :ivar segment: the segment that holds requests of it, None where none does.
    :ivar table: whether the host's table holds requests of it that are not in the segment.
    """

    begin: datetime
    end: datetime
    segment: Segment | None
    table: bool


def find_sources(
    manifest: Manifest,
    begins: datetime,
    ends: datetime,
    *,
    numbers: Mapping[date, int],
    pruned: datetime | None,
    columns: Mapping[str, Kind],
) -> list[Part]:
    """Return the sources of a span, in the order of time, without a gap.

    A reader first opens a transaction that sees one state of the database (REPEATABLE READ) and
    reads ``numbers`` and ``pruned`` in it, then the manifest, and reads rows in the same
    transaction. In the other order it could miss rows that move from the table to the archive.

    :param numbers: what :func:`~flask_statistics.changes.day_numbers` returns for the span.
    :param pruned: the moment before which the table was pruned, None where it never was.
    :param columns: the columns that are asked for, by field name, with their kinds.
    """
    parts = _parts(manifest, begins, ends, numbers, pruned or datetime.min, columns)
    return _joined([part for part in parts if part.begin < part.end])


def _parts(
    manifest: Manifest,
    begins: datetime,
    ends: datetime,
    numbers: Mapping[date, int],
    pruned: datetime,
    columns: Mapping[str, Kind],
) -> Iterator[Part]:
    yield Part(begins, min(ends, manifest.begin), None, True)
    for segment in manifest.between(begins, ends):
        begin, end = max(begins, segment.begin), min(ends, segment.end)
        cut = min(max(pruned, begin), end)
        yield from _of_days(segment, begin, cut, segment.changed_days(numbers), added=True)
        if segment.serves(columns):
            yield from _of_days(segment, cut, end, segment.changed_days(numbers), added=False)
        else:
            yield Part(cut, end, None, True)
    yield Part(max(begins, manifest.horizon), ends, None, True)


def _of_days(
    segment: Segment, begin: datetime, end: datetime, changed: set[date], *, added: bool
) -> Iterator[Part]:
    """Split at days that changed.

    :param added: what the table holds of such days was added to what the segment holds; else it
        takes its place.
    """
    held = segment if segment.files else None
    for day in sorted(changed):
        starts = datetime.combine(day, time.min)
        stops = starts + timedelta(days=1)
        if stops <= begin or end <= starts:
            continue
        yield Part(begin, max(begin, starts), held, False)
        yield Part(max(begin, starts), min(end, stops), held if added else None, True)
        begin = min(end, stops)
    yield Part(begin, end, held, False)


def _joined(parts: list[Part]) -> list[Part]:
    """Join neighbours that have the same source."""
    joined: list[Part] = []
    for part in parts:
        last = joined[-1] if joined else None
        if last and last.segment is part.segment and last.table == part.table:
            joined[-1] = replace(last, end=part.end)
        else:
            joined.append(part)
    return joined
