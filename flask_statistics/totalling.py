"""Adds up the figures of days that are over, into ``statistics_total``.

Each UTC day is read once it is over, the newest first, and again when it was changed. What is
added up is what the pages ask; :mod:`flask_statistics.asking.daily_totals` tells when it is right.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Set
from datetime import datetime, time
from typing import Protocol

import sqlalchemy as sa

from . import changes
from .asking.conditions import boundary
from .asking.daily_totals import (
    ALL,
    DAY,
    can_be_added_up,
    days_that_are_right,
)  # fmt: skip
from .asking.limits import within
from .asking.reading import reading
from .config import Config
from .day_rows import rows_of_day
from .errors import QueryTimeoutError
from .model import Model
from .recording.connections import ended_when_idle, is_shared_memory
from .tables import Tables

_INSERTED_AT_ONCE = 500
#: The name of the row of ``statistics_state`` that is locked while figures are stored.
_STORING = "totals"


class Host(Protocol):
    """What is needed of an app's state."""

    config: Config
    model: Model
    tables: Tables
    engine: sa.Engine


def can_total(host: Host) -> bool:
    """Whether an app's days can be added up at all."""
    return not is_shared_memory(host.engine) and can_be_added_up(host.model)


def total_days(
    host: Host,
    go_on: Callable[[], bool] = lambda: True,
    *,
    recount: bool = True,
    failed: set[datetime] | None = None,
) -> int:
    """Add up the days that are over and whose figures are missing or old; return how many.

    Figures that are old are deleted first: what was forgotten may be in them. A day that cannot
    be added up does not keep it from the others.

    :param go_on: called after each day; false ends it, and the next call goes on.
    :param recount: look at each day whether its requests are as many as then, which the host may
        have changed by SQL of its own.
    :param failed: the midnights of days that are left out; those that fail now are put into it.
    :raises sqlalchemy.exc.DBAPIError: where the database fails, or a table is missing.
    :raises QueryTimeoutError: where a day takes longer than a page may; both for the first day
        that failed, after the others.
    """
    failed = set() if failed is None else failed
    done, trouble = 0, None
    right = _keep_those_that_are_right(host, recount=recount)
    for first in _due(host, right):
        if first in failed:
            continue
        try:
            with within(host.config.query_timeout):
                done += _total_day(host, first)
        except (sa.exc.DBAPIError, QueryTimeoutError) as error:
            failed.add(first)
            trouble = trouble or error
            if isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated:
                break
        if not go_on():
            break
    if trouble is not None:
        raise trouble
    return done


def drop_totals(host: Host) -> int:
    """Delete all figures; return of how many days there were any."""
    total = host.tables.total
    days = sa.select(sa.func.count(sa.distinct(total.c.first))).where(total.c.dimension == ALL)
    with host.engine.begin() as connection:
        count = int(connection.execute(days).scalar_one())
        connection.execute(total.delete())
    return count


def _keep_those_that_are_right(host: Host, *, recount: bool) -> Set[datetime]:
    """Return the midnights of days whose figures are those of their requests; delete all others."""
    total = host.tables.total
    with reading(host.engine) as connection:
        found = days_that_are_right(connection, host.model, host.tables, recount=recount)
        right = {row.first for row in found}
        every = sa.select(total.c.first).distinct()
        old = [first for first in connection.scalars(every) if first not in right]
    for part in range(0, len(old), _INSERTED_AT_ONCE):
        these = old[part : part + _INSERTED_AT_ONCE]
        with host.engine.begin() as connection, ended_when_idle(connection):
            connection.execute(total.delete().where(total.c.first.in_(these)))
    return right


def _due(host: Host, right: Set[datetime]) -> Iterator[datetime]:
    """Yield the midnights of days with requests that are not right, the newest first."""
    moment = host.model.columns["date"]
    before = datetime.combine(changes.utc_now() - changes.SETTLED, time())
    while True:
        while before - DAY in right:
            before -= DAY
        asked = sa.select(sa.func.max(moment)).where(moment < boundary(before))
        with reading(host.engine) as connection:
            latest = connection.scalar(asked)
        if latest is None:
            return
        before = datetime.combine(latest, time())
        if before not in right:
            yield before


def _total_day(host: Host, first: datetime) -> bool:
    """Add up a day; return whether its figures were stored: not, where it changed meanwhile."""
    with reading(host.engine) as connection:
        rows = rows_of_day(connection, host, first)
    tables, day = host.tables, first.date()
    with host.engine.begin() as connection, ended_when_idle(connection):
        # One process at a time, so that each sees what the other stored.
        changes.write_state(connection, tables, _STORING, secrets.token_hex(8))
        if changes.day_numbers(connection, tables, day, day).get(day, 0) != rows[0]["change"]:
            return False
        connection.execute(tables.total.delete().where(tables.total.c.first == first))
        for part in range(0, len(rows), _INSERTED_AT_ONCE):
            connection.execute(tables.total.insert(), rows[part : part + _INSERTED_AT_ONCE])
    return True
