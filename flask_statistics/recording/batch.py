"""Some captured requests on their way into the database, in one transaction or more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from .record import Record
from .storage import Storage

Rows = list[list[Any]]
Captured = tuple[Any, ...]
#: What drivers raise both for a value that they cannot take and for a table that is not there.
_UNCLEAR = (sa.exc.ProgrammingError, sa.exc.InterfaceError, sa.exc.NotSupportedError)
#: Errors of MariaDB and MySQL about a row that PyMySQL calls operational ones: NULL where none may
#: be, a column without default, text of another character set, too large numbers, a trigger's
#: SIGNAL, a CHECK.
_ROW_ERRORS = (1048, 1364, 1366, 1264, 1265, 1292, 1406, 1644, 1690, 4025, 3819)
Refuse = Callable[[Exception, str], None]


class Batch:
    """What was taken from the queue at once.

    A batch that could not be stored is tried again where it stopped. One row that the database
    refuses does not hold up the others.

    :ivar captured: what was taken.
    :ivar stored: how many of them are stored.
    """

    def __init__(self) -> None:
        self.captured: list[Captured] = []
        self.stored = 0
        self._parts: list[Rows] | None = None

    @property
    def begun(self) -> bool:
        """Whether rows were derived, so that nothing can be added."""
        return self._parts is not None

    @property
    def waiting(self) -> int:
        """How many are neither stored nor refused."""
        return len(self.captured) if self._parts is None else sum(map(len, self._parts))

    def store(
        self, storage: Storage, to_record: Callable[[Captured], Record], refuse: Refuse
    ) -> None:
        """Store all of it.

        :param refuse: called with an exception and a reason for each row that is left out.
        :raises Exception: where the database is away or locked; what is left can be tried again.
        """
        if self._parts is None:
            records = list(map(to_record, self.captured))
            self._parts = [rows] if (rows := _derive(storage, records, refuse)) else []
        while self._parts:
            rows = self._parts[0]
            try:
                storage.prepare()
                with storage.transaction() as connection:
                    storage.write(connection, rows)
            except Exception as error:
                if storage.lost_tables(error):
                    continue
                if not is_about_a_row(error, storage):
                    raise
                self._parts[:1] = _halves(rows, error, refuse)
            else:
                self.stored += len(rows)
                del self._parts[0]
                storage.note_live(rows)


def _derive(storage: Storage, records: list[Record], refuse: Refuse) -> Rows:
    if not records:
        return []
    try:
        return storage.derive(records)
    except sa.exc.SQLAlchemyError:
        raise
    except Exception as error:  # noqa: BLE001 - of one record; the others must not wait for it
        if len(records) == 1:
            refuse(error, "not understood")
            return []
    return [row for record in records for row in _derive(storage, [record], refuse)]


def _halves(rows: Rows, error: Exception, refuse: Refuse) -> list[Rows]:
    """Return the halves of rows of which the database refuses one; leave it out when alone."""
    half = len(rows) // 2
    if half:
        return [rows[:half], rows[half:]]
    refuse(error, "refused by the database")
    return []


def is_about_a_row(error: Exception, storage: Storage) -> bool:
    """Whether the database would store other rows: a value is refused, or is none of SQL's."""
    if isinstance(error, sa.exc.DataError | sa.exc.IntegrityError) or refuses_row(error):
        return True
    if isinstance(error, _UNCLEAR) and not error.connection_invalidated:
        storage.check()  # raises where the table is the trouble
        return True
    if isinstance(error, sa.exc.SQLAlchemyError):
        return type(error) is sa.exc.StatementError
    return not isinstance(error, OSError)


def refuses_row(error: Exception) -> bool:
    """Whether a row was refused, by a driver that calls that an operational error."""
    original = getattr(error, "orig", None)
    return bool(original and original.args[:1] and original.args[0] in _ROW_ERRORS)
