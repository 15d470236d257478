"""Answers that are asked for together, and looked up one by one by those who show them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .answers import Answers, Ask


class Prefetched(Answers):
    """The answers of one page: what was asked once is not asked again.

    Ask :meth:`many` for all that the page needs first, so that it is computed together.

    :param answers: where they come from.
    """

    def __init__(self, answers: Answers) -> None:
        self.model = answers.model
        self._answers = answers
        self._found: dict[Ask, Any] = {}

    def many(self, asks: Iterable[Ask]) -> list[Any]:
        asks = list(asks)
        missing = list(dict.fromkeys(ask for ask in asks if ask not in self._found))
        if missing:
            self._found.update(zip(missing, self._answers.many(missing), strict=True))
        return [self._found[ask] for ask in asks]
