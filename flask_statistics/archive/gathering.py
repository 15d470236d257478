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
_TOGETHER = 16_384


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
        self._waiting: list[pa.RecordBatch] = []
        self._ready: list[pa.Table] = []

    def add_rows(self, rows: Sequence[Sequence[Any]]) -> None:
        """Add rows as a driver gives them."""
        values = zip(*rows, strict=True)
        arrays = [
            self._array(name, column) for name, column in zip(self._columns, values, strict=True)
        ]
        self.add(self._pa.record_batch(arrays, names=list(self._columns)))

    def _array(self, name: str, values: Sequence[Any]) -> pa.Array:
        pa, kind = self._pa, self._columns[name]
        try:
            if kind == "boolean":
                values = [None if value is None else bool(value) for value in values]
            if kind == "moment" and any(isinstance(value, str) for value in values):
                return pa.array(values, pa.string()).cast(self._types[name])
            return pa.array(values, self._types[name])
        except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
            raise ArchiveError(
                f"The column {name} holds a value that is no {kind}, so its rows cannot be "
                f"archived: {error}"
            ) from None

    def add(self, batch: pa.RecordBatch) -> None:
        """Add a batch of these columns."""
        self._waiting.append(batch)
        if sum(batch.num_rows for batch in self._waiting) >= _TOGETHER:
            self._encode()

    def _encode(self) -> None:
        if not self._waiting:
            return
        table = self._pa.Table.from_batches(self._waiting).combine_chunks()
        self._waiting = []
        self._ready.append(self._with_dictionaries(table))
        del table
        self._pa.default_memory_pool().release_unused()

    def _with_dictionaries(self, table: pa.Table) -> pa.Table:
        types, dictionary = self._types, self._pa.dictionary(self._pa.int32(), self._pa.string())
        for place, field in enumerate(table.schema):
            if field.name in self._encoded and not self._pa.types.is_dictionary(field.type):
                column = table.column(place).dictionary_encode()
                table = table.set_column(place, self._pa.field(field.name, dictionary), column)
            elif field.name not in self._encoded and field.type != types[field.name]:
                column = table.column(place).cast(types[field.name])
                table = table.set_column(place, field.name, column)
        return table

    def table(self) -> pa.Table:
        """Return all rows, each column in one piece."""
        self._encode()
        if not self._ready:
            empty = self._pa.schema(list(self._types.items())).empty_table()
            self._ready = [self._with_dictionaries(empty)]
        table = self._pa.concat_tables(self._ready)
        self._ready = []
        table = table.unify_dictionaries()
        table = table.combine_chunks()
        self._pa.default_memory_pool().release_unused()
        return table


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
