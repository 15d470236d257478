"""What is looked after from time to time: the archive or the totals of days, and the retention."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from flask import Flask

from .changes import read_state, utc_now, write_state
from .keeper import GoOn, Keeper, Task
from .recording.connections import is_shared_memory
from .state import State
from .totalling import can_total, total_days

#: The value of ``statistics_state`` that is the day of the last prune.
PRUNED_ON = "pruned on"


def attend(app: Flask, state: State) -> None:
    """Give the app a keeper, which starts in each process that records, and only there."""
    folder = state.config.archive
    if folder:  # a relative one is below the instance folder, as files of SQLite are
        name = "statistics-archive" if folder is True else folder
        state.config.archive = str(Path(app.instance_path) / name)
    state.keeper = Keeper(state.engine, state.tables, list(_tasks(state)))
    state.recorder.on_start = state.keeper.start


def _tasks(state: State) -> Iterator[Task]:
    config = state.config
    if not config.keeper or is_shared_memory(state.engine):
        return
    if config.archive:
        yield Task("The archive", Building(state), "flask statistics archive build")
    elif can_total(state):
        yield Task("The totals of days", Totalling(state))
    if config.retention_days:
        yield Task("The retention", Pruning(state), "flask statistics prune")


class Building:
    """Keeps the archive current."""

    def __init__(self, state: State) -> None:
        self._state = state

    def __call__(self, go_on: GoOn) -> Iterable[str]:
        """Build what is due."""
        from .archive.building import build

        return build(self._state, go_on=go_on).messages


class Totalling:
    """Adds up each day that is over, and once a day looks at all of them again."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._recounted = ""
        self._failed: set[datetime] = set()

    def __call__(self, go_on: GoOn) -> Iterable[str]:
        """Add up what is due; what failed is tried again on the next day."""
        today = utc_now().date().isoformat()
        recount = self._recounted != today
        if recount:
            self._failed.clear()
            self._recounted = today
        total_days(self._state, go_on, recount=recount, failed=self._failed)
        return ()


class Pruning:
    """Deletes what is older than ``STATISTICS_RETENTION_DAYS``, once a day in all processes."""

    def __init__(self, state: State) -> None:
        self._state = state

    def __call__(self, go_on: GoOn) -> Iterable[str]:
        """Prune, where it was not done today by any process."""
        from .owning.pruning import prune

        state, today = self._state, utc_now().date().isoformat()
        if not go_on():
            return ()
        with state.engine.connect() as connection:
            if read_state(connection, state.tables, PRUNED_ON) == today:
                return ()
        prune(state)
        with state.engine.begin() as connection:
            write_state(connection, state.tables, PRUNED_ON, today)
        return ()
