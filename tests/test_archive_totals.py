"""Figures that segments keep are added up where that is right, and only there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from flask_statistics.archive import compacting, dividing
from flask_statistics.archive.building import build
from flask_statistics.archive.totals import totals_of
from flask_statistics.asking.answers import Answers, Ask
from flask_statistics.asking.query import Period, Query
from flask_statistics.asking.source import table_source
from flask_statistics.asking.totals import HOURS, STEPS
from tests.archived import NOW, archived_host, request, state_of, store
from tests.conftest import Host

DAYS = range(5, 12)
FIRST, LAST = date(2026, 1, 5), date(2026, 1, 11)
DIMENSIONS = ("path", "status_code", "browser", "route")
METRICS = ("hits", "visitors", "page_views", "errors", "size", "response_time", "visits",
           "response_time_p50", "response_time_p95")  # fmt: skip


@pytest.fixture
def host(
    make_host: Callable[..., Host],
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Host:
    # A segment for each day.
    monkeypatch.setattr(dividing, "TARGET", 1)
    monkeypatch.setattr(compacting, "LARGEST", 1)
    host = archived_host(make_host, database_url, tmp_path / "archive")
    rows = [
        request(day, hour, path=f"/{hour % 3}", visitor=f"{name}-{day}", visit=f"{name}-{day}",
                browser=browser, status_code=500 if hour == 9 else 200, size=hour,
                route=f"/{hour % 2}", response_time=(hour * day + len(name)) / 64,
                bot="crawler" if name == "bot" else None)
        for day in DAYS
        for hour in (0, 9, 23)
        for name, browser in (("anna", "Firefox"), ("bert", ""), ("bot", None), ("cleo", "Opera"))
    ]  # fmt: skip
    store(host, *rows)
    build(state_of(host), now=NOW)
    return host


def asks(zone: str = "UTC", first: date = FIRST, last: date = LAST) -> list[Ask]:
    found = []
    for bots in (None, "0", "1", "only"):
        period = Period(first, last, ZoneInfo(zone))
        query = Query(period, metrics=METRICS, include_bots=bots)
        found += [Ask("summary", query), Ask("timeseries", query)]
        for name in DIMENSIONS:
            by = query.replace(group_by=(name,), order="-visitors")
            found.append(Ask("breakdown", by if bots else by.where(name, "!")))
    return found


def check(host: Host, asked: list[Ask]) -> None:
    state = state_of(host)
    source = state.archived.source
    by_table = Answers(
        lambda: table_source(state.engine, state.model, state.tables), state.model
    ).many(asked)
    assert Answers(lambda: source, state.model).many(asked) == by_table


def spans(host: Host, begins: datetime, ends: datetime) -> list[Any]:
    source = state_of(host).archived.source
    with source.open([(begins, ends)]) as connection:
        totals = source.totals(connection, {""}, [(begins, ends)])
        return [] if totals is None else list(totals.spans)


def test_figures_are_added_up(host: Host) -> None:
    """Segments whose visitors are in no other give their figures, and the answers are right."""
    assert len(spans(host, datetime(2026, 1, 5), datetime(2026, 1, 12))) == len(DAYS)
    check(host, asks())


def test_a_period_may_cut_segments(host: Host) -> None:
    """Of a segment that reaches over the border of a period, the requests are counted."""
    assert len(spans(host, datetime(2026, 1, 5, 5), datetime(2026, 1, 12))) == len(DAYS) - 1
    check(host, asks("America/New_York"))
    check(host, asks("Asia/Tokyo", FIRST + timedelta(1)))


def test_a_visitor_of_two_segments_counts_once(host: Host) -> None:
    """A visitor who is in two segments, or in one and the table, counts once."""
    store(host, request(13, 1, visitor="anna-6", visit="anna-13"))
    assert len(spans(host, datetime(2026, 1, 5), datetime(2026, 1, 14))) == len(DAYS) - 1
    check(host, asks(last=date(2026, 1, 13)))
    store(host, request(8, 10, visitor="cleo-9", visit="cleo-8"))
    build(state_of(host), now=NOW + timedelta(days=3))
    assert len(spans(host, datetime(2026, 1, 5), datetime(2026, 1, 14))) < len(DAYS) - 1
    check(host, asks(last=date(2026, 1, 13)))


def test_hours_and_steps_are_known(host: Host) -> None:
    """Charts of a zone whose days are in two segments, and percentiles, read no requests."""
    begins, ends = datetime(2026, 1, 5), datetime(2026, 1, 12)
    source = state_of(host).archived.source
    names = {"", "route", HOURS, STEPS, STEPS + "route"}
    with source.open([(begins, ends)]) as connection:
        totals = source.totals(connection, names, [(begins, ends)])
    assert set(totals.dimensions) == names - {STEPS + "route"}
    berlin = Query(Period(FIRST, LAST, ZoneInfo("Europe/Berlin")), metrics=("visitors", "hits"))
    assert totals.suits(source, Ask("timeseries", berlin))
    half = berlin.replace(period=Period(FIRST, LAST, ZoneInfo("Asia/Kathmandu")))
    assert not totals.suits(source, Ask("timeseries", half))
    for query in (berlin, half):
        check(host, [Ask("timeseries", query.replace(bucket=b)) for b in ("day", "week", "month")])


def test_filters_are_answered_by_the_requests(host: Host) -> None:
    """What figures do not tell apart is counted from requests."""
    check(host, [replace(ask, query=ask.query.where("path", "/0")) for ask in asks()[:4]])


def test_each_figure_is_that_of_the_rows() -> None:
    """Rows in any order, with visitors who change browsers, and with nothing known of some."""
    draw = Random(4)
    names = ["date", "visitor", "bot", "browser", "path", "status_code", "method", "size"]
    rows = [
        (datetime(2026, 1, 5) + timedelta(seconds=draw.randrange(999)),
         draw.choice(["anna", "bert", "cleo", None]), draw.choice([None, None, "crawler"]),
         draw.choice(["Opera", "Firefox", "", None]), draw.choice("abc"),
         draw.choice([200, 404, 500, None]), draw.choice(["GET", "POST"]),
         draw.choice([None, 1, 1 << 40]))
        for _ in range(300)
    ]  # fmt: skip
    requests = pa.table(dict(zip(names, zip(*rows, strict=True), strict=True)))
    kinds: Any = dict.fromkeys(names, "text")
    kinds |= {"date": "moment", "status_code": "integer", "size": "integer"}
    found = {
        (row["dimension"], row["text"], row["number"], row["person"]): row
        for part in totals_of(requests, kinds)[:-1]
        for row in part.to_pylist()
        if row["dimension"] != HOURS
    }
    expected: dict[Any, list[dict[str, Any]]] = {}
    for values in rows:
        row = dict(zip(names, values, strict=True))
        person = row["bot"] is None
        expected.setdefault(("", None, None, person), []).append(row)
        for name in ("browser", "path", "method", "bot"):
            expected.setdefault((name, row[name] or None, None, person), []).append(row)
        expected.setdefault(("status_code", None, row["status_code"], person), []).append(row)
    assert set(found) == set(expected)
    for key, of in expected.items():
        sizes = [row["size"] for row in of if row["size"] is not None]
        status = [row["status_code"] for row in of]
        viewed = [row for row in of if row["status_code"] == 200 and row["method"] == "GET"]
        assert {name: found[key][name] for name in ("hits", "visitors", "page_views", "errors",
                                                    "size_sum", "size_count", "last_seen",
                                                    "response_time_sum")} == {
            "hits": len(of), "visitors": len({row["visitor"] for row in of} - {None}),
            "page_views": len(viewed), "errors": status.count(500),
            "size_sum": sum(sizes) if sizes else None, "size_count": len(sizes),
            "last_seen": max(row["date"] for row in of), "response_time_sum": None,
        }  # fmt: skip
