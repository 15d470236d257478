"""A recorder's place in its process: its thread, forks, and the end."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from time import monotonic
from typing import Protocol

#: Seconds in which everything that waits at the end of the process must be stored.
SHUTDOWN = 2.0


class Worker(Protocol):
    """What a thread works for."""

    @property
    def stopped(self) -> bool:
        """Whether the thread was told to end."""

    def work(self) -> float:
        """Do what is to do; return the seconds until it is worth looking again."""

    def forked(self) -> None:
        """Begin anew in a child process."""

    def stop(self, timeout: float) -> bool:
        """Finish."""


_workers: weakref.WeakSet[Worker] = weakref.WeakSet()


def live_with_the_process(worker: Worker) -> None:
    """Tell ``worker`` of forks and of the end, as long as somebody else uses it."""
    _workers.add(worker)


def work(reference: weakref.ref[Worker], wake: threading.Event) -> None:
    """Run on the background thread, as long as somebody uses the worker."""
    while (worker := reference()) is not None:
        if worker.stopped:
            return
        pause = worker.work()
        del worker
        wake.wait(pause)
        wake.clear()


def _after_fork() -> None:
    for worker in tuple(_workers):
        worker.forked()


def _at_exit() -> None:
    deadline = monotonic() + SHUTDOWN
    for worker in tuple(_workers):
        worker.stop(max(0.0, deadline - monotonic()))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
