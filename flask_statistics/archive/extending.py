"""Bringing the archive up to date: new rows, changed days, and what came to pruned days."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from ..changes import SETTLED, move_horizon, read_horizon
from .absorbing import finish_absorbing, write_absorbed
from .dividing import Span, divide
from .gathering import filtered, together
from .manifest import Kind, Segment
from .opening import Change, read_pruned
from .reading_rows import Found, count_days, count_hours, find_each, find_rows, numbers_of
from .schema import ID, arrow, event_kinds, kinds
from .segments import Content, in_order, read_events, read_requests, write_segment

if TYPE_CHECKING:
    import pyarrow as pa

#: Late rows of pruned days that are moved into the archive at once.
ADDED = 20_000
#: A number that no day ever has, so that what holds it counts as changed.
_UNFINISHED = -1
_TICK = timedelta(microseconds=1)


class PrunedMeanwhileError(Exception):
    """Raised where rows are being pruned that were to be read from the table."""


def extend(change: Change, begin: datetime, *, ahead: bool = False) -> None:
    """Add segments of what was not archived yet.

    :param begin: where an archive that holds nothing begins.
    :param ahead: whether to read a span while the one before is written.
    """
    horizon = _move_horizon(change)
    begin = max(change.manifest.horizon, begin)
    if begin >= horizon:
        return
    days = count_days(change.host, begin, horizon)
    spans = divide(begin, horizon, days, lambda day: count_hours(change.host, day))
    with closing(find_each(change.host, spans, ahead=ahead)) as found:
        for span in spans:
            if not change.go_on():
                return
            change.commit([], [_archived(change, span, found)])


def _move_horizon(change: Change) -> datetime:
    """Move the horizon forward, to a whole minute; who stores rows from now on knows of it."""
    host = change.host
    settled = (change.now - SETTLED).replace(second=0, microsecond=0)
    with host.engine.begin() as connection:
        horizon = max(read_horizon(connection, host.tables), settled)
        move_horizon(connection, host.tables, horizon)
    change.archive.step("horizon moved")
    return horizon


def _archived(change: Change, span: Span, founds: Iterator[Found]) -> Segment:
    """Write a segment from what the table holds of a span that was never pruned.

    :param founds: gives that next; what it gives is let go once it is in order.
    """
    begin, end = span
    found = next(founds)
    if (found.pruned or datetime.min) > begin:
        raise PrunedMeanwhileError
    numbers, content = found.numbers, [content_of(change, found.requests, found.events)]
    del found
    segment = write_segment(change.archive, begin, end, numbers, in_order(content.pop()))
    change.progress(segment.rows)
    return segment


def content_of(change: Change, requests: pa.Table, events: pa.Table) -> Content:
    host = change.host
    return Content(requests, events, kinds(host.model), event_kinds(host.tables))


def refresh_changed(change: Change) -> None:
    """Make segments anew whose days changed."""
    host = change.host
    with host.engine.connect() as connection:
        numbers = numbers_of(connection, host, datetime.min, change.now + timedelta(days=1))
    for segment in change.manifest.segments:
        if not change.go_on():
            return
        if segment.changed_days(numbers):
            refresh(change, segment)


def refresh(change: Change, segment: Segment) -> None:
    """Make a segment anew: of pruned days what it holds and what came since, else the table."""
    if segment.begin < pruned_before(change):
        while add_to_pruned(change, segment) and change.go_on():
            (segment,) = change.manifest.between(segment.begin, segment.begin + _TICK)
        return
    try:
        change.commit([segment], archived(change, segment.begin, segment.end))
    except PrunedMeanwhileError:
        refresh(change, segment)


def archived(
    change: Change, begin: datetime, end: datetime, *, ahead: bool = False
) -> list[Segment]:
    """Write segments from what the table holds of a span that was never pruned.

    :param ahead: whether to read a part while the one before is written.

    :raises PrunedMeanwhileError: where it is being pruned.
    """
    host = change.host
    days = count_days(host, begin, end)
    spans = divide(begin, end, days, lambda day: count_hours(host, day))
    with closing(find_each(host, spans, ahead=ahead)) as found:
        return [_archived(change, span, found) for span in spans]


def pruned_before(change: Change) -> datetime:
    """Return the moment before which the table was pruned; ``datetime.min`` if never."""
    with change.host.engine.connect() as connection:
        return read_pruned(connection, change.host.tables) or datetime.min


def add_to_pruned(change: Change, segment: Segment) -> bool:
    """Add what came to a segment of pruned days; return whether there is more."""
    found = find_rows(change.host, segment.begin, segment.end)
    pruned = found.pruned or datetime.min
    requests, more = _first(before(found.requests, pruned))
    events, more_events = _first(before(found.events, pruned))
    more = more or more_events
    days: Mapping[date, int] = found.numbers
    if more:
        changed = segment.changed_days(found.numbers)
        days = {**found.numbers, **dict.fromkeys(changed, _UNFINISHED)}
    if not (requests.num_rows or events.num_rows) and segment.end <= pruned:
        change.commit([segment], [replace(segment, days=dict(days))])
        return False
    merged = _merged(change, segment, found, requests, events, pruned)
    new = write_segment(change.archive, segment.begin, segment.end, days, merged)
    absorbed = None
    if requests.num_rows or events.num_rows:
        absorbed = write_absorbed(change, requests, events)
    change.commit([segment], [new], absorbed)
    change.progress(new.rows)
    finish_absorbing(change)
    return more


def _merged(
    change: Change,
    segment: Segment,
    found: Found,
    requests: pa.Table,
    events: pa.Table,
    pruned: datetime,
) -> Content:
    """Return what a segment held before ``pruned``, what was added, and the table's since."""
    held = held_of(change, segment)
    return content_of(
        change,
        together(before(held.requests, pruned), requests, since(found.requests, pruned)),
        together(before(held.events, pruned), events, since(found.events, pruned)),
    )


def held_of(change: Change, segment: Segment) -> Content:
    """Return what a segment holds, with the columns of today."""
    columns: Mapping[str, Kind] = kinds(change.host.model)
    events: Mapping[str, Kind] = event_kinds(change.host.tables)
    return Content(
        read_requests(change.archive, segment, columns),
        read_events(change.archive, segment, events),
        columns,
        events,
    )


def _first(rows: pa.Table) -> tuple[pa.Table, bool]:
    return rows.sort_by(ID).slice(0, ADDED), rows.num_rows > ADDED


def before(rows: pa.Table, moment: datetime) -> pa.Table:
    return filtered(rows, are_before(rows, moment))


def since(rows: pa.Table, moment: datetime) -> pa.Table:
    return filtered(rows, arrow().compute.invert(are_before(rows, moment)))


def are_before(rows: pa.Table, moment: datetime) -> pa.ChunkedArray:
    """Return which rows are older than a moment; their dates are never NULL."""
    pa = arrow()
    return pa.compute.less(rows["date"], pa.scalar(moment, pa.timestamp("us")))
