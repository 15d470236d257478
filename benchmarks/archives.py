"""Archives of millions of rows, written segment by segment without a table that holds them."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from pathlib import Path

import pyarrow as pa

from flask_statistics import changes
from flask_statistics.archive.building import build
from flask_statistics.archive.folder import Archive
from flask_statistics.archive.schema import arrow_types, event_kinds, kinds
from flask_statistics.archive.segments import Content, write_segment

from .databases import Database, sqlite_file
from .generating import Traffic

#: Requests of a segment; the days are kept whole.
ROWS = 111_000


def open_archive(folder: Path) -> Database:
    """Return the host in this folder, with its archive."""
    settings = {"STATISTICS_ARCHIVE": str(folder / "archive")}
    database = sqlite_file(folder / "host.sqlite", **settings)
    database.record()
    return database


def archive_file(folder: Path, traffic: Traffic) -> Database:
    """Return a host on SQLite whose table is empty and whose archive holds the traffic."""
    database = open_archive(folder)
    database.fill([])
    state = database.state
    first = datetime.combine(traffic.first, time())
    build(state, now=first + changes.SETTLED)
    archive = Archive(folder / "archive")
    manifest = archive.manifest()
    if manifest is None:
        raise RuntimeError("the archive was not made")
    columns, event_columns = kinds(state.model), event_kinds(state.tables)
    events = pa.schema(list(arrow_types(event_columns).items())).empty_table()
    held: list[pa.Table] = []
    begin, number, first_id, segments = first, 0, 1, []
    for number in range(traffic.days):
        held.append(traffic.day(number, first_id)[0])
        first_id += held[-1].num_rows
        if sum(rows.num_rows for rows in held) >= ROWS or number == traffic.days - 1:
            end = first + timedelta(number + 1)
            requests = pa.concat_tables(held).unify_dictionaries().combine_chunks()
            content = Content(requests, events, columns, event_columns)
            segments.append(write_segment(archive, begin, end, {}, content))
            begin, held = end, []
    archive.write(manifest.replaced([], segments))
    with state.engine.begin() as connection:
        changes.move_horizon(connection, state.tables, begin)
    return database
