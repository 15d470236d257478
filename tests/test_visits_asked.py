"""Figures of visits are the same from the table of visits and from the requests alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from flask_statistics.asking.answers import Ask, Breakdown
from flask_statistics.asking.filters import Filter
from flask_statistics.asking.query import Period, Query
from flask_statistics.changes import write_state
from tests.asked import NOON, TABLES, VIEW, Base, Row, answers_about, store

UTC = ZoneInfo("UTC")
DAY = date(2024, 5, 17)
QUERY = Query(Period(DAY, DAY, UTC))
MIDNIGHT = datetime(2024, 5, 17)
FIGURES = ("visits", "bounce_rate", "visit_duration", "views_per_visit")


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    engine = sa.create_engine(database_url)
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


def figures(engine: sa.Engine, query: Query, *names: str) -> dict[str, Any]:
    """Return figures, which must be the same with the table of visits and without."""
    query = query.replace(metrics=names or FIGURES)
    with_table, without = (answers_about(engine, visits=v).summary(query) for v in (True, False))
    assert with_table == without
    return with_table


def view(minutes: float, path: str = "/", **values: Any) -> Row:
    """Return a page view of visit "v" so many minutes after midnight."""
    moment = MIDNIGHT + timedelta(minutes=minutes)
    return {**VIEW, "visit": "v", "path": path, "date": moment, **values}


def test_visit_over_the_border(engine: sa.Engine) -> None:
    """A visit that began the day before, or went on after, counts with what lies in the day."""
    store(engine, [view(-10), view(5), view(8), view(1439, visit="w"), view(1450, visit="w")])
    assert figures(engine, QUERY) == {
        "visits": 2,
        "bounce_rate": 0.5,
        "visit_duration": 90.0,
        "views_per_visit": 1.5,
    }
    assert figures(engine, QUERY.where("entry_path", "/"), "hits") == {"hits": 3}


def test_entry_and_exit_within_the_period(engine: sa.Engine) -> None:
    """The first page of a visit in the period is the entry page, wherever the visit began."""
    store(engine, [view(-1, "/before"), view(1, "/a"), view(2, "/b"), view(1441, "/after")])
    for query in (QUERY.where("entry_path", "/a"), QUERY.where("exit_path", "/b")):
        assert figures(engine, query, "hits", "page_views") == {"hits": 2, "page_views": 2}
    two_days = QUERY.replace(period=Period(DAY - timedelta(1), DAY, UTC))
    assert figures(engine, two_days.where("entry_path", "/before"), "hits") == {"hits": 3}


def test_visit_longer_than_the_period(engine: sa.Engine) -> None:
    """A visit that begins before and ends after the period counts with what lies between."""
    store(engine, [view(-9), view(1), view(2, status_code=500), view(1439), view(1441)])
    expected = {"visits": 1, "bounce_rate": 0.0, "visit_duration": 86_280.0, "views_per_visit": 2.0}
    assert figures(engine, QUERY) == expected


def test_events_are_part_of_visits(engine: sa.Engine) -> None:
    """A visit with an event is no bounce, lasts until it, and is one without any page view."""
    moment = NOON + timedelta(seconds=30)
    event = {"name": "signup", "visit": "v", "date": moment, "request_date": NOON}
    store(engine, [view(720)], [event])
    expected = {"visits": 1, "bounce_rate": 0.0, "visit_duration": 30.0, "views_per_visit": 1.0}
    assert figures(engine, QUERY) == expected
    store(engine, [view(720, method="POST")], [event])
    expected = {"visits": 1, "bounce_rate": 0.0, "visit_duration": 0.0, "views_per_visit": 0.0}
    assert figures(engine, QUERY) == expected
    assert figures(engine, QUERY.where("visit_page_views", "0"), "hits") == {"hits": 1}
    assert figures(engine, QUERY.where("path", "/other"), "visits") == {"visits": 0}


def test_bots_in_a_persons_visit(engine: sa.Engine) -> None:
    """Bots and people who share a visit count together or apart, as the question says."""
    rows = [view(1, "/a"), view(3, "/b", bot="curl"), view(3, "/c", bot="curl"), view(7, "/d")]
    store(engine, rows)
    durations = {None: 360.0, "0": 360.0, "1": 360.0, "only": 0.0}
    views = {None: 2.0, "0": 2.0, "1": 4.0, "only": 2.0}
    for bots, duration in durations.items():
        query = QUERY.replace(include_bots=bots)
        found = figures(engine, query, "visit_duration", "views_per_visit")
        assert list(found.values()) == [duration, views[bots]]
    only = QUERY.replace(include_bots="only")
    assert figures(engine, only.where("entry_path", "/b"), "hits") == {"hits": 2}
    assert figures(engine, only.where("exit_path", "/c"), "hits") == {"hits": 2}


def test_visits_of_one_page_view(engine: sa.Engine) -> None:
    """Visits are found by how many page views they have; requests without a visit have none."""
    rows = [view(1), view(2, visit="w"), view(3, visit="w"), view(3, visit=None)]
    store(engine, [*rows, view(4, visit="x", method="HEAD")])
    for values, hits in ((("1",), 1), ((">=2",), 2), (("1..2",), 3), (("",), 2), (("!1",), 4)):
        query = QUERY.where("visit_page_views", *values)
        assert figures(engine, query, "hits") == {"hits": hits}
    for visits in (True, False):
        found = answers_about(engine, visits=visits).breakdown(
            QUERY.replace(group_by=("visit_page_views",), metrics=("hits",), order="value")
        )
        assert [(row["value"], row["hits"]) for row in found.rows] == [(1, 1), (2, 2), (None, 2)]


def test_a_table_that_does_not_hold_all_visits(engine: sa.Engine) -> None:
    """As long as the table of visits is not complete, visits are computed from the requests."""
    store(engine, [view(1), view(2)])
    with engine.begin() as connection:
        connection.execute(sa.delete(TABLES.visit))
    query = QUERY.replace(metrics=("visits",))
    assert answers_about(engine).summary(query) == {"visits": 0}
    with engine.begin() as connection:
        write_state(connection, TABLES, "visits", "incomplete")
    assert answers_about(engine).summary(query) == {"visits": 1}


def test_a_host_that_has_not_migrated(engine: sa.Engine) -> None:
    """Where the tables of ours are missing, answers are those without visits and events."""
    store(engine, [view(1, track_var='{"plan": "pro"}')], [{"name": "signup", "visit": "v"}])
    for table in (TABLES.event, TABLES.visit, TABLES.state):
        table.drop(engine)
    other = sa.create_engine(engine.url)
    found = answers_about(other).summary(QUERY)
    assert (found["visits"], found["events"], found["revenue"]) == (1, 0, 0)
    by_plan = QUERY.replace(group_by=("prop.plan", "event"), metrics=("hits", "events"))
    (row,) = answers_about(other).breakdown(by_plan).rows
    assert (row["value"], row["hits"], row["events"]) == (["pro", None], 1, 0)
    other.dispose()


def random_rows(chance: random.Random) -> tuple[list[Row], list[Row]]:
    def moment() -> datetime:
        border = MIDNIGHT + timedelta(days=chance.choice((0, 1)))
        return border + timedelta(
            seconds=chance.choice(
                (0, chance.randrange(-90, 90), chance.randrange(-90_000, 90_000))
            ),
            microseconds=chance.choice((0, 0, 1, -1, 250_000)),
        )

    def visit() -> str | None:
        return chance.choice((None, "a", "a", "b", "c", "d"))

    rows = [
        {
            **VIEW, "date": moment(), "visit": visit(), "bot": chance.choice((None, None, "curl")),
            "path": chance.choice(("/", "/a", "/A", "", None)),
            "method": chance.choice(("GET", "GET", "POST")),
            "request_id": chance.choice(("r", "s", None)),
        }
        for _ in range(40)
    ]  # fmt: skip
    events = [
        {
            "date": moment(), "visit": visit(), "person": chance.choice((True, False)),
            "name": chance.choice(("signup", "login")), "revenue": chance.choice((None, 1.5)),
            "request_date": chance.choice(rows)["date"], "request_id": chance.choice("rs"),
        }
        for _ in range(8)
    ]  # fmt: skip
    return rows, events


def random_query(chance: random.Random) -> Query:
    start = DAY + timedelta(days=chance.choice((-1, 0, 0, 0, 1)))
    zone = ZoneInfo(chance.choice(("UTC", "UTC", "Asia/Kathmandu")))
    filters = {
        "path": ("/", "/a", "!/a"),
        "entry_path": ("/", "!/A", ""),
        "exit_path": ("/*", ""),
        "visit_page_views": ("1", ">1", "", "!2"),
        "event": ("signup", "!login", ""),
    }
    chosen = chance.sample(sorted(filters), chance.choice((0, 1, 2)))
    return Query(
        period=Period(start, start + timedelta(days=chance.choice((0, 0, 1))), zone),
        filters=tuple(Filter(name, (chance.choice(filters[name]),)) for name in chosen),
        group_by=(chance.choice(["path", *filters]),),
        metrics=(*FIGURES, "hits", "events", "revenue"),
        bucket="hour",
        include_bots=chance.choice((None, None, "0", "1", "only")),
    )


def rounded(value: Any) -> Any:
    """Return an answer with its means rounded: databases add up in any order."""
    if isinstance(value, Breakdown):
        return value.total, rounded(value.rows)
    if isinstance(value, list):
        return [rounded(part) for part in value]
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    return round(value, 6) if isinstance(value, float) else value


def test_answers_with_and_without_the_table(engine: sa.Engine) -> None:
    """Random questions about random visits have one answer, whatever it is computed from."""
    chance = random.Random(20240517)
    with_table, without = (answers_about(engine, visits=visits) for visits in (True, False))
    for _ in range(6):
        store(engine, *random_rows(chance))
        for _ in range(6):
            query = random_query(chance)
            asks = [Ask(kind, query) for kind in ("summary", "breakdown", "timeseries")]
            for ask, one, other in zip(
                asks, with_table.many(asks), without.many(asks), strict=True
            ):
                assert rounded(one) == rounded(other), ask
