"""How rows are inserted: on each dialect in the way that suits it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from time import perf_counter, sleep
from typing import Any

import sqlalchemy as sa

from ..privacy import basic_plane

#: Rows between two turns of other threads, while these wait and while they never do: SQLite's
#: module gives up the interpreter's lock between statements only, so that short ones keep
#: requests quick; but a thread that never pauses takes it for 5 ms each time, and only long ones
#: get anywhere then.
SMALL, LARGE = 20, 200
#: Seconds that giving up the lock may take before the turns become rare.
BUSY = 0.002
#: Rows of a statement. Few, because SQLite keeps each parsed, and that takes 4 kB a row.
_SIZES = (LARGE, 100, SMALL, 5, 1)
_MOST_PARAMETERS = 32_000  # SQLite takes 32,766 in a statement


class Turns:
    """Lets other threads go first, often while they pause themselves, else rarely.

    :ivar rows: how many rows to work on until :meth:`give` is called again.
    """

    rows = SMALL

    def give(self) -> None:
        """Give up the interpreter's lock for a moment."""
        began = perf_counter()
        sleep(0)
        self.rows = LARGE if perf_counter() - began > BUSY else SMALL


class Inserter:
    """Inserts rows of fixed columns, on each dialect in the way that suits it."""

    def __init__(
        self, engine: sa.Engine, table: sa.Table, columns: Sequence[sa.Column[Any]]
    ) -> None:
        self._table = table
        self._dialect = engine.dialect
        self._names = [column.name for column in columns]
        self._keys = [column.key for column in columns]
        self._prepare = _preparations(columns)
        self._narrow: list[int] | None = None if _is_mysql(self._dialect) else []
        binders = [
            c.type.dialect_impl(self._dialect).bind_processor(self._dialect) for c in columns
        ]
        self._binders = [(place, binder) for place, binder in enumerate(binders) if binder]
        self._statements: dict[int, str] = {}
        self._direct = self._dialect.driver == "pysqlite" and not _needs_core(table, columns)
        self._largest = max(1, min(LARGE, _MOST_PARAMETERS // len(columns)))
        self._yields = not _sleep_runs_others_in_this_thread()

    def insert(self, connection: sa.Connection, rows: list[list[Any]], turns: Turns | None) -> None:
        """Insert rows, in the order of the columns.

        :param turns: None while nobody waits for the interpreter's lock.
        """
        rows = [list(row) for row in rows] if self._prepare or self._binders else rows
        for place, prepare in self._prepare:
            for row in rows:
                row[place] = prepare(row[place])
        self._replace_what_the_character_set_lacks(connection, rows)
        if self._direct:
            self._insert_directly(connection, rows, turns if self._yields else None)
        else:
            self._insert_by_core(connection, rows)

    def _insert_by_core(self, connection: sa.Connection, rows: list[list[Any]]) -> None:
        statement = self._table.insert()
        for start in range(0, len(rows), LARGE):
            part = rows[start : start + LARGE]
            values = [dict(zip(self._keys, row, strict=True)) for row in part]
            connection.execute(statement, values)

    def _insert_directly(
        self, connection: sa.Connection, rows: list[list[Any]], turns: Turns | None
    ) -> None:
        for place, binder in self._binders:
            for row in rows:
                row[place] = binder(row[place])
        start = 0
        while start < len(rows):
            size = self._size(len(rows) - start, turns.rows if turns else LARGE)
            parameters = tuple(chain.from_iterable(rows[start : start + size]))
            connection.exec_driver_sql(self._statement(size), parameters)
            start += size
            if turns is not None:
                turns.give()

    def _size(self, left: int, wanted: int) -> int:
        """Return the rows of the next statement."""
        fitting = min(left, wanted, self._largest)
        return next(size for size in _SIZES if size <= fitting)

    def _statement(self, count: int) -> str:
        """Return an INSERT of this many rows."""
        if count not in self._statements:
            quote = self._dialect.identifier_preparer
            names = ", ".join(quote.quote(name) for name in self._names)
            row = f"({', '.join('?' * len(self._names))})"
            values = ", ".join([row] * count)
            table = quote.format_table(self._table)
            # Names of the host's model, quoted by the dialect; every value is a parameter.
            self._statements[count] = f"INSERT INTO {table} ({names}) VALUES {values}"  # noqa: S608
        return self._statements[count]

    def _replace_what_the_character_set_lacks(
        self, connection: sa.Connection, rows: list[list[Any]]
    ) -> None:
        if self._narrow is None:
            self._narrow = self._narrow_columns(connection)
        for place in self._narrow:
            for row in rows:
                if isinstance(row[place], str) and not row[place].isascii():
                    row[place] = basic_plane(row[place])

    def _narrow_columns(self, connection: sa.Connection) -> list[int]:
        """Return the places of columns that hold at most three bytes a character."""
        found = connection.execute(
            sa.text(
                "SELECT column_name FROM information_schema.columns "
                "WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table "
                "AND character_set_name IS NOT NULL AND character_set_name <> 'utf8mb4'"
            ),
            {"schema": self._table.schema, "table": self._table.name},
        )
        narrow = set(found.scalars())
        return [place for place, name in enumerate(self._names) if name in narrow]


def _is_mysql(dialect: sa.Dialect) -> bool:
    return dialect.name in {"mysql", "mariadb"}


def _needs_core(table: sa.Table, columns: Sequence[sa.Column[Any]]) -> bool:
    """Whether values must pass SQLAlchemy's compiler: defaults in Python, SQL around values."""
    ours = set(columns)
    return any(c.default is not None for c in table.columns if c not in ours) or any(
        getattr(c.type, "_has_bind_expression", False) for c in columns
    )


def _preparations(
    columns: Sequence[sa.Column[Any]],
) -> list[tuple[int, Callable[[Any], Any]]]:
    """Return what some host's column types need: JSON as values, no NULL where none may be."""
    found: list[tuple[int, Callable[[Any], Any]]] = []
    for place, column in enumerate(columns):
        if isinstance(column.type, sa.JSON):
            found.append(
                (place, lambda value: json.loads(value) if isinstance(value, str) else value)
            )
        if not column.nullable:
            empty = _empty(column.type)
            found.append((place, lambda value, empty=empty: empty if value is None else value))  # type: ignore[misc]
    return found


def _empty(type_: sa.types.TypeEngine[Any]) -> Any:
    if isinstance(type_, sa.Boolean):
        return False
    return 0 if isinstance(type_, sa.Integer | sa.Numeric | sa.Float) else ""


def _sleep_runs_others_in_this_thread() -> bool:
    """Whether gevent or eventlet replaced sleep.

    A greenlet of the host would then wait, inside SQLite, for the lock that our transaction
    holds, and with it the whole thread, us included.
    """
    return getattr(sleep, "__module__", "time") != "time"


@contextmanager
def no_waiting(connection: sa.Connection) -> Iterator[None]:
    """Make the connection fail at once where it would wait for a lock."""
    settings = {
        "sqlite": ("PRAGMA busy_timeout", "PRAGMA busy_timeout = {}", (0,)),
        "postgresql": ("SHOW lock_timeout", "SET lock_timeout = '{}'", ("1ms",)),
        "mysql": (
            "SELECT @@innodb_lock_wait_timeout, @@lock_wait_timeout",
            "SET innodb_lock_wait_timeout = {}, lock_wait_timeout = {}",
            (0, 0),
        ),
    }
    name = "mysql" if connection.dialect.name == "mariadb" else connection.dialect.name
    if name not in settings:
        yield
        return
    ask, change, none = settings[name]
    before = tuple(connection.exec_driver_sql(ask).one())
    connection.exec_driver_sql(change.format(*none))
    connection.commit()
    try:
        yield
    finally:
        if not connection.invalidated:
            connection.exec_driver_sql(change.format(*before))
            connection.commit()
