"""A custom event: what is taken of it when it happens."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from .plain import plain_text

LONGEST_NAME = 128
MOST_PROPERTIES = 50
#: Characters of a property's name, of its text, and of all JSON of an event.
LONGEST_KEY, LONGEST_VALUE, LONGEST_JSON = 128, 1000, 16_000
#: Events of one request, and the characters of their properties, that may wait in memory.
MOST_EVENTS, LONGEST_EVENTS = 100, 65_536
#: Whole numbers that JSON of every database holds exactly.
_LARGEST = 2**63
_ENCODER = json.JSONEncoder(default=plain_text, skipkeys=True, ensure_ascii=False)
Property = tuple[str, Any]


class Event(NamedTuple):
    """What waits in the queue of an event: texts and numbers.

    :ivar moment: seconds since the epoch.
    """

    moment: float
    name: str
    properties: tuple[Property, ...]
    revenue: float | None
    currency: str | None

    def anonymous(self) -> Event:
        """Return the event without what may tell about a person: properties may be anything."""
        return self._replace(properties=())

    @property
    def length(self) -> int:
        """The characters that it keeps in memory."""
        return len(self.name) + sum(map(_length, self.properties))


def take_event(moment: float, name: str, properties: Mapping[str, Any]) -> Event:
    """Take what shall be stored of an event, now: its values may change later. Never fails.

    ``revenue`` is a finite number, ``currency`` a code of three letters; what is neither stays
    among the properties.
    """
    revenue, currency = _number(properties.get("revenue")), _code(properties.get("currency"))
    taken: list[Property] = []
    length = 0
    for key, value in properties.items():
        if (key == "revenue" and revenue is not None) or (key == "currency" and currency):
            continue
        plain = key[:LONGEST_KEY], _plain(value)
        length += _length(plain)
        if len(taken) == MOST_PROPERTIES or length > LONGEST_JSON:
            break
        taken.append(plain)
    return Event(moment, name[:LONGEST_NAME], tuple(taken), revenue, currency)


def _length(pair: Property) -> int:
    name, value = pair
    return len(name) + (len(value) if isinstance(value, str) else 8)


def _plain(value: Any) -> Any:
    """Return what JSON holds: a text, a finite number, a boolean or None."""
    try:
        return _as_json(value)
    except Exception:  # noqa: BLE001 - a value of the host's, whose methods may do anything
        return f"<{type(value).__name__}>"


def _as_json(value: Any) -> Any:
    if value is None or isinstance(value, bool) or _is_plain_number(value):
        return value
    if isinstance(value, int | float):  # too large, not finite, or of an enumeration
        value = str(value)
    elif isinstance(value, dict | list | tuple):
        value = _beginning(value)
    elif not isinstance(value, str):
        value = plain_text(value)
    return value[:LONGEST_VALUE]


def _beginning(value: Any) -> str:
    """Return the JSON of a collection, however large, as far as it is kept."""
    written, length = [], 0
    for part in _ENCODER.iterencode(value):
        written.append(part[:LONGEST_VALUE])
        length += len(part)
        if length >= LONGEST_VALUE:
            break
    return "".join(written)


def _is_plain_number(value: Any) -> bool:
    if type(value) is int:
        return -_LARGEST <= value < _LARGEST
    return type(value) is float and math.isfinite(value)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    try:
        number = float(value)
    except Exception:  # noqa: BLE001 - too large, or of a class of the host's
        return None
    return number if math.isfinite(number) else None


def _code(value: Any) -> str | None:
    if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isalpha():
        return value.upper()
    return None
