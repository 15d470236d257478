"""Events and their properties: which requests they choose, and what is counted of themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from flask_statistics.asking.answers import Answers
from flask_statistics.asking.properties import property_text
from flask_statistics.asking.query import Period, Query
from tests.asked import NOON, TABLES, VIEW, Base, Row, answers_about, store

DAY = date(2024, 5, 17)
QUERY = Query(Period(DAY, DAY, ZoneInfo("UTC")))


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    engine = sa.create_engine(database_url)
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


def request(name: str, **values: Any) -> Row:
    return {**VIEW, "request_id": name, "visit": f"v-{name}", "path": f"/{name}", **values}


def event(name: str, of: str | None, **values: Any) -> Row:
    """Return an event that was tracked a second after the request ``of`` began, or outside."""
    inside = {"request_id": of, "request_date": NOON, "visit": f"v-{of}"} if of else {}
    return {"name": name, "date": NOON + timedelta(seconds=1), **inside, **values}


@pytest.fixture
def answers(engine: sa.Engine) -> Answers:
    """Three requests, one with two events, one with a variable, and an event outside of them."""
    rows = [
        request("a"),
        request("b", track_var='{"plan": "pro", "trial": true}'),
        request("c", track_var='{"plan": "free"'),  # cut off
    ]
    events = [
        event("signup", "a", properties='{"plan": "pro", "seats": 2.50}', revenue=9.5),
        event("login", "a", properties='{"plan": ["x"], "seats": 3}'),
        event("login", "b", properties='{"note": "\\u00e4"}', revenue=0.5, currency="EUR"),
        event("nightly", None, properties='{"plan": "none"}', revenue=1.0),
    ]
    store(engine, rows, events)
    return answers_about(engine)


def rows_of(answers: Answers, query: Query, *metrics: str) -> list[list[Any]]:
    found = answers.breakdown(query.replace(metrics=metrics, order="value"))
    assert found.total == len(found.rows)
    return [[row["value"], *(row[name] for name in metrics)] for row in found.rows]


@pytest.mark.parametrize(
    ("dimension", "values", "paths"),
    [
        ("event", ("signup",), "a"),
        ("event", ("log*",), "ab"),
        ("event", ("signup", ""), "ac"),
        ("event", ("!login",), "c"),
        ("event", ("!",), "ab"),
        ("event", ("",), "c"),
        ("event", ("Signup",), ""),
        ("event", ("nightly",), ""),
        ("prop.plan", ("pro",), "ab"),
        ("prop.plan", ("!pro",), "c"),
        ("prop.plan", ("",), "c"),
        ("prop.seats", ("2.50",), "a"),
        ("prop.seats", ("3",), "a"),
        ("prop.trial", ("true",), "b"),
        ("prop.note", ("ä",), "b"),
        ("prop.currency", ("EUR",), "b"),
        ("prop.none", ("!",), ""),
    ],
)
def test_requests_by_events(
    answers: Answers, dimension: str, values: tuple[str, ...], paths: str
) -> None:
    """A filter holds for a request when any of its values is accepted and none excluded."""
    found = answers.requests(QUERY.where(dimension, *values))
    assert sorted(row["path"] for row in found) == [f"/{path}" for path in paths]
    assert answers.count(QUERY.where(dimension, *values)) == len(paths)


def test_figures_of_events(answers: Answers) -> None:
    """Events count themselves: those outside of requests too, unless requests are asked for."""
    names = ("events", "revenue", "hits")

    def figures(query: Query) -> list[Any]:
        return list(answers.summary(query.replace(metrics=names)).values())

    assert figures(QUERY) == [4, 11.0, 3]
    assert figures(QUERY.where("event", "signup", "nightly")) == [2, 10.5, 1]
    assert figures(QUERY.where("path", "/*")) == [3, 10.0, 3]
    assert figures(QUERY.where("path", "/a").where("event", "login")) == [1, 0, 1]
    assert figures(QUERY.where("prop.plan", "pro")) == [2, 10.0, 2]
    assert figures(QUERY.where("prop.currency", "EUR")) == [1, 0.5, 1]
    assert figures(QUERY.where("entry_path", "/b")) == [1, 0.5, 1]
    assert figures(QUERY.replace(include_bots="only")) == [0, 0, 0]


def test_breakdown_by_event(answers: Answers) -> None:
    """A request counts under each of its events; events outside of requests are listed."""
    query = QUERY.replace(group_by=("event",))
    assert rows_of(answers, query, "hits", "events", "revenue", "visits") == [
        ["login", 2, 2, 0.5, 2],
        ["nightly", 0, 1, 1.0, 0],
        ["signup", 1, 1, 9.5, 1],
        [None, 1, 0, 0, 1],
    ]
    (first,) = answers.breakdown(query.replace(order="-revenue", limit=1)).rows
    assert (first["value"], first["last"]) == ("signup", "2024-05-17T12:00:01Z")
    assert rows_of(answers, query.where("path", "/b"), "hits", "events") == [["login", 1, 1]]


def test_breakdown_by_property(answers: Answers) -> None:
    """Properties come from events and variables; an event without one has its request's."""
    query = QUERY.replace(group_by=("prop.plan",))
    assert rows_of(answers, query, "hits", "events", "revenue") == [
        ["none", 0, 1, 1.0],
        ["pro", 2, 2, 10.0],
        [None, 1, 1, 0],
    ]
    pairs = QUERY.replace(group_by=("event", "prop.plan"))
    assert rows_of(answers, pairs, "hits", "events") == [
        [["login", "pro"], 2, 1],
        [["login", None], 0, 1],
        [["nightly", "none"], 0, 1],
        [["signup", "pro"], 1, 1],
        [[None, None], 1, 0],
    ]


def test_breakdown_of_events_by_request(answers: Answers) -> None:
    """By a recorded column, events are those of the requests."""
    query = QUERY.replace(group_by=("path",))
    assert rows_of(answers, query, "events", "revenue", "bounce_rate") == [
        ["/a", 2, 9.5, 0.0],
        ["/b", 1, 0.5, 0.0],
        ["/c", 0, 0, 1.0],
    ]


def test_events_have_their_own_time(engine: sa.Engine) -> None:
    """An event counts at its own moment, also where its request began in another bucket."""
    before = NOON - timedelta(seconds=1)
    tracked = event("signup", "a", request_date=before, date=NOON)
    store(engine, [request("a", date=before)], [tracked])
    for query in (QUERY, QUERY.where("path", "/a")):
        points = answers_about(engine).timeseries(query.replace(metrics=("hits", "events")))
        assert [(point["hits"], point["events"]) for point in points[11:13]] == [(1, 0), (0, 1)]


def test_events_of_a_moment_that_several_requests_share(engine: sa.Engine) -> None:
    """An event counts once, and belongs to the request with its name."""
    store(engine, [request("a"), request("b"), request("a")], [event("signup", "a")])
    answers = answers_about(engine)
    query = QUERY.replace(metrics=("hits", "events"))
    assert answers.summary(query.where("event", "signup")) == {"hits": 2, "events": 1}
    assert answers.summary(query.where("path", "/*")) == {"hits": 3, "events": 1}


def test_bots_events(engine: sa.Engine) -> None:
    """Events of bots count where bots count."""
    store(engine, [request("a", bot="curl")], [event("signup", "a", person=False)])
    answers = answers_about(engine)
    found = {
        bots: answers.summary(QUERY.replace(include_bots=bots, metrics=("events",)))["events"]
        for bots in (None, "0", "1", "only")
    }
    assert found == {None: 0, "0": 0, "1": 1, "only": 1}


def test_events_without_properties(engine: sa.Engine) -> None:
    """An event may have no properties at all, and the table no event."""
    store(engine, [request("a")], [event("signup", "a")])
    assert rows_of(answers_about(engine), QUERY.replace(group_by=("prop.x",)), "events") == [
        [None, 1]
    ]
    store(engine, [request("a")])
    assert rows_of(answers_about(engine), QUERY.replace(group_by=("event",)), "events") == [
        [None, 0]
    ]


DOCUMENTS: list[tuple[str | None, str | None]] = [
    (None, None),
    ("", None),
    ("{}", None),
    ("null", None),
    ('["a"]', None),
    ('"a"', None),
    ('{"a": "x"}', "x"),
    ('{"a": "é😀"}', "é😀"),
    (json.dumps({"a": "é😀\t\"'\\/ %s :x ~"}), "é😀\t\"'\\/ %s :x ~"),
    ('{"a": " x "}', " x "),
    ('{"a": ""}', ""),
    ('{"a": true}', "true"),
    ('{"a": false}', "false"),
    ('{"a": null}', None),
    ('{"a": [1]}', None),
    ('{"a": {"a": 1}}', None),
    ('{"b": {"a": 1}}', None),
    ('{"b": [{"a": 1}, [[[]]]], "a": "x"}', "x"),
    *((json.dumps({"a": number}), json.dumps(number)) for number in (0, -7, 2.5, 1.0, 1e20, 1e-7)),
    ('{"a": 123456789012345678901234567890}', "123456789012345678901234567890"),
    ('{"a": "x"', None),
    ('{"a": "x', None),
    ('{"a": "x",}', None),
    ('{"a": NaN}', None),
    ("{'a': 1}", None),
    ('{"a": 01}', None),
    ('{"a": "\n"}', None),
    ('{"a": "x"} {"a": "x"}', None),
    ('{"a": "\\u0000"}', None),
    ('{"a": "\\ud83d"}', None),
    ('{"a": "\\ude00\\ud83d"}', None),
    ('{"a": "\\ud83d\\ude00"}', "😀"),
]


def test_properties_are_read_alike(engine: sa.Engine) -> None:
    """Every database finds the same text in a document, and none where it is broken."""
    events = [{"name": "e", "properties": document} for document, _ in DOCUMENTS]
    store(engine, [], events)
    table = TABLES.event.c
    asked = sa.select(property_text(table.properties, "a")).order_by(table.id)
    with engine.connect() as connection:
        found = connection.execute(asked).scalars().all()
    assert list(zip(events, found, strict=True)) == [
        (event, text) for event, (_, text) in zip(events, DOCUMENTS, strict=True)
    ]


def test_names_of_properties(engine: sa.Engine) -> None:
    """A name with dots and colons is one name; it is not a path."""
    store(engine, [request("a", track_var='{"a": {"b": "path"}, "a.b": "name", "x:y": 1}')])
    answers = answers_about(engine)
    assert answers.count(QUERY.where("prop.a.b", "name")) == 1
    assert answers.count(QUERY.where("prop.a.b", "path")) == 0
    assert answers.count(QUERY.where("prop.x:y", "1")) == 1
