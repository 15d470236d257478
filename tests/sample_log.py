"""The log that the example app ships, and the facts of it, counted by awk."""

from __future__ import annotations

import gzip
from pathlib import Path

SAMPLE = Path(__file__).parent.parent / "example_app" / "data" / "access.log.gz"
SAMPLE_LINES = gzip.decompress(SAMPLE.read_bytes()).splitlines(keepends=True)
DAYS = {"2015-05-17": 1632, "2015-05-18": 2893, "2015-05-19": 2896, "2015-05-20": 2579}
STATUSES = {200: 9126, 206: 45, 301: 164, 304: 445, 403: 2, 404: 213, 416: 2, 500: 3}
ADDRESSES = 1753


def line(path: str = "/", time: str = "17/May/2015:10:05:03 +0000") -> str:
    """Return a line of a log in the combined format."""
    return f'::1 - - [{time}] "GET {path} HTTP/1.1" 200 5 "-" "Mozilla/5.0"\n'
