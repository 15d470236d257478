"""Answers to queries, computed by the host's database."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ..errors import QueryError
from ..fields import BY_NAME as FIELDS
from .aggregates import collect
from .filters import shown
from .metrics import Expression, Metric, available
from .period import LABEL_LENGTH
from .query import DEFAULT_LIMIT, Filter, Query
from .ranking import Order, rank
from .reading import reading
from .selection import Selection

if TYPE_CHECKING:
    from ..model import Model

Number = int | float | None


@dataclass(frozen=True)
class Breakdown:
    """One dimension's values.

    :ivar total: how many distinct values there are, whatever the limit; no value counts as one.
    :ivar rows: a dict each: ``value`` (None for requests without one), every metric asked for,
        and ``last``, when it was last requested (ISO 8601, UTC).
    """

    dimension: str
    total: int
    rows: list[dict[str, Any]]


class Answers:
    """Answers queries about one model.

    :param engine: returns the engine that the model is bound to.

    Every method raises :class:`~flask_statistics.errors.QueryError` for a query that cannot be
    asked of this model, and SQLAlchemy's errors when the database fails.
    """

    def __init__(self, engine: Callable[[], sa.Engine], model: Model) -> None:
        self._engine = engine
        self.model = model

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics that the model's columns allow."""
        return available(self.model.columns)

    def summary(self, query: Query) -> dict[str, Number]:
        """Return the metrics over the whole period: counts of nothing are 0, means None."""
        metrics = self._asked(query)
        selection = Selection(self.model, query.replace(group_by=()))
        with reading(self._engine()) as connection:
            found = collect(connection, selection, metrics)
        return _figures(metrics, found.get((), {}))

    def timeseries(self, query: Query) -> list[dict[str, Any]]:
        """Return the metrics of each bucket of the period, in order, empty ones included.

        ``start`` is a date, for hours a time with offset; weeks begin on Monday, and the first
        bucket may begin before the period.
        """
        length = query.bucket or query.period.interval
        buckets, metrics = query.period.buckets(length), self._asked(query)
        selection = Selection(self.model, query.replace(group_by=()), bucket=length)
        with reading(self._engine()) as connection:
            found = collect(connection, selection, metrics)
        by_key = {_bucket_key(key, length): values for key, values in found.items()}
        return [
            {"start": start, **_figures(metrics, by_key.get((label, segment), {}))}
            for label, segment, start in buckets
        ]

    def breakdown(self, query: Query) -> Breakdown:
        """Return a page of the values of the one dimension that the query groups by.

        Sorted by ``query.order``: a metric, ``value`` or ``last``, descending with a leading
        ``-``; without one the most hits come first. Unknown figures come last, equal ones in
        the order of their values.
        """
        if len(query.group_by) != 1:
            raise QueryError("dimension", "a breakdown is by exactly one dimension")
        metrics, order = self._asked(query), self._breakdown_order(query)
        with reading(self._engine()) as connection:
            total, found = rank(connection, Selection(self.model, query), metrics, order)
        rows = [
            {
                "value": json_value(value),
                **_figures(metrics, values),
                "last": json_value(values["last"]),
            }
            for (value,), values in found.items()
        ]
        return Breakdown(query.group_by[0], total, rows)

    def requests(self, query: Query, *, personal: bool = False) -> list[dict[str, Any]]:
        """Return a page of single requests, newest first, with values that JSON has.

        Every recorded column of the model is in them, and ``id``, the primary key. Sorted by
        ``query.order``: ``date`` or any number, such as ``-response_time``.

        :param personal: whether personal columns are among them.
        """
        columns = {
            name: column
            for name, column in self.model.columns.items()
            if personal or not FIELDS[name].personal
        }
        selection = Selection(self.model, query.replace(group_by=()))
        statement = (
            sa.select(
                self.model.primary_key.label("id"),
                *(column.label(name) for name, column in columns.items() if name != "id"),
            )
            .select_from(selection.source)
            .where(*selection.conditions)
            .order_by(*self._request_order(query))
            .limit(query.limit or DEFAULT_LIMIT)
            .offset(query.offset)
        )
        with reading(self._engine()) as connection:
            found = connection.execute(statement).mappings().all()
        return [{name: json_value(value) for name, value in row.items()} for row in found]

    def count(self, query: Query) -> int:
        """Return how many requests there are, whatever the limit."""
        selection = Selection(self.model, query.replace(group_by=()))
        counted = sa.select(sa.func.count()).select_from(selection.source)
        with reading(self._engine()) as connection:
            return int(connection.execute(counted.where(*selection.conditions)).scalar_one())

    def has_routes(self, query: Query) -> bool:
        """Whether most requests have a route: lines of an imported log have none.

        :raises QueryError: where the model has no column ``route``.
        """
        with_route = query.replace(filters=(*query.filters, Filter("route", ("!",))))
        return 2 * self.count(with_route) >= self.count(query)

    def _asked(self, query: Query) -> tuple[Metric, ...]:
        by_name = {metric.name: metric for metric in self.metrics}
        for name in query.metrics:
            if name not in by_name:
                raise QueryError("metric", _none_of(name, by_name))
        return tuple(by_name[name] for name in query.metrics or by_name)

    def _breakdown_order(self, query: Query) -> Order:
        order = Order.read(query.order or "-hits")
        known = [metric.name for metric in self.metrics] + ["value", "last"]
        if order.name not in known:
            raise QueryError("sort", _none_of(order.name, known))
        return order

    def _request_order(self, query: Query) -> list[Expression]:
        order = Order.read(query.order or "-date")
        known = {
            field: column
            for field, column in self.model.columns.items()
            if FIELDS[field].kind in {"number", "moment"}
        }
        column = known.get(order.name)
        if column is None:
            raise QueryError("sort", _none_of(order.name, known))
        newest: list[Expression] = [known["date"].desc(), self.model.primary_key.desc()]
        if order == Order("date", descending=True):
            return newest  # as the index on the date has them
        return [column.is_(None), order.of(column), *newest]


def _none_of(name: str, known: Iterable[str]) -> str:
    return f"{shown(name)} is none of {', '.join(known)}"


def _bucket_key(key: tuple[Any, ...], length: str) -> tuple[str, int]:
    segment = key[1] if length == "hour" else 0
    return str(key[0])[: LABEL_LENGTH[length]], int(segment)


def _figures(metrics: tuple[Metric, ...], values: dict[str, Any]) -> dict[str, Number]:
    return {metric.name: _figure(metric, values.get(metric.name)) for metric in metrics}


def _figure(metric: Metric, value: Any) -> Number:
    if value is None:
        return 0 if metric.count else None
    return int(value) if metric.count else float(value)


def json_value(value: Any) -> Any:
    """Return a column's value as JSON has it: moments as ISO 8601 in UTC, all else as text."""
    if isinstance(value, datetime):
        utc = value.astimezone(timezone.utc).replace(tzinfo=None) if value.tzinfo else value
        return utc.isoformat() + "Z"
    if isinstance(value, Decimal):
        value = int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return value.isoformat() if isinstance(value, date | time) else str(value)
