"""What recording adds to a request, against one ORM row and one commit in each request.

The other app fills the same classic columns in an ``after_request`` function and commits, as
flask-statistics 1.0 did, on SQLite with a write-ahead log and without waiting for the disk
(``synchronous = NORMAL``); its user agents are parsed once. Processor time of the serving thread,
blocks of 200 in turns, medians (so that one app's garbage is not another's cost); what the other
app waits for the disk comes on top.
"""

from __future__ import annotations

from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from statistics import median
from time import perf_counter, thread_time
from typing import Any

import sqlalchemy as sa
from flask import g, request

from .figure import Figure
from .hosts import Host, bare_host, classic_model, recording_host
from .serving import interleave
from .traffic import same_requests

BLOCK = 200


def run(folder: Path, *, short: bool) -> list[Figure]:
    """Measure the classic model."""
    hosts = {
        "bare": bare_host(folder),
        "recording": recording_host(folder, "classic", FLUSH_INTERVAL=60),
        "commit": committing_host(folder),
    }
    seconds = interleave(
        {name: host.app for name, host in hosts.items()},
        lambda: same_requests(BLOCK),
        thread_time,
        rounds=30 if short else 150,
        after_block=lambda name: hosts[name].flush(),
        average=median,
    )
    ours = seconds["recording"] - seconds["bare"]
    theirs = seconds["commit"] - seconds["bare"]
    return [
        Figure(
            "less than an ORM row and commit a request (WAL)", theirs / ours, "times", 30,
            f"commit adds {theirs * 1e6:.0f} µs, recording {ours * 1e6:.1f} µs", at_least=True,
        )
    ]  # fmt: skip


def committing_host(folder: Path) -> Host:
    """Return the app that stores each request with its own session."""
    bare = bare_host(folder, "commit")
    app, db = bare.app, bare.db
    request_model = classic_model(db)
    with app.app_context():
        sa.event.listen(db.engine, "connect", _use_write_ahead_log)
        db.create_all()

    @app.before_request
    def begin() -> None:
        g.began = perf_counter()
        g.date = datetime.now(timezone.utc).replace(tzinfo=None)

    @app.after_request
    def store(response: Any) -> Any:
        browser, platform = _names(request.user_agent.string)
        row = request_model(
            response_time=perf_counter() - g.began, date=g.date, method=request.method,
            size=response.content_length, status_code=response.status_code, path=request.path,
            user_agent=request.user_agent.string, remote_address=request.remote_addr,
            referrer=request.referrer, browser=browser, platform=platform,
            mimetype=response.mimetype,
        )  # fmt: skip
        db.session.add(row)
        db.session.commit()
        return response

    return bare


def _use_write_ahead_log(connection: Any, record: Any) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")


@lru_cache(1024)
def _names(user_agent: str) -> tuple[str, str]:
    from user_agents import parse

    parsed = parse(user_agent)
    return parsed.get_browser(), parsed.get_os()
