"""Deletes from the table what the archive holds for certain, where that is the long-term store.

Each step is one short transaction: it asks the archive up to where it holds every row, deletes
the oldest of these, and says from which moment on the table is to be asked. So each row is
counted once, at any moment and after any crash. Days that the archive has not caught up with
stay in the table. Totals do not change.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from time import sleep
from typing import Any

import sqlalchemy as sa

from .. import changes
from ..importing.writing import GAP, LONG_GAP
from ..state import State

#: Rows that are deleted in one transaction.
STEP = 2_000
_ATTEMPTS = 8


@dataclass
class Pruned:
    """What was deleted, or in a dry run would be.

    :ivar before: the moment, naive UTC, before which all went: a midnight, or earlier where the
        archive does not hold the rest yet.
    :ivar wanted: the midnight that was asked for.
    """

    before: datetime
    wanted: datetime
    requests: int = 0
    visits: int = 0
    events: int = 0


def prune_archived(state: State, before: datetime) -> Pruned:
    """Delete rows of before a moment as far as the archive holds them.

    :raises ArchiveError: where there is no archive, or it is damaged; nothing is lost.
    """
    pruned = Pruned(datetime.min, before)
    while _step_patiently(state, before, pruned):
        sleep(GAP)
    return pruned


def _step_patiently(state: State, before: datetime, pruned: Pruned) -> bool:
    for attempt in range(1, _ATTEMPTS):
        try:
            return _step(state, before, pruned)
        except sa.exc.OperationalError:
            sleep(LONG_GAP * attempt)
    return _step(state, before, pruned)


def _step(state: State, before: datetime, pruned: Pruned) -> bool:
    """Delete the oldest rows; return whether there are more."""
    from ..archive.covering import covered_until
    from ..archive.opening import read_pruned
    from ..archive.sources import PRUNED

    event, visit = state.tables.event, state.tables.visit
    moment = state.model.columns["date"]
    with state.engine.begin() as connection:
        until = covered_until(connection, state, before)
        begin = read_pruned(connection, state.tables) or datetime.min
        if until <= begin:
            pruned.before = begin
            return False
        end = _end_of_step(connection, moment, begin, until)
        requests = _delete(connection, moment, begin, end)
        visits = _delete(connection, visit.c.ended, datetime.min, end)
        events = _delete(connection, event.c.date, begin, end)
        if requests or events:  # else the archive is no more than it was
            changes.write_state(connection, state.tables, PRUNED, end.isoformat())
    pruned.before = end
    pruned.requests += requests
    pruned.visits += visits
    pruned.events += events
    return bool(requests or events)


def _end_of_step(
    connection: sa.Connection, moment: sa.Column[Any], begin: datetime, until: datetime
) -> datetime:
    asked = sa.select(moment).where(moment >= begin, moment < until).order_by(moment)
    found: datetime | None = connection.scalar(asked.limit(1).offset(STEP))
    # Where more requests than fit are of one moment, they all go.
    return until if found is None else max(found, begin + timedelta(microseconds=1))


def _delete(
    connection: sa.Connection, moment: sa.Column[Any], begin: datetime, end: datetime
) -> int:
    table: Any = moment.table
    return connection.execute(table.delete().where(moment >= begin, moment < end)).rowcount
