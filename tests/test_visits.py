"""Visits: the same whoever stores which request when, and worked out anew without a change."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Barrier, Thread
from typing import Any

import pytest
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy

from flask_statistics import RequestMixin
from flask_statistics.recording.completeness import lock_visits
from flask_statistics.recording.storage import Storage
from tests.conftest import Host
from tests.test_storage import record

MakeHost = Callable[..., Host]
#: Noon UTC.
NOON = 1_700_049_600.0 - 1_700_049_600.0 % 86_400 + 43_200
EPOCH = datetime(1970, 1, 1)
PERSON = "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0"


def at(minutes: float, **values: Any) -> tuple[Any, ...]:
    """Return the record of a page view so many minutes after noon."""
    given = {
        "date": NOON + minutes * 60, "content_type": "text/html", "user_agent": PERSON,
        "path": f"/{minutes}",
    }  # fmt: skip
    return record(**(given | values))


def state(host: Host) -> Any:
    return host.app.extensions["statistics"]


def worker(host: Host) -> Storage:
    """Return what another process would store with."""
    storage: Storage = state(host).make_storage()
    storage.prepare()
    return storage


def store(storage: Storage, *records: tuple[Any, ...], live: bool = False) -> None:
    """Store records in one transaction, with salts as for imports: of any day."""
    rows = storage.derive(records, live=live)
    with storage.transaction() as connection:
        storage.write(connection, rows, live=live)


def read(host: Host, table: sa.Table) -> list[dict[str, Any]]:
    with host.engine.connect() as connection:
        found = connection.execute(sa.select(table).order_by(*table.primary_key)).mappings()
        return [dict(row) for row in found]


def visits(host: Host) -> list[dict[str, Any]]:
    return read(host, state(host).tables.visit)


def minutes(moment: datetime | None) -> float | None:
    return None if moment is None else ((moment - EPOCH).total_seconds() - NOON) / 60


def run(host: Host, *arguments: str) -> Any:
    return host.app.test_cli_runner().invoke(args=["statistics", "visits", *arguments])


def expected(host: Host, timeout: float = 30) -> set[tuple[Any, ...]]:
    """Work the visits out from the table of requests, from their definition."""
    found = set()
    rows = sorted(host.stored(), key=lambda row: (row["date"], row["id"]))
    for visitor in {row["visitor"] for row in rows if row["visitor"]}:
        runs: list[list[dict[str, Any]]] = []
        for row in (row for row in rows if row["visitor"] == visitor):
            if not runs or row["date"] - runs[-1][-1]["date"] > timedelta(minutes=timeout):
                runs.append([])
            runs[-1].append(row)
        assert len({run[0]["visit"] for run in runs}) == len(runs)
        for requests in runs:
            (name,) = {row["visit"] for row in requests}
            for person in {row["bot"] is None for row in requests}:
                found.add(figures(name, person, requests))
    return found


def figures(name: str, person: bool, requests: list[dict[str, Any]]) -> tuple[Any, ...]:
    mine = [row for row in requests if (row["bot"] is None) is person]
    pages = [
        row for row in mine
        if row["method"] == "GET" and row["mimetype"] == "text/html"
        and (200 <= row["status_code"] < 300 or row["status_code"] == 304)
    ]  # fmt: skip
    first, last = (pages[0], pages[-1]) if pages else ({}, {})
    return (
        name, person, mine[0]["visitor"], mine[0]["date"], mine[-1]["date"],
        first.get("date"), last.get("date"), first.get("date"), last.get("date"),
        first.get("path"), last.get("path"), len(mine), len(pages), 0,
    )  # fmt: skip


def assert_right(host: Host) -> None:
    """Check visits against their definition, and that rebuilding changes nothing."""
    stored = visits(host)
    assert {tuple(row.values()) for row in stored} == expected(host)
    assert len({(row["visit"], row["person"]) for row in stored}) == len(stored)
    verified = run(host, "verify")
    assert verified.exit_code == 0, verified.output
    requests, changes = host.stored(), read(host, state(host).tables.change)
    assert run(host, "rebuild").exit_code == 0
    assert (host.stored(), visits(host)) == (requests, stored)
    assert read(host, state(host).tables.change) == changes


def test_a_visit_is_kept_with_its_requests(make_host: MakeHost, database_url: str) -> None:
    """What is known of a visit follows each request that is stored."""
    host = make_host(url=database_url)
    storage = worker(host)
    store(storage, at(0), at(5, content_type="text/css"), at(7))
    store(storage, at(20, status_code=404))
    (visit,) = visits(host)
    kept = {n: minutes(v) if isinstance(v, datetime) else v for n, v in visit.items()}
    del kept["visit"], kept["visitor"]
    assert kept == {
        "person": True, "began": 0, "ended": 20, "first": 0, "last": 7,
        "entry_date": 0, "exit_date": 7, "entry_path": "/0", "exit_path": "/7",
        "hits": 4, "page_views": 2, "events": 0,
    }  # fmt: skip
    assert_right(host)


@pytest.mark.parametrize("order", [(0, 50, 25), (50, 0, 25), (25, 50, 0), (60, 0, 30)])
def test_a_late_row_joins_two_visits(
    make_host: MakeHost, database_url: str, order: tuple[int, ...]
) -> None:
    """A request between two visits makes one of them, whoever stored what in which order."""
    host = make_host(url=database_url)
    for moment in order:
        store(worker(host), at(moment))
    (visit,) = visits(host)
    assert (minutes(visit["began"]), minutes(visit["ended"])) == (min(order), max(order))
    assert {row["visit"] for row in host.stored()} == {visit["visit"]}
    assert_right(host)


def test_a_sqlite_without_json(
    make_host: MakeHost, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where SQLite cannot pack what it is asked for, visits are read row by row."""
    monkeypatch.setattr("flask_statistics.recording.known_visits._HAS_JSON", (99,))
    host = make_host(url=sqlite_url)
    for moment in (0, 50, 25):
        store(worker(host), at(moment))
    assert [visit["hits"] for visit in visits(host)] == [3]
    assert_right(host)


def test_joining_raises_the_day_and_moves_events(make_host: MakeHost, database_url: str) -> None:
    """Rows of a closed day change, so its number grows; events follow their requests."""
    host = make_host(url=database_url)
    tables = state(host).tables
    for moment in (0, 50):
        store(worker(host), at(moment))
    with host.engine.begin() as connection:
        for row in host.stored():
            values = {n: row[n] for n in ("visitor", "visit", "date")}
            connection.execute(
                tables.event.insert().values(
                    name="x", person=True, request_date=row["date"], **values
                )
            )
    before = read(host, tables.change)[0]["number"]
    store(worker(host), at(25))
    assert len({row["visit"] for row in (*host.stored(), *read(host, tables.event))}) == 1
    assert read(host, tables.change)[0]["number"] > before + 1


def test_exactly_the_timeout_goes_on(make_host: MakeHost, database_url: str) -> None:
    """A visit ends after 30 minutes without a request, not with the 30th."""
    host = make_host(url=database_url)
    store(worker(host), at(0))
    store(worker(host), at(30))
    store(worker(host), at(60, date=NOON + 3600.000001))
    assert len(visits(host)) == 2
    assert_right(host)


def test_requests_of_one_moment(make_host: MakeHost, database_url: str) -> None:
    """Of requests of one moment the one stored first is the entry, the one stored last the exit."""
    host = make_host(url=database_url)
    store(worker(host), at(0, path="/a"), at(0, path="/b"))
    store(worker(host), at(0, path="/c"))
    (visit,) = visits(host)
    assert (visit["entry_path"], visit["exit_path"]) == ("/a", "/c")
    assert_right(host)


def test_midnight_begins_a_visit(make_host: MakeHost, database_url: str) -> None:
    """The visitor changes with the salt at midnight UTC, and so does the visit."""
    host = make_host(url=database_url)
    store(worker(host), at(12 * 60 - 1), at(12 * 60 + 1))
    assert len({row["visitor"] for row in visits(host)}) == 2
    assert_right(host)


def traffic(seed: int) -> list[tuple[Any, ...]]:
    """Return requests of some visitors with pauses around the timeout, bots and errors."""
    chance = random.Random(seed)
    found = []
    for number in range(12):
        moment = chance.uniform(-60, 60)
        bot = chance.random() < 0.2
        for _ in range(chance.randrange(1, 25)):
            moment += chance.choice((0, 0.5, 10, 29.9, 30, 30.1, 45))
            found.append(
                at(
                    moment,
                    remote_address=f"203.0.113.{number}",
                    user_agent="Googlebot/2.1 (+http://www.google.com/bot.html)" if bot else PERSON,
                    status_code=chance.choice((200, 200, 304, 404)),
                    content_type=chance.choice(("text/html", "text/html", "image/png")),
                    method=chance.choice(("GET", "GET", "POST")),
                    path=f"/{chance.randrange(4)}",
                )
            )
    return found


@pytest.mark.parametrize("seed", range(4))
def test_workers_late_rows_and_any_order(make_host: MakeHost, database_url: str, seed: int) -> None:
    """Batches of several workers in any order give the visits of the definition."""
    host = make_host(url=database_url)
    workers = [worker(host) for _ in range(3)]
    records, chance = traffic(seed), random.Random(seed)
    chance.shuffle(records)
    while records:
        count = chance.randrange(1, 30)
        store(chance.choice(workers), *records[:count])
        del records[:count]
    assert_right(host)


def test_workers_at_once(make_host: MakeHost, database_url: str) -> None:
    """Workers that store requests of the same visitors at the same time agree on their visits."""
    host = make_host(url=database_url)
    records = traffic(7) + traffic(8)
    random.Random(1).shuffle(records)
    parts = [records[start::4] for start in range(4)]
    barrier, errors = Barrier(4), []

    def work(part: list[tuple[Any, ...]]) -> None:
        storage = worker(host)
        try:
            barrier.wait()
            for start in range(0, len(part), 5):
                rows = storage.derive(part[start : start + 5], live=False)
                again(storage, rows)
        except Exception as error:
            errors.append(error)

    threads = [Thread(target=work, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(host.stored()) == len(records)
    assert_right(host)


def again(storage: Storage, rows: list[list[Any]]) -> None:
    """Store rows, once more where another one holds a lock, as the recorder does."""
    for attempt in range(20):
        try:
            with storage.transaction() as connection:
                storage.write(connection, rows)
        except sa.exc.OperationalError:
            if attempt == 19:
                raise
        else:
            return


def test_a_worker_waits_for_the_visit_of_another(make_host: MakeHost, database_url: str) -> None:
    """Two new visits that are one are never begun side by side: the second worker waits."""
    if database_url.startswith("sqlite"):
        pytest.skip("SQLite lets one transaction write at a time")
    host = make_host(url=database_url)
    first, second = worker(host), worker(host)
    # In two spans of half an hour, so that each alone would give another name.
    early, late = (s.derive([at(m)], live=False) for s, m in ((first, 29), (second, 31)))
    stored = Thread(target=again, args=(second, late))
    with first.transaction() as connection:
        first.write(connection, early)
        stored.start()
        stored.join(0.3)
        assert stored.is_alive()
    stored.join(30)
    assert len(visits(host)) == 1
    assert_right(host)


def lines(*moments: int) -> str:
    return "".join(
        f'203.0.113.5 - - [14/Nov/2023:12:{m:02}:00 +0000] "GET /{m} HTTP/1.1" 200 9 "-" '
        f'"{PERSON}"\n'
        for m in moments
    )


def test_overlapping_logs_join_visits(
    make_host: MakeHost, database_url: str, tmp_path: Any
) -> None:
    """A second log with the lines in between makes one visit of two."""
    host = make_host(url=database_url)
    for name, text in (("a", lines(0, 40)), ("b", lines(0, 20)), ("c", lines(20, 40, 59))):
        log = tmp_path / name
        log.write_text(text)
        done = host.app.test_cli_runner().invoke(args=["statistics", "import", str(log)])
        assert done.exit_code == 0, done.output
        assert_right(host)
    (visit,) = visits(host)
    assert (visit["hits"], visit["entry_path"], visit["exit_path"]) == (4, "/0", "/59")


def test_rows_of_before_are_covered_by_rebuild(
    make_host: MakeHost, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Without its table's rows nothing is complete, the log says so once, and rebuild mends it."""
    host = make_host(url=database_url)
    tables = state(host).tables
    store(worker(host), *traffic(3))
    right = visits(host)
    with host.engine.begin() as connection:
        connection.execute(tables.visit.delete())
        connection.execute(tables.state.delete())
        some = host.Request.__table__.update().where(sa.text("id % 3 = 0"))
        connection.execute(some.values(visit="other"))
    storage = worker(host)
    store(storage, at(0, remote_address="198.51.100.1"))
    assert [r.getMessage() for r in caplog.records if "visits rebuild" in r.getMessage()] == [
        "The table statistics_visit lacks visits of before it was made, so the pages work them "
        "out from the requests: run `flask statistics visits rebuild` to fill it."
    ]
    wrong = run(host, "verify")
    assert wrong.exit_code == 1
    assert "Wrong: the visits of" in wrong.output
    done = run(host, "rebuild")
    assert done.exit_code == 0, done.output
    assert len(visits(host)) == len(right) + 1
    assert_right(host)
    with host.engine.connect() as connection:
        asked = sa.select(tables.state.c.value).where(tables.state.c.name == "visits")
        assert connection.scalar(asked) == "complete"


def test_rebuild_mends_everything(make_host: MakeHost, database_url: str) -> None:
    """Rows, visits and events that are wrong, of nobody, or missing are mended and counted."""
    host = make_host(url=database_url)
    tables = state(host).tables
    store(worker(host), at(0), at(10), at(100))
    (first, second), requests = visits(host), host.stored()
    with host.engine.begin() as connection:
        connection.execute(tables.visit.update().where(tables.visit.c.hits == 2).values(hits=7))
        ghost = {**second, "visit": "ghost", "visitor": "ghost"}
        connection.execute(tables.visit.insert().values(ghost))
        for visit, date in ((None, requests[0]["date"]), ("gone", EPOCH)):
            connection.execute(tables.event.insert().values(
                name="e", date=date, person=True, visitor=first["visitor"], visit=visit,
                request_date=date,
            ))  # fmt: skip
    assert run(host, "verify").exit_code == 1
    done = run(host, "rebuild")
    assert "the visits of 0 requests and 2 events, and 2 rows of statistics_visit" in done.output
    assert [row["hits"] for row in visits(host)] == [2, 1]
    assert [row["events"] for row in visits(host)] == [1, 0]
    known = {row["hits"]: row["visit"] for row in visits(host)}
    assert [row["visit"] for row in read(host, tables.event)] == [known[2], None]
    assert run(host, "verify").exit_code == 0


def test_an_interrupted_rebuild_goes_on(
    make_host: MakeHost, monkeypatch: pytest.MonkeyPatch, sqlite_url: str
) -> None:
    """What is done is not done again, unless it is asked for."""
    from flask_statistics.recording import rebuilding

    monkeypatch.setattr(rebuilding, "GROUP", 3)
    host = make_host(url=sqlite_url)
    store(worker(host), *traffic(5))
    with host.engine.begin() as connection:
        connection.execute(state(host).tables.visit.delete())

    def interrupt(visitors: int) -> None:
        if visitors >= 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuilding.rebuild(state(host), interrupt)
    assert rebuilding.rebuild(state(host)).visitors == 12 - 6
    assert rebuilding.rebuild(state(host)).visitors == 12
    assert_right(host)


def test_without_the_tables_rows_are_stored(
    make_host: MakeHost, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the host did not upgrade, rows are stored, and the log says once what is missing."""
    host = make_host(url=database_url)
    host.app.add_url_rule("/x", view_func=lambda: "x", endpoint="x")
    tables = state(host).tables
    host.open("/x")
    host.rows()
    for table in (tables.visit, tables.event, tables.change, tables.state):
        table.drop(host.engine)
    for _ in range(3):
        host.open("/x")
        assert host.rows()[-1]["visit"]
    said = [r.getMessage() for r in caplog.records if r.name == "flask_statistics"]
    assert said == [
        "The table statistics_visit is missing, so visits may be cut in two, and events are not "
        "recorded: run `flask db migrate` and `flask db upgrade`, or call db.create_all() after "
        "Statistics(…)."
    ]
    assert "statistics_visit is missing" in run(host, "rebuild").output


def test_tables_that_are_made_anew(make_host: MakeHost, database_url: str) -> None:
    """After drop_all() and create_all() visits are kept again, and are complete."""
    host = make_host(url=database_url)
    storage = worker(host)
    store(storage, at(0))
    with host.app.app_context():
        host.db.drop_all()
        host.db.create_all()
    for salts in storage._salts.values():
        salts.forget()
    store(storage, at(1))
    assert_right(host)


def test_a_date_without_fractions(make_host: MakeHost, database_url: str) -> None:
    """MariaDB's plain DATETIME drops the fraction; visits have what the table has."""

    def model(db: SQLAlchemy) -> Any:
        return type("Request", (RequestMixin, db.Model), {"date": db.Column(db.DateTime)})

    host = make_host(url=database_url, model=model)
    store(worker(host), at(0, date=NOON + 0.9), at(1, date=NOON + 60.7))
    assert_right(host)


def test_a_model_without_what_page_views_need(make_host: MakeHost, database_url: str) -> None:
    """Visits are told apart all the same; nobody counts their page views."""

    def model(db: SQLAlchemy) -> Any:
        columns = {
            "id": db.Column(db.Integer, primary_key=True),
            "date": db.Column(db.DateTime),
            "visitor": db.Column(db.String(32)),
            "visit": db.Column(db.String(32)),
        }
        return type("Request", (db.Model,), columns)

    host = make_host(url=database_url, model=model)
    store(worker(host), at(0), at(10), at(50))
    assert [(row["hits"], row["page_views"]) for row in visits(host)] == [(2, 0), (1, 0)]
    assert run(host, "verify").exit_code == 0


def test_a_model_without_visits(make_host: MakeHost, database_url: str) -> None:
    """Nothing is kept, and the commands say why."""

    def model(db: SQLAlchemy) -> Any:
        columns = {
            "id": db.Column(db.Integer, primary_key=True),
            "date": db.Column(db.DateTime),
        }
        return type("Request", (db.Model,), columns)

    host = make_host(url=database_url, model=model)
    store(worker(host), at(0))
    assert visits(host) == []
    refused = run(host, "verify")
    assert refused.exit_code == 1
    assert "only where the model has `visitor` and `visit`" in refused.output


def test_page_views_in_python_and_in_sql(make_host: MakeHost, database_url: str) -> None:
    """Both say the same of each method, status and media type."""
    from flask_statistics.asking.metrics import page_view

    host = make_host(url=database_url)
    cases = [
        at(number, remote_address=f"203.0.113.{number}", method=method, status_code=status,
           content_type=kind)
        for number, (method, status, kind) in enumerate(
            (m, s, k)
            for m in ("GET", "get", "HEAD", "POST")
            for s in (199, 200, 299, 300, 304, 404)
            for k in ("text/html", "Text/HTML; charset=utf-8", "text/html2", None)
        )
    ]  # fmt: skip
    store(worker(host), *cases)
    columns = dict(host.Request.__table__.c)
    columns["person"] = sa.true()
    with host.engine.connect() as connection:
        asked = sa.select(columns["visit"]).where(page_view(columns))
        in_sql = set(connection.scalars(asked))
    assert {row["visit"] for row in visits(host) if row["page_views"]} == in_sql
    assert in_sql


def test_the_lock_says_whether_there_is_a_row(make_host: MakeHost, database_url: str) -> None:
    """Without the row there is nothing to lock, and nothing is known."""
    host = make_host(url=database_url)
    with host.engine.begin() as connection:
        assert lock_visits(connection, state(host).tables) is False
    worker(host)
    with host.engine.begin() as connection:
        assert lock_visits(connection, state(host).tables) is True
