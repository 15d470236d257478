"""Choices that hypothesis draws as bytes: quick to draw, and shrunk towards the first option."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Choices:
    """Picks by one byte each; the first option once the bytes are used up."""

    def __init__(self, drawn: bytes) -> None:
        self._bytes = iter(drawn)

    def byte(self) -> int:
        return next(self._bytes, 0)

    def one(self, options: Sequence[T]) -> T:
        """Return one of at most 256 options."""
        return options[self.byte() % len(options)]

    def some(self, options: Sequence[T], count: int) -> list[T]:
        """Return at most ``count`` different options."""
        return list(dict.fromkeys(self.one(options) for _ in range(count)))
