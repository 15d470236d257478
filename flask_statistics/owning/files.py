"""Writes rows as CSV, JSON lines or Parquet, one page after the other."""

from __future__ import annotations

import csv
import io
import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa

from ..asking.figures import json_value
from ..errors import MissingExtraError, StatisticsError
from .exporting import Export
from .spreadsheets import cell

FORMATS = ("csv", "jsonl", "parquet")


def write_rows(export: Export, form: str, file: IO[bytes]) -> int:
    """Write all rows in one of :data:`FORMATS`; return how many.

    :raises MissingExtraError: where Parquet is asked for without PyArrow.
    """
    if form == "parquet":
        return _write_parquet(export, file)
    parts: Callable[[Export], Iterator[tuple[int, str]]] = csv_parts if form == "csv" else _lines
    rows = 0
    for count, text in parts(export):
        file.write(text.encode("utf-8", "replace"))
        rows += count
    file.flush()
    return rows


def csv_parts(export: Export) -> Iterator[tuple[int, str]]:
    """Yield how many rows, and their CSV, page by page; names first, as RFC 4180 has it."""
    yield 0, csv_text([list(export.columns)])
    for page in export.pages:
        yield len(page), csv_text([[cell(value) for value in row] for row in page])


def csv_text(rows: list[list[Any]]) -> str:
    """Return rows of cells as CSV, each ended by CR LF (RFC 4180)."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _lines(export: Export) -> Iterator[tuple[int, str]]:
    for page in export.pages:
        yield len(page), "".join(f"{line}\n" for line in json_rows(export, page))


def json_rows(export: Export, page: Any) -> Iterator[str]:
    """Yield each row of a page as a JSON object."""
    for row in page:
        values = dict(zip(export.columns, map(json_value, row), strict=True))
        yield json.dumps(values, ensure_ascii=False, allow_nan=False)


def _write_parquet(export: Export, file: IO[bytes]) -> int:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtraError(
            "Parquet needs PyArrow: pip install 'flask-statistics[columnar]'."
        ) from None
    schema = pa.schema([(name, _arrow_type(pa, t)) for name, t in export.columns.items()])
    rows = 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for page in export.pages:
            values = list(zip(*page, strict=True))
            arrays = [_array(pa, field, of) for field, of in zip(schema, values, strict=True)]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            rows += len(page)
    return rows


def _arrow_type(pa: Any, kind: sa.types.TypeEngine[Any]) -> Any:
    if isinstance(kind, sa.DateTime):
        return pa.timestamp("us")
    if isinstance(kind, sa.Boolean):
        return pa.bool_()
    if isinstance(kind, sa.Integer):
        return pa.int64()
    # Float was a kind of Numeric until SQLAlchemy 2.1.
    return pa.float64() if isinstance(kind, sa.Numeric | sa.Float) else pa.string()


def _array(pa: Any, field: Any, values: Any) -> Any:
    if pa.types.is_string(field.type):
        values = [None if value is None else str(json_value(value)) for value in values]
    elif pa.types.is_float64(field.type):
        values = [None if value is None else float(value) for value in values]
    try:
        return pa.array(values, field.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise StatisticsError(
            f"A value of the column {field.name} is none of its type ({error}): "
            "export as CSV or JSON lines."
        ) from None


@contextmanager
def written_beside(path: Path) -> Iterator[IO[bytes]]:
    """Give a file that takes the place of ``path`` once it is whole; only its owner may read it.

    :raises StatisticsError: where it cannot be written.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        if path.is_dir():
            raise IsADirectoryError(21, "Is a directory")
        opened = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(opened, "w+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except BaseException:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StatisticsError(f"{path} cannot be written: {error.strerror or error}.") from error
