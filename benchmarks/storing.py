"""How fast records become stored rows, with all derived fields and indexes, on SQLite.

20,000 recorded requests wait in the queue, 12,000 in a short run (three full transactions of the
recorder); what is timed is ``flush()``: deriving and writing by the background thread, as in
production. The baseline is bare ``sqlite3``: ``executemany`` of the same, finished rows into the
same table of the same file, 1,000 rows a transaction. The second figure is measured while another
thread serves requests without a pause, so that the thread that stores must fight for the
interpreter's lock. The third one is the rate with visits in relation to that of a model without
the column `visit`, which keeps neither it nor the table of visits.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from .figure import Figure
from .hosts import Host, bare_host, recording_host
from .serving import serve_all
from .traffic import realistic_requests, same_requests

ROWS, FEW_ROWS = 20_000, 12_000
TRANSACTION = 1000


def run(folder: Path, *, short: bool) -> list[Figure]:
    """Measure RequestMixin; in a short run with fewer requests, once."""
    rows = FEW_ROWS if short else ROWS
    host = recording_host(folder, "everything", FLUSH_INTERVAL=60, QUEUE_SIZE=2 * ROWS)
    _store(host, 0, rows=1)  # the thread stores at once when it begins, then waits for flush()
    without = recording_host(folder, "no visits", FLUSH_INTERVAL=60, QUEUE_SIZE=2 * ROWS)
    _store(without, 0, rows=1)
    ratios, quiet, busy, bare, visits = [], [], [], [], []
    for turn in range(1 if short else 6):
        quiet.append(rows / _store(host, turn, rows))
        bare.append(rows / execute_many(host.path))
        ratios.append(quiet[-1] / bare[-1])
        visits.append(quiet[-1] / (rows / _store(without, turn, rows)))
        with _requests_without_pause(folder):
            busy.append(rows / _store(host, turn, rows))
    rates = f"executemany {median(bare):,.0f} rows/s"
    return [
        Figure("storing, RequestMixin with its indexes", median(ratios) * 100, "% of executemany",
               55, f"{rates}, ours {median(quiet):,.0f}", at_least=True),
        Figure("storing while a thread serves without pause", median(busy), "rows/s", 14_000,
               rates, at_least=True),
        Figure("storing with visits", median(visits) * 100, "% of without visits", 70, rates,
               at_least=True),
    ]  # fmt: skip


def _store(host: Host, seed: int, rows: int) -> float:
    """Return the seconds in which what waits is stored."""
    host.create_tables()
    serve_all(host.app, realistic_requests(rows, seed))
    began = perf_counter()
    host.flush()
    taken = perf_counter() - began
    if host.stored() != rows:
        raise RuntimeError(f"{host.stored()} of {rows} requests were stored")
    return taken


def execute_many(path: Path, transaction: int = TRANSACTION) -> float:
    """Return the seconds of inserting the rows of ``request`` again, by bare sqlite3."""
    with closing(sqlite3.connect(path)) as connection:
        names = [column[1] for column in connection.execute("PRAGMA table_info(request)")]
        names.remove("id")
        rows: list[Any] = connection.execute(
            f"SELECT {', '.join(names)} FROM request ORDER BY id"
        ).fetchall()
        connection.execute("DELETE FROM request")
        connection.commit()
        places = ", ".join("?" * len(names))
        insert = f"INSERT INTO request ({', '.join(names)}) VALUES ({places})"
        began = perf_counter()
        for start in range(0, len(rows), transaction):
            connection.executemany(insert, rows[start : start + transaction])
            connection.commit()
        return perf_counter() - began


@contextmanager
def _requests_without_pause(folder: Path) -> Iterator[None]:
    app, stop = bare_host(folder).app, threading.Event()

    def work() -> None:
        while not stop.is_set():
            serve_all(app, same_requests(100))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
