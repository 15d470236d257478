"""Whether a value is meant by a filter's text, as ``docs/query.md`` defines it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any


def holds(values: list[Any], texts: tuple[str, ...]) -> bool:
    """Whether a filter holds for a request with these values of the dimension: the one that it
    has, or several for events and their properties; none where it has none."""
    wanted = [text for text in texts if not text.startswith("!")]
    unwanted = [text[1:] for text in texts if text.startswith("!")]
    if wanted and not any(found(values, text) for text in wanted):
        return False
    return not any(found(values, text) for text in unwanted)


def found(values: list[Any], text: str) -> bool:
    if text == "":
        return not values
    return any(matches(value, text) for value in values)


def matches(value: Any, text: str) -> bool:
    if isinstance(value, bool):
        return value == (text.lower() in {"true", "1"})
    if isinstance(value, int | float):
        return in_range(value, text)
    parts = (re.escape(part) for part in text.split("*"))
    return re.fullmatch(".*".join(parts), value, re.DOTALL) is not None


def in_range(value: float, text: str) -> bool:
    if text.lower().endswith("xx"):
        return value // 100 == int(text[0])
    if ".." in text:
        low, high = text.split("..")
        return float(low) <= value <= float(high)
    tests: dict[str, Callable[[float], bool]] = {
        ">=": lambda number: value >= number,
        "<=": lambda number: value <= number,
        ">": lambda number: value > number,
        "<": lambda number: value < number,
        "": lambda number: value == number,
    }
    sign = next(sign for sign in tests if text.startswith(sign))
    return tests[sign](float(text[len(sign) :]))
