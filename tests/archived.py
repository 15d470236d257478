"""What the tests of the archive share: hosts, rows, and a reader in plain Python."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import sqlalchemy as sa

from flask_statistics.archive.opening import archive_of, read_pruned
from flask_statistics.archive.schema import kinds
from flask_statistics.archive.segments import read_events, read_requests
from flask_statistics.archive.sources import ABSORBED, find_sources
from flask_statistics.changes import day_numbers, note_rows, raise_days, read_state

if TYPE_CHECKING:
    from tests.conftest import Host

MakeHost = Callable[..., "Host"]
#: Monday, noon.
NOW = datetime(2026, 1, 12, 12)
ALWAYS = datetime(1970, 1, 1), datetime(2100, 1, 1)


def archived_host(make_host: MakeHost, url: str, folder: Path, **options: Any) -> Host:
    """Return a host whose archive is in ``folder``."""
    settings = {"STATISTICS_ARCHIVE": str(folder), "STATISTICS_KEEPER": False}
    settings |= options.pop("settings", {})
    return make_host(url=url, settings=settings, **options)


def state_of(host: Host) -> Any:
    return host.app.extensions["statistics"]


def request(day: int, hour: int = 10, second: int = 0, **values: Any) -> dict[str, Any]:
    """Return a row of January 2026."""
    date = datetime(2026, 1, day, hour) + timedelta(seconds=second)
    return {
        "date": date, "method": "GET", "path": "/", "status_code": 200, "mimetype": "text/html",
        "response_time": 0.25, "visitor": "anna", "visit": f"anna-{day}", **values,
    }  # fmt: skip


def store(host: Host, *rows: dict[str, Any]) -> None:
    """Store rows as the recorder does."""
    state = state_of(host)
    with state.engine.begin() as connection:
        for row in rows:
            connection.execute(state.model.table.insert(), row)
        note_rows(connection, state.tables, [row["date"] for row in rows])


def store_event(host: Host, **values: Any) -> None:
    """Store an event as the recorder does."""
    state = state_of(host)
    with state.engine.begin() as connection:
        connection.execute(state.tables.event.insert(), {"person": True, **values})
        note_rows(connection, state.tables, [values["date"]])


def delete(host: Host, *conditions: Any) -> None:
    """Delete rows as a command of ours does."""
    state = state_of(host)
    table, date = state.model.table, state.model.columns["date"]
    with state.engine.begin() as connection:
        moments = connection.scalars(sa.select(date).where(*conditions)).all()
        connection.execute(table.delete().where(*conditions))
        raise_days(connection, state.tables, {moment.date() for moment in moments})


def prune(host: Host, before: datetime) -> datetime:
    """Delete from the table what the archive holds for certain; return until when."""
    from flask_statistics.archive.covering import covered_until
    from flask_statistics.archive.sources import PRUNED
    from flask_statistics.changes import write_state

    state = state_of(host)
    date = state.model.columns["date"]
    with state.engine.begin() as connection:
        until = covered_until(connection, state, before)
        since = read_pruned(connection, state.tables) or datetime.min
        if until > since:
            late = [] if since == datetime.min else [date >= since]
            connection.execute(state.model.table.delete().where(date < until, *late))
            write_state(connection, state.tables, PRUNED, until.isoformat())
    return until


def seen(host: Host, *, events: bool = False) -> list[tuple[Any, ...]]:
    """Return what a reader sees of all requests, or events: key and date, in order.

    The reader keeps to what ``find_sources`` says, and knows nothing else.
    """
    return sorted((row["id"], row["date"]) for row in seen_rows(host, events=events))


def seen_rows(host: Host, *, events: bool = False) -> list[dict[str, Any]]:
    """Return what a reader sees of all requests, or of all events."""
    state, archive = state_of(host), archive_of(state_of(host))
    columns = kinds(state.model)
    with state.engine.connect() as connection:
        numbers = day_numbers(
            connection, state.tables, ALWAYS[0].date(), (ALWAYS[1] - timedelta(days=1)).date()
        )
        pruned = read_pruned(connection, state.tables)
        absorbed_token = read_state(connection, state.tables, ABSORBED)
        manifest = archive.manifest()
        if manifest is None:
            return _in_table(connection, state, *ALWAYS, events)
        parts = find_sources(manifest, *ALWAYS, numbers=numbers, pruned=pruned, columns=columns)
        known: set[int] = set()
        if manifest.absorbed and manifest.absorbed.token != absorbed_token:
            file = pq.read_table(archive.file(manifest.absorbed.file))
            known = set(file["event" if events else "id"].to_pylist())
        found = []
        for part in parts:
            if part.segment:
                read = read_events if events else read_requests
                rows = read(archive, part.segment, _columns(state, events)).to_pylist()
                found += [row for row in rows if part.begin <= row["date"] < part.end]
            if part.table:
                found += [
                    row for row in _in_table(connection, state, part.begin, part.end, events)
                    if row["id"] not in known or row["date"] >= (pruned or datetime.min)
                ]  # fmt: skip
    return found


def _columns(state: Any, events: bool) -> Any:
    from flask_statistics.archive.schema import event_kinds

    return event_kinds(state.tables) if events else kinds(state.model)


def _in_table(
    connection: sa.Connection, state: Any, begin: datetime, end: datetime, events: bool
) -> list[dict[str, Any]]:
    if events:
        columns = dict(state.tables.event.columns)
    else:
        columns = {"id": state.model.primary_key, **state.model.columns}
    asked = sa.select(*(column.label(name) for name, column in columns.items()))
    rows = connection.execute(asked.where(columns["date"] >= begin, columns["date"] < end))
    return [dict(row) for row in rows.mappings()]


def in_table(host: Host) -> list[tuple[Any, ...]]:
    """Return key and date of what the table holds, in order."""
    state = state_of(host)
    with state.engine.connect() as connection:
        rows = _in_table(connection, state, *ALWAYS, False)
    return sorted((row["id"], row["date"]) for row in rows)


def files(folder: Path) -> set[str]:
    """Return the names of the files of an archive, without the lock."""
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


def named(manifest: Any) -> set[str]:
    """Return the names that there should be."""
    return {*manifest.files, "manifest.json"}


def days_of(segments: Iterable[Any]) -> list[tuple[datetime, datetime, int]]:
    return [(segment.begin, segment.end, segment.rows) for segment in segments]


def manifest_of(host: Host) -> Any:
    """Return what the archive of a host holds."""
    return archive_of(state_of(host)).manifest()
