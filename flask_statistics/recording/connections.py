"""Whose connections there are: the host's alone, or one that we share with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import sqlalchemy as sa

from ..errors import ConfigurationError

#: Seconds that a transaction of ours may hold its locks while its process asks for nothing.
IDLE = 30


def is_shared_memory(engine: sa.Engine) -> bool:
    """Whether all users of the engine share one connection, as for SQLite in memory.

    :raises ConfigurationError: where that cannot be done without harm.
    """
    url = engine.url
    is_static = isinstance(engine.pool, sa.StaticPool)
    if engine.dialect.name == "sqlite":
        in_memory = url.database in {None, "", ":memory:"} or "mode=memory" in str(url)
        if in_memory and not is_static:
            raise ConfigurationError(
                f"{url} is SQLite in memory with a {type(engine.pool).__name__}, which would mix "
                "your transactions with ours: use sqlite:// or a file, or set "
                'SQLALCHEMY_ENGINE_OPTIONS = {"poolclass": sqlalchemy.StaticPool}.'
            )
        return is_static
    if is_static:
        raise ConfigurationError(
            "The engine has a StaticPool, so that storing a request would commit what your views "
            "have not: give it another poolclass in SQLALCHEMY_ENGINE_OPTIONS."
        )
    return False


def is_busy(engine: sa.Engine, *, wait: bool) -> bool:
    """Whether a row cannot be stored at this moment without harm to the host.

    The connection that all share may be in a transaction of the host; or, unless ``wait``, a
    connection might have to be waited for.
    """
    pool = engine.pool
    if not is_shared_memory(engine):
        if wait or not isinstance(pool, sa.QueuePool):
            return False
        return not pool.checkedin() and pool.overflow() >= 0
    # Not by checking the connection out: returning it would roll the host's work back.
    record = getattr(pool, "connection", None)
    connection = getattr(record, "dbapi_connection", None)
    return bool(getattr(connection, "in_transaction", False))


@contextmanager
def ended_when_idle(connection: sa.Connection) -> Iterator[None]:
    """Let the server end the transaction that has begun, once nothing is asked in it for a while.

    A process that was stopped, or whose machine is gone, would keep all others from storing. What
    it had not committed is tried again when it goes on. SQLite's locks cannot be taken away.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE}s'")
        yield
    elif getattr(connection.dialect, "is_mariadb", False):
        connection.exec_driver_sql("SET @statistics_idle = @@SESSION.idle_transaction_timeout")
        connection.exec_driver_sql(f"SET SESSION idle_transaction_timeout = {IDLE}")
        try:
            yield
        finally:
            with suppress(sa.exc.SQLAlchemyError):  # where it is lost, so is the setting
                connection.exec_driver_sql(
                    "SET SESSION idle_transaction_timeout = @statistics_idle"
                )
    else:
        yield
