"""Local days and buckets of moments, by :mod:`zoneinfo`, as ``docs/metrics.md`` defines them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

from flask_statistics.asking.query import Period

DAY = timedelta(days=1)
_MINUTE = timedelta(minutes=1)
_QUARTER = timedelta(minutes=15)


def local(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return the local time of a naive moment of UTC.

    Where clocks went back just after midnight (St. John's, 00:01), the minutes before belong to
    the day that goes on: days are in one piece.
    """
    aware = moment.replace(tzinfo=timezone.utc)
    now, soon = aware.astimezone(zone), (aware + _MINUTE).astimezone(zone)
    if soon.date() < now.date():
        return aware.astimezone(timezone(soon.utcoffset() or timedelta()))
    return now


def in_period(moment: datetime, period: Period) -> bool:
    if period.since is not None and moment < period.since:
        return False
    if period.until is not None and moment >= period.until:
        return False
    return period.start <= local(moment, period.zone).date() <= period.end


def bucket(moment: datetime, length: str, zone: ZoneInfo) -> Any:
    """Return what tells the bucket of a moment: a date, or an hour with its offset."""
    here = local(moment, zone)
    if length == "hour":
        return here.replace(tzinfo=None, minute=0, second=0, microsecond=0), here.utcoffset()
    return bucket_start(here.date(), length)


def bucket_start(day: date, length: str) -> date:
    if length == "week":
        return day - DAY * day.weekday()
    if length == "week-sunday":
        return day - DAY * (day.isoweekday() % 7)
    if length == "month":
        return day.replace(day=1)
    return day.replace(month=1, day=1) if length == "year" else day


def buckets(period: Period, length: str) -> dict[Any, str]:
    """Return the start that is shown of every bucket, in order.

    Days of the calendar are buckets also where a zone skipped them; an hour begins at the first
    of its moments.
    """
    found: dict[Any, str] = {}
    if length == "hour":
        for moment in _quarters(period):
            if in_period(moment, period):
                start = local(moment, period.zone).isoformat(timespec="seconds")
                found.setdefault(bucket(moment, length, period.zone), start)
        return found
    for number in range(period.days):
        start_of = bucket_start(period.start + DAY * number, length)
        found[start_of] = start_of.isoformat()
    return found


def _quarters(period: Period) -> Iterator[datetime]:
    """Yield every quarter of an hour of UTC that may lie in the period: clocks change at one,
    or a minute after it."""
    moment = datetime.combine(period.start, datetime.min.time()) - DAY
    end = datetime.combine(period.end, datetime.min.time()) + 3 * DAY
    while moment < end:
        yield moment
        moment += _QUARTER
