"""Every exception of this package, with when it is raised."""

from __future__ import annotations


class StatisticsError(Exception):
    """The base of every exception of this package."""


class ConfigurationError(StatisticsError, RuntimeError):
    """Raised at start-up when a setting, the model or the order of calls cannot work.

    The message names what was found, what is accepted and what to change.
    """


class QueryError(StatisticsError, ValueError):
    """Raised for a question that cannot be asked: a bad date, dimension, filter or number.

    The pages answer it with status 400 and this message.

    :ivar parameter: the name of the parameter that is wrong.
    """

    def __init__(self, parameter: str, message: str) -> None:
        super().__init__(f"{parameter}: {message}")
        self.parameter = parameter


class MissingTableError(StatisticsError):
    """Raised when a command needs a table of ours that the host's database does not have yet."""


class ImportRefusedError(StatisticsError):
    """Raised when an access log cannot be imported as a whole; the message says what to do."""


class QueryTimeoutError(StatisticsError):
    """Raised when a question took longer than ``STATISTICS_QUERY_TIMEOUT``.

    The pages answer it with status 503 and what would make it fast.

    :ivar seconds: how long it was allowed to take.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"this took longer than {seconds:g} seconds (STATISTICS_QUERY_TIMEOUT): "
            "ask about fewer days, or see what `flask statistics check` advises"
        )
        self.seconds = seconds


class MissingExtraError(StatisticsError, ImportError):
    """Raised where something needs an optional package; the message names the extra."""


class ArchiveError(StatisticsError):
    """Raised when the archive cannot be used; the message says what to do."""
