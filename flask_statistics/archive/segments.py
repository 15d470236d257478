"""Writing one segment, and reading it again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from ..errors import ArchiveError
from .extracting import PLAIN
from .folder import Archive
from .manifest import File, Kind, Segment
from .partial_visits import OF_VISITS, visits_of
from .schema import ID, SECONDS, VISIT_KINDS, arrow, arrow_types, encodings, keeps_visits
from .totals import OF_TOTALS, TOTALS_KINDS, totals_of

if TYPE_CHECKING:
    import pyarrow as pa

#: What requests are sorted by: alike rows side by side compress best.
ORDER = ("country", "user_agent", "visitor", "date")
#: What visits and totals are made from.
_COUNTED = OF_VISITS | OF_TOTALS
#: What to do about a file that is damaged.
MEND = (
    "restore it from your backup, or run `flask statistics archive rebuild`, which makes the "
    "archive anew from what the table holds."
)
_MICROSECONDS = 1_000_000
#: Beyond, a double does not hold each whole number of microseconds.
_EXACT = float(1 << 53)


@dataclass(frozen=True)
class Content:
    """What a segment is made from: requests and events, with the columns of each.

    :ivar columns: the columns of the requests; times are "float".
    :ivar ordered: whether the requests are in :data:`ORDER`.
    """

    requests: pa.Table
    events: pa.Table
    columns: Mapping[str, Kind]
    event_columns: Mapping[str, Kind]
    ordered: bool = False


def in_order(content: Content) -> Content:
    """Return the content with its requests in :data:`ORDER`."""
    if content.ordered:
        return content
    nothing = content.requests.schema.empty_table()
    rows, content = content.requests, replace(content, requests=nothing, ordered=True)
    order, columns = _order(rows), {}
    # One after the other: where nobody else holds them, unordered ones are let go on the way.
    for name in rows.column_names:
        columns[name] = rows[name].take(order).combine_chunks()
        rows = rows.drop_columns([name])
    arrow().default_memory_pool().release_unused()
    return replace(content, requests=arrow().table(columns))


def write_segment(
    archive: Archive, begin: datetime, end: datetime, days: Mapping[date, int], content: Content
) -> Segment:
    """Write the files of a segment; it counts once a manifest names it.

    Where nobody else holds the content, what is needed no more is let go on the way.
    """
    requests, columns = _with_microseconds(in_order(content).requests, content.columns)
    events, event_columns = content.events, content.event_columns
    del content
    dates = arrow().compute.min_max(requests["date"]).as_py() if requests.num_rows else {}
    of_requests = _write(archive, [requests], columns, ".parquet")
    requests = requests.select([name for name in columns if name in _COUNTED])
    arrow().default_memory_pool().release_unused()
    visits = [visits_of(requests, events, columns)] if keeps_visits(columns) else []
    of_visits = _write(archive, visits, VISIT_KINDS, ".visits.parquet")
    del visits
    of_totals = _write(archive, totals_of(requests, columns), TOTALS_KINDS, ".totals.parquet")
    del requests
    return Segment(
        begin,
        end,
        of_requests,
        of_visits,
        of_totals,
        _write(archive, [events], event_columns, ".events.parquet"),
        dates.get("min"),
        dates.get("max"),
        {day: number for day, number in days.items() if number},
        columns,
    )


def _write(
    archive: Archive, tables: Sequence[pa.Table], columns: Mapping[str, Kind], ending: str
) -> File | None:
    """Write tables of the same columns one after the other, each a row group."""
    tables = [table for table in tables if table.num_rows]
    if not tables:
        return None
    pa = arrow()
    with archive.writing(ending) as new:
        options = encodings(columns, PLAIN)
        with pa.parquet.ParquetWriter(new.stream, tables[0].schema, **options) as writer:
            for table in tables:
                writer.write_table(table, row_group_size=table.num_rows)
                pa.default_memory_pool().release_unused()
    return new.described(sum(table.num_rows for table in tables))


def _order(requests: pa.Table) -> Any:
    """Return the rows' places in :data:`ORDER`; texts need no order but alike ones together."""
    pa = arrow()
    names = [name for name in ORDER if name in requests.column_names]
    keys = {name: _codes(requests[name]) for name in names} | {ID: requests[ID]}
    return pa.compute.sort_indices(pa.table(keys), sort_keys=[(name, "ascending") for name in keys])


def _codes(column: pa.ChunkedArray) -> Any:
    pa = arrow()
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks)
    return array.indices if pa.types.is_dictionary(array.type) else array


def _with_microseconds(
    requests: pa.Table, columns: Mapping[str, Kind]
) -> tuple[pa.Table, dict[str, Kind]]:
    """Keep times as whole microseconds where that loses nothing."""
    kinds = dict(columns)
    for name in SECONDS:
        whole = _microseconds(requests[name]) if kinds.get(name) == "float" else None
        if whole is not None:
            requests = requests.set_column(requests.column_names.index(name), name, whole)
            kinds[name] = "microseconds"
    return requests, kinds


def _microseconds(seconds: pa.ChunkedArray) -> Any:
    pa = arrow()
    compute = pa.compute
    rounded = compute.round(compute.multiply(seconds, float(_MICROSECONDS)))
    small = compute.less(compute.abs(rounded), _EXACT)  # False for NaN and infinity
    if not compute.all(small, min_count=0).as_py():
        return None
    again = compute.divide(rounded, float(_MICROSECONDS))
    same = compute.equal(again, seconds)
    return rounded.cast(pa.int64()) if compute.all(same, min_count=0).as_py() else None


def read_requests(archive: Archive, segment: Segment, columns: Mapping[str, Kind]) -> pa.Table:
    """Return a segment's requests with these columns; those that it lacks are NULL.

    Times are in seconds again.

    :raises ArchiveError: where its file is damaged.
    """
    texts = [name for name, kind in columns.items() if kind == "text" and name not in PLAIN]
    table = _read(archive, segment.requests, texts)
    return arrow().table({
        name: _column(table, name, type_, segment)
        for name, type_ in arrow_types(columns).items()
    })  # fmt: skip


def read_events(archive: Archive, segment: Segment, columns: Mapping[str, Kind]) -> pa.Table:
    """Return a segment's events with these columns; those that it lacks are NULL.

    :raises ArchiveError: where its file is damaged.
    """
    pa = arrow()
    table = _read(archive, segment.events, ())
    return pa.table({
        name: table[name] if name in table.column_names else pa.nulls(table.num_rows, type_)
        for name, type_ in arrow_types(columns).items()
    })  # fmt: skip


def _read(archive: Archive, file: File | None, repeated: Collection[str]) -> pa.Table:
    """Return a file's rows, once it is known that each byte is what was written."""
    pa = arrow()
    if file is None:
        return pa.table({})
    content = intact(archive, file)
    source = pa.parquet.ParquetFile(pa.BufferReader(content))
    names = set(source.schema_arrow.names)
    return pa.parquet.read_table(
        pa.BufferReader(content), read_dictionary=[name for name in repeated if name in names]
    )


def intact(archive: Archive, file: File) -> bytes:
    """Return the content of a file.

    :raises ArchiveError: where it is not what was written.
    """
    try:
        content = archive.file(file).read_bytes()
    except OSError as error:
        raise ArchiveError(
            f"{archive.file(file)} cannot be read ({error.strerror}): {MEND}"
        ) from None
    if len(content) != file.size or sha256(content).hexdigest() != file.checksum:
        raise ArchiveError(f"{archive.file(file)} is not what was written: {MEND}")
    return content


def _column(table: pa.Table, name: str, wanted: pa.DataType, segment: Segment) -> Any:
    pa = arrow()
    if name not in table.column_names:
        return pa.nulls(table.num_rows, wanted)
    column = table[name]
    if segment.columns[name] == "microseconds" and pa.types.is_floating(wanted):
        return pa.compute.divide(column.cast(pa.float64()), float(_MICROSECONDS))
    return column if pa.types.is_dictionary(column.type) else column.cast(wanted)
