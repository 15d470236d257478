"""Notices requests that the host itself adds, changes or deletes through its model.

Visits and kept answers are derived from the requests that we store. What the host does by its
ORM, in a process of the app, is noted here, and said in the tables of ours before the next
question is answered; ``flask statistics visits rebuild`` then works the visits out anew. It is
noted when it is done and once more when its transaction has ended, since what was derived in
between was derived from the requests as they were before. What is done by SQL, or in bulk, is
not seen.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import object_session

from . import changes
from .model import Model
from .recording.completeness import COMPLETE, STATE, mark_incomplete
from .tables import Tables

logger = logging.getLogger("flask_statistics")


class Edits:
    """What the host did to its requests, and nobody said yet.

    :ivar pending: whether there is anything.
    """

    def __init__(self, model: Model, tables: Tables) -> None:
        self._model = model
        self._tables = tables
        self._date = next(k for k, c in model.attributes.items() if c is model.columns["date"])
        self._days: set[date] = set()
        # Never held while another greenlet can run, so that it may be older than gevent's patches.
        self._noting = threading.Lock()
        self.pending = False

    def listen(self) -> None:
        """Begin to note."""
        # Before a deletion, so that the date can still be asked for.
        for event in ("after_insert", "after_update", "before_delete"):
            sa.event.listen(self._model.orm, event, self._note)

    def _note(self, mapper: Any, connection: sa.Connection, request: Any) -> None:
        days = {m.date() for m in self._moments(mapper, connection, request) if _is_moment(m)}
        self._add(days)
        session = object_session(request)
        if session is None:
            return
        if self not in session.info:
            session.info[self] = set()
            sa.event.listen(session, "after_transaction_end", self._ended)
        session.info[self] |= days

    def _moments(self, mapper: Any, connection: sa.Connection, request: Any) -> Iterable[Any]:
        """Return the date of a request, and the one that it had before."""
        history = sa.inspect(request).attrs[self._date].history
        if self._date in request.__dict__:
            return [request.__dict__[self._date], *history.deleted]
        # Expired, as by the host's commit, or not loaded.
        keys = zip(mapper.primary_key, mapper.primary_key_from_instance(request), strict=True)
        asked = sa.select(self._model.columns["date"]).where(*(k == value for k, value in keys))
        return [connection.scalar(asked)]

    def _ended(self, session: Any, transaction: Any) -> None:
        if transaction.parent is None and session.info[self]:
            self._add(session.info[self])
            session.info[self] = set()

    def _add(self, days: Iterable[date]) -> None:
        with self._noting:
            self._days.update(days)
            self.pending = True

    def _take(self) -> set[date]:
        with self._noting:
            days, self._days, self.pending = self._days, set(), False
        return days

    def say(self, transaction: Callable[[], AbstractContextManager[sa.Connection]]) -> None:
        """Say it in the tables of ours; where they cannot be written now, the next time.

        :param transaction: gives a connection in a transaction that waits for nobody.
        """
        if not self.pending:
            return
        days = self._take()
        try:
            with transaction() as connection:
                complete = changes.read_state(connection, self._tables, STATE) == COMPLETE
                # Also where they were incomplete: whoever mends them now must not say otherwise.
                mark_incomplete(connection, self._tables)
                changes.raise_days(connection, self._tables, days)
        except sa.exc.SQLAlchemyError:  # the host may hold a lock in this very request
            self._add(days)
            return
        if complete:
            logger.warning(
                "Requests were added, changed or deleted through the model, so the pages work "
                "visits out from the requests: run `flask statistics visits rebuild`."
            )


def _is_moment(value: Any) -> bool:
    return isinstance(value, datetime)
