"""Questions with filters are answered by a copy of the archive's rows, as the table would."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from flask_statistics.archive.building import build
from flask_statistics.asking import copied
from flask_statistics.asking.answers import Answers, Ask
from flask_statistics.asking.filters import Filter
from flask_statistics.asking.query import Period, Query
from flask_statistics.asking.sharing import shared
from flask_statistics.asking.source import table_source
from tests.archived import NOW, archived_host, delete, request, state_of, store, store_event
from tests.conftest import Host

FIRST, LAST = date(2026, 1, 5), date(2026, 1, 13)
DIMENSIONS = ("path", "host", "status_code", "browser", "source", "method", "bot")
METRICS = (
    *("hits", "visitors", "page_views", "visits", "errors", "error_rate", "size"),
    *("response_time", "response_time_p50", "response_time_p95"),
)
#: What the filters of most questions leave.
EDGE: dict[str, Any] = {"browser": "Edge", "platform": "Windows", "country": "US"}


@pytest.fixture
def host(make_host: Callable[..., Host], sqlite_url: str, tmp_path: Path) -> Host:
    return filled(make_host, sqlite_url, tmp_path)


@pytest.fixture
def any_host(make_host: Callable[..., Host], database_url: str, tmp_path: Path) -> Host:
    """The same on each database: it only gives the young rows."""
    return filled(make_host, database_url, tmp_path)


def filled(make_host: Callable[..., Host], url: str, folder: Path) -> Host:
    host = archived_host(make_host, url, folder / "archive")
    rows = [
        request(day, hour, path=f"/{hour}", visitor=name, visit=f"{name}-{day}-{hour}", **EDGE,
                source=f"site-{day * hour}.example" if hour % 2 else "", size=hour,
                status_code=500 if hour == 9 else 200, response_time=hour / 8,
                method="POST" if hour == 3 else "GET",
                bot="crawler" if name == "bot" else None)
        for day in range(5, 12)
        for hour in range(24)
        for name in ("anna", f"bert-{day}", "bot")
    ]  # fmt: skip
    store(host, *rows, request(8, browser="Edge", platform="windows", country="US"))
    build(state_of(host), now=NOW)
    store(host, request(13, path="/young", source="young.example", **EDGE))
    return host


def asks(*filters: Filter, bots: Any = None, zone: str = "UTC") -> list[Ask]:
    period = Period(FIRST, LAST, ZoneInfo(zone))
    query = Query(period, filters=filters, metrics=METRICS, include_bots=bots)
    before = query.replace(period=Period(FIRST, FIRST + timedelta(2), ZoneInfo(zone)))
    found = [Ask("summary", query), Ask("summary", before), Ask("timeseries", before)]
    found += [Ask("timeseries", query.replace(bucket=bucket)) for bucket in ("hour", "day")]
    found.append(Ask("summary", query.replace(metrics=())))
    found.append(Ask("summary", query.replace(metrics=("visits", "bounce_rate"))))
    for name in DIMENSIONS:
        by = query.replace(group_by=(name,), limit=3)
        known = by.replace(filters=(*by.filters, Filter(name, ("!",))), order="-visitors")
        found += [Ask("breakdown", by), Ask("breakdown", known)]
    return found


def check(host: Host, asked: list[Ask]) -> set[Ask]:
    """Compare the answers; return which questions a copy answers."""
    state = state_of(host)
    source = state.archived.source
    by_table = Answers(
        lambda: table_source(state.engine, state.model, state.tables), state.model
    ).many(asked)
    by_archive = Answers(lambda: source, state.model).many(asked)
    for ask, found, expected in zip(asked, by_archive, by_table, strict=True):
        assert _rounded(found) == _rounded(expected), ask
    spans = [(ask.query.period.begins, ask.query.period.ends) for ask in asked]
    with source.open(spans) as connection, shared(connection, source, asked) as sources:
        return {ask for ask in asked if isinstance(_cells(sources.get(ask)), copied.Copy)}


def _cells(source: Any) -> Any:
    return source.cells if source else None


def _rounded(found: Any) -> Any:
    """Return an answer with sums that do not depend on the order of what is added."""
    if isinstance(found, float):
        return pytest.approx(found)
    if isinstance(found, dict):
        return {name: _rounded(value) for name, value in found.items()}
    if isinstance(found, list):
        return [_rounded(value) for value in found]
    return found if found is None or isinstance(found, str | int) else _rounded(vars(found))


@pytest.mark.parametrize(
    "filters",
    [
        (Filter("platform", ("Windows",)), Filter("country", ("US",))),
        (Filter("platform", ("W*", "!Windows 7")), Filter("host", ("",))),
        (Filter("status_code", ("5xx",)), Filter("browser", ("Edge",))),
        (Filter("bot", ("!",)), Filter("browser", ("Edge",))),
        (Filter("method", ("POST",)),),
        (Filter("entry_path", ("/2*",)),),
        (Filter("country", ("nowhere",)),),
    ],
    ids=lambda filters: " ".join(f.dimension for f in filters),
)
def test_a_copy_answers_as_the_table(host: Host, filters: tuple[Filter, ...]) -> None:
    """Whatever filters: figures, visitors of several days, values that many and few have."""
    for bots in (None, "0", "1", "only"):
        asked = asks(*filters, bots=bots)
        assert check(host, asked) == set(asked)


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
def test_days_are_the_readers(host: Host, zone: str) -> None:
    """A visitor who is there before and after the reader's midnight counts on both days."""
    asked = asks(Filter("browser", ("Edge",)), zone=zone)
    assert check(host, asked) == set(asked)


def test_visits_with_events_count(host: Host) -> None:
    """A visit that has no page view, but an event in a request that remains, is a visit."""
    row = request(7, 12, method="POST", visitor="eve", visit="eve-1", request_id="e1", **EDGE)
    store(host, row)
    store_event(host, date=row["date"], name="signup", visitor="eve", visit="eve-1",
                request_date=row["date"], request_id="e1")  # fmt: skip
    for _ in range(2):
        asked = asks(Filter("browser", ("Edge",)), Filter("method", ("POST",)))
        assert check(host, asked) == set(asked)
        check(host, asks(Filter("event", ("signup",))))
        check(host, asks(Filter("prop.plan", ("!pro",))))
        build(state_of(host), now=NOW + timedelta(days=3))


def test_late_and_deleted_rows(any_host: Host) -> None:
    """What was stored or deleted after the archive was built is in the copy, or not."""
    store(any_host, request(7, 9, 30, path="/late", visitor="late", source="late.example", **EDGE))
    delete(any_host, state_of(any_host).model.columns["path"] == "/4")
    asked = asks(Filter("browser", ("Edge",)))
    assert check(any_host, asked) == set(asked)


def test_too_many_rows_are_not_copied(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a number of rows, with filters or without, each question is asked alone."""
    monkeypatch.setattr(copied, "MOST_ROWS", 3)
    assert check(host, asks(Filter("browser", ("Edge",)))) == set()
    assert check(host, asks(bots="1")) == set()


def test_nothing_is_left_behind(host: Host) -> None:
    """After the answers there is no table of ours, also where one of them fails."""
    source, asked = state_of(host).archived.source, asks(Filter("browser", ("Edge",)))
    spans = [(ask.query.period.begins, ask.query.period.ends) for ask in asked]
    with source.open(spans) as connection:

        def tables() -> set[str]:
            found = connection.exec_driver_sql("SELECT table_name FROM duckdb_tables()")
            return {name for (name,) in found if name.startswith("statistics_")}

        def fail() -> None:
            with shared(connection, source, asked):
                rows = {"statistics_rows_0", "statistics_visitors_0", "statistics_rows_1"}
                assert rows <= tables()
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert tables() == set()
