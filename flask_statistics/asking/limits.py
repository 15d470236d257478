"""How long a question may take: one deadline, which the database keeps.

What a database calls its limit is said here for each dialect. None of it outlives the question:
a connection goes back to the host's pool as it came.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from math import ceil
from time import monotonic
from typing import Any

import sqlalchemy as sa

from ..errors import QueryTimeoutError
from .duckdb import interrupted_after

#: Instructions of SQLite's machine between two looks at the clock: a few milliseconds, or a few
#: hundred rows whose texts are compared with a long pattern.
_INSTRUCTIONS = 5_000
_INTERRUPTED = 9  # SQLITE_INTERRUPT
#: For this transaction, and never more than the host allows itself.
_SET_TIMEOUT = """SELECT set_config('statement_timeout', CAST(LEAST({left}, NULLIF(CAST(
EXTRACT(EPOCH FROM CAST(current_setting('statement_timeout') AS interval)) * 1000 AS integer), 0)
) AS text), true)"""
#: query_canceled (PostgreSQL), ER_STATEMENT_TIMEOUT (MariaDB), ER_QUERY_TIMEOUT (MySQL).
_ENDED = frozenset({"57014", 1969, 3024})


class Deadline:
    """Until when an answer must be there, from its making on.

    :ivar seconds: how long it is, as ``STATISTICS_QUERY_TIMEOUT`` says.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._ends = monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left, 0 where there are none."""
        return max(self._ends - monotonic(), 0.0)

    def check(self) -> None:
        """Go on only where time is left.

        :raises QueryTimeoutError: where none is.
        """
        if not self.left:
            raise QueryTimeoutError(self.seconds)


_current: ContextVar[Deadline | None] = ContextVar("flask_statistics_deadline", default=None)


def current() -> Deadline | None:
    """Return the deadline of what is asked now; None where nobody set one."""
    return _current.get()


@contextmanager
def within(seconds: float) -> Iterator[Deadline]:
    """Ask all that is asked inside under one deadline; inside of another, that one holds."""
    deadline = _current.get() or Deadline(seconds)
    token = _current.set(deadline)
    try:
        yield deadline
    finally:
        _current.reset(token)


@contextmanager
def bounded(connection: sa.Connection, deadline: Deadline | None) -> Iterator[None]:
    """Let the database end whatever statement of the connection outlives the deadline.

    :raises QueryTimeoutError: where one did, or where one begins later.
    """
    if deadline is None:
        yield
        return
    begin = _BOUNDS.get(connection.dialect.name, _between_statements)
    try:
        with begin(connection, deadline):
            yield
    except sa.exc.DBAPIError as error:
        if not _was_ended(error):
            raise
        error.hide_parameters = True  # they are what visitors sent
        raise QueryTimeoutError(deadline.seconds) from error


def _was_ended(error: sa.exc.DBAPIError) -> bool:
    cause: Any = error.orig
    codes = {getattr(cause, "sqlstate", None), getattr(cause, "pgcode", None)}
    codes.update(argument for argument in cause.args[:1] if isinstance(argument, int))
    interrupted = getattr(cause, "sqlite_errorcode", None) == _INTERRUPTED
    interrupted |= type(cause).__name__ == "InterruptException"  # DuckDB's
    return interrupted or str(cause) == "interrupted" or not _ENDED.isdisjoint(codes)


@contextmanager
def _listening(
    connection: sa.Connection, before: Callable[..., Any], *, retval: bool = False
) -> Iterator[None]:
    sa.event.listen(connection, "before_cursor_execute", before, retval=retval)
    try:
        yield
    finally:
        sa.event.remove(connection, "before_cursor_execute", before)


def _between_statements(
    connection: sa.Connection, deadline: Deadline
) -> AbstractContextManager[None]:
    """What can be done with any database: begin nothing that is too late."""
    return _listening(connection, lambda *_: deadline.check())


def _postgresql(connection: sa.Connection, deadline: Deadline) -> AbstractContextManager[None]:
    def set_timeout(_: Any, cursor: Any, *__: Any) -> None:
        deadline.check()
        cursor.execute(_SET_TIMEOUT.replace("{left}", str(_milliseconds(deadline))))

    return _listening(connection, set_timeout)


def _milliseconds(deadline: Deadline) -> int:
    return max(ceil(deadline.left * 1000), 1)


def _mysql(connection: sa.Connection, deadline: Deadline) -> AbstractContextManager[None]:
    def limited(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> tuple[str, Any]:
        deadline.check()
        if not statement.startswith(("SELECT", "WITH", "EXPLAIN", "CREATE TEMPORARY")):
            return statement, parameters
        if getattr(connection.dialect, "is_mariadb", False):
            left = f"{max(deadline.left, 0.001):.3f}"
            limit = f"IF(@@max_statement_time > 0, LEAST(@@max_statement_time, {left}), {left})"
            return f"SET STATEMENT max_statement_time = {limit} FOR {statement}", parameters
        hint = f"SELECT /*+ MAX_EXECUTION_TIME({_milliseconds(deadline)}) */"
        return statement.replace("SELECT", hint, 1), parameters

    return _listening(connection, limited, retval=True)


@contextmanager
def _sqlite(connection: sa.Connection, deadline: Deadline) -> Iterator[None]:
    driver: Any = connection.connection.driver_connection
    thread = threading.get_ident()

    def interrupts() -> bool:
        # In memory the host may work on the same connection in another thread.
        return not deadline.left and threading.get_ident() == thread

    driver.set_progress_handler(interrupts, _INSTRUCTIONS)
    try:
        with _between_statements(connection, deadline):
            yield
    finally:
        driver.set_progress_handler(None, 0)


@contextmanager
def _duckdb(connection: sa.Connection, deadline: Deadline) -> Iterator[None]:
    with (
        interrupted_after(connection, lambda: deadline.left),
        _between_statements(connection, deadline),
    ):
        yield


_BOUNDS: dict[str, Callable[[sa.Connection, Deadline], AbstractContextManager[None]]] = {
    "postgresql": _postgresql,
    "mysql": _mysql,
    "mariadb": _mysql,
    "sqlite": _sqlite,
    "duckdb": _duckdb,
}
