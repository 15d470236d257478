"""Looks up the visits that are known of some visitors."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ..tables import Tables
from .visits import COLUMNS, Visit

_LOOKED_UP_AT_ONCE = (5, 50, 400)
#: The first SQLite that has JSON however it was built.
_HAS_JSON = (3, 38)
_PERSON = COLUMNS.index("person")


class KnownVisits:
    """Looks up what ``statistics_visit`` holds of visitors.

    Python's module for SQLite gives up the interpreter's lock for each row that it reads, and
    beside a thread that never pauses gets it back 5 ms later. So SQLite packs all rows into one.
    """

    def __init__(self, engine: sa.Engine, tables: Tables) -> None:
        table, dialect = tables.visit, engine.dialect
        columns: list[Any] = [table.c[name] for name in COLUMNS]
        version = getattr(dialect.dbapi, "sqlite_version_info", ())
        self._packs = dialect.driver == "pysqlite" and version >= _HAS_JSON
        visitors: Any = sa.bindparam("visitors", expanding=True)
        if self._packs:
            visitors = sa.select(sa.func.json_each(sa.bindparam("visitors")).table_valued("value"))
            columns = [sa.func.json_group_array(sa.func.json_array(*columns))]
        self._asked = sa.select(*columns).where(
            table.c.visitor.in_(visitors),
            table.c.ended >= sa.bindparam("first"),
            table.c.began <= sa.bindparam("last"),
        )
        self._moments = [
            place
            for place, name in enumerate(COLUMNS)
            if isinstance(table.c[name].type, sa.DateTime)
        ]

    def of(
        self, connection: sa.Connection, visitors: Iterable[str], first: datetime, last: datetime
    ) -> dict[str, list[Visit]]:
        """Return the visits that lie between two moments or reach into the time between them.

        :returns: the visits of each visitor that has any.
        """
        span = {"first": first, "last": last}
        read = self._packed if self._packs else self._rows
        known: dict[str, list[Visit]] = {}
        for values in read(connection, list(visitors), span):
            visit = Visit(*values)
            known.setdefault(visit.visitor, []).append(visit)
        return known

    def _packed(
        self, connection: sa.Connection, visitors: list[str], span: dict[str, Any]
    ) -> list[list[Any]]:
        asked = {"visitors": json.dumps(visitors), **span}
        found: list[list[Any]] = json.loads(connection.scalar(self._asked, asked) or "[]")
        parse = datetime.fromisoformat
        for values in found:
            values[_PERSON] = bool(values[_PERSON])
            for place in self._moments:
                if values[place] is not None:
                    values[place] = parse(values[place])
        return found

    def _rows(
        self, connection: sa.Connection, visitors: list[str], span: dict[str, Any]
    ) -> Iterator[Sequence[Any]]:
        for start in range(0, len(visitors), _LOOKED_UP_AT_ONCE[-1]):
            part = visitors[start : start + _LOOKED_UP_AT_ONCE[-1]]
            count = next(c for c in _LOOKED_UP_AT_ONCE if c >= len(part))
            # Filled up by repetition: one statement for few counts, each kept parsed.
            asked = {"visitors": part + part[-1:] * (count - len(part)), **span}
            yield from connection.execute(self._asked, asked)
