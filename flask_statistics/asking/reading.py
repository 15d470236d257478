"""Connections to read with, also where the host's connection is the only one there is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from .explaining import attended
from .limits import bounded, current

#: What the host's table is called where it is said from where an answer comes.
TABLE = "the app's table"


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Give a connection for SELECT statements, and take it back.

    All of them see the same moment, except on SQLite without WAL, where that would keep the
    host from writing. They end with the current deadline (:func:`~.limits.within`).

    SQLite in memory has one connection for all. A pool rolls back what comes back to it, so
    that a transaction that the host has open there would end with our reading.
    """
    record = getattr(engine.pool, "connection", None)
    shared = getattr(record, "dbapi_connection", None)
    borrowed = _borrow(engine, shared) if getattr(shared, "in_transaction", False) else engine
    with (
        borrowed.connect() as connection,
        bounded(connection, current()),
        attended(connection, TABLE),
    ):
        _see_one_moment(connection)
        yield connection


def _borrow(engine: sa.Engine, connection: Any) -> sa.Engine:
    """Return an engine over the connection that neither commits, rolls back nor closes it."""
    borrowed = sa.create_engine(
        engine.url,
        creator=lambda: connection,
        poolclass=sa.StaticPool,
        pool_reset_on_return=None,
    )
    for ending in ("do_commit", "do_rollback", "do_close"):
        setattr(borrowed.dialect, ending, lambda _: None)
    return borrowed


def _see_one_moment(connection: sa.Connection) -> None:
    name = connection.dialect.name
    if name in {"postgresql", "mysql", "mariadb"}:
        # Also where the host's engine commits each statement: the pool takes it back as it was.
        connection.execution_options(isolation_level="REPEATABLE READ")
    elif name == "sqlite" and _has_wal(connection):
        connection.exec_driver_sql("BEGIN")


def _has_wal(connection: sa.Connection) -> bool:
    driver: Any = connection.connection.driver_connection
    if driver.in_transaction:
        return False
    return bool(connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal")
