"""Measurements that need a process of their own: memory, start-up, a clean garbage collector."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


class BrokenBenchmarkError(Exception):
    """Raised when a process that should measure something failed; says what it wrote."""


def run_python(*arguments: str) -> Any:
    """Run ``python ARGUMENTS`` in the checkout; return the JSON that it printed last."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *_python_path()])}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise BrokenBenchmarkError(f"{' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def _python_path() -> list[str]:
    return [path for path in [os.environ.get("PYTHONPATH")] if path]


def memory(name: str) -> float:
    """Return a size of this process in MB: ``VmRSS`` (resident now) or ``VmHWM`` (its peak).

    From Linux's ``/proc``, since ``ru_maxrss`` begins with what the parent process had; that is
    taken on other systems, for both.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    kilobytes = next(line.split()[1] for line in lines if line.startswith(f"{name}:"))
    return int(kilobytes) * 1024 / 1e6
