"""Answers from the archive; where it fails, from the host's table, which says so in the log."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from .. import changes
from ..asking.answers import Answers, Ask, Share
from ..asking.source import Source, Span
from ..errors import ArchiveError
from .source import ArchivedRequests
from .sources import PRUNED

if TYPE_CHECKING:
    from ..tables import Tables

#: Seconds between two lines in the log about one trouble.
_EVERY = 600.0

logger = logging.getLogger("flask_statistics")


class ArchivedAnswers(Answers):
    """The answers of an app that has an archive.

    :param archived: its archive.
    :param table: makes the source that the host's table is.
    :param share: as :class:`~flask_statistics.asking.answers.Answers` has it.

    Every method raises :class:`~flask_statistics.errors.ArchiveError` where requests are asked
    for that only the archive holds, and it cannot be read.
    """

    def __init__(
        self,
        archived: ArchivedRequests,
        table: Callable[[], Source],
        share: Share | None = None,
    ) -> None:
        super().__init__(lambda: archived.source, archived.model, share)
        self._archived = archived
        self._table = Answers(lambda: _guarded(table(), archived.tables), archived.model)

    def _computed(self, asks: Sequence[Ask]) -> list[Any]:
        while True:
            state = self._archived.state()
            if state is None:  # it was not built yet
                return self._table.many(asks)
            try:
                answers = super()._computed(asks)
            except ArchiveError as error:
                if self._archived.state() != state:
                    continue  # a writer has just removed what the old manifest named
                return self._computed_by_table(asks, error)
            self._archived.trouble = None
            return answers

    def _computed_by_table(self, asks: Sequence[Ask], error: ArchiveError) -> list[Any]:
        self._archived.trouble = str(error)
        try:
            answers = self._table.many(asks)
        except _PrunedError as pruned:
            raise ArchiveError(f"{error} {pruned}") from error
        _log(str(error))
        return answers


_logged: dict[str, float] = {}


def _log(trouble: str) -> None:
    """Log a trouble, unless that was done a few minutes ago."""
    now = monotonic()
    if now - _logged.get(trouble, -math.inf) < _EVERY:
        return
    _logged.clear()
    _logged[trouble] = now
    logger.warning("The archive did not answer, the table does: %s", trouble)


class _PrunedError(ArchiveError):
    """Raised where the table lacks requests that are asked for."""


def _guarded(source: Source, tables: Tables) -> Source:
    """Return a source that refuses spans of which the table was pruned."""

    @contextmanager
    def opened(spans: Sequence[Span]) -> Iterator[sa.Connection]:
        with source.open(spans) as connection:
            pruned = changes.read_state(connection, tables, PRUNED)
            if pruned and any(begins < datetime.fromisoformat(pruned) for begins, _ in spans):
                raise _PrunedError(
                    f"The table was pruned: it holds requests from {pruned} on, older ones are "
                    "in the archive only."
                )
            yield connection

    return replace(source, open=opened)
