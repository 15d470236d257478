"""Asks for the tables, the panels and the lists of requests, and arranges them for templates."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from ..asking.answers import Number
from ..asking.filters import find_dimension, shown
from ..asking.metrics import BY_NAME, Metric
from ..asking.query import Filter
from ..errors import QueryError
from ..fields import BY_NAME as FIELDS
from .links import Links
from .panels import (
    PANELS,
    REQUEST_COLUMNS,
    TABLE,
    UNKNOWN,
    URLS,
    Panel,
    absent_label,
    allowed_metrics,
)
from .questions import Question, label, require_dimensions

#: Rows of the table of URLs, of a page of all values, of a panel, of a list of requests.
URL_ROWS, VALUE_ROWS, PANEL_ROWS, REQUEST_ROWS = 15, 50, 10, 10
_SCHEME = re.compile(r"https?://(?:www\.)?")


@dataclass(frozen=True)
class Row:
    """One value of a dimension; ``name`` is what is shown of it.

    :ivar share: of the total, between 0 and 1; None where there is no total.
    :ivar width: of its bar, in per cent.
    """

    value: Any
    name: str
    link: str | None
    figures: dict[str, Any]
    share: float | None = None
    width: float = 0


@dataclass(frozen=True)
class Table:
    """A page of the values of a dimension; ``first`` and ``last`` count from 1.

    :ivar shared: the metric that the rows' shares are of; None where they have none.
    """

    dimension: str
    label: str
    metrics: tuple[Metric, ...]
    rows: list[Row]
    order: str
    total: int
    first: int
    page: int
    pages: int
    shared: Metric | None = None

    @property
    def last(self) -> int:
        return self.first + len(self.rows) - 1


@dataclass(frozen=True)
class PanelContent:
    """The most frequent values of a dimension."""

    panel: Panel
    dimension: str
    metrics: tuple[Metric, ...]
    rows: list[Row]
    total: int

    @property
    def is_known(self) -> bool:
        """Whether there is any value to show."""
        nameless = UNKNOWN if self.panel.absent == UNKNOWN else None
        return any(row.value is not None or nameless is None for row in self.rows)


def urls(question: Question, links: Links) -> Table | None:
    """Return the table of URLs; None where everything is narrowed to one path."""
    dimension = _url_dimension(question)
    return dimension and values(question, links, dimension, URL_ROWS)  # type: ignore[return-value]


def _url_dimension(question: Question) -> str | None:
    narrowed = question.url
    choices = [name for name in URLS if name in question.columns]
    if narrowed is not None:
        choices = [name for name in choices if name == "path" and narrowed.dimension == "route"]
    if question.by in choices:
        return question.by
    if choices == list(URLS) and not question.answers.has_routes(question.query):
        return "path"
    return choices[0] if choices else None


def values(question: Question, links: Links, dimension: str, limit: int) -> Table:
    """Return a page of all values of a dimension with their figures.

    :raises QueryError: for an unknown dimension or order.
    :raises Refused: for a personal dimension that may not be seen.
    """
    find_dimension("dimension", dimension, question.columns)
    require_dimensions(frozenset({dimension}))
    query = question.query
    limit = query.limit or limit
    metrics = allowed_metrics(TABLE, question.columns)
    order = query.order or "-hits"
    asked = query.replace(
        group_by=(dimension,),
        metrics=tuple(metric.name for metric in metrics),
        order=order,
        limit=limit,
        offset=(query.page - 1) * limit,
    )
    found = question.answers.breakdown(asked)
    rows = [_row(dimension, links, figures) for figures in found.rows]
    pages = max(1, -(-found.total // limit))
    return Table(dimension, label(dimension), metrics, rows, order, found.total,
                 asked.offset + 1, query.page, pages)  # fmt: skip


def panel_values(question: Question, links: Links, panel: Panel, dimension: str) -> Table:
    """Return a page of all values of a panel's dimension: the panel, continued.

    :raises QueryError: for an unknown order.
    """
    within = panel.query(question.query, dimension, question.columns, PANEL_ROWS)
    ranked_by = BY_NAME[within.metrics[0]]
    query = question.query.replace(
        filters=within.filters, order=question.query.order or within.order
    )
    table = values(replace(question, query=query), links, dimension, VALUE_ROWS)
    asked = question.query.replace(metrics=(ranked_by.name,), order=None)
    total = question.answers.summary(asked)[ranked_by.name]
    rows = [
        replace(row, share=(row.figures[ranked_by.name] or 0) / total if total else None)
        for row in table.rows
    ]
    return replace(table, rows=rows, shared=ranked_by)


def check_order(question: Question) -> None:
    """Refuse an order that the table of URLs cannot have, even when there is nothing to order.

    :raises QueryError: which names those that it can.
    """
    known = [metric.name for metric in question.answers.metrics] + ["value", "last"]
    order = question.query.order
    if order is not None and order.removeprefix("-") not in known:
        raise QueryError("sort", f"{shown(order)} is none of {', '.join(known)}")


def _row(dimension: str, links: Links, figures: dict[str, Any]) -> Row:
    value = figures["value"]
    name = absent_label(dimension) if value is None else str(value)
    if dimension == "referrer":  # in a narrow panel the beginning would be all that is seen
        name = _SCHEME.sub("", name) or name
    return Row(value, name, links.filter(dimension, value), figures)


def panels(question: Question, links: Links, now: dict[str, Number]) -> list[PanelContent]:
    """Return every panel that the model allows."""
    found = []
    for panel in PANELS:
        dimension = panel.dimension(question.columns)
        if dimension is not None:
            found.append(_panel(question, links, panel, dimension, now))
    return found


def _panel(
    question: Question, links: Links, panel: Panel, dimension: str, now: dict[str, Number]
) -> PanelContent:
    query = panel.query(question.query, dimension, question.columns, PANEL_ROWS)
    found = question.answers.breakdown(query)
    metrics = tuple(BY_NAME[name] for name in query.metrics)
    ranked_by = metrics[0].name
    largest = max((row[ranked_by] or 0 for row in found.rows), default=0)
    rows = []
    for figures in found.rows:
        row = _row(dimension, links, figures)
        number = figures[ranked_by] or 0
        total = now[ranked_by]
        share = number / total if total else None
        width = round(100 * number / largest, 1) if largest else 0
        rows.append(Row(row.value, row.name, row.link, figures, share, width))
    return PanelContent(panel, dimension, metrics, rows, found.total)


@dataclass(frozen=True)
class Requests:
    """Single requests, and their columns that say anything: name, label, whether it is text."""

    columns: list[tuple[str, str, bool]]
    rows: list[dict[str, Any]]


def slowest_requests(question: Question) -> Requests | None:
    """Return the slowest requests; None where the model cannot tell."""
    slow = Filter("response_time", (">=0",))
    return _requests(question, slow, "-response_time")


def failing_requests(question: Question) -> Requests | None:
    """Return the newest requests that failed; None where the model cannot tell."""
    return _requests(question, Filter("status_code", ("5xx",)), None)


def _requests(question: Question, condition: Filter, order: str | None) -> Requests | None:
    if condition.dimension not in question.columns:
        return None
    query = question.where(condition).replace(order=order, limit=REQUEST_ROWS, offset=0)
    rows = question.requests(query)
    url = question.url
    columns = [
        (name, label(name), FIELDS[name].kind == "text")
        for name in REQUEST_COLUMNS
        if any(row.get(name) is not None for row in rows) and not (url and url.dimension == name)
    ]
    return Requests(columns, rows)
