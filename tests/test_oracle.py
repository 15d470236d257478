"""Answers equal those of a plain-Python oracle, on random rows and queries, on every database."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase

from flask_statistics.asking.answers import Answers
from flask_statistics.asking.filters import Filter, available_dimensions
from flask_statistics.asking.metrics import available
from flask_statistics.asking.query import Period, Query
from flask_statistics.fields import BY_NAME
from flask_statistics.mixin import RequestMixin
from flask_statistics.model import Model

Row = dict[str, Any]


class Base(DeclarativeBase):
    pass


class Request(RequestMixin, Base):
    __tablename__ = "request"


class Classic(Base):
    """The model of flask-statistics, its columns as bare as they are there."""

    __tablename__ = "classic"

    index = sa.Column(sa.Integer, primary_key=True, autoincrement=True)
    response_time = sa.Column(sa.Float)
    date = sa.Column(sa.DateTime)
    method = sa.Column(sa.String(10))
    size = sa.Column(sa.Integer)
    status_code = sa.Column(sa.Integer)
    path = sa.Column(sa.String(200))
    user_agent = sa.Column(sa.String(200))
    remote_address = sa.Column(sa.String(50))
    exception = sa.Column(sa.String(200))
    referrer = sa.Column(sa.String(200))
    browser = sa.Column(sa.String(50))
    platform = sa.Column(sa.String(50))
    mimetype = sa.Column(sa.String(50))


def model_of(orm: type[Any]) -> Model:
    table = orm.__table__
    columns = {name: table.c[name] for name in BY_NAME if name in table.c}
    return Model(orm, table, next(iter(table.primary_key)), columns, dict(table.c))


# -- the oracle, written from the definitions -------------------------------------------------


class Oracle:
    """Answers from rows in memory. ``columns``: the fields that the model has."""

    def __init__(self, rows: Sequence[Row], columns: set[str], query: Query) -> None:
        self.columns = columns
        self.query = query
        rows = [row for row in rows if self.in_period(row)]
        if "bot" in columns and query.include_bots in {"0", "only"}:
            rows = [row for row in rows if (row["bot"] is None) == (query.include_bots == "0")]
        self.visits: dict[str, list[Row]] = {}
        for row in sorted(rows, key=lambda row: (row["date"], row["id"])):
            if self.is_view(row) and row.get("visit") is not None:
                self.visits.setdefault(row["visit"], []).append(row)
        self.rows = [row for row in rows if all(self.holds(row, f) for f in query.filters)]

    def local(self, row: Row) -> datetime:
        moment: datetime = row["date"].replace(tzinfo=timezone.utc)
        return moment.astimezone(self.query.time_zone)

    def in_period(self, row: Row) -> bool:
        return self.query.period.start <= self.local(row).date() <= self.query.period.end

    def is_person(self, row: Row) -> bool:
        return row.get("bot") is None or self.query.include_bots is not None

    def is_view(self, row: Row) -> bool:
        status = row["status_code"]
        return (
            self.is_person(row)
            and row["method"] == "GET"
            and status is not None
            and (200 <= status < 300 or status == 304)
            and row.get("mimetype", "text/html") == "text/html"
        )

    def value(self, row: Row, dimension: str) -> Any:
        if dimension in {"entry_path", "exit_path"}:
            views = self.visits.get(row["visit"], [])
            value = views[0 if dimension == "entry_path" else -1]["path"] if views else None
        else:
            value = row[dimension]
        return None if value == "" else value

    def holds(self, row: Row, condition: Filter) -> bool:
        value = self.value(row, condition.dimension)
        wanted = [text for text in condition.values if not text.startswith("!")]
        unwanted = [text[1:] for text in condition.values if text.startswith("!")]
        if wanted and not any(matches(value, text) for text in wanted):
            return False
        return not any(matches(value, text) for text in unwanted)

    def metrics(self, rows: list[Row]) -> dict[str, Any]:
        def numbers(name: str) -> list[float]:
            return [row[name] for row in rows if row.get(name) is not None]

        who = "visitor" if "visitor" in self.columns else "remote_address"
        people = {row[who] for row in rows if self.is_person(row)} - {None}
        shown = {row["visit"] for row in rows if self.is_view(row) and row.get("visit")}
        visits = [self.visits[visit] for visit in shown]
        times = sorted(numbers("response_time"))
        errors = sum(row["status_code"] is not None and row["status_code"] >= 500 for row in rows)
        figures = {
            "hits": len(rows),
            "visitors": len(people),
            "page_views": sum(map(self.is_view, rows)),
            "visits": len(visits),
            "bounce_rate": mean([len(views) == 1 for views in visits]),
            "visit_duration": mean(
                [(views[-1]["date"] - views[0]["date"]).total_seconds() for views in visits]
            ),
            "views_per_visit": mean([len(views) for views in visits]),
            "response_time": mean(times),
            **{f"response_time_p{p}": nearest_rank(times, p) for p in (50, 95, 99)},
            "response_time_max": max(times, default=None),
            "size": sum(numbers("size")),
            "errors": errors,
            "error_rate": errors / len(rows) if rows else None,
            "db_queries": mean(numbers("db_queries")),
            "db_time": mean(numbers("db_time")),
        }
        lacking = set()
        if "visit" not in self.columns:
            lacking |= {"visits", "bounce_rate", "visit_duration", "views_per_visit"}
        lacking |= {name for name in ("db_queries", "db_time") if name not in self.columns}
        asked = self.query.metrics or [name for name in figures if name not in lacking]
        return {name: figures[name] for name in asked}

    def timeseries(self) -> list[Row]:
        labels: dict[Any, str] = {}
        instant = datetime.combine(self.query.period.start, datetime.min.time()) - timedelta(days=2)
        end = datetime.combine(self.query.period.end, datetime.min.time()) + timedelta(days=3)
        while instant < end:
            if self.in_period({"date": instant}):
                labels.setdefault(*self.bucket({"date": instant}))
            instant += timedelta(minutes=15)
        groups: dict[Any, list[Row]] = {key: [] for key in labels}
        for row in self.rows:
            groups[self.bucket(row)[0]].append(row)
        return [{"start": labels[key], **self.metrics(rows)} for key, rows in groups.items()]

    def bucket(self, row: Row) -> tuple[Any, str]:
        local = self.local(row)
        day = local.date()
        if self.query.bucket == "hour":
            key = (local.replace(tzinfo=None, minute=0, second=0, microsecond=0), local.utcoffset())
            return key, local.isoformat()
        if self.query.bucket == "week":
            day -= timedelta(days=day.weekday())
        elif self.query.bucket == "month":
            day = day.replace(day=1)
        elif self.query.bucket == "year":
            day = day.replace(month=1, day=1)
        return day, day.isoformat()

    def breakdown(self) -> tuple[int, list[Row]]:
        groups: dict[Any, list[Row]] = {}
        for row in self.rows:
            groups.setdefault(self.value(row, self.query.group_by[0]), []).append(row)
        found = [
            {"value": value, **self.metrics(rows), "last": iso(max(r["date"] for r in rows))}
            for value, rows in groups.items()
        ]
        found.sort(key=lambda row: (row["value"] is None, row["value"]))
        rows = ordered(found, self.query.order or "-hits")
        return len(rows), rows[self.query.offset :][: self.query.limit or 100]

    def requests(self) -> list[int]:
        newest = sorted(self.rows, key=lambda row: (row["date"], row["id"]), reverse=True)
        rows = ordered(newest, self.query.order or "-date")
        return [row["id"] for row in rows[self.query.offset :][: self.query.limit or 100]]


def ordered(rows: list[Row], order: str) -> list[Row]:
    """Sort by a name; what is equal stays as it is, what is None comes last."""
    name = order.removeprefix("-")
    known = [row for row in rows if row[name] is not None]
    known.sort(key=lambda row: row[name], reverse=order.startswith("-"))
    return known + [row for row in rows if row[name] is None]


def iso(moment: datetime) -> str:
    return moment.isoformat() + "Z"


def mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def nearest_rank(values: Sequence[float], percent: int) -> float | None:
    """The smallest value whose cumulative share is at least ``percent``."""
    for place, value in enumerate(values, start=1):
        if place * 100 >= percent * len(values):
            return value
    return None


def matches(value: Any, text: str) -> bool:
    if text == "" or value is None:
        return text == "" and value is None
    if isinstance(value, bool):
        return value == (text in {"true", "1"})
    if isinstance(value, int | float):
        return in_range(value, text)
    parts = (re.escape(part) for part in text.split("*"))
    return re.fullmatch(".*".join(parts), value, re.DOTALL) is not None


def in_range(value: float, text: str) -> bool:
    if text.endswith("xx"):
        return value // 100 == int(text[0])
    if ".." in text:
        low, high = text.split("..")
        return float(low) <= value <= float(high)
    tests: dict[str, Callable[[float], bool]] = {
        ">=": lambda number: value >= number,
        "<=": lambda number: value <= number,
        ">": lambda number: value > number,
        "<": lambda number: value < number,
        "": lambda number: value == number,
    }
    sign = next(sign for sign in tests if text.startswith(sign))
    return tests[sign](float(text[len(sign) :]))


# -- random rows and queries ------------------------------------------------------------------

TEXTS = (
    *("/", "/a", "/A", "/a ", "/ä", "/Ä", "/a\u0308", "/ß", "/ss", "/a*b", "/a%b", "/a_b", "/axb"),
    *("/a\\b", "/a[b]c", "/a?b", "/a~b", "/😀", "/😁", "/\n", "", None),
)
PATTERNS = (
    *("/a", "/A", "/a ", "/a*", "/A*", "*a*", "*", "**", "/a%*", "/a_*", "/a\\*", "/a[*", "/a?*"),
    *("*~*", "/ä", "/Ä*", "/😀*", "/*b", "", "/a*b", "nothing"),
)
NUMBERS = ("5xx", "200", ">=300", "<300", "200..304", ">404", "<=200", "", "304.0", "1e2")
TIMES = (">0.25", "<=.5", "0.125..0.5", "0.125", "", "<1000000000000")
#: Zones with a moment in UTC at which their clocks change.
EDGES = {
    "UTC": datetime(2024, 2, 29),
    "Europe/Berlin": datetime(2024, 10, 27, 1),
    "America/New_York": datetime(2024, 3, 10, 7),
    "Australia/Lord_Howe": datetime(2024, 4, 6, 15),
    "Asia/Kathmandu": datetime(2023, 12, 31, 18, 15),
    "Africa/Casablanca": datetime(2024, 3, 10, 2),
    "America/Havana": datetime(2024, 11, 3, 5),
    "Asia/Beirut": datetime(2024, 3, 30, 22),
}
SORTED = ("hits", "visitors", "visits", "bounce_rate", "response_time", "response_time_p95")


def random_rows(chance: random.Random, edge: datetime, count: int) -> list[Row]:
    def moment() -> datetime:
        span = chance.choice((3600, 86_400, 3 * 86_400))
        seconds = chance.randrange(-span * 8, span * 8) / 8
        tick = timedelta(microseconds=chance.choice((0, 0, -1)))
        return edge + chance.choice((timedelta(), timedelta(seconds=seconds))) + tick

    return [
        {
            "id": number + 1,
            "date": moment(),
            "response_time": chance.choice((None, 0.125, 0.25, chance.randrange(64) / 8)),
            "method": chance.choice(("GET", "GET", "GET", "get", "POST", None)),
            "path": chance.choice(TEXTS),
            "status_code": chance.choice((200, 200, 200, 204, 304, 404, 499, 500, 503, None)),
            "mimetype": chance.choice(("text/html",) * 4 + ("Text/HTML", "image/png", None)),
            "size": chance.choice((None, 0, 1, 2**31 - 1)),
            "remote_address": chance.choice((None, "10.0.0.1", "10.0.0.2", "::a", "::A")),
            "browser": chance.choice(TEXTS),
            "bot": chance.choice((None, None, None, "curl")),
            "authorization": chance.choice((None, True, False)),
            "visitor": chance.choice((None, "v", "V", "v ", "w")),
            "visit": chance.choice((None, "a", "A", "b", "c", "d")),
            "db_queries": chance.choice((None, 0, 1, 7)),
            "db_time": chance.choice((None, 0.0, 0.125, 1.5)),
        }
        for number in range(count)
    ]


def random_query(chance: random.Random, model: Model, edge: datetime, zone: str) -> Query:
    start = edge.date() + timedelta(days=chance.randrange(-3, 3))
    period = Period(start, start + timedelta(days=chance.randrange(3)), ZoneInfo(zone))
    values: dict[str, tuple[str, ...]] = {
        "path": PATTERNS,
        "browser": PATTERNS,
        "status_code": NUMBERS,
        "response_time": TIMES,
        "authorization": ("true", "0", ""),
        "bot": ("curl", ""),
        "entry_path": PATTERNS,
        "exit_path": PATTERNS,
    }
    dimensions = sorted(available_dimensions(model.columns).keys() & values.keys())
    filters = []
    for dimension in chance.sample(dimensions, chance.choice((0, 0, 1, 1, 2, 3))):
        chosen = chance.sample(values[dimension], chance.choice((1, 1, 2)))
        signed = tuple(chance.choice(("", "", "!")) + value for value in chosen)
        filters.append(Filter(dimension, signed))
    names = [metric.name for metric in available(model.columns)]
    order = chance.choice([name for name in SORTED if name in names] + ["value", "last"])
    metrics = chance.choice(((), (order,) if order in names else ("hits",)))
    limit = chance.choice((None, 1, 2, 5))
    return Query(
        period,
        tuple(filters),
        (chance.choice(dimensions),),
        metrics,
        chance.choice(("hour", "day", "week", "month", "year")),
        chance.choice(("", "-")) + order,
        limit,
        (limit or 0) * chance.choice((0, 0, 1)),
        chance.choice((None, None, "0", "1", "only" if model.has("bot") else "1")),
    )


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    engine = sa.create_engine(database_url)
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


def store(engine: sa.Engine, model: Model, rows: Sequence[Row]) -> None:
    names = [*model.columns, model.primary_key.name]
    stored = [{n: v for n, v in row.items() if n in names} for row in rows]
    if model.primary_key.name == "index":
        stored = [{**row, "index": number} for number, row in enumerate(stored, start=1)]
    with engine.begin() as connection:
        connection.execute(sa.delete(model.table))
        connection.execute(sa.insert(model.table), stored)


def same(found: Any, expected: Any) -> bool:
    if isinstance(expected, dict):
        return set(found) == set(expected) and all(same(found[k], expected[k]) for k in expected)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, float) or isinstance(found, float):
        return found is not None and expected is not None and math.isclose(
            found, expected, rel_tol=1e-9, abs_tol=1e-6
        )  # fmt: skip
    return bool(found == expected)


def check(answers: Answers, rows: list[Row], query: Query) -> None:
    oracle = Oracle(rows, set(answers.model.columns), query)
    for name, found, expected in (
        ("summary", answers.summary(query), oracle.metrics(oracle.rows)),
        ("timeseries", answers.timeseries(query), oracle.timeseries()),
    ):
        assert same(found, expected), f"{name}\n{query}\n{found}\n{expected}"
    breakdown = answers.breakdown(query)
    total, expected_rows = oracle.breakdown()
    assert breakdown.total == total, query
    assert same(breakdown.rows, expected_rows), f"{query}\n{breakdown.rows}\n{expected_rows}"
    listed = query.replace(order="-response_time" if query.limit == 5 else None)
    expected_ids = Oracle(rows, set(answers.model.columns), listed).requests()
    assert [row["id"] for row in answers.requests(listed)] == expected_ids, listed
    assert answers.count(query) == len(oracle.rows), query


@pytest.mark.parametrize("orm", [Request, Classic])
def test_answers_equal_the_oracle(engine: sa.Engine, orm: type[Any]) -> None:
    """Random questions about random rows have the oracle's answers."""
    model = model_of(orm)
    answers = Answers(lambda: engine, model)
    chance = random.Random(20150517)
    for zone, edge in EDGES.items():
        for count in (3, 60):
            rows = random_rows(chance, edge, count)
            rows = [{n: v for n, v in row.items() if n == "id" or model.has(n)} for row in rows]
            if orm is Classic:  # MariaDB's plain DATETIME drops the fraction
                rows = [{**row, "date": row["date"].replace(microsecond=0)} for row in rows]
            store(engine, model, rows)
            for _ in range(10 if orm is Request else 4):
                check(answers, rows, random_query(chance, model, edge, zone))
