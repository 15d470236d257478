"""Whether the archive is what was written, and says what the table says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ..changes import utc_now
from ..errors import ArchiveError
from .extending import held_of
from .folder import Archive
from .manifest import Manifest, Segment
from .opening import Change, Host, archive_of, check_identity, read_pruned
from .reading_rows import find_rows, numbers_of
from .schema import ID, arrow, kinds
from .segments import intact
from .sources import find_sources

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Status:
    """What there is of an archive.

    :ivar path: its folder.
    :ivar rows: requests.
    :ivar size: bytes of all files.
    :ivar begin: the oldest request's date, naive UTC; None where there is none.
    :ivar horizon: the moment before which it holds everything; None where nothing is archived.
    :ivar pruned: the moment before which requests are only in the archive; None if there is none.
    :ivar changed: days that are read from the table until the next build.
    :ivar leftovers: files that do not count any more.
    """

    path: str
    segments: int
    rows: int
    size: int
    begin: datetime | None
    horizon: datetime | None
    pruned: datetime | None
    changed: tuple[date, ...]
    leftovers: int


def status(host: Host) -> Status:
    """Return what there is of an app's archive.

    :raises ArchiveError: where there is none, or it cannot be read.
    """
    archive = archive_of(host)
    manifest = _manifest(host, archive)
    with host.engine.connect() as connection:
        pruned = read_pruned(connection, host.tables)
        numbers = numbers_of(connection, host, datetime.min, utc_now() + timedelta(days=1))
    changed = {day for s in manifest.segments for day in s.changed_days(numbers)}
    return Status(
        str(archive.path),
        len(manifest.segments),
        manifest.rows,
        sum(file.size for file in manifest.files.values()),
        min((s.first for s in manifest.segments if s.first), default=None),
        manifest.horizon if manifest.segments else None,
        pruned,
        tuple(sorted(changed)),
        len(archive.unnamed(manifest)),
    )


def _manifest(host: Host, archive: Archive) -> Manifest:
    manifest = archive.manifest()
    if manifest is None:
        raise ArchiveError(
            f"{archive.path} holds no archive yet: run `flask statistics archive build`."
        )
    check_identity(host, archive, manifest)
    return manifest


def verify(
    host: Host, *, quick: bool = False, progress: Callable[[int], None] | None = None
) -> list[str]:
    """Return what is wrong with the archive, a sentence each; nothing where all is right.

    :param quick: check the files alone, and do not compare them with the table.
    :param progress: called with the number of rows of each segment that was looked at.
    :raises ArchiveError: where there is no archive, or its manifest cannot be read.
    """
    archive = archive_of(host)
    manifest = _manifest(host, archive)
    found: list[str] = []
    for segment in manifest.segments:
        damaged = list(_damaged(archive, segment))
        found += damaged
        if not damaged and not quick:
            found += _differences(Change(host, archive, manifest), segment)
        if progress:
            progress(segment.rows)
    return found


def _damaged(archive: Archive, segment: Segment) -> Iterator[str]:
    for file in segment.files:
        try:
            intact(archive, file)
        except ArchiveError as error:
            yield f"Segment {segment.name}: {error}"


def _differences(change: Change, segment: Segment) -> Iterator[str]:
    """Yield the days of a segment of which the table says something else.

    Days that changed are not compared: their requests are read from the table.
    """
    host = change.host
    if not segment.serves(kinds(host.model)):
        return
    found = find_rows(host, segment.begin, segment.end)
    pruned = found.pruned or datetime.min
    manifest = Manifest(change.manifest.identity, change.manifest.table, (segment,))
    held = held_of(change, segment)
    before: dict[date, int] = dict(found.numbers)
    with host.engine.connect() as connection:
        after = numbers_of(connection, host, segment.begin, segment.end)
    for part in find_sources(
        manifest, max(segment.begin, pruned), segment.end, numbers=after, pruned=None,
        columns=kinds(host.model),
    ):  # fmt: skip
        if part.table:
            continue
        here = _by_id(held.requests, part.begin, part.end)
        there = _by_id(found.requests, part.begin, part.end)
        for day in _different_days(here, there):
            if before.get(day, 0) == after.get(day, 0):
                yield (
                    f"Segment {segment.name}: the table says something else of {day}. Somebody "
                    "changed it past Flask-Statistics; `flask statistics archive rebuild` mends it."
                )


def _by_id(rows: pa.Table, begin: datetime, end: datetime) -> pa.Table:
    pa = arrow()
    date = rows["date"]
    moment = pa.timestamp("us")
    within = pa.compute.and_(
        pa.compute.greater_equal(date, pa.scalar(begin, moment)),
        pa.compute.less(date, pa.scalar(end, moment)),
    )
    return rows.filter(within).sort_by(ID)


def _different_days(one: pa.Table, other: pa.Table) -> list[date]:
    """Return the days of which two tables, both ordered by id, say different things."""
    pa = arrow()
    if one.num_rows == other.num_rows and one[ID].equals(other[ID]):
        differing = pa.repeat(False, one.num_rows)
        for name in one.column_names:
            differing = pa.compute.or_(differing, _unlike(one[name], other[name]))
        return _days(one.filter(differing), other.filter(differing))
    ids = one[ID].combine_chunks(), other[ID].combine_chunks()
    return _days(
        one.filter(pa.compute.invert(pa.compute.is_in(one[ID], ids[1]))),
        other.filter(pa.compute.invert(pa.compute.is_in(other[ID], ids[0]))),
    )


def _unlike(one: Any, other: Any) -> Any:
    """Return which values differ; NULL is like NULL, and NaN like NaN."""
    pa = arrow()
    compute = pa.compute
    if pa.types.is_dictionary(one.type) or pa.types.is_dictionary(other.type):
        one, other = one.cast(pa.string()), other.cast(pa.string())
    nulls = compute.not_equal(compute.is_null(one), compute.is_null(other))
    values = compute.fill_null(compute.not_equal(one, other), False)
    if pa.types.is_floating(one.type):
        both = compute.and_(compute.is_nan(one), compute.is_nan(other))
        values = compute.and_not(values, compute.fill_null(both, False))
    return compute.or_(nulls, values)


def _days(*tables: pa.Table) -> list[date]:
    return sorted({moment.date() for table in tables for moment in table["date"].to_pylist()})
