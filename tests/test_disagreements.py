"""Where an answer once was not that of the definitions: each case as it was found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask_sqlalchemy import SQLAlchemy

from flask_statistics import RequestMixin
from flask_statistics.archive.building import build
from flask_statistics.asking.answers import Answers, Ask, Kind
from flask_statistics.asking.query import Filter, Period, Query
from flask_statistics.asking.source import table_source
from tests.archived import NOW, archived_host, request, state_of, store
from tests.conftest import Host
from tests.oracle.batches import SOURCES, Batch, Question
from tests.oracle.comparing import compare
from tests.oracle.databases import Database
from tests.oracle.models import Layout
from tests.oracle.rows import VALUES

NOON = datetime(2024, 5, 17, 12)
DAY = Query(Period(NOON.date(), NOON.date(), ZoneInfo("UTC")))
ALL = ("date", *VALUES)
PLAIN: dict[str, Any] = {"id": 1, "date": NOON, **{name: of[0] for name, of in VALUES.items()}}
EVENT: dict[str, Any] = {
    **{"id": 1, "date": NOON, "name": "signup", "person": True, "properties": None},
    **{"revenue": None, "currency": None, "request_date": NOON, "request_id": "r1"},
    **{"visitor": "v", "visit": "a", "path": "/", "username": None, "site": "main"},
}


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.engine.dispose()


def agree(database: Database, layout: Layout, kind: Kind, query: Query, *events: Any) -> None:
    """Ask about one plain request, and events in it, in every way."""
    questions = [Question(Ask(kind, query, personal=True), source) for source in SOURCES]
    compare(database, Batch(layout, [PLAIN], list(events), questions))


def test_event_that_a_filter_keeps_without_its_request(database: Database) -> None:
    """A breakdown sorted by visits had a group that only an event was in, and failed."""
    query = DAY.replace(group_by=("site",), order="-visits").where("event", "!buy")
    agree(database, Layout(ALL), "breakdown", query, EVENT, {**EVENT, "id": 2, "name": "buy"})


def test_method_is_an_enumeration(database: Database) -> None:
    """PostgreSQL refused to compare an enumeration of the host's by characters."""
    agree(database, Layout(ALL, {"method": "enum", "device": "enum"}), "summary", DAY)


def test_variables_in_a_collation_that_is_blind_to_case(database: Database) -> None:
    """PostgreSQL refused regular expressions on a column of a nondeterministic collation."""
    query = DAY.replace(group_by=("prop.plan",))
    agree(database, Layout(ALL, {"track_var": "case-blind"}), "breakdown", query, EVENT)


def test_dates_without_a_fraction(database: Database) -> None:
    """SQLite compared texts: an event was not found to be of a request stored without one."""
    query = DAY.where("event", "signup")
    agree(database, Layout(ALL, {"date": "whole"}), "summary", query, EVENT)


def test_period_that_begins_within_a_second(database: Database) -> None:
    """SQLite cut the fraction of the moment at which a period begins late."""
    since = NOON.replace(microsecond=500_000)
    period = Period(date(2024, 5, 17), date(2024, 5, 17), ZoneInfo("UTC"), since=since)
    agree(database, Layout(ALL), "summary", DAY.replace(period=period))


def test_many_properties_in_a_filter(database: Database) -> None:
    """Each value repeated the SQL that finds a property: ten seconds for one request."""
    values = tuple(f"value {number}" for number in range(60))
    query = DAY.replace(filters=(Filter("prop.plan", values), Filter("prop.n", ("!", *values))))
    agree(database, Layout(ALL), "requests", query, EVENT)


def test_the_archive_of_odd_names_and_json(
    make_host: Callable[..., Host], database_url: str, tmp_path: Path
) -> None:
    """PostgreSQL's COPY doubled the percent sign of a name; the archive gave JSON as a text."""

    def model(db: SQLAlchemy) -> Any:
        columns = {"__tablename__": "requests 2%", "track_var": db.Column(db.JSON)}
        return type("Request", (RequestMixin, db.Model), columns)

    host = archived_host(make_host, database_url, tmp_path / "archive", model=model)
    store(host, request(5, track_var={"plan": "pro"}), request(6))
    build(state_of(host), now=NOW)
    period = Period(date(2026, 1, 1), date(2026, 1, 10), ZoneInfo("UTC"))
    state = state_of(host)
    found = Answers(lambda: state.archived.source, state.model).requests(
        Query(period), personal=True
    )
    assert [row["track_var"] for row in found] == [None, {"plan": "pro"}]
    assert found == Answers(
        lambda: table_source(state.engine, state.model, state.tables), state.model
    ).requests(Query(period), personal=True)
