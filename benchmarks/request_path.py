"""What recording adds to the time of a request, on the thread that serves it.

Compared with the same hello-world app without Statistics; the three take turns in blocks of 200
requests in one process. Up to 1,000 records wait; they are stored between the blocks. The clock is
the processor time of the serving thread: the request path never waits, so it is what a wall clock
shows on an idle machine, and stays it on a busy one. Garbage collection is on and counted.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from time import thread_time

from .figure import Figure
from .hosts import bare_host, recording_host
from .serving import interleave
from .traffic import same_requests

BLOCK, WAITING = 200, 1000


def run(folder: Path, *, short: bool) -> list[Figure]:
    """Measure the classic model and RequestMixin."""
    hosts = {
        "bare": bare_host(folder),
        "classic": recording_host(folder, "classic", FLUSH_INTERVAL=60),
        "everything": recording_host(folder, "everything", FLUSH_INTERVAL=60),
    }
    waiting: Counter[str] = Counter()

    def store(name: str) -> None:
        waiting[name] += BLOCK
        if waiting[name] >= WAITING:
            hosts[name].flush()
            waiting[name] = 0

    seconds = interleave(
        {name: host.app for name, host in hosts.items()},
        lambda: same_requests(BLOCK),
        thread_time,
        rounds=100 if short else 500,
        after_block=store,
    )
    return [
        _figure("request path, classic model: time added", "classic", 10, seconds),
        _figure("request path, RequestMixin: time added", "everything", 15, seconds),
    ]


def _figure(label: str, name: str, limit: float, seconds: dict[str, float]) -> Figure:
    bare = seconds["bare"]
    added = seconds[name] - bare
    return Figure(
        label, added / bare * 100, "% of bare", limit,
        f"bare {bare * 1e6:.1f} µs, added {added * 1e6:.1f} µs",
    )  # fmt: skip
