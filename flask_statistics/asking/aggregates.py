"""Metrics of a selection as SELECT statements: one a source of metrics, one row a group."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from .constructs import exact
from .metrics import Columns, Expression, Metric, page_view
from .selection import Selection

#: Raw figures by the names of metrics, by the values of the keys.
Groups = dict[tuple[Any, ...], dict[str, Any]]
SOURCES = ("requests", "ranks", "visits")


def aggregate(
    selection: Selection, source: str, metrics: Sequence[Metric], *, last: bool = False
) -> sa.Select[Any]:
    """Return the statement that computes metrics of one source for each group.

    :param last: adds when the group was last seen; of requests only.
    """
    make = {"requests": _requests, "ranks": _ranks, "visits": _visits}[source]
    keys, columns, rows = make(selection)
    figures = [metric.expression(columns).label(metric.name) for metric in metrics]
    if last:
        figures.append(sa.func.max(columns["date"]).label("last"))
    names = [key.label(f"key_{number}") for number, key in enumerate(keys)]
    statement = sa.select(*names, *figures).select_from(rows)
    return statement.group_by(*keys) if keys else statement


_Source = tuple[Sequence[Expression], Columns, sa.FromClause]


def _requests(selection: Selection) -> _Source:
    return selection.rows()


def _ranks(selection: Selection) -> _Source:
    """Rows with their place in the order of response times of their group."""
    keys, columns, _ = selection.rows()
    value = columns["response_time"]
    over: dict[str, Any] = {"partition_by": keys} if keys else {}
    ranked = (
        sa.select(
            *(key.label(f"key_{number}") for number, key in enumerate(keys)),
            value.label("response_time"),
            sa.func.row_number().over(order_by=value, **over).label("place"),
            sa.func.count().over(**over).label("amount"),
        )
        .where(value.is_not(None))
        .subquery()
    )
    return _split(ranked, len(keys))


def _visits(selection: Selection) -> _Source:
    """Visits with a page view among the rows; their figures are of the whole visit.

    A visit that was found by one of its pages did not bounce because of the filter.
    """
    whole = _whole_visits(selection.everything)
    if selection.is_whole:
        return _split(whole, 0)
    keys, columns, _ = selection.rows()
    names = [key.label(f"key_{number}") for number, key in enumerate(keys)]
    visit = exact(columns["visit"]).label("visit")
    viewed = page_view(columns), columns["visit"].is_not(None)
    found = sa.select(*names, visit).where(*viewed).distinct().subquery()
    joined = found.join(whole, found.c.visit == whole.c.visit)
    return [found.c[name.name] for name in names], dict(whole.c), joined


def _whole_visits(selection: Selection) -> sa.Subquery:
    _, columns, _ = selection.rows()
    visit = exact(columns["visit"])
    return (
        sa.select(
            visit.label("visit"),
            sa.func.count().label("page_views"),
            sa.func.min(columns["date"]).label("first"),
            sa.func.max(columns["date"]).label("last"),
        )
        .where(page_view(columns), columns["visit"].is_not(None))
        .group_by(visit)
        .subquery()
    )


def _split(rows: sa.Subquery, keys: int) -> _Source:
    return [rows.c[f"key_{number}"] for number in range(keys)], dict(rows.c), rows


def collect(
    connection: sa.Connection,
    selection: Selection,
    metrics: Iterable[Metric],
    *,
    last: bool = False,
) -> Groups:
    """Return the metrics of each group; what a group has nothing of is missing from its dict."""
    found: Groups = {}
    metrics = list(metrics)
    for source in SOURCES:
        chosen = [metric for metric in metrics if metric.source == source]
        of_requests = last and source == "requests"
        if chosen or of_requests:
            statement = aggregate(selection, source, chosen, last=of_requests)
            merge(found, connection.execute(statement), len(selection.keys))
    return found


def merge(found: Groups, result: sa.Result[Any], keys: int) -> None:
    for row in result:
        values = list(zip(result.keys(), row, strict=True))
        key = tuple(value for _, value in values[:keys])
        found.setdefault(key, {}).update(values[keys:])
