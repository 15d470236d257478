"""Two dimensions at once, lines of a chart, and weeks that begin on Sunday."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from flask_statistics.asking.answers import Answers
from flask_statistics.asking.query import Period, Query
from flask_statistics.errors import QueryError
from tests.asked import NOON, VIEW, Base, Row, answers_about, store

DAY = date(2024, 5, 17)
UTC = ZoneInfo("UTC")
QUERY = Query(Period(DAY, DAY, UTC), group_by=("browser", "platform"))


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    engine = sa.create_engine(database_url)
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


def request(browser: str | None, platform: str | None, **values: Any) -> Row:
    return {**VIEW, "browser": browser, "platform": platform, "visit": "v", **values}


PAIRS = [("A", "x"), ("A", "x"), ("A", "y"), ("a", "x"), ("A", None), (None, "x"), (None, None)]


@pytest.fixture
def answers(engine: sa.Engine) -> Answers:
    store(engine, [request(*pair) for pair in [*PAIRS, ("", "")]])
    return answers_about(engine)


def test_breakdown_by_two_dimensions(answers: Answers) -> None:
    """Pairs are counted exactly, those without one or both values too."""
    found = answers.breakdown(QUERY.replace(metrics=("hits", "visits", "response_time_p50")))
    assert (found.dimension, found.total) == ("browser,platform", 6)
    assert [(row["value"], row["hits"], row["visits"]) for row in found.rows] == [
        (["A", "x"], 2, 1),
        ([None, None], 2, 1),
        (["A", "y"], 1, 1),
        (["A", None], 1, 1),
        (["a", "x"], 1, 1),
        ([None, "x"], 1, 1),
    ]


@pytest.mark.parametrize("order", ["value", "-value", "-hits", "-visits", "last"])
def test_pages_of_pairs(answers: Answers, order: str) -> None:
    """Pages of pairs are parts of the whole; the total is the same on each."""
    query = QUERY.replace(metrics=("hits", "visits", "bounce_rate"), order=order)
    rows = answers.breakdown(query).rows
    pages = [answers.breakdown(query.replace(limit=2, offset=offset)) for offset in (0, 2, 4, 6)]
    assert [row for page in pages for row in page.rows] == rows
    assert {page.total for page in pages} == {6}


def test_a_dimension_of_requests_with_one_of_visits(engine: sa.Engine) -> None:
    """A column and a page of the visit group together."""
    later = NOON + timedelta(seconds=5)
    store(engine, [request("A", "x", path="/a"), request("A", "x", path="/b", date=later)])
    query = QUERY.replace(group_by=("path", "entry_path"), metrics=("hits",), order="value")
    rows = answers_about(engine).breakdown(query).rows
    assert [(row["value"], row["hits"]) for row in rows] == [(["/a", "/a"], 1), (["/b", "/a"], 1)]


def test_lines_of_a_chart(engine: sa.Engine) -> None:
    """Each of the first values has a line of all buckets; the others are only in the total."""
    days = [("A", 0), ("A", 0), ("A", 2), (None, 1), (None, 0), ("B", 1)]
    rows = [request(name, None, date=NOON - timedelta(days=day)) for name, day in days]
    store(engine, rows)
    query = Query(
        Period(DAY - timedelta(days=2), DAY, UTC),
        group_by=("browser",),
        metrics=("hits", "visits"),
        limit=2,
    ).replace(bucket="day")
    found = answers_about(engine).series(query)
    assert (found.dimension, found.total) == ("browser", 3)
    lines = {line["value"]: line["points"] for line in found.series}
    assert list(lines) == ["A", None]
    assert [[point["hits"] for point in points] for points in lines.values()] == [
        [1, 0, 2],
        [0, 1, 1],
    ]
    assert lines["A"][1] == {"start": "2024-05-16", "hits": 0, "visits": 0}


def test_lines_of_pairs_by_the_hour(engine: sa.Engine) -> None:
    """The two hours of an autumn change are two buckets of each pair's line."""
    change = datetime(2024, 10, 27, 0, 30)
    rows = [request("A", "x", date=change), request("A", "x", date=change + timedelta(hours=1))]
    store(engine, [*rows, request("A", None, date=change)])
    zone = ZoneInfo("Europe/Berlin")
    period = Period(date(2024, 10, 27), date(2024, 10, 27), zone)
    found = answers_about(engine).series(QUERY.replace(period=period, metrics=("hits",)))
    assert [line["value"] for line in found.series] == [["A", "x"], ["A", None]]
    for line, hits in zip(found.series, ([1, 1], [1, 0]), strict=True):
        assert len(line["points"]) == 25
        assert [point["hits"] for point in line["points"][2:4]] == hits


def test_weeks_from_sunday(engine: sa.Engine) -> None:
    """A week begins on Monday, or on Sunday where that is asked for, in the reader's zone."""
    sunday = date(2024, 5, 19)
    store(engine, [{"date": datetime(2024, 5, day, 23, 30)} for day in range(10, 28)])
    for zone, moved in (("UTC", 0), ("Europe/Berlin", 1)):
        period = Period(date(2024, 5, 11), date(2024, 5, 27), ZoneInfo(zone))
        query = Query(period, metrics=("hits",))
        for bucket, first in (("week", 1), ("week-sunday", 0)):
            points = answers_about(engine).timeseries(query.replace(bucket=bucket))
            expected: dict[str, int] = {}
            for day in range(10, 28):
                local = date(2024, 5, day) + timedelta(days=moved)
                if period.start <= local <= period.end:
                    start = local - timedelta(days=(local - sunday).days % 7 - first)
                    start -= timedelta(days=7 if start > local else 0)
                    expected[start.isoformat()] = expected.get(start.isoformat(), 0) + 1
            assert {point["start"]: point["hits"] for point in points} == expected


def test_a_week_before_the_calendar(engine: sa.Engine) -> None:
    """The first week of the calendar begins with its first day, which is a Monday."""
    store(engine, [])
    query = Query(Period(date.min, date(1, 1, 8), UTC), metrics=("hits",), bucket="week-sunday")
    points = answers_about(engine).timeseries(query)
    assert [point["start"] for point in points] == ["0001-01-01", "0001-01-07"]


def test_groups_that_cannot_be_asked_for(answers: Answers) -> None:
    """Three dimensions, one of them twice, and charts of too many points are refused."""
    for names, text in (
        (("browser", "platform", "path"), "a breakdown is by one dimension, or by two"),
        (("browser", "browser"), "browser is given 2 times"),
        (("browser", "date"), "date is not a dimension"),
    ):
        for ask in (answers.breakdown, answers.series):
            with pytest.raises(QueryError) as refused:
                ask(QUERY.replace(group_by=names))
            assert str(refused.value) == f"dimension: {text}"
    years = QUERY.replace(period=Period(date(2000, 1, 1), date(2026, 12, 31), UTC), bucket="day")
    with pytest.raises(QueryError) as refused:
        answers.series(years)
    assert str(refused.value) == "limit: 6 lines of 9862 points are too many"
