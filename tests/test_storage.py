"""Storing under odd conditions: tables made anew, pools without a free connection, mixed days."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from flask_statistics import ConfigurationError
from flask_statistics.recording import connections
from flask_statistics.recording.record import RECORD

MakeHost = Callable[..., Any]


def record(**values: Any) -> tuple[Any, ...]:
    """Return a record of a plain request."""
    given = {
        "date": 1_700_000_000.0,
        "method": "GET",
        "path": "/x",
        "query_string": "",
        "status_code": 200,
        "remote_address": "203.0.113.1",
        "user_agent": "Mozilla/5.0",
        "scheme": "http",
        "host": "localhost",
        "fields": (),
    }
    return tuple((given | values).get(name) for name in RECORD)


def serve(host: Any) -> None:
    if "any" not in host.app.view_functions:
        host.app.add_url_rule("/<path:name>", "any", lambda name: name)
    host.open("/x")


def count(host: Any, name: str) -> int:
    table = getattr(host.app.extensions["statistics"].tables, name)
    with host.engine.connect() as connection:
        return int(connection.scalar(sa.select(sa.func.count()).select_from(table)))


def test_a_server_that_has_none_in_environ(make_host: MakeHost) -> None:
    """A key of environ whose value is None counts as one that is not there."""
    host = make_host()
    host.app.add_url_rule("/x", view_func=lambda: "x", endpoint="x")
    host.open("/x", environ_overrides={"REMOTE_ADDR": None})
    row = host.row()
    assert (row["path"], row["remote_address"], row["visitor"]) == ("/x", None, None)


def test_days_that_alternate_cost_no_more(make_host: MakeHost) -> None:
    """A merged log, or the minutes around midnight: each day's salt is read once."""
    host = make_host()
    storage = host.app.extensions["statistics"].make_storage()
    statements: list[str] = []
    sa.event.listen(
        host.engine, "before_cursor_execute", lambda *given: statements.append(given[2])
    )
    days = [record(date=1_700_000_000.0 + 86_400 * (number % 2)) for number in range(200)]
    rows = storage.derive(days, live=False)
    assert len({row[storage.columns.index("visitor")] for row in rows}) == 2
    assert len([text for text in statements if "statistics_salt" in text]) <= 8


def test_tables_that_are_made_anew(make_host: MakeHost, database_url: str) -> None:
    """After drop_all() and create_all() the salt and the span of live requests are there again."""
    host = make_host(url=database_url)
    serve(host)
    host.rows()
    storage = host.app.extensions["statistics"].recorder._storage
    storage._span._kept = None  # as after ten seconds
    with host.app.app_context():
        host.db.drop_all()
        host.db.create_all()
    serve(host)
    host.rows()
    serve(host)
    assert host.rows()
    assert (count(host, "live"), count(host, "salt")) == (1, 1)


def test_a_missing_table_of_spans_is_said_once(
    make_host: MakeHost, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Requests are recorded without it, and the log says how to add it."""
    host = make_host(url=database_url)
    host.app.extensions["statistics"].tables.live.drop(host.engine)
    with caplog.at_level(logging.WARNING, "flask_statistics"):
        for _ in range(3):
            serve(host)
            host.rows()
    assert len(host.stored()) == 3
    assert [entry.getMessage() for entry in caplog.records] == [
        "The table statistics_live is missing, so imports cannot tell what was recorded as it "
        "came: run `flask db migrate` and `flask db upgrade`, or call db.create_all() after "
        "Statistics(…)."
    ]


def test_sync_does_not_wait_for_a_connection(make_host: MakeHost) -> None:
    """Where the host holds all connections of the pool, the row goes to the queue."""
    options = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 20}
    host = make_host(settings={"STATISTICS_SYNC": True, "SQLALCHEMY_ENGINE_OPTIONS": options})
    held = host.engine.connect()
    began = monotonic()
    serve(host)
    assert monotonic() - began < 10
    held.close()
    assert len(host.rows()) == 1


def test_a_static_pool_on_a_server_is_refused(make_host: MakeHost, database_url: str) -> None:
    """Its one connection carries the host's transactions, so that ours would commit them."""
    settings: dict[str, Any] = {"SQLALCHEMY_ENGINE_OPTIONS": {"poolclass": sa.StaticPool}}
    if database_url.startswith("sqlite"):
        settings["SQLALCHEMY_ENGINE_OPTIONS"]["connect_args"] = {"check_same_thread": False}
        host = make_host(url=database_url, settings=settings)
        serve(host)
        assert len(host.rows()) == 1
        return
    apps: list[Flask] = []
    with pytest.raises(ConfigurationError, match="The engine has a StaticPool"):
        make_host(url=database_url, settings=settings, before=apps.append)


def test_a_full_queue_is_said(make_host: MakeHost, caplog: pytest.LogCaptureFixture) -> None:
    """Dropped requests are counted and logged."""
    host = make_host(settings={"STATISTICS_QUEUE_SIZE": 1, "STATISTICS_FLUSH_INTERVAL": 60})
    recorder = host.app.extensions["statistics"].recorder
    recorder._attended = True  # nobody takes from the queue
    serve(host)
    serve(host)
    recorder._attended = False
    assert recorder.status()["dropped"] == {"queue full": 1}
    assert [entry.getMessage() for entry in caplog.records] == [
        "Requests are dropped, because more come than can be stored (STATISTICS_QUEUE_SIZE)."
    ]


def test_a_process_that_is_frozen_while_it_stores(
    make_host: MakeHost, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ends its transaction, so that others go on; its rows are stored later."""
    if database_url.startswith("sqlite"):
        pytest.skip("nobody can take SQLite's locks away")
    monkeypatch.setattr(connections, "IDLE", 1)
    host = make_host(url=database_url)
    serve(host)
    host.rows()
    storage = host.app.extensions["statistics"].make_storage()
    with pytest.raises(sa.exc.DBAPIError), storage.transaction() as connection:  # noqa: PT012
        storage.write(connection, storage.derive([record()]))
        serve(host)
        with host.app.app_context():
            assert host.statistics.flush(30) is True
        connection.exec_driver_sql("SELECT 1")
    assert len(host.stored()) == 2
    with storage.transaction() as connection:
        storage.write(connection, storage.derive([record()]))
    assert len(host.stored()) == 3


def test_the_hosts_connections_may_be_idle(make_host: MakeHost, database_url: str) -> None:
    """What ends a transaction of ours is no setting of the connection any more."""
    host = make_host(url=database_url)
    serve(host)
    host.rows()
    asked = {
        "sqlite": "SELECT 0",
        "postgresql": "SHOW idle_in_transaction_session_timeout",
        "mysql": "SELECT @@idle_transaction_timeout",
        "mariadb": "SELECT @@idle_transaction_timeout",
    }
    with host.engine.connect() as connection:
        found = connection.exec_driver_sql(asked[connection.dialect.name]).scalar_one()
    assert int(found) == 0
