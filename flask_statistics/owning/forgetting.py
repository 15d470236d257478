"""Erases what is stored about a person, or takes the person out of it.

Requests and events are found first, then erased in short transactions, visits with them. The
hashes of imported lines stay, so that a log that is imported again does not bring them back.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from .. import changes
from ..asking.query import Query
from ..asking.selection import Selection
from ..asking.source import Source, table_source
from ..fields import PERSONAL
from ..model import Model
from ..state import State
from .person import Person
from .places import pruned_before, whole_source
from .touched_visits import TouchedVisits
from .transactions import check_tables, in_turns, parts_of

#: A span that all requests lie in.
ALWAYS = (datetime(1, 1, 1), datetime(9999, 1, 1))
#: Seconds to wait for what this process has recorded and not stored yet.
FLUSH = 5.0
#: Columns of an event that can tell about a person: what is tracked of them may be anything.
_OF_EVENTS = ("visitor", "visit", "username", "request_date", "request_id", "properties")


@dataclass
class Found:
    """What is to be forgotten.

    :ivar requests: the primary keys of requests.
    :ivar events: those of events outside of these requests.
    :ivar visitors: who made the requests, and whose events these are.
    :ivar days: the days (UTC) of these requests and events.
    :ivar archived: the primary keys and dates of requests that only the archive holds.
    :ivar person: whose they are, with all their visitors.
    :ivar all: how many requests there are at all.
    """

    requests: array[int] = field(default_factory=lambda: array("q"))
    events: array[int] = field(default_factory=lambda: array("q"))
    visitors: set[str] = field(default_factory=set)
    days: set[date] = field(default_factory=set)
    archived: list[tuple[int, datetime]] = field(default_factory=list)
    person: Person = field(default_factory=Person)
    all: int = 0

    def __bool__(self) -> bool:
        return bool(self.requests or self.events or self.archived or self.person.visitors)

    @property
    def is_everybody(self) -> bool:
        """Whether nobody else's requests are there."""
        return self.all > 1 and len(self.requests) + len(self.archived) == self.all


@dataclass
class Forgotten:
    """How many rows were erased, or changed where they were to be anonymised.

    :ivar visits: rows of ``statistics_visit`` that are gone: so many visits less are counted.
    :ivar changed_visits: visits of which only some requests were meant, counted anew.
    :ivar archived: how many of the requests were in the archive only.
    """

    requests: int = 0
    events: int = 0
    visits: int = 0
    changed_visits: int = 0
    archived: int = 0


def find(state: State, person: Person, query: Query | None = None) -> Found:
    """Return what is stored of a person, or the requests of a query; nothing is changed.

    What this process has recorded is stored first.

    :param query: taken where nobody is named.
    :raises QueryError: for a person or a filter that the model cannot have.
    :raises MissingTableError: where a table of ours is missing.
    """
    state.recorder.flush(FLUSH)
    check_tables(state)
    found = Found()
    source = whole_source(state)
    with source.open([ALWAYS]) as connection:
        found.person = person.with_visitors(connection, source.model, state.config.mask_ip)
        counted = sa.select(sa.func.count()).select_from(source.model.table)
        found.all = int(connection.execute(counted).scalar_one())
        if pruned := pruned_before(state):
            archived = _asked(state, source, found.person, query)
            rows = connection.execute(archived.where(source.model.columns["date"] < pruned))
            found.archived = [(key, moment) for key, moment, _ in _noted(rows, found)]
    with state.engine.connect() as connection:
        asked = _asked(state, table_source(state.engine, state.model), found.person, query)
        rows = connection.execute(asked.order_by(state.model.columns["date"]))
        found.requests.extend(key for key, _, _ in _noted(rows, found))
        if person:
            _find_events(connection, state, found.person, found)
    return found


def _asked(state: State, source: Source, person: Person, query: Query | None) -> sa.Select[Any]:
    """Return the statement for key, date and visitor of what is meant in a source."""
    model = source.model
    visitor = model.columns.get("visitor", sa.null())
    asked = sa.select(model.primary_key, model.columns["date"], visitor)
    if person:
        return asked.where(*person.conditions(model, state.config.mask_ip))
    if query is None:
        return asked.where(sa.false())
    selection = Selection(source, query)
    return asked.select_from(selection.source).where(*selection.conditions)


def _noted(rows: Iterable[Any], found: Found) -> Iterator[Any]:
    for row in rows:
        found.days.add(row[1].date())
        if row[2] is not None:
            found.visitors.add(row[2])
        yield row


def _find_events(connection: sa.Connection, state: State, person: Person, found: Found) -> None:
    event = state.tables.event.c
    theirs = sa.or_(event.visitor.in_(person.visitors), event.username.in_(person.usernames))
    for key, moment in connection.execute(sa.select(event.id, event.date).where(theirs)):
        found.events.append(key)
        found.days.add(moment.date())


def forget(state: State, found: Found, *, anonymise: bool = False) -> Forgotten:
    """Erase what was found, or empty all its columns that can tell about a person.

    In short transactions. Meanwhile visits are counted from the requests; where it is
    interrupted that stays so until it is run again and ``flask statistics visits rebuild``.

    :param anonymise: keep requests and events, so that hits and page views stay as they are;
        their visitors and visits are not counted any more.
    """
    forgotten = Forgotten()
    if not found:
        return forgotten
    visits = TouchedVisits(state)
    visits.begin()
    erase = _Erasing(state, anonymise, visits, forgotten)
    in_turns(state.engine, parts_of(found.requests), erase.requests)
    in_turns(state.engine, parts_of(found.events), erase.events)
    forgotten.requests = len(found.requests)
    forgotten.events = len(erase.erased_events)
    forgotten.visits, forgotten.changed_visits = visits.recount()
    forget_archived(state, found, forgotten, anonymise=anonymise)
    return forgotten


class _Erasing:
    """What one transaction does to some requests, or to some events."""

    def __init__(
        self, state: State, anonymise: bool, visits: TouchedVisits, forgotten: Forgotten
    ) -> None:
        model = state.model
        self._tables = state.tables
        self._model = model
        self._visits = visits
        self._blank = _blank(model) if anonymise else None
        self._read = sa.select(
            model.columns["date"],
            *(model.columns.get(n, sa.null()).label(n) for n in ("visitor", "visit", "request_id")),
        )
        self.erased_events: set[int] = set()

    def requests(self, connection: sa.Connection, keys: Sequence[int]) -> None:
        """Erase requests and the events that were tracked in them."""
        self._visits.lock(connection)
        these = self._model.primary_key.in_(list(keys))
        rows = connection.execute(self._read.where(these)).all()
        self._visits.touch(rows)
        self._erase_events(connection, self._events_in(connection, rows))
        table: Any = self._model.table
        changed = table.delete() if self._blank is None else table.update().values(self._blank)
        connection.execute(changed.where(these))
        changes.forget_days(connection, self._tables, {row.date.date() for row in rows})

    def _events_in(self, connection: sa.Connection, rows: Sequence[Any]) -> list[Any]:
        """Return the events of requests: of the same id, else of the same moment and visitor."""
        event = self._tables.event.c
        by_id = {(row.date, row.request_id) for row in rows if row.request_id is not None}
        by_visitor = {(row.date, row.visitor) for row in rows if row.visitor is not None}
        asked = sa.select(
            event.id, event.date, event.request_date, event.request_id, event.visitor
        ).where(event.request_date.in_({row.date for row in rows}))
        return [
            found
            for found in connection.execute(asked)
            if (found.request_date, found.request_id) in by_id
            or (found.request_date, found.visitor) in by_visitor
        ]

    def events(self, connection: sa.Connection, keys: Sequence[int]) -> None:
        """Erase events, wherever they were tracked."""
        self._visits.lock(connection)
        event = self._tables.event.c
        asked = sa.select(event.id, event.date, event.visitor, event.visit)
        rows = connection.execute(asked.where(event.id.in_(list(keys)))).all()
        self._visits.touch(rows)
        self._erase_events(connection, rows)

    def _erase_events(self, connection: sa.Connection, rows: Sequence[Any]) -> None:
        if not rows:
            return
        keys = [row.id for row in rows]
        table = self._tables.event
        changed = (
            table.delete()
            if self._blank is None
            else table.update().values(dict.fromkeys(_OF_EVENTS))
        )
        connection.execute(changed.where(table.c.id.in_(keys)))
        changes.forget_days(connection, self._tables, {row.date.date() for row in rows})
        self.erased_events.update(keys)


def forget_archived(state: State, found: Found, forgotten: Forgotten, *, anonymise: bool) -> None:
    """Let nothing of what was found be left in the archive, on the disk included."""
    if state.archived is None or state.archived.state() is None:
        return
    from ..archive.building import build, remove_old
    from ..archive.erasing import erase

    wanted: list[dict[str, Any]] = []
    if found.archived:
        keys, moments = zip(*found.archived, strict=True)
        wanted.append({"id": list(keys), "date": list(moments)})
    if found.person.visitors:  # their events outside of these requests
        wanted.append({"visitor": list(found.person.visitors)})
    if found.person.usernames:
        wanted.append({"username": list(found.person.usernames)})
    for where in wanted:
        erased = erase(state, where, anonymise=anonymise)
        forgotten.archived += erased.requests
        forgotten.events += erased.events
    build(state, wait=True)  # what the table held of them is in segments, too
    remove_old(state)


def _blank(model: Model) -> dict[sa.Column[Any], Any]:
    """Return what takes the place of each personal value: NULL, else what means nothing."""
    columns = [model.columns[name] for name in sorted(PERSONAL) if model.has(name)]
    return {column: None if column.nullable else "" for column in columns}
