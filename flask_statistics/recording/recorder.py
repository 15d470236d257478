"""The way of a record to the database: a bounded queue in memory and one thread.

A request appends a record and goes on. The thread looks every ``STATISTICS_FLUSH_INTERVAL``
seconds, derives rows and stores them in batches. It is started by the first request of a process,
and again after a fork. While the database is locked or away, records wait; what does not fit into
the queue is dropped and counted.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from time import monotonic, time
from typing import Any

import sqlalchemy as sa

from .batch import Batch
from .connections import is_busy, is_shared_memory
from .health import Health
from .inserting import LARGEST
from .lifetime import SHUTDOWN, live_with_the_process, work
from .marker import Marker
from .record import Record
from .storage import Storage
from .troubles import Troubles

#: Records of one transaction: few enough that a writer of the host on SQLite waits for less than
#: half a second, enough that a busy process keeps up; whole statements.
BATCH = 6 * LARGEST
#: Seconds between two tries while the database is away, doubled up to the longest.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
#: Seconds that a request in SYNC mode may lose by a database that is away, once a pause.
SLOW = 0.1


class Recorder:
    """Stores the records of one app.

    :param make_storage: makes the storage when it is needed first.
    :param to_record: makes a record of what was put into the queue.
    """

    def __init__(
        self,
        make_storage: Callable[[], Storage],
        engine: sa.Engine,
        to_record: Callable[[tuple[Any, ...]], Record],
        *,
        queue_size: int,
        flush_interval: float,
        sync: bool,
    ) -> None:
        self._make_storage = make_storage
        self._to_record = to_record
        self._engine = engine
        self._shared_memory = is_shared_memory(engine)
        self._size = queue_size
        self._interval = flush_interval
        self._stores_at_once = sync or self._shared_memory
        self._queue: deque[Any] = deque()
        #: Called once the thread of a process has started.
        self.on_start: Callable[[], None] = lambda: None
        self.reset()
        live_with_the_process(self)

    def forked(self) -> None:
        """Begin anew in a child process: what waits in the queue is the parent's to store."""
        self.reset()
        if not self._shared_memory:
            # Connections of the pool are the parent's too (SQLAlchemy, "Using Connection Pools
            # with Multiprocessing"); those that the host has in use stay as they are.
            self._engine.dispose(close=False)

    def reset(self) -> None:
        """Begin with nothing."""
        self._queue.clear()
        self._batch = Batch()
        #: How many more may wait in the queue, besides those that are being stored.
        self._room = self._size
        self._health = Health()
        self._troubles = Troubles()
        #: Locks and events, made when they are needed: gevent patches a worker after its fork,
        #: and what was made before would block all of it.
        self._made: dict[str, Any] = {}
        self._starts = deque((True,))
        self._thread: threading.Thread | None = None
        #: Whether the thread runs, so that a request needs only to append.
        self._attended = False
        self._stopped = False
        self._storage: Storage | None = None
        self._renew = False
        self._pause = 0.0
        self._paused_until = 0.0
        #: Until when requests do not try themselves, since failing took long.
        self._slow_until = 0.0

    # ---- the serving thread -------------------------------------------------------------

    def put(self, captured: tuple[Any, ...]) -> None:
        """Append what was captured of a request; never waits, never raises."""
        if len(self._queue) < self._room:
            self._queue.append(captured)
        else:
            self._health.drop("queue full")
            self._troubles.warning(
                "Requests are dropped, because more come than can be stored "
                "(STATISTICS_QUEUE_SIZE)."
            )
        if self._attended:
            return
        if self._stores_at_once:
            self.store_now()
        else:
            self._start()

    def drop(self, reason: str) -> None:
        """Count something that is not put, because there is too much of it."""
        self._health.drop(reason)

    @property
    def _storing(self) -> threading.Lock:
        made: threading.Lock = self._made.setdefault("storing", threading.Lock())
        return made

    @property
    def _wake(self) -> threading.Event:
        made: threading.Event = self._made.setdefault("wake", threading.Event())
        return made

    def _start(self) -> None:
        if self._thread is not None or self._shared_memory or self._stopped:
            return
        try:
            self._starts.pop()  # one wins, without a lock that starting a greenlet would hold
        except IndexError:
            return
        thread = threading.Thread(
            target=work, args=(weakref.ref(self), self._wake), daemon=True,
            name="flask_statistics",
        )  # fmt: skip
        try:
            thread.start()
        except RuntimeError:  # the interpreter is shutting down
            self._starts.append(True)
            return
        self._thread = thread
        self._attended = not self._stores_at_once
        self.on_start()

    def store_now(self, timeout: float = 0.0, *, wait: bool = False) -> None:
        """Store what waits, in this thread, unless a lock is held; then the thread does it.

        :param timeout: seconds to wait for another thread that is storing.
        :param wait: whether to wait for locks of the database.
        """
        if (wait or monotonic() >= self._slow_until) and self._storing.acquire(timeout=timeout):
            try:
                if not is_busy(self._engine, wait=wait):
                    self._store_waiting(wait=wait)
            finally:
                self._storing.release()
        if self._queue or self._batch.captured:
            self._start()

    def flush(self, timeout: float) -> bool:
        """Wait until all that was put before is stored; return whether it is."""
        deadline = monotonic() + timeout
        in_this_thread = self._stores_at_once or self._stopped
        if (
            not in_this_thread
            and self._thread is None
            and not self._queue
            and not self._batch.captured
        ):
            return True
        # While others may be storing, an empty queue says nothing: the last may be in their hands.
        marker = Marker.behind(self._queue)
        self._room += marker.takes_room()
        if in_this_thread:
            self.store_now(timeout, wait=self._stopped)
        if not marker.is_set() and not self._shared_memory and not self._stopped:
            self._start()
            self._paused_until = 0.0
            if self._thread is None:  # the interpreter is shutting down
                self.store_now(timeout, wait=True)
            self._wake.set()
            marker.wait(max(0.0, deadline - monotonic()))
        return marker.is_set() and marker.complete

    def renew_storage(self) -> None:
        """Look again at what is to be filled, from the next batch on."""
        self._renew = True

    # ---- the background thread ----------------------------------------------------------

    def work(self) -> float:
        """Store what waits; return the seconds until it is worth looking again."""
        with self._storing:
            if monotonic() >= self._paused_until:
                self._store_waiting(wait=True)
        return self._interval

    def _store_waiting(self, *, wait: bool) -> None:
        began = monotonic()
        try:
            storage = self._current_storage(wait)
            while self._take():
                storage = self._current_storage(wait)
                self._batch.store(storage, self._to_record, self._refuse)
                self._health.stored += self._batch.stored
                self._batch, self._room = Batch(), self._size
                self._pass_marker()
            self._pause = 0.0
            self._destroy_expired_salts(storage)
        except Exception as error:  # noqa: BLE001 - nothing of ours may end the thread
            self._wait_after(error)
            if monotonic() - began > SLOW:
                self._slow_until = self._paused_until

    def _current_storage(self, wait: bool) -> Storage:
        if self._storage is None or (self._renew and not self._batch.begun):
            self._renew = False
            self._storage = self._make_storage()
        self._storage.waits = wait
        return self._storage

    def _take(self) -> bool:
        """Take records up to a marker; a batch that failed before comes first."""
        queue, captured = self._queue, self._batch.captured
        if not self._batch.begun:
            while queue and len(captured) < BATCH and type(queue[0]) is tuple:
                captured.append(queue.popleft())
            self._room = self._size - len(captured) + Marker.count(queue)
        return bool(captured or queue)

    def _pass_marker(self) -> None:
        while self._queue and isinstance(self._queue[0], Marker):
            self._queue.popleft().set()

    def _refuse(self, error: Exception, reason: str) -> None:
        self._health.drop(reason)
        for waiting in tuple(self._queue):
            if isinstance(waiting, Marker):
                waiting.complete = False
        self._health.failed(f"A request was dropped, because its row was {reason}", error)

    def _wait_after(self, error: Exception) -> None:
        self._health.retries += 1
        self._pause = min(LONGEST_PAUSE, self._pause * 2 or FIRST_PAUSE)
        self._paused_until = monotonic() + self._pause
        self._health.failed(
            "Requests wait in memory, because they cannot be stored now "
            "(is the database there, and did `flask db upgrade` run?)",
            error,
        )

    def _destroy_expired_salts(self, storage: Storage) -> None:
        try:
            storage.destroy_expired_salts()
        except sa.exc.SQLAlchemyError as error:
            self._troubles.exception("Expired salts could not be destroyed", error)

    # ---- for people ---------------------------------------------------------------------

    def stop(self, timeout: float = SHUTDOWN) -> bool:
        """Store what waits, as far as the time suffices, and end the thread."""
        done = self.flush(timeout)
        thread, self._stopped, self._attended = self._thread, True, False
        self._wake.set()
        if thread is not None and thread.is_alive():
            thread.join(timeout)
        self._thread = None
        return done

    @property
    def stopped(self) -> bool:
        """Whether the thread was told to end."""
        return self._stopped

    def status(self) -> dict[str, Any]:
        """Return counts of this process since its start; seconds since the epoch, UTC.

        ``received`` is the sum of ``stored``, ``waiting`` and all of ``dropped``.
        """
        queue = [record for record in tuple(self._queue) if not isinstance(record, Marker)]
        oldest = (*self._batch.captured[:1], *queue[:1])
        return {
            "process": os.getpid(),
            **self._health.counts(len(queue) + self._batch.waiting, self._batch.stored),
            "queue_size": self._size,
            "lag": max(0.0, time() - oldest[0][0]) if oldest else None,
        }
