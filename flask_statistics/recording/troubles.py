"""Logging that says each trouble once an interval, however often it comes."""

from __future__ import annotations

import logging
from time import monotonic

#: Seconds between two messages about the same trouble.
LOG_INTERVAL = 60.0

logger = logging.getLogger("flask_statistics")


class Troubles:
    """What went wrong, and when it was said last."""

    def __init__(self) -> None:
        self._said: dict[str, float] = {}

    def exception(self, message: str, error: BaseException | None = None) -> None:
        """Log a message with the traceback of ``error``, else of the current exception."""
        if self._is_due(message):
            logger.error(message, exc_info=error or True)

    def warning(self, message: str) -> None:
        """Log a message that says what to do."""
        if self._is_due(message):
            logger.warning(message)

    def error(self, message: str, detail: str) -> None:
        """Log a message and what is known of the error, without its traceback."""
        if self._is_due(message):
            logger.error("%s: %s", message, detail)

    def _is_due(self, message: str) -> bool:
        now = monotonic()
        if now - self._said.get(message, -LOG_INTERVAL) < LOG_INTERVAL:
            return False
        self._said[message] = now
        return True
