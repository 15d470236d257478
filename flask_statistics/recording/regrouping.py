"""Reads some visitors' requests and events once, and says which visits they make."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from ..model import Model
from ..tables import Tables
from .visits import COLUMNS, PageViews, Visit, name_visit

#: Rows that are in memory at a time.
_AT_ONCE = 1_000
_READ = ("visitor", "date", "visit", "bot", "method", "status_code", "mimetype", "path")
Key = tuple[str, bool]


@dataclass(slots=True)
class _Run:
    """A visit as the requests tell it.

    :ivar names: how many rows have each name, in the order in which they were met.
    :ivar name: the one that it keeps or gets.
    """

    visitor: str
    began: datetime
    ended: datetime
    names: Counter[str | None] = field(default_factory=Counter)
    people: dict[bool, Visit] = field(default_factory=dict)
    name: str = ""
    wrong: int = 0
    wrong_events: int = 0


@dataclass
class Group:
    """What is stored of some visitors, and what should be.

    :ivar known: the rows of ``statistics_visit``; :ivar found: what they should be.
    :ivar lost_events: the numbers of events whose visit there is not.
    """

    model: Model
    tables: Tables
    known: dict[Key, Visit]
    runs: dict[str, list[_Run]] = field(default_factory=dict)
    found: dict[Key, Visit] = field(default_factory=dict)
    lost_events: list[int] = field(default_factory=list)

    @property
    def wrong_requests(self) -> int:
        """Rows of the host's table that have another visit."""
        return sum(run.wrong for runs in self.runs.values() for run in runs)

    @property
    def wrong_events(self) -> int:
        """Events that have another visit."""
        wrong = sum(run.wrong_events for runs in self.runs.values() for run in runs)
        return wrong + len(self.lost_events)

    def mend(self, connection: sa.Connection) -> list[Visit]:
        """Set the visits of rows and events; return those whose rows were changed."""
        columns, event = self.model.columns, self.tables.event.c
        changed: list[Visit] = []
        for run in (run for runs in self.runs.values() for run in runs):
            if run.wrong:
                changed.append(Visit(run.name, True, run.visitor, run.began, run.ended))
                _set_visit(connection, columns["visitor"], columns["date"], columns["visit"], run)
            if run.wrong_events:
                _set_visit(connection, event.visitor, event.request_date, event.visit, run)
        for start in range(0, len(self.lost_events), _AT_ONCE):
            part = self.lost_events[start : start + _AT_ONCE]
            table = self.tables.event
            connection.execute(table.update().where(table.c.id.in_(part)).values(visit=None))
        return changed


def _set_visit(
    connection: sa.Connection,
    visitor: sa.Column[Any],
    moment: sa.Column[Any],
    visit: sa.Column[Any],
    run: _Run,
) -> None:
    table: Any = visit.table
    mine = (visitor == run.visitor, moment.between(run.began, run.ended))
    other = sa.or_(visit.is_(None), visit != run.name)
    connection.execute(table.update().where(*mine, other).values({visit: run.name}))


def read_group(
    connection: sa.Connection,
    model: Model,
    tables: Tables,
    visitors: Sequence[str],
    timeout: timedelta,
) -> Group:
    """Read what is stored of visitors, and work out what should be, in bounded memory."""
    table = tables.visit
    asked = sa.select(*(table.c[name] for name in COLUMNS)).where(table.c.visitor.in_(visitors))
    stored = (Visit(*row) for row in connection.execute(asked))
    group = Group(model, tables, {(visit.visit, visit.person): visit for visit in stored})
    _read_requests(connection, group, visitors, timeout)
    for runs in group.runs.values():
        _name_runs(runs, timeout)
    _read_events(connection, group, visitors)
    for run in (run for runs in group.runs.values() for run in runs):
        for person, visit in run.people.items():
            visit.visit = run.name
            group.found[run.name, person] = visit
    return group


def _stream(connection: sa.Connection, asked: sa.Select[Any]) -> Iterator[Any]:
    yield from connection.execute(asked.execution_options(yield_per=_AT_ONCE))


def _read_requests(
    connection: sa.Connection, group: Group, visitors: Sequence[str], timeout: timedelta
) -> None:
    columns = {name: c for name, c in group.model.columns.items() if name in _READ}
    places = {name: place for place, name in enumerate(columns)}
    is_page_view = PageViews(places).holds
    who, when, named = places["visitor"], places["date"], places["visit"]
    bot, path = places.get("bot"), places.get("path")
    asked = (
        sa.select(*columns.values())
        .where(columns["visitor"].in_(visitors), columns["date"].is_not(None))
        .order_by(columns["visitor"], columns["date"], group.model.primary_key)
    )
    for row in _stream(connection, asked):
        runs = group.runs.setdefault(row[who], [])
        moment = row[when]
        if not runs or moment - runs[-1].ended > timeout:
            runs.append(_Run(row[who], moment, moment))
        run = runs[-1]
        run.ended = moment
        run.names[row[named]] += 1
        person = bot is None or row[bot] is None
        visit = run.people.get(person)
        if visit is None:
            visit = run.people[person] = Visit("", person, row[who], moment, moment)
        visit.add_request(moment, None if path is None else row[path], page_view=is_page_view(row))


def _name_runs(runs: list[_Run], timeout: timedelta) -> None:
    """Let each run keep its name; of several the first, and none of another visitor or run."""
    taken: set[str] = set()
    for run in runs:
        own = f"{run.visitor}-"
        known = (name for name in run.names if name and name.startswith(own) and name not in taken)
        name = next(known, None) or name_visit(run.visitor, run.began, timeout)
        while name in taken:
            name += "x"
        taken.add(name)
        run.name = name
        run.wrong = sum(run.names.values()) - run.names[name]


def _read_events(connection: sa.Connection, group: Group, visitors: Sequence[str]) -> None:
    event = group.tables.event.c
    asked = sa.select(
        event.id, event.visitor, event.visit, event.person, event.request_date, event.date
    ).where(event.visitor.in_(visitors))
    for number, visitor, named, person, requested, moment in _stream(connection, asked):
        run = _run_of(group.runs, visitor, requested)
        if run is None:
            if named is not None:
                group.lost_events.append(number)
            continue
        run.wrong_events += named != run.name
        visit = run.people.get(person) or run.people[not person]
        visit.add_event(moment)


def _run_of(runs: Mapping[str, list[_Run]], visitor: str, moment: datetime | None) -> _Run | None:
    if moment is None:
        return None
    return next((r for r in runs.get(visitor, ()) if r.began <= moment <= r.ended), None)
