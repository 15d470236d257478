"""Which days of the past were changed: what keeps the archive and kept answers right.

Rows are stored soon after they were recorded. A row that comes later than :data:`LATE`, and
whatever a command changes, raises the number of its UTC day, in the same transaction. What was
derived from a day holds the number that the day had before it was read, and is right as long as
the number is the same.

The archive closes what lies before its horizon. It moves the horizon before it reads, under a
lock that each storing transaction shares: a transaction that does not know of the new horizon
has ended by then, and one that does raises the number of the days before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta, timezone

import sqlalchemy as sa

from .tables import Tables

#: How long after a request its row is not late.
LATE = timedelta(minutes=2)
#: How long after its end a period counts as over, so that answers about it may be kept.
SETTLED = timedelta(minutes=10)
HORIZON = "horizon"
_NEVER = datetime(1, 1, 1)


def utc_now() -> datetime:
    """Return now, UTC, without a time zone."""
    return datetime.now(timezone.utc).replace(tzinfo=None)


def note_rows(connection: sa.Connection, tables: Tables, moments: Iterable[datetime]) -> None:
    """Note that rows of these moments are stored, or changed, in the caller's transaction.

    :raises sqlalchemy.exc.DBAPIError: where the tables are missing.
    """
    closed = max(read_horizon(connection, tables, lock=True), utc_now() - LATE)
    raise_days(connection, tables, {moment.date() for moment in moments if moment < closed})


def raise_days(connection: sa.Connection, tables: Tables, days: Iterable[date]) -> None:
    """Raise the numbers of days, always in the same order, so that no two block each other."""
    table = tables.change
    for day in sorted(days):
        raised = table.update().where(table.c.day == day).values(number=table.c.number + 1)
        if connection.execute(raised).rowcount:
            continue
        try:
            with connection.begin_nested():
                connection.execute(table.insert().values(day=day, number=1))
        except sa.exc.IntegrityError:  # another process was first
            connection.execute(raised)


def forget_days(connection: sa.Connection, tables: Tables, days: Iterable[date]) -> None:
    """Raise the numbers of days, and delete what was added up of them: what is to be forgotten
    must not be left there until somebody adds them up again."""
    days = set(days)
    raise_days(connection, tables, days)
    midnights = [datetime.combine(day, time()) for day in days]
    connection.execute(tables.total.delete().where(tables.total.c.first.in_(midnights)))


def day_numbers(
    connection: sa.Connection, tables: Tables, first: date, last: date
) -> dict[date, int]:
    """Return the numbers of the days that were ever changed, from ``first`` to ``last``."""
    table = tables.change
    asked = sa.select(table.c.day, table.c.number).where(table.c.day.between(first, last))
    return {day: int(number) for day, number in connection.execute(asked)}


def read_horizon(connection: sa.Connection, tables: Tables, *, lock: bool = False) -> datetime:
    """Return the moment before which the archive holds all, UTC; year 1 where there is none.

    :param lock: keep the horizon where it is until the transaction ends. SQLite does so by
        itself: where one writes, nobody else does.
    """
    table = tables.state
    asked = sa.select(table.c.value).where(table.c.name == HORIZON)
    if lock:
        asked = asked.with_for_update(read=True)
    value = connection.scalar(asked)
    return datetime.fromisoformat(value) if value else _NEVER


def move_horizon(connection: sa.Connection, tables: Tables, horizon: datetime) -> None:
    """Move the horizon in the caller's transaction; waits for those that store rows."""
    write_state(connection, tables, HORIZON, horizon.isoformat())


def write_state(
    connection: sa.Connection,
    tables: Tables,
    name: str,
    value: str,
    expires: datetime | None = None,
) -> None:
    """Set a single value, whether or not it was there."""
    table = tables.state
    changed = table.update().where(table.c.name == name).values(value=value, expires=expires)
    if connection.execute(changed).rowcount:
        return
    try:
        with connection.begin_nested():
            connection.execute(table.insert().values(name=name, value=value, expires=expires))
    except sa.exc.IntegrityError:  # another process was first
        connection.execute(changed)


def read_state(connection: sa.Connection, tables: Tables, name: str) -> str | None:
    """Return a single value, None where it is not there."""
    table = tables.state
    return connection.scalar(sa.select(table.c.value).where(table.c.name == name))
