"""What stands in the queue behind the records that somebody waits for."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from typing import Any


class Marker(threading.Event):
    """Set once all that was put before it is stored.

    :ivar complete: False once a record before it was refused.
    """

    complete = True
    _has_room = False

    def takes_room(self) -> bool:
        """Whether the queue must be longer for it by one: once, since it replaces no record."""
        had, self._has_room = self._has_room, True
        return not had

    @classmethod
    def behind(cls, queue: deque[Any]) -> Marker:
        """Return the marker at the queue's end, so that many who wait need one only."""
        with suppress(IndexError):
            if isinstance(last := queue[-1], cls):
                return last
        marker = cls()
        queue.append(marker)
        return marker

    @classmethod
    def count(cls, queue: deque[Any]) -> int:
        """Return how many there are in a queue."""
        return sum(type(waiting) is cls for waiting in tuple(queue))
