"""What is stored, row by row: of one person or of all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from ..asking.query import Query
from ..asking.selection import Selection
from ..asking.source import Source
from ..asking.streaming import PAGE, Listing, Page, stream
from ..errors import QueryError, StatisticsError
from ..fields import PERSONAL
from ..state import State
from .person import Person
from .places import whole_source

What = Literal["requests", "visits", "events"]
#: Columns of ``statistics_event`` that can tell about one person, besides those of the fields.
PERSONAL_OF_EVENTS = PERSONAL | {"properties"}


@dataclass(frozen=True)
class Export:
    """Rows to be written.

    :ivar columns: the names of a row's values, with the types of their columns.
    :ivar pages: the rows, the oldest first.
    """

    columns: dict[str, sa.types.TypeEngine[Any]]
    pages: Iterator[Page]


def make_export(
    state: State,
    query: Query,
    what: What = "requests",
    *,
    person: Person | None = None,
    personal: bool = True,
    page: int = PAGE,
) -> Export:
    """Return all rows of the query, and nothing but the person's where one is given.

    Rows that only the archive still holds are among them. Read as it is iterated.

    :param what: ``"visits"`` and ``"events"`` take the query's period, but no filters: these are
        about requests.
    :param personal: whether personal columns are among them.
    :param page: rows that are read at once.
    :raises QueryError: for a filter or a person that cannot be asked for.
    :raises StatisticsError: where the visits are not complete, or there is no such table.
    """
    person = person or Person()
    source = whole_source(state)
    span = (query.period.begins, query.period.ends)
    with source.open([span]) as connection:
        person = person.with_visitors(connection, source.model, state.config.mask_ip)
        source = source.seen_by(connection) if what != "requests" else source
    listing = _LISTINGS[what](state, source, query, person, personal)
    types = {name: column.type for name, column in listing.columns.items()}
    return Export(types, stream(source.open, span, listing, page))


def _requests(
    state: State, source: Source, query: Query, person: Person, personal: bool
) -> Listing:
    model, selection = source.model, Selection(source, query.replace(group_by=()))
    columns = {
        name: column
        for name, column in model.columns.items()
        if name != "id" and (personal or name not in PERSONAL)
    }
    return Listing(
        selection.source,
        {"id": model.primary_key, **columns},
        [*selection.conditions, *person.conditions(model, state.config.mask_ip)],
        model.columns["date"],
        (model.primary_key,),
        indexed=_has_index(model.columns["date"]),
    )


def _visits(state: State, source: Source, query: Query, person: Person, personal: bool) -> Listing:
    _refuse_filters(query)
    if source.visits is None:
        raise StatisticsError(
            "The visits are not complete: run `flask statistics visits rebuild` first."
        )
    columns = dict(source.visits.c)
    theirs = [columns["visitor"].in_(person.visitors)] if person else []
    return Listing(
        source.visits,
        {name: c for name, c in columns.items() if personal or name not in PERSONAL},
        [*_within(columns["began"], query), *theirs],
        columns["began"],
        (columns["visit"], sa.cast(columns["person"], sa.Integer())),
        indexed=False,
    )


def _events(state: State, source: Source, query: Query, person: Person, personal: bool) -> Listing:
    _refuse_filters(query)
    if source.events is None:
        raise StatisticsError(
            "The table statistics_event is missing: run `flask db migrate` and "
            "`flask db upgrade` to make it."
        )
    columns = dict(source.events.c)
    theirs = sa.or_(
        columns["visitor"].in_(person.visitors), columns["username"].in_(person.usernames)
    )
    return Listing(
        source.events,
        {name: c for name, c in columns.items() if personal or name not in PERSONAL_OF_EVENTS},
        [*_within(columns["date"], query), *([theirs] if person else [])],
        columns["date"],
        (columns["id"],),
    )


_LISTINGS = {"requests": _requests, "visits": _visits, "events": _events}


def _refuse_filters(query: Query) -> None:
    if query.filters or query.include_bots:
        raise QueryError("where", "filters are about requests: export these")


def _within(moment: sa.ColumnElement[Any], query: Query) -> list[sa.ColumnElement[bool]]:
    return [moment >= query.period.begins, moment < query.period.ends]


def _has_index(column: sa.Column[Any]) -> bool:
    table: Any = column.table
    indexes = getattr(table, "indexes", ())
    return any(next(iter(index.columns), None) is column for index in indexes)
