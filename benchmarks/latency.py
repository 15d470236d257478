"""How much later the slowest hundredth of requests is answered at 1,000 requests a second.

Compared with the same app without Statistics, in windows that take turns. One client, in the
process: every millisecond a request is due, and its latency is counted from then on, so that it
includes waking up and taking the interpreter's lock from the thread that stores; a request that is
late makes later ones late, as a client that waits in line would see it. Default settings.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from time import perf_counter, sleep

from .figure import Figure
from .hosts import Host, bare_host, recording_host
from .serving import serve
from .traffic import realistic_requests

RATE = 1000


def run(folder: Path, *, short: bool) -> list[Figure]:
    """Measure RequestMixin."""
    windows, seconds = (5, 1.0) if short else (10, 3.0)
    hosts = (bare_host(folder), recording_host(folder, "everything"))
    for host in hosts:
        _p99(host, 1.0, seed=0)
    pairs = [[_p99(host, seconds, seed) for host in hosts] for seed in range(1, windows + 1)]
    bare, recording = (median(p99) for p99 in zip(*pairs, strict=True))
    added = median(recorded - without for without, recorded in pairs)
    return [
        Figure(
            "p99 added at 1,000 requests/s", added * 1e3, "ms", 0.6,
            f"bare {bare * 1e3:.2f} ms, recording {recording * 1e3:.2f} ms",
        )
    ]  # fmt: skip


def _p99(host: Host, seconds: float, seed: int) -> float:
    latencies = sorted(_latencies(host, seconds, seed))
    host.flush()
    return latencies[int(len(latencies) * 0.99)]


def _latencies(host: Host, seconds: float, seed: int) -> list[float]:
    environs = realistic_requests(int(seconds * RATE), seed)
    taken = []
    began = perf_counter() + 0.01
    for number, environ in enumerate(environs):
        due = began + number / RATE
        pause = due - perf_counter()
        if pause > 0:
            sleep(pause)
        serve(host.app, environ)
        taken.append(perf_counter() - due)
    return taken
