"""DuckDB: a dialect of SQLAlchemy for SELECT statements, and what it says its own way.

A small dialect of ours, since the package ``duckdb_engine`` was not found fit: it turns off
SQLAlchemy's cache of compiled statements, reads DuckDB as if it were psycopg2, gives one
connection's cursors to all, and its last release knows neither DuckDB 2 nor SQLAlchemy 2.1.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from types import ModuleType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import GenericTypeCompiler, SQLCompiler

from ..errors import MissingExtraError
from .constructs import (
    PERCENTAGES,
    _arguments,
    _Start,
    as_stored,
    nearest_rank,
    seconds_between,
    shifted,
)
from .properties import text_of_property

#: The scheme of URLs; a host may have another dialect that is called ``duckdb``.
URL = "duckdb+flask_statistics"


def import_duckdb() -> ModuleType:
    """Return the package ``duckdb``.

    :raises MissingExtraError: where it is not installed.
    """
    try:
        import duckdb
    except ImportError as error:
        raise MissingExtraError(
            "The columnar archive needs DuckDB: pip install 'flask-statistics[columnar]'"
        ) from error
    return duckdb


class Cursor:
    """A cursor as the DB-API has it, over a DuckDB connection.

    DuckDB's own cursors are connections that do not see each other's views and temporary
    tables, and hold one result at a time; this one keeps its rows.
    """

    arraysize = 1
    rowcount = -1
    lastrowid = None

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.description: list[tuple[Any, ...]] | None = None
        self._rows: list[tuple[Any, ...]] = []

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        self._connection.prepare(statement)
        result = self._connection.duckdb.execute(statement, list(parameters))
        # Types of DuckDB's have no hash, which SQLAlchemy would look for.
        self.description = [(name, *[None] * 6) for name, *_ in result.description or ()]
        self._rows = result.fetchall()[::-1] if self.description else []

    def executemany(self, statement: str, parameters: Sequence[Sequence[Any]]) -> None:
        self._connection.duckdb.executemany(statement, [list(row) for row in parameters])

    def fetchone(self) -> tuple[Any, ...] | None:
        return self._rows.pop() if self._rows else None

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        count = min(self.arraysize if size is None else size, len(self._rows))
        return [self._rows.pop() for _ in range(count)]

    def fetchall(self) -> list[tuple[Any, ...]]:
        rows, self._rows = self._rows[::-1], []
        return rows

    def close(self) -> None:
        self._rows = []


class Connection:
    """A DuckDB connection as the DB-API has it; it neither begins nor ends transactions.

    :ivar duckdb: DuckDB's own.
    :ivar prepared: what makes a view, by the view's name, which occurs nowhere else; called once,
        before the first statement that names it.
    """

    def __init__(self, connection: Any) -> None:
        self.duckdb = connection
        self.prepared: dict[str, Callable[[], None]] = {}

    def cursor(self) -> Cursor:
        return Cursor(self)

    def prepare(self, statement: str) -> None:
        """Make the views that a statement names and that are not there yet."""
        for name in [name for name in self.prepared if name in statement]:
            self.prepared.pop(name)()

    def commit(self) -> None:
        """Do nothing: each statement is its own transaction."""

    rollback = commit

    def close(self) -> None:
        self.duckdb.close()


@contextmanager
def interrupted_after(connection: sa.Connection, left: Callable[[], float]) -> Iterator[None]:
    """Interrupt whatever statement runs on a connection once no time is left.

    :param left: returns the seconds that are left.
    """
    driver: Any = connection.connection.driver_connection
    ended = Event()

    def watch() -> None:
        # Again and again: between two statements there is nothing to interrupt.
        while not ended.wait(max(left(), 0.05)):
            if not left():
                driver.duckdb.interrupt()

    watching = Thread(target=watch, name="flask-statistics-deadline", daemon=True)
    watching.start()
    try:
        yield
    finally:
        ended.set()
        watching.join()


class _TypeCompiler(GenericTypeCompiler):
    def visit_JSON(self, type_: sa.JSON, **options: Any) -> str:  # noqa: N802
        return "JSON"


class DuckDBDialect(DefaultDialect):
    """What SQLAlchemy needs to know of DuckDB; :data:`URL` stands for it in URLs."""

    name = "duckdb"
    driver = "duckdb"
    default_paramstyle = "qmark"
    supports_statement_cache = True
    supports_native_boolean = True
    div_is_floordiv = False
    max_identifier_length = 255
    type_compiler_cls = _TypeCompiler
    # SQLAlchemy 2.0 asks for them and takes Python's own.
    _json_serializer = _json_deserializer = None

    @classmethod
    def import_dbapi(cls) -> ModuleType:
        return import_duckdb()

    def create_connect_args(self, url: sa.URL) -> tuple[list[str], dict[str, Any]]:
        """Return the file of the database; without one it lies in memory."""
        return [url.database or ":memory:"], {}

    def connect(self, *arguments: Any, **options: Any) -> Any:
        return Connection(super().connect(*arguments, **options))

    def initialize(self, connection: sa.Connection) -> None:
        """Ask DuckDB nothing: all that there is to know stands above."""

    def has_table(
        self, connection: sa.Connection, table_name: str, schema: str | None = None, **options: Any
    ) -> bool:
        """Whether there is a table, so that tables can be made and dropped, as tests do."""
        asked = sa.text("SELECT count(*) FROM duckdb_tables() WHERE table_name = :name")
        return bool(connection.execute(asked, {"name": table_name}).scalar_one())

    def do_rollback(self, dbapi_connection: Any) -> None:
        """Do nothing: there is no transaction."""


sa.dialects.registry.register(URL.replace("+", "."), __name__, DuckDBDialect.__name__)


@compiles(seconds_between, "duckdb")
def _seconds(element: seconds_between, compiler: SQLCompiler, **options: Any) -> str:
    earlier, later = _arguments(element, compiler, options)
    return f"((epoch_us({later}) - epoch_us({earlier})) / 1e6)"


@compiles(nearest_rank, "duckdb")
def _nearest_rank(element: nearest_rank, compiler: SQLCompiler, **options: Any) -> str:
    # With decimals DuckDB's discrete quantile is the nearest rank; as one list, they are computed
    # at once, however many are asked for.
    value, percent = _arguments(element, compiler, options)
    shares = ", ".join(f"{percentage / 100:.2f}" for percentage in PERCENTAGES)
    return f"(quantile_disc({value}, [{shares}])[{PERCENTAGES.index(int(percent)) + 1}])"


@compiles(shifted, "duckdb")
def _shifted(element: shifted, compiler: SQLCompiler, **options: Any) -> str:
    moment, seconds = _arguments(element, compiler, options)
    return f"make_timestamp(epoch_us({moment}) + CAST({seconds} AS BIGINT) * 1000000)"


@compiles(_Start, "duckdb")
def _start(element: _Start, compiler: SQLCompiler, **options: Any) -> str:
    (moment,) = _arguments(element, compiler, options)
    if element.unit == "week-sunday":
        return f"(date_trunc('week', {moment} + INTERVAL 1 DAY) - INTERVAL 1 DAY)"
    return f"date_trunc('{element.unit}', {moment})"


class StoredJson(sa.types.TypeDecorator[Any]):
    """The texts of a host's column of JSON, given as the values that they stand for."""

    impl = sa.String
    cache_ok = True

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Any:
        return None if value is None else json.loads(value)


class WholeSeconds(sa.DateTime):
    """Moments of which the host's database keeps no fraction of a second."""


@compiles(as_stored, "duckdb")
def _as_stored(element: as_stored, compiler: SQLCompiler, **options: Any) -> str:
    moment, column = element.clauses
    text = compiler.process(moment, **options)
    return f"date_trunc('second', {text})" if isinstance(column.type, WholeSeconds) else text


@compiles(text_of_property, "duckdb")
def _property(element: text_of_property, compiler: SQLCompiler, **options: Any) -> str:
    document, name, path = _arguments(element, compiler, options)
    value = f"json_extract({document}, {path})"
    # DuckDB writes numbers its own way; the document's is taken where it is the same number.
    found = (
        rf"""regexp_extract({document}, '"' || regexp_escape({name}) || """
        r"""'"\s*:\s*(-?[0-9.]+(?:[eE][-+]?[0-9]+)?)', 1)"""
    )
    same = f"TRY_CAST({found} AS DOUBLE) = TRY_CAST({value} AS DOUBLE)"
    return (
        f"(CASE WHEN json_valid({document}) THEN CASE json_type({document}, {path})"
        f" WHEN 'VARCHAR' THEN CASE WHEN NOT contains(CAST({value} AS VARCHAR), '\\u0000')"
        f" THEN json_extract_string({document}, {path}) END"
        f" WHEN 'BOOLEAN' THEN CAST({value} AS VARCHAR)"
        f" WHEN 'NULL' THEN NULL WHEN 'ARRAY' THEN NULL WHEN 'OBJECT' THEN NULL"
        f" ELSE CASE WHEN {same} THEN {found} ELSE CAST({value} AS VARCHAR) END END END)"
    )
