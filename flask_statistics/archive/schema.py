"""The columns of the archive: what the host's model has, as Arrow and Parquet store it best."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from ..asking.metrics import PAGE_VIEW
from ..errors import MissingExtraError
from ..model import Model
from ..tables import Tables
from .manifest import Kind

if TYPE_CHECKING:
    import pyarrow as pa

#: The name of the primary key's column.
ID = "id"
#: Times in seconds, which the recorder rounds to microseconds.
SECONDS = ("response_time", "db_time")
VISIT_KINDS: Final[Mapping[str, Kind]] = {
    "visit": "text", "person": "boolean", "visitor": "text", "began": "moment",
    "ended": "moment", "first": "moment", "last": "moment", "entry_date": "moment",
    "exit_date": "moment", "entry_path": "text", "exit_path": "text", "hits": "integer",
    "page_views": "integer", "events": "integer",
}  # fmt: skip
#: A dictionary of texts may grow to this size; beyond, Parquet writes each value.
_DICTIONARY = 16 << 20
#: Kinds whose values grow slowly, so that differences are short.
_DIFFERENCES = ("moment", "microseconds")
#: Numbers of which few repeat: smallest by their first bytes, their second bytes and so on. That
#: would hold for dates and response times, too, but reading it takes half as long again as
#: differences, and these are read by most questions.
_BYTES = (ID, "size", "db_time")
_NUMBERS = ("integer", "float", "microseconds")


def arrow() -> Any:
    """Return PyArrow.

    :raises MissingExtraError: where it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError(
            "The archive needs PyArrow: pip install 'flask-statistics[columnar]'."
        ) from None
    return pyarrow


def prefer_little_memory() -> None:
    """Let PyArrow, unless it was imported before, use the allocator that keeps least for itself.

    For a process that does nothing but build an archive: in a third less memory, and faster.
    """
    if sys.platform == "linux":  # elsewhere its packages come without
        os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")


def kinds(model: Model) -> dict[str, Kind]:
    """Return the columns that the archive keeps of a model, with the key, and their kinds."""
    columns: dict[str, Kind] = {ID: "integer"}
    return columns | {name: _kind(column.type) for name, column in model.columns.items()}


def event_kinds(tables: Tables) -> dict[str, Kind]:
    """Return the columns of events, and their kinds."""
    return {column.name: _kind(column.type) for column in tables.event.columns}


def keeps_visits(columns: Mapping[str, Kind]) -> bool:
    """Whether these columns suffice to tell visits."""
    return {"visit", *PAGE_VIEW} <= set(columns) and columns["status_code"] == "integer"


def _kind(of: sa.types.TypeEngine[Any]) -> Kind:
    while isinstance(of, sa.types.TypeDecorator):
        of = of.impl_instance
    if isinstance(of, sa.Boolean):
        return "boolean"
    if isinstance(of, sa.Integer):
        return "integer"
    if isinstance(of, sa.Numeric | sa.Float):
        return "float"
    return "moment" if isinstance(of, sa.DateTime) else "text"


def selected(model: Model) -> dict[str, sa.ColumnElement[Any]]:
    """Return what is selected of the model's table, by the archive's names, as raw values."""
    columns = {ID: model.primary_key, **model.columns}
    return {name: _raw(columns[name], kind) for name, kind in kinds(model).items()}


def selected_of_events(tables: Tables) -> dict[str, sa.ColumnElement[Any]]:
    """Return what is selected of the table of events."""
    of = tables.event.columns
    return {name: _raw(of[name], kind) for name, kind in event_kinds(tables).items()}


def _raw(column: sa.ColumnElement[Any], kind: Kind) -> sa.ColumnElement[Any]:
    """Return the values as the driver gives them; texts as questions compare them."""
    if kind == "text":
        plain = isinstance(column.type, sa.String) and not isinstance(column.type, sa.Enum)
        return column if plain else sa.cast(column, sa.Text)
    return sa.cast(column, sa.Double) if _is_decimal(column.type) else column


def _is_decimal(of: sa.types.TypeEngine[Any]) -> bool:
    while isinstance(of, sa.types.TypeDecorator):
        of = of.impl_instance
    return isinstance(of, sa.Numeric) and not isinstance(of, sa.Float)


def arrow_types(columns: Mapping[str, Kind]) -> dict[str, pa.DataType]:
    """Return the Arrow type of each column."""
    pa = arrow()
    types = {
        "integer": pa.int64(), "float": pa.float64(), "microseconds": pa.int64(),
        "boolean": pa.bool_(), "text": pa.string(), "moment": pa.timestamp("us"),
    }  # fmt: skip
    return {name: types[kind] for name, kind in columns.items()}


def encodings(columns: Mapping[str, Kind], plain: Iterable[str] = ()) -> dict[str, Any]:
    """Return how Parquet is written: what compressed best of what was tried (FACTS of each kind).

    :param plain: texts of which most occur once, so that a dictionary would only add to them.
    """
    by_bytes = {n for n in _BYTES if columns.get(n) in _NUMBERS}
    differences = {n for n, kind in columns.items() if kind in _DIFFERENCES} - by_bytes
    direct = {*differences, *by_bytes, *plain}
    return {
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": [name for name in columns if name not in direct],
        "column_encoding": dict.fromkeys(differences, "DELTA_BINARY_PACKED")
        | dict.fromkeys(by_bytes, "BYTE_STREAM_SPLIT"),
        "dictionary_pagesize_limit": _DICTIONARY,
        "store_schema": False,
    }
