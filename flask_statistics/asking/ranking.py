"""The groups of a breakdown in their order, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from .aggregates import Groups, aggregate, collect, merge
from .metrics import BY_NAME, Expression, Metric
from .query import DEFAULT_LIMIT
from .selection import Selection


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
    now = [metric for metric in metrics if metric.source == "requests"]
    if measured and measured.source != "requests":
        groups, now = _groups_by(selection, measured), []
    else:
        extra = [measured] if measured and measured not in now else []
        groups = aggregate(selection, "requests", [*now, *extra], last=True).subquery()
    found, total = _page(connection, selection, groups, _sorted(groups, order, measured))
    later = [metric for metric in metrics if metric not in now]
    if found and (later or not now):
        keys = None if total == len(found) else [key for (key,) in found]
        narrowed = Selection(selection.model, selection.query, shown=keys)
        more = collect(connection, narrowed, later, last=not now)
        for key, values in found.items():
            values.update(more.get(key, {}))
    return total, found


def _groups_by(selection: Selection, metric: Metric) -> sa.Subquery:
    """Return every group with one metric; NULL for those that its source does not have."""
    measured = aggregate(selection, metric.source, [metric]).subquery()
    groups = aggregate(selection, "requests", []).subquery()
    both = sa.union_all(
        sa.select(measured.c.key_0, measured.c[metric.name]),
        sa.select(groups.c.key_0, sa.null().label(metric.name)),
    ).subquery()
    figure = sa.func.max(both.c[metric.name]).label(metric.name)
    return sa.select(both.c.key_0, figure).group_by(both.c.key_0).subquery()


def _sorted(groups: sa.Subquery, order: Order, metric: Metric | None) -> sa.Select[tuple[object]]:
    key = groups.c.key_0
    figure: Expression = key if order.name == "value" else groups.c[order.name]
    if metric and metric.count:
        figure = sa.func.coalesce(figure, 0)
    return sa.select(groups).order_by(figure.is_(None), order.of(figure), key.is_(None), key.asc())


def _page(
    connection: sa.Connection, selection: Selection, groups: sa.Subquery, ordered: sa.Select[object]
) -> tuple[Groups, int]:
    query = selection.query
    limit = query.limit or DEFAULT_LIMIT
    found: Groups = {}
    merge(found, connection.execute(ordered.limit(limit).offset(query.offset)), 1)
    if query.offset == 0 and len(found) < limit:
        return found, len(found)
    total = sa.select(sa.func.count()).select_from(groups)
    return found, int(connection.execute(total).scalar_one())
