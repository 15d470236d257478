"""A query is read from a URL's parameters and printed back to them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from werkzeug.datastructures import MultiDict

from flask_statistics.asking.filters import (
    Absent,
    Between,
    Equal,
    Filter,
    Like,
    Terms,
    available_dimensions,
    is_personal,
    read_filter,
)
from flask_statistics.asking.metrics import METRICS
from flask_statistics.asking.period import BUCKETS
from flask_statistics.asking.query import DEFAULT_LIMIT, PARAMETERS, Period, Query, query_from_args
from flask_statistics.errors import QueryError
from flask_statistics.fields import BY_NAME as FIELDS

UTC = ZoneInfo("UTC")
NOW = datetime(2024, 3, 10, 23, 30)
Pairs = list[tuple[str, str]]


def read(
    *args: tuple[str, str], zone: ZoneInfo = UTC, columns: Collection[str] = FIELDS
) -> tuple[Query, Period | None]:
    return query_from_args(
        args, model_columns=columns, zone=zone, default_span=timedelta(days=7), now=NOW
    )


def message(*args: tuple[str, str], columns: Collection[str] = FIELDS) -> str:
    with pytest.raises(QueryError) as refused:
        read(*args, columns=columns)
    return str(refused.value)


def test_default_range() -> None:
    """Without dates the range is today minus the span to today, and compared with before."""
    query, comparison = read()
    assert query == Query(Period(date(2024, 3, 3), date(2024, 3, 10), UTC))
    assert comparison == Period(date(2024, 2, 24), date(2024, 3, 2), UTC)


def test_today_is_the_zones() -> None:
    """Today is the day of the zone, whether the clock is aware or naive."""
    zone = ZoneInfo("Europe/Berlin")
    assert read(zone=zone)[0].period.end == date(2024, 3, 11)
    aware, _ = query_from_args(
        [],
        model_columns=(),
        zone=zone,
        default_span=timedelta(),
        now=NOW.replace(tzinfo=timezone.utc),
    )
    assert (aware.period.start, aware.period.end) == (date(2024, 3, 11), date(2024, 3, 11))


def test_one_date_alone() -> None:
    """A start reaches to today; an end has the default span before it."""
    assert read(("start", "2024-03-01"))[0].period == Period(
        date(2024, 3, 1), date(2024, 3, 10), UTC
    )
    assert read(("end", "2024-02-29"))[0].period == Period(
        date(2024, 2, 22), date(2024, 2, 29), UTC
    )
    assert read(("end", "0001-01-02"))[0].period.start == date(1, 1, 1)
    assert message(("start", "2024-03-11")) == "start: 2024-03-11 is after the end, 2024-03-10"


def test_empty_parameters_of_forms_are_none() -> None:
    """What a form sends empty counts as not given; an empty filter asks for the absent."""
    names = ("start", "end", "compare", "bots", "interval", "limit", "page", "sort", "metric")
    assert read(*((name, "") for name in names)) == read()
    assert read(("country", ""))[0].filters == (Filter("country", ("",)),)


def test_comparison() -> None:
    """The period to compare with is the one before, the year before, none, or any."""
    dates: Pairs = [("start", "2024-02-29"), ("end", "2024-02-29")]

    def compared(text: str) -> Period | None:
        return read(*dates, ("compare", text))[1]

    assert compared("previous") == Period(date(2024, 2, 28), date(2024, 2, 28), UTC)
    assert compared("year") == Period(date(2023, 2, 28), date(2023, 2, 28), UTC)
    assert compared("none") is None
    assert compared("2023-01-01..2023-01-31") == Period(date(2023, 1, 1), date(2023, 1, 31), UTC)


ROUND_TRIPS: list[Pairs] = [
    [],
    [("bots", "0")],
    [("bots", "only"), ("interval", "month"), ("sort", "-visitors")],
    [("limit", "20"), ("page", "3")],
    [("page", "7")],
    [("offset", "7"), ("limit", "5")],
    [("tz", "America/New_York"), ("interval", "week-sunday")],
    [("group", "browser"), ("limit", "3")],
    [("group", "prop.plan,event"), ("prop.plan", "!pro"), ("event", "sign*")],
    [("metric", "hits"), ("metric", "visitors")],
    [("browser", "Firefox*"), ("path", "/blog/*"), ("browser", "!Firefox 1*"), ("country", "")],
    [("status_code", "5xx"), ("country", "!"), ("path", "!/a&b=c d%20é"), ("size", ">1.5")],
]


@pytest.mark.parametrize("args", ROUND_TRIPS)
def test_round_trip(args: Pairs) -> None:
    """What is printed is read back to the same query."""
    query, _ = read(("start", "2024-01-01"), ("end", "2024-01-31"), *args)
    assert read(*query.to_args())[0] == query
    zone = [] if "tz" in dict(args) else [("tz", "UTC")]
    given = [("start", "2024-01-01"), ("end", "2024-01-31"), *zone, *args]
    assert sorted(query.to_args()) == sorted(given)


def texts() -> st.SearchStrategy[str]:
    return st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@st.composite
def queries(draw: Any) -> Query:
    """Draw a query as Python may build it: with one filter a dimension, each of some values."""
    values = {"path": texts(), "event": texts(), "prop.a.b": texts(), "bot": st.just("!")}
    values |= {"visit_page_views": st.sampled_from(["1", ">2", "!3..5", ""])}
    names = draw(st.lists(st.sampled_from(sorted(values)), unique=True))
    filters = tuple(
        Filter(name, tuple(draw(st.lists(values[name], min_size=1, max_size=3)))) for name in names
    )
    start = draw(st.dates(date(1, 1, 1), date(9999, 12, 1)))
    end = draw(st.dates(start, date(9999, 12, 31)))
    some = st.sampled_from
    return Query(
        period=Period(start, end, draw(some([UTC, ZoneInfo("Asia/Kathmandu")]))),
        filters=filters,
        group_by=draw(some([(), ("path",), ("event", "prop.x"), ("exit_path", "browser")])),
        metrics=draw(some([(), ("hits",), ("visits", "revenue")])),
        bucket=draw(some([None, *BUCKETS])),
        order=draw(some([None, "value", "-hits"])),
        limit=draw(st.none() | st.integers(1, 1000)),
        offset=draw(st.integers(0, 10**6)),
        include_bots=draw(some([None, "0", "1", "only"])),
        time_zone=draw(some([None, ZoneInfo("America/New_York"), ZoneInfo("Etc/GMT+5")])),
    )


@given(queries())
@settings(max_examples=300, deadline=None)
@example(Query(Period(date(1, 1, 1), date(1, 1, 1), UTC), offset=7, limit=7))
def test_every_query_is_read_back(query: Query) -> None:
    """Whatever Python asks, its parameters say the same, also when they went through a URL."""
    printed = parse_qsl(urlencode(query.to_args()), keep_blank_values=True)
    assert read(*printed)[0] == query


def test_time_zone() -> None:
    """The zone of a URL decides where today's days begin, and what they are compared with."""
    query, comparison = read(("tz", "Asia/Tokyo"))
    assert query.time_zone == query.period.zone == ZoneInfo("Asia/Tokyo")
    assert query.period.end == date(2024, 3, 11)
    assert comparison is not None
    assert comparison.zone == ZoneInfo("Asia/Tokyo")


def test_time_zone_of_a_period() -> None:
    """A query's zone is its period's, whichever of the two is given."""
    berlin, day = ZoneInfo("Europe/Berlin"), date(2024, 1, 1)
    query = Query(Period(day, day, UTC), time_zone=berlin)
    assert query.period.zone == berlin
    assert query == Query(Period(day, day, berlin))
    assert query.replace(limit=1).time_zone == berlin
    assert query.replace(period=Period(day, day, UTC)).time_zone == UTC
    assert query.replace(time_zone=UTC).period == Period(day, day, UTC)


def test_werkzeugs_arguments() -> None:
    """All values of Werkzeug's arguments are read, and a plain dict's."""
    args = MultiDict([("path", "/a"), ("path", "/b")])
    options = {"model_columns": ("path",), "zone": UTC, "default_span": timedelta(), "now": NOW}
    assert query_from_args(args, **options)[0].filters == (Filter("path", ("/a", "/b")),)  # type: ignore[arg-type]
    assert query_from_args({"path": "/a"}, **options)[0].filters == (Filter("path", ("/a",)),)  # type: ignore[arg-type]


def test_pages() -> None:
    """The page follows from the offset and back."""
    assert read(("page", "3"))[0].offset == 2 * DEFAULT_LIMIT
    assert read(("page", "3"), ("limit", "20"))[0].offset == 40
    assert read(("page", "1000000000"), ("limit", "1000"))[0].offset < 2**63
    assert Query(Period(date(2024, 1, 1), date(2024, 1, 1), UTC), limit=20, offset=40).page == 3


def test_where_and_dimensions() -> None:
    """A filter is set, replaced and taken away on a copy."""
    query = read(("path", "/a"), ("browser", "x"))[0].replace(group_by=("route",))
    assert query.where("path", "/b", "/c").filters == (
        Filter("browser", ("x",)),
        Filter("path", ("/b", "/c")),
    )
    assert query.where("path").filters == (Filter("browser", ("x",)),)
    assert query.dimensions == {"path", "browser", "route"}


def test_ignored_parameters() -> None:
    """Parameters of the caller are neither filters nor errors."""
    query, _ = query_from_args(
        [("tab", "urls")],
        model_columns=(),
        zone=UTC,
        default_span=timedelta(),
        now=NOW,
        ignore={"tab"},
    )
    assert query.filters == ()


@pytest.mark.parametrize(
    ("dimension", "value", "term"),
    [
        ("path", "/a", Equal("/a")),
        ("path", "/a***b*", Like("/a*b*")),
        ("path", "", Absent()),
        ("path", "=1", Equal("=1")),
        ("status_code", "5xx", Between(500, 599)),
        ("status_code", "404", Between(404, 404)),
        ("status_code", "500..599", Between(500, 599)),
        ("size", ">1.5", Between(1.5, None, low_included=False)),
        ("size", ">=1", Between(1, None)),
        ("size", "<=3", Between(None, 3)),
        ("size", "<-1e3", Between(None, -1000.0, high_included=False)),
        ("size", "-5..-1", Between(-5, -1)),
        ("db_queries", "", Absent()),
        ("authorization", "true", Equal(True)),
        ("authorization", "0", Equal(False)),
    ],
)
def test_terms(dimension: str, value: str, term: object) -> None:
    """Each form of a filter's value is read, plain and excluded."""
    columns = set(FIELDS)
    assert read_filter(Filter(dimension, (value,)), columns) == Terms((term,), ())  # type: ignore[arg-type]
    assert read_filter(Filter(dimension, ("!" + value,)), columns) == Terms((), (term,))  # type: ignore[arg-type]


NO_DATE = "is not a date such as 2024-01-31"
NO_ZONE = "is not a time zone such as Europe/Berlin or UTC"
NO_NAME = "is no name of a property: 1 to 64 of a-z, A-Z, 0-9, _, -, . and :"
NO_NUMBER = "is not a number, >1.5, <=3 or 500..599"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("start", "2024-13-45", f"start: '2024-13-45' {NO_DATE}"),
        ("end", "2024-1-1", f"end: '2024-1-1' {NO_DATE}"),
        ("end", "20240101", f"end: '20240101' {NO_DATE}"),
        ("start", "0000-01-01", f"start: '0000-01-01' {NO_DATE}"),
        ("start", "10000-01-01", f"start: '10000-01-01' {NO_DATE}"),
        ("start", "²024-01-01", f"start: '²024-01-01' {NO_DATE}"),
        ("start", "x" * 10**6, f"start: '{'x' * 60}…' {NO_DATE}"),
        ("start", "\u202e\x00\ud800", f"start: '\\u202e\\x00\\ud800' {NO_DATE}"),
        ("compare", "week", "compare: 'week' is none of previous, year, none, START..END"),
        ("compare", "2024-01-01..x", f"compare: 'x' {NO_DATE}"),
        (
            "compare",
            "2024-01-02..2024-01-01",
            "compare: 2024-01-02 is after the end, 2024-01-01",
        ),
        ("bots", "2", "bots: '2' is none of 0, 1, only"),
        (
            "interval",
            "minute",
            "interval: 'minute' is none of hour, day, week, week-sunday, month, year",
        ),
        ("tz", "Mars/Olympus", f"tz: 'Mars/Olympus' {NO_ZONE}"),
        ("tz", "../../etc/passwd", f"tz: '../../etc/passwd' {NO_ZONE}"),
        ("tz", "x" * 10**6, f"tz: '{'x' * 60}…' {NO_ZONE}"),
        ("tz", "posixrules\0", f"tz: 'posixrules\\x00' {NO_ZONE}"),
        ("group", "browser,path,route", "group: 3 dimensions are more than 2"),
        ("group", "browser,browser", "group: 'browser' is given 2 times"),
        ("group", "date", "group: date is not a dimension"),
        ("prop.", "x", f"prop.: '' {NO_NAME}"),
        ("prop.größe", "x", f"prop.größe: 'größe' {NO_NAME}"),
        ('prop."; DROP', "x", f"prop.\"; DROP: '\"; DROP' {NO_NAME}"),
        ("visit_page_views", "one", f"visit_page_views: 'one' {NO_NUMBER}"),
        ("limit", "-1", "limit: '-1' is not a whole number between 1 and 1000"),
        ("limit", "0", "limit: '0' is not a whole number between 1 and 1000"),
        ("limit", "1e9", "limit: '1e9' is not a whole number between 1 and 1000"),
        ("limit", "1001", "limit: '1001' is not a whole number between 1 and 1000"),
        ("limit", "٣", "limit: '٣' is not a whole number between 1 and 1000"),
        ("page", "abc", "page: 'abc' is not a whole number between 1 and 1000000000"),
        ("page", "9" * 5000, f"page: '{'9' * 60}…' is not a whole number between 1 and 1000000000"),
        ("track_var", "x", "track_var: track_var is not a dimension"),
        ("date", "2024-01-01", "date: date is not a dimension"),
        ("path", "a\x00b", "path: 'a\\x00b' holds a character that is never stored"),
        ("path", "\ud800", "path: '\\ud800' holds a character that is never stored"),
        ("path", "x" * 4097, "path: a value is longer than 4096 characters"),
        ("path", "a" * 10_000, "path: a value is longer than 4096 characters"),
        ("path", "*" * 10_000, "path: all patterns together are longer than 500 characters"),
        ("size", "big", f"size: 'big' {NO_NUMBER}"),
        ("size", "nan", f"size: 'nan' {NO_NUMBER}"),
        ("size", "1e999", "size: '1e999' is too large"),
        ("size", "4*", f"size: '4*' {NO_NUMBER}"),
        ("size", "5xx", f"size: '5xx' {NO_NUMBER}"),
        ("size", "2..1", "size: '2..1' ends before it begins"),
        ("size", "1..", f"size: '1..' {NO_NUMBER}"),
        (
            "status_code",
            "1); DROP TABLE request",
            "status_code: '1); DROP TABLE request' is not a status, 5xx, >399, <=399 or 500..599",
        ),
        ("authorization", "maybe", "authorization: 'maybe' is neither true nor false"),
    ],
)
def test_bad_values(name: str, value: str, text: str) -> None:
    """A bad value is refused with its parameter, and with what is accepted."""
    assert message((name, value)) == text


def test_unknown_parameter() -> None:
    """An unknown parameter is refused with the dimensions that there are."""
    text = message(("colour", "red"), columns={"date", "path", "status_code", "track_var"})
    assert text == (
        "colour: 'colour' is unknown; dimensions are path, status_code, event, prop.<name>"
    )
    assert len(message(("x" * 10**6, "red"))) < 2000


def test_column_that_the_model_lacks() -> None:
    """A dimension without its column is refused."""
    assert (
        message(("country", "DE"), columns={"path"}) == "country: the model has no column country"
    )
    assert (
        message(("entry_path", "/"), columns={"path"})
        == "entry_path: the model has no column visit"
    )


def test_given_twice() -> None:
    """A parameter that has one value is refused when given twice."""
    assert message(("start", "2024-01-01"), ("start", "2024-01-02")) == "start: is given 2 times"


def test_too_many_filters() -> None:
    """Ten thousand parameters are refused."""
    args = [("path", f"/{number}") for number in range(10_000)]
    assert message(*args) == "path: there are more than 100 filter values"
    assert message(*args[:500]) == "path: there are more than 100 filter values"


def test_too_many_properties() -> None:
    """Filters by many properties are refused: compiling them alone would take seconds."""
    args = [(f"prop.p{number}", "x") for number in range(11)]
    assert len(read(*args[:10])[0].filters) == 10
    assert message(*args) == "prop.: there are filters of more than 10 properties"


def test_page_and_offset() -> None:
    """Which rows are skipped is said once."""
    assert message(("page", "2"), ("offset", "3")) == (
        "offset: page says already which rows are skipped"
    )


def test_comparison_before_year_1() -> None:
    """The default has nothing to compare the first years with; asking for it is refused."""
    dates: Pairs = [("start", "0001-01-01"), ("end", "9999-12-31")]
    assert read(*dates)[1] is None
    for text in ("previous", "year"):
        assert message(*dates, ("compare", text)) == (
            "compare: what lies before 0001-01-01 is before year 1"
        )


def test_every_dimension_is_a_field_or_a_visits() -> None:
    """Dimensions are the table of fields', as far as the model has them, of visits and events."""
    everything = available_dimensions(set(FIELDS))
    assert set(everything) == {name for name, field in FIELDS.items() if field.dimension} | {
        *("entry_path", "exit_path", "visit_page_views", "event"),
    }
    assert list(available_dimensions({"path", "date"})) == ["path", "event"]
    assert [name for name in everything if is_personal(name)] == [
        name for name, field in FIELDS.items() if field.dimension and field.personal
    ]
    assert is_personal("prop.plan")


def test_every_metric_and_parameter_is_documented() -> None:
    """The docs hold each metric's definition as it stands in the code, and each parameter."""
    docs = Path(__file__).parent.parent / "docs"
    metrics, query = (docs / "metrics.md").read_text(), (docs / "query.md").read_text()
    for metric in METRICS:
        row = f"| `{metric.name}` | {metric.label} | {metric.unit} | {metric.definition} |"
        assert row in metrics
    for parameter in PARAMETERS:
        assert f"`{parameter}`" in query
