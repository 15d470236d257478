"""Changes to many rows in short transactions, so that nobody waits long for a lock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from time import perf_counter, sleep
from typing import TypeVar

import sqlalchemy as sa

from ..errors import MissingTableError
from ..importing.writing import GAP, HELD, LONG_GAP
from ..recording.connections import ended_when_idle, is_shared_memory
from ..state import State

#: Rows whose keys are read at once, in some ten megabytes.
READ = 100_000
#: Rows of one statement, whose values fit into the parameters that every database takes.
PART = 500
_ATTEMPTS = 8

Part = TypeVar("Part")


def parts_of(rows: Sequence[Part], size: int = PART) -> Iterable[Sequence[Part]]:
    """Cut rows into pieces of at most ``size``."""
    return (rows[start : start + size] for start in range(0, len(rows), size))


def in_turns(
    engine: sa.Engine,
    parts: Iterable[Part],
    work: Callable[[sa.Connection, Part], None],
) -> None:
    """Do ``work`` for each part, as many in one transaction as :data:`HELD` seconds allow.

    Where another one holds a lock, the transaction is tried again, so that ``work`` may be
    called several times for a part; only one of them counts. What was committed stays where a
    later transaction fails.

    :raises sqlalchemy.exc.SQLAlchemyError: where the database fails, or stays locked.
    """
    waiting = list(parts)
    pauses = engine.dialect.name == "sqlite" and not is_shared_memory(engine)
    done = 0
    while done < len(waiting):
        if done and pauses:
            sleep(GAP)  # others that wait for SQLite look again in it
        done = _patiently(engine, waiting, done, work)


def _patiently(
    engine: sa.Engine,
    parts: Sequence[Part],
    start: int,
    work: Callable[[sa.Connection, Part], None],
) -> int:
    for attempt in range(1, _ATTEMPTS):
        try:
            return _one_turn(engine, parts, start, work)
        except sa.exc.OperationalError:
            sleep(LONG_GAP * attempt)
    return _one_turn(engine, parts, start, work)


def _one_turn(
    engine: sa.Engine,
    parts: Sequence[Part],
    start: int,
    work: Callable[[sa.Connection, Part], None],
) -> int:
    """Do one transaction; return the number of the first part that it did not do."""
    done, lasted = start, 0.0
    with engine.begin() as connection, ended_when_idle(connection):
        began = perf_counter()
        while done < len(parts) and (done == start or perf_counter() - began + lasted < HELD):
            part_began = perf_counter()
            work(connection, parts[done])
            done += 1
            lasted = perf_counter() - part_began
    return done


def check_tables(state: State) -> None:
    """Go on only where the host's table and ours are there.

    :raises MissingTableError: where one is missing; the message says how to make it.
    """
    inspector = sa.inspect(state.engine)
    for table in (state.model.table, *state.tables):
        if not inspector.has_table(table.name, schema=table.schema):
            raise MissingTableError(
                f"The table {table.name} is missing: run `flask db migrate` and "
                "`flask db upgrade`, or db.create_all() after Statistics(…), to make it."
            )
