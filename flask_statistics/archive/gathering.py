"""Rows that come in batches, gathered as one Arrow table in little memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ArchiveError
from .manifest import Kind
from .schema import arrow, arrow_types

if TYPE_CHECKING:
    import pyarrow as pa

#: Rows whose texts are encoded at once: enough that a dictionary is worth its while.
_TOGETHER = 8_192


class Gatherer:
    """Collects batches of rows; texts that repeat are kept once.

    :param columns: the columns and their kinds.
    :param plain: texts of which most occur once.
    """

    def __init__(self, columns: Mapping[str, Kind], plain: Sequence[str]) -> None:
        self._pa = arrow()
        self._columns = columns
        self._types = arrow_types(columns)
        self._encoded = {n for n, kind in columns.items() if kind == "text"} - set(plain)
        self._waiting: list[pa.Table] = []
        self._ready: list[pa.Table] = []

    def add_rows(self, rows: Sequence[Sequence[Any]]) -> None:
        """Add rows as a driver gives them."""
        self.add_columns(dict(zip(self._columns, zip(*rows, strict=True), strict=True)))

    def add_columns(self, values: Mapping[str, Any]) -> None:
        """Add the values of each column, as a driver gives them or as Arrow has them."""
        self.add(self._pa.table({name: self._array(name, values[name]) for name in self._columns}))

    def _array(self, name: str, values: Any) -> Any:
        pa, kind = self._pa, self._columns[name]
        if isinstance(values, pa.ChunkedArray):
            return values
        try:
            if kind == "boolean":
                values = [None if value is None else bool(value) for value in values]
            if kind == "moment" and any(isinstance(value, str) for value in values):
                return pa.array(values, pa.string()).cast(self._types[name])
            if kind == "integer" and any(isinstance(value, float) for value in values):
                # Without the cast their fractions would be cut off.
                return pa.array(values, pa.float64()).cast(self._types[name])
            return pa.array(values, self._types[name])
        except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
            raise ArchiveError(
                f"The column {name} holds a value that is no {kind}, so its rows cannot be "
                f"archived: {error}"
            ) from None

    def add(self, rows: pa.Table) -> None:
        """Add a table of these columns."""
        self._waiting.append(rows)
        if sum(table.num_rows for table in self._waiting) >= _TOGETHER:
            self._encode()

    def _encode(self) -> None:
        if not self._waiting:
            return
        table = self._pa.concat_tables(self._waiting)
        self._waiting = []
        self._ready.append(self._with_dictionaries(table))
        del table
        self._pa.default_memory_pool().release_unused()

    def _with_dictionaries(self, table: pa.Table) -> pa.Table:
        # Chunks that share a dictionary are one at once: each would be looked through later.
        return self._pa.table({
            name: table[name].dictionary_encode() if name in self._encoded else table[name]
            for name in self._columns
        }).combine_chunks()  # fmt: skip

    def table(self) -> pa.Table:
        """Return all rows, each column in one piece; the gatherer is empty then."""
        self._encode()
        if not self._ready:
            empty = self._pa.schema(list(self._types.items())).empty_table()
            self._ready = [self._with_dictionaries(empty)]
        ready, self._ready = self._ready, []
        columns = {}
        # One after the other: what was put together is not needed twice any more.
        for name in self._columns:
            columns[name] = _in_one_piece([table[name] for table in ready])
            ready = [table.drop_columns([name]) for table in ready]
        self._pa.default_memory_pool().release_unused()
        return self._pa.table(columns)


def _in_one_piece(parts: Sequence[pa.ChunkedArray]) -> pa.ChunkedArray:
    pa = arrow()
    chunks = [chunk for part in parts for chunk in part.chunks]
    together = pa.chunked_array(chunks, parts[0].type).unify_dictionaries()
    return pa.chunked_array([together.combine_chunks()], parts[0].type)


def together(*tables: pa.Table) -> pa.Table:
    """Return the rows of tables of the same columns, whether or not texts are in dictionaries."""
    pa = arrow()
    columns = {}
    for name in tables[0].column_names:
        parts = [table[name] for table in tables]
        if any(part.type != parts[0].type for part in parts):
            parts = [part.cast(pa.string()) for part in parts]
        columns[name] = pa.chunked_array([chunk for part in parts for chunk in part.chunks],
                                         parts[0].type)  # fmt: skip
    return pa.table(columns).unify_dictionaries().combine_chunks()


def filtered(rows: pa.Table, which: Any) -> pa.Table:
    """Return some rows; their dictionaries hold nothing of the others, which may be erased ones."""
    pa = arrow()
    rows = rows.filter(which)
    for place, field in enumerate(rows.schema):
        if pa.types.is_dictionary(field.type):
            again = rows.column(place).cast(field.type.value_type).dictionary_encode()
            rows = rows.set_column(place, field, again)
    return rows


def encoded(*columns: pa.ChunkedArray) -> tuple[Any, Any]:
    """Return numbers of the values of columns, one after the other, and the values.

    Each value is there once, and has one number; NULL has none.
    """
    pa = arrow()
    arrays = [_dictionary(column) for column in columns]
    # A dictionary may hold a value twice.
    values = pa.concat_arrays([array.dictionary for array in arrays]).dictionary_encode()
    codes, begin = [], 0
    for array in arrays:
        of = values.indices.slice(begin, len(array.dictionary))
        codes.append(of.take(array.indices).cast(pa.int32()))
        begin += len(array.dictionary)
    return pa.concat_arrays(codes), values.dictionary


def _dictionary(column: pa.ChunkedArray) -> Any:
    pa = arrow()
    if not column.num_chunks:
        return pa.array([], column.type).dictionary_encode()
    array = column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
    return array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
