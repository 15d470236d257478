"""Which spans of time become segments: by the number of their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from itertools import pairwise

#: Rows of a segment: enough to compress well, few enough to be made in little memory.
TARGET = 105_000
#: A segment is not made larger than this.
LARGEST = 160_000
_DAY, _HOUR, _SECOND = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)

Span = tuple[datetime, datetime]
#: Returns the number of rows of each hour of a day, 0 to 23.
HourCounts = Callable[[date], Mapping[int, int]]


def divide(
    begin: datetime, end: datetime, days: Mapping[date, int], hours: HourCounts
) -> list[Span]:
    """Return the half-open spans of the segments between two moments, without a gap.

    Each lies within one UTC day, or is made of whole ones.

    :param days: the number of rows of each day; 0 where not named.
    :param hours: asked for days that are too large for one segment.
    """
    spans: list[Span] = []
    opened, rows = begin, 0
    for day in sorted(day for day in days if days[day]):
        starts = max(datetime.combine(day, time.min), begin)
        ends = min(datetime.combine(day, time.min) + _DAY, end)
        if starts >= ends:
            continue
        alone = days[day] > LARGEST or not (_is_midnight(starts) and _is_midnight(ends))
        # Where an empty part of a day came before, it stays a segment of its own.
        full = rows + days[day] > LARGEST or not _is_midnight(opened)
        if opened < starts and (alone or full):
            spans += _whole_days(opened, starts)
            opened, rows = starts, 0
        rows += days[day]
        if alone:
            spans += _within(starts, ends, hours(day)) if rows > LARGEST else [(starts, ends)]
        elif rows >= TARGET:
            spans.append((opened, ends))
        else:
            continue
        opened, rows = ends, 0
    return spans + _whole_days(opened, end)


def _whole_days(begin: datetime, end: datetime) -> list[Span]:
    """Split what is not whole days from what is."""
    if begin >= end:
        return []
    last_midnight = datetime.combine(end.date(), time.min)
    cuts = [begin]
    if not _is_midnight(begin) and begin.date() < end.date():
        cuts.append(datetime.combine(begin.date(), time.min) + _DAY)
    if cuts[-1] < last_midnight < end:
        cuts.append(last_midnight)
    cuts.append(end)
    return [(one, other) for one, other in pairwise(cuts) if one < other]


def _within(begin: datetime, end: datetime, hours: Mapping[int, int]) -> Iterator[Span]:
    """Split a part of one day at hours, and a crowded hour at whole seconds."""
    opened, held = begin, 0
    for hour in range(24):
        starts = datetime.combine(begin.date(), time(hour))
        starts, ends = max(starts, begin), min(starts + _HOUR, end)
        rows = hours.get(hour, 0)
        if starts >= ends:
            continue
        if held and held + rows > LARGEST:
            yield opened, starts
            opened, held = starts, 0
        pieces = -(-rows // TARGET) if rows > LARGEST else 1
        for piece in range(1, pieces):
            cut = starts + timedelta(seconds=(ends - starts) // _SECOND * piece // pieces)
            if opened < cut:
                yield opened, cut
                opened = cut
        held += -(-rows // pieces)
    if opened < end:
        yield opened, end


def _is_midnight(moment: datetime) -> bool:
    return moment.time() == time.min
