"""Days of a time zone are exact spans of UTC, and buckets cover them."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo, available_timezones

import pytest

from flask_statistics.asking.period import MOST_BUCKETS, Period
from flask_statistics.errors import QueryError


def period(start: str, end: str, zone: str = "UTC") -> Period:
    return Period(date.fromisoformat(start), date.fromisoformat(end), ZoneInfo(zone))


@pytest.mark.parametrize(
    ("zone", "day", "begins", "hours"),
    [
        ("UTC", "2024-03-31", "2024-03-31 00:00:00", 24),
        ("Europe/Berlin", "2024-03-31", "2024-03-30 23:00:00", 23),
        ("Europe/Berlin", "2024-10-27", "2024-10-26 22:00:00", 25),
        ("Asia/Kathmandu", "2024-01-01", "2023-12-31 18:15:00", 24),
        ("Australia/Lord_Howe", "2024-04-07", "2024-04-06 13:00:00", 24.5),
        ("Australia/Lord_Howe", "2024-10-06", "2024-10-05 13:30:00", 23.5),
        # Clocks go forward at midnight: the day begins at 01:00.
        ("Asia/Beirut", "2024-03-31", "2024-03-30 22:00:00", 23),
        # Clocks go back at 01:00: midnight comes twice, and the day begins at the first.
        ("America/Havana", "2024-11-03", "2024-11-03 04:00:00", 25),
        # Clocks went from 23:30 to 00:30.
        ("America/Toronto", "1919-03-31", "1919-03-31 04:30:00", 23.5),
        # Samoa left out a day.
        ("Pacific/Apia", "2011-12-30", "2011-12-30 10:00:00", 0),
        # Clocks went back at 00:01: the first minute is counted to the day before.
        ("America/St_Johns", "2010-11-07", "2010-11-07 03:30:00", 24),
    ],
)
def test_day(zone: str, day: str, begins: str, hours: float) -> None:
    """A day begins and ends where the zone's rules say."""
    found = period(day, day, zone)
    assert str(found.begins) == begins
    assert found.ends - found.begins == timedelta(hours=hours)


@pytest.mark.parametrize("zone", sorted(available_timezones())[::7])
def test_days_follow_each_other(zone: str) -> None:
    """In every zone the year's days touch, and each instant lies in its own local day."""
    info, day = ZoneInfo(zone), date(2024, 1, 1)
    while day.year == 2024:
        found = Period(day, day, info)
        assert found.ends == Period(day + timedelta(1), day + timedelta(1), info).begins
        for instant in (found.begins, found.ends - timedelta(microseconds=1)):
            assert instant.replace(tzinfo=timezone.utc).astimezone(info).date() == day
        day += timedelta(days=1)


def starts(found: Period, length: str) -> list[str]:
    return [bucket.start for bucket in found.buckets(length)]


def test_hours_of_an_autumn_change() -> None:
    """The two hours of an autumn change are two buckets."""
    found = starts(period("2024-10-27", "2024-10-27", "Europe/Berlin"), "hour")
    assert len(found) == 25
    assert found[2:4] == ["2024-10-27T02:00:00+02:00", "2024-10-27T02:00:00+01:00"]


def test_hours_of_a_spring_change() -> None:
    """The hour that a spring change leaves out is no bucket."""
    found = starts(period("2024-03-31", "2024-03-31", "Europe/Berlin"), "hour")
    assert len(found) == 23
    assert found[1:3] == ["2024-03-31T01:00:00+01:00", "2024-03-31T03:00:00+02:00"]


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2024-04-07", ["2024-04-07T01:00:00+11:00", "2024-04-07T01:30:00+10:30"]),
        ("2024-10-06", ["2024-10-06T01:00:00+10:30", "2024-10-06T02:30:00+11:00"]),
    ],
)
def test_hours_of_half_an_hours_change(day: str, expected: list[str]) -> None:
    """Lord Howe's clocks change by 30 minutes: the cut hour begins at the change."""
    assert starts(period(day, day, "Australia/Lord_Howe"), "hour")[1:3] == expected


def test_hours_of_a_zone_off_by_45_minutes() -> None:
    """Hours begin at the zone's full hours."""
    found = starts(period("2024-01-01", "2024-01-01", "Asia/Kathmandu"), "hour")
    assert found[0] == "2024-01-01T00:00:00+05:45"
    assert len(found) == 24


def test_dates_of_buckets() -> None:
    """Weeks begin on Monday, months and years on their first day, be it before the period."""
    found = period("2024-02-28", "2024-03-11")
    assert starts(found, "day")[:3] == ["2024-02-28", "2024-02-29", "2024-03-01"]
    assert starts(found, "week") == ["2024-02-26", "2024-03-04", "2024-03-11"]
    assert starts(found, "month") == ["2024-02-01", "2024-03-01"]
    assert starts(found, "year") == ["2024-01-01"]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Pacific/Kiritimati", "Pacific/Niue"])
def test_all_years(zone: str) -> None:
    """The years 1 to 9999 neither overflow nor lose their ends."""
    found = period("0001-01-01", "9999-12-31", zone)
    assert found.begins.year == 1
    assert found.ends >= datetime(9999, 12, 31)
    assert found.previous() is None
    assert found.year_before() is None
    years = starts(found, found.interval)
    assert (len(years), years[0], years[-1]) == (9999, "0001-01-01", "9999-01-01")
    for length in ("hour", "day", "week", "month"):
        assert starts(period("0001-01-01", "0001-01-02", zone), length)[0] >= "0001-01-01"
        assert starts(period("9999-12-30", "9999-12-31", zone), length)[-1] <= "9999-12-31T23:00:01"


@pytest.mark.parametrize(
    ("end", "length"),
    [
        ("2024-01-02", "hour"),
        ("2024-03-31", "day"),
        ("2025-12-31", "week"),
        ("2033-12-31", "month"),
        ("2199-12-31", "year"),
    ],
)
def test_interval(end: str, length: str) -> None:
    """A chart's interval follows from the length of its period."""
    assert period("2024-01-01", end).interval == length


def test_too_many_buckets() -> None:
    """A chart of too many points is refused with the interval to take."""
    with pytest.raises(QueryError) as refused:
        period("2000-01-01", "2020-12-31").buckets("hour")
    assert str(refused.value) == (
        f"interval: 7671 days are more than {MOST_BUCKETS} buckets of one hour; "
        "take a longer interval, such as month, or fewer days"
    )


def test_unknown_bucket() -> None:
    """An unknown interval is refused with those that there are."""
    with pytest.raises(QueryError) as refused:
        period("2024-01-01", "2024-01-01").buckets("minute")
    assert (
        str(refused.value)
        == "interval: 'minute' is none of hour, day, week, week-sunday, month, year"
    )


def test_start_after_end() -> None:
    """A period that ends before it starts is refused."""
    with pytest.raises(QueryError) as refused:
        period("2024-01-02", "2024-01-01")
    assert str(refused.value) == "start: 2024-01-02 is after the end, 2024-01-01"


def test_periods_to_compare_with() -> None:
    """The period before has as many days; the year before the same dates."""
    assert period("2024-03-01", "2024-03-07").previous() == period("2024-02-23", "2024-02-29")
    assert period("2024-02-29", "2024-03-07").year_before() == period("2023-02-28", "2023-03-07")
