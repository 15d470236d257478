"""One import at a time: two would not see each other's lines before they are committed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b

import sqlalchemy as sa

from ..errors import ImportRefusedError

_BUSY = "Another import into this database is running: run this one again when it has finished."


@contextmanager
def import_lock(connection: sa.Connection, table: sa.Table) -> Iterator[None]:
    """Hold the lock of imports, for the life of the connection at most, so that none stays behind.

    PostgreSQL and MariaDB have locks of a name. On SQLite a transaction that writes excludes
    all others, and :meth:`ImportedLines.append` finds out in it whether another import wrote.

    :raises ImportRefusedError: where another process holds it.
    """
    statements = _statements(connection, table)
    if statements is None:
        yield
        return
    take, give_back = statements
    with connection.begin():
        if not connection.scalar(take):
            raise ImportRefusedError(_BUSY)
    try:
        yield
    finally:
        # A connection that broke has lost its locks.
        with suppress(sa.exc.SQLAlchemyError), connection.begin():
            connection.execute(give_back)


def _statements(
    connection: sa.Connection, table: sa.Table
) -> tuple[sa.Select[tuple[int]], sa.Select[tuple[int]]] | None:
    """Return what takes the lock (true where it could) and what gives it back."""
    name = f"flask_statistics {connection.engine.url.database} {table.fullname}"
    digest = blake2b(name.encode(), digest_size=8)
    if connection.dialect.name == "postgresql":
        key = sa.literal(int.from_bytes(digest.digest(), "big", signed=True), sa.BigInteger)
        return sa.select(sa.func.pg_try_advisory_lock(key)), sa.select(
            sa.func.pg_advisory_unlock(key)
        )
    if connection.dialect.name in {"mysql", "mariadb"}:
        text = f"flask_statistics_{digest.hexdigest()}"
        return sa.select(sa.func.get_lock(text, 0)), sa.select(sa.func.release_lock(text))
    return None
