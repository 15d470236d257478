"""How rows are inserted: on each dialect in the way that suits it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import chain
from time import perf_counter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql

from ..privacy import basic_plane

#: Rows of a statement while other threads pause, and while one never does: SQLite's module gives
#: up the interpreter's lock for each statement, so that short ones keep requests quick; but a
#: thread that never pauses keeps it for 5 ms each time, and only long ones get anywhere then.
SMALL, LARGE = 20, 200
#: Rows of a statement while nobody waits for the lock: of RequestMixin's columns nearly as many
#: as SQLite takes parameters.
LARGEST = 666
#: The same of rows that replace others: they are short, and so are waits of one statement for all.
LARGEST_REPLACED = 2000
#: Seconds after which a short statement must have waited for the interpreter's lock.
BUSY = 0.002
#: Rows of a statement. Few sizes, because SQLite keeps each parsed, and that takes 4 kB a row of
#: RequestMixin's.
_SIZES = (LARGEST_REPLACED, LARGEST, 500, LARGE, 100, SMALL, 5, 1)
_FEWEST_PARAMETERS = 999  # that every SQLite takes in a statement
#: The bits of integers; those of BigInteger hold all that there is.
_BITS = ((sa.SmallInteger, 16), (sa.BigInteger, 0), (sa.Integer, 32))
#: Never out of range; looking at each costs more than storing it.
_SMALL_NUMBERS = ("status_code", "db_queries")

Conversion = Callable[[Any], Any]


class Inserter:
    """Inserts rows of fixed columns, on each dialect in the way that suits it.

    :param keys: the names of the primary key, where rows that are there are to be replaced.
    """

    def __init__(
        self,
        engine: sa.Engine,
        table: sa.Table,
        columns: Sequence[sa.Column[Any]],
        keys: Sequence[str] = (),
    ) -> None:
        self._table = table
        self._insert = _insert(engine.dialect.name, table, keys)
        self._conflict = _conflict([c.name for c in columns], keys) if keys else ""
        self._dialect = engine.dialect
        self._names = [column.name for column in columns]
        self._keys = [column.key for column in columns]
        self._conversions = _conversions(columns, self._dialect)
        self._statements: dict[int, str] = {}
        self._direct = self._dialect.driver == "pysqlite" and not _needs_core(table, columns)
        if self._direct:
            self._conversions += _binders(columns, self._dialect)
        most = getattr(self._dialect, "insertmanyvalues_max_parameters", _FEWEST_PARAMETERS)
        self._wanted = LARGEST_REPLACED if keys else LARGEST
        self._largest = max(1, min(self._wanted, most // len(columns)))
        self._knows_character_sets = self._dialect.name not in {"mysql", "mariadb"}

    def insert(self, connection: sa.Connection, rows: list[list[Any]], *, polite: bool) -> None:
        """Insert rows, in the order of the columns; they stay as they are.

        :param polite: whether requests may wait for the interpreter's lock.
        """
        if not self._knows_character_sets:
            self._conversions += self._narrow_columns(connection)
            self._knows_character_sets = True
        if self._direct:
            self._insert_directly(connection, rows, polite)
        else:
            self._insert_by_core(connection, rows)

    def _insert_by_core(self, connection: sa.Connection, rows: list[list[Any]]) -> None:
        statement = self._insert
        for start in range(0, len(rows), LARGE):
            part = rows[start : start + LARGE]
            values = self._converted(part)
            columns = len(self._keys)
            connection.execute(
                statement,
                [
                    dict(zip(self._keys, values[place : place + columns], strict=True))
                    for place in range(0, len(values), columns)
                ],
            )

    def _insert_directly(
        self, connection: sa.Connection, rows: list[list[Any]], polite: bool
    ) -> None:
        start, wanted = 0, SMALL if polite else self._wanted
        while start < len(rows):
            size = self._size(len(rows) - start, wanted)
            part = rows[start : start + size]
            # Only where rows replace others: once more is no different.
            part += part[-1:] * (size - len(part))
            values = tuple(self._converted(part))
            began = perf_counter()
            connection.exec_driver_sql(self._statement(size), values)
            start += size
            if polite:
                wanted = LARGE if perf_counter() - began > BUSY else SMALL

    def _converted(self, rows: list[list[Any]]) -> list[Any]:
        """Return the values of rows, one row after the other, as the database takes them."""
        values = list(chain.from_iterable(rows))
        columns = len(self._keys)
        for place, convert in self._conversions:
            values[place::columns] = [convert(value) for value in values[place::columns]]
        return values

    def _size(self, left: int, wanted: int) -> int:
        """Return the rows of the next statement."""
        most = min(wanted, self._largest)
        if self._conflict and left <= most:
            # One statement for all, where that does not mean to say most of them twice.
            whole = next(size for size in reversed(_SIZES) if size >= left)
            if whole < 2 * left and whole <= self._largest:
                return whole
        return next(size for size in _SIZES if size <= min(left, most))

    def _statement(self, count: int) -> str:
        """Return an INSERT of this many rows."""
        if count not in self._statements:
            quote = self._dialect.identifier_preparer
            names = ", ".join(quote.quote(name) for name in self._names)
            row = f"({', '.join('?' * len(self._names))})"
            values = ", ".join([row] * count)
            table = quote.format_table(self._table)
            # Names of the host's model, quoted by the dialect; every value is a parameter.
            self._statements[count] = (
                f"INSERT INTO {table} ({names}) VALUES {values}{self._conflict}"  # noqa: S608
            )
        return self._statements[count]

    def _narrow_columns(self, connection: sa.Connection) -> list[tuple[int, Conversion]]:
        """Return the conversion of columns that hold at most three bytes a character."""
        found = connection.execute(
            sa.text(
                "SELECT column_name FROM information_schema.columns "
                "WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table "
                "AND character_set_name IS NOT NULL AND character_set_name <> 'utf8mb4'"
            ),
            {"schema": self._table.schema, "table": self._table.name},
        )
        narrow = set(found.scalars())
        return [(place, _narrowed) for place, name in enumerate(self._names) if name in narrow]


def _insert(dialect: str, table: sa.Table, keys: Sequence[str]) -> sa.Insert:
    """Return an INSERT, of one that replaces rows of the same keys where there are keys."""
    others = [column.name for column in table.columns if column.name not in keys]
    if not keys:
        return table.insert()
    if dialect in {"mysql", "mariadb"}:
        changed = mysql.insert(table)
        return changed.on_duplicate_key_update({n: changed.inserted[n] for n in others})
    replaced = postgresql.insert(table)
    new = {name: replaced.excluded[name] for name in others}
    return replaced.on_conflict_do_update(index_elements=[table.c[n] for n in keys], set_=new)


def _conflict(names: Sequence[str], keys: Sequence[str]) -> str:
    """Return SQLite's clause that replaces rows of the same keys; all are names of ours."""
    new = ", ".join(f'"{name}" = excluded."{name}"' for name in names if name not in keys)
    return f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {new}"


def _needs_core(table: sa.Table, columns: Sequence[sa.Column[Any]]) -> bool:
    """Whether values must pass SQLAlchemy's compiler: defaults in Python, SQL around values."""
    ours = set(columns)
    plain = sa.types.TypeEngine.bind_expression
    return any(c.default is not None for c in table.columns if c not in ours) or any(
        type(c.type).bind_expression not in {plain, sa.types.TypeDecorator.bind_expression}
        for c in columns
    )


def _conversions(
    columns: Sequence[sa.Column[Any]], dialect: sa.Dialect
) -> list[tuple[int, Conversion]]:
    """Return what some hosts' columns need: JSON as values, numbers that fit, no NULL."""
    found: list[tuple[int, Conversion]] = []
    for place, column in enumerate(columns):
        if isinstance(column.type, sa.JSON):
            found.append((place, _loaded))
        bits = _bits(column)
        if bits and dialect.name != "sqlite":  # its integers have 64
            found.append((place, _within(bits)))
        # The date is always there.
        if not column.nullable and not isinstance(column.type, sa.DateTime):
            found.append((place, _never_null(_empty(column.type))))
    return found


def _binders(
    columns: Sequence[sa.Column[Any]], dialect: sa.Dialect
) -> list[tuple[int, Conversion]]:
    """Return what SQLAlchemy does to values on their way; SQLite takes numbers as they are."""
    found: list[tuple[int, Conversion]] = []
    for place, column in enumerate(columns):
        binder = column.type.dialect_impl(dialect).bind_processor(dialect)
        if binder is None or isinstance(column.type, sa.Boolean | sa.Float):
            continue
        found.append((place, _iso if _writes_iso(column.type, binder) else binder))
    return found


def _writes_iso(type_: sa.types.TypeEngine[Any], binder: Conversion) -> bool:
    """Whether a binder does the same as :func:`_iso`, in a third of the speed."""
    moments = (datetime(2001, 2, 3, 4, 5, 6, 7), datetime(1999, 12, 31))
    return isinstance(type_, sa.DateTime) and all(binder(m) == _iso(m) for m in moments)


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(" ", "microseconds")


def _bits(column: sa.Column[Any]) -> int:
    """Return the bits of a column whose numbers may exceed them, else 0."""
    if column.name in _SMALL_NUMBERS:
        return 0
    bits = next((bits for kind, bits in _BITS if isinstance(column.type, kind)), 0)
    return bits + 1 if bits and getattr(column.type, "unsigned", False) else bits


def _within(bits: int) -> Conversion:
    """Return what makes NULL of numbers that have more bits; no number is better than another."""
    largest = 1 << bits - 1

    def convert(value: Any) -> Any:
        return value if value is None or -largest <= value < largest else None

    return convert


def _loaded(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _narrowed(value: Any) -> Any:
    return basic_plane(value) if isinstance(value, str) else value


def _never_null(empty: Any) -> Conversion:
    return lambda value: empty if value is None else value


def _empty(type_: sa.types.TypeEngine[Any]) -> Any:
    if isinstance(type_, sa.Boolean):
        return False
    return 0 if isinstance(type_, sa.Integer | sa.Numeric | sa.Float) else ""


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
