"""Fewer and larger segments, and none that is older than it may be."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, time, timedelta

from .dividing import LARGEST
from .extending import held_of, since
from .gathering import together
from .manifest import Segment
from .opening import Change
from .segments import Content, write_segment

#: Two neighbours are joined where the older one is at most so much larger: each row is then
#: written about as often as the number of rows has digits.
_RATIO = 4


def compact(change: Change) -> None:
    """Join small neighbours."""
    place = len(change.manifest.segments) - 2
    while place >= 0 and change.go_on():
        segments = change.manifest.segments
        if place + 1 < len(segments) and _belong_together(change, *segments[place : place + 2]):
            _join(change, *segments[place : place + 2])
        else:
            place -= 1


def _belong_together(change: Change, older: Segment, newer: Segment) -> bool:
    in_one_day = older.begin.date() == newer.last_day
    if not in_one_day and not (_is_of_whole_days(older) and _is_of_whole_days(newer)):
        return False
    if not older.files or not newer.files:
        return True
    if set(older.columns) != set(newer.columns) or not older.serves(newer.columns):
        return False
    if older.rows + newer.rows > LARGEST or _differ(older, newer):
        return False
    over = in_one_day and newer.end < change.manifest.horizon and _is_midnight(newer.end)
    return over or older.rows <= _RATIO * newer.rows


def _differ(older: Segment, newer: Segment) -> bool:
    """Whether they were made from different states of the day that they share."""
    day = newer.begin.date()
    shared = older.last_day == day
    return shared and older.days.get(day, 0) != newer.days.get(day, 0)


def _join(change: Change, older: Segment, newer: Segment) -> None:
    days = {**older.days, **newer.days}
    if not older.files or not newer.files:
        held = older if older.files else newer
        joined = replace(held, begin=older.begin, end=newer.end, days=days)
    else:
        contents = held_of(change, older), held_of(change, newer)
        joined = write_segment(change.archive, older.begin, newer.end, days, _together(*contents))
    change.commit([older, newer], [joined])


def _together(older: Content, newer: Content) -> Content:
    return replace(
        older,
        requests=together(older.requests, newer.requests),
        events=together(older.events, newer.events),
    )


def oldest_kept(change: Change) -> datetime:
    """Return the moment before which the archive keeps nothing."""
    days = change.host.config.archive_retention_days
    if days is None:
        return datetime.min
    return datetime.combine(change.now.date(), time.min) - timedelta(days=days)


def retire(change: Change) -> None:
    """Drop what is older than the archive may hold; the table may still hold it."""
    oldest = oldest_kept(change)
    gone = [segment for segment in change.manifest.segments if segment.end <= oldest]
    cut = [segment for segment in change.manifest.segments if segment.begin < oldest < segment.end]
    if gone or cut:
        change.commit([*gone, *cut], [_without_older(change, one, oldest) for one in cut])


def _without_older(change: Change, segment: Segment, oldest: datetime) -> Segment:
    days = {day: number for day, number in segment.days.items() if day >= oldest.date()}
    if not segment.files:
        return replace(segment, begin=oldest, days=days)
    held = held_of(change, segment)
    content = replace(
        held, requests=since(held.requests, oldest), events=since(held.events, oldest)
    )
    return write_segment(change.archive, oldest, segment.end, days, content)


def _is_of_whole_days(segment: Segment) -> bool:
    return _is_midnight(segment.begin) and _is_midnight(segment.end)


def _is_midnight(moment: datetime) -> bool:
    return moment.time() == time.min
