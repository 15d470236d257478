"""What settings accept: each check returns the value to use, or says what would be accepted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from datetime import timedelta
from os import PathLike, fspath
from typing import Any
from zoneinfo import ZoneInfo


class RejectedError(ValueError):
    """Raised by a check: the text says what would have been accepted."""


def boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise RejectedError("True or False")
    return value


def span(value: Any) -> timedelta:
    if isinstance(value, bool) or not isinstance(value, timedelta) or value < timedelta(0):
        raise RejectedError("a datetime.timedelta that is not negative, such as timedelta(days=7)")
    if value > timedelta(days=36500):
        raise RejectedError("a datetime.timedelta of at most 36500 days")
    return value


def prefix(value: Any) -> str:
    accepted = "a path that starts with a slash and does not end with one, such as '/statistics'"
    if not isinstance(value, str) or not value.startswith("/") or value.endswith("/"):
        raise RejectedError(accepted)
    if any(character in value for character in "<>?# ") or "//" in value:
        raise RejectedError(accepted)
    return value


def one_of(*choices: Any) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if not any(value == choice and type(value) is type(choice) for choice in choices):
            raise RejectedError(" or ".join(repr(choice) for choice in choices))
        return value

    return check


def texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise RejectedError("a list of strings")
    texts = tuple(value)
    if not all(isinstance(text, str) and text for text in texts):
        raise RejectedError("a list of strings")
    return texts


def seconds(lowest: float, highest: float) -> Callable[[Any], float]:
    def check(value: Any) -> float:
        accepted = f"seconds between {lowest:g} and {highest:g}"
        if isinstance(value, timedelta):
            value = value.total_seconds()
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RejectedError(accepted)
        if not math.isfinite(value) or not lowest <= value <= highest:
            raise RejectedError(accepted)
        return float(value)

    return check


def whole(lowest: int, highest: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            raise RejectedError(f"a whole number between {lowest} and {highest}")
        return value

    return check


def mask(value: Any) -> tuple[int, int] | None:
    """Returns the prefix lengths for IPv4 and IPv6 that are kept, or None for all bits."""
    if value is None:
        return None
    named = {"last-octet": (24, 48), "full": (0, 0)}
    if isinstance(value, str) and value in named:
        return named[value]
    if isinstance(value, tuple | list) and len(value) == 2:
        ipv4, ipv6 = value
        if type(ipv4) is int and type(ipv6) is int and 0 <= ipv4 <= 32 and 0 <= ipv6 <= 128:
            return ipv4, ipv6
    raise RejectedError(
        "None, 'last-octet', 'full', or the prefix lengths to keep, such as (24, 48)"
    )


def zone(value: Any) -> ZoneInfo:
    try:
        if isinstance(value, str) and value:
            return ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        pass
    raise RejectedError(
        "an IANA time zone such as 'Europe/Berlin' (pip install tzdata if yours is one)"
    )


def optional_text(value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or not value):
        raise RejectedError("None or a string")
    return value


def optional_callable(value: Any) -> Callable[[], Any] | None:
    if value is not None and not callable(value):
        raise RejectedError("None or a function without arguments that returns a name or None")
    return value  # type: ignore[no-any-return]


def optional_days(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 36_500:
        raise RejectedError("None or a whole number of days between 1 and 36500")
    return value


def archive_folder(value: Any) -> str | bool | None:
    if value is None or isinstance(value, bool):
        return value or None
    if isinstance(value, str | PathLike) and fspath(value):
        return str(fspath(value))
    raise RejectedError("None, False, True or the path of a folder")
