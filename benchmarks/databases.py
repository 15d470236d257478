"""Hosts with millions of rows: on SQLite, PostgreSQL and MariaDB, without waiting for a recorder.

Where PostgreSQL and MariaDB are, the environment says: ``BENCHMARK_POSTGRESQL`` and
``BENCHMARK_MARIADB`` are SQLAlchemy URLs of databases that may be emptied. Without one of them
its figures are left out.
"""

from __future__ import annotations

import io
import os
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_statistics import RequestMixin, Statistics
from flask_statistics.tables import Tables, declare_tables

URLS = {
    name: os.environ[variable]
    for name, variable in (("PostgreSQL", "BENCHMARK_POSTGRESQL"), ("MariaDB", "BENCHMARK_MARIADB"))
    if variable in os.environ
}
#: A day's requests and visits, as :class:`~benchmarks.generating.Traffic` makes them.
Day = tuple[pa.Table, pa.Table]


class Database:
    """A host's app on one database.

    :ivar Request: its model, with every column.
    """

    def __init__(self, url: str, **settings: Any) -> None:
        self.app = Flask("shop")
        self.app.config.update(settings, SQLALCHEMY_DATABASE_URI=url)
        self.db = SQLAlchemy(self.app)
        self.Request: Any = type("Request", (RequestMixin, self.db.Model), {})
        self.tables: Tables = declare_tables(self.db.metadata)
        with self.app.app_context():
            self.engine = self.db.engine

    def record(self) -> None:
        """Give the app our extension, as far as the benchmarks ask it."""
        Statistics(self.app, self.db, self.Request)

    @property
    def state(self) -> Any:
        """What the extension keeps of the app."""
        return self.app.extensions["statistics"]

    def fill(self, days: Iterable[Day]) -> None:
        """Make the tables anew and store these days, with their visits."""
        self.db.metadata.drop_all(self.engine)
        self.db.metadata.create_all(self.engine)
        load = _LOADERS[self.engine.dialect.name]
        for requests, visits in days:
            with self.engine.begin() as connection:
                load(connection, "request", requests)
                load(connection, "statistics_visit", visits)
        with self.engine.begin() as connection:
            complete = {"name": "visits", "value": "complete"}
            connection.execute(self.tables.state.insert().values(complete))
        self._analyze()

    def _analyze(self) -> None:
        statement = {"sqlite": "ANALYZE", "postgresql": "VACUUM ANALYZE"}.get(
            self.engine.dialect.name, "ANALYZE TABLE request, statistics_visit"
        )
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(statement)


def sqlite_file(path: Path, **settings: Any) -> Database:
    """Return the host on a SQLite file, with a write-ahead log."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    return Database(f"sqlite:///{path}", **settings)


def _load_sqlite(connection: sa.Connection, table: str, rows: pa.Table) -> None:
    columns = [_as_list(rows[name].combine_chunks()) for name in rows.column_names]
    marks = ", ".join("?" * len(columns))
    names = ", ".join(f'"{name}"' for name in rows.column_names)
    driver: Any = connection.connection.driver_connection
    driver.executemany(
        f"INSERT INTO {table} ({names}) VALUES ({marks})", zip(*columns, strict=True)
    )


def _as_list(column: pa.Array) -> list[Any]:
    """Return a column's values as SQLite has them."""
    if pa.types.is_timestamp(column.type):
        column = pa.compute.strftime(column, format="%Y-%m-%d %H:%M:%S")
    if not pa.types.is_dictionary(column.type):
        return list(column.to_pylist())
    # Many times as fast as a look-up for each row.
    values = np.array([*column.dictionary.to_pylist(), None], dtype=object)
    none = len(values) - 1
    return list(values[column.indices.fill_null(none).to_numpy()])


def _load_postgresql(connection: sa.Connection, table: str, rows: pa.Table) -> None:
    names = ", ".join(f'"{name}"' for name in rows.column_names)
    driver: Any = connection.connection.driver_connection
    with driver.cursor().copy(f"COPY {table} ({names}) FROM STDIN (FORMAT csv)") as copying:
        copying.write(_as_csv(rows))


def _load_mariadb(connection: sa.Connection, table: str, rows: pa.Table) -> None:
    from tempfile import NamedTemporaryFile

    fields, values = [], []
    for name in rows.column_names:
        null = rows[name].null_count
        fields.append(f"@{name}" if null else f"`{name}`")
        values += [f"`{name}` = NULLIF(@{name}, '')"] if null else []
        if pa.types.is_boolean(rows[name].type):
            place = rows.schema.get_field_index(name)
            rows = rows.set_column(place, name, rows[name].cast(pa.int8()))
    with NamedTemporaryFile(suffix=".csv") as file:
        file.write(_as_csv(rows))
        file.flush()
        connection.exec_driver_sql(
            f"LOAD DATA LOCAL INFILE '{file.name}' INTO TABLE {table} CHARACTER SET utf8mb4 "
            "FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"' ESCAPED BY '\"' "
            f"({', '.join(fields)})" + (f" SET {', '.join(values)}" if values else "")
        )


def _as_csv(rows: pa.Table) -> bytes:
    """Return lines; texts are quoted, so that nothing is not an empty text."""
    plain = rows.cast(
        pa.schema([
            pa.field(field.name, pa.string() if pa.types.is_dictionary(field.type) else field.type)
            for field in rows.schema
        ])
    )  # fmt: skip
    written = io.BytesIO()
    pyarrow.csv.write_csv(plain, written, pyarrow.csv.WriteOptions(include_header=False))
    return written.getvalue()


_LOADERS: dict[str, Callable[[sa.Connection, str, pa.Table], None]] = {
    "sqlite": _load_sqlite,
    "postgresql": _load_postgresql,
    "mysql": _load_mariadb,
    "mariadb": _load_mariadb,
}
