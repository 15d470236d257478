"""Who looks after an app's archive and retention: its keeper, started with its first request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Flask

from .archive.keeper import Keeper
from .state import State


def attend(app: Flask, state: State) -> None:
    """Give the app a keeper, which starts in each process that records, and only there."""
    folder = state.config.archive
    if folder:  # a relative one is below the instance folder, as files of SQLite are
        name = "statistics-archive" if folder is True else folder
        state.config.archive = str(Path(app.instance_path) / name)
    state.keeper = Keeper(state, lambda: _prune(state))
    state.recorder.on_start = state.keeper.start


def _prune(state: State) -> Any:
    from .owning.pruning import prune

    return prune(state)
