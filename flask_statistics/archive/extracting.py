"""Rows of a span of time from the host's database, as Arrow, in bounded memory.

Of most databases the driver's cursor gives rows, of which each value becomes an object of
Python's. SQLite and PostgreSQL are quicker asked for lines of text, which Arrow parses.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import islice
from time import sleep
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from ..errors import ArchiveError
from ..model import Model
from ..tables import Tables
from .gathering import Gatherer
from .manifest import Kind
from .schema import arrow, arrow_types, event_kinds, kinds, selected, selected_of_events

if TYPE_CHECKING:
    import pyarrow as pa

#: Rows that are fetched between two turns of other threads.
_BATCH = 500
#: Bytes of lines that are parsed at once, at least: fewer cost more calls, more miss the caches.
_BLOCK = 1 << 20
#: Texts of which most occur once.
PLAIN = ("request_id",)
# The names of what stands beside the brackets of an array.
_OPENS, _CLOSES = "[", "]"
_MAYBE_CONTROL, _ESCAPED = re.compile(rb"\\[bfnrtu]"), re.compile(rb"\\.")
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
        columns = selected(self._model)
        where = _within(self._model.columns["date"], begin, end)
        dialect = self._connection.dialect
        if (dialect.name, dialect.driver) == ("postgresql", "psycopg"):
            return self._copied(columns, kinds(self._model), where)
        if dialect.name == "sqlite":
            driver: Any = dialect.dbapi
            # SQLite was built without JSON, a text is no UTF-8, a value is a blob or infinite, or
            # there are more columns than a function's arguments. Any other error rows meet, too.
            with suppress(driver.OperationalError, sa.exc.OperationalError, json.JSONDecodeError):
                return self._from_json(columns, kinds(self._model), where)
        return self._fetched(columns, kinds(self._model), where)

    def events(self, begin: datetime, end: datetime) -> pa.Table:
        """Return the events of a half-open span of whole seconds, in no order."""
        where = _within(self._tables.event.c.date, begin, end)
        return self._fetched(selected_of_events(self._tables), event_kinds(self._tables), where)

    def _fetched(
        self, columns: Columns, kinds: Mapping[str, Kind], where: Sequence[sa.ColumnElement[bool]]
    ) -> pa.Table:
        gatherer = Gatherer(kinds, PLAIN)
        for rows in self._batches(_select(columns).where(*where)):
            gatherer.add_rows(rows)
        return gatherer.table()

    def _from_json(
        self, columns: Columns, kinds: Mapping[str, Kind], where: Sequence[sa.ColumnElement[bool]]
    ) -> pa.Table:
        """Return rows of which SQLite makes lines of JSON, but for floats, which it rounds."""
        gatherer, lines = Gatherer(kinds, PLAIN), _JsonLines(kinds)
        texts = sa.func.json_array(*lines.values(columns))
        exact = [columns[name] for name in lines.floats]
        waiting: list[Any] = []
        size = 0
        for rows in self._batches(sa.select(texts, *exact).where(*where)):
            waiting += rows
            size += sum(len(row[0]) for row in rows)
            if size >= _BLOCK:
                gatherer.add_columns(lines.parsed(waiting))
                waiting, size = [], 0
        if waiting:
            gatherer.add_columns(lines.parsed(waiting))
        return gatherer.table()

    def _batches(self, statement: sa.Select[Any]) -> Iterator[list[Any]]:
        """Give rows as the driver has them, some at a time."""
        options = {"stream_results": True}
        with self._connection.execute(statement, execution_options=options) as result:
            # SQLAlchemy has taken the first row from the cursor; the others come as they are.
            rows: list[Any] = [tuple(row) for row in result.fetchmany(1)]
            cursor: Any = result.cursor
            while rows:
                yield rows
                sleep(0)
                rows = cursor.fetchmany(_BATCH)

    def _copied(
        self, columns: Columns, kinds: Mapping[str, Kind], where: Sequence[sa.ColumnElement[bool]]
    ) -> pa.Table:
        """Return rows of which PostgreSQL makes lines of CSV: an empty text is quoted."""
        gatherer = Gatherer(kinds, PLAIN)
        self._connection.execute(sa.text("SET LOCAL datestyle = 'ISO'"))
        csv = _Csv(kinds, list(kinds), null="", true="t", false="f", newlines_in_values=True)
        with _copying(self._connection, _select(columns).where(*where)) as blocks:
            for block in blocks:
                try:
                    gatherer.add(csv.parsed(block))
                except arrow().ArrowInvalid as error:
                    raise ArchiveError(f"A value cannot be archived: {error}") from None
        return gatherer.table()


def _select(columns: Columns) -> sa.Select[Any]:
    return sa.select(*(column.label(name) for name, column in columns.items()))


def _within(
    date: sa.ColumnElement[Any], begin: datetime, end: datetime
) -> list[sa.ColumnElement[bool]]:
    conditions = [date < sa.literal(end, BOUNDARY)]
    if begin > datetime.min:
        conditions.append(date >= sa.literal(begin, BOUNDARY))
    return conditions


@contextmanager
def _copying(connection: sa.Connection, statement: sa.Select[Any]) -> Iterator[Iterator[bytes]]:
    """Give the rows of a statement as blocks of whole lines."""
    compiled = statement.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})
    # Without parameters psycopg takes a statement as it is; SQLAlchemy doubled its percent signs.
    query = str(compiled).replace("%%", "%")
    with (
        connection.connection.cursor() as cursor,  # type: ignore[attr-defined]
        cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT csv)") as lines,
    ):
        yield _blocks(iter(lines))


def _blocks(lines: Iterator[bytes]) -> Iterator[bytes]:
    waiting, size = [], 0
    while some := b"".join(islice(lines, _BATCH)):
        waiting.append(some)
        size += len(some)
        if size >= _BLOCK:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


class _Csv:
    """Parses lines in which texts are quoted and NULL is not.

    :param columns: all that are wanted, in their order, and their kinds.
    :param names: those of the lines; others are not parsed.
    """

    def __init__(
        self, columns: Mapping[str, Kind], names: Sequence[str], *, null: str, true: str,
        false: str, **parsing: Any,
    ) -> None:  # fmt: skip
        self._pa = arrow()
        from pyarrow import csv

        self._read, self._options, self._names = csv.read_csv, csv.ReadOptions, list(names)
        self._parsing = csv.ParseOptions(**parsing)
        types = {name: type_ for name, type_ in arrow_types(columns).items() if name in names}
        self._converting = csv.ConvertOptions(
            column_types=types, include_columns=list(types), null_values=[null],
            strings_can_be_null=True, quoted_strings_can_be_null=False,
            true_values=[true], false_values=[false],
        )  # fmt: skip

    def parsed(self, lines: bytes) -> pa.Table:
        """Return the rows of lines.

        :raises ArrowInvalid: where a value is none of its column's kind.
        """
        # One block: a line that is longer than one would be refused.
        size = len(lines) + 1
        options = self._options(column_names=self._names, block_size=size, use_threads=False)
        return self._read(self._pa.BufferReader(lines), options, self._parsing, self._converting)


class _JsonLines:
    """Parses rows of a JSON array each, with floats beside it.

    :ivar floats: the columns that are beside it, in this order.
    """

    def __init__(self, columns: Mapping[str, Kind]) -> None:
        self._names = [name for name, kind in columns.items() if kind != "float"]
        self.floats = [name for name, kind in columns.items() if kind == "float"]
        # But for control characters, an array of JSON is a line of CSV between brackets.
        self._csv = _Csv(
            columns, [_OPENS, *self._names, _CLOSES], null="null", true="1", false="0",
            escape_char="\\", double_quote=False,
        )  # fmt: skip

    def values(self, columns: Columns) -> list[sa.ColumnElement[Any]]:
        """Return the elements of the array, those beside the brackets of no meaning."""
        nothing: sa.ColumnElement[Any] = sa.literal_column("0")
        return [nothing, *(columns[name] for name in self._names), nothing]

    def parsed(self, rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """Return the values of each column: as Arrow has them, or as Python does.

        :raises JSONDecodeError: where a number is infinite.
        """
        lines, *floats = zip(*rows, strict=True)
        beside = dict(zip(self.floats, floats, strict=True))
        content = "\n".join(lines).encode()
        if not _has_control_characters(content):
            # A value that is none of its kind: what to do about it is known where objects are.
            with suppress(arrow().ArrowInvalid):
                table = self._csv.parsed(content)
                return dict(zip(table.column_names, table.columns, strict=True)) | beside
        values = zip(*(json.loads(line)[1:-1] for line in lines), strict=True)
        return dict(zip(self._names, values, strict=True)) | beside


def _has_control_characters(lines: bytes) -> bool:
    """Whether JSON escapes more than quotes and backslashes."""
    if not _MAYBE_CONTROL.search(lines):
        return False
    return not {b'\\"', b"\\\\"}.issuperset(_ESCAPED.findall(lines))
