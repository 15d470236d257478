"""The recorder's health and the state of the tables, for the terminal."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa

from .asking.daily_totals import ALL
from .asking.reading import reading
from .changes import read_state
from .recording.completeness import COMPLETE, STATE
from .report import inert
from .state import State


def make_status(state: State) -> dict[str, Any]:
    """Return what the tables hold, and what ``/api/status`` says of the process that asks.

    Expired salts are destroyed. ``recorder``: of this process alone, so that in a shell all is 0.
    ``table``: its name, how many rows, the newest one's date (ISO 8601, UTC), None for both
    where the table is missing; ``live``: when a request was last recorded as it came.
    ``derived``: what makes the pages quick: whether ``visits`` are complete (None where that is
    not known yet), how many days of ``totals`` were added up, and the folder of the ``archive``.
    ``missing``: the tables that ``flask db migrate`` and ``flask db upgrade`` would make.
    """
    inspector = sa.inspect(state.engine)
    tables = (state.model.table, *state.tables)
    missing = [t.name for t in tables if not inspector.has_table(t.name, schema=t.schema)]
    date, ended = state.model.columns["date"], state.tables.live.c.ended
    name, ours = state.model.table.name, state.tables
    rows = newest = live = visits = days = None
    with reading(state.engine) as connection:
        if name not in missing:
            counted = sa.select(sa.func.count(), sa.func.max(date)).select_from(state.model.table)
            rows, newest = connection.execute(counted).one()
        if state.tables.live.name not in missing:
            live = connection.scalar(sa.select(sa.func.max(ended)))
        if ours.state.name not in missing:
            visits = read_state(connection, ours, STATE)
        if ours.total.name not in missing:
            first = sa.select(sa.func.count(sa.distinct(ours.total.c.first)))
            days = connection.scalar(first.where(ours.total.c.dimension == ALL))
    if state.tables.salt.name not in missing:
        state.destroy_expired_salts()
    return {
        "enabled": state.config.enabled,
        "table": {"name": name, "rows": rows, "newest": newest and newest.isoformat()},
        "live": live and live.isoformat(),
        "derived": {
            "visits": None if visits is None else visits == COMPLETE,
            "totals": days,
            "archive": state.config.archive or None,
        },
        "missing": missing,
        "recorder": state.recorder.status(),
    }


def write_status(status: dict[str, Any], form: str) -> str:
    """Return a status as ``"text"`` or ``"json"``."""
    if form == "json":
        return json.dumps(status, indent=2)
    lines = [f"{label:<18}{value}" for label, value in _lines(status)]
    if status["missing"]:
        lines.append(
            f"Missing tables: {', '.join(status['missing'])}. "
            "Run `flask db migrate` and `flask db upgrade` to make them, or call "
            "db.create_all() after Statistics(…)."
        )
    return "\n".join(lines)


def _lines(status: dict[str, Any]) -> list[tuple[str, str]]:
    table, recorder = status["table"], status["recorder"]
    dropped = ", ".join(f"{count:,} {why}" for why, count in recorder["dropped"].items())
    lag = recorder["lag"]
    derived, visits = status["derived"], "not known before the first request"
    if derived["visits"] is not None:
        rebuild = "incomplete, so that pages are slower: run `flask statistics visits rebuild`"
        visits = "complete" if derived["visits"] else rebuild
    rows = "missing" if table["rows"] is None else f"{table['rows']:,} requests"
    return [
        ("Recording", "on" if status["enabled"] else "off (STATISTICS_ENABLED)"),
        ("Table", f"{table['name']}: {rows}"),
        ("Newest request", _moment(table["newest"])),
        ("Recorded live", _moment(status["live"])),
        ("Visits", visits),
        ("Totals", f"{derived['totals'] or 0:,} days added up"),
        ("Archive", inert(derived["archive"] or "none (STATISTICS_ARCHIVE)")),
        ("This process", "of this command alone; of a worker: <STATISTICS_URL_PREFIX>/api/status"),
        ("  Received", f"{recorder['received']:,}"),
        ("  Stored", f"{recorder['stored']:,}"),
        ("  Queue", f"{recorder['waiting']:,} of {recorder['queue_size']:,} wait"),
        ("  Dropped", dropped or "none"),
        ("  Lag", "none" if lag is None else f"{lag:.1f} s"),
        ("  Last error", inert(recorder["last_error"] or "none")),
    ]


def _moment(text: str | None) -> str:
    return "never" if text is None else f"{text.replace('T', ' ')} UTC"
