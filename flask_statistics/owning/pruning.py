"""Deletes what is older than ``STATISTICS_RETENTION_DAYS``.

Whole days of UTC go, requests, visits and events alike. The hashes of imported lines stay: eight
bytes a line, by which a log that is imported again is known, so that it does not bring back what
was deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from .. import changes
from ..asking.period import Period
from ..asking.query import Query
from ..asking.selection import Selection
from ..asking.source import table_source
from ..errors import ConfigurationError
from ..state import State
from .pruning_archived import Pruned, prune_archived
from .transactions import PART, READ, check_tables, in_turns, parts_of

_FIRST_DAY = date(1900, 1, 1)


def _before(days: int) -> datetime:
    return datetime.combine(changes.utc_now().date(), time()) - timedelta(days=days)


class _Old(NamedTuple):
    """The old rows of one table: what tells each, its moment, and which they are."""

    key: sa.Column[Any]
    moment: sa.Column[Any]
    conditions: Sequence[sa.ColumnElement[Any]]


def prune(state: State, *, days: int | None = None, dry_run: bool = False) -> Pruned:
    """Delete the requests, visits and events of all days but the last ``days`` and today.

    In short transactions: what was deleted stays deleted where it is interrupted, and the next
    call goes on.

    :param days: by default ``STATISTICS_RETENTION_DAYS``; days of UTC.
    :raises ConfigurationError: where neither is given.
    :raises MissingTableError: where a table of ours is missing.
    """
    kept = state.config.retention_days if days is None else days
    if kept is None:
        raise ConfigurationError(
            "Nothing says how long requests are kept: set STATISTICS_RETENTION_DAYS, "
            "or give --days."
        )
    check_tables(state)
    if state.archived is not None and not dry_run:
        return prune_archived(state, _before(kept))
    before = _before(kept)
    work = _count if dry_run else _delete
    # Visits last: until they go, they stand for requests that are gone, and nobody asks for these.
    requests, events, visits = (work(state, old) for old in _old_rows(state, before))
    return Pruned(before, before, requests, visits, events)


def _old_rows(state: State, before: datetime) -> tuple[_Old, _Old, _Old]:
    """Return the old requests, events and visits."""
    period = Period(_FIRST_DAY, (before - timedelta(days=1)).date(), ZoneInfo("UTC"))
    selected = Selection(table_source(state.engine, state.model), Query(period))
    model, event, visit = state.model, state.tables.event, state.tables.visit
    return (
        _Old(model.primary_key, model.columns["date"], selected.conditions),
        _Old(event.c.id, event.c.date, [event.c.date < before]),
        _Old(visit.c.visit, visit.c.ended, [visit.c.ended < before]),
    )


def _count(state: State, old: _Old) -> int:
    counted = sa.select(sa.func.count()).select_from(old.key.table).where(*old.conditions)
    with state.engine.connect() as connection:
        return int(connection.execute(counted).scalar_one())


def _delete(state: State, old: _Old) -> int:
    read = sa.select(old.key, old.moment).where(*old.conditions).limit(READ)
    deleted = 0
    while True:
        with state.engine.connect() as connection:
            rows = [(key, moment) for key, moment in connection.execute(read)]
        # By time: few days, whose numbers are raised, in one transaction.
        rows.sort(key=lambda row: row[1])
        in_turns(state.engine, parts_of(rows, PART), partial(_delete_part, state, old))
        deleted += len(rows)
        if len(rows) < READ:
            return deleted


def _delete_part(
    state: State, old: _Old, connection: sa.Connection, rows: Sequence[tuple[Any, datetime]]
) -> None:
    keys = [key for key, _ in rows]
    table: Any = old.key.table
    connection.execute(table.delete().where(old.key.in_(keys), *old.conditions))
    changes.forget_days(connection, state.tables, {moment.date() for _, moment in rows})
