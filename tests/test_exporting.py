"""What is stored can be taken along, whole, by whom may have it, and without harm."""

from __future__ import annotations

import csv
import io
import json
import stat
import tracemalloc
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from flask_statistics.asking.figures import json_value
from flask_statistics.fields import PERSONAL
from flask_statistics.owning.exporting import make_export
from flask_statistics.owning.files import csv_parts
from flask_statistics.owning.spreadsheets import safe, unsafe
from flask_statistics.pages import exporting
from tests.owned import ALICE, ALWAYS, BOB, MakeHost, peoples_host, run, state_of, visit

if TYPE_CHECKING:
    from tests.conftest import Host

HOSTILE = ("=1+1", "+1", "-2", "@x", "'", "'=1", " =1", 'plain, "quoted"\n', "漢字 🦊", "", "a'b")


def filled(make_host: MakeHost, url: str, **settings: Any) -> Host:
    """Return a host with people's requests, of which some values are hostile, and some NULL."""
    host = peoples_host(make_host, url, **settings)
    visit(host, "/?buy=1", ALICE, Referer="https://example.org/")
    visit(host, "/a", BOB)
    host.rows()
    state = state_of(host)
    key, table = state.model.primary_key, state.model.table
    with host.engine.begin() as connection:
        row = dict(connection.execute(sa.select(table).limit(1)).mappings().one())
        del row[key.name]
        for number, text in enumerate(HOSTILE):
            moment = row["date"] + timedelta(seconds=number // 3)
            other = {**row, "path": text, "exception": text, "date": moment, "size": None}
            connection.execute(table.insert().values(other))
    return host


def rows_of(host: Host) -> list[dict[str, Any]]:
    """Return all rows of requests, as JSON has them, the oldest first."""
    rows = sorted(host.stored(), key=lambda row: (row["date"], row["id"]))
    return [{name: json_value(value) for name, value in row.items()} for row in rows]


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a page have three rows, so that ties go over its end."""
    made = make_export
    monkeypatch.setattr(
        "flask_statistics.owning.exporting.make_export", lambda *a, **o: made(*a, **o, page=3)
    )


@pytest.mark.usefixtures("small_pages")
def test_each_format_holds_every_row(
    make_host: MakeHost, database_url: str, tmp_path: Path
) -> None:
    """CSV, JSON lines and Parquet hold the same rows as the table, in the order of time."""
    host = filled(make_host, database_url)
    expected = rows_of(host)
    assert len(expected) == 2 + len(HOSTILE)

    lines = run(host, "export", "--format", "jsonl").stdout.splitlines()
    assert [json.loads(text) for text in lines] == expected

    path = tmp_path / "all.parquet"
    run(host, "export", "--format", "parquet", "--output", path)
    found = pq.read_table(path).to_pylist()
    assert [{n: json_value(v) for n, v in row.items()} for row in found] == expected

    table = list(csv.DictReader(io.StringIO(run(host, "export").stdout, newline="")))
    assert [row["path"] for row in table] == [safe(row["path"]) for row in expected]
    for row, known in zip(table, expected, strict=True):
        texts = {n: "" if v is None else str(v) for n, v in known.items() if v not in {True, False}}
        assert {name: unsafe(row[name]) for name in texts} == texts


def test_cells_are_no_formulas(make_host: MakeHost, sqlite_url: str) -> None:
    """No cell of CSV begins as a formula does, and each can be had back as it was."""
    host = filled(make_host, sqlite_url)
    for row in csv.reader(io.StringIO(run(host, "export").stdout, newline="")):
        assert not any(text.strip()[:1] in {"=", "+", "-", "@"} for text in row if text)
    assert [unsafe(safe(text)) for text in HOSTILE] == list(HOSTILE)


def test_a_file_is_whole_and_private(make_host: MakeHost, sqlite_url: str, tmp_path: Path) -> None:
    """The file takes its place once it is whole; only its owner reads it; a failure leaves none."""
    host = filled(make_host, sqlite_url)
    path = tmp_path / "folder" / "out.csv"
    path.parent.mkdir()
    path.write_text("before")
    failed = run(host, "export", "--output", path, "--where", "status_code=x", code=2)
    assert "--where: status_code: 'x' is not a status" in failed.stderr
    assert path.read_text() == "before"
    assert "13 requests written to" in run(host, "export", "--output", path).stderr
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [*path.parent.iterdir()] == [path]
    assert (
        "cannot be written: Is a directory"
        in run(host, "export", "--output", tmp_path, code=1).stderr
    )


@pytest.mark.parametrize("what", ["requests", "visits", "events"])
def test_one_person(make_host: MakeHost, database_url: str, what: str) -> None:
    """Nothing of anybody else is in the file, with requests, visits and events alike."""
    host = peoples_host(make_host, database_url)
    for address in (ALICE, BOB):
        visit(host, "/?buy=1", address)
        visit(host, "/a", address)
    theirs = {row["visitor"] for row in host.rows() if row["remote_address"] == ALICE}
    options = ("--what", what, "--address", ALICE, "--format", "jsonl")
    rows = [json.loads(text) for text in run(host, "export", *options).stdout.splitlines()]
    assert len(rows) == {"requests": 2, "visits": 1, "events": 1}[what]
    assert {row["visitor"] for row in rows} == theirs
    nobody = run(host, "export", "--what", what, "--address", "192.0.2.1", "--format", "jsonl")
    assert nobody.stdout == ""


def test_a_period_and_filters(make_host: MakeHost, database_url: str) -> None:
    """The filters of the pages, and days, narrow it down; visits and events take no filters."""
    host = filled(make_host, database_url)
    lines = run(host, "export", "--where", "path=/a", "--format", "jsonl").stdout.splitlines()
    assert [json.loads(text)["path"] for text in lines] == ["/a"]
    assert run(host, "export", "--end", "2020-01-01", "--format", "jsonl").stdout == ""
    refused = run(host, "export", "--what", "events", "--where", "path=/a", code=2)
    assert "--where: filters are about requests" in refused.stderr


def test_memory_does_not_grow(make_host: MakeHost, sqlite_url: str) -> None:
    """Ten times the rows need no more memory: one page is held at a time."""
    host = filled(make_host, sqlite_url)
    state = state_of(host)
    table, key = state.model.table, state.model.primary_key

    def peak() -> int:
        tracemalloc.start()
        for _ in csv_parts(make_export(state, ALWAYS, page=100)):
            pass
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    columns = [column for column in table.columns if column is not key]
    copy = table.insert().from_select(columns, sa.select(*columns))
    with host.engine.begin() as connection:
        for _ in range(5):
            connection.execute(copy)
    peak()
    few = peak()
    with host.engine.begin() as connection:
        for _ in range(4):
            connection.execute(copy)
    assert len(host.stored()) == 13 * 2**9
    assert peak() < 1.5 * few


# ---- over HTTP ---------------------------------------------------------------------------------


def get(host: Host, path: str, code: int = 200) -> Any:
    response = host.app.test_client().get(f"/statistics/export/{path}", buffered=True)
    assert response.status_code == code, response.text
    return response


@pytest.mark.parametrize("form", ["csv", "json"])
def test_single_rows_over_http(make_host: MakeHost, database_url: str, form: str) -> None:
    """Requests come as a file, without personal columns for whom may not see them."""
    host = filled(make_host, database_url)
    may = {"view", "export", "personal"}
    state_of(host).permission_f = lambda action: action in may
    response = get(host, f"requests.{form}")
    assert response.headers["Content-Disposition"].startswith('attachment; filename="requests-')
    assert response.headers["Cache-Control"] == "no-store"
    assert ALICE in response.text
    may.remove("personal")
    plain = get(host, f"requests.{form}")
    rows = plain.json if form == "json" else [*csv.DictReader(io.StringIO(plain.text, newline=""))]
    assert len(rows) == 2 + len(HOSTILE)
    assert not set(rows[0]) & PERSONAL
    assert ALICE not in plain.text
    get(host, f"visits.{form}", 403)
    get(host, f"remote_address.{form}", 403)
    get(host, f"requests.{form}?remote_address={ALICE}", 403)
    may.remove("export")
    get(host, f"requests.{form}", 403)


def test_tables_over_http(make_host: MakeHost, database_url: str) -> None:
    """The totals, the chart and the values of a dimension are files, too; CSV is safe."""
    host = filled(make_host, database_url)
    state_of(host).permission_f = lambda action: True
    assert get(host, "summary.json").json[0]["hits"] == 13
    assert sum(point["hits"] for point in get(host, "timeseries.json").json) == 13
    paths = list(csv.DictReader(io.StringIO(get(host, "path.csv").text, newline="")))
    assert {"path": "'=1+1", "hits": "1"}.items() <= next(
        row for row in paths if "=1+1" in row["path"]
    ).items()
    assert get(host, "events.json").json[0]["name"] == "order"
    both = get(host, "method,path.json").json
    assert {"method": "GET", "path": "/a", "hits": 1}.items() <= max(
        both, key=lambda row: row["path"] == "/a"
    ).items()


def test_too_many_rows_over_http(
    make_host: MakeHost, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is cut says so in its name."""
    host = filled(make_host, sqlite_url)
    state_of(host).permission_f = lambda action: True
    monkeypatch.setattr(exporting, "MOST_ROWS", 4)
    response = get(host, "requests.json")
    assert len(response.json) == 4
    assert 'filename="requests-first-4-of-13-' in response.headers["Content-Disposition"]
    empty = get(host, "requests.json?path=nothing")
    assert empty.json == []


def test_bad_questions_over_http(make_host: MakeHost, sqlite_url: str) -> None:
    """What cannot be asked is a 400, before a file begins."""
    host = filled(make_host, sqlite_url)
    state_of(host).permission_f = lambda action: True
    for path in ("nothing.csv", "requests.xlsx", "requests", "requests.csv?size=x",
                 "events.csv?path=/a", "date.csv"):  # fmt: skip
        get(host, path, 400)


def test_moments_are_utc() -> None:
    """A moment is written as ISO 8601 with its zone."""
    assert json_value(datetime(2024, 1, 31, 12)) == "2024-01-31T12:00:00Z"
