"""One answer for all who ask the same: while it is computed, and of what is over also later.

A kept answer belongs to the numbers that the days of its period had before it was computed (see
:mod:`flask_statistics.changes`): whatever changes one of these days makes it another question.
"""

from __future__ import annotations

import os
import pickle
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Any

import sqlalchemy as sa

from .. import changes
from ..errors import QueryError, QueryTimeoutError
from ..model import Model
from ..recording.connections import is_shared_memory
from ..tables import Tables
from .answers import Ask
from .conditions import boundary
from .explaining import Asked, explanation
from .filters import is_personal
from .limits import Deadline, within
from .reading import reading

#: What a process keeps at most: answers, their bytes, and for how many seconds, so that what
#: the host changes by its own SQL is seen at last.
MOST_ANSWERS, MOST_BYTES, LONGEST = 500, 8_000_000, 600.0
_LARGEST = MOST_BYTES // 8
#: The values on which answers depend besides the rows.
_STATES = ("visits", "pruned")

Compute = Callable[[Sequence[Ask]], list[Any]]


@dataclass(eq=False)
class _Flight:
    """An answer that is being computed, for others to wait for."""

    landed: threading.Event = field(default_factory=threading.Event)
    answers: list[Any] = field(default_factory=list)
    error: Exception | None = None


class _Memory:
    """What the threads of one process share; made after a fork, so that no lock is held."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.flights: dict[Ask, _Flight] = {}
        self.kept: OrderedDict[Hashable, tuple[float, bytes]] = OrderedDict()
        self.bytes = 0

    def find(self, key: Hashable) -> bytes | None:
        with self.lock:
            since, packed = self.kept.get(key, (0.0, None))
            if packed is None:
                return None
            if monotonic() - since > LONGEST:
                self._drop(key)
                return None
            self.kept.move_to_end(key)
            return packed

    def keep(self, key: Hashable, packed: bytes) -> None:
        if len(packed) > _LARGEST:
            return
        with self.lock:
            self._drop(key)
            self.kept[key] = monotonic(), packed
            self.bytes += len(packed)
            while len(self.kept) > MOST_ANSWERS or self.bytes > MOST_BYTES:
                self._drop(next(iter(self.kept)))

    def _drop(self, key: Hashable) -> None:
        _, packed = self.kept.pop(key, (0.0, b""))
        self.bytes -= len(packed)

    def board(self, asks: Sequence[Ask]) -> tuple[dict[Ask, _Flight], dict[Ask, _Flight]]:
        """Return the flights of ours to begin, and those of others to wait for."""
        with self.lock:
            others = {ask: self.flights[ask] for ask in asks if ask in self.flights}
            ours = {ask: _Flight() for ask in asks if ask not in others}
            self.flights.update(ours)
        return ours, others

    def land(self, flights: dict[Ask, _Flight]) -> None:
        with self.lock:
            for ask in flights:
                self.flights.pop(ask, None)
        for flight in flights.values():
            flight.landed.set()


class Kept:
    """The shared answers of one app, in every process its own.

    :param seconds: how long one question, or several asked at once, may take.
    """

    def __init__(self, engine: sa.Engine, model: Model, tables: Tables, seconds: float) -> None:
        self._engine = engine
        self._model = model
        self._tables = tables
        self._seconds = seconds
        self._alone = is_shared_memory(engine)  # there the host's open transaction is read
        self._memories: dict[int, _Memory] = {}
        self._migrated = False

    def clear(self) -> None:
        """Keep nothing of what was kept in this process, as after SQL of the host's own."""
        self._memories = {}

    def share(self, asks: Sequence[Ask], compute: Compute) -> list[Any]:
        """Return the answers: those that others compute or that are kept, else computed ones.

        :raises QueryTimeoutError: where they are not there in time.
        """
        with within(self._seconds) as deadline:
            noted = explanation()
            if noted is not None:
                known = self._keys(asks)
                noted.asked.extend(_described(ask, self._is_kept(known.get(ask))) for ask in asks)
            if self._alone or noted is not None:
                return compute(asks)
            found = self._shared(list(dict.fromkeys(asks)), compute, deadline)
            return [found[ask] for ask in asks]

    def _shared(self, asks: list[Ask], compute: Compute, deadline: Deadline) -> dict[Ask, Any]:
        memory = self._memory
        ours, others = memory.board(asks)
        found: dict[Ask, Any] = {}
        try:
            found.update(self._answered(list(ours), compute))
            for ask, flight in ours.items():
                flight.answers.append(found[ask])
        except Exception as error:
            for flight in ours.values():
                flight.error = error
            raise
        finally:
            memory.land(ours)
        missed = [ask for ask, flight in others.items() if not _joined(flight, deadline)]
        for ask in others.keys() - set(missed):
            found[ask] = _copied(others[ask].answers[0])
        # They were asked together with something that cannot be asked, or their thread died.
        found.update(self._answered(missed, compute))
        return found

    def _answered(self, asks: list[Ask], compute: Compute) -> dict[Ask, Any]:
        keys = self._keys(asks)
        packed = {ask: self._memory.find(key) for ask, key in keys.items()}
        found = {ask: pickle.loads(kept) for ask, kept in packed.items() if kept}  # noqa: S301
        missing = [ask for ask in asks if ask not in found]
        if missing:
            found.update(zip(missing, compute(missing), strict=True))
        for ask in missing:
            if ask in keys:
                self._memory.keep(keys[ask], pickle.dumps(found[ask]))
        return found

    @property
    def _memory(self) -> _Memory:
        process = os.getpid()
        if process not in self._memories:
            # What a parent process kept would never be asked for again.
            self._memories = {process: self._memories.get(process) or _Memory()}
        return self._memories[process]

    def _is_kept(self, key: Hashable | None) -> bool:
        return key is not None and self._memory.find(key) is not None

    def _keys(self, asks: Sequence[Ask]) -> dict[Ask, Hashable]:
        """Return under which name to keep the answers to those questions that are closed."""
        settled = changes.utc_now() - changes.SETTLED
        closed = [ask for ask in asks if _may_be_kept(ask, settled)]
        if not closed or self._alone:
            return {}
        with reading(self._engine) as connection:
            if not self._is_migrated(connection):
                return {}
            states = tuple(changes.read_state(connection, self._tables, name) for name in _STATES)
            spans = {(ask.query.period.begins, ask.query.period.ends) for ask in closed}
            numbers = {span: self._number(connection, *span) for span in spans}
        return {
            ask: (ask, numbers[ask.query.period.begins, ask.query.period.ends], states)
            for ask in closed
        }

    def _number(self, connection: sa.Connection, begins: datetime, ends: datetime) -> Hashable:
        """Return what is another where requests of a span were added, changed or deleted.

        How many there are is read from the index on the date, for a small part of what an
        answer costs; it tells of requests that the host added or deleted by SQL of its own.
        """
        days = changes.day_numbers(connection, self._tables, begins.date(), ends.date())
        within = self._model.columns["date"]
        counted = sa.select(sa.func.count()).where(
            within >= boundary(begins), within < boundary(ends)
        )
        return sum(days.values()), connection.scalar(counted)  # no number ever falls

    def _is_migrated(self, connection: sa.Connection) -> bool:
        if not self._migrated:
            tables, inspector = self._tables, sa.inspect(connection)
            self._migrated = all(
                inspector.has_table(table.name, schema=table.schema)
                for table in (tables.change, tables.state)
            )
        return self._migrated


def _may_be_kept(ask: Ask, settled: datetime) -> bool:
    """Whether all rows of a question are there; what tells persons apart is never kept."""
    personal = ask.kind == "requests" or any(map(is_personal, ask.query.dimensions))
    return not personal and ask.query.period.ends <= settled


def _described(ask: Ask, kept: bool) -> Asked:
    return Asked(ask.kind, tuple(ask.query.to_args()), ask.query.group_by, kept)


def _joined(flight: _Flight, deadline: Deadline) -> bool:
    """Wait for an answer of another thread; return whether there is one."""
    if not flight.landed.wait(deadline.left):
        raise QueryTimeoutError(deadline.seconds)
    if flight.error is not None and not isinstance(flight.error, QueryError):
        raise flight.error
    return bool(flight.answers)


def _copied(answer: Any) -> Any:
    """Return an answer that its receiver may change."""
    return pickle.loads(pickle.dumps(answer))  # noqa: S301 - our own
