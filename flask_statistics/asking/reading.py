"""Connections to read with, also where the host's connection is the only one there is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Give a connection for SELECT statements, and take it back.

    SQLite in memory has one connection for all. A pool rolls back what comes back to it, so
    that a transaction that the host has open there would end with our reading.
    """
    record = getattr(engine.pool, "connection", None)
    shared = getattr(record, "dbapi_connection", None)
    borrowed = _borrow(engine, shared) if getattr(shared, "in_transaction", False) else engine
    with borrowed.connect() as connection:
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
