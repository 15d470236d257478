"""Several questions about the same rows, answered from one scan of them.

The rows are counted once into cells: a temporary table with one row for each visitor and
combination of values, some tens of times smaller than what it was counted from. Each question
then adds cells up. The metrics are cut into parts by looking at their own expressions: what they
count, add or take the largest of is counted in each cell and put together again; of distinct
visitors the cells are told apart. So the answers are those of the questions one by one.

Where a database refuses temporary tables (a read replica, a missing privilege) nothing is shared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.sql import operators
from sqlalchemy.sql.visitors import replacement_traverse

from .cells import create, drop, is_refused, permitted
from .columnar import copied
from .metrics import BY_NAME, Expression, Metric, available
from .query import Filter, Query
from .selection import Selection
from .totals import is_unfiltered, names_of
from .visits import look_at_borders

if TYPE_CHECKING:
    from .source import Source

#: What a visitor hardly ever has two values of, so that all together make few cells.
_OF_VISITORS = frozenset(
    {"browser", "browser_version", "platform", "platform_version", "device", "bot", "language"}
    | {"country", "region", "city", "host", "server_name", "site"}
)
#: What has few values altogether.
_OF_REQUESTS = frozenset({"status_code", "method", "mimetype", "source", "exception"})
#: What has few enough values for cells of its own.
_ALONE = frozenset(
    {"route", "endpoint", "blueprint", "version", "authorization"}
    | {f"utm_{part}" for part in ("source", "medium", "campaign", "term", "content")}
)
_MERGED: dict[str, Any] = {
    "count": lambda part: sa.func.coalesce(sa.func.sum(part), 0),
    "sum": sa.func.sum,
    "max": sa.func.max,
    "min": sa.func.min,
}


class Ask(Protocol):
    """A question, as far as it matters here; see :class:`.answers.Ask`."""

    @property
    def kind(self) -> str: ...

    @property
    def query(self) -> Query: ...

    def __hash__(self) -> int: ...


A = TypeVar("A", bound=Ask)


@dataclass
class Cells:
    """The rows of some questions, counted by visitor and values.

    :ivar query: the rows, and by which dimensions they are counted.
    :ivar bucket: by which times, if by any.
    :ivar metrics: what can be answered.
    """

    source: Source
    query: Query
    bucket: str | None
    metrics: Sequence[Metric]
    #: Whether a question groups by less than the cells do.
    merges: bool
    table: str = ""
    _parts: list[Expression] = field(default_factory=list)
    _who: Expression | None = None
    #: Whether each visitor has one cell, so that cells need only be counted.
    _is_unique: bool = False

    def count(self, connection: sa.Connection, table: str) -> None:
        """Count the rows into a temporary table."""
        self._selection = Selection(self.source, self.query, bucket=self.bucket)
        self._rows = self._selection.rows()
        self._last = sa.func.max(self._rows.columns["date"])
        for metric in self.metrics:
            self._merged(metric.expression(self._rows.columns))
        self._merged(self._last)
        self.table = table
        keys = [*self._rows.keys, *([] if self._who is None else [self._who])]
        create(connection, table, self._rows.source, keys, self._parts)
        self._stored = [sa.column(f"key_{n}", key.type) for n, key in enumerate(keys)]
        if self._who is not None and self.merges:
            who = self._stored[-1]
            cells = sa.select(who).select_from(sa.table(table)).where(who.is_not(None))
            several = cells.group_by(who).having(sa.func.count() > 1).limit(1)
            self._is_unique = connection.execute(several).first() is None

    def suits(self, ask: Ask) -> bool:
        """Whether the cells are of the times that a question asks for."""
        return ask.kind != "timeseries" or _bucket(ask) == self.bucket

    def aggregate(
        self, selection: Selection, metrics: Sequence[Metric], *, last: bool
    ) -> sa.Select[Any]:
        """Return the statement that :func:`.aggregates.aggregate` would, but over the cells."""
        times = len(self._rows.keys) - len(self.query.group_by)
        by: list[Expression] = list(self._stored[:times]) if selection.bucket else []
        by += [self._stored[times + self.query.group_by.index(n)] for n in selection.query.group_by]
        figures = [
            self._merged(metric.expression(self._rows.columns)).label(metric.name)
            for metric in metrics
        ]
        if last:
            figures.append(self._merged(self._last).label("last"))
        cells: sa.FromClause = sa.table(self.table)
        known = _known_only(selection.query) and not _known_only(self.query)
        condition = by[-1].is_not(None) if known else sa.true()
        if any(metric.name == "visitors" for metric in metrics) and not self._is_apart(by):
            cells, by = self._of_visitors(by, condition)
            condition = sa.true()
        names = [key.label(f"key_{number}") for number, key in enumerate(by)]
        statement = sa.select(*names, *figures).select_from(cells).where(condition)
        return statement.group_by(*by) if by else statement

    def _is_apart(self, by: Sequence[Expression]) -> bool:
        """Whether no visitor has two cells in a group."""
        return self._is_unique or len(by) == len(self._rows.keys)

    def _of_visitors(
        self, by: Sequence[Expression], condition: Expression
    ) -> tuple[sa.Subquery, list[Expression]]:
        """Return the cells of a visitor in a group as one: quicker than to count distinct ones."""
        names = [key.label(f"of_{number}") for number, key in enumerate(by)]
        who = self._stored[-1]
        parts = [self._part(number).label(f"part_{number}") for number in range(len(self._parts))]
        cells = sa.select(*names, who.label(f"key_{len(self._stored) - 1}"), *parts)
        cells = cells.select_from(sa.table(self.table)).where(condition)
        merged = cells.group_by(who, *by).subquery()
        return merged, [merged.c[name.name] for name in names]

    def _merged(self, expression: Expression) -> Expression:
        """Return a metric over cells instead of rows; note the parts that it needs."""
        found: Expression = replacement_traverse(expression, {}, self._merge)
        return found

    def _merge(self, element: Any, **_: Any) -> Expression | None:
        if not isinstance(element, sa.sql.functions.FunctionElement) or (
            getattr(element, "name", None) not in _MERGED
        ):
            return None
        counted_clause = next(iter(element.clauses))
        if getattr(counted_clause, "operator", None) is operators.distinct_op:
            return self._distinct(counted_clause.element)
        number = next((n for n, p in enumerate(self._parts) if p.compare(element)), None)
        if number is None:
            number = len(self._parts)
            self._parts.append(element)
        return self._part(number)

    def _part(self, number: int) -> Expression:
        part = self._parts[number]
        merged: Expression = _MERGED[part.name](sa.column(f"part_{number}", part.type))
        return merged

    def _distinct(self, who: Expression) -> Expression:
        if self._who is None:
            self._who = who
        if not self._who.compare(who):
            raise NotImplementedError("cells tell apart one thing only")
        if not self.table:
            return sa.func.count()
        return sa.func.count(self._stored[-1])


@contextmanager
def shared(
    connection: sa.Connection, source: Source, asks: Sequence[A]
) -> Iterator[dict[A, Source]]:
    """Give for each question the source that answers it from cells, where it has any."""
    if source.columnar:
        # Measured: columns are copied faster than counted into cells of many dimensions.
        known = _known(connection, source, asks)
        for ask in known:
            look_at_borders(connection, source, ask.query)
        with copied(connection, source, [ask for ask in asks if ask not in known]) as copies:
            yield known | copies
        return
    for ask in asks:
        look_at_borders(connection, source, ask.query)
    known = _known(connection, source, asks)
    planned = _plan(source, [ask for ask in asks if ask not in known], connection.dialect.name)
    if len({ask for of, _ in planned for ask in of}) < 2 or not permitted(connection):
        yield known
        return
    found: dict[A, Source] = {}
    made: list[str] = []
    try:
        for of, cells in planned:
            made.append(f"statistics_cells_{len(made)}")
            cells.count(connection, made[-1])
            found.update((ask, replace(source, cells=cells)) for ask in of if cells.suits(ask))
    except BaseException as error:  # a deadline that has passed, too: the pool takes no tables back
        drop(connection, made)
        if not (isinstance(error, sa.exc.DBAPIError) and is_refused(error)):
            raise
        found = {}
    try:
        yield known | found
    finally:
        drop(connection, made)


def _known(connection: sa.Connection, source: Source, asks: Sequence[A]) -> dict[A, Source]:
    """Return the questions that figures answer which were added up before."""
    plain = [ask for ask in asks if ask.kind != "requests" and is_unfiltered(ask.query)]
    names = {name for ask in plain for name in names_of(ask)}
    spans = {(ask.query.period.begins, ask.query.period.ends) for ask in plain}
    totals = source.totals(connection, names, spans)
    suited = [ask for ask in plain if totals and totals.suits(source, ask)]
    return {ask: replace(source, cells=totals) for ask in suited}


def _plan(source: Source, asks: Sequence[A], dialect: str) -> list[tuple[list[A], Cells]]:
    """Return which questions to answer from which cells."""
    rooms: dict[object, list[A]] = {}
    for ask in asks:
        room = _room(source, ask)
        if room is not None:
            of = rooms.setdefault((room, *_rows_of(ask.query, room)), [])
            of += [] if ask in of else [ask]
    return [(of, _cells(source, of)) for of in rooms.values() if _is_worth_it(of, dialect)]


def _is_worth_it(of: Sequence[Ask], dialect: str) -> bool:
    """Whether cells cost less than the questions: all but SQLite sort for distinct visitors."""
    return len(of) > 1 or of[0].kind == "breakdown" or dialect != "sqlite"


def _room(source: Source, ask: Ask) -> str | None:
    """Return which questions one can share cells with; None where it has to be asked alone."""
    query = ask.query
    if ask.kind not in {"summary", "timeseries", "breakdown"} or not _metrics(source, query):
        return None
    if ask.kind != "breakdown" or (len(query.group_by) == 1 and query.group_by[0] in _OF_VISITORS):
        return "visitors"
    if len(query.group_by) != 1 or query.group_by[0] not in _OF_REQUESTS | _ALONE:
        return None
    return "requests" if query.group_by[0] in _OF_REQUESTS else query.group_by[0]


def _metrics(source: Source, query: Query) -> list[Metric]:
    """Return what a query needs of requests; nothing where its names are not known."""
    known = {metric.name for metric in available(source.model.columns)}
    ordered = [(query.order or "-hits").removeprefix("-")] if query.group_by else []
    names = [*(query.metrics or known), *(name for name in ordered if name in BY_NAME)]
    if not known.issuperset(names) or not set(query.group_by) <= source.model.columns.keys():
        return []
    return [BY_NAME[name] for name in names if BY_NAME[name].source == "requests"]


def _known_only(query: Query) -> bool:
    """Whether requests without a value are left out by the filter of the dimension itself."""
    return len(query.group_by) == 1 and Filter(query.group_by[0], ("!",)) in query.filters


def _rows_of(query: Query, room: str) -> tuple[object, ...]:
    filters = query.filters
    if _known_only(query) and room in {"visitors", "requests"}:  # cells without a value are left
        filters = tuple(f for f in filters if f != Filter(query.group_by[0], ("!",)))
    return query.period, filters, query.include_bots


def _cells(source: Source, of: Sequence[Ask]) -> Cells:
    queries = [ask.query for ask in of]
    room = _room(source, of[0]) or ""
    _, filters, _ = _rows_of(queries[0], room)
    dimensions = dict.fromkeys(name for q in queries for name in q.group_by)
    metrics = dict.fromkeys(metric for q in queries for metric in _metrics(source, q))
    bucket = next((_bucket(ask) for ask in of if ask.kind == "timeseries"), None)
    query = queries[0].replace(filters=filters, group_by=tuple(dimensions))
    keys = len(dimensions) + (bucket is not None)
    merges = any(len(ask.query.group_by) + (ask.kind == "timeseries") < keys for ask in of)
    return Cells(source, query, bucket, list(metrics), merges)


def _bucket(ask: Ask) -> str:
    return ask.query.bucket or ask.query.period.interval
