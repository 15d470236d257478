"""Temporary tables of counted rows, as each database makes them fastest.

SQLite sorts all rows for a GROUP BY; where there are few groups, a table in which each row finds
its own by a key takes half as long. All others group.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from ..recording.connections import is_shared_memory
from .metrics import Expression

#: ER_DBACCESS_DENIED_ERROR, ER_TABLEACCESS_DENIED_ERROR, ER_SPECIFIC_ACCESS_DENIED_ERROR,
#: ER_OPTION_PREVENTS_STATEMENT, ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION, ER_READ_ONLY_MODE
_REFUSALS = frozenset({1044, 1142, 1227, 1290, 1792, 1836})
_PERMITTED = """SELECT has_database_privilege(current_database(), 'TEMPORARY')
AND NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'"""
#: Enough for the groups of a million rows not to be written to disk, for this transaction.
_MEMORY = "SELECT set_config('work_mem', '64MB', true), set_config('jit', 'off', true)"
#: Where a connection remembers what SQLite's cache of temporary tables was before: 2 MB, of which
#: half the cells of a million rows would be written to disk again and again; 64 MB meanwhile.
_CACHE = "statistics_temp_cache"
_MYSQL = frozenset({"mysql", "mariadb"})
_SORTING = "SELECT current_setting('enable_sort')"
_SET_SORTING = "SELECT set_config('enable_sort', %s, true)"


class _CreateAs(sa.Executable, sa.ClauseElement):
    inherit_cache = False

    def __init__(self, table: str, of: sa.Select[Any]) -> None:
        self.table = table
        self.of = of


@compiles(_CreateAs)
def _create_as(element: _CreateAs, compiler: SQLCompiler, **options: Any) -> str:
    return f"CREATE TEMPORARY TABLE {element.table} AS {compiler.process(element.of, **options)}"


class _Upsert(sa.Executable, sa.ClauseElement):
    inherit_cache = False

    def __init__(self, table: str, of: sa.Select[Any], keys: int, parts: Sequence[str]) -> None:
        self.table = table
        self.of = of
        self.keys = keys
        self.parts = parts


@compiles(_Upsert, "sqlite")
def _upsert(element: _Upsert, compiler: SQLCompiler, **options: Any) -> str:
    merged = []
    for number, how in enumerate(element.parts):
        old, new = f"part_{number}", f"excluded.part_{number}"
        both = f"{how}({old}, {new})" if how in {"max", "min"} else f"{old} + {new}"
        # Nothing and something is something.
        sure = both if how == "count" else f"ifnull({both}, ifnull({old}, {new}))"
        merged.append(f"{old} = {sure}")
    of = compiler.process(element.of, **options)
    conflict = f"SET {', '.join(merged)}" if merged else "NOTHING"
    return (
        f"INSERT INTO temp.{element.table} {of} WHERE true "
        f"ON CONFLICT DO {'UPDATE ' if merged else ''}{conflict}"
    )


def make_table(connection: sa.Connection, table: str, of: sa.Select[Any]) -> None:
    """Make a temporary table of what a statement selects, where the database does that well."""
    connection.execute(_CreateAs(table, of))


def permitted(connection: sa.Connection) -> bool:
    """Return whether the database lets us make temporary tables; prepare it for that."""
    if is_shared_memory(connection.engine):
        return False  # a transaction of ours would be the host's
    if connection.dialect.name != "postgresql":
        return True
    if not connection.exec_driver_sql(_PERMITTED).scalar_one():
        return False
    connection.exec_driver_sql(_MEMORY)
    return True


def is_refused(error: sa.exc.DBAPIError) -> bool:
    """Return whether the database makes no temporary tables for us."""
    codes = getattr(error.orig, "args", ())[:1]
    return not _REFUSALS.isdisjoint(codes) or "readonly database" in str(error.orig)


def tally(
    connection: sa.Connection, rows: sa.FromClause, keys: Sequence[Expression]
) -> list[tuple[Any, ...]]:
    """Return each combination of keys among rows, and how often it is there."""
    if connection.dialect.name != "sqlite" or not permitted(connection):
        by_keys = sa.select(*keys, sa.func.count()).select_from(rows).group_by(*keys)
        return [tuple(row) for row in connection.execute(by_keys)]
    table = "statistics_tally"
    try:
        _create_by_key(connection, table, rows, keys, [sa.func.count()])
        stored = [_counted_by_key(number, key) for number, key in enumerate(keys)]
        cells = sa.select(*stored, sa.column("part_0")).select_from(sa.table(table))
        return [tuple(row) for row in connection.execute(cells)]
    finally:
        drop(connection, [table])


def create(
    connection: sa.Connection,
    table: str,
    rows: sa.FromClause,
    keys: Sequence[Expression],
    parts: Sequence[Expression],
) -> None:
    """Make a temporary table of rows: ``key_0`` and so on, ``part_0`` and so on of each.

    :param keys: what the rows are counted by; the one with the most values last.
    :param parts: aggregates: count, sum, max or min, without DISTINCT.
    """
    named = [key.label(f"key_{number}") for number, key in enumerate(keys)]
    named += [part.label(f"part_{number}") for number, part in enumerate(parts)]
    # The last key first: where rows are sorted, it tells most of them apart.
    grouped = sa.select(*named).select_from(rows).group_by(*keys[::-1])
    for dialect in _MYSQL:  # sorted it is quicker than in temporary tables of the longest texts
        grouped = grouped.prefix_with("SQL_BIG_RESULT", dialect=dialect)
    made = _CreateAs(table, grouped)
    if connection.dialect.name == "sqlite":
        with _beside(connection):
            connection.execute(made)
    elif connection.dialect.name == "postgresql":
        # It holds the keys for independent, expects a group a row, and would sort them.
        before = connection.exec_driver_sql(_SORTING).scalar_one()
        connection.exec_driver_sql(_SET_SORTING, ("off",))
        connection.execute(made)
        connection.exec_driver_sql(_SET_SORTING, (before,))
    else:
        connection.execute(made)


@contextmanager
def _beside(connection: sa.Connection) -> Iterator[None]:
    """Make a temporary table on SQLite, in a transaction of no more than that."""
    if _CACHE not in connection.info:
        connection.info[_CACHE] = connection.exec_driver_sql("PRAGMA temp.cache_size").scalar_one()
        connection.exec_driver_sql("PRAGMA temp.cache_size = -64000")
    driver: Any = connection.connection.driver_connection
    holds_snapshot = driver.in_transaction
    yield
    if not holds_snapshot:
        driver.commit()  # else the host could not write until the last answer is there


def _create_by_key(
    connection: sa.Connection,
    table: str,
    rows: sa.FromClause,
    keys: Sequence[Expression],
    parts: Sequence[Expression],
) -> None:
    """Do the same on SQLite where there are few combinations: each row finds its own by a key."""
    names = [f"key_{number}" for number in range(len(keys))]
    columns = [f"{name} NOT NULL" for name in names]
    columns += [f"part_{number}" for number in range(len(parts))]
    # Keys find each other only where they are not NULL; no column of ours has an empty blob.
    values: list[Expression] = [sa.func.ifnull(key, sa.literal_column("x''")) for key in keys]
    values += [_of_one_row(part) for part in parts]
    hows = [str(getattr(part, "name", "")) for part in parts]
    with _beside(connection):
        connection.exec_driver_sql(
            f"CREATE TEMP TABLE {table} ({', '.join(columns)}, "
            f"PRIMARY KEY ({', '.join(names[::-1])})) WITHOUT ROWID"
        )
        connection.execute(_Upsert(table, sa.select(*values).select_from(rows), len(keys), hows))


def _of_one_row(part: Any) -> Expression:
    """Return what an aggregate is of a single row."""
    clause = next(iter(part.clauses))
    if part.name != "count":
        return sa.type_coerce(clause, part.type)
    if str(clause) == "*":
        return sa.literal_column("1")
    return sa.case((clause.is_not(None), sa.literal_column("1")), else_=sa.literal_column("0"))


def _counted_by_key(number: int, key: Expression) -> Expression:
    return sa.func.nullif(sa.column(f"key_{number}"), sa.literal_column("x''"), type_=key.type)


def drop(connection: sa.Connection, tables: Sequence[str]) -> None:
    """Remove what was made: where the end of the transaction does not do it, and quietly.

    Past the deadline of an answer, too; a connection that is lost has lost its tables.
    """
    name = connection.dialect.name
    if name == "postgresql" or not tables or connection.invalidated:
        return
    driver: Any = connection.connection.driver_connection
    kind = "TEMPORARY TABLE" if name in _MYSQL else "TABLE"
    statements = [f"DROP {kind} IF EXISTS {table}" for table in tables]
    if _CACHE in connection.info:
        statements.append(f"PRAGMA temp.cache_size = {connection.info.pop(_CACHE)}")
    try:
        _run(driver, statements)
    except connection.dialect.loaded_dbapi.Error:
        if name != "sqlite":  # the connection is lost, and with it the tables
            connection.invalidate()
            return
        driver.set_progress_handler(None, 0)  # of a deadline that has passed
        _run(driver, statements)


def _run(driver: Any, statements: Sequence[str]) -> None:
    cursor = driver.cursor()
    for statement in statements:
        cursor.execute(statement)
    cursor.close()
