"""How a recorder fares: counts and the last error of one process."""

from __future__ import annotations

import re
import threading
from collections import Counter
from time import time
from typing import Any

import sqlalchemy as sa

from ..privacy import storable
from .troubles import Troubles

_LONGEST_ERROR = 500
_QUOTED = re.compile(r"""'([^']*)'|"([^"]*)"|`([^`]*)`""")
_ALL_QUOTED = re.compile(r"""['"`].*['"`]""", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,62}")


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
        about_values = _is_about_values(error)
        text = _inert(error) if about_values else str(getattr(error, "orig", None) or error)
        text = f"{type(error).__name__}: {text}"[:_LONGEST_ERROR]
        self._last_error = (time(), text)
        if isinstance(error, sa.exc.StatementError):
            error.hide_parameters = True
        if about_values:
            # A traceback would show what the driver says of the row.
            self._troubles.error(message, text)
        else:
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


def _is_about_values(error: Exception) -> bool:
    """Whether an error says which value or row the database or its driver refused."""
    if isinstance(error, sa.exc.DataError | sa.exc.IntegrityError | ValueError | OverflowError):
        return True
    return type(error) is sa.exc.StatementError


def _inert(error: Exception) -> str:
    """Return what a database says of a row that it refuses, without the row's values."""
    original = getattr(error, "orig", None) or error
    if not isinstance(error, sa.exc.DBAPIError):  # Python's own, which quote as they like
        return f"{type(original).__name__} of a value"
    message = getattr(getattr(original, "diag", None), "message_primary", None) or str(original)
    line = storable(message.strip().partition("\n")[0])
    quoted = ["".join(found) for found in _QUOTED.findall(line)]
    if len(_ALL_QUOTED.sub("", line)) + 2 < len(line) and not _are_names(quoted, error):
        return _ALL_QUOTED.sub("…", line)
    return line


def _are_names(quoted: list[str], error: Exception) -> bool:
    """Whether quoted words are names, of columns say, rather than what the row holds."""
    values = str(getattr(error, "params", None))
    return all(_NAME.fullmatch(word) and repr(word) not in values for word in quoted)
