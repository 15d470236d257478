"""How time and memory grow with the rows of an archive, as figures and as a plot.

Each size is measured in a process of its own. ``growth.svg`` is written into ``docs/images`` by a
full run.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from .archives import archive_file, open_archive
from .dashboards import DAYS, asks_of, least, traffic
from .figure import Figure
from .plot import Line, draw
from .process import ROOT, memory, run_python

PLOT = ROOT / "docs" / "images" / "growth.svg"


def run(folder: Path, *, short: bool) -> list[Figure]:
    """Measure 1, 10 and 30 million rows in 90 days; in a short run some thousands."""
    sizes = (5_000, 15_000) if short else (1_000_000, 10_000_000, 30_000_000)
    found = {rows: run_python("-m", __name__, str(rows)) for rows in sizes}
    if not short:
        PLOT.write_text(as_plot(found), encoding="utf-8")
    smallest = found[sizes[0]]
    figures = []
    for rows, measured in found.items():
        times = rows / sizes[0]
        figures += [
            Figure(f"growth, {rows:,} rows, 90 days", measured["90"], "s",
                   smallest["90"] * times * 1.1, f"7 days {measured['7']:.2f} s"),
            Figure(f"growth, {rows:,} rows, peak memory", measured["peak"], "MB",
                   smallest["peak"] * times, f"before {measured['before']:.0f} MB"),
        ]  # fmt: skip
    return figures


def as_plot(found: dict[int, dict[str, float]]) -> str:
    """Return the plot of seconds by millions of rows."""
    lines = [
        Line(label, [(rows / 1e6, measured[key]) for rows, measured in found.items()])
        for label, key in (("90 days", "90"), ("last 7 days", "7"))
    ]
    return draw("Dashboard from the archive", "million rows in 90 days", "seconds", lines)


def measure(rows: int) -> dict[str, float]:
    """Return seconds of the dashboard over 7 and 90 days, and memory in MB."""
    from flask_statistics.archive.answers import ArchivedAnswers
    from flask_statistics.asking.source import table_source

    with TemporaryDirectory(prefix="statistics-benchmark-") as name:
        run_python("-m", "benchmarks.growth", str(rows), name)
        database = open_archive(Path(name))
        state = database.state
        answers = ArchivedAnswers(
            state.archived, lambda: table_source(state.engine, state.model, state.tables)
        )
        found = {"before": memory("VmRSS")}
        for days in (7, DAYS):
            asks = asks_of(database, days)
            found[str(days)] = least(2, lambda asks=asks: answers.many(asks))  # type: ignore[misc]
        return found | {"peak": memory("VmHWM")}


if __name__ == "__main__":
    count = int(sys.argv[1])
    if len(sys.argv) == 2:
        print(json.dumps(measure(count)))
    else:  # in a process of its own, since filling takes memory
        archive_file(Path(sys.argv[2]), traffic(2 * count))
        print(json.dumps(count))
