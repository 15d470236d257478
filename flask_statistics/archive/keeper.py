"""The keeper: a thread that looks after the archive and the retention, in one of the processes.

It starts with a process's first recorded request, never at import, and does nothing unless its
process has the lease. Where gevent runs the threads, it does not start: building would stop all
of the worker's greenlets, so the commands are to be run by cron there.
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

import sqlalchemy as sa

from ..changes import read_state, utc_now, write_state
from ..errors import ArchiveError, MissingExtraError
from ..recording.connections import is_shared_memory
from ..recording.lifetime import live_with_the_process, work
from ..recording.troubles import Troubles
from .lease import give_back, take_lease
from .opening import Host

#: Seconds between two looks, and before the first.
INTERVAL, START = 300.0, 15.0
#: Seconds of rest after each segment: a small machine has other things to do.
REST = 0.5
_RENEWAL = 60.0
#: The value of ``statistics_state`` that is the day of the last prune.
PRUNED_ON = "pruned on"


class Keeper:
    """Keeps one app's archive current, and prunes once a day.

    :param host: the app's state.
    :param prune: deletes what is older than ``STATISTICS_RETENTION_DAYS``.
    """

    def __init__(self, host: Host, prune: Callable[[], Any]) -> None:
        self._host = host
        self._prune = prune
        self.forked()
        live_with_the_process(self)

    def forked(self) -> None:
        """Begin anew in a child process."""
        self._token = f"{socket.gethostname()[:80]}:{os.getpid()}:{secrets.token_hex(8)}"
        self._troubles = Troubles()
        self._made: dict[str, threading.Event] = {}
        self._starts = deque((True,))
        self._thread: threading.Thread | None = None
        self._stopped = False
        self._is_keeper = False
        self._began = False
        self._renewed = 0.0

    @property
    def _wake(self) -> threading.Event:
        # Made when it is needed: gevent patches a worker after its fork.
        return self._made.setdefault("wake", threading.Event())

    def is_needed(self) -> bool:
        """Whether there is anything to look after."""
        config = self._host.config
        wanted = config.keeper and (config.archive or config.retention_days)
        return bool(wanted) and not is_shared_memory(self._host.engine)

    def start(self) -> None:
        """Start the thread, once a process; never waits, never raises."""
        if self._thread is not None or self._stopped or not self.is_needed():
            return
        if _gevent_runs_threads():
            self._troubles.warning(
                "Under gevent nobody looks after the archive and the retention: run `flask "
                "statistics archive build` and `flask statistics prune` by cron, and set "
                "STATISTICS_KEEPER = False."
            )
            return
        with suppress(IndexError, RuntimeError):  # another thread was first; the process ends
            self._starts.pop()
            thread = threading.Thread(
                target=work, args=(weakref.ref(self), self._wake), daemon=True,
                name="flask_statistics keeper",
            )  # fmt: skip
            thread.start()
            self._thread = thread

    @property
    def stopped(self) -> bool:
        """Whether the thread was told to end."""
        return self._stopped

    def work(self) -> float:
        """Look once; return the seconds until the next look."""
        if not self._began:
            self._began = True
            return START
        self.look()
        return INTERVAL

    def look(self) -> bool:
        """Do what is due, where this process is the keeper; return whether it is. Never raises."""
        try:
            self._is_keeper = take_lease(self._host.engine, self._host.tables, self._token)
            if self._is_keeper:
                self._renewed = monotonic()
                self._look_after_archive()
                self._prune_daily()
        except (ArchiveError, MissingExtraError) as error:
            self._troubles.warning(str(error))
        except Exception as error:  # noqa: BLE001 - nothing of ours may end the thread
            self._troubles.exception(
                "The archive or the retention could not be looked after (is the database there, "
                "and did `flask db upgrade` run?)",
                error,
            )
        return self._is_keeper

    def _look_after_archive(self) -> None:
        if self._host.config.archive:
            from .building import build

            for message in build(self._host, go_on=self._go_on).messages:
                self._troubles.warning(message)

    def _prune_daily(self) -> None:
        """Prune, where it was not done today by any process."""
        host, today = self._host, utc_now().date().isoformat()
        if not host.config.retention_days or not self._go_on():
            return
        with host.engine.connect() as connection:
            if read_state(connection, host.tables, PRUNED_ON) == today:
                return
        self._prune()
        with host.engine.begin() as connection:
            write_state(connection, host.tables, PRUNED_ON, today)

    def _go_on(self) -> bool:
        """Rest between two segments, and stay the keeper; false where the process ends."""
        self._wake.wait(REST)
        if self._stopped:
            return False
        if monotonic() - self._renewed > _RENEWAL:
            self._is_keeper = take_lease(self._host.engine, self._host.tables, self._token)
            self._renewed = monotonic()
        return self._is_keeper

    def stop(self, timeout: float) -> bool:
        """End the thread between two segments; what is missing then is built by another one."""
        thread, self._stopped = self._thread, True
        if thread is not None and thread.is_alive():
            self._wake.set()
            thread.join(timeout)
        if self._is_keeper:
            with suppress(sa.exc.SQLAlchemyError):
                give_back(self._host.engine, self._host.tables, self._token)
        return thread is None or not thread.is_alive()


def _gevent_runs_threads() -> bool:
    monkey = sys.modules.get("gevent.monkey")
    return bool(monkey and monkey.is_module_patched("threading"))
