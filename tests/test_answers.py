"""Answers hold what they promise beside the figures, and refuse what cannot be asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase

from flask_statistics.asking.answers import Answers, Breakdown
from flask_statistics.asking.figures import json_value
from flask_statistics.asking.filters import Filter
from flask_statistics.asking.metrics import METRICS, available
from flask_statistics.asking.query import Period, Query
from flask_statistics.asking.source import table_source
from flask_statistics.errors import QueryError
from flask_statistics.fields import BY_NAME, PERSONAL
from flask_statistics.mixin import RequestMixin
from flask_statistics.model import Model

DAY = date(2024, 5, 17)
QUERY = Query(Period(DAY, DAY, ZoneInfo("UTC")))
NOON = datetime(2024, 5, 17, 12)
Ask = Callable[..., Answers]


class Base(DeclarativeBase):
    pass


class Request(RequestMixin, Base):
    __tablename__ = "request"


class Bare(Base):
    """Nothing but what a model needs, and columns of unusual types."""

    __tablename__ = "bare"

    key = sa.Column(sa.Integer, primary_key=True)
    date = sa.Column(sa.DateTime)
    response_time = sa.Column(sa.Numeric(10, 3))
    method: sa.Column[str] = sa.Column(sa.Enum("GET", "POST", name="method"))
    url_args = sa.Column(sa.JSON)


def model_of(orm: type[Any]) -> Model:
    table = orm.__table__
    columns = {name: table.c[name] for name in BY_NAME if name in table.c}
    return Model(orm, table, next(iter(table.primary_key)), columns, dict(table.c))


def answers_about(engine: sa.Engine, model: Model) -> Answers:
    return Answers(lambda: table_source(engine, model), model)


@pytest.fixture
def ask(database_url: str) -> Iterator[Ask]:
    """Store rows, at noon unless they say otherwise, and return what answers about them."""
    engine = sa.create_engine(database_url)
    Base.metadata.create_all(engine)

    def store(*rows: dict[str, Any], orm: type[Any] = Request) -> Answers:
        with engine.begin() as connection:
            for row in rows:
                connection.execute(sa.insert(orm.__table__), {"date": NOON, **row})
        return answers_about(engine, model_of(orm))

    yield store
    engine.dispose()


def refused(call: Callable[[Query], Any], query: Query) -> str:
    with pytest.raises(QueryError) as error:
        call(query)
    return str(error.value)


def test_empty_period(ask: Ask) -> None:
    """Of nothing, counts are 0 and means unknown."""
    answers = ask()
    figures = answers.summary(QUERY)
    counts = {metric.name for metric in METRICS if metric.count or metric.total}
    assert figures == {metric.name: 0 if metric.name in counts else None for metric in METRICS}
    assert answers.timeseries(QUERY.replace(bucket="day")) == [{"start": "2024-05-17", **figures}]
    assert answers.breakdown(QUERY.replace(group_by=("path",))) == Breakdown("path", 0, [])
    assert answers.requests(QUERY) == []
    assert answers.count(QUERY) == 0


def test_period_ends_are_exact(ask: Ask) -> None:
    """The first and the last microsecond of the day count, those beside them do not."""
    tick = timedelta(microseconds=1)
    begin, end = datetime(2024, 5, 17), datetime(2024, 5, 18)
    answers = ask(*({"date": moment} for moment in (begin - tick, begin, end - tick, end)))
    assert answers.summary(QUERY)["hits"] == 2
    assert [row["hits"] for row in answers.timeseries(QUERY)] == [1] + [0] * 22 + [1]


def test_rows_that_were_stored_without_a_fraction(sqlite_url: str) -> None:
    """SQLite compares texts: a date that another program stored short counts all the same."""
    engine = sa.create_engine(sqlite_url)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        for moment in ("2024-05-17 00:00:00", "2024-05-18 00:00:00"):
            connection.execute(
                sa.text("INSERT INTO request (date) VALUES (:moment)"), {"moment": moment}
            )
    assert answers_about(engine, model_of(Request)).summary(QUERY)["hits"] == 1
    engine.dispose()


def test_breakdown_page(ask: Ask) -> None:
    """The total does not depend on the limit, nor on a page after the last."""
    answers = ask(*({"path": f"/{number}"} for number in range(7)))
    query = QUERY.replace(group_by=("path",), limit=3, metrics=("hits",))
    last = "2024-05-17T12:00:00Z"
    assert answers.breakdown(query.replace(offset=6)) == Breakdown(
        "path", 7, [{"value": "/6", "hits": 1, "last": last}]
    )
    assert answers.breakdown(query.replace(offset=9)) == Breakdown("path", 7, [])
    assert answers.breakdown(query.replace(offset=2**62)).total == 7


def test_breakdown_sorted_by_what_is_not_shown(ask: Ask) -> None:
    """Sorting by a metric does not add it to the rows."""
    answers = ask({"path": "/a", "response_time": 1.0}, {"path": "/b", "response_time": 2.0})
    for order in ("-response_time", "-response_time_p99"):
        query = QUERY.replace(group_by=("path",), metrics=("hits",), order=order)
        rows = answers.breakdown(query).rows
        assert [row["value"] for row in rows] == ["/b", "/a"]
        assert set(rows[0]) == {"value", "hits", "last"}


def test_a_page_that_was_one_of_several_is_no_bounce(ask: Ask) -> None:
    """Figures of visits are of the whole visit, also where a filter shows one page of it."""
    view = {"method": "GET", "status_code": 200, "mimetype": "text/html", "visit": "v"}
    answers = ask({**view, "path": "/a"}, {**view, "path": "/b", "date": NOON + timedelta(0, 9)})
    names = ("visits", "bounce_rate", "visit_duration", "views_per_visit")
    expected = {"visits": 1, "bounce_rate": 0.0, "visit_duration": 9.0, "views_per_visit": 2.0}
    for query in (QUERY, QUERY.where("path", "/b"), QUERY.where("entry_path", "/a")):
        assert answers.summary(query.replace(metrics=names)) == expected
    assert answers.summary(QUERY.where("exit_path", "/a"))["hits"] == 0


def test_personal_columns_are_left_out(ask: Ask) -> None:
    """Requests hold personal columns only when asked for; all their values are JSON's."""
    answers = ask({"remote_address": "10.0.0.1", "path": "/", "authorization": True})
    (row,) = answers.requests(QUERY)
    assert set(row) == {"id", *BY_NAME} - PERSONAL
    assert (row["date"], row["path"], row["authorization"]) == ("2024-05-17T12:00:00Z", "/", True)
    (row,) = answers.requests(QUERY, personal=True)
    assert set(row) == {"id", *BY_NAME}
    assert json.loads(json.dumps(row, allow_nan=False))["remote_address"] == "10.0.0.1"


def test_model_with_unusual_types(ask: Ask) -> None:
    """Enumerations and JSON group as texts, decimals come as numbers, lacking metrics lack."""
    answers = ask(
        {"method": "GET", "response_time": Decimal("0.125"), "url_args": {"a": "b"}},
        {"method": "POST", "response_time": None, "url_args": None},
        orm=Bare,
    )
    assert answers.summary(QUERY)["response_time"] == 0.125
    assert [metric.name for metric in answers.metrics] == [
        *("hits", "events", "revenue"),
        *("response_time", "response_time_p50", "response_time_p95", "response_time_p99"),
        "response_time_max",
    ]
    query = QUERY.replace(group_by=("method",), metrics=("hits",), order="value")
    assert [row["value"] for row in answers.breakdown(query).rows] == ["GET", "POST"]
    assert answers.count(QUERY.where("method", "P*")) == 1
    assert answers.count(QUERY.where("method", "anything")) == 0
    assert answers.count(QUERY.where("url_args", "*a*b*")) == 1
    assert answers.requests(QUERY)[1]["response_time"] == 0.125


def test_visitors_are_addresses_where_the_model_has_no_visitor() -> None:
    """Metrics follow from the model's columns."""
    assert "visitors" in {metric.name for metric in available({"remote_address"})}
    assert "visitors" not in {metric.name for metric in available({"date"})}
    assert available(set(BY_NAME)) == METRICS


@pytest.mark.parametrize(
    "value", ["'; DROP TABLE request; --", '"', "%s %(x)s :x ?", "{{ 7*7 }}", "\\' OR 1=1"]
)
def test_sql_in_values(ask: Ask, value: str) -> None:
    """Values are data: what looks like SQL or parameters finds itself only."""
    answers = ask({"path": value}, {"path": "/"})
    assert answers.count(QUERY.where("path", value)) == 1
    query = QUERY.where("path", f"{value}*").replace(group_by=("path",), metrics=("hits",))
    assert [row["value"] for row in answers.breakdown(query).rows] == [value]


def test_patterns_of_many_stars(ask: Ask) -> None:
    """Stars side by side are one; many apart cost no more than their length."""
    answers = ask({"path": "a" * 1000}, {"path": "b"}, {})
    assert answers.count(QUERY.where("path", "*" * 4000)) == 2
    assert answers.count(QUERY.where("path", "a*" * 1000)) == 1
    assert answers.count(QUERY.where("path", "a*" * 1000 + "b")) == 0


def test_numbers_beyond_the_column(ask: Ask) -> None:
    """A number too large for the column is compared, not refused by the database."""
    answers = ask({"status_code": 200, "size": 5})
    assert answers.count(QUERY.where("status_code", "<999999999999999999")) == 1
    assert answers.count(QUERY.where("status_code", ">1e300")) == 0
    assert answers.count(QUERY.where("size", "4.5..5.5")) == 1


def test_all_years(ask: Ask) -> None:
    """A range over all years answers in every zone."""
    answers = ask({}, {"date": datetime(2000, 1, 1)})
    for zone in ("UTC", "Europe/Berlin", "Pacific/Kiritimati"):
        query = QUERY.replace(period=Period(date.min, date.max, ZoneInfo(zone)))
        assert answers.summary(query)["hits"] == 2
        points = answers.timeseries(query.replace(metrics=("hits",)))
        assert {point["start"]: point["hits"] for point in points if point["hits"]} == {
            "2000-01-01": 1,
            "2024-01-01": 1,
        }


KNOWN = ", ".join(metric.name for metric in METRICS)


def test_what_cannot_be_asked(ask: Ask) -> None:
    """Unknown names are refused with the parameter and what there is."""
    answers = ask()
    by_path = QUERY.replace(group_by=("path",))
    assert refused(answers.summary, QUERY.replace(metrics=("speed",))) == (
        f"metric: 'speed' is none of {KNOWN}"
    )
    assert refused(answers.breakdown, by_path.replace(order="-speed")) == (
        f"sort: 'speed' is none of {KNOWN}, value, last"
    )
    assert refused(answers.requests, QUERY.replace(order="path")) == (
        "sort: 'path' is none of date, response_time, status_code, size, db_queries, db_time"
    )
    assert refused(answers.breakdown, QUERY.replace(group_by=("date",))) == (
        "dimension: date is not a dimension"
    )
    assert refused(answers.breakdown, QUERY) == (
        "dimension: a breakdown is by one dimension, or by two"
    )
    assert refused(answers.timeseries, QUERY.replace(bucket="minute")) == (
        "interval: 'minute' is none of hour, day, week, week-sunday, month, year"
    )
    assert refused(answers.count, QUERY.replace(filters=(Filter("colour", ("red",)),))).startswith(
        "colour: 'colour' is unknown; dimensions are response_time, method, path"
    )


def test_bots_of_a_model_that_does_not_know_them(ask: Ask) -> None:
    """Without a column `bot` nothing is left out, and only bots cannot be asked for."""
    answers = ask({}, orm=Bare)
    assert answers.count(QUERY.replace(include_bots="0")) == 1
    assert refused(answers.count, QUERY.replace(include_bots="only")) == (
        "bots: the model has no column bot, so bots are not known"
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (datetime(2024, 5, 17, 12, 0, 0, 5), "2024-05-17T12:00:00.000005Z"),
        (datetime.fromisoformat("2024-05-17T12:00:00+02:00"), "2024-05-17T10:00:00Z"),
        (DAY, "2024-05-17"),
        (Decimal("2"), 2),
        (Decimal("2.5"), 2.5),
        (float("nan"), None),
        (True, True),
        (b"x", "b'x'"),
        (None, None),
    ],
)
def test_json_value(value: object, expected: object) -> None:
    """What columns hold becomes what JSON has."""
    found = json_value(value)
    assert (found, type(found)) == (expected, type(expected))


def test_the_hosts_transaction_in_memory_stays_open() -> None:
    """Where all share one connection, asking neither commits nor rolls back the host's work."""
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    Base.metadata.create_all(engine)
    answers = answers_about(engine, model_of(Request))
    with engine.connect() as host:
        host.execute(sa.insert(Request), {"date": NOON, "path": "/"})
        assert answers.count(QUERY) == 1
        assert answers.breakdown(QUERY.replace(group_by=("path",))).total == 1
        host.commit()
    assert answers.count(QUERY) == 1
    with engine.connect() as host:
        host.execute(sa.insert(Request), {"date": NOON, "path": "/"})
        assert answers.count(QUERY) == 2
        host.rollback()
    assert answers.count(QUERY) == 1
    engine.dispose()
