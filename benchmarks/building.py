"""How fast an archive is built from the host's table, and in how much memory.

Measured in a process of its own, as the command builds it. The baseline is reading the same rows
with the bare driver. Rows of a processor second are the process's alone, without the server's.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from time import perf_counter, process_time
from unittest.mock import patch

import sqlalchemy as sa

from flask_statistics.archive.schema import prefer_little_memory

from .dashboards import LAST, traffic
from .databases import URLS, Database, sqlite_file
from .figure import Figure
from .process import memory, run_python

#: Rows a second: PostgreSQL has COPY.
WANTED = {"SQLite": 80_000, "PostgreSQL": 140_000}


def run(folder: Path, *, short: bool) -> list[Figure]:
    """Measure SQLite, and PostgreSQL where there is one."""
    rows = 20_000 if short else 1_000_000
    figures = []
    for name in ["SQLite", *(name for name in URLS if name == "PostgreSQL")]:
        with patch.dict(os.environ):
            prefer_little_memory()
            found = run_python("-m", __name__, name, str(folder / name), str(rows))
        figures += [
            Figure(f"building the archive from {name}", found["rate"], "rows/s", WANTED[name],
                   f"reading alone {found['read']:,.0f} rows/s; "
                   f"{found['processor']:,.0f} rows a processor second", at_least=True),
            Figure(f"building the archive from {name}, resident memory", found["peak"], "MB", 320,
                   f"before {found['before']:.0f} MB"),
        ]  # fmt: skip
    return figures


def measure(name: str, folder: Path, rows: int) -> dict[str, float]:
    """Fill a database, build its archive; return rates in rows/s and memory in MB."""
    from flask_statistics.archive.building import build

    folder.mkdir()
    settings = {"STATISTICS_ARCHIVE": str(folder / "archive")}
    path = folder / "host.sqlite"
    database = (
        sqlite_file(path, **settings) if name == "SQLite" else Database(URLS[name], **settings)
    )
    database.record()
    run_python("-m", "benchmarks.building", name, str(folder), str(rows), "--fill")
    before, began, worked = memory("VmRSS"), perf_counter(), process_time()
    build(database.state)
    taken, worked = perf_counter() - began, process_time() - worked
    found = {"rate": rows / taken, "processor": rows / worked, "before": before}
    found["peak"] = memory("VmHWM")
    return found | {"read": _read(database, rows)}


def _read(database: Database, rows: int) -> float:
    began = perf_counter()
    with database.engine.connect() as connection:
        found = connection.execute(sa.select(database.Request.__table__)).cursor
        while found.fetchmany(10_000):
            pass
    return rows / (perf_counter() - began)


def fill(name: str, folder: Path, rows: int) -> None:
    """Fill a database, in a process of its own, since that takes memory."""
    path = folder / "host.sqlite"
    database = sqlite_file(path) if name == "SQLite" else Database(URLS[name])
    database.fill(traffic(rows))


if __name__ == "__main__":
    _, which, where, count, *fills = sys.argv
    if fills:
        fill(which, Path(where), int(count))
        print(json.dumps(str(LAST)))
    else:
        print(json.dumps(measure(which, Path(where), int(count))))
