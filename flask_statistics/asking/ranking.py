"""The groups of a breakdown in their order, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from .aggregates import Groups, aggregate, collect, merge
from .metrics import BY_NAME, Expression, Metric
from .query import DEFAULT_LIMIT
from .selection import Selection

#: Groups of which columns are summed up faster than compared with the names of a page.
_FEW = 100


class Order(NamedTuple):
    """What rows are sorted by: a name, and whether the largest come first."""

    name: str
    descending: bool

    @classmethod
    def read(cls, text: str) -> Order:
        return cls(text.removeprefix("-"), text.startswith("-"))

    def of(self, value: Expression) -> Expression:
        return value.desc() if self.descending else value.asc()


def rank(
    connection: sa.Connection, selection: Selection, metrics: Sequence[Metric], order: Order
) -> tuple[int, Groups]:
    """Return how many groups there are, and those of the query's page in their order.

    What needs a sort or a join of its own is computed for the groups of the page only.
    """
    measured = BY_NAME.get(order.name)
    now = [m for m in metrics if m == measured or _is_counted_now(m, selection)]
    if measured and measured.source != "requests":
        groups, now = _groups(selection, [], measured), []
    else:
        extra = [measured] if measured and measured not in now else []
        groups = _groups(selection, [*now, *extra], None)
    found, total = _page(connection, selection, groups, _sorted(groups, order, measured))
    later = [metric for metric in metrics if metric not in now]
    if found and (later or not now):
        keys = None if total == len(found) or _is_small(total, selection) else list(found)
        narrowed = Selection(selection.tables, selection.query, shown=keys)
        more = collect(connection, narrowed, later, last=not now)
        for key, values in found.items():
            values.update(more.get(key, {}))
    return total, found


def _is_small(total: int, selection: Selection) -> bool:
    """Whether it costs less to compute all groups than to look for some of them in each row."""
    return selection.tables.columnar and total <= _FEW


def _is_counted_now(metric: Metric, selection: Selection) -> bool:
    """Whether a metric is computed for every group, not only for those of the page."""
    tables = selection.tables
    is_cheap = metric.name != "visitors" or not tables.columnar or tables.cells is not None
    return metric.source == "requests" and is_cheap


def _groups(selection: Selection, metrics: Sequence[Metric], other: Metric | None) -> sa.Subquery:
    """Return every group with metrics of requests, or one of another source: NULL for those that
    its source does not have. What only that source has is no group: a filter may hold for an
    event, and not for the request that it was tracked in."""
    last = other is None
    # The one with values comes first: PostgreSQL takes the type from there.
    parts = [aggregate(selection, other.source, [other])] if other else []
    parts.append(aggregate(selection, "requests", metrics, last=last))
    if selection.lists_events:
        parts.append(aggregate(selection, "events", [], last=last))
    if len(parts) == 1:
        return parts[0].subquery()
    keys = [f"key_{number}" for number in range(len(selection.keys))]
    names = [other.name] if other else [*(metric.name for metric in metrics), "last"]
    every = sa.union_all(
        *(
            _padded(part.subquery(), keys + names, is_listed=number > 0 or other is None)
            for number, part in enumerate(parts)
        )
    ).subquery()
    by = [every.c[key] for key in keys]
    figures = (sa.func.max(every.c[name]).label(name) for name in names)
    grouped = sa.select(*by, *figures).group_by(*by)
    return grouped.having(sa.func.max(every.c.is_listed) == 1).subquery()


def _padded(part: sa.Subquery, names: Sequence[str], *, is_listed: bool) -> sa.Select[Any]:
    columns = (part.c[n] if n in part.c else sa.null().label(n) for n in names)
    return sa.select(*columns, sa.literal_column(str(int(is_listed))).label("is_listed"))


def _sorted(groups: sa.Subquery, order: Order, metric: Metric | None) -> sa.Select[tuple[object]]:
    keys = [column for column in groups.c if column.name.startswith("key_")]
    if order.name == "value":
        by_value = (part for key in keys for part in (key.is_(None), order.of(key)))
        return sa.select(groups).order_by(*by_value)
    by_key: list[Expression] = []
    for key in keys:
        by_key += [key.is_(None), key.asc()]
    figure: Expression = groups.c[order.name]
    if metric and (metric.count or metric.total):
        figure = sa.func.coalesce(figure, 0)
    return sa.select(groups).order_by(figure.is_(None), order.of(figure), *by_key)


def _page(
    connection: sa.Connection, selection: Selection, groups: sa.Subquery, ordered: sa.Select[object]
) -> tuple[Groups, int]:
    query = selection.query
    limit = query.limit or DEFAULT_LIMIT
    found: Groups = {}
    keys = len(selection.keys)
    numbered = ordered.add_columns(sa.func.count().over().label("groups"))
    merge(found, connection.execute(numbered.limit(limit).offset(query.offset)), keys)
    totals = [values.pop("groups") for values in found.values()]
    if found or query.offset == 0:
        return found, int(totals[0]) if totals else 0
    total = sa.select(sa.func.count()).select_from(groups)
    return found, int(connection.execute(total).scalar_one())
