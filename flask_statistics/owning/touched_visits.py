"""Counts visits anew of which requests or events were taken away."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from .. import changes
from ..recording.completeness import (
    COMPLETE,
    STATE,
    lock_visits,
    mark_complete,
    mark_incomplete,
)
from ..recording.inserting import Inserter
from ..recording.regrouping import read_group
from ..recording.visit_table import days_of
from ..recording.visits import COLUMNS, values_of
from ..state import State
from .transactions import in_turns, parts_of

#: Visitors whose visits are counted in one step; each has some requests of one day.
VISITORS = 20


class TouchedVisits:
    """The visits that lose something, until they are counted anew.

    Meanwhile the table of visits counts as incomplete, so that pages ask the requests.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._tables = state.tables
        model = state.model
        self._knows = model.has("visitor", "visit")
        self._timeout = timedelta(seconds=state.config.visit_timeout)
        columns = [self._tables.visit.c[name] for name in COLUMNS]
        self._upsert = Inserter(state.engine, self._tables.visit, columns, ("visit", "person"))
        self._visitors: set[str] = set()
        self._visits: set[str] = set()
        self._was_complete = False
        self._since = ""

    def begin(self) -> None:
        """Let nobody rely on the table of visits."""
        with self._state.engine.begin() as connection:
            lock_visits(connection, self._tables)
            known = changes.read_state(connection, self._tables, STATE)
            self._was_complete = known == COMPLETE
            self._since = mark_incomplete(connection, self._tables)

    def lock(self, connection: sa.Connection) -> None:
        """Begin a transaction that takes requests away: nobody may rely on the visits yet."""
        lock_visits(connection, self._tables)
        if changes.read_state(connection, self._tables, STATE) == COMPLETE:
            # A rebuilding that did not know of this one has ended meanwhile.
            self._since, self._was_complete = mark_incomplete(connection, self._tables), True

    def touch(self, rows: Iterable[Any]) -> None:
        """Note the visits of requests or events that are about to go."""
        for row in rows:
            if row.visit is not None:
                self._visits.add(row.visit)
                if row.visitor is not None:
                    self._visitors.add(row.visitor)

    def recount(self) -> tuple[int, int]:
        """Count the visits anew; return how many are gone, and how many are left."""
        before = self._there(self._visits)
        if self._knows:
            in_turns(self._state.engine, parts_of(sorted(self._visitors), VISITORS), self._recount)
        else:  # whose they are stands nowhere
            in_turns(self._state.engine, parts_of(sorted(self._visits)), self._remove)
        after = self._there(self._visits)
        if self._was_complete and (self._knows or not self._visits):
            with self._state.engine.begin() as connection:
                mark_complete(connection, self._tables, self._since)
        return len(before) - len(after), len(after)

    def _there(self, names: Iterable[str]) -> set[tuple[str, bool]]:
        visit = self._tables.visit.c
        found: set[tuple[str, bool]] = set()
        with self._state.engine.connect() as connection:
            for part in parts_of(sorted(names)):
                asked = sa.select(visit.visit, visit.person).where(visit.visit.in_(part))
                found |= {(name, person) for name, person in connection.execute(asked)}
        return found

    def _remove(self, connection: sa.Connection, names: Sequence[str]) -> None:
        lock_visits(connection, self._tables)
        table = self._tables.visit
        connection.execute(table.delete().where(table.c.visit.in_(names)))

    def _recount(self, connection: sa.Connection, visitors: Sequence[str]) -> None:
        """Work out the visits of visitors from the requests that are left of them."""
        lock_visits(connection, self._tables)
        group = read_group(connection, self._state.model, self._tables, visitors, self._timeout)
        days = {day for visit in group.mend(connection) for day in days_of(visit)}
        table = self._tables.visit
        for name, person in group.known.keys() - group.found.keys():
            connection.execute(
                table.delete().where(table.c.visit == name, table.c.person == person)
            )
        wrong = [v for key, v in sorted(group.found.items()) if group.known.get(key) != v]
        self._upsert.insert(connection, [[*values_of(visit)] for visit in wrong], polite=False)
        changes.raise_days(connection, self._tables, days)
