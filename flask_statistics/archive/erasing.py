"""Erasing a person from what only the archive holds.

Days whose requests the table holds are made anew from it; this is about the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from ..fields import PERSONAL
from .absorbing import finish_absorbing
from .extending import are_before, content_of, held_of, pruned_before
from .folder import Step
from .gathering import filtered, together
from .manifest import Segment
from .opening import Change, Host, archive_of, changing
from .schema import ID, arrow
from .segments import Content, write_segment

if TYPE_CHECKING:
    import pyarrow as pa

#: The columns of events that can tell about one person.
PERSONAL_OF_EVENTS = ("visitor", "visit", "request_id", "username", "properties")


@dataclass(frozen=True)
class Erased:
    """What was erased.

    :ivar requests: how many requests.
    :ivar events: how many events.
    :ivar segments: how many segments were written anew.
    :ivar days: the UTC days of what was erased.
    """

    requests: int = 0
    events: int = 0
    segments: int = 0
    days: frozenset[date] = frozenset()


def erase(
    host: Host,
    where: Mapping[str, Any],
    *,
    anonymise: bool = False,
    wait: bool = True,
    step: Step | None = None,
) -> Erased:
    """Remove requests and events of pruned days from the archive, or what is personal in them.

    Events are matched by their own columns, and where they were tracked in a request that is.
    The old files go once :func:`~.building.remove_old` was called.

    :param where: values by column; a request matches that has all of them. A list is several
        values of which one suffices.
    :param anonymise: keep the rows, but set what is personal to NULL.
    :raises ArchiveError: where the archive cannot be changed.
    """
    erased = Erased()
    archive = archive_of(host, step)
    if archive.manifest() is None:
        return erased
    with changing(host, archive, wait=wait) as change:
        finish_absorbing(change)
        pruned = pruned_before(change)
        for segment in change.manifest.segments:
            if segment.begin < pruned and segment.files:
                done = _erase_from(change, segment, pruned, where, anonymise=anonymise)
                erased = _added(erased, done)
    return erased


def _added(one: Erased, other: Erased) -> Erased:
    return Erased(
        one.requests + other.requests,
        one.events + other.events,
        one.segments + other.segments,
        one.days | other.days,
    )


def _erase_from(
    change: Change,
    segment: Segment,
    pruned: datetime,
    where: Mapping[str, Any],
    *,
    anonymise: bool,
) -> Erased:
    """Write a segment without what matches before ``pruned``: the table holds what is younger."""
    compute = arrow().compute
    held = held_of(change, segment)
    requests = compute.and_(_matching(held.requests, where), are_before(held.requests, pruned))
    events = _tracked_in(held.events, held.requests.filter(requests))
    if ID not in where:  # it is the id of a request
        events = compute.or_(events, _matching(held.events, where))
    events = compute.and_(events, are_before(held.events, pruned))
    gone = held.requests.filter(requests), held.events.filter(events)
    if not (gone[0].num_rows or gone[1].num_rows):
        return Erased()
    kept = content_of(
        change,
        filtered(held.requests, compute.invert(requests)),
        filtered(held.events, compute.invert(events)),
    )
    if anonymise:
        kept = _with_anonymous(kept, *gone)
    new = write_segment(change.archive, segment.begin, segment.end, dict(segment.days), kept)
    change.commit([segment], [new])
    days = {moment.date() for rows in gone for moment in rows["date"].to_pylist()}
    return Erased(gone[0].num_rows, gone[1].num_rows, 1, frozenset(days))


def _matching(rows: pa.Table, where: Mapping[str, Any]) -> Any:
    """Return which rows have all these values; none where a column is lacking."""
    pa = arrow()
    matching = pa.repeat(bool(where), rows.num_rows)
    for name, value in where.items():
        if name not in rows.column_names:
            return pa.repeat(False, rows.num_rows)
        column = rows[name]
        if pa.types.is_dictionary(column.type):
            column = column.cast(pa.string())
        values = pa.array(value if isinstance(value, list | tuple | set) else [value], column.type)
        matching = pa.compute.and_(matching, pa.compute.is_in(column, values))
    return matching


def _tracked_in(events: pa.Table, requests: pa.Table) -> Any:
    """Return which events were tracked in these requests."""
    pa = arrow()
    if "request_id" in requests.column_names:
        return _is_in(events["request_id"], requests["request_id"])
    if "visitor" not in requests.column_names:
        return pa.repeat(False, events.num_rows)
    pairs = set(zip(requests["date"].to_pylist(), requests["visitor"].to_pylist(), strict=True))
    of_events = zip(events["request_date"].to_pylist(), events["visitor"].to_pylist(), strict=True)
    return pa.array([pair in pairs and pair[1] is not None for pair in of_events], pa.bool_())


def _is_in(column: Any, values: Any) -> Any:
    pa = arrow()
    texts = pa.compute.drop_null(values.cast(pa.string()).combine_chunks())
    return pa.compute.is_in(column.cast(pa.string()), texts)


def _with_anonymous(kept: Content, requests: pa.Table, events: pa.Table) -> Content:
    return replace(
        kept,
        requests=together(kept.requests, _without(requests, PERSONAL)),
        events=together(kept.events, _without(events, PERSONAL_OF_EVENTS)),
    )


def _without(rows: pa.Table, names: Any) -> pa.Table:
    pa = arrow()
    for place, field in enumerate(rows.schema):
        if field.name in names:
            rows = rows.set_column(place, field, pa.nulls(rows.num_rows, field.type))
    return rows
