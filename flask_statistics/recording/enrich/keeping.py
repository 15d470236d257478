"""What is kept of long texts, and what is remembered of values that come again and again."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any

from ...fields import LONGEST_TEXT
from ..record import Record

#: How many distinct values each step remembers, and of how many characters at most.
REMEMBERED = 1024
LONGEST_REMEMBERED = 1024


class Limits(dict[str, int]):
    """The longest text of each column, in characters."""

    def __missing__(self, name: str) -> int:
        return LONGEST_TEXT

    def cut(self, name: str, text: str | None) -> str | None:
        """Cut what is too long, with a mark at its end."""
        if text is None or len(text) <= self[name]:
            return text
        return text[: self[name] - 1] + "…"

    def whole(self, name: str, text: str) -> str | None:
        """Return the text where it fits, else None."""
        return text if len(text) <= self[name] else None


def remember(
    function: Callable[..., tuple[Any, ...]], *places: int
) -> Callable[[Record], tuple[Any, ...]]:
    """Return a step that calls ``function`` with these values of a record, once for each.

    Long values are not remembered, so that nobody can fill the memory with them.
    """
    # Twice the place of a single value, since itemgetter gives a tuple for two or more.
    pick = itemgetter(*places, places[-1])
    known: dict[tuple[Any, ...], tuple[Any, ...]] = {}

    def step(record: Record) -> tuple[Any, ...]:
        key = pick(record)
        values = known.get(key)
        if values is None:
            values = function(*key[:-1])
            if sum(len(value) for value in key if isinstance(value, str)) <= LONGEST_REMEMBERED:
                if len(known) >= REMEMBERED:
                    known.clear()
                known[key] = values
        return values

    return step
