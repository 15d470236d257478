"""Changes archives in processes that end themselves, hard, at one of the steps.

Reads lines ``URL FOLDER OPERATION STEP`` and answers each with the number of steps, or with
``killed``. Each is done in a child of its own, so that modules are imported only once.
"""

from __future__ import annotations

import os
import signal
import sys
from datetime import datetime, timedelta
from typing import Any

import pyarrow.compute
import pyarrow.parquet  # noqa: F401 - imported before the forks
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_statistics import RequestMixin, Statistics
from flask_statistics.archive import building
from flask_statistics.archive import folder as folders
from flask_statistics.archive.erasing import erase
from flask_statistics.pages import dashboard  # noqa: F401 - for the children, too


def change(url: str, folder: str, operation: str, last: int) -> None:
    """Do an operation, up to a step; print how many there were."""
    app = Flask("host0")
    app.config.update(
        SQLALCHEMY_DATABASE_URI=url, STATISTICS_ARCHIVE=folder, STATISTICS_KEEPER=False,
        SECRET_KEY="fixed",
    )  # fmt: skip
    db = SQLAlchemy(app)
    model: Any = type("Request", (RequestMixin, db.Model), {})
    Statistics(app, db, model)
    taken = 0

    def step(name: str) -> None:
        nonlocal taken
        taken += 1
        if taken == last:
            os.kill(os.getpid(), signal.SIGKILL)

    state = app.extensions["statistics"]
    if operation == "erase":
        erase(state, {"visitor": "gone"}, step=step)
    else:
        getattr(building, operation)(state, now=datetime(2026, 1, 12, 12), step=step)
    print(taken, flush=True)


def main() -> None:
    folders.GRACE = timedelta(0)
    for line in sys.stdin:
        url, folder, operation, step = line.split()
        child = os.fork()
        if not child:
            change(url, folder, operation, int(step))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            print("killed", flush=True)
        elif status:
            sys.exit(f"failed at step {step}")


if __name__ == "__main__":
    main()
