"""The tables of ours that are kept beside the host's: of visits, events, changes and state."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from time import monotonic

import sqlalchemy as sa

from .. import changes
from ..model import Model
from ..tables import Tables
from .completeness import are_complete, lock_visits
from .troubles import Troubles
from .visitors import Transaction

#: Seconds after which it is looked again whether missing tables are there.
RECHECK = 60.0
_NEVER = datetime(1, 1, 1)


class OwnTables:
    """What each storing transaction does to them, as long as they are there.

    :param has_table: whether a table is there.
    :param say_missing: logs that a table is missing, and the consequence.
    """

    def __init__(
        self,
        model: Model,
        tables: Tables,
        has_table: Callable[[sa.Table], bool],
        say_missing: Callable[[str, str], None],
    ) -> None:
        self._model = model
        self._tables = tables
        self._has_table = has_table
        self._say_missing = say_missing
        self._troubles = Troubles()
        self._missing_until = 0.0
        self._prepared = False

    def prepare(self, transaction: Transaction) -> None:
        """Make the rows that are locked later, once, in a transaction of its own.

        Two transactions that make one at once, after they looked for it, would block each other.
        """
        if self._prepared or monotonic() < self._missing_until:
            return
        with transaction() as connection:
            self._make_rows(connection)
        self._prepared = True

    def begin(self, connection: sa.Connection) -> bool:
        """Lock the visits, first of all in the caller's transaction; False without tables.

        On MariaDB the transaction's view of the database begins with what it reads next.
        """
        if monotonic() < self._missing_until:
            return False
        if self._model.has("visit") and not lock_visits(connection, self._tables):
            self._make_rows(connection)  # the tables were made anew
            lock_visits(connection, self._tables)
        return True

    def _make_rows(self, connection: sa.Connection) -> None:
        tables = self._tables
        if changes.read_state(connection, tables, changes.HORIZON) is None:
            changes.write_state(connection, tables, changes.HORIZON, _NEVER.isoformat())
        if self._model.has("visit") and not are_complete(connection, self._model, tables):
            self._troubles.warning(
                "The table statistics_visit lacks visits of before it was made, so the pages work "
                "them out from the requests: run `flask statistics visits rebuild` to fill it."
            )

    def note(self, connection: sa.Connection, moments: Iterable[datetime]) -> None:
        """Note that rows of these moments are stored, in the caller's transaction."""
        changes.note_rows(connection, self._tables, moments)

    def forget(self) -> None:
        """Begin anew: the tables were made anew."""
        self._prepared = False

    def lost(self, error: Exception) -> bool:
        """Whether an error came of a table that is missing: then do without for a while."""
        if not _may_miss_table(error) or monotonic() < self._missing_until:
            return False
        tables = self._tables
        for table in (tables.visit, tables.event, tables.change, tables.state):
            if not self._has_table(table):
                self._say_missing(
                    table.name, "visits may be cut in two, and events are not recorded"
                )
                self._missing_until = monotonic() + RECHECK
                self._prepared = False
                return True
        return False


def _may_miss_table(error: Exception) -> bool:
    """Whether an error is of the kind that the databases raise for a table that is not there."""
    return isinstance(error, sa.exc.ProgrammingError) or "no such table" in str(
        getattr(error, "orig", "")
    )
