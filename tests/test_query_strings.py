"""Whatever stands in a URL is read back as it was written, and answered or refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from urllib.parse import parse_qsl, urlencode
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flask_statistics.asking.answers import Answers, Ask
from flask_statistics.asking.limits import within
from flask_statistics.asking.query import Filter, Period, Query, query_from_args
from flask_statistics.errors import QueryError
from flask_statistics.fields import BY_NAME
from tests.oracle.batches import KINDS, Batch, batches, choices
from tests.oracle.choices import Choices
from tests.oracle.databases import Database
from tests.oracle.models import Layout
from tests.oracle.questions import OF_DIMENSION, values_of
from tests.oracle.rows import VALUES, Edge, draw_row
from tests.test_oracle import exploring

NOW = datetime(2024, 5, 17, 12)
SPAN = timedelta(days=7)
UTC = ZoneInfo("UTC")
EVERYTHING = tuple(name for name in BY_NAME if name in VALUES or name == "date")
Pairs = list[tuple[str, str]]


def read(pairs: Pairs, columns: tuple[str, ...] = EVERYTHING) -> Query:
    return query_from_args(pairs, model_columns=columns, zone=UTC, default_span=SPAN, now=NOW)[0]


@exploring
@given(batch=batches(most_rows=0))
def test_random_queries_are_read_back(batch: Batch) -> None:
    """The parameters of a query give the same query, also by way of a URL."""
    for question in batch.questions:
        query = question.ask.query
        query = query.replace(period=Period(query.period.start, query.period.end, query.time_zone))
        url = urlencode(query.to_args())
        pairs = parse_qsl(url, keep_blank_values=True, strict_parsing=True)
        assert read(pairs, batch.layout.columns) == query


# -- what is no question -----------------------------------------------------------------------

SQL = (
    *("' OR 1=1 --", "'; DROP TABLE request; --", '" OR ""="', "\\' OR 1=1 #", "%s", "%(x)s"),
    *(":x", "?", "${x}", "{0}", "`", "]]", "/*", "*/", "\\", "'", "''", "1; SELECT pg_sleep(99)"),
)
ODD = (
    *("", " ", "!", "!!", "*", "!*", "\x00", "\ud800", "\udfff\ud800", "a\x00b", "\x7f", "\u202e"),
    *("*" * 10_000, "*a" * 200, "a" * 4097, "😀" * 4096, "!" * 500, "9" * 5000, "1e999", "-1e308"),
    *("nan", "inf", "1..2", "2..1", "..", "1..", ">", ">=", "0x10", "1_000", "\u0663", "9" * 18),
    *("1e-300", "-0", ">99999999999999999999", "5xx", "0xx", "xx", "\ufeff200", "200 "),
    *("0001-01-01", "9999-12-31", "2024-02-30", "-2024-01-01", "2024-1-1", "\uff12024-01-01"),
    *("0000-00-00", "hour", "week-sunday", "none", "year", "previous", "0001-01-01..9999-12-31"),
    *("only", "1", "0", "hits", "-hits", "--hits", "value", "last", "date", "-visits", "path"),
    *("path,browser", "path,", "event,prop.plan", "path,path", ",", "prop.", "prop.a b", "prop.'"),
    *("Europe/Berlin", "../etc", "/etc/passwd", "localtime", "America/St_Johns", "UTC", "utc"),
)
NAMES = (
    *("start", "end", "compare", "bots", "interval", "limit", "page", "offset", "sort", "metric"),
    *("tz", "group", "path", "browser", "status_code", "response_time", "authorization", "visitor"),
    *("entry_path", "exit_path", "visit_page_views", "event", "prop.plan", "prop.a.b", "prop."),
    *("date", "track_var", "id", "", "path'", "prop.\x00", "start ", "STATUS_CODE", "\ud800"),
)


@st.composite
def parameters(draw: st.DrawFn) -> Pairs:
    """Draw the parameters of a URL: names with values that belong to them, or to nothing."""
    chance: Choices = draw(choices(60))
    pairs: Pairs = []
    for _ in range(1 + chance.byte() % 6):
        name = chance.one(NAMES)
        kind = chance.one(("odd", "odd", "sql", "fitting", "any"))
        if kind == "any":
            value = draw(st.text(max_size=30) | st.binary(max_size=30).map(_decoded))
        elif kind == "fitting" and (name in VALUES or name in OF_DIMENSION):
            value = chance.one(values_of(name))
        else:
            value = chance.one(SQL if kind == "sql" else ODD)
        pairs.append((name, chance.one(("", "", "!", ">")) + value))
    return pairs


def _decoded(drawn: bytes) -> str:
    return drawn.decode("utf-8", "surrogateescape")


@pytest.fixture
def asked(database_url: str) -> Iterator[Answers]:
    """What answers about some rows."""
    database = Database(database_url)
    edge = Edge(UTC, NOW)
    rows = [draw_row(Choices(bytes(range(n, n + 40))), edge, n) for n in range(1, 30)]
    with database.holding(Batch(Layout(EVERYTHING), rows, [], [])) as sources:
        yield sources["complete"]
    database.engine.dispose()


def ask(answers: Answers, pairs: Pairs) -> None:
    """Ask in every way, as the pages do; all but an answer and a refusal is an error."""
    try:
        query = read(pairs)
    except QueryError as error:
        assert len(str(error)) < 2000  # noqa: PT017
        return
    with within(20.0):  # the database ends what takes longer, with another error
        for kind in dict.fromkeys((*KINDS, "count")):
            try:
                answers.many([Ask(kind, query, personal=True)])
            except QueryError as error:
                str(error).encode("ascii", "backslashreplace")


@exploring
@given(pairs=parameters())
@example([("path", f"/{number}") for number in range(500)])
@example([("path", "!" + "*" * 10_000)])
@example([("path", "*a" * 249), ("browser", "x*")])
@example([("start", "0001-01-01"), ("end", "9999-12-31")])
@example([("start", "0001-01-01"), ("end", "5000-01-01"), ("interval", "hour"), ("group", "path")])
@example(
    [("start", "0001-01-01"), ("end", "9999-12-31"), ("tz", "Pacific/Apia"), ("interval", "year")]
)
@example(
    [
        ("start", "9999-12-31"),
        ("end", "9999-12-31"),
        ("tz", "America/New_York"),
        ("interval", "hour"),
    ]
)
@example(
    [("start", "0001-01-01"), ("end", "0001-01-01"), ("tz", "Asia/Tokyo"), ("interval", "hour")]
)
@example([("start", "0001-01-01"), ("end", "0001-01-03"), ("interval", "week-sunday")])
@example([(name, value) for name in ("path", "event", "prop.plan") for value in SQL])
def test_a_query_string_is_answered_or_refused(asked: Answers, pairs: Pairs) -> None:
    """No parameters give anything but an answer or a QueryError, within a bounded time."""
    ask(asked, pairs)


@pytest.mark.parametrize("text", SQL)
def test_values_are_never_sql(asked: Answers, text: str) -> None:
    """What looks like SQL finds nothing, or itself, and leaves the rows where they are."""
    every = Query(Period(date(2023, 1, 1), date(2025, 12, 31), UTC))
    before = asked.count(every)
    assert before == 29
    for name in ("path", "country", "entry_path", "event", "prop.plan", "prop.none"):
        plain = text.replace("*", "+")
        assert asked.count(every.replace(filters=(Filter(name, (plain,)),))) == 0
        asked.breakdown(every.replace(group_by=(name,), filters=(Filter("path", ("!" + text,)),)))
    assert asked.count(every) == before
