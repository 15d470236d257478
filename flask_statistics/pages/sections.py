"""Asks for the tables, the panels and the lists of requests, and arranges them for templates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..asking.answers import Ask
from ..asking.figures import Number
from ..asking.filters import find_dimension, shown
from ..asking.metrics import BY_NAME, Metric
from ..asking.query import Filter, Query
from ..errors import QueryError
from ..fields import BY_NAME as FIELDS
from .links import Links
from .overview import totals_query
from .panels import (
    PANELS,
    REQUEST_COLUMNS,
    UNKNOWN,
    URLS,
    Panel,
    absent_label,
    has_routes,
    table_metrics,
)
from .permissions import allowed
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


def asks(question: Question) -> list[Ask]:
    """Return all that the table of URLs, the panels and the lists of requests ask."""
    asked = []
    choices = _url_dimensions(question)
    if choices:
        asked.append(Ask("breakdown", _values_query(question, choices[0], URL_ROWS)))
    if len(choices) > 1:
        asked.append(Ask("breakdown", _most_frequent_routes(question)))
    asked += [Ask("breakdown", query) for _, _, query in _panel_queries(question)]
    if question.url is not None:
        personal = allowed("personal")
        lists = [_requests_query(question, condition, order) for condition, order in _LISTS]
        asked += [Ask("requests", query, personal) for query in lists if query is not None]
    return asked


def urls(question: Question, links: Links) -> Table | None:
    """Return the table of URLs; None where everything is narrowed to one path."""
    choices = _url_dimensions(question)
    if not choices:
        return None
    by_route = len(choices) == 1 or has_routes(
        question.answers,
        _most_frequent_routes(question),
        totals_query(question, question.query.period),
    )
    return values(question, links, choices[0 if by_route else 1], URL_ROWS)


def _most_frequent_routes(question: Question) -> Query:
    """Return what the table of routes asks, unless the URL wants it sorted or another page."""
    query = _values_query(question, "route", URL_ROWS)
    return query.replace(order="-hits", offset=0)


def _url_dimensions(question: Question) -> list[str]:
    """Return by what URLs can be listed; of two, the second where few requests have the first."""
    narrowed = question.url
    choices = [name for name in URLS if name in question.columns]
    if narrowed is not None:
        choices = [name for name in choices if name == "path" and narrowed.dimension == "route"]
    return [question.by] if question.by in choices else choices


def values(question: Question, links: Links, dimension: str, limit: int) -> Table:
    """Return a page of all values of a dimension with their figures.

    :raises QueryError: for an unknown dimension or order.
    :raises Refused: for a personal dimension that may not be seen.
    """
    find_dimension("dimension", dimension, question.columns)
    require_dimensions(frozenset({dimension}))
    asked = _values_query(question, dimension, limit)
    found = question.answers.breakdown(asked)
    rows = [_row(dimension, links, figures) for figures in found.rows]
    pages = max(1, -(-found.total // (asked.limit or limit)))
    return Table(dimension, label(dimension), table_metrics(dimension, question.columns), rows,
                 asked.order or "", found.total, asked.offset + 1, asked.page, pages)  # fmt: skip


def _values_query(question: Question, dimension: str, limit: int) -> Query:
    query = question.query
    limit = query.limit or limit
    metrics = tuple(metric.name for metric in table_metrics(dimension, question.columns))
    return query.replace(
        group_by=(dimension,),
        metrics=metrics,
        order=query.order or f"-{metrics[0]}",
        limit=limit,
        offset=(query.page - 1) * limit,
        bucket=None,
    )


def panel_values(question: Question, links: Links, panel: Panel, dimension: str) -> Table:
    """Return a page of all values of a panel's dimension: the panel, continued.

    :raises QueryError: for an unknown order.
    """
    require_dimensions(frozenset({dimension}))
    within = panel.query(question.query, dimension, question.columns, PANEL_ROWS)
    ranked_by = BY_NAME[within.metrics[0]]
    order = question.query.order or within.order
    narrowed = replace(question, query=question.query.replace(filters=within.filters, order=order))
    asked = question.query.replace(
        metrics=(ranked_by.name,), order=None, bucket=None, limit=None, offset=0
    )
    all_values = Ask("breakdown", _values_query(narrowed, dimension, VALUE_ROWS))
    _, totals = question.answers.many([all_values, Ask("summary", asked)])
    table, total = values(narrowed, links, dimension, VALUE_ROWS), totals[ranked_by.name]
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
    return [
        _panel(question, links, panel, dimension, query, now)
        for panel, dimension, query in _panel_queries(question)
    ]


def _panel_queries(question: Question) -> Iterator[tuple[Panel, str, Query]]:
    for panel in PANELS:
        dimension = panel.dimension(question.columns)
        if dimension is not None:
            yield (
                panel,
                dimension,
                panel.query(question.query, dimension, question.columns, PANEL_ROWS),
            )


def _panel(
    question: Question, links: Links, panel: Panel, dimension: str, query: Query,
    now: dict[str, Number],
) -> PanelContent:  # fmt: skip
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


#: The slowest requests, and the newest that failed: what they are, and their order.
_SLOW = (Filter("response_time", (">=0",)), "-response_time")
_FAILED = (Filter("status_code", ("5xx",)), None)
_LISTS = (_SLOW, _FAILED)


def slowest_requests(question: Question) -> Requests | None:
    """Return the slowest requests; None where the model cannot tell."""
    return _requests(question, *_SLOW)


def failing_requests(question: Question) -> Requests | None:
    """Return the newest requests that failed; None where the model cannot tell."""
    return _requests(question, *_FAILED)


def _requests_query(question: Question, condition: Filter, order: str | None) -> Query | None:
    if condition.dimension not in question.columns:
        return None
    return question.where(condition).replace(order=order, limit=REQUEST_ROWS, offset=0, bucket=None)


def _requests(question: Question, condition: Filter, order: str | None) -> Requests | None:
    query = _requests_query(question, condition, order)
    if query is None:
        return None
    rows = question.requests(query)
    url = question.url
    columns = [
        (name, label(name), FIELDS[name].kind == "text")
        for name in REQUEST_COLUMNS
        if any(row.get(name) is not None for row in rows) and not (url and url.dimension == name)
    ]
    return Requests(columns, rows)
