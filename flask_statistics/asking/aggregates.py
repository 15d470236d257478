"""Metrics of a selection as SELECT statements: one a source of metrics, one row a group."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from .constructs import exact
from .metrics import Columns, Expression, Metric, page_view
from .percentiles import find_percentiles
from .selection import Selection
from .visits import whole_visits

#: Raw figures by the names of metrics, by the values of the keys.
Groups = dict[tuple[Any, ...], dict[str, Any]]
SOURCES = ("requests", "ranks", "visits", "events")


def aggregate(
    selection: Selection, source: str, metrics: Sequence[Metric], *, last: bool = False
) -> sa.Select[Any]:
    """Return the statement that computes metrics of one source for each group.

    :param last: adds when the group was last seen; of requests and events only.
    """
    cells = selection.tables.cells
    if source == "requests" and cells is not None and selection.shown is None:
        return cells.aggregate(selection, metrics, last=last)
    make = {"requests": _requests, "ranks": _ranks, "visits": _visits, "events": _events}[source]
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
    """Rows with their place in the order of response times of their group, where the database
    needs that for percentiles."""
    keys, columns, rows = selection.rows()
    if selection.tables.columnar:
        return keys, columns, rows
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
    """Visits with a page view or event among what is shown; their figures are of the whole visit.

    A visit that was found by one of its pages did not bounce because of the filter.
    """
    whole = whole_visits(selection.tables, selection.query)
    if selection.is_whole:
        return _split(whole, 0)
    keys, columns, _ = selection.rows()
    viewed = page_view(columns), columns["visit"].is_not(None)
    found = _found(keys, columns["visit"]).where(*viewed)
    if selection.tables.events is None:
        shown = found.distinct().subquery()
    else:
        keys, columns, _ = selection.event_rows()
        tracked = _found(keys, columns["visit"]).where(columns["visit"].is_not(None))
        shown = sa.union(found, tracked).subquery()
    joined = shown.join(whole, shown.c.visit == whole.c.visit)
    return [shown.c[f"key_{number}"] for number in range(len(keys))], dict(whole.c), joined


def _found(keys: Sequence[Expression], visit: Expression) -> sa.Select[Any]:
    names = [key.label(f"key_{number}") for number, key in enumerate(keys)]
    return sa.select(*names, exact(visit).label("visit"))


def _events(selection: Selection) -> _Source:
    return selection.event_rows()


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
    dated = ("requests", "events") if selection.lists_events else ("requests",)
    for source in SOURCES:
        chosen = [metric for metric in metrics if metric.source == source]
        if source == "events" and selection.tables.events is None:
            continue
        percentiles = None
        if chosen and source == "ranks":
            percentiles = find_percentiles(connection, selection, chosen)
        if percentiles:
            for key, values in percentiles.items():
                found.setdefault(key, {}).update(values)
        elif chosen or (last and source in dated):
            statement = aggregate(selection, source, chosen, last=last and source in dated)
            merge(found, connection.execute(statement), len(selection.keys))
    return found


def merge(found: Groups, result: sa.Result[Any], keys: int) -> None:
    """Add figures to groups; of two dates that a group was last seen at, the later one counts."""
    for row in result:
        values = list(zip(result.keys(), row, strict=True))
        group = found.setdefault(tuple(value for _, value in values[:keys]), {})
        before = group.get("last")
        group.update(values[keys:])
        if before is not None:
            group["last"] = max(before, group["last"])
