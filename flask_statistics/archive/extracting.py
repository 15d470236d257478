"""Rows of a span of time from the host's database, as Arrow, in bounded memory."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from time import sleep
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from ..model import Model
from ..tables import Tables
from .gathering import Gatherer
from .manifest import Kind
from .schema import arrow, arrow_types, event_kinds, kinds, selected, selected_of_events

if TYPE_CHECKING:
    import pyarrow as pa

#: Rows that are fetched between two turns of other threads.
_BATCH = 500
_BLOCK = 1 << 20
#: Texts of which most occur once.
PLAIN = ("request_id",)
# SQLite compares texts: without a fraction, the boundary also suits rows stored without one.
_WHOLE_SECONDS = sqlite.DATETIME(truncate_microseconds=True)  # type: ignore[no-untyped-call]
BOUNDARY = sa.DateTime().with_variant(_WHOLE_SECONDS, "sqlite")

Columns = Mapping[str, sa.ColumnElement[Any]]


class Extractor:
    """Reads requests and events of spans of time.

    :param connection: to the host's database; what is read belongs to its transaction.
    """

    def __init__(self, connection: sa.Connection, model: Model, tables: Tables) -> None:
        self._connection = connection
        self._model = model
        self._tables = tables

    def requests(self, begin: datetime, end: datetime) -> pa.Table:
        """Return the requests of a half-open span of whole seconds, in no order.

        :raises ArchiveError: where a value cannot be kept as it is.
        """
        columns = kinds(self._model)
        date = self._model.columns["date"]
        statement = _select(selected(self._model), date, begin, end)
        gatherer = Gatherer(columns, PLAIN)
        if _copies(self._connection):
            self._copy(statement, columns, gatherer)
        else:
            self._fetch(statement, gatherer)
        return gatherer.table()

    def events(self, begin: datetime, end: datetime) -> pa.Table:
        """Return the events of a half-open span of whole seconds, in no order."""
        date = self._tables.event.c.date
        statement = _select(selected_of_events(self._tables), date, begin, end)
        gatherer = Gatherer(event_kinds(self._tables), PLAIN)
        self._fetch(statement, gatherer)
        return gatherer.table()

    def _fetch(self, statement: sa.Select[Any], gatherer: Gatherer) -> None:
        options = {"stream_results": True}
        with self._connection.execute(statement, execution_options=options) as result:
            # SQLAlchemy has taken the first row from the cursor; the others come as they are.
            rows: list[Any] = [tuple(row) for row in result.fetchmany(1)]
            cursor: Any = result.cursor
            while rows:
                gatherer.add_rows(rows)
                sleep(0)
                rows = cursor.fetchmany(_BATCH)

    def _copy(
        self, statement: sa.Select[Any], columns: Mapping[str, Kind], gatherer: Gatherer
    ) -> None:
        self._connection.execute(sa.text("SET LOCAL datestyle = 'ISO'"))
        with _copying(self._connection, statement) as stream:
            if not stream.peek(1):  # PyArrow refuses to read nothing
                return
            with _read_csv(stream, columns) as reader:
                for batch in reader:
                    gatherer.add(batch)


def _select(
    columns: Columns, date: sa.ColumnElement[Any], begin: datetime, end: datetime
) -> sa.Select[Any]:
    conditions = [date < sa.literal(end, BOUNDARY)]
    if begin > datetime.min:
        conditions.append(date >= sa.literal(begin, BOUNDARY))
    return sa.select(*(column.label(name) for name, column in columns.items())).where(*conditions)


# ---- PostgreSQL's COPY ----------------------------------------------------------------------


def _copies(connection: sa.Connection) -> bool:
    return (connection.dialect.name, connection.dialect.driver) == ("postgresql", "psycopg")


@contextmanager
def _copying(connection: sa.Connection, statement: sa.Select[Any]) -> Iterator[io.BufferedReader]:
    """Give the rows of a statement as the CSV that COPY writes."""
    compiled = statement.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})
    # Without parameters psycopg takes a statement as it is; SQLAlchemy doubled its percent signs.
    query = str(compiled).replace("%%", "%")
    with (
        connection.connection.cursor() as cursor,  # type: ignore[attr-defined]
        cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT csv)") as blocks,
    ):
        yield io.BufferedReader(_Blocks(blocks), _BLOCK)


class _Blocks(io.RawIOBase):
    """Blocks of bytes as a stream."""

    def __init__(self, blocks: Any) -> None:
        self._blocks = iter(blocks)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size, parts, wanted = 0, [self._rest], len(buffer)
        size = len(self._rest)
        while size < wanted and (block := next(self._blocks, None)) is not None:
            parts.append(block)
            size += len(block)
        content = b"".join(parts)
        taken, self._rest = content[:wanted], content[wanted:]
        buffer[: len(taken)] = taken
        return len(taken)


def _read_csv(stream: io.BufferedReader, columns: Mapping[str, Kind]) -> Any:
    """Return the batches of a CSV in which an empty text is quoted and NULL is nothing."""
    pa = arrow()
    from pyarrow import csv

    types = arrow_types(columns)
    repeated = pa.dictionary(pa.int32(), pa.string())
    texts = [name for name, kind in columns.items() if kind == "text" and name not in PLAIN]
    return csv.open_csv(
        stream,
        csv.ReadOptions(column_names=list(columns), block_size=_BLOCK),
        csv.ParseOptions(newlines_in_values=True),
        csv.ConvertOptions(
            column_types={**types, **dict.fromkeys(texts, repeated)},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )
