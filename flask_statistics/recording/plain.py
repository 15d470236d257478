"""Plain values of what the host's code gives, without running more of it than is needed.

An attribute of a model may ask the database through the host's session, and so may its
``repr()``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from .record import LONGEST

#: Types whose values are stored as they are.
PLAIN = (
    *(str, bytes, int, float, bool, type(None)),
    *(datetime, date, time, timedelta, Decimal, UUID, Enum),
)


def describe(error: BaseException) -> str:
    try:
        return repr(error)[:LONGEST]
    except Exception:
        return f"{type(error).__name__}(…)"


def plain_pairs(arguments: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple((name, plain_value(value)) for name, value in arguments.items())


def plain_value(value: Any) -> Any:
    if isinstance(value, str):
        return value[:LONGEST]
    return value if isinstance(value, int | float | bool) else plain_text(value)


def plain_text(value: Any) -> str:
    """Return text for a value that is not JSON's, without running code of a host's model."""
    if isinstance(value, UUID | date | Decimal):
        return str(value)
    return f"<{type(value).__name__}>"
