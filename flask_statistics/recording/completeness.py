"""Whether ``statistics_visit`` holds all visits, which whoever works on visits may lock and say.

Whoever lets it be wrong for a while writes a value of its own, and afterwards says that it is
complete only where that value still stands: else somebody else made it wrong meanwhile.
"""

from __future__ import annotations

import secrets
from contextlib import suppress

import sqlalchemy as sa

from .. import changes
from ..model import Model
from ..tables import Tables

#: The name of the row of ``statistics_state``, and what it says.
STATE = "visits"
COMPLETE, INCOMPLETE = "complete", "incomplete"
#: The name of the row that says up to which visitor a rebuild has come.
PROGRESS = "visits rebuild"


def lock_visits(connection: sa.Connection, tables: Tables) -> bool:
    """Let nobody else work on visits until the transaction ends; False where nothing is known.

    On SQLite by a write: a transaction that only read before could not write any more once
    another one has written.
    """
    table = tables.state
    mine = table.c.name == STATE
    if connection.dialect.name == "sqlite":
        same = connection.execute(table.update().where(mine).values(value=table.c.value))
        return bool(same.rowcount)
    return connection.scalar(sa.select(table.c.value).where(mine).with_for_update()) is not None


def are_complete(connection: sa.Connection, model: Model, tables: Tables) -> bool:
    """Return whether the table holds all visits that there are; note it where nobody did yet."""
    known = changes.read_state(connection, tables, STATE)
    if known is not None:
        return known == COMPLETE
    # With its index where there is one: whoever has a visit is a visitor.
    who = model.columns.get("visitor", model.columns["visit"])
    older = connection.scalar(sa.select(sa.literal(1)).where(who.is_not(None)).limit(1))
    values = {"name": STATE, "value": INCOMPLETE if older else COMPLETE}
    with suppress(sa.exc.IntegrityError), connection.begin_nested():  # another worker was first
        connection.execute(tables.state.insert().values(values))
    return not older


def mark_incomplete(connection: sa.Connection, tables: Tables) -> str:
    """Let nobody rely on the visits; return what :func:`mark_complete` asks for."""
    value = f"{INCOMPLETE} {secrets.token_hex(8)}"
    changes.write_state(connection, tables, STATE, value)
    # A rebuild that was broken off must not go on behind what is wrong now.
    connection.execute(tables.state.delete().where(tables.state.c.name == PROGRESS))
    return value


def mark_complete(connection: sa.Connection, tables: Tables, since: str) -> bool:
    """Say that the visits are complete; False where somebody else let them be wrong meanwhile.

    :param since: what the state was when mending them began.
    """
    lock_visits(connection, tables)
    if changes.read_state(connection, tables, STATE) not in {since, COMPLETE}:
        return False
    changes.write_state(connection, tables, STATE, COMPLETE)
    return True
