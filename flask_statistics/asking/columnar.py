"""Several questions about the same rows of an archive, answered from one copy of these.

Nothing is copied for what was added up before, nor for a question that is alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa

from .asked import Ask, counts_visits, is_of_known, metrics_of
from .cells import drop
from .conditions import boundary, in_period, of_people, person
from .constructs import exact
from .copied import Copy
from .events import is_of_events
from .filters import VISIT_DIMENSIONS, Equal, Filter, read_filter
from .metrics import Expression, page_view
from .query import Query
from .selection import Selection
from .visits import look_at_borders, whole_visits

if TYPE_CHECKING:
    from .source import Source

#: What conditions look at, whatever the filters.
_READ = frozenset({"date", "method", "status_code", "mimetype", "bot", "path"})
#: Under which name a connection knows what lists all values that dimensions may have, of those
#: that have few.
VALUES = "statistics_values"
_Values = Callable[[Set[str]], Mapping[str, Sequence[Any]]]

A = TypeVar("A", bound=Ask)


@contextmanager
def copied(
    connection: sa.Connection, source: Source, asks: Sequence[A]
) -> Iterator[dict[A, Source]]:
    """Give for each question the source that answers it from a copy, where it has any."""
    made: list[str] = []
    try:
        yield _copies(connection, source, asks, made)
    finally:
        drop(connection, made)


def _copies(
    connection: sa.Connection, source: Source, asks: Sequence[A], made: list[str]
) -> dict[A, Source]:
    rooms: dict[object, list[A]] = {}
    for ask in asks:
        if _suits(source, ask):
            of = rooms.setdefault(_rows_of(ask.query), [])
            of += [] if ask in of else [ask]
    several = [of for of in rooms.values() if len(of) > 1]
    names = {name for of in several for ask in of for name in ask.query.group_by}
    known: _Values = connection.info.get(VALUES, lambda _: {})
    values = known(names) if names else {}
    found: dict[A, Source] = {}
    for number, of in enumerate(several):
        if any(f.dimension in VISIT_DIMENSIONS for f in of[0].query.filters):
            look_at_borders(connection, source, of[0].query)
        copy = Copy(source, _query(of[0].query), of, values, number, made)
        if copy.fill(connection):
            answering = replace(source, cells=copy, columnar=False)
            narrowed = _of_visits(connection, answering, copy, of)
            found.update((ask, narrowed.get(ask, answering)) for ask in of)
    for ask in asks:
        if ask not in found or found[ask].model is source.model:
            look_at_borders(connection, source, ask.query)
    return found


def _suits(source: Source, ask: Ask) -> bool:
    """Whether a copy can answer a question."""
    query = ask.query
    if ask.kind not in {"summary", "timeseries", "breakdown"} or len(query.group_by) > 1:
        return False
    if (ask.kind == "breakdown") != bool(query.group_by):
        return False
    if not set(query.group_by) <= source.model.columns.keys():
        return False
    try:
        metrics = metrics_of(source, query)
    except KeyError:  # the answer will say so
        return False
    order = (query.order or "").removeprefix("-")
    # What is sorted by another source is joined with requests in ways of its own.
    return all(m.source == "requests" for m in metrics if query.group_by and m.name == order)


def _query(query: Query) -> Query:
    """Return which rows a question is about."""
    filters = query.filters
    if is_of_known(query):
        filters = tuple(f for f in filters if f != Filter(query.group_by[0], ("!",)))
    return Query(query.period, filters=filters, include_bots=query.include_bots)


def _rows_of(query: Query) -> tuple[object, ...]:
    rows = _query(query)
    return rows.period, rows.filters, rows.include_bots


# -- visits ------------------------------------------------------------------------------------


def _of_visits(
    connection: sa.Connection, source: Source, copy: Copy, asks: Sequence[A]
) -> dict[A, Source]:
    """Return sources for totals of visits that know which visits the rows are of."""
    chosen = [ask for ask in asks if counts_visits(source, ask)]
    if not chosen or any(is_of_events(f.dimension) for f in copy.query.filters):
        return {}
    constants = _page_view(connection, copy)
    if constants is None:
        return {}
    visits = _tracked(connection, copy)
    columns: Any = {**constants, "visit": visits.c.visit}
    table: Any = visits
    model = replace(source.model, table=table, columns=columns)
    return {
        ask: replace(
            source, model=model, events=None, kept=_kept(connection, copy, ask.query, visits)
        )
        for ask in chosen
    }


def _tracked(connection: sa.Connection, copy: Copy) -> sa.FromClause:
    """Return the visits of a copy, with those of events that were tracked in such requests."""
    source, query = copy.source, copy.query
    if source.events is None:
        return copy.visits
    events = source.events.c
    tracked = [*in_period(events.date, query.period), *of_people(events.person, query)]
    if connection.execute(sa.select(sa.literal(1)).where(*tracked).limit(1)).first() is None:
        return copy.visits
    visit = Selection(source, query).event_rows().columns["visit"]
    others = sa.select(exact(visit).label("visit")).where(visit.is_not(None))
    return copy.make(connection, "all_visits", sa.union(sa.select(copy.visits.c.visit), others))


def _page_view(connection: sa.Connection, copy: Copy) -> dict[str, Expression] | None:
    """Return the values of one page view, for whatever conditions look at; None without any.

    The visits of a copy are those of rows that meet the conditions. The statement that counts
    them asks for these again, of this row instead.
    """
    columns = copy.source.model.columns
    found: dict[str, Expression] = {
        "date": boundary(copy.query.period.begins),
        "method": sa.literal("GET"),
        "status_code": sa.literal(200),
        "mimetype": sa.literal("text/html"),
        "bot": sa.literal("bot") if copy.query.include_bots == "only" else _nothing(sa.String()),
        "path": _nothing(sa.String()),
    }
    found = {name: value for name, value in found.items() if name in columns}
    for condition in copy.query.filters:
        name = condition.dimension
        if name in VISIT_DIMENSIONS:
            continue
        terms = read_filter(condition, columns)
        value = terms.accepted[0] if terms.accepted and not terms.excluded else None
        if name in found or not isinstance(value, Equal):
            return _any_page_view(connection, copy)
        found[name] = sa.literal(value.value, columns[name].type)
    return found


def _any_page_view(connection: sa.Connection, copy: Copy) -> dict[str, Expression] | None:
    """Return the values of a page view that is there; None where there is none."""
    selection, columns = Selection(copy.source, copy.query), copy.source.model.columns
    named = {f.dimension for f in copy.query.filters if f.dimension not in VISIT_DIMENSIONS}
    read = {name: columns[name] for name in sorted(named | _READ) if name in columns}
    viewed = page_view({**columns, "person": person(columns, copy.query)})
    statement = sa.select(*read.values()).select_from(selection.source)
    statement = statement.where(*selection.conditions, viewed, columns["visit"].is_not(None))
    row = connection.execute(statement.limit(1)).first()
    if row is None:
        return None
    values = zip(read.items(), row, strict=True)
    return {
        name: _nothing(column.type) if value is None else sa.literal(value, column.type)
        for (name, column), value in values
    }


def _nothing(type_: Any) -> Expression:
    return sa.cast(sa.null(), type_)


def _kept(
    connection: sa.Connection, copy: Copy, query: Query, visits: sa.FromClause
) -> dict[Any, Any]:
    """Return what statements about visits find made: the visits themselves."""
    source = copy.source
    asked = {m.name for m in metrics_of(source, query) if m.source == "visits"}
    by_pages = any(f.dimension == "visit_page_views" for f in query.filters)
    if asked != {"visits"} or by_pages:
        look_at_borders(connection, source, query)
        whole_visits(source, query)
        return source.kept
    # Each visit is there with a page view or event: to count them, no more need be known.
    counted = sa.select(visits.c.visit)
    key = None, source.visits is None, query.period, query.include_bots
    return source.kept | {key: counted.subquery()}
