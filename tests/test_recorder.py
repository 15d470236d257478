"""The queue and its thread: bounded, counted, patient, and never in a request's way."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy

from flask_statistics import RequestMixin, Statistics

if TYPE_CHECKING:
    from tests.conftest import Host

    MakeHost = Callable[..., Host]


def status(host: Host) -> dict[str, Any]:
    found: dict[str, Any] = host.app.extensions["statistics"].recorder.status()
    return found


def flush(host: Host, timeout: float = 5.0) -> bool:
    with host.app.app_context():
        return host.statistics.flush(timeout=timeout)


def answering(host: Host) -> Host:
    host.app.add_url_rule("/<path:name>", "any", lambda name: name)
    return host


@contextmanager
def away(host: Host) -> Iterator[None]:
    """Make the database unreachable."""

    def refuse(*arguments: Any) -> None:
        raise sqlite3.OperationalError("the database is away")

    engine = host.engine
    engine.dispose()
    sa.event.listen(engine, "do_connect", refuse)
    try:
        yield
    finally:
        sa.event.remove(engine, "do_connect", refuse)


@contextmanager
def locked(host: Host) -> Iterator[None]:
    """Hold SQLite's write lock."""
    connection = sqlite3.connect(str(host.engine.url.database), isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


# The thread


def test_the_thread_starts_at_the_first_request(make_host: MakeHost) -> None:
    """init_app starts nothing; a thread of import time would be lost in a fork."""
    before = set(threading.enumerate())
    host = answering(make_host(settings={"STATISTICS_KEEPER": False}))
    assert set(threading.enumerate()) <= before
    host.open("/x")
    (thread,) = set(threading.enumerate()) - before
    assert thread.daemon
    assert len(host.rows()) == 1


def test_one_thread_for_many_requests(make_host: MakeHost) -> None:
    """Requests at once start one thread."""
    before = set(threading.enumerate())
    host = answering(make_host(settings={"STATISTICS_KEEPER": False}))
    visitors = [threading.Thread(target=host.open, args=(f"/{n}",)) for n in range(8)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    assert len(set(threading.enumerate()) - before) == 1
    assert len(host.rows()) == 8


def test_stop_ends_the_thread(make_host: MakeHost) -> None:
    """stop() stores what waits and ends the thread."""
    before = set(threading.enumerate())
    settings = {"STATISTICS_FLUSH_INTERVAL": 60, "STATISTICS_KEEPER": False}
    host = answering(make_host(settings=settings))
    host.open("/x")
    host.app.extensions["statistics"].recorder.stop()
    assert set(threading.enumerate()) <= before
    assert [row["path"] for row in host.stored()] == ["/x"]


# flush


def test_flush_waits_for_all_before_it(make_host: MakeHost) -> None:
    """flush() is True once every earlier request is stored, more than a batch as well."""
    host = answering(make_host(settings={"STATISTICS_FLUSH_INTERVAL": 60}))
    client = host.app.test_client()
    for number in range(2500):
        client.get(f"/{number}")
    assert flush(host, 60.0) is True
    assert [row["path"] for row in host.stored()] == [f"/{number}" for number in range(2500)]


def test_flush_with_nothing_to_wait_for(host: Host) -> None:
    """flush() of an app that nobody visited is True at once."""
    assert flush(host, 0.0) is True


def test_flush_again_and_again(host: Host) -> None:
    """A flush after each request finds its row each time, whatever the thread is doing."""
    answering(host)
    for number in range(200):
        host.open(f"/{number}")
        assert flush(host) is True
        assert status(host)["stored"] == number + 1


def test_flush_from_several_threads(host: Host) -> None:
    """Each of several who wait is told."""
    answering(host)
    answers: list[bool] = []

    def work() -> None:
        host.open("/x")
        answers.append(flush(host, 20.0))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 8
    assert len(host.stored()) == 8


def test_flush_while_the_database_is_away(host: Host) -> None:
    """flush() gives up after its time, with False, and not before."""
    answering(host)
    with away(host):
        host.open("/x")
        began = time.monotonic()
        assert flush(host, 0.2) is False
        assert 0.2 <= time.monotonic() - began < 5
    assert flush(host) is True


# A database that is away


def test_rows_wait_while_the_database_is_away(host: Host) -> None:
    """Requests are served, rows come later, in order and once each."""
    answering(host)
    with away(host):
        for number in range(20):
            assert host.open(f"/{number}").status_code == 200
        assert flush(host, 0.2) is False
        found = status(host)
        assert (found["received"], found["stored"], found["waiting"]) == (20, 0, 20)
        assert "the database is away" in found["last_error"]
        assert found["lag"] >= 0
    assert flush(host) is True
    assert [row["path"] for row in host.stored()] == [f"/{number}" for number in range(20)]
    found = status(host)
    assert (found["received"], found["stored"], found["waiting"]) == (20, 20, 0)
    assert found["dropped"] == {}


def test_the_error_is_logged_once(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    """A database that stays away does not fill the log."""
    answering(host)
    with away(host):
        for _ in range(5):
            host.open("/x")
            assert flush(host, 0.1) is False
    records = [record for record in caplog.records if record.name == "flask_statistics"]
    assert len(records) == 1
    assert flush(host) is True


def test_the_queue_is_bounded(make_host: MakeHost) -> None:
    """More than STATISTICS_QUEUE_SIZE rows never wait; the others are dropped and counted."""
    host = answering(make_host(settings={"STATISTICS_QUEUE_SIZE": 5}))
    with away(host):
        for number in range(50):
            assert host.open(f"/{number}").status_code == 200
        assert flush(host, 0.2) is False
        for number in range(50, 100):
            host.open(f"/{number}")
        found = status(host)
        assert found["received"] == 100
        assert 0 < found["waiting"] <= 5
        assert found["dropped"] == {"queue full": 100 - found["waiting"]}
    assert flush(host) is True
    assert len(host.stored()) == found["waiting"]
    host.open("/after")
    assert flush(host) is True
    assert host.stored()[-1]["path"] == "/after"


def test_a_table_that_is_missing(make_host: MakeHost, database_url: str) -> None:
    """Rows wait for a table that `flask db upgrade` has yet to make."""
    host = answering(make_host(url=database_url))
    table = host.Request.__table__
    table.drop(host.engine)
    assert host.open("/x").status_code == 200
    assert flush(host, 0.3) is False
    table.create(host.engine)
    assert flush(host) is True
    assert [row["path"] for row in host.stored()] == ["/x"]


def test_every_own_table_missing(make_host: MakeHost, database_url: str) -> None:
    """Tables of ours that are missing stop only what needs them: requests are recorded."""
    host = answering(make_host(url=database_url))
    tables = host.app.extensions["statistics"].tables
    for table in tables:
        table.drop(host.engine)
    for path in ("/x", "/y"):
        host.open(path)
        assert flush(host) is True
    rows = host.stored()
    assert [(row["path"], row["visitor"], row["visit"]) for row in rows] == [
        ("/x", None, None),
        ("/y", None, None),
    ]


def test_a_row_that_the_database_refuses(make_host: MakeHost) -> None:
    """One row that breaks a constraint is dropped and counted; its batch is stored."""

    def model(db: SQLAlchemy) -> Any:
        check = sa.CheckConstraint("path <> '/bad'")
        return type("Request", (RequestMixin, db.Model), {"__table_args__": (check,)})

    host = answering(make_host(model=model, settings={"STATISTICS_FLUSH_INTERVAL": 60}))
    for number in range(10):
        host.open("/bad" if number == 4 else f"/{number}")
    flush(host)
    assert [row["path"] for row in host.stored()] == [f"/{n}" for n in range(10) if n != 4]
    found = status(host)
    assert (found["received"], found["stored"], found["waiting"]) == (10, 9, 0)
    assert sum(found["dropped"].values()) == 1


def test_a_database_that_goes_away_within_a_batch(make_host: MakeHost) -> None:
    """A batch that is stored in parts, around a refused row, is stored once each."""

    def model(db: SQLAlchemy) -> Any:
        check = sa.CheckConstraint("path <> '/bad'")
        return type("Request", (RequestMixin, db.Model), {"__table_args__": (check,)})

    host = answering(make_host(model=model, settings={"STATISTICS_FLUSH_INTERVAL": 60}))
    for number in range(10):
        host.open("/bad" if number == 7 else f"/{number}")
    inserts: list[str] = []

    def fail_once(
        connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> None:
        if statement.startswith("INSERT INTO request "):
            inserts.append(statement)
            if len(inserts) == 3:
                raise sa.exc.OperationalError(statement, {}, Exception("gone"))

    sa.event.listen(host.engine, "before_cursor_execute", fail_once)
    flush(host, 0.3)
    flush(host)
    sa.event.remove(host.engine, "before_cursor_execute", fail_once)
    assert len(inserts) > 3
    expected = sorted(f"/{number}" for number in range(10) if number != 7)
    assert sorted(row["path"] for row in host.stored()) == expected


def test_trouble_with_our_own_tables_stores_no_row_twice(host: Host) -> None:
    """Whatever happens after the rows are committed, they are not stored again."""
    answering(host)

    def fail(
        connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> None:
        if "statistics_live" in statement:
            raise sa.exc.InternalError(statement, {}, Exception("corrupt"))

    sa.event.listen(host.engine, "before_cursor_execute", fail)
    host.open("/x")
    flush(host, 1.0)
    sa.event.remove(host.engine, "before_cursor_execute", fail)
    host.open("/y")
    assert flush(host) is True
    assert [row["path"] for row in host.stored()] == ["/x", "/y"]


@pytest.mark.parametrize("value", [2**80, object(), {"a": 1}, b"\xff", "\ud800"])
def test_a_value_that_no_driver_takes(make_host: MakeHost, database_url: str, value: Any) -> None:
    """A field of the host that returns nonsense never keeps other requests from being stored."""

    def model(db: SQLAlchemy) -> Any:
        return type("Request", (RequestMixin, db.Model), {"plan": db.Column(db.Integer)})

    statistics = Statistics()
    values = [value, 3]
    statistics.field("plan")(lambda: values.pop(0))
    host = answering(
        make_host(
            model=model,
            statistics=statistics,
            url=database_url,
            settings={"STATISTICS_FLUSH_INTERVAL": 60},
        )
    )
    host.open("/first")
    host.open("/second")
    flush(host, 2.0)
    assert [row["plan"] for row in host.stored() if row["path"] == "/second"] == [3]


# STATISTICS_SYNC


@pytest.fixture
def sync(make_host: MakeHost) -> Host:
    return answering(make_host(settings={"STATISTICS_SYNC": True}))


def test_sync_stores_at_once(sync: Host) -> None:
    """The row is there when the response is."""
    sync.open("/x")
    assert [row["path"] for row in sync.stored()] == ["/x"]


def test_sync_needs_no_thread(make_host: MakeHost) -> None:
    """Nothing waits, so nothing is started."""
    before = set(threading.enumerate())
    host = answering(make_host(settings={"STATISTICS_SYNC": True}))
    host.open("/x")
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("first", [True, False])
def test_sync_never_waits_for_a_lock(sync: Host, first: bool) -> None:
    """With SQLite locked the request is quick, its row goes to the queue and comes later."""
    if not first:
        sync.open("/before")
    with locked(sync):
        began = time.monotonic()
        assert sync.open("/x").status_code == 200
        assert time.monotonic() - began < 1.0
        assert [row["path"] for row in sync.stored() if row["path"] == "/x"] == []
    assert flush(sync, 15.0) is True
    assert [row["path"] for row in sync.stored()][-1] == "/x"


def test_sync_and_the_hosts_open_transaction(sync: Host) -> None:
    """A view's session is closed by then; SQLite is not locked any more."""

    def view() -> str:
        sync.db.session.execute(sa.text("CREATE TABLE IF NOT EXISTS thing (id INTEGER)"))
        sync.db.session.execute(sa.text("INSERT INTO thing VALUES (1)"))
        return "x"

    sync.app.add_url_rule("/write", "write", view)
    sync.open("/write")
    assert [row["path"] for row in sync.stored()] == ["/write"]


def test_sync_restores_the_lock_timeout(sync: Host) -> None:
    """The pooled connection waits for locks again afterwards, as the host set it."""
    with sync.engine.connect() as connection:
        before = connection.exec_driver_sql("PRAGMA busy_timeout").scalar()
    sync.open("/x")
    with locked(sync):
        sync.open("/y")
    flush(sync, 15.0)
    with sync.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == before
    assert before


@pytest.mark.parametrize("database_url", ["postgresql", "mariadb"], indirect=True)
def test_sync_never_waits_for_a_servers_lock(make_host: MakeHost, database_url: str) -> None:
    """The same where a table is locked on a server."""
    host = answering(make_host(url=database_url, settings={"STATISTICS_SYNC": True}))
    host.open("/before")
    assert len(host.stored()) == 1
    other = sa.create_engine(database_url, poolclass=sa.NullPool)
    with other.connect() as connection:
        if other.dialect.name == "postgresql":
            connection.execute(sa.text("LOCK TABLE request IN ACCESS EXCLUSIVE MODE"))
        else:
            connection.execute(sa.text("LOCK TABLES request WRITE"))
        began = time.monotonic()
        assert host.open("/x").status_code == 200
        assert time.monotonic() - began < 2.0
        if other.dialect.name != "postgresql":
            connection.execute(sa.text("UNLOCK TABLES"))
    assert flush(host, 15.0) is True
    assert [row["path"] for row in host.stored()] == ["/before", "/x"]


def test_sync_while_the_database_is_away(sync: Host) -> None:
    """The request is served; its row comes later."""
    with away(sync):
        assert sync.open("/x").status_code == 200
    assert flush(sync) is True
    assert [row["path"] for row in sync.stored()] == ["/x"]


def test_a_locked_database_delays_rows_only(host: Host) -> None:
    """Without SYNC a locked SQLite is nothing that a request sees."""
    answering(host)
    with locked(host):
        began = time.monotonic()
        for number in range(20):
            host.open(f"/{number}")
        assert time.monotonic() - began < 2.0
        assert flush(host, 0.2) is False
    assert flush(host, 15.0) is True
    assert len(host.stored()) == 20


# Status


def test_status_of_a_new_recorder(host: Host) -> None:
    """Nothing was received yet."""
    found = status(host)
    assert (found["received"], found["stored"], found["waiting"]) == (0, 0, 0)
    assert found["dropped"] == {}
    assert (found["lag"], found["last_error"]) == (None, None)


def test_status_adds_up(host: Host) -> None:
    """received is stored and waiting and dropped."""
    answering(host)
    for _ in range(7):
        host.open("/x")
    flush(host)
    found = status(host)
    assert (found["received"], found["stored"], found["waiting"]) == (7, 7, 0)


# Processes

PROGRAM = """
import os, sys, warnings
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from flask_statistics import RequestMixin, Statistics

warnings.simplefilter("ignore", DeprecationWarning)
app = Flask("forked")
app.config["SQLALCHEMY_DATABASE_URI"] = sys.argv[1]
app.config["STATISTICS_FLUSH_INTERVAL"] = 60
db = SQLAlchemy()
class Request(RequestMixin, db.Model):
    pass
db.init_app(app)
statistics = Statistics(app, db, Request)
app.add_url_rule("/<name>", "any", lambda name: name)
with app.app_context():
    db.create_all()
    db.engine.dispose()

def visit(name):
    app.test_client().get("/" + name)
    with app.app_context():
        return statistics.flush(timeout=20)
"""


def run(program: str, url: str) -> str:
    """Run a program in a process of its own and return what it prints."""
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM + textwrap.dedent(program), url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def stored_paths(url: str) -> list[str]:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        return sorted(connection.scalars(sa.text("SELECT path FROM request")))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("parent_first", [True, False])
@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_a_fork_starts_a_thread_of_its_own(database_url: str, parent_first: bool) -> None:
    """A child records its own requests, and no row of the parent twice."""
    run(
        f"""
        if {parent_first}:
            assert visit("before")
            app.test_client().get("/waiting")
        child = os.fork()
        if not child:
            os._exit(0 if visit("child") else 1)
        _, status = os.waitpid(child, 0)
        assert status == 0, status
        assert visit("parent")
        """,
        database_url,
    )
    expected = ["/child", "/parent"] + (["/before", "/waiting"] if parent_first else [])
    assert stored_paths(database_url) == sorted(expected)


def test_what_waits_is_stored_at_exit(tmp_path: Path) -> None:
    """A process that ends in order stores what it has."""
    url = f"sqlite:///{tmp_path / 'exit.sqlite'}"
    run(
        """
        for number in range(50):
            app.test_client().get(f"/{number}")
        """,
        url,
    )
    assert len(stored_paths(url)) == 50


def test_a_process_ends_although_the_database_is_away(tmp_path: Path) -> None:
    """The end of a process does not wait for a database that does not come back."""
    began = time.monotonic()
    run(
        """
        import shutil, sqlite3
        from sqlalchemy import event
        def refuse(*arguments):
            raise sqlite3.OperationalError("away")
        with app.app_context():
            event.listen(db.engine, "do_connect", refuse)
        app.test_client().get("/x")
        """,
        f"sqlite:///{tmp_path / 'exit.sqlite'}",
    )
    assert time.monotonic() - began < 20
