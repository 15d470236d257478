"""Answers to queries, computed by the host's database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa

from ..errors import QueryError
from ..fields import BY_NAME as FIELDS
from .aggregates import collect
from .figures import Number, bucket_key, figures, json_key, json_value, points
from .filters import shown
from .metrics import Expression, Metric, available
from .query import DEFAULT_LIMIT, Query
from .ranking import Order, rank
from .selection import Key, Selection
from .sharing import shared
from .source import Source

if TYPE_CHECKING:
    from ..model import Model


@dataclass(frozen=True)
class Breakdown:
    """The values of one dimension, or the pairs of two.

    :ivar dimension: its name, those of two with a comma between.
    :ivar total: how many distinct values there are, whatever the limit; no value counts as one.
    :ivar rows: a dict each: ``value`` (None for requests without one, a list of two dimensions'),
        every metric asked for, and ``last``, when it was last requested (ISO 8601, UTC).
    """

    dimension: str
    total: int
    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class Series:
    """One line of a chart for each of the first values of a dimension, or pairs of two.

    :ivar dimension: as of :class:`Breakdown`.
    :ivar total: how many distinct values there are, whatever the limit.
    :ivar series: a dict each, in the breakdown's order: ``value``, and ``points`` as
        :meth:`Answers.timeseries` has them.
    """

    dimension: str
    total: int
    series: list[dict[str, Any]]


Kind = Literal["summary", "timeseries", "breakdown", "series", "requests", "count"]
#: Lines of a chart when the query names no limit, and points of all of them together.
DEFAULT_SERIES, MOST_POINTS = 10, 50_000


@dataclass(frozen=True)
class Ask:
    """One question among several that are answered together.

    :ivar kind: the method of :class:`Answers` that would answer it alone.
    :ivar personal: whether personal columns may be in single requests.
    """

    kind: Kind
    query: Query
    personal: bool = False


#: Called with questions, and with what computes answers to some of them.
Share = Callable[[Sequence[Ask], Callable[[Sequence[Ask]], list[Any]]], list[Any]]


class Answers:
    """Answers queries about one model.

    :param sources: returns where the answers come from; asked anew for each call.
    :param model: the host's model.
    :param share: gives answers that are at hand, and lets the others be computed (see
        :class:`~flask_statistics.asking.keeping.Kept`); without it all are computed.

    Every method raises :class:`~flask_statistics.errors.QueryError` for a query that cannot be
    asked of this model, and SQLAlchemy's errors when the database fails.
    """

    def __init__(
        self, sources: Callable[[], Source], model: Model, share: Share | None = None
    ) -> None:
        self._sources = sources
        self._share = share
        self.model = model

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics that the model's columns allow."""
        return available(self.model.columns)

    def many(self, asks: Iterable[Ask]) -> list[Any]:
        """Return an answer to each question, all computed on one connection."""
        asks = list(asks)
        return self._share(asks, self._computed) if self._share else self._computed(asks)

    def _computed(self, asks: Sequence[Ask]) -> list[Any]:
        source = self._sources()
        spans = [(ask.query.period.begins, ask.query.period.ends) for ask in asks]
        with source.open(spans) as connection:
            seen = source.seen_by(connection)
            with shared(connection, seen, asks) as cells:
                return [
                    getattr(self, f"_{ask.kind}")(connection, cells.get(ask, seen), ask)
                    for ask in asks
                ]

    def summary(self, query: Query) -> dict[str, Number]:
        """Return the metrics over the whole period: counts of nothing are 0, means None."""
        found: dict[str, Number] = self.many([Ask("summary", query)])[0]
        return found

    def timeseries(self, query: Query) -> list[dict[str, Any]]:
        """Return the metrics of each bucket of the period, in order, empty ones included.

        ``start`` is a date, for hours a time with offset. The first bucket may begin before the
        period.
        """
        found: list[dict[str, Any]] = self.many([Ask("timeseries", query)])[0]
        return found

    def breakdown(self, query: Query) -> Breakdown:
        """Return a page of the values of the one or two dimensions that the query groups by.

        Sorted by ``query.order``: a metric, ``value`` or ``last``, descending with a leading
        ``-``; without one the most hits come first. Unknown figures come last, equal ones in
        the order of their values.
        """
        found: Breakdown = self.many([Ask("breakdown", query)])[0]
        return found

    def series(self, query: Query) -> Series:
        """Return the timeseries of each value on the first page of a breakdown."""
        found: Series = self.many([Ask("series", query)])[0]
        return found

    def requests(self, query: Query, *, personal: bool = False) -> list[dict[str, Any]]:
        """Return a page of single requests, newest first, with values that JSON has.

        Every recorded column of the model is in them, and ``id``, the primary key. Sorted by
        ``query.order``: ``date`` or any number, such as ``-response_time``.

        :param personal: whether personal columns are among them.
        """
        found: list[dict[str, Any]] = self.many([Ask("requests", query, personal)])[0]
        return found

    def count(self, query: Query) -> int:
        """Return how many requests there are, whatever the limit."""
        found: int = self.many([Ask("count", query)])[0]
        return found

    def _summary(self, connection: sa.Connection, source: Source, ask: Ask) -> dict[str, Number]:
        metrics = self._asked(ask.query)
        selection = Selection(source, ask.query.replace(group_by=()))
        return figures(metrics, collect(connection, selection, metrics).get((), {}))

    def _timeseries(
        self, connection: sa.Connection, source: Source, ask: Ask
    ) -> list[dict[str, Any]]:
        query = ask.query
        length = query.bucket or query.period.interval
        buckets, metrics = query.period.buckets(length), self._asked(query)
        selection = Selection(source, query.replace(group_by=()), bucket=length)
        found = collect(connection, selection, metrics)
        return points(buckets, metrics, {bucket_key(key, length): v for key, v in found.items()})

    def _breakdown(self, connection: sa.Connection, source: Source, ask: Ask) -> Breakdown:
        query = ask.query
        _check_dimensions(query)
        metrics, order = self._asked(query), self._breakdown_order(query)
        total, found = rank(connection, Selection(source, query), metrics, order)
        rows = [
            {
                "value": json_key(key),
                **figures(metrics, values),
                "last": json_value(values["last"]),
            }
            for key, values in found.items()
        ]
        return Breakdown(",".join(query.group_by), total, rows)

    def _series(self, connection: sa.Connection, source: Source, ask: Ask) -> Series:
        query = ask.query.replace(limit=ask.query.limit or DEFAULT_SERIES)
        _check_dimensions(query)
        length = query.bucket or query.period.interval
        buckets, metrics = query.period.buckets(length), self._asked(query)
        order = self._breakdown_order(query)
        total, groups = rank(connection, Selection(source, query), (), order)
        if len(groups) * len(buckets) > MOST_POINTS:
            raise QueryError("limit", f"{len(groups)} lines of {len(buckets)} points are too many")
        selection = Selection(source, query, bucket=length, shown=list(groups))
        found = collect(connection, selection, metrics) if groups else {}
        by_group: dict[Key, dict[tuple[str, int], dict[str, Any]]] = {key: {} for key in groups}
        for key, values in found.items():
            by_group[key[-len(query.group_by) :]][bucket_key(key, length)] = values
        series = [
            {"value": json_key(key), "points": points(buckets, metrics, of)}
            for key, of in by_group.items()
        ]
        return Series(",".join(query.group_by), total, series)

    def _requests(
        self, connection: sa.Connection, source: Source, ask: Ask
    ) -> list[dict[str, Any]]:
        query, model = ask.query, source.model
        columns = {
            name: column
            for name, column in model.columns.items()
            if ask.personal or not FIELDS[name].personal
        }
        selection = Selection(source, query.replace(group_by=()))
        statement = (
            sa.select(
                model.primary_key.label("id"),
                *(column.label(name) for name, column in columns.items() if name != "id"),
            )
            .select_from(selection.source)
            .where(*selection.conditions)
            .order_by(*_request_order(model, query))
            .limit(query.limit or DEFAULT_LIMIT)
            .offset(query.offset)
        )
        found = connection.execute(statement).mappings().all()
        return [{name: json_value(value) for name, value in row.items()} for row in found]

    def _count(self, connection: sa.Connection, source: Source, ask: Ask) -> int:
        selection = Selection(source, ask.query.replace(group_by=()))
        counted = sa.select(sa.func.count()).select_from(selection.source)
        return int(connection.execute(counted.where(*selection.conditions)).scalar_one())

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


def _request_order(model: Model, query: Query) -> list[Expression]:
    order = Order.read(query.order or "-date")
    known = {
        field: column
        for field, column in model.columns.items()
        if FIELDS[field].kind in {"number", "moment"}
    }
    column = known.get(order.name)
    if column is None:
        raise QueryError("sort", _none_of(order.name, known))
    newest: list[Expression] = [known["date"].desc(), model.primary_key.desc()]
    if order == Order("date", descending=True):
        return newest  # as the index on the date has them
    return [column.is_(None), order.of(column), *newest]


def _none_of(name: str, known: Iterable[str]) -> str:
    return f"{shown(name)} is none of {', '.join(known)}"


def _check_dimensions(query: Query) -> None:
    if not 1 <= len(query.group_by) <= 2:
        raise QueryError("dimension", "a breakdown is by one dimension, or by two")
    if len(set(query.group_by)) != len(query.group_by):
        raise QueryError("dimension", f"{query.group_by[0]} is given 2 times")
