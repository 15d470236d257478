"""What a span of time knows of its visits: a row for each visit and person.

The rows of one visit in several spans are added up by whoever asks: no two spans share a moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .gathering import encoded
from .manifest import Kind
from .schema import ID, VISIT_KINDS, arrow, arrow_types

if TYPE_CHECKING:
    import pyarrow as pa

#: The columns of requests that tell visits.
OF_VISITS = frozenset(
    {ID, "date", "visit", "visitor", "bot", "path", "method", "status_code", "mimetype"}
)
_KEYS = ["visit", "person"]
#: The texts that are needed of requests and events; events have no path.
_TEXTS = ("visit", "visitor", "path")
#: What is computed, from which column, by which function of Arrow's.
_FIGURES = (
    ("visitor", "visitor", "first"),
    ("began", "requested", "min"),
    ("ended", "requested", "max"),
    ("first", "interacted", "min"),
    ("last", "interacted", "max"),
    ("hits", "requested", "count"),
    ("page_views", "viewed", "count"),
    ("events", "tracked", "count"),
    ("entry", "place", "min"),
    ("exit", "place", "max"),
)


def visits_of(requests: pa.Table, events: pa.Table, columns: Mapping[str, Kind]) -> pa.Table:
    """Return the visits of requests and events of one span, as ``statistics_visit`` has them.

    A page view is one as :func:`~flask_statistics.asking.metrics.page_view` says; the first of
    several at one moment is that with the lowest id. ``began`` and ``ended`` are NULL where only
    events are known.

    :param columns: the columns that ``requests`` has.
    """
    pa = arrow()
    compute = pa.compute
    marks = pa.concat_tables([_seen(requests, columns), _tracked(events)])
    values = {}
    for name in _TEXTS:
        of_requests = requests[name] if name in columns else _nothing(requests)
        of_events = events[name] if name in events.column_names else _nothing(events)
        # Numbers are sorted and grouped in a fraction of what texts would take.
        codes, values[name] = encoded(of_requests, of_events)
        marks = marks.append_column(name, codes)
    marks = marks.sort_by([("date", "ascending"), (ID, "ascending")]).combine_chunks()
    places = compute.cumulative_sum(pa.repeat(1, marks.num_rows), start=-1)
    marks = marks.append_column("place", _if(compute.is_valid(marks["viewed"]), places))
    visits = _grouped(marks).filter(compute.is_valid(compute.field("visit")))
    found = {name: visits[name] for name in visits.column_names}
    for page in ("entry", "exit"):
        found[f"{page}_date"] = marks["date"].take(found[page])
        found[f"{page}_path"] = compute.take(values["path"], marks["path"].take(found[page]))
    for name in ("visit", "visitor"):
        found[name] = compute.take(values[name], found[name])
    schema = pa.schema(list(arrow_types(VISIT_KINDS).items()))
    order = [("visitor", "ascending"), ("visit", "ascending")]
    return pa.table({n: found[n] for n in schema.names}).cast(schema).sort_by(order)


def _grouped(marks: pa.Table) -> pa.Table:
    asked = [(column, function) for _, column, function in _FIGURES]
    grouped = marks.group_by(_KEYS, use_threads=False).aggregate(asked)
    return grouped.select(
        [*_KEYS, *(f"{column}_{function}" for _, column, function in _FIGURES)]
    ).rename_columns([*_KEYS, *(name for name, _, _ in _FIGURES)])


def _nothing(rows: pa.Table) -> pa.ChunkedArray:
    pa = arrow()
    return pa.chunked_array([pa.nulls(rows.num_rows, pa.string())])


def _seen(requests: pa.Table, columns: Mapping[str, Kind]) -> pa.Table:
    """Return what requests add to their visits."""
    pa = arrow()
    date = requests["date"]
    viewed = _if(is_page_view(requests, columns), date)
    return pa.table({
        "person": person_of(requests, columns),
        "date": date,
        ID: requests[ID],
        "requested": date,
        "viewed": viewed,
        "interacted": viewed,
        "tracked": pa.nulls(requests.num_rows, date.type),
    })  # fmt: skip


def person_of(requests: pa.Table, columns: Mapping[str, Kind]) -> Any:
    """Return whether each request is not known to be a bot's."""
    pa = arrow()
    if "bot" in columns:
        return pa.compute.is_null(requests["bot"])
    return pa.repeat(True, requests.num_rows)


def is_page_view(requests: pa.Table, columns: Mapping[str, Kind]) -> Any:
    """As in ``asking.metrics.page_view``, bots included: their visits have rows of their own."""
    compute = arrow().compute
    status = requests["status_code"]
    answered = compute.or_(
        compute.and_(compute.greater_equal(status, 200), compute.less_equal(status, 299)),
        compute.equal(status, 304),
    )
    viewed = compute.and_(answered, compute.equal(_text(requests["method"]), "GET"))
    if "mimetype" in columns:
        html = compute.equal(_text(requests["mimetype"]), "text/html")
        viewed = compute.and_(viewed, html)
    return compute.fill_null(viewed, False)


def _tracked(events: pa.Table) -> pa.Table:
    """Return what events add to their visits."""
    pa = arrow()
    date = events["date"]
    nothing = pa.nulls(events.num_rows, date.type)
    return pa.table({
        "person": events["person"],
        "date": date,
        ID: events[ID],
        "requested": nothing,
        "viewed": nothing,
        "interacted": date,
        "tracked": date,
    })  # fmt: skip


def _if(condition: Any, values: Any) -> Any:
    pa = arrow()
    return pa.compute.if_else(condition, values, pa.scalar(None, values.type))


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return texts themselves, where they are held in a dictionary."""
    pa = arrow()
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
