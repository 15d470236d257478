"""How much memory a process holds more after 20,000 recorded requests.

Compared with the same app without Statistics after the same requests, each in a process of its
own; with the native parser of user agents (extra ``fast``) and without it. The requests come in
bursts of 1,000 that are stored before the next, so that as many wait as in the middle of traffic.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from .figure import Figure
from .process import BrokenBenchmarkError, memory, run_python

REQUESTS, BURST = 20_000, 1000


def run(folder: Path, *, short: bool) -> list[Figure]:
    """Measure RequestMixin with both parsers."""
    if importlib.util.find_spec("ua_parser_rs") is None:
        raise BrokenBenchmarkError(
            "The extra fast is missing: pip install 'flask-statistics[fast]'"
        )
    runs = range(1 if short else 3)
    bare, fast, pure = (
        median(run_python("-m", __name__, kind) for _ in runs) for kind in ("bare", "fast", "pure")
    )
    base = f"bare {bare:.0f} MB"
    return [
        Figure("memory added, extra fast", fast - bare, "MB", 44, base),
        Figure("memory added, without it", pure - bare, "MB", 18, base),
    ]


def measure(kind: str) -> float:
    """Return this process's memory in MB after the requests."""
    from .hosts import bare_host, recording_host
    from .serving import serve_all
    from .traffic import realistic_requests

    if kind == "pure":
        # As if the extra were not installed: neither imported nor found.
        sys.modules["ua_parser_rs"] = None  # type: ignore[assignment]
    with TemporaryDirectory(prefix="statistics-benchmark-") as name:
        folder = Path(name)
        host = bare_host(folder) if kind == "bare" else recording_host(folder, "everything")
        for seed in range(REQUESTS // BURST):
            serve_all(host.app, realistic_requests(BURST, seed))
            host.flush()
        if kind != "bare" and host.stored() != REQUESTS:
            raise RuntimeError(f"{host.stored()} of {REQUESTS} requests were stored")
        return memory("VmRSS")


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
