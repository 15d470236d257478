"""Visits as far as they lie in a period: one row each, from the table of visits or the requests.

A visit that lies in the period with all its page views and events is read from the table. One
that began before, or went on after, is computed from what lies in the period.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from .conditions import boundary, in_period, of_bots, of_people, person
from .constructs import exact, shifted
from .filters import VISIT_DIMENSIONS
from .metrics import BY_NAME, Expression, page_view

if TYPE_CHECKING:
    from .query import Query
    from .source import Source

PAGES = ("entry_path", "exit_path")
_FIGURES = ("page_views", "events", "first", "last")


class _Part(NamedTuple):
    """Visits of which something lies outside of the period.

    :ivar visits: their names.
    :ivar dates: gives the conditions of the moments at which their requests may lie.
    """

    visits: sa.Select[tuple[str]]
    dates: Callable[[Expression], list[Expression]]


def whole_visits(tables: Source, query: Query) -> sa.Subquery:
    """Return the visits of a query's period, whatever its filters, with at least one page view
    or event: ``visit``, ``page_views``, ``events``, ``first`` and ``last`` (of either)."""
    return _once(tables, query, None, lambda: _whole_visits(tables, query))


def visit_pages(tables: Source, query: Query, page: str) -> sa.Subquery:
    """Return ``visit`` and ``path``, its first or last page, of each visit of a query's period
    with a page view."""
    return _once(tables, query, page, lambda: _visit_pages(tables, query, page))


def _once(
    tables: Source, query: Query, page: str | None, make: Callable[[], sa.Subquery]
) -> sa.Subquery:
    key = (page, tables.visits is None, query.period, query.include_bots)
    if key not in tables.kept:
        tables.kept[key] = make()
    found: sa.Subquery = tables.kept[key]
    return found


def _whole_visits(tables: Source, query: Query) -> sa.Subquery:
    if tables.visits is None:
        return _summed(_computed(tables, query, None))
    known = _known(tables.visits, query)
    inside = sa.select(known.c.visit, *(known.c[name] for name in _FIGURES))
    inside = inside.where(*_lies_inside(known, query))
    parts = [_computed(tables, query, part) for part in _parts(tables, known, query)]
    if not parts:
        return inside.subquery()
    computed = sa.select(_summed([piece for pieces in parts for piece in pieces]))
    return sa.union_all(inside, computed).subquery()


def _visit_pages(tables: Source, query: Query, page: str) -> sa.Subquery:
    if tables.visits is None:
        return _viewed_pages(tables, query, page, None).subquery()
    known = _known(tables.visits, query)
    inside = sa.select(known.c.visit, known.c[page].label("path"))
    pieces = [inside.where(*_lies_inside(known, query))]
    pieces += [_viewed_pages(tables, query, page, part) for part in _parts(tables, known, query)]
    return sa.union_all(*pieces).subquery()


# -- from the table of visits ------------------------------------------------------------------


def _known(visits: sa.FromClause, query: Query) -> sa.FromClause:
    """Return the table's rows as far as people and bots are asked for, one a visit."""
    names = (*_FIGURES, *PAGES)
    visit = exact(visits.c.visit).label("visit")
    if query.include_bots != "1":
        return (
            sa.select(visit, *(visits.c[name] for name in names))
            .where(*of_people(visits.c.person, query))
            .subquery()
        )
    # Where people and bots share a visit, its first page is not known from their rows.
    merged = {
        **{name: sa.cast(sa.func.sum(visits.c[name]), sa.Integer) for name in _FIGURES[:2]},
        "first": sa.func.min(visits.c.first),
        **{name: sa.func.max(visits.c[name]) for name in ("last", *PAGES)},
    }
    named = [value.label(name) for name, value in merged.items()]
    overlapping = visits.c.last >= boundary(query.period.begins)
    return (
        sa.select(visit, *named, sa.func.count().label("rows"))
        .where(overlapping, visits.c.first < boundary(query.period.ends))
        .group_by(exact(visits.c.visit))
        .subquery()
    )


def _lies_inside(known: sa.FromClause, query: Query) -> list[Expression]:
    begins, ends = boundary(query.period.begins), boundary(query.period.ends)
    # That it ends after the beginning follows, but an index on the end needs to be told.
    inside = [known.c.first >= begins, known.c.last >= begins, known.c.last < ends]
    return [*inside, known.c.rows == 1] if "rows" in known.c else inside


class _Border(NamedTuple):
    """Conditions of visits that the table cannot answer for, and what bounds their requests."""

    conditions: list[Expression]
    begins: Expression
    ends: Expression


def _borders(known: sa.FromClause, query: Query) -> list[_Border]:
    """Return the visits that the table cannot answer for, each of them once.

    The moments of their requests are bounded by the visits themselves, so that no more than the
    neighbourhood of the period's borders is read.
    """
    begins, ends = boundary(query.period.begins), boundary(query.period.ends)
    latest = sa.literal(query.period.ends - timedelta(microseconds=1), sa.DateTime())
    last = sa.func.max(sa.case((known.c.last < ends, known.c.last), else_=latest))
    first = sa.func.min(known.c.first)
    before = [known.c.first < begins, known.c.last >= begins]
    after = [known.c.first >= begins, known.c.first < ends, known.c.last >= ends]
    found = [_Border(before, begins, last), _Border(after, first, latest)]
    if "rows" in known.c:
        mixed = [known.c.first >= begins, known.c.last < ends, known.c.rows > 1]
        found.append(_Border(mixed, first, last))
    return found


def _parts(tables: Source, known: sa.FromClause, query: Query) -> list[_Part]:
    looked = tables.kept.get(_looked_key(query))
    parts = []
    for number, border in enumerate(_borders(known, query)):
        bounds = looked[number] if looked else _bounds_within(border)
        if bounds is not None:
            visits = sa.select(known.c.visit).where(*border.conditions)
            parts.append(_Part(visits, partial(_dates, *bounds)))
    return parts


def _dates(begins: Expression, ends: Expression, date: Expression) -> list[Expression]:
    return [date >= begins, date <= ends]


def _bounds_within(border: _Border) -> tuple[Expression, Expression]:
    """Return the bounds as parts of a statement."""

    def scalar(bound: Expression) -> Expression:
        if not _is_found(bound):
            return bound
        return sa.select(bound).where(*border.conditions).scalar_subquery()

    begins, ends = scalar(border.begins), scalar(border.ends)
    # A second earlier: dates may be stored without the fraction.
    return begins if begins is border.begins else shifted(begins, sa.literal(-1)), ends


def look_at_borders(connection: sa.Connection, tables: Source, query: Query) -> None:
    """Find out now which visits the table cannot answer for, where a look costs less than to be
    ready for them: mostly there are none, and their requests are few and near each other."""
    if tables.visits is None or not _needs_visits(query) or _looked_key(query) in tables.kept:
        return
    known = _known(tables.visits, query)
    found = []
    for border in _borders(known, query):
        asked = sa.select(*filter(_is_found, border[1:])).where(*border.conditions)
        moments = connection.execute(asked.select_from(known)).one()
        found.append(None if moments[0] is None else _bounds_found(border, list(moments)))
    tables.kept[_looked_key(query)] = found


def _looked_key(query: Query) -> tuple[object, ...]:
    return "borders", query.period, query.include_bots


def _bounds_found(border: _Border, moments: list[datetime]) -> tuple[Expression, Expression]:
    begins, ends = border.begins, border.ends
    if _is_found(begins):  # a second earlier, as above
        begins = boundary(moments.pop(0).replace(microsecond=0) - timedelta(seconds=1))
    return begins, sa.literal(moments[0], sa.DateTime()) if _is_found(ends) else ends


def _is_found(bound: Expression) -> bool:
    """Whether visits say a bound, not the period."""
    return isinstance(bound, sa.sql.functions.FunctionElement)


def _needs_visits(query: Query) -> bool:
    names = [*(query.metrics or BY_NAME), (query.order or "").removeprefix("-")]
    of_visits = {name for name, metric in BY_NAME.items() if metric.source == "visits"}
    return not of_visits.isdisjoint(names) or not VISIT_DIMENSIONS.keys().isdisjoint(
        query.dimensions
    )


# -- from requests and events ------------------------------------------------------------------


def _views(tables: Source, query: Query, part: _Part | None) -> tuple[Expression, list[Expression]]:
    """Return the visit of a page view, and the conditions of those of a part, or of all."""
    columns = tables.model.columns
    visit = exact(columns["visit"])
    dates = part.dates(columns["date"]) if part else in_period(columns["date"], query.period)
    viewed = page_view({**columns, "person": person(columns, query)})
    conditions = [*dates, *of_bots(columns, query), viewed, columns["visit"].is_not(None)]
    return visit, [*conditions, visit.in_(part.visits)] if part else conditions


def _computed(tables: Source, query: Query, part: _Part | None) -> list[sa.Select[Any]]:
    """Return the figures of visits, once from page views and once from events."""
    columns = tables.model.columns
    visit, conditions = _views(tables, query, part)
    none = sa.literal_column("0", sa.Integer())
    pieces = [
        _piece(visit, sa.func.count(), none, columns["date"])
        .select_from(tables.model.table)
        .where(*conditions)
    ]
    if tables.events is not None:
        events = tables.events.c
        visit = exact(events.visit)
        tracked = [*in_period(events.date, query.period), *of_people(events.person, query)]
        tracked += [visit.in_(part.visits)] if part else [events.visit.is_not(None)]
        pieces.append(_piece(visit, none, sa.func.count(), events.date).where(*tracked))
    return pieces


def _piece(
    visit: Expression, page_views: Expression, events: Expression, date: Expression
) -> sa.Select[Any]:
    figures = (page_views, events, sa.func.min(date), sa.func.max(date))
    named = [figure.label(name) for figure, name in zip(figures, _FIGURES, strict=True)]
    return sa.select(visit.label("visit"), *named).group_by(visit)


def _summed(pieces: list[sa.Select[Any]]) -> sa.Subquery:
    """Return one row a visit from rows that stand for its parts."""
    if len(pieces) == 1:
        return pieces[0].subquery()
    every = sa.union_all(*pieces).subquery()
    views, events = (sa.cast(sa.func.sum(every.c[name]), sa.Integer) for name in _FIGURES[:2])
    return (
        sa.select(
            every.c.visit,
            views.label("page_views"),
            events.label("events"),
            sa.func.min(every.c.first).label("first"),
            sa.func.max(every.c.last).label("last"),
        )
        .group_by(every.c.visit)
        .subquery()
    )


def _viewed_pages(tables: Source, query: Query, page: str, part: _Part | None) -> sa.Select[Any]:
    """Return one row a visit: the path of its first, or last, page view."""
    columns = tables.model.columns
    visit, conditions = _views(tables, query, part)
    order: list[Expression] = [columns["date"], tables.model.primary_key]
    if page == "exit_path":
        order = [column.desc() for column in order]
    place = sa.func.row_number().over(partition_by=visit, order_by=order)
    path = columns["path"]
    ranked = (
        sa.select(visit.label("visit"), path.label("path"), place.label("place"))
        .where(*conditions)
        .subquery()
    )
    return sa.select(ranked.c.visit, ranked.c.path).where(ranked.c.place == 1)
