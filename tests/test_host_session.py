"""The host's session and connections are never touched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy

from flask_statistics import RequestMixin

if TYPE_CHECKING:
    from tests.conftest import Host

    MakeHost = Callable[..., Host]


def with_items(db: SQLAlchemy) -> Any:
    """Return the full model beside a table of the host's own."""
    columns = {
        "id": db.Column(db.Integer, primary_key=True),
        "name": db.Column(db.String(50), unique=True),
    }
    request: Any = type("Request", (RequestMixin, db.Model), {})
    request.Item = type("Item", (db.Model,), columns)
    return request


def names(host: Host) -> list[str]:
    with host.engine.connect() as connection:
        table = host.Request.Item.__table__
        return sorted(connection.scalars(sa.select(table.c.name)))


@pytest.fixture
def shop(make_host: MakeHost, database_url: str) -> Host:
    """A host with a table of its own, on each database."""
    return make_host(model=with_items, url=database_url)


@pytest.mark.parametrize("sync", [True, False])
@pytest.mark.parametrize("end", ["return", "raise"])
def test_a_dirty_session_is_not_committed(
    make_host: MakeHost, database_url: str, end: str, sync: bool
) -> None:
    """What a view added and did not commit is gone, flushed or not; the request is recorded."""
    host = make_host(model=with_items, url=database_url, settings={"STATISTICS_SYNC": sync})

    def view(flush: int) -> str:
        host.db.session.add(host.Request.Item(name=f"item{flush}"))
        if flush:
            host.db.session.flush()
        if end == "raise":
            raise ValueError("boom")
        return "x"

    host.app.add_url_rule("/<int:flush>", view_func=view)
    for flush in (0, 1):
        host.open(f"/{flush}")
    rows = host.rows()
    assert [row["status_code"] for row in rows] == [200 if end == "return" else 500] * 2
    assert names(host) == []


def test_a_failed_transaction(shop: Host) -> None:
    """A session that an IntegrityError left failed is neither used nor repaired."""
    seen: list[bool] = []

    def view() -> str:
        for _ in range(2):
            shop.db.session.add(shop.Request.Item(name="twice"))
        with pytest.raises(sa.exc.IntegrityError):
            shop.db.session.flush()
        seen.append(shop.db.session.is_active)
        return "x"

    @shop.app.after_request
    def look(response: Any) -> Any:
        seen.append(shop.db.session.is_active)
        return response

    shop.app.add_url_rule("/x", view_func=view)
    assert shop.open("/x").status_code == 200
    assert shop.row()["status_code"] == 200
    assert names(shop) == []


def test_a_view_that_fails_with_a_failed_transaction(shop: Host) -> None:
    """The exception of the database is the row's exception."""

    def view() -> str:
        for _ in range(2):
            shop.db.session.add(shop.Request.Item(name="twice"))
        shop.db.session.commit()
        return "unreached"

    shop.app.add_url_rule("/x", view_func=view)
    assert shop.open("/x").status_code == 500
    row = shop.row()
    assert row["exception"].startswith("IntegrityError(")
    assert names(shop) == []


def test_no_session_events(shop: Host) -> None:
    """Our writing begins, flushes, commits and rolls back no session of the host."""
    events: list[str] = []
    session_class = shop.db.session.session_factory.class_
    for name in ("after_begin", "before_flush", "before_commit", "after_rollback"):
        sa.event.listen(session_class, name, lambda *args, n=name: events.append(n))
    shop.open("/x")
    assert len(shop.rows()) == 1
    assert events == []


def test_committed_objects_are_not_expired(shop: Host) -> None:
    """Objects of the host stay as they were through a request of the test client."""
    with shop.app.app_context():
        item = shop.Request.Item(name="kept")
        shop.db.session.add(item)
        shop.open("/x")
        assert list(shop.db.session.new) == [item]
        shop.db.session.rollback()
    assert len(shop.rows()) == 1


# SQLite in memory: one connection for all


@pytest.fixture
def memory(make_host: MakeHost) -> Host:
    """A host on SQLite in memory."""
    return make_host(model=with_items, url="sqlite://")


def test_memory_stores_when_the_context_ends(memory: Host) -> None:
    """Rows are there at once, without a flush and without a thread."""
    import threading

    before = set(threading.enumerate())
    memory.open("/x")
    assert [row["path"] for row in memory.stored()] == ["/x"]
    assert set(threading.enumerate()) <= before


def test_memory_waits_for_the_hosts_transaction(memory: Host) -> None:
    """Within a transaction of the host nothing is stored, nothing committed, nothing undone."""
    with memory.app.app_context():
        session = memory.db.session
        session.add(memory.Request.Item(name="open"))
        session.flush()
        memory.app.test_client().get("/x")
        assert memory.statistics.flush() is False
        assert session.scalar(sa.select(sa.func.count(memory.Request.Item.id))) == 1
        session.rollback()
        assert session.scalar(sa.select(sa.func.count(memory.Request.Item.id))) == 0
        session.rollback()
        assert memory.statistics.flush() is True
    assert [row["path"] for row in memory.stored()] == ["/x"]
    assert names(memory) == []


def test_memory_and_the_hosts_commit(memory: Host) -> None:
    """The host's commit holds, and the row that waited comes with the next request."""
    with memory.app.app_context():
        memory.db.session.add(memory.Request.Item(name="kept"))
        memory.db.session.flush()
        memory.app.test_client().get("/x")
        assert memory.app.extensions["statistics"].recorder.status()["waiting"] == 1
        memory.db.session.commit()
    memory.open("/y")
    assert [row["path"] for row in memory.stored()] == ["/x", "/y"]
    assert names(memory) == ["kept"]


def test_memory_and_a_view_that_leaves_its_transaction_open(memory: Host) -> None:
    """A view that flushed and did not commit is rolled back by its own session."""

    def view() -> str:
        memory.db.session.add(memory.Request.Item(name="lost"))
        memory.db.session.flush()
        return "x"

    memory.app.add_url_rule("/x", view_func=view)
    memory.open("/x")
    assert memory.row()["path"] == "/x"
    assert names(memory) == []


def test_memory_and_a_nested_request(memory: Host) -> None:
    """A request inside a view's open transaction leaves that transaction alone."""

    def outer() -> str:
        memory.db.session.add(memory.Request.Item(name="outer"))
        memory.db.session.flush()
        memory.app.test_client().get("/inner")
        memory.db.session.commit()
        return "x"

    memory.app.add_url_rule("/outer", view_func=outer)
    memory.open("/outer")
    assert sorted(row["path"] for row in memory.rows()) == ["/inner", "/outer"]
    assert names(memory) == ["outer"]


def test_memory_by_uri(make_host: MakeHost) -> None:
    """Another spelling of a database in memory is known as well."""
    host = make_host(url="sqlite:///:memory:")
    host.open("/x")
    assert host.stored()[0]["path"] == "/x"


def test_memory_streams(memory: Host) -> None:
    """A stream in memory is stored when it ends."""
    memory.app.add_url_rule("/x", "x", lambda: iter(["one"]))
    memory.open("/x")
    assert memory.row()["size"] == 3


# Between batches no connection is held


def test_drop_all_while_the_recorder_is_idle(shop: Host) -> None:
    """drop_all() does not wait for us; PostgreSQL would hang on an idle transaction."""
    shop.open("/x")
    assert len(shop.rows()) == 1

    def drop() -> None:
        with shop.app.app_context():
            shop.db.drop_all()

    thread = Thread(target=drop, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    with shop.app.app_context():
        assert not sa.inspect(shop.engine).has_table("request")


def test_no_connection_is_checked_out_between_batches(shop: Host) -> None:
    """The pool has all connections back once rows are stored."""
    shop.open("/x")
    shop.rows()
    assert "Current Checked out connections: 0" in shop.engine.pool.status()


def test_drop_all_and_create_all_between_requests(shop: Host) -> None:
    """Tests of hosts do this all the time: new tables are written to as the old ones were."""
    shop.open("/old")
    assert len(shop.rows()) == 1
    with shop.app.app_context():
        shop.db.drop_all()
        shop.db.create_all()
    shop.open("/new")
    rows = shop.rows()
    assert [row["path"] for row in rows] == ["/new"]
    assert rows[0]["visitor"] is not None


def test_dispose_between_requests(shop: Host) -> None:
    """engine.dispose() is the host's right."""
    for path in ("/a", "/b"):
        shop.open(path)
        assert shop.rows()[-1]["path"] == path
        shop.engine.dispose()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_connection_that_the_server_closed(shop: Host) -> None:
    """A pooled connection that died costs no row."""
    shop.open("/a")
    shop.rows()
    url = shop.engine.url.render_as_string(hide_password=False)
    admin = sa.create_engine(url, poolclass=sa.NullPool)
    with admin.connect() as connection:
        connection.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    shop.open("/b")
    with shop.app.app_context():
        for _ in range(3):
            if shop.statistics.flush(timeout=5.0):
                break
    shop.engine.dispose()
    assert [row["path"] for row in shop.stored()] == ["/a", "/b"]


# Binds


def test_a_model_with_a_bind(make_host: MakeHost, tmp_path: Path) -> None:
    """A model with __bind_key__ is stored in its own database, our tables beside it."""

    def model(db: SQLAlchemy) -> Any:
        return type("Request", (RequestMixin, db.Model), {"__bind_key__": "statistics"})

    other = f"sqlite:///{tmp_path / 'statistics.sqlite'}"
    host = make_host(model=model, settings={"SQLALCHEMY_BINDS": {"statistics": other}})
    host.open("/x")
    row = host.row()
    assert row["path"] == "/x"
    assert row["visitor"] is not None
    with host.app.app_context():
        assert "request" in sa.inspect(host.db.engines["statistics"]).get_table_names()
        assert "statistics_salt" in sa.inspect(host.db.engines["statistics"]).get_table_names()
        assert sa.inspect(host.db.engines[None]).get_table_names() == []


def test_a_bind_that_is_not_configured(make_host: MakeHost) -> None:
    """A bind key that the config lacks is an error at start."""
    from flask_statistics import ConfigurationError

    def model(db: SQLAlchemy) -> Any:
        return type("Request", (RequestMixin, db.Model), {"__bind_key__": "absent"})

    with pytest.raises(ConfigurationError, match=r"^The model's bind 'absent' is not among"):
        make_host(model=model)


def test_sql_of_every_bind_is_counted(make_host: MakeHost, tmp_path: Path) -> None:
    """db_queries counts statements on all engines of the host's db."""
    other = f"sqlite:///{tmp_path / 'other.sqlite'}"
    host = make_host(settings={"SQLALCHEMY_BINDS": {"other": other}})

    def view() -> str:
        for engine in host.db.engines.values():
            with engine.connect() as connection:
                connection.execute(sa.text("SELECT 1"))
        return "x"

    host.app.add_url_rule("/x", view_func=view)
    host.open("/x")
    assert host.row()["db_queries"] == 2
