"""Which process is the keeper: a lease in the host's database, which ends by itself."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa

from ..changes import utc_now
from ..tables import Tables

#: The value of ``statistics_state`` that names the keeper.
KEEPER = "keeper"
#: How long a process that does not say so any more is still held for the keeper.
LEASE = timedelta(minutes=15)


def take_lease(engine: sa.Engine, tables: Tables, token: str, now: datetime | None = None) -> bool:
    """Become the keeper, or stay it; return whether the process is it now."""
    now, table = now or utc_now(), tables.state
    taken = (
        table.update()
        .where(table.c.name == KEEPER, sa.or_(table.c.value == token, table.c.expires < now))
        .values(value=token, expires=now + LEASE)
    )
    try:
        with engine.begin() as connection:
            if connection.execute(taken).rowcount:
                return True
            if connection.scalar(sa.select(table.c.value).where(table.c.name == KEEPER)):
                return False
            connection.execute(table.insert().values(name=KEEPER, value=token, expires=now + LEASE))
            return True
    except sa.exc.IntegrityError:  # another process was first
        return False


def give_back(engine: sa.Engine, tables: Tables, token: str) -> None:
    """Be the keeper no more, so that another process need not wait."""
    table = tables.state
    with engine.begin() as connection:
        connection.execute(table.delete().where(table.c.name == KEEPER, table.c.value == token))


def read_lease(engine: sa.Engine, tables: Tables) -> tuple[str, datetime] | None:
    """Return who the keeper is and until when at least; None where there is none."""
    table = tables.state
    asked = sa.select(table.c.value, table.c.expires).where(
        table.c.name == KEEPER, table.c.expires >= utc_now()
    )
    with engine.connect() as connection:
        row = connection.execute(asked).first()
    return (row.value, row.expires) if row else None
