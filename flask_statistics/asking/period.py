"""Days of a time zone as spans of UTC, and the buckets that charts cut them into.

All rules come from :mod:`zoneinfo`, never from the database, so that the 23- and 25-hour days,
the zones off by 30 or 45 minutes, and Lord Howe's half-hour change are the same everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from functools import cached_property, lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from ..errors import QueryError

#: The lengths that a chart's bucket may have, shortest first, in seconds on average; weeks begin
#: on Monday unless they say otherwise.
BUCKETS = {
    "hour": 3600,
    "day": 86_400,
    "week": 604_800,
    "week-sunday": 604_800,
    "month": 2_629_746,
    "year": 31_556_952,
}
#: More points than this are no chart, and a heavy answer.
MOST_BUCKETS = 10_000
#: How many of its characters tell a bucket: of "2015-05-17 10:00:00", or its beginning.
LABEL_LENGTH = {"hour": 13, "day": 10, "week": 10, "week-sunday": 10, "month": 7, "year": 4}

_DAY = timedelta(days=1)
# No request was recorded outside of these years; there the offset of the nearer end is used.
_FIRST_YEAR, _LAST_YEAR = 1900, 2099


class Segment(NamedTuple):
    """A span of time with one offset.

    :ivar begins: the first instant, naive UTC.
    :ivar offset: what local time is ahead of UTC, seconds.
    """

    begins: datetime
    offset: int


class Bucket(NamedTuple):
    """One point of a chart.

    :ivar label: local time, cut to :data:`LABEL_LENGTH`.
    :ivar segment: for hours, the number of the segment that it lies in (the two hours of an
        autumn change have one label); else 0.
    :ivar start: ISO 8601: a date, for hours with time and offset.
    """

    label: str
    segment: int
    start: str


def _offset(zone: ZoneInfo, instant: datetime) -> int:
    local = instant.replace(tzinfo=timezone.utc).astimezone(zone)
    return round((local.utcoffset() or timedelta()).total_seconds())


def _change(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """Return the first second after ``low`` with another offset than ``low`` has."""
    before = _offset(zone, low)
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        low, high = (middle, high) if _offset(zone, middle) == before else (low, middle)
    return high


def _segment(changed: datetime, before: int, after: int) -> Segment:
    """Return the segment that a change begins; days stay in one piece.

    St. John's set its clocks back at 00:01 until 2011: the first minute of a day, then the
    last hour of the day before again. That minute is counted to the day before.
    """
    old = changed + timedelta(seconds=before)
    new = changed + timedelta(seconds=after)
    if new.date() < old.date():
        changed -= old - datetime.combine(old.date(), time.min)
    return Segment(changed, after)


@lru_cache(maxsize=2048)
def _changes(zone: ZoneInfo, year: int) -> tuple[Segment, ...]:
    """Return the segments that begin in a UTC year."""
    found = []
    low = datetime(year, 1, 1)
    offset = _offset(zone, low)
    while low.year == year:
        high = low + _DAY
        after = _offset(zone, high)
        if after != offset:
            found.append(_segment(_change(zone, low, high), offset, after))
        low, offset = high, after
    return tuple(found)


def _segments(zone: ZoneInfo, first: date, last: date) -> list[Segment]:
    """Return the segments of all instants of the days, and of some before and after."""
    from_year = min(max(first.year - 1, _FIRST_YEAR), _LAST_YEAR)
    to_year = min(max(last.year + 1, _FIRST_YEAR), _LAST_YEAR)
    segments = [Segment(datetime.min, _offset(zone, datetime(from_year, 1, 1)))]
    for year in range(from_year, to_year + 1):
        segments += _changes(zone, year)
    return segments


def _shifted(moment: datetime, seconds: int) -> datetime:
    try:
        return moment + timedelta(seconds=seconds)
    except OverflowError:
        return datetime.min if seconds < 0 else datetime.max


def _day_begins(segments: list[Segment], day: date) -> datetime:
    """Return the first instant whose local date is ``day`` or later, naive UTC."""
    midnight = datetime.combine(day, time.min)
    for number, segment in enumerate(segments):
        instant = max(_shifted(midnight, -segment.offset), segment.begins)
        if number + 1 == len(segments) or instant < segments[number + 1].begins:
            return instant
    raise AssertionError("the last segment never ends")


@dataclass(frozen=True)
class Period:
    """Days of a time zone, both included.

    :ivar until: an instant, naive UTC, at which it ends early; None where all days are whole.
    :ivar since: an instant, naive UTC, at which it begins late.
    :raises QueryError: when ``start`` is after ``end``.
    """

    start: date
    end: date
    zone: ZoneInfo
    until: datetime | None = None
    since: datetime | None = None

    def __post_init__(self) -> None:
        if self.start > self.end:
            raise QueryError("start", f"{self.start} is after the end, {self.end}")

    @property
    def days(self) -> int:
        """How many days of the calendar."""
        return (self.end - self.start).days + 1

    @cached_property
    def begins(self) -> datetime:
        """The first instant, naive UTC."""
        begins = _day_begins(_segments(self.zone, self.start, self.start), self.start)
        return begins if self.since is None else max(begins, self.since)

    @cached_property
    def ends(self) -> datetime:
        """The first instant after it, naive UTC."""
        if self.end == date.max:
            return self.until or datetime.max
        ends = _day_begins(_segments(self.zone, self.end, self.end), self.end + _DAY)
        return ends if self.until is None else min(ends, self.until)

    @property
    def interval(self) -> str:
        """The length of bucket that suits a chart of it."""
        if self.days <= 2:
            return "hour"
        if self.days <= 100:
            return "day"
        if self.days <= 731:
            return "week"
        return "month" if self.days <= 36_525 else "year"

    def previous(self) -> Period | None:
        """Return the period of as many days just before; None before year 1."""
        try:
            return Period(self.start - _DAY * self.days, self.start - _DAY, self.zone)
        except OverflowError:
            return None

    def year_before(self) -> Period | None:
        """Return the same dates a year earlier (28 for 29 February); None before year 1."""
        if self.start.year == 1:
            return None
        return Period(_year_before(self.start), _year_before(self.end), self.zone)

    def segments(self) -> list[Segment]:
        """Return the spans with one offset each, in order; the first covers the beginning."""
        segments = _segments(self.zone, self.start, self.end)
        begins, ends = self.begins, self.ends
        later = [segment for segment in segments[1:] if begins < segment.begins < ends]
        earlier = [segment for segment in segments if segment.begins <= begins]
        return [Segment(begins, earlier[-1].offset), *later]

    def buckets(self, length: str) -> list[Bucket]:
        """Return the buckets of a chart in order, those without a request included.

        :raises QueryError: for an unknown length, or more than :data:`MOST_BUCKETS` buckets.
        """
        check_bucket(length)
        if self.days * 86_400 / BUCKETS[length] > MOST_BUCKETS:
            raise QueryError(
                "interval",
                f"{self.days} days are more than {MOST_BUCKETS} buckets of one {length}; "
                f"take a longer interval, such as {self.interval}, or fewer days",
            )
        return list(self._hours() if length == "hour" else self._dates(length))

    def _hours(self) -> Iterator[Bucket]:
        segments = self.segments()
        ends = [segment.begins for segment in segments[1:]] + [self.ends]
        for number, (segment, end) in enumerate(zip(segments, ends, strict=True)):
            zone = timezone(timedelta(seconds=segment.offset))
            local = _shifted(segment.begins, segment.offset)
            local_end = _shifted(end, segment.offset)
            while local < local_end:
                start = local.replace(tzinfo=zone).isoformat(timespec="seconds")
                yield Bucket(str(local)[: LABEL_LENGTH["hour"]], number, start)
                local = _shifted(local.replace(minute=0, second=0, microsecond=0), 3600)

    def _dates(self, length: str) -> Iterator[Bucket]:
        day = _bucket_start(self.start, length)
        while day <= self.end:
            yield Bucket(day.isoformat()[: LABEL_LENGTH[length]], 0, day.isoformat())
            try:
                day = _next_start(day, length)
            except (OverflowError, ValueError):  # the year after 9999
                return


def check_bucket(length: str) -> None:
    if length not in BUCKETS:
        raise QueryError("interval", f"{length[:50]!r} is none of {', '.join(BUCKETS)}")


def _year_before(day: date) -> date:
    try:
        return day.replace(year=day.year - 1)
    except ValueError:  # 29 February
        return day.replace(year=day.year - 1, day=28)


def _bucket_start(day: date, length: str) -> date:
    if length == "week":
        return day - _DAY * day.weekday()
    if length == "week-sunday":
        return day - _DAY * min(day.isoweekday() % 7, (day - date.min).days)
    if length == "month":
        return day.replace(day=1)
    return day.replace(month=1, day=1) if length == "year" else day


def _next_start(day: date, length: str) -> date:
    if length == "year":
        return day.replace(year=day.year + 1)
    if length == "month":
        return _bucket_start(day + 31 * _DAY, length)
    if length == "week-sunday":
        return day + _DAY * (7 - day.isoweekday() % 7)
    return day + (7 * _DAY if length == "week" else _DAY)
