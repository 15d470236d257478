"""The archive holds what the table holds: built, continued, changed, on the three databases."""

from __future__ import annotations

import enum
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from flask_statistics import RequestMixin
from flask_statistics.archive import dividing, extracting, reading_rows
from flask_statistics.archive import folder as folders
from flask_statistics.archive.building import build, rebuild
from flask_statistics.archive.opening import archive_of
from flask_statistics.archive.verifying import status, verify
from flask_statistics.errors import ArchiveError
from tests.archived import (
    NOW,
    archived_host,
    delete,
    files,
    in_table,
    manifest_of,
    named,
    request,
    seen,
    seen_rows,
    state_of,
    store,
    store_event,
)

MakeHost = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "archive"


@pytest.fixture
def host(make_host: MakeHost, database_url: str, folder: Path) -> Any:
    return archived_host(make_host, database_url, folder)


@pytest.fixture
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Old files go with the next change."""
    monkeypatch.setattr(folders, "GRACE", timedelta(0))


AWKWARD = [
    request(5, path="/ä/𝄞/\u0000x".replace("\u0000", ""), referrer="", user_agent=None, bot=""),
    request(5, 10, 1, path='a"b\nc\r\n,d\\', referrer=" ", track_var='{"a": "\\n"}', bot="NULL"),
    request(5, 10, 2, date=datetime(2026, 1, 5, 10, 0, 2, 1), size=2**53 + 1, status_code=-1),
    request(5, 10, 3, response_time=0.1 + 0.2, db_time=1e-7, authorization=True),
    request(6, response_time=None, authorization=False, size=0, path="", db_queries=0),
    request(6, 11, response_time=1e300, visitor=None, visit=None, method=None),
    request(7, path="\\", referrer='\\"', query_string="null", username="'", host="[", url="]"),
    request(7, 1, path="\\n", url_args='{"ä": "\\u00e4\\n"}', host="\x7f\u2028", city="\ufeff"),
    request(7, 2, path="\t\x01\x1f", referrer="\\\n", size=-(2**63), db_queries=2**31 - 1),
]


@pytest.mark.parametrize("at_once", [1 << 20, 1], ids=["together", "each"])
def test_every_value_is_kept_as_it_is(
    host: Any, folder: Path, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Empty texts, NULL, unicode, quotes, line ends, large numbers and microseconds survive."""
    monkeypatch.setattr(extracting, "_BLOCK", at_once)
    monkeypatch.setattr(extracting, "_BATCH", min(at_once, 500))
    store(host, *AWKWARD)
    build(state_of(host), now=NOW)
    state = state_of(host)
    names = list(state.model.columns)
    columns = [state.model.columns[name].label(name) for name in names]
    with state.engine.connect() as connection:
        rows = connection.execute(sa.select(*columns).order_by(state.model.primary_key))
        expected = [tuple(row) for row in rows]
    kept = sorted(seen_rows(host), key=lambda row: row["id"])
    assert all(part.rows for part in manifest_of(host).segments if part.requests)
    assert [tuple(row[name] for name in names) for row in kept] == expected


def execute(host: Any, *statements: str) -> None:
    with state_of(host).engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_what_sqlite_makes_no_json_of_is_read_by_rows(
    make_host: MakeHost, sqlite_url: str, folder: Path
) -> None:
    """NUL within a text is kept, and so is a text that was stored as bytes."""
    host = archived_host(make_host, sqlite_url, folder)
    store(host, request(5, path="/a\0b", username="ä"))
    build(state_of(host), now=NOW)
    assert [(row["path"], row["username"]) for row in seen_rows(host)] == [("/a\0b", "ä")]
    store(host, request(5, 11))
    execute(host, "UPDATE request SET path = CAST('/ö' AS BLOB)")
    rebuild(state_of(host), now=NOW)
    assert [row["path"] for row in seen_rows(host)] == ["/ö", "/ö"]


@pytest.mark.parametrize("value", ["'many'", "1.5", "9e999", "x'00'"])
def test_a_number_that_is_none_is_refused(
    make_host: MakeHost, sqlite_url: str, folder: Path, value: str
) -> None:
    """SQLite stores anything in a column of integers; the archive says which column it is."""
    host = archived_host(make_host, sqlite_url, folder)
    store(host, request(5))
    execute(host, f"UPDATE request SET size = {value}")
    with pytest.raises(
        ArchiveError, match=r"^The column size holds a value that is no integer, so"
    ):
        build(state_of(host), now=NOW)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_value_that_is_none_of_the_models_kind_is_refused(host: Any) -> None:
    """A table may differ from its model; what COPY gives then is not guessed at."""
    store(host, request(5))
    execute(host, "ALTER TABLE request ALTER size TYPE numeric", "UPDATE request SET size = 1.5")
    with pytest.raises(ArchiveError, match=r"^A value cannot be archived: .*int64.*1\.5"):
        build(state_of(host), now=NOW)


def test_a_trouble_while_the_next_span_is_read_leaves_what_was_written(
    host: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database may go away on the thread that reads ahead; the next build continues."""
    monkeypatch.setattr(dividing, "TARGET", 1)
    store(host, request(5), request(6), request(7))
    find_rows = reading_rows.find_rows

    def find(state: Any, begin: datetime, end: datetime) -> Any:
        if begin == datetime(2026, 1, 6):
            raise ConnectionResetError("the database is gone")
        return find_rows(state, begin, end)

    with monkeypatch.context() as patched:
        patched.setattr(reading_rows, "find_rows", find)
        with pytest.raises(ArchiveError, match="the database is gone"):
            build(state_of(host), now=NOW)
    assert manifest_of(host).rows == 1
    assert build(state_of(host), now=NOW).manifest.rows == 3
    assert seen(host) == in_table(host)


def test_one_span_is_read_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one span is worked on, the next is read, and none but that: memory is bounded."""
    spans = [(datetime(2026, 1, day), datetime(2026, 1, day + 1)) for day in range(5, 9)]
    begun = {begin: Event() for begin, _ in spans}

    def find(host: Any, begin: datetime, end: datetime) -> datetime:
        begun[begin].set()
        return begin

    monkeypatch.setattr(reading_rows, "find_rows", find)
    found: Any = reading_rows.find_each(None, spans, ahead=True)  # type: ignore[arg-type]
    for place, (begin, _) in enumerate(spans):
        assert next(found) == begin
        assert all(begun[ahead].wait(10) for ahead, _ in spans[: place + 2])
        assert not any(begun[later].is_set() for later, _ in spans[place + 2 :])
    assert next(found, None) is None


def test_a_reader_sees_each_request_once(host: Any, folder: Path, no_grace: None) -> None:
    """Built, continued, with late rows, imports of old days and deletions: as in the table."""
    store(host, request(5), request(8), request(12, 11), request(12, 11, 58 * 60))
    build(state_of(host), now=NOW)
    assert seen(host) == in_table(host)
    store(host, request(5, 9), request(2), request(12, 12))
    assert seen(host) == in_table(host)
    build(state_of(host), now=NOW + timedelta(hours=1))
    assert seen(host) == in_table(host)
    delete(host, state_of(host).model.columns["date"] < datetime(2026, 1, 6))
    assert seen(host) == in_table(host)
    built = build(state_of(host), now=NOW + timedelta(hours=30))
    assert seen(host) == in_table(host)
    assert built.manifest.rows == 4
    assert status(state_of(host)).changed == ()
    assert files(folder) == named(manifest_of(host))
    assert verify(state_of(host)) == []


def test_an_id_that_is_used_again_is_another_request(
    make_host: MakeHost, sqlite_url: str, folder: Path
) -> None:
    """SQLite gives the highest id again after a deletion; the archive does not mix them up."""
    host = archived_host(make_host, sqlite_url, folder)
    store(host, request(5), request(6))
    build(state_of(host), now=NOW)
    delete(host, state_of(host).model.primary_key == 2)
    store(host, request(7, path="/other"))
    assert seen(host) == in_table(host) == [(1, datetime(2026, 1, 5, 10)),
                                            (2, datetime(2026, 1, 7, 10))]  # fmt: skip
    build(state_of(host), now=NOW)
    assert seen(host) == in_table(host)


def test_requests_of_the_future_stay_in_the_table(host: Any, folder: Path) -> None:
    """The horizon never lies in the future, nor in the last ten minutes."""
    store(host, request(12, 11, 55 * 60), request(20))
    built = build(state_of(host), now=NOW)
    assert built.manifest.horizon == datetime(2026, 1, 12, 11, 50)
    assert built.manifest.rows == 0
    assert seen(host) == in_table(host)


def test_small_segments_are_joined(host: Any, folder: Path) -> None:
    """Whole days become one segment, and so do the parts of a day; no span is lost."""
    for hour in range(1, 40):
        store(host, request(11 + hour // 24, hour % 24))
        build(state_of(host), now=datetime(2026, 1, 11) + timedelta(hours=hour + 1, minutes=10))
    segments = manifest_of(host).segments
    assert len(segments) <= 6
    assert segments[0].begin == datetime.min
    assert sum(segment.rows for segment in segments) == 39
    assert seen(host) == in_table(host)


def test_visits_of_a_span_are_told_from_requests_and_events(host: Any, folder: Path) -> None:
    """Partial visits have the columns of ``statistics_visit``; ties are decided by the id."""
    store(host,
          request(5, 10, 0, path="/first"), request(5, 10, 0, path="/second"),
          request(5, 10, 30, path="/last"), request(5, 10, 40, method="POST"),
          request(5, 10, 50, bot="Googlebot", path="/robots"))  # fmt: skip
    store_event(host, date=datetime(2026, 1, 5, 10, 2), name="signup", visitor="anna",
                visit="anna-5")  # fmt: skip
    built = build(state_of(host), now=NOW)
    (visits,) = [segment.visits for segment in built.manifest.segments if segment.visits]
    path = archive_of(state_of(host)).file(visits)
    bots, people = sorted(pq.read_table(path).to_pylist(), key=lambda row: row["person"])
    assert people == {
        "visit": "anna-5", "person": True, "visitor": "anna",
        "began": datetime(2026, 1, 5, 10), "ended": datetime(2026, 1, 5, 10, 0, 40),
        "first": datetime(2026, 1, 5, 10), "last": datetime(2026, 1, 5, 10, 2),
        "entry_date": datetime(2026, 1, 5, 10), "exit_date": datetime(2026, 1, 5, 10, 0, 30),
        "entry_path": "/first", "exit_path": "/last", "hits": 4, "page_views": 3, "events": 1,
    }  # fmt: skip
    assert (bots["entry_path"], bots["page_views"], bots["hits"]) == ("/robots", 1, 1)


def test_times_are_kept_as_microseconds_where_that_loses_nothing(host: Any, folder: Path) -> None:
    """Whole microseconds become integers; a segment with any other time keeps doubles."""
    store(host, request(5, response_time=0.000001, db_time=1e-7))
    built = build(state_of(host), now=NOW)
    columns = built.manifest.segments[0].columns
    assert (columns["response_time"], columns["db_time"]) == ("microseconds", "float")
    assert [seen_rows(host)[0][name] for name in ("response_time", "db_time")] == [1e-6, 1e-7]


class Kind(enum.Enum):
    """What a host may have in place of a text."""

    PAGE = "page"
    API = "api"


def _own_types(db: Any) -> Any:
    class Request(RequestMixin, db.Model):  # type: ignore[misc]
        mimetype = sa.orm.mapped_column(sa.Enum(Kind))
        track_var = sa.orm.mapped_column(sa.JSON)
        db_time = sa.orm.mapped_column(sa.Numeric(12, 6))

    return Request


def test_types_of_the_hosts_own_are_kept_as_questions_compare_them(
    make_host: MakeHost, database_url: str, folder: Path
) -> None:
    """Enumerations and JSON are texts, decimals doubles."""
    host = archived_host(make_host, database_url, folder, model=_own_types)
    store(host, request(5, mimetype=Kind.API, track_var={"a": [1, "ä"]}, db_time=0.25))
    build(state_of(host), now=NOW)
    (row,) = seen_rows(host)
    assert (row["mimetype"], row["db_time"]) == ("API", 0.25)
    assert '"a"' in row["track_var"]


def _small(*more: str) -> Callable[[Any], Any]:
    def model(db: Any) -> Any:
        columns: dict[str, Any] = {
            "id": sa.Column(sa.Integer, primary_key=True),
            "date": sa.Column(sa.DateTime),
            **{name: sa.Column(sa.String(50)) for name in more},
        }
        return type("Request", (db.Model,), {"__tablename__": "request", **columns})

    return model


def test_a_model_that_lost_and_gained_columns(
    make_host: MakeHost, sqlite_url: str, folder: Path
) -> None:
    """A clear message, right answers, and a rebuild that mends it."""
    old = archived_host(make_host, sqlite_url, folder, model=_small("path", "city"))
    store(old, {"date": datetime(2026, 1, 5), "path": "/old", "city": "Bonn"})
    build(state_of(old), now=NOW)
    with state_of(old).engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE request ADD COLUMN language VARCHAR(50)"))
        connection.execute(sa.text("UPDATE request SET language = 'de'"))
    new = archived_host(make_host, sqlite_url, folder, model=_small("path", "language"))
    built = build(state_of(new), now=NOW)
    assert built.messages == (
        "The model has gained or changed language: older requests are read from the table until "
        "`flask statistics archive rebuild` has run.",
        "The archive still holds city, which the model has lost: `flask statistics archive "
        "rebuild` removes it.",
    )
    assert [row["language"] for row in seen_rows(new)] == ["de"]
    assert rebuild(state_of(new), now=NOW).messages == ()
    assert [row["language"] for row in seen_rows(new)] == ["de"]


def test_a_host_that_changes_rows_by_its_own_sql(host: Any, folder: Path) -> None:
    """Verify finds rows that were changed, deleted or added past us; rebuild mends it."""
    store(host, request(5, path="/a"), request(6), request(7))
    build(state_of(host), now=NOW)
    state = state_of(host)
    table, date = state.model.table, state.model.columns["date"]
    with state.engine.begin() as connection:
        connection.execute(table.update().where(date < datetime(2026, 1, 6)).values(path="/b"))
        connection.execute(table.delete().where(date > datetime(2026, 1, 7)))
    found = verify(state)
    assert [problem.split(" of ")[1][:10] for problem in found] == ["2026-01-07"]
    rebuild(state, now=NOW)
    assert verify(state) == []
    with state.engine.begin() as connection:
        connection.execute(table.update().where(date < datetime(2026, 1, 6)).values(path="/c"))
    assert [problem.split(" of ")[1][:10] for problem in verify(state)] == ["2026-01-05"]


def test_old_requests_leave_the_archive(
    make_host: MakeHost, sqlite_url: str, folder: Path, no_grace: None
) -> None:
    """The archive forgets after its days; the table still answers about them."""
    host = archived_host(
        make_host, sqlite_url, folder, settings={"STATISTICS_ARCHIVE_RETENTION_DAYS": 3}
    )
    store(host, request(5), request(9), request(10))
    built = build(state_of(host), now=NOW)
    assert built.manifest.begin == datetime(2026, 1, 9)
    assert seen(host) == in_table(host)
    built = build(state_of(host), now=NOW + timedelta(days=1))
    assert (built.manifest.begin, built.manifest.rows) == (datetime(2026, 1, 10), 1)
    assert seen(host) == in_table(host)


def test_a_copy_of_the_folder_is_a_backup(
    make_host: MakeHost, sqlite_url: str, folder: Path, tmp_path: Path
) -> None:
    """DuckDB and PyArrow open the files as they are; nobody but the owner may."""
    host = archived_host(make_host, sqlite_url, folder)
    store(host, request(5, path="/a"), request(6, path="/b"))
    built = build(state_of(host), now=NOW)
    names = [segment.requests.name for segment in built.manifest.segments if segment.requests]
    paths = [str(folder / name) for name in names]
    counted = duckdb.sql(f"SELECT path, count(*) FROM read_parquet({paths}) GROUP BY 1 ORDER BY 1")
    assert counted is not None
    assert counted.fetchall() == [("/a", 1), ("/b", 1)]
    assert pq.read_table(paths[0], columns=["path"])["path"].to_pylist()[:1] == ["/a"]
    assert oct(folder.stat().st_mode & 0o777) == "0o700"
    assert {oct(path.stat().st_mode & 0o777) for path in folder.iterdir()} == {"0o600"}
