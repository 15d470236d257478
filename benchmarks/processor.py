"""What recording adds to the processor time of the whole process, its background thread included.

Compared with the same app without Statistics. Both serve the same requests: 4,000 visitors, 559
user agents, paths and referrers of a real log; they take turns in blocks of 1,000, and each block
ends when all of it is stored.
"""

from __future__ import annotations

from pathlib import Path
from statistics import mean
from time import process_time

from .figure import Figure
from .hosts import Host, bare_host, recording_host
from .serving import serve_all
from .traffic import realistic_requests

BLOCK = 1000


def run(folder: Path, *, short: bool) -> list[Figure]:
    """Measure RequestMixin."""
    hosts = (bare_host(folder), recording_host(folder, "everything"))
    for host in hosts:
        _seconds(host, 0)
    blocks = [[_seconds(host, seed) for host in hosts] for seed in range(1, 11 if short else 31)]
    bare, recording = (mean(taken) / BLOCK for taken in zip(*blocks, strict=True))
    added = recording - bare
    return [
        Figure(
            "processor time added, background work included", added / bare, "of bare", 0.9,
            f"bare {bare * 1e6:.1f} µs, added {added * 1e6:.1f} µs a request",
        )
    ]  # fmt: skip


def _seconds(host: Host, seed: int) -> float:
    environs = realistic_requests(BLOCK, seed)
    began = process_time()
    serve_all(host.app, environs)
    host.flush()
    return process_time() - began
