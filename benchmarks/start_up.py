"""How long ``import flask_statistics`` takes, beyond importing flask and flask_sqlalchemy.

Fresh processes with warm files; the median.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median

from .figure import Figure
from .process import run_python

_SCRIPT = """
from time import perf_counter
began = perf_counter()
import flask, flask_sqlalchemy
middle = perf_counter()
import flask_statistics
print([middle - began, perf_counter() - middle])
"""


def run(folder: Path, *, short: bool) -> list[Figure]:
    """Measure the import."""
    run_python("-c", _SCRIPT)
    runs = [run_python("-c", _SCRIPT) for _ in range(5 if short else 15)]
    before, added = (median(taken) for taken in zip(*runs, strict=True))
    return [
        Figure(
            "import flask_statistics", added * 1e3, "ms", 60,
            f"flask and flask_sqlalchemy {before * 1e3:.0f} ms",
        )
    ]  # fmt: skip
