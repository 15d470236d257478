"""The figures of a span for each value of the usual dimensions, a row each.

They are added up for questions without filters, so that a long range costs what its values are,
not its requests. Distinct visitors are added up only where no other rows have these visitors;
the names of the span's visitors are kept for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from ..asking.totals import DIMENSIONS as FEW_VALUES
from ..asking.totals import HOURS, STEPS
from .finer_totals import hours_of, steps_of
from .gathering import encoded
from .manifest import Kind
from .partial_visits import is_page_view, person_of
from .schema import SECONDS, arrow, arrow_types

if TYPE_CHECKING:
    import pyarrow as pa

#: What all requests of the span together, and its visitors, are called among the dimensions.
ALL, VISITOR = "", "visitor"
#: The column that numbers visitors, those of people and those of bots apart.
_WHO = "who"
#: Dimensions that have figures.
DIMENSIONS = (*FEW_VALUES, "path")
#: Columns that are added up, and counted where they are known.
_SUMMED = ("response_time", "size", "db_queries", "db_time")
#: The columns of requests that figures are made from.
OF_TOTALS = frozenset({*DIMENSIONS, *_SUMMED, VISITOR, "date"})
TOTALS_KINDS: Final[Mapping[str, Kind]] = {
    "dimension": "text", "text": "text", "number": "integer", "person": "boolean",
    "first": "moment", "last": "moment", "last_seen": "moment",
    "hits": "integer", "visitors": "integer",
    "page_views": "integer", "errors": "integer", "response_time_max": "integer",
    **{f"{name}_{part}": "integer" for name in _SUMMED for part in ("sum", "count")},
}  # fmt: skip
#: Those of which a visitor has one value, as a rule, so that few figures of visitors are added up
#: further; others are added up of each combination of them that there is.
_OF_VISITORS = frozenset({
    *(ALL, "source", "browser", "platform", "device", "country", "language", "bot", "version"),
    *("utm_source", "utm_campaign"),
})  # fmt: skip
#: What is added up, and how.
_PARTS = {
    **dict.fromkeys(("hits", "visitors", "page_views", "errors"), "sum"),
    **{f"{name}_{part}": "sum" for name in _SUMMED for part in ("sum", "count")},
    **dict.fromkeys(("response_time_max", "last_seen"), "max"),
}
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
    codes, values = _codes(requests, [VISITOR, *(n for n in DIMENSIONS if n in columns)])
    codes[ALL], values[ALL] = pa.nulls(requests.num_rows, pa.int32()), pa.nulls(0, pa.string())
    rows = pa.table({**_parts(requests, columns), **codes})
    among = max(len(values[VISITOR]), 1)
    rows = rows.append_column(_WHO, _who(rows, among))
    dates = {"first": pa.compute.min(rows["last_seen"]), "last": pa.compute.max(rows["last_seen"])}
    alike = [name for name in codes if name in _OF_VISITORS]
    others = [name for name in codes if name not in {*alike, VISITOR}]
    # What was added up of a combination of values is added up further for each of them.
    runs, combined = _runs(rows, alike), _added(rows, ["person", *others])
    of_visitors = _added(runs, ["person", *alike])
    of_others = _added(combined, ["person", *(name for name in others if name != "path")])
    found = {}
    for name in (*alike, *others):
        of = runs if name in alike else rows
        added = of_visitors if name in alike else combined if name == "path" else of_others
        visitors = _visitors(of, name, values[name], among)
        found[name] = _figures(added, visitors, name, values[name], dates)
    small = [found[name] for name in (ALL, *DIMENSIONS) if name in found and name != "path"]
    finer = {HOURS: hours_of(rows, _added, _WHO), STEPS: steps_of(rows)}
    small += [_dated(of, name, dates) for name, of in finer.items() if of]
    large = [found["path"]] if "path" in found else []
    names = {"dimension": _repeated(VISITOR, len(values[VISITOR])), "text": values[VISITOR]}
    return [pa.concat_tables(small), *large, _table(names, len(values[VISITOR]))]


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


def _parts(requests: pa.Table, columns: Mapping[str, Kind]) -> dict[str, Any]:
    """Return what is added up, as each request has it."""
    pa = arrow()
    compute = pa.compute
    failed = compute.fill_null(compute.greater_equal(requests["status_code"], _number(500)), False)
    nothing = pa.nulls(requests.num_rows, pa.int64())
    summed = {name: requests[name] if name in columns else nothing for name in _SUMMED}
    return {
        "person": person_of(requests, columns),
        "last_seen": requests["date"],
        "hits": pa.repeat(pa.scalar(1, pa.int8()), requests.num_rows),
        "page_views": is_page_view(requests, columns),
        "errors": failed,
        "response_time_max": summed["response_time"],
        **{f"{name}_sum": column for name, column in summed.items()},
        **{f"{name}_count": compute.is_valid(column) for name, column in summed.items()},
    }


def _codes(requests: pa.Table, names: Iterable[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return numbers of each column's values, and the values."""
    codes, values = {}, {}
    for name in names:
        codes[name], values[name] = encoded(requests[name])
        if name != VISITOR:
            codes[name] = _without_empty(codes[name], values[name])
    return codes, values


def _without_empty(codes: Any, values: Any) -> Any:
    """Return numbers of values, those of empty texts as NULL."""
    pa = arrow()
    empty = pa.compute.index(values, "").as_py() if pa.types.is_string(values.type) else -1
    if empty < 0:
        return codes
    return pa.compute.if_else(pa.compute.equal(codes, empty), pa.scalar(None, codes.type), codes)


def _who(rows: pa.Table, among: int) -> Any:
    """Return numbers of visitors, those of people and those of bots apart."""
    pa = arrow()
    person = pa.compute.multiply(rows["person"].cast(pa.int64()), _number(among))
    return pa.compute.add(person, rows[VISITOR].cast(pa.int64()))


def _runs(rows: pa.Table, names: Sequence[str]) -> pa.Table:
    """Add up neighbours of the same visitor that are alike in some dimensions."""
    pa = arrow()
    compute = pa.compute
    differs = pa.repeat(pa.scalar(False), rows.num_rows - 1)
    for name in (_WHO, *names):
        column = compute.fill_null(rows[name].combine_chunks(), -1)
        differs = compute.or_(differs, compute.not_equal(column[1:], column[:-1]))
    begins = pa.concat_arrays([pa.array([True], pa.bool_()), differs])
    number = compute.cumulative_sum(begins.cast(pa.int32()))
    added = _added(rows.append_column("run", number), ["run"]).drop_columns(["run"])
    first = compute.indices_nonzero(begins)
    for name in ("person", _WHO, *names):
        added = added.append_column(name, rows[name].take(first))
    return added


def _added(rows: pa.Table, keys: Sequence[str]) -> pa.Table:
    """Add up the rows of each combination of keys."""
    parts = [name for name in _PARTS if name in rows.column_names]
    asked = [(name, _PARTS[name]) for name in parts]
    grouped = rows.group_by(list(keys), use_threads=False).aggregate(asked)
    names = {name: name for name in keys} | {name: f"{name}_{_PARTS[name]}" for name in parts}
    return grouped.select(list(names.values())).rename_columns(list(names))


def _figures(
    added: pa.Table, visitors: pa.Table, dimension: str, values: Any, dates: Mapping[str, Any]
) -> pa.Table:
    """Return the figures of each value of a dimension, of people and of bots.

    :param added: rows that were added up already, but not for different values.
    :param visitors: what :func:`_visitors` counted.
    :param dates: of the span's first and last request.
    """
    pa = arrow()
    parts = [name for name in _PARTS if name in added.column_names]
    known = added.select([dimension, "person", *parts])
    every = pa.concat_tables([known, visitors], promote_options="default")
    grouped = _added(every, [dimension, "person"])
    found: dict[str, Any] = {name: grouped[name] for name in ("person", *_PARTS)}
    found["visitors"] = pa.compute.fill_null(found["visitors"], 0)
    is_number = pa.types.is_integer(values.type)
    found["number" if is_number else "text"] = pa.compute.take(values, grouped[dimension])
    return _dated(found, dimension, dates)


def _dated(found: Mapping[str, Any], dimension: str, dates: Mapping[str, Any]) -> pa.Table:
    """Return figures with their dimension, and the span that they are of."""
    pa = arrow()
    rows = len(found["person"])
    same = {name: pa.repeat(date, rows) for name, date in dates.items()}
    return _table({**found, **same, "dimension": _repeated(dimension, rows)}, rows)


def _visitors(rows: pa.Table, dimension: str, values: Any, among: int) -> pa.Table:
    """Return how many visitors each value of a dimension has, among people and among bots."""
    pa = arrow()
    compute = pa.compute
    unknown, each = _number(len(values)), _number(2 * among)
    code = compute.fill_null(rows[dimension].cast(pa.int64()), unknown)
    key = compute.add(compute.multiply(code, each), rows[_WHO])
    counted = compute.value_counts(compute.divide(key.unique().drop_null(), _number(among)))
    value = counted.field(0)
    code = compute.divide(value, _number(2)).cast(pa.int32())
    is_known = compute.less(code, unknown)
    return pa.table({
        dimension: compute.if_else(is_known, code, pa.scalar(None, pa.int32())),
        "person": compute.bit_wise_and(value, _number(1)).cast(pa.bool_()),
        "visitors": counted.field(1),
    })  # fmt: skip


def _number(number: int) -> pa.Scalar:
    # Without a type, Arrow looks for one, and for pandas, in half a millisecond.
    pa = arrow()
    return pa.scalar(number, pa.int64())


def _repeated(text: str, times: int) -> Any:
    pa = arrow()
    return pa.repeat(pa.scalar(text, pa.string()), times)


def _table(found: Mapping[str, Any], rows: int) -> pa.Table:
    pa = arrow()
    return pa.table({
        name: pa.nulls(rows, type_) if found.get(name) is None else found[name].cast(type_)
        for name, type_ in arrow_types(TOTALS_KINDS).items()
    })  # fmt: skip
