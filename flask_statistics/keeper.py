"""The keeper: a thread that does what is due from time to time, in one of the app's processes.

It starts with a process's first recorded request, never at import, and does nothing unless its
process has the lease. Where gevent runs the threads, it does not start: its work would stop all
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
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

import sqlalchemy as sa

from .archive.lease import give_back, take_lease
from .errors import ArchiveError, MissingExtraError
from .recording.lifetime import live_with_the_process, work
from .recording.troubles import Troubles
from .tables import Tables

#: Seconds between two looks, and before the first.
INTERVAL, START = 300.0, 15.0
#: Seconds of rest after each piece of work: a small machine has other things to do.
REST = 0.5
_RENEWAL = 60.0
#: Rests, and tells whether to go on; asked between two pieces of work.
GoOn = Callable[[], bool]


@dataclass(frozen=True)
class Task:
    """Something that is looked after.

    :ivar name: how messages call it.
    :ivar run: does what is due, and returns what somebody should know.
    :ivar command: what cron may run instead; None where nothing is lost without it.
    """

    name: str
    run: Callable[[GoOn], Iterable[str]]
    command: str | None = None


class Keeper:
    """Looks after an app's tasks.

    :param engine: where the lease is.
    :param tables: the tables of ours.
    :param tasks: what to do at each look, in this order; the thread does not start without any.
    """

    def __init__(self, engine: sa.Engine, tables: Tables, tasks: Sequence[Task]) -> None:
        self._engine = engine
        self._tables = tables
        self._tasks = tasks
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

    def start(self) -> None:
        """Start the thread, once a process; never waits, never raises."""
        if self._thread is not None or self._stopped or not self._tasks:
            return
        if _gevent_runs_threads():
            self._say_what_cron_does()
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
            self._is_keeper = take_lease(self._engine, self._tables, self._token)
        except sa.exc.SQLAlchemyError as error:
            self._is_keeper = False
            self._say_failed("The lease of the keeper", error)
        self._renewed = monotonic()
        for task in self._tasks:
            if self._is_keeper and not self._stopped:
                self._do(task)
        return self._is_keeper

    def _do(self, task: Task) -> None:
        try:
            for message in task.run(self._go_on):
                self._troubles.warning(message)
        except (ArchiveError, MissingExtraError) as error:
            self._troubles.warning(str(error))
        except Exception as error:  # noqa: BLE001 - nothing of ours may end the thread
            self._say_failed(task.name, error)

    def _say_failed(self, what: str, error: Exception) -> None:
        self._troubles.exception(
            f"{what} could not be looked after (is the database there, and did "
            "`flask db upgrade` run?)",
            error,
        )

    def _say_what_cron_does(self) -> None:
        commands = [f"`{task.command}`" for task in self._tasks if task.command]
        if commands:
            self._troubles.warning(
                f"Under gevent the keeper does not run: run {' and '.join(commands)} by cron, and "
                "set STATISTICS_KEEPER = False."
            )

    def _go_on(self) -> bool:
        """Rest between two pieces of work, and stay the keeper; false where the process ends."""
        self._wake.wait(REST)
        if self._stopped:
            return False
        if monotonic() - self._renewed > _RENEWAL:
            self._is_keeper = take_lease(self._engine, self._tables, self._token)
            self._renewed = monotonic()
        return self._is_keeper

    def stop(self, timeout: float) -> bool:
        """End the thread between two pieces of work; another keeper goes on with them."""
        thread, self._stopped = self._thread, True
        if thread is not None and thread.is_alive():
            self._wake.set()
            thread.join(timeout)
        if self._is_keeper:
            with suppress(sa.exc.SQLAlchemyError):
                give_back(self._engine, self._tables, self._token)
        return thread is None or not thread.is_alive()


def _gevent_runs_threads() -> bool:
    monkey = sys.modules.get("gevent.monkey")
    return bool(monkey and monkey.is_module_patched("threading"))
