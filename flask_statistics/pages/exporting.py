"""Files to take along: single rows, and the tables of the pages, as CSV and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from flask import Response

from ..asking.filters import read_dimensions, shown
from ..errors import QueryError
from ..owning.exporting import Export, make_export
from ..owning.files import csv_parts, csv_text, json_rows
from ..owning.spreadsheets import cell
from .permissions import Action, allowed, require
from .questions import Question, ask, require_dimensions
from .rendering import attachment

#: Rows of a file at most. `flask statistics export` has no such limit.
MOST_ROWS = 100_000
#: Values of a dimension at most.
MOST_VALUES = 10_000
_ROWS = ("requests", "visits", "events")
Rows = list[dict[str, Any]]
_TYPES = {"csv": "text/csv; charset=utf-8", "json": "application/json"}


def export(name: str) -> Response:
    """A file: ``<what>.csv`` or ``<what>.json``.

    ``what`` is ``requests``, ``visits`` or ``events`` (single rows, the oldest first),
    ``summary``, ``timeseries``, or a dimension (its values). The parameters are those of the
    pages.
    """
    what, _, form = name.rpartition(".")
    if form not in _TYPES:
        raise QueryError("what", f"{shown(name)} is neither a .csv nor a .json")
    question = ask()
    if what in _ROWS:
        return _single_rows(question, what, form)
    table = _TABLES.get(what)
    rows = table(question) if table else _values(question, what)
    return _file(question, what, form, _table(rows, form))


def _single_rows(question: Question, what: Any, form: str) -> Response:
    personal = allowed("personal")
    if what == "visits":
        require("personal")  # one row tells of one person
    export = make_export(question.state, question.query, what, personal=personal)
    limited = _limited(export)
    first = next(limited.pages, None)  # what cannot be asked is said before the file begins
    pages = Export(limited.columns, iter(()) if first is None else chain([first], limited.pages))
    parts = (text for _, text in csv_parts(pages)) if form == "csv" else _json_array(pages)
    total = question.answers.count(question.query) if what == "requests" else 0
    note = f"-first-{MOST_ROWS}-of-{total}" if total > MOST_ROWS else ""
    return _file(question, f"{what}{note}", form, parts)


def _limited(export: Export) -> Export:
    def pages() -> Iterator[Sequence[Sequence[Any]]]:
        left = MOST_ROWS
        for page in export.pages:
            yield page[:left]
            left -= len(page)
            if left <= 0:
                return

    return Export(export.columns, pages())


def _json_array(export: Export) -> Iterator[str]:
    between = "[\n"
    for page in export.pages:
        yield between + ",\n".join(json_rows(export, page))
        between = ",\n"
    yield "\n]\n" if between == ",\n" else "[]\n"


def _summary(question: Question) -> Rows:
    periods = [p for p in (question.query.period, question.comparison) if p is not None]
    return [
        {"start": period.start.isoformat(), "end": period.end.isoformat(), **figures}
        for period in periods
        for figures in [question.answers.summary(question.query.replace(period=period))]
    ]


def _timeseries(question: Question) -> Rows:
    return question.answers.timeseries(question.query.replace(group_by=()))


def _values(question: Question, what: str) -> Rows:
    """Return the values of one or two dimensions, each a column of its own."""
    dimensions = read_dimensions("what", what, question.columns)
    require_dimensions(frozenset(dimensions))
    query = question.query.replace(group_by=dimensions, limit=MOST_VALUES, offset=0)
    return [
        dict(zip(dimensions, value if len(dimensions) > 1 else [value], strict=True)) | figures
        for value, figures in map(_split, question.answers.breakdown(query).rows)
    ]


def _split(row: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    return row["value"], {name: figure for name, figure in row.items() if name != "value"}


def _table(rows: Rows, form: str) -> list[str]:
    if form == "json":
        return [json.dumps(rows, ensure_ascii=False, allow_nan=False)]
    names = list(rows[0]) if rows else []
    return [csv_text([names, *([cell(row[name]) for name in names] for row in rows)])]


def _file(question: Question, what: str, form: str, parts: Iterable[str]) -> Response:
    period = question.query.period
    name = f"{what}-{period.start}-{period.end}.{form}"
    return attachment((part.encode("utf-8", "replace") for part in parts), _TYPES[form], name)


_TABLES: dict[str, Callable[[Question], Rows]] = {"summary": _summary, "timeseries": _timeseries}

#: rule, endpoint, view, the action that it needs
ROUTES: tuple[tuple[str, str, Callable[..., Response], Action], ...] = (
    ("/export/<dimension>", "export", export, "export"),
)
