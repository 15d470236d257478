"""How a recorder fares: counts and the last error of one process."""

from __future__ import annotations

import threading
from collections import Counter
from time import time
from typing import Any

import sqlalchemy as sa

from .troubles import Troubles

_LONGEST_ERROR = 500


class Health:
    """Counts since the start of the process.

    :ivar stored: requests that are in the database.
    :ivar retries: how often storing failed and was put off.
    """

    def __init__(self) -> None:
        self.stored = self.retries = 0
        self._dropped: Counter[str] = Counter()
        self._last_error: tuple[float, str] | None = None
        self._troubles = Troubles()
        # Never held while another greenlet can run, so that it may be older than gevent's patches.
        self._counting = threading.Lock()

    def drop(self, reason: str) -> None:
        """Count a request that will never be stored."""
        with self._counting:
            self._dropped[reason] += 1

    def failed(self, message: str, error: Exception) -> None:
        """Remember and log an error, without what visitors sent."""
        text = f"{type(error).__name__}: {getattr(error, 'orig', None) or error}"
        self._last_error = (time(), text[:_LONGEST_ERROR])
        if isinstance(error, sa.exc.StatementError):
            error.hide_parameters = True
        self._troubles.exception(message, error)

    def counts(self, waiting: int, stored: int) -> dict[str, Any]:
        """Return the counts, with what waits and what is stored of the batch in hand."""
        dropped = dict(self._dropped)
        when, text = self._last_error or (None, None)
        return {
            "received": self.stored + stored + waiting + sum(dropped.values()),
            "stored": self.stored + stored,
            "waiting": waiting,
            "dropped": dropped,
            "retries": self.retries,
            "last_error": text,
            "last_error_date": when,
        }
