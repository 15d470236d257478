"""How fast ``flask statistics import`` is, what it keeps in memory, and whom it keeps waiting.

The log is the example app's, repeated over shifted days, so that no two lines are the same. Rate:
all lines new, recognition of known ones included; the baseline is bare ``sqlite3`` executemany of
the finished rows into the same table. Memory: the peaks of two processes, one of which imports
several times as much. Waiting: another process writes to the same file every 20 ms meanwhile, as a
host does; what counts is the longest of its writes.
"""

from __future__ import annotations

import gzip
import json
import multiprocessing
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, sleep
from typing import Any

from .figure import Figure
from .process import memory, run_python
from .storing import execute_many
from .traffic import LOG

_DAY = re.compile(rb"\[(\d\d/[A-Z][a-z]{2}/\d{4}):")
_LINES_OF_LOG = 10_000
_DAYS_OF_LOG = 4
_BETWEEN_WRITES = 0.02


def run(folder: Path, *, short: bool) -> list[Figure]:
    """Measure RequestMixin, in processes of their own."""
    once, often = (60_000, 180_000) if short else (200_000, 1_000_000)
    small = run_python("-m", __name__, str(once))
    large = run_python("-m", __name__, str(often))
    waiting = run_python("-m", __name__, str(once), "--with-a-writer")
    return [
        Figure("import", small["rate"], "lines/s", 28_000,
               f"executemany {small['executemany']:,.0f} rows/s", at_least=True),
        Figure(f"import, peak memory of {often:,} lines", large["peak"] / small["peak"],
               f"of that of {once:,}", 1.1, f"{small['peak']:.0f} and {large['peak']:.0f} MB"),
        Figure("import, longest wait of a host's write", waiting["longest"], "s", 0.5,
               f"{waiting['writes']:,} writes, alone at most {waiting['alone'] * 1e3:.0f} ms"),
    ]  # fmt: skip


def write_log(path: Path, lines: int) -> None:
    """Write a log of this many different lines."""
    logged = gzip.decompress(LOG.read_bytes())
    days = {match[1] for match in _DAY.finditer(logged)}
    with path.open("wb") as log:
        for copy in range(lines // _LINES_OF_LOG):
            shifted = {day: _shift(day, copy * _DAYS_OF_LOG) for day in days}
            log.write(_DAY.sub(lambda match: b"[%b:" % shifted[match[1]], logged))  # noqa: B023


def _shift(day: bytes, days: int) -> bytes:
    form = "%d/%b/%Y"
    return (datetime.strptime(day.decode(), form) + timedelta(days)).strftime(form).encode()


def measure(lines: int, *, with_a_writer: bool) -> dict[str, Any]:
    """Import a log of this many lines; return rates in lines/s, memory in MB, waits in seconds."""
    from .hosts import recording_host

    with TemporaryDirectory(prefix="statistics-benchmark-") as name:
        folder = Path(name)
        log = folder / "access.log"
        write_log(log, lines)
        host = recording_host(folder, "everything")
        command = host.app.test_cli_runner()
        with _small_writes(host.path, wanted=with_a_writer) as waits:
            began = perf_counter()
            result = command.invoke(args=["statistics", "import", str(log)])
            taken = perf_counter() - began
        if result.exit_code:
            raise RuntimeError(f"the import failed: {result.output}")
        peak, stored = memory("VmHWM"), host.stored()
        bare = 0.0 if with_a_writer or lines > 200_000 else execute_many(host.path)
    return {
        "rate": stored / taken, "peak": peak, "executemany": bare and stored / bare, **waits
    }  # fmt: skip


@contextmanager
def _small_writes(path: Path, *, wanted: bool) -> Iterator[dict[str, Any]]:
    """Let another process write small rows meanwhile; fill the dict with how long it waited."""
    waits: dict[str, Any] = {}
    if not wanted:
        yield waits
        return
    spawning = multiprocessing.get_context("spawn")
    stop, results = spawning.Event(), spawning.Queue()
    writer = spawning.Process(target=_write_until, args=(str(path), stop, results))
    writer.start()
    waits["alone"] = results.get()
    try:
        yield waits
    finally:
        stop.set()
        taken = results.get()
        writer.join()
    waits |= {"longest": max(taken), "writes": len(taken)}


def _write_until(path: str, stop: Any, results: Any) -> None:
    """Write one row at a time: a second alone, then until stopped."""
    with closing(sqlite3.connect(path, timeout=30)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS host_row (number INTEGER)")
        connection.commit()
        results.put(max(_seconds_of_a_write(connection) for _ in range(50)))
        taken = []
        while not stop.is_set():
            taken.append(_seconds_of_a_write(connection))
        results.put(taken)


def _seconds_of_a_write(connection: sqlite3.Connection) -> float:
    sleep(_BETWEEN_WRITES)
    began = perf_counter()
    with connection:
        connection.execute("INSERT INTO host_row VALUES (1)")
    return perf_counter() - began


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), with_a_writer="--with-a-writer" in sys.argv)))
