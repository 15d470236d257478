"""Runs benchmarks one after the other, each in a process of its own, and prints their table.

Exits with 0 whatever the figures are, with 1 when a benchmark cannot run.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from .figure import Figure, as_markdown, as_text
from .machine import describe_machine
from .process import BrokenBenchmarkError, run_python

BENCHMARKS = {
    "request-path": "request_path",
    "processor": "processor",
    "latency": "latency",
    "orm-commit": "orm_commit",
    "storing": "storing",
    "import": "import_log",
    "memory": "memory",
    "start-up": "start_up",
    "dashboard": "dashboards",
    "archive": "dashboards:run_archive",
    "building": "building",
    "growth": "growth",
}


def main() -> int:
    """Run what the command line names; return the exit code."""
    options = _parser().parse_args()
    if options.here:
        print(json.dumps(_measure(options.names[0], short=options.short)))
        return 0
    figures: list[Figure] = []
    broken = False
    for name in options.names or BENCHMARKS:
        began = perf_counter()
        try:
            found = run_python("-m", "benchmarks", "--here", name, *["--short"][: options.short])
            figures += [Figure(**figure) for figure in found]
        except BrokenBenchmarkError as error:
            broken = True
            print(f"{name} could not run: {error}", file=sys.stderr)
        print(f"{name}: {perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    print(as_markdown(figures) if options.markdown else as_text(figures))
    print(f"\n{describe_machine()}")
    return int(broken)


def _name(text: str) -> str:
    if text not in BENCHMARKS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(BENCHMARKS)}")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", type=_name, metavar="NAME",
                        help=f"default: all of {', '.join(BENCHMARKS)}")  # fmt: skip
    parser.add_argument("--short", action="store_true", help="less exact, within a minute")
    parser.add_argument("--markdown", action="store_true", help="for docs/performance.md")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    return parser


def _measure(name: str, *, short: bool) -> list[dict[str, object]]:
    name, _, function = BENCHMARKS[name].partition(":")
    run = getattr(importlib.import_module(f".{name}", __package__), function or "run")
    with TemporaryDirectory(prefix="statistics-benchmark-") as folder:
        return [asdict(figure) for figure in run(Path(folder), short=short)]


if __name__ == "__main__":
    sys.exit(main())
