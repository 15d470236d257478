"""Custom events: from requests and from elsewhere, through the recorder into their table."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from enum import Enum
from threading import Thread
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask, abort, copy_current_request_context, stream_with_context
from flask_sqlalchemy import SQLAlchemy
from werkzeug.test import run_wsgi_app

from flask_statistics import ConfigurationError, Statistics
from flask_statistics.recording.event import take_event
from tests.conftest import Host

MakeHost = Callable[..., Host]


def events(host: Host) -> list[dict[str, Any]]:
    """Return the events once all that was recorded is stored, oldest first."""
    host.rows()
    table = host.app.extensions["statistics"].tables.event
    with host.engine.connect() as connection:
        found = connection.execute(sa.select(table).order_by(table.c.id)).mappings()
        return [dict(row) for row in found]


def event(host: Host) -> dict[str, Any]:
    """Return the only event."""
    (found,) = events(host)
    return found


def properties(host: Host) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(event(host)["properties"])
    return found


def visits(host: Host) -> list[dict[str, Any]]:
    table = host.app.extensions["statistics"].tables.visit
    with host.engine.connect() as connection:
        return [dict(row) for row in connection.execute(sa.select(table)).mappings()]


def tracks(host: Host, name: str = "x") -> Callable[[], str]:
    """Return a view that tracks one event."""

    def view() -> str:
        host.statistics.track(name)
        return "x"

    return view


def serve(host: Host, view: Callable[..., Any], path: str = "/x") -> None:
    host.app.add_url_rule(path, view.__name__, view)


@pytest.fixture
def tracking(make_host: MakeHost, database_url: str) -> Host:
    """A host with a view that tracks two events."""
    host = make_host(url=database_url, settings={"STATISTICS_SITE": "shop"})

    def buy() -> str:
        host.statistics.track("add", tea="Assam")
        host.statistics.track("buy", tea="Assam", revenue=12.5, currency="eur")
        return "<p>bought"

    serve(host, buy)
    return host


def test_an_event_of_a_request(tracking: Host) -> None:
    """It is joined to visitor, visit and request."""
    tracking.open("/x")
    add, buy = events(tracking)
    (row,) = tracking.stored()
    shared = ("visitor", "visit", "request_id", "path", "username", "site")
    for one in (add, buy):
        assert [one[name] for name in shared] == [row[name] for name in shared]
        assert one["request_date"] == row["date"] <= one["date"]
        assert one["site"] == "shop"
    assert (add["name"], add["properties"]) == ("add", '{"tea": "Assam"}')
    assert (buy["revenue"], buy["currency"], buy["properties"]) == (12.5, "EUR", '{"tea": "Assam"}')


def test_the_visit_counts_it(tracking: Host) -> None:
    """The visit's number of events and last moment are those of its events."""
    tracking.open("/x")
    tracking.open("/x")
    found = events(tracking)
    (visit,) = visits(tracking)
    assert (visit["hits"], visit["page_views"], visit["events"]) == (2, 2, 4)
    assert visit["last"] == max(one["date"] for one in found)
    assert visit["exit_date"] < visit["last"]
    done = tracking.app.test_cli_runner().invoke(args=["statistics", "visits", "verify"])
    assert done.exit_code == 0, done.output


def test_a_bots_event(tracking: Host) -> None:
    """An event in a bot's request is a bot's."""
    tracking.open("/x", headers={"User-Agent": "Googlebot/2.1"})
    assert {one["person"] for one in events(tracking)} == {False}
    assert [(v["person"], v["events"]) for v in visits(tracking)] == [(False, 2)]


def test_a_request_that_names_itself(tracking: Host) -> None:
    """The event has the request's own name, where it brought one."""
    tracking.open("/x", headers={"X-Request-ID": "abc"})
    assert {one["request_id"] for one in events(tracking)} == {"abc"}
    assert tracking.row()["request_id"] == "abc"


def test_outside_of_requests(make_host: MakeHost, database_url: str) -> None:
    """A background job's event is nobody's; no app context is needed where one app is served."""
    host = make_host(url=database_url)
    host.statistics.track("nightly", rows=3)
    with host.app.app_context():
        host.statistics.track("nightly", rows=4)
    with host.app.test_request_context("/x"):
        host.statistics.track("nightly", rows=5)
    found = events(host)
    assert [json.loads(one["properties"]) for one in found] == [{"rows": n} for n in (3, 4, 5)]
    for one in found:
        assert one["person"] is True
        for name in ("visitor", "visit", "request_date", "request_id", "path", "username", "site"):
            assert one[name] is None
    assert host.stored() == []


def test_outside_of_several_apps() -> None:
    """Where it cannot be known which app is meant, the error says what to do."""
    with pytest.raises(ConfigurationError, match=r"app\.app_context"):
        Statistics().track("x")


@pytest.mark.parametrize("name", ["", None, 5, b"x"])
def test_a_name_that_is_none(host: Host, name: Any) -> None:
    """Anything but a text is a mistake of the caller's."""
    with pytest.raises(TypeError, match="The name of an event must be a text"):
        host.statistics.track(name)


class Tea(str, Enum):
    """A text of a class of the host's."""

    ASSAM = "assam"


class Bad:
    """A value whose methods raise."""

    def __repr__(self) -> str:
        raise ValueError

    def __str__(self) -> str:
        raise ValueError


class BadNumber(int):
    """A number whose methods raise."""

    def __float__(self) -> float:
        raise ValueError

    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("text", "text"), (1, 1), (1.5, 1.5), (True, True), (None, None),
        (Decimal("1.10"), "1.10"), (date(2024, 1, 2), "2024-01-02"), (Tea.ASSAM, "assam"),
        (math.inf, "inf"), (math.nan, "nan"), (2**70, str(2**70)), (10**5000, "<int>"),
        ([1, "a"], '[1, "a"]'), ({"a": {"b": 1}}, '{"a": {"b": 1}}'), (Bad(), "<Bad>"),
        ("x" * 5000, "x" * 1000), ("a\x00b\ud800", "a\ufffdb\ufffd"), ("☕", "☕"),
        ("https://u:secret@example.org/", "https://REDACTED@example.org/"),
        (b"bytes", "<bytes>"),
    ],
    ids=range(20),
)  # fmt: skip
def test_values_of_properties(make_host: MakeHost, value: Any, stored: Any) -> None:
    """Texts, numbers, booleans and None stay, all else becomes text; nothing raises."""
    host = make_host()
    host.statistics.track("x", value=value)
    assert properties(host) == {"value": stored}


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, "12", True, None, 10**400, BadNumber(1)], ids=range(7)
)
def test_a_revenue_that_is_no_number(make_host: MakeHost, value: Any) -> None:
    """It stays among the properties."""
    host = make_host()
    host.statistics.track("x", revenue=value, currency="Euro")
    found = event(host)
    assert (found["revenue"], found["currency"]) == (None, None)
    assert set(json.loads(found["properties"])) == {"revenue", "currency"}


def test_too_much_of_it(make_host: MakeHost, database_url: str) -> None:
    """Names, numbers and lengths are bounded, and what is stored stays JSON."""
    host = make_host(url=database_url)
    host.statistics.track("n" * 500, **{f"p{n}" * 100: "é" * 900 for n in range(60)})
    host.statistics.track("x", **{f"p{n}": n for n in range(60)})
    long, many = events(host)
    assert long["name"] == "n" * 128
    assert len(long["properties"]) <= 16_000
    assert 10 < len(json.loads(long["properties"])) < 50
    assert json.loads(many["properties"]) == {f"p{n}": n for n in range(50)}


def test_a_large_collection_is_not_read_to_its_end() -> None:
    """No more of a list is made JSON than is kept."""
    read: list[int] = []

    class Numbers(list[int]):
        """A list that notes what is read of it."""

        def __iter__(self) -> Iterator[int]:
            for number in range(10**9):
                read.append(number)
                yield number

    (found,) = take_event(0.0, "x", {"value": Numbers([0])}).properties
    assert found[1].startswith("[0, 1, 2")
    assert len(found[1]) == 1000
    assert len(read) < 1000


def test_too_many_events_of_a_request(make_host: MakeHost) -> None:
    """A request's events are bounded; what is too much is counted."""
    host = make_host()

    def loop() -> str:
        for number in range(150):
            host.statistics.track("x", number=number)
        return "x"

    serve(host, loop)
    host.open("/x")
    assert len(events(host)) == 100
    status = host.app.extensions["statistics"].recorder.status()
    assert status["dropped"] == {"too many events in a request": 50}
    assert status["received"] == status["stored"] + 50


def test_a_request_that_is_not_recorded(make_host: MakeHost, database_url: str) -> None:
    """What is excluded or opted out leaves no event either."""
    host = make_host(url=database_url, disable_f=lambda: True)

    def view() -> str:
        host.statistics.track("x")
        return "x"

    serve(host, view)
    host.open("/x")
    other = make_host(settings={"STATISTICS_EXCLUDE_PATHS": ["/x"]})
    serve(other, tracks(other))
    other.open("/x")
    off = make_host(settings={"STATISTICS_ENABLED": False})
    off.statistics.track("x")
    assert events(host) == events(other) == events(off) == []


def test_a_view_that_raises(make_host: MakeHost) -> None:
    """The event happened, and so it is kept, in a failing request too."""
    host = make_host()

    def fail() -> str:
        host.statistics.track("before")
        raise ValueError

    def missing() -> str:
        host.statistics.track("missing")
        abort(404)

    serve(host, fail)
    serve(host, missing, "/y")
    host.open("/x")
    host.open("/y")
    assert [one["name"] for one in events(host)] == ["before", "missing"]
    assert [row["status_code"] for row in host.stored()] == [500, 404]


def test_in_a_stream(make_host: MakeHost, database_url: str) -> None:
    """An event while the body is sent is its request's."""
    host = make_host(url=database_url)

    def stream() -> Any:
        def body() -> Iterator[str]:
            yield "a"
            host.statistics.track("half")
            yield "b"

        return host.app.response_class(stream_with_context(body()))

    serve(host, stream)
    host.open("/x")
    assert event(host)["request_id"] == host.row()["request_id"]


def test_after_the_request(make_host: MakeHost, database_url: str) -> None:
    """A thread that goes on after its request still tracks for its visitor and visit."""
    host = make_host(url=database_url)
    late: list[Callable[[], None]] = []

    def view() -> str:
        late.append(copy_current_request_context(lambda: host.statistics.track("mailed")))
        return "x"

    serve(host, view)
    host.open("/x")
    row = host.row()
    thread = Thread(target=late[0])
    thread.start()
    thread.join()
    found = event(host)
    assert (found["visitor"], found["visit"]) == (row["visitor"], row["visit"])
    assert (found["request_date"], found["path"]) == (row["date"], "/x")
    assert len(host.stored()) == 1
    assert [(v["hits"], v["events"]) for v in visits(host)] == [(1, 1)]


@pytest.mark.parametrize("settings", [{"STATISTICS_SYNC": True}, {}])
def test_in_memory_and_at_once(make_host: MakeHost, settings: dict[str, Any]) -> None:
    """Where rows are stored at once, events are."""
    url = "sqlite://" if not settings else None
    host = make_host(url=url, settings=settings)
    serve(host, tracks(host))
    host.open("/x")
    host.statistics.track("y")
    table = host.app.extensions["statistics"].tables.event
    with host.engine.connect() as connection:
        assert list(connection.scalars(sa.select(table.c.name).order_by(table.c.id))) == ["x", "y"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_after_a_fork(make_host: MakeHost, sqlite_url: str) -> None:
    """A child's event is stored by the child."""
    host = make_host(url=sqlite_url)
    host.statistics.track("parent")
    assert host.statistics.flush()
    child = os.fork()
    if not child:
        host.statistics.track("child")
        os._exit(0 if host.statistics.flush(60) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert [one["name"] for one in events(host)] == ["parent", "child"]


def test_a_model_of_few_columns(make_host: MakeHost, database_url: str) -> None:
    """What the host does not want of requests is not kept with events either."""

    def model(db: SQLAlchemy) -> Any:
        columns = {
            "id": db.Column(db.Integer, primary_key=True),
            "date": db.Column(db.DateTime),
            "status_code": db.Column(db.Integer),
        }
        return type("Request", (db.Model,), columns)

    host = make_host(url=database_url, model=model)
    serve(host, tracks(host))
    host.open("/x")
    found = event(host)
    for name in ("visitor", "visit", "request_id", "path", "username", "site"):
        assert found[name] is None
    assert found["request_date"] is not None
    assert visits(host) == []


def test_a_request_that_the_database_refuses(make_host: MakeHost) -> None:
    """It takes its events with it, and no others."""
    host = make_host()
    with host.engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER refuse BEFORE INSERT ON request WHEN NEW.path = '/bad' "
            "BEGIN SELECT RAISE(ABORT, 'no'); END"
        )

    def view(name: str) -> str:
        host.statistics.track(name)
        return name

    serve(host, view, "/<name>")
    for path in ("/good", "/bad", "/better"):
        host.open(path)
    with host.app.app_context():
        assert host.statistics.flush() is False
    assert [one["name"] for one in events(host)] == ["good", "better"]


def test_another_apps_events(make_host: MakeHost) -> None:
    """One Statistics for two apps: the current app's table gets the event."""
    statistics = Statistics()
    first = make_host(statistics=statistics)
    second = make_host(statistics=statistics)
    with second.app.app_context():
        statistics.track("x")
    assert (len(events(first)), len(events(second))) == (0, 1)


def test_an_unread_body(make_host: MakeHost) -> None:
    """A client that goes away in the middle takes no event with it."""
    host = make_host()

    def view() -> Iterator[str]:
        host.statistics.track("x")
        return iter(["a", "b"])

    serve(host, view)
    body, *_ = run_wsgi_app(host.app, {"PATH_INFO": "/x", "REQUEST_METHOD": "GET",
                                       "SERVER_NAME": "localhost", "SERVER_PORT": "80",
                                       "wsgi.url_scheme": "http"})  # fmt: skip
    next(iter(body))
    body.close()  # type: ignore[attr-defined]
    assert event(host)["name"] == "x"
    assert isinstance(host.app, Flask)
