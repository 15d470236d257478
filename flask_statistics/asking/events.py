"""Events: the requests that they were tracked in, their properties, and themselves as rows.

An event belongs to the request with its ``request_date`` and ``request_id`` (``visitor``, where
the model has no such column).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from ..fields import BY_NAME as FIELDS
from .conditions import filtered, holds, in_period, of_people
from .constructs import as_stored, as_text, exact
from .dimensions import Dimensions, grouped
from .filters import EVENT, Absent, Filter, Term, property_name, read_filter
from .metrics import Columns, Expression
from .properties import property_text

if TYPE_CHECKING:
    from .query import Query
    from .source import Source


def is_of_events(dimension: str) -> bool:
    """Whether a request may have several values of a dimension, one from each of its events."""
    return dimension == EVENT.name or property_name(dimension) is not None


class _Link(NamedTuple):
    """What a request and its events have in common: a moment, and a name beside it."""

    date: Expression
    name: Expression


def _request_link(columns: Columns) -> _Link:
    name = columns.get("request_id", columns.get("visitor"))
    return _Link(columns["date"], _name(sa.literal("") if name is None else name))


def _event_link(tables: Source, events: Columns) -> _Link:
    name = next((n for n in ("request_id", "visitor") if tables.model.has(n)), None)
    # The type alone: the column itself would bring its table into the statement.
    like = sa.type_coerce(sa.null(), tables.model.columns["date"].type)
    date = as_stored(events["request_date"], like)
    return _Link(date, _name(sa.literal("") if name is None else events[name]))


def _name(column: Expression) -> Expression:
    return sa.func.coalesce(exact(column), "", type_=sa.String())


def _own_value(dimension: str, events: Columns) -> Expression:
    """Return what an event itself has of a dimension."""
    name = property_name(dimension)
    if name is None:
        return grouped(events["name"])
    value = property_text(events["properties"], name)
    if name == "currency":  # it is kept in a column
        value = sa.func.coalesce(events["currency"], value, type_=sa.String())
    return grouped(value)


def _variable(dimension: str, columns: Columns) -> Expression | None:
    """Return what a request's variables have of a dimension; None where there are none."""
    name = property_name(dimension)
    if name is None or "track_var" not in columns:
        return None
    return grouped(property_text(as_text(columns["track_var"]), name))


# -- dimensions of requests --------------------------------------------------------------------


class EventDimensions:
    """The dimensions of requests that come from their events and variables.

    A request has several values where it has several events. A filter holds for it when any of
    them is accepted and none is excluded; it counts in the group of each.
    """

    def __init__(self, tables: Source, query: Query) -> None:
        self._tables = tables
        self._query = query
        self._columns = tables.model.columns
        self._joined: dict[str, sa.Subquery] = {}
        if tables.events is not None:
            for name in filter(is_of_events, query.group_by):
                self._joined[name] = self._values(name, tables.events)

    def join(self, rows: sa.FromClause) -> sa.FromClause:
        """Return the requests, once for each value of the dimensions that they are grouped by."""
        key = self._tables.model.primary_key
        for values in self._joined.values():
            same = sa.and_(values.c.id == key, values.c.date == self._columns["date"])
            rows = rows.outerjoin(values, same)
        return rows

    def key(self, name: str) -> Expression:
        """Return the values of a dimension as they group."""
        if name in self._joined:
            return self._joined[name].c.value
        variable = _variable(name, self._columns)
        return sa.cast(sa.null(), sa.String()) if variable is None else variable

    def filter(self, condition: Filter) -> list[Expression]:
        """Return the conditions of a filter."""
        terms = read_filter(condition, self._columns)
        conditions = []
        if terms.accepted:
            conditions.append(self._any(condition.dimension, terms.accepted))
        if terms.excluded:
            conditions.append(sa.not_(self._any(condition.dimension, terms.excluded)))
        return conditions

    def _any(self, dimension: str, terms: Sequence[Term]) -> Expression:
        """Return whether a request has a value that one of the terms means."""
        valued = [term for term in terms if not isinstance(term, Absent)]
        found = []
        if valued:
            found.append(
                self._has(
                    dimension, lambda value: sa.or_(*(holds(term, value, value) for term in valued))
                )
            )
        if len(valued) < len(terms):
            found.append(sa.not_(self._has(dimension, lambda value: sa.true())))
        return sa.or_(*found)

    def _has(self, dimension: str, meant: Callable[[Expression], Expression]) -> Expression:
        """Return whether a request has a value of which a condition holds.

        The value, whose expression is long, stands once in the statement, however many texts it
        is compared with.
        """
        found: list[Expression] = []
        table = self._tables.model.table.alias()
        columns = {name: table.c[column.key] for name, column in self._columns.items()}
        variable = _variable(dimension, columns)
        if variable is not None:
            key = self._tables.model.primary_key
            of = (table.c[key.key].label("id"), columns["date"].label("date"))
            shown = in_period(columns["date"], self._query.period)
            values = sa.select(*of, variable.label("value")).where(*shown).subquery()
            fit = sa.select(values.c.id, values.c.date).where(
                values.c.value.is_not(None), meant(values.c.value)
            )
            found.append(sa.tuple_(key, self._columns["date"]).in_(fit))
        if self._tables.events is not None:
            events = dict(self._tables.events.c)
            date, name = _event_link(self._tables, events)
            tracked = (
                sa.select(
                    date.label("date"),
                    name.label("name"),
                    _own_value(dimension, events).label("value"),
                )
                .where(events["request_date"].is_not(None))
                .subquery()
            )
            fit = sa.select(tracked.c.date, tracked.c.name).where(
                tracked.c.value.is_not(None), meant(tracked.c.value)
            )
            found.append(sa.tuple_(*_request_link(self._columns)).in_(fit))
        return sa.or_(sa.false(), *found)

    def _values(self, dimension: str, tracked_events: sa.FromClause) -> sa.Subquery:
        """Return ``id``, ``date`` and ``value``: the values of the period's requests."""
        table = self._tables.model.table.alias()
        columns = {name: table.c[column.key] for name, column in self._columns.items()}
        key = table.c[self._tables.model.primary_key.key]
        events = dict(tracked_events.c)
        request, event = _request_link(columns), _event_link(self._tables, events)
        own, variable = _own_value(dimension, events), _variable(dimension, columns)
        shown = in_period(columns["date"], self._query.period)

        def values(value: Expression, rows: sa.FromClause) -> sa.Select[Any]:
            named = (key.label("id"), columns["date"].label("date"), value.label("value"))
            return sa.select(*named).select_from(rows).where(*shown, value.is_not(None))

        same = sa.and_(request.date == event.date, request.name == event.name)
        tracked = values(own, tracked_events.join(table, same))
        if variable is None:
            return tracked.distinct().subquery()
        return sa.union(tracked, values(variable, table)).subquery()


# -- events as rows ----------------------------------------------------------------------------


class EventRows:
    """The events that a query is about, with their values of its dimensions.

    Where the query filters or groups by what is recorded of requests, these are the events that
    were tracked in requests of the period; else also those that were tracked outside of any.
    Filters on ``event`` and properties are about the event itself; what its properties lack is
    taken from the variables of its request.
    """

    def __init__(self, tables: Source, events: sa.FromClause, query: Query) -> None:
        self._tables = tables
        self._query = query
        self._requests = tables.model.columns
        self._dimensions = Dimensions(tables, query, self._requests, events.c.visit)
        self.events = events
        self._columns: Columns = dict(events.c)
        names = query.dimensions
        self._of_requests = any(name in FIELDS for name in names)
        variables = any(_variable(name, self._requests) is not None for name in names)
        #: Whether an event may be there several times, once for each request that it fits.
        self.is_joined = self._of_requests or variables

    @property
    def source(self) -> sa.FromClause:
        """The events, joined with what their dimensions need."""
        rows = self.events
        if self.is_joined:
            request = _request_link(self._requests)
            event = _event_link(self._tables, self._columns)
            same = sa.and_(
                request.date == event.date,
                request.name == event.name,
                *in_period(request.date, self._query.period),
            )
            rows = rows.join(self._tables.model.table, same, isouter=not self._of_requests)
        return self._dimensions.join(rows)

    @property
    def conditions(self) -> list[Expression]:
        query = self._query
        conditions = in_period(self.events.c.date, query.period)
        conditions += of_people(self.events.c.person, query)
        for condition in query.filters:
            terms = read_filter(condition, self._requests)
            value, stored = self.key(condition.dimension), self._stored(condition.dimension)
            conditions += filtered(terms, value, stored)
        return conditions

    def key(self, name: str) -> Expression:
        """Return the value of a dimension as it groups."""
        if not is_of_events(name):
            return self._dimensions.value(name)
        own, variable = _own_value(name, self._columns), _variable(name, self._requests)
        return own if variable is None else sa.func.coalesce(own, variable, type_=sa.String())

    def _stored(self, name: str) -> Expression:
        return self.key(name) if is_of_events(name) else self._dimensions.stored(name)
