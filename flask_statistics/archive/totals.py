"""The figures of a span for each value of the usual dimensions, a row each.

They are added up for questions without filters, so that a long range costs what its values are,
not its requests. Distinct visitors are added up only where no other rows have these visitors;
the names of the span's visitors are kept for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from .manifest import Kind
from .partial_visits import is_page_view, person_of
from .schema import SECONDS, arrow, arrow_types

if TYPE_CHECKING:
    import pyarrow as pa

#: What all requests of the span together, and its visitors, are called among the dimensions.
ALL, VISITOR = "", "visitor"
#: Dimensions that have figures.
DIMENSIONS = (
    *("route", "path", "source", "browser", "platform", "device", "country", "language"),
    *("status_code", "exception", "method", "mimetype", "bot", "version"),
    *("utm_source", "utm_campaign"),
)
#: Columns that are added up, and counted where they are known.
_SUMMED = ("response_time", "size", "db_queries", "db_time")
TOTALS_KINDS: Final[Mapping[str, Kind]] = {
    "dimension": "text", "text": "text", "number": "integer", "person": "boolean",
    "first": "moment", "last": "moment", "last_seen": "moment",
    "hits": "integer", "visitors": "integer",
    "page_views": "integer", "errors": "integer", "response_time_max": "integer",
    **{f"{name}_{part}": "integer" for name in _SUMMED for part in ("sum", "count")},
}  # fmt: skip
#: Sums of so many bits are those of Arrow's 64.
_LARGEST = 1 << 62


def totals_of(requests: pa.Table, columns: Mapping[str, Kind]) -> list[pa.Table]:
    """Return the figures of requests: those of small dimensions, of paths, and the visitors.

    There are none where a column has values that would not be added up exactly. Times are in
    microseconds; ``first`` and ``last`` are the span's earliest and latest date, ``last_seen``
    the value's latest.

    :param columns: how the columns of ``requests`` are stored.
    """
    if not requests.num_rows or not _is_summable(requests, columns):
        return []
    pa = arrow()
    rows = _rows(requests, columns)
    who, visitors = _encoded(requests["visitor"])
    nothing = pa.nulls(requests.num_rows, pa.int32())
    small = [_figures(rows, who, nothing, None, ALL)]
    large: list[Any] = []
    for name in DIMENSIONS:
        if name in columns:
            codes, values = _encoded(requests[name])
            codes = _without_empty(codes, values)
            (large if name == "path" else small).append(_figures(rows, who, codes, values, name))
    names = {"dimension": pa.repeat(VISITOR, len(visitors)), "text": visitors}
    return [pa.concat_tables(small), *large, _table(names, len(visitors))]


def _is_summable(requests: pa.Table, columns: Mapping[str, Kind]) -> bool:
    compute = arrow().compute
    kinds = {name: columns[name] for name in _SUMMED if name in columns}
    wanted = {n: "microseconds" if n in SECONDS else "integer" for n in kinds}
    if kinds != wanted or columns.get("visitor") != "text":
        return False
    if columns.get("status_code") != "integer" or columns.get("method") != "text":
        return False
    if any(columns.get(name, "text") != "text" for name in DIMENSIONS if name != "status_code"):
        return False
    bounds = [compute.min_max(requests[name]).as_py() for name in kinds]
    largest = max((abs(b) for of in bounds for b in of.values() if b is not None), default=0)
    return bool(largest * requests.num_rows < _LARGEST)


def _rows(requests: pa.Table, columns: Mapping[str, Kind]) -> pa.Table:
    """Return what is added up, a row for each request."""
    pa = arrow()
    compute = pa.compute
    ones = pa.repeat(1, requests.num_rows)
    failed = compute.fill_null(compute.greater_equal(requests["status_code"], 500), False)
    summed = {
        name: requests[name] if name in columns else pa.nulls(requests.num_rows, pa.int64())
        for name in _SUMMED
    }
    return pa.table({
        "date": requests["date"],
        "person": person_of(requests, columns),
        "hits": ones,
        "page_views": is_page_view(requests, columns).cast(pa.int64()),
        "errors": failed.cast(pa.int64()),
        **summed,
    })  # fmt: skip


def _encoded(column: pa.ChunkedArray) -> tuple[Any, Any]:
    """Return numbers of values, and the values, each of which is there once."""
    pa = arrow()
    array = column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    # A dictionary may hold a value twice.
    values = array.dictionary.dictionary_encode()
    return values.indices.take(array.indices).cast(pa.int32()), values.dictionary


def _without_empty(codes: Any, values: Any) -> Any:
    """Return numbers of values, those of empty texts as NULL."""
    pa = arrow()
    empty = pa.compute.index(values, "").as_py() if pa.types.is_string(values.type) else -1
    if empty < 0:
        return codes
    return pa.compute.if_else(pa.compute.equal(codes, empty), pa.scalar(None, codes.type), codes)


def _figures(rows: pa.Table, who: Any, codes: Any, values: Any, dimension: str) -> pa.Table:
    pa = arrow()
    keyed = rows.append_column("code", codes).append_column("visitors", _firsts(rows, who, codes))
    sums = ("hits", "visitors", "page_views", "errors")
    asked = [(name, "sum") for name in sums]
    asked += [(name, part) for name in _SUMMED for part in ("sum", "count")]
    asked += [("response_time", "max"), ("date", "max")]
    grouped = keyed.group_by(["code", "person"], use_threads=False).aggregate(asked)
    found: dict[str, Any] = {name: grouped[f"{name}_sum"] for name in sums}
    found |= {n: grouped[n] for n in TOTALS_KINDS if n in grouped.column_names}
    taken = None if values is None else values.take(grouped["code"].combine_chunks())
    is_number = taken is not None and pa.types.is_integer(taken.type)
    found["number" if is_number else "text"] = taken
    found["dimension"] = pa.repeat(dimension, grouped.num_rows)
    for name, function in (("first", pa.compute.min), ("last", pa.compute.max)):
        found[name] = pa.repeat(function(rows["date"]), grouped.num_rows)
    found["last_seen"] = grouped["date_max"]
    return _table(found, grouped.num_rows)


def _firsts(rows: pa.Table, who: Any, codes: Any) -> Any:
    """Return 1 for one row of each visitor with each value, among people and among bots."""
    pa = arrow()
    compute = pa.compute
    value = compute.add(compute.fill_null(codes, -1).cast(pa.int64()), 1)
    value = compute.add(compute.multiply(value, 2), rows["person"].cast(pa.int64()))
    among = (compute.max(who).as_py() or 0) + 1
    key = compute.add(compute.multiply(value, among), who.cast(pa.int64()))
    # Numbers by first appearance: a row is the first where its number exceeds all before it.
    number = compute.fill_null(key.combine_chunks().dictionary_encode().indices, -1)
    none = pa.array([-1], number.type)
    before = pa.concat_arrays([none, compute.cumulative_max(number).slice(0, len(number) - 1)])
    return compute.greater(number, before).cast(pa.int64())


def _table(found: Mapping[str, Any], rows: int) -> pa.Table:
    pa = arrow()
    return pa.table({
        name: pa.nulls(rows, type_) if found.get(name) is None else found[name].cast(type_)
        for name, type_ in arrow_types(TOTALS_KINDS).items()
    })  # fmt: skip
