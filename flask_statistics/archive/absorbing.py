"""Rows that came to the table after their days were pruned: they move into the archive.

First a segment has them, and the manifest says that the table's do not count; then they are
deleted; then the manifest says nothing of them any more. A crash in between leaves each row
counted once, and the next change of the archive goes on.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ..changes import HORIZON, read_state, write_state
from ..tables import Tables
from .manifest import Absorbed
from .opening import Change
from .schema import ID, arrow
from .sources import ABSORBED

if TYPE_CHECKING:
    import pyarrow as pa

_AT_ONCE = 500


def write_absorbed(change: Change, requests: pa.Table, events: pa.Table) -> Absorbed:
    """Write which rows are in a segment and still in the table."""
    pa = arrow()
    none = (pa.nulls(requests.num_rows, pa.int64()), pa.nulls(events.num_rows, pa.int64()))
    table = pa.concat_tables([
        pa.table({"id": requests[ID], "event": none[0], "date": requests["date"]}),
        pa.table({"id": none[1], "event": events[ID], "date": events["date"]}),
    ])  # fmt: skip
    with change.archive.writing(".absorbed-rows.parquet") as new:
        pa.parquet.write_table(table, new.stream)
    return Absorbed(secrets.token_hex(8), new.described(table.num_rows))


def finish_absorbing(change: Change) -> None:
    """Delete from the table what the archive absorbed, once."""
    absorbed = change.manifest.absorbed
    if absorbed is None:
        return
    host, tables = change.host, change.host.tables
    table = arrow().parquet.read_table(change.archive.file(absorbed.file))
    with host.engine.begin() as connection:
        lock_horizon(connection, tables)
        if read_state(connection, tables, ABSORBED) != absorbed.token:
            date = host.model.columns["date"]
            _delete(connection, host.model.primary_key, date, table["id"], table["date"])
            date = tables.event.c.date
            _delete(connection, tables.event.c.id, date, table["event"], table["date"])
            write_state(connection, tables, ABSORBED, absorbed.token)
    change.archive.step("absorbed deleted")
    change.commit([], [])


def lock_horizon(connection: sa.Connection, tables: Tables) -> None:
    """Wait for those that store rows, and keep others waiting until the transaction ends.

    The first statement of its transaction: what follows sees what they stored (on MariaDB a
    transaction sees what its first reading saw).
    """
    of = tables.state
    connection.execute(of.update().where(of.c.name == HORIZON).values(value=of.c.value))


def _delete(
    connection: sa.Connection,
    key: sa.Column[Any],
    date: sa.Column[Any],
    ids: pa.ChunkedArray,
    dates: pa.ChunkedArray,
) -> None:
    """Delete rows that are still those: an id may have been given to another one since."""
    known = {i: d for i, d in zip(ids.to_pylist(), dates.to_pylist(), strict=True) if i is not None}
    numbers = sorted(known)
    for place in range(0, len(numbers), _AT_ONCE):
        some = key.in_(numbers[place : place + _AT_ONCE])
        found = connection.execute(sa.select(key, date).where(some))
        same = [number for number, moment in found if known[number] == moment]
        if same:
            connection.execute(sa.delete(key.table).where(key.in_(same)))
