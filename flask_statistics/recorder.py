"""The way of a record to the database: a bounded queue in memory and one thread.

A request appends a record and goes on. The thread looks every ``STATISTICS_FLUSH_INTERVAL``
seconds, derives rows and stores them in batches. It is started by the first request of a process,
and again after a fork. While the database is locked or away, records wait; what does not fit into
the queue is dropped and counted.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from collections import Counter, deque
from collections.abc import Callable
from time import monotonic, time
from typing import Any

import sqlalchemy as sa

from .record import Record
from .storage import Storage, is_shared_memory

#: Records of one transaction: few enough that a writer of the host on SQLite waits for less than
#: half a second, enough that a busy process keeps up.
BATCH = 4000
#: Seconds between two tries while the database is away, doubled up to the longest.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
#: Seconds that a request in SYNC mode may lose by a database that is away, once a pause.
SLOW = 0.1
#: Seconds between two messages about the same trouble.
LOG_INTERVAL = 60.0
_SHUTDOWN = 2.0
_HOUR = 3600.0

logger = logging.getLogger("flask_statistics")
_recorders: weakref.WeakSet[Recorder] = weakref.WeakSet()


class _Marker(threading.Event):
    """Stands in the queue behind the records that somebody waits for."""

    complete = True


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
        self.reset()
        _recorders.add(self)

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
        self._taken: list[tuple[Any, ...]] = []
        self._parts: list[list[list[Any]]] | None = None
        self._dropped: Counter[str] = Counter()
        self._stored = self._retries = 0
        self._last_error: tuple[float, str] | None = None
        self._logged: dict[str, float] = {}
        # Never held while another greenlet can run, so that it may be older than gevent's patches.
        self._counting = threading.Lock()
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
        self._salts_checked = monotonic()

    # ---- the serving thread -------------------------------------------------------------

    def put(self, captured: tuple[Any, ...]) -> None:
        """Append what was captured of a request; never waits, never raises."""
        if len(self._queue) + len(self._taken) < self._size:
            self._queue.append(captured)
        else:
            self._drop("queue full", 1)
        if self._attended:
            return
        if self._stores_at_once:
            self.store_now()
        else:
            self._start()

    def _drop(self, reason: str, count: int) -> None:
        with self._counting:
            self._dropped[reason] += count

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
            target=_work, args=(weakref.ref(self), self._wake), daemon=True,
            name="flask_statistics",
        )  # fmt: skip
        try:
            thread.start()
        except RuntimeError:  # the interpreter is shutting down
            self._starts.append(True)
            return
        self._thread = thread
        self._attended = not self._stores_at_once

    def store_now(self, timeout: float = 0.0, *, wait: bool = False) -> None:
        """Store what waits, in this thread, unless a lock is held; then the thread does it.

        :param timeout: seconds to wait for another thread that is storing.
        :param wait: whether to wait for locks of the database.
        """
        if (wait or monotonic() >= self._slow_until) and self._storing.acquire(timeout=timeout):
            try:
                if not self._shared_connection_is_busy():
                    self._store_waiting(wait=wait)
            finally:
                self._storing.release()
        if self._queue or self._taken:
            self._start()

    def _shared_connection_is_busy(self) -> bool:
        """Whether the host has a transaction on the connection that all share."""
        if not self._shared_memory:
            return False
        # Not by checking the connection out: returning it would roll the host's work back.
        record = getattr(self._engine.pool, "connection", None)
        connection = getattr(record, "dbapi_connection", None)
        return bool(getattr(connection, "in_transaction", False))

    def flush(self, timeout: float) -> bool:
        """Wait until all that was put before is stored; return whether it is."""
        deadline = monotonic() + timeout
        in_this_thread = self._stores_at_once or self._stopped
        if not in_this_thread and self._thread is None and not self._queue and not self._taken:
            return True
        # While others may be storing, an empty queue says nothing: the last may be in their hands.
        marker = _Marker()
        self._queue.append(marker)
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
            storage = self._current_storage()
            storage.waits = wait
            while self._take():
                if self._taken:
                    self._store_batch(storage)
                self._pass_marker()
            self._pause = 0.0
            self._destroy_expired_salts(storage)
        except Exception as error:  # noqa: BLE001 - nothing of ours may end the thread
            self._wait_after(error)
            if monotonic() - began > SLOW:
                self._slow_until = self._paused_until

    def _current_storage(self) -> Storage:
        if self._storage is None or (self._renew and self._parts is None):
            self._renew = False
            self._storage = self._make_storage()
        return self._storage

    def _take(self) -> bool:
        """Take records up to a marker; the batch that failed before comes first."""
        queue, taken = self._queue, self._taken
        while self._parts is None and queue and len(taken) < BATCH:
            if isinstance(queue[0], _Marker):
                break
            taken.append(queue.popleft())
        return bool(taken or queue)

    def _pass_marker(self) -> None:
        while self._queue and isinstance(self._queue[0], _Marker):
            self._queue.popleft().set()

    def _store_batch(self, storage: Storage) -> None:
        if self._parts is None:
            self._parts = [self._derive(storage)]
        parts = self._parts
        while parts:
            if not parts[0]:
                del parts[0]
                continue
            try:
                with storage.transaction() as connection:
                    storage.write(connection, parts[0])
            except Exception as error:
                if not _is_about_a_row(error):
                    raise
                parts[:1] = self._halves(parts[0], error)
            else:
                self._stored += len(parts[0])
                storage.note_live(parts.pop(0))
        self._taken, self._parts = [], None

    def _derive(self, storage: Storage) -> list[list[Any]]:
        records = list(map(self._to_record, self._taken))
        try:
            return storage.derive(records)
        except sa.exc.SQLAlchemyError:
            raise
        except Exception:  # noqa: BLE001 - of one record; the others must not wait for it
            return [row for record in records for row in self._derive_one(storage, record)]

    def _derive_one(self, storage: Storage, record: Record) -> list[list[Any]]:
        try:
            return storage.derive([record])
        except sa.exc.SQLAlchemyError:
            raise
        except Exception as error:  # noqa: BLE001 - counted and logged
            self._refuse(error, "not understood")
            return []

    def _halves(self, rows: list[list[Any]], error: Exception) -> list[list[list[Any]]]:
        """Return the halves of rows of which the database refuses one; drop it when it is alone."""
        half = len(rows) // 2
        if half:
            return [rows[:half], rows[half:]]
        self._refuse(error, "refused by the database")
        return []

    def _refuse(self, error: Exception, reason: str) -> None:
        self._drop(reason, 1)
        for waiting in tuple(self._queue):
            if isinstance(waiting, _Marker):
                waiting.complete = False
        self._report(f"A request was dropped, because its row was {reason}", error)

    def _wait_after(self, error: Exception) -> None:
        self._retries += 1
        self._pause = min(LONGEST_PAUSE, self._pause * 2 or FIRST_PAUSE)
        self._paused_until = monotonic() + self._pause
        self._report(
            "Requests wait in memory, because they cannot be stored now "
            "(is the database there, and did `flask db upgrade` run?)",
            error,
        )

    def _report(self, message: str, error: Exception) -> None:
        """Log a trouble once an interval, with its traceback."""
        text = f"{type(error).__name__}: {getattr(error, 'orig', None) or error}"
        self._last_error = (time(), text[:500])
        if monotonic() - self._logged.get(message, -LOG_INTERVAL) >= LOG_INTERVAL:
            self._logged[message] = monotonic()
            if isinstance(error, sa.exc.StatementError):
                error.hide_parameters = True  # they are what visitors sent
            logger.error("%s: %s", message, text[:500].replace("\n", " "), exc_info=error)

    def _destroy_expired_salts(self, storage: Storage) -> None:
        if monotonic() - self._salts_checked >= _HOUR:
            self._salts_checked = monotonic()
            storage.destroy_expired_salts()

    # ---- for people ---------------------------------------------------------------------

    def stop(self, timeout: float = _SHUTDOWN) -> bool:
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
        records = [r for r in (*self._taken, *tuple(self._queue)) if not isinstance(r, _Marker)]
        waiting = len(records)
        if self._parts is not None:  # of the batch that was taken some may be stored
            waiting += sum(map(len, self._parts)) - len(self._taken)
        dropped = dict(self._dropped)
        return {
            "process": os.getpid(),
            "received": self._stored + waiting + sum(dropped.values()),
            "stored": self._stored,
            "waiting": waiting,
            "dropped": dropped,
            "retries": self._retries,
            "queue_size": self._size,
            "lag": max(0.0, time() - records[0][0]) if records else None,
            "last_error": self._last_error and self._last_error[1],
            "last_error_date": self._last_error and self._last_error[0],
        }


def _is_about_a_row(error: Exception) -> bool:
    """Whether the database would store other rows: a value is refused, or is none of SQL's."""
    if isinstance(error, sa.exc.DataError | sa.exc.IntegrityError):
        return True
    if isinstance(error, sa.exc.SQLAlchemyError):
        return type(error) is sa.exc.StatementError
    return not isinstance(error, OSError)


def _work(reference: weakref.ref[Recorder], wake: threading.Event) -> None:
    """Run on the background thread, as long as somebody uses the recorder."""
    while (recorder := reference()) is not None:
        if recorder.stopped:
            return
        pause = recorder.work()
        del recorder
        wake.wait(pause)
        wake.clear()


def _after_fork() -> None:
    for recorder in tuple(_recorders):
        recorder.forked()


def _at_exit() -> None:
    deadline = monotonic() + _SHUTDOWN
    for recorder in tuple(_recorders):
        recorder.stop(max(0.0, deadline - monotonic()))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
