"""Works the visits out anew from the requests and events, and compares or mends what is stored.

Visitors are taken in groups, in their order. A group that is right is only read. What differs is
read again while the visits are locked, since rows may have come in between, and mended in that
same short transaction. Where the rebuilding stopped is kept, so that it goes on there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain

import sqlalchemy as sa

from .. import changes
from ..errors import MissingTableError, StatisticsError
from ..state import State
from .completeness import COMPLETE, PROGRESS, STATE, are_complete, lock_visits, mark_complete
from .connections import ended_when_idle
from .inserting import Inserter
from .regrouping import Group, read_group
from .visit_table import days_of
from .visits import COLUMNS, values_of

#: Visitors that are looked at together.
GROUP = 200
#: How long it is gone on from the last visitor that was done.
_RESUMED_WITHIN = timedelta(days=1)


@dataclass
class Difference:
    """How much is stored otherwise than the requests say.

    :ivar requests: rows with another visit.
    :ivar events: events with another visit.
    :ivar visits: rows of ``statistics_visit`` that are wrong, missing or of no request.
    :ivar visitors: how many visitors were looked at.
    """

    requests: int = 0
    events: int = 0
    visits: int = 0
    visitors: int = 0

    def __bool__(self) -> bool:
        return bool(self.requests or self.events or self.visits)

    def add(self, other: Difference) -> None:
        """Add the counts of another one."""
        self.requests += other.requests
        self.events += other.events
        self.visits += other.visits
        self.visitors += other.visitors


def verify(state: State, progress: Callable[[int], None] = lambda visitors: None) -> Difference:
    """Count what differs; changes nothing.

    :param progress: called with the number of visitors that were looked at, now and then.
    :raises StatisticsError: where the model has no visits, or a table is missing.
    """
    return _Rebuilding(state).run("", progress, mend=False)


def rebuild(
    state: State,
    progress: Callable[[int], None] = lambda visitors: None,
    *,
    resume: bool = True,
) -> Difference:
    """Mend what differs, and note that the visits are complete; return what was mended.

    :param resume: go on where a rebuilding of the last 24 hours was interrupted.
    :raises StatisticsError: where the model has no visits, or a table is missing.
    """
    rebuilding = _Rebuilding(state)
    done = rebuilding.run(rebuilding.interrupted_at() if resume else "", progress, mend=True)
    rebuilding.finish()
    return done


class _Rebuilding:
    def __init__(self, state: State) -> None:
        self._model, self._tables, self._engine = state.model, state.tables, state.engine
        if not self._model.has("visitor", "visit"):
            raise StatisticsError(
                "Visits can be worked out only where the model has `visitor` and `visit`."
            )
        inspector = sa.inspect(self._engine)
        for table in (self._model.table, *self._tables):
            if not inspector.has_table(table.name, schema=table.schema):
                raise MissingTableError(
                    f"The table {table.name} is missing: run `flask db migrate` and "
                    "`flask db upgrade`, or call db.create_all() after Statistics(…)."
                )
        self._timeout = timedelta(seconds=state.config.visit_timeout)
        columns = [self._tables.visit.c[name] for name in COLUMNS]
        self._upsert = Inserter(self._engine, self._tables.visit, columns, ("visit", "person"))
        with self._engine.begin() as connection:
            self._complete = are_complete(connection, self._model, self._tables)
            self._since = changes.read_state(connection, self._tables, STATE) or ""

    def run(self, after: str, progress: Callable[[int], None], *, mend: bool) -> Difference:
        """Look at all visitors after one, and mend what is wrong where that is wanted."""
        whole = Difference()
        for visitors in self._groups(after):
            difference = Difference(visitors=len(visitors))
            # What differs for sure is not worth a first look.
            if (mend and not self._complete) or self._differs(visitors):
                difference.add(self._look_again(visitors, mend=mend))
            whole.add(difference)
            progress(whole.visitors)
        return whole

    def _groups(self, after: str) -> Iterator[list[str]]:
        columns = (
            self._model.columns["visitor"],
            self._tables.visit.c.visitor,
            self._tables.event.c.visitor,
        )
        while True:
            with self._engine.connect() as connection:
                found = [
                    connection.scalars(
                        sa.select(column).distinct().where(column > after)
                        .order_by(column).limit(GROUP)
                    )
                    for column in columns
                ]  # fmt: skip
                visitors = sorted({*chain.from_iterable(found)})[:GROUP]
            if not visitors:
                return
            yield visitors
            after = visitors[-1]

    def _differs(self, visitors: Sequence[str]) -> bool:
        with self._engine.connect() as connection:
            return bool(_difference(self._read(connection, visitors)))

    def _read(self, connection: sa.Connection, visitors: Sequence[str]) -> Group:
        return read_group(connection, self._model, self._tables, visitors, self._timeout)

    def _look_again(self, visitors: Sequence[str], *, mend: bool) -> Difference:
        with self._engine.begin() as connection, ended_when_idle(connection):
            lock_visits(connection, self._tables)
            group = self._read(connection, visitors)
            difference = _difference(group)
            if mend and difference:
                self._mend(connection, group)
            state = changes.read_state(connection, self._tables, STATE)
            if mend and state in {self._since, COMPLETE}:
                expires = changes.utc_now() + _RESUMED_WITHIN
                changes.write_state(connection, self._tables, PROGRESS, visitors[-1], expires)
        return difference

    def _mend(self, connection: sa.Connection, group: Group) -> None:
        days = {day for visit in group.mend(connection) for day in days_of(visit)}
        visit = self._tables.visit
        gone = [key for key in group.known if key not in group.found]
        for name, person in gone:
            connection.execute(
                visit.delete().where(visit.c.visit == name, visit.c.person == person)
            )
        wrong = [v for key, v in sorted(group.found.items()) if group.known.get(key) != v]
        self._upsert.insert(connection, [[*values_of(v)] for v in wrong], polite=False)
        if self._complete:  # answers were taken from the table
            days.update(d for v in (*wrong, *(group.known[k] for k in gone)) for d in days_of(v))
        changes.raise_days(connection, self._tables, days)

    def interrupted_at(self) -> str:
        """Return the last visitor that is done; an empty text where there is none."""
        table = self._tables.state
        asked = sa.select(table.c.value).where(
            table.c.name == PROGRESS, table.c.expires > changes.utc_now()
        )
        with self._engine.connect() as connection:
            return connection.scalar(asked) or ""

    def finish(self) -> None:
        """Note that the visits are complete.

        :raises StatisticsError: where others made them wrong meanwhile.
        """
        table = self._tables.state
        with self._engine.begin() as connection:
            complete = mark_complete(connection, self._tables, self._since)
            connection.execute(table.delete().where(table.c.name == PROGRESS))
        if not complete:
            raise StatisticsError(
                "Requests were erased, or changed by the app itself, meanwhile: run "
                "`flask statistics visits rebuild` once more."
            )


def _difference(group: Group) -> Difference:
    keys = {*group.known, *group.found}
    wrong = sum(group.known.get(key) != group.found.get(key) for key in keys)
    return Difference(group.wrong_requests, group.wrong_events, wrong)
