"""The JSON answers: their shapes, their numbers, what they say when something is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from flask_statistics.fields import PERSONAL
from tests.pages import RANGE, add_rows, classic_model, row, show

if TYPE_CHECKING:
    from tests.conftest import Host

    MakeHost = Callable[..., Host]

OPEN = {"TESTING": True}
API = "/statistics/api"


@pytest.fixture
def busy(make_host: MakeHost) -> Host:
    """Two days with three requests, and one the day before."""
    host = make_host(settings=OPEN)
    add_rows(
        host,
        row(-24, visitor="carl"),
        row(0, response_time=0.3),
        row(1, path="/tea", visitor="bob", browser="Chrome", username="bob"),
        row(24, path="/bot", bot="Googlebot", status_code=500, browser=None),
    )
    return host


def ask(host: Host, what: str, status: int = 200) -> Any:
    answer = host.open(f"{API}/{what}")
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/json"
    return json.loads(answer.text)


def test_summary(busy: Host) -> None:
    """The metrics of the period, and of the one before."""
    found = ask(busy, f"summary?{RANGE}")
    assert found["period"] == {"start": "2024-05-01", "end": "2024-05-03"}
    assert found["previous_period"] == {"start": "2024-04-28", "end": "2024-04-30"}
    assert found["metrics"]["hits"] == 3
    assert found["metrics"]["visitors"] == 2
    assert found["metrics"]["errors"] == 1
    assert found["metrics"]["error_rate"] == pytest.approx(1 / 3)
    assert found["metrics"]["db_time"] is None
    assert found["previous"]["hits"] == 1
    assert set(found["previous"]) == set(found["metrics"])


@pytest.mark.parametrize(
    ("compare", "days", "hits"),
    [
        ("previous", {"start": "2024-04-28", "end": "2024-04-30"}, 1),
        ("year", {"start": "2023-05-01", "end": "2023-05-03"}, 0),
        ("2024-05-01..2024-05-01", {"start": "2024-05-01", "end": "2024-05-01"}, 2),
    ],
)
def test_summary_compared(busy: Host, compare: str, days: dict[str, str], hits: int) -> None:
    """With the period that the URL names."""
    found = ask(busy, f"summary?{RANGE}&compare={compare}")
    assert found["previous_period"] == days
    assert found["previous"]["hits"] == hits


def test_summary_without_comparison(busy: Host) -> None:
    """compare=none leaves it empty."""
    found = ask(busy, f"summary?{RANGE}&compare=none")
    assert (found["previous"], found["previous_period"]) == ({}, None)


def test_timeseries(busy: Host) -> None:
    """Every bucket, empty ones included."""
    found = ask(busy, f"timeseries?{RANGE}&interval=day&metric=hits&metric=visitors")
    assert found == {
        "interval": "day",
        "period": {"start": "2024-05-01", "end": "2024-05-03"},
        "points": [
            {"start": "2024-05-01", "hits": 2, "visitors": 2},
            {"start": "2024-05-02", "hits": 1, "visitors": 0},
            {"start": "2024-05-03", "hits": 0, "visitors": 0},
        ],
    }


@pytest.mark.parametrize(("interval", "count"), [("hour", 72), ("week", 1), ("month", 1)])
def test_timeseries_in_other_buckets(busy: Host, interval: str, count: int) -> None:
    """Hours, weeks and months."""
    found = ask(busy, f"timeseries?{RANGE}&interval={interval}&metric=hits")
    assert len(found["points"]) == count
    assert sum(point["hits"] for point in found["points"]) == 3


def test_breakdown(busy: Host) -> None:
    """The values of a dimension, the most hits first, and how many there are."""
    found = ask(busy, f"breakdown/path?{RANGE}&metric=hits&sort=value&limit=2&page=1")
    assert (found["dimension"], found["total"]) == ("path", 3)
    assert [(line["value"], line["hits"]) for line in found["rows"]] == [("/", 1), ("/bot", 1)]
    rest = ask(busy, f"breakdown/path?{RANGE}&metric=hits&sort=value&limit=2&page=2")
    assert [line["value"] for line in rest["rows"]] == ["/tea"]
    slowest = ask(busy, f"breakdown/path?{RANGE}&sort=-response_time&limit=1")
    assert slowest["rows"][0]["value"] == "/"


def test_breakdown_of_an_absent_value(busy: Host) -> None:
    """No value is null."""
    found = ask(busy, f"breakdown/browser?{RANGE}")
    assert {line["value"] for line in found["rows"]} == {"Chrome", "Firefox", None}


def test_requests(busy: Host) -> None:
    """Newest first, with every column, moments in UTC."""
    found = ask(busy, f"requests?{RANGE}&limit=2")
    assert (found["total"], found["page"]) == (3, 1)
    assert [line["path"] for line in found["requests"]] == ["/bot", "/tea"]
    assert found["requests"][1]["username"] == "bob"
    assert found["requests"][0]["date"] == "2024-05-02T10:00:00Z"
    rest = ask(busy, f"requests?{RANGE}&limit=2&page=2")
    assert [line["path"] for line in rest["requests"]] == ["/"]


def test_requests_without_personal_columns(make_host: MakeHost) -> None:
    """Who may only view gets the requests without them."""
    host = make_host(permission_f=lambda action: action == "view")
    add_rows(host, row(track_var='{"name": "anna"}'))
    (request,) = ask(host, f"requests?{RANGE}")["requests"]
    assert not set(request) & PERSONAL
    assert "track_var" not in request
    assert request["path"] == "/"


def test_status(busy: Host) -> None:
    """What the recorder of this process received, stored and dropped."""
    busy.open("/")
    busy.rows()
    found = ask(busy, "status")
    assert (found["received"], found["stored"], found["waiting"]) == (1, 1, 0)
    assert found["dropped"] == {}


@pytest.mark.parametrize(("may_manage", "shown"), [(True, True), (False, False)])
def test_status_does_not_quote_visitors(
    make_host: MakeHost, monkeypatch: pytest.MonkeyPatch, may_manage: bool, shown: bool
) -> None:
    """The text of the last error is for those who may manage; others see its kind."""
    host = make_host(permission_f=lambda action: may_manage or action == "view")
    recorder = host.app.extensions["statistics"].recorder
    said = {"last_error": "DataError: bad value 'x' near secret"}
    monkeypatch.setattr(recorder, "status", lambda: said)
    assert ("secret" in ask(host, "status")["last_error"]) == shown
    assert ask(host, "status")["last_error"].startswith("DataError")


def test_page_and_json_agree(busy: Host) -> None:
    """They ask the same questions."""
    for filters in ("", "&bots=0", "&bots=only", "&browser=Chrome", "&status_code=5xx"):
        tiles = show(busy, f"/statistics/?{RANGE}{filters}").tiles()
        metrics = ask(busy, f"summary?{RANGE}{filters}")["metrics"]
        assert tiles == {name: str(metrics[name]) for name in tiles}


def test_the_classic_model(make_host: MakeHost) -> None:
    """Metrics that need other columns are absent."""
    host = make_host(model=classic_model, settings=OPEN)
    add_rows(host, row())
    metrics = ask(host, f"summary?{RANGE}")["metrics"]
    assert metrics["visitors"] == 1
    assert "visits" not in metrics
    assert ask(host, f"requests?{RANGE}")["requests"][0]["id"] == 1
    assert ask(host, "breakdown/device", 400)["parameter"] == "dimension"


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("summary?start=2024-13-45", "start: '2024-13-45' is not a date such as 2024-01-31"),
        ("summary?compare=never", "compare: 'never' is none of previous, year, none, START..END"),
        ("timeseries?interval=fortnight",
         "interval: 'fortnight' is none of hour, day, week, week-sunday, month, year"),
        ("requests?limit=0", "limit: '0' is not a whole number between 1 and 1000"),
        ("requests?page=abc", "page: 'abc' is not a whole number between 1 and 1000000000"),
        ("breakdown/path?status_code=5x5",
         "status_code: '5x5' is not a status, 5xx, >399, <=399 or 500..599"),
    ],
)  # fmt: skip
def test_a_bad_parameter(busy: Host, what: str, error: str) -> None:
    """400, with which and why."""
    assert ask(busy, what, 400) == {"error": error, "parameter": error.partition(":")[0]}


@pytest.mark.parametrize(
    ("what", "parameter"),
    [
        ("summary?nonsense=1", "nonsense"),
        ("summary?metric=beauty", "metric"),
        ("breakdown/beauty", "dimension"),
        ("breakdown/date", "dimension"),
        ("breakdown/path?sort=beauty", "sort"),
        ("requests?sort=path", "sort"),
        ("timeseries?interval=hour&start=0001-01-01", "interval"),
        ("summary?path=%00", "path"),
        ("summary?" + "path=x&" * 10_000, "path"),
    ],
)
def test_a_bad_question(busy: Host, what: str, parameter: str) -> None:
    """Whatever cannot be asked names its parameter."""
    assert ask(busy, what, 400)["parameter"] == parameter


def test_the_largest_page(busy: Host) -> None:
    """An empty one is not an error."""
    assert ask(busy, "requests?page=1000000000&limit=1000")["requests"] == []
    assert ask(busy, f"breakdown/path?{RANGE}&page=1000000000&limit=1000")["rows"] == []


def test_large_numbers(busy: Host) -> None:
    """Larger than a column holds, but a number."""
    assert ask(busy, f"summary?{RANGE}&status_code=>99999999999999999")["metrics"]["hits"] == 0
    assert ask(busy, f"summary?{RANGE}&size=<1e300")["metrics"]["hits"] == 3


def test_a_missing_table(busy: Host, caplog: pytest.LogCaptureFixture) -> None:
    """503 with what to do; no SQL, no traceback."""
    with busy.app.app_context():
        busy.db.drop_all()
    assert ask(busy, "summary", 503) == {
        "error": "the database lacks request: run `flask db upgrade`"
    }
    assert len(caplog.records) == 1


def test_only_get(busy: Host) -> None:
    """Nothing here changes anything."""
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert busy.open(f"{API}/summary", method=method).status_code == 405
    assert busy.open(f"{API}/summary", method="HEAD").text == ""


def test_every_answer_on_every_database(make_host: MakeHost, database_url: str) -> None:
    """The same on SQLite, PostgreSQL and MariaDB."""
    host = make_host(url=database_url, settings=OPEN)
    add_rows(host, row(0, response_time=0.25), row(1, browser=None, size=10**12))
    assert ask(host, f"summary?{RANGE}")["metrics"]["size"] == 10**12 + 1000
    assert ask(host, f"timeseries?{RANGE}&metric=response_time")["points"][0] == {
        "start": "2024-05-01", "response_time": 0.175,
    }  # fmt: skip
    found = ask(host, f"breakdown/browser?{RANGE}&metric=hits")
    assert [(line["value"], line["hits"]) for line in found["rows"]] == [
        ("Firefox", 1), (None, 1),
    ]  # fmt: skip
    assert found["rows"][0]["last"] == "2024-05-01T10:00:00Z"
    assert ask(host, f"requests?{RANGE}")["requests"][0]["size"] == 10**12
