"""The rows that become of custom events."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from ..privacy import Secrets, storable
from ..tables import Tables
from .event import LONGEST_JSON, Event, Property
from .inserting import Inserter
from .visitors import EPOCH
from .visits import TrackedRow


class EventTable:
    """Stores the events of rows.

    :param places: where each column stands in a row, by its name.
    """

    def __init__(
        self, engine: sa.Engine, tables: Tables, places: Mapping[str, int], secrets: Secrets
    ) -> None:
        table = tables.event
        columns = [column for column in table.columns if not column.primary_key]
        self._inserter = Inserter(engine, table, columns)
        self._secrets = secrets
        self._bot = places.get("bot")
        names = ("visitor", "visit", "date", "request_id", "path", "username", "site")
        lengths = [getattr(column.type, "length", None) for column in columns[3:10]]
        self._copied = [(places.get(n), length) for n, length in zip(names, lengths, strict=True)]

    def store(self, connection: sa.Connection, rows: Sequence[TrackedRow], *, polite: bool) -> None:
        """Insert the events of rows whose visits are set."""
        values = [value for row in rows for value in self._values(row)]
        if values:
            self._inserter.insert(connection, values, polite=polite)

    def _values(self, row: TrackedRow) -> Iterator[list[Any]]:
        """Yield the values of each event of a row, in the order of the table's columns."""
        of_request = [None if p is None else _cut(row[p], length) for p, length in self._copied]
        person = self._bot is None or row[self._bot] is None
        for moment, event in row.events:
            yield [
                moment,
                storable(event.name),
                person,
                *of_request,
                self._json(event.properties),
                event.revenue,
                event.currency,
            ]

    def _json(self, properties: Sequence[Property]) -> str | None:
        """Return the properties as JSON without secrets; too many of them lose their last."""
        redact = self._secrets.redact_text
        shown = {
            storable(name): redact(storable(value)) if isinstance(value, str) else value
            for name, value in properties
        }
        while len(text := json.dumps(shown, ensure_ascii=False)) > LONGEST_JSON:
            shown = dict(list(shown.items())[: len(shown) // 2])
        return text if shown else None


def _cut(value: Any, length: int | None) -> Any:
    return value[:length] if length and isinstance(value, str) else value


def dated(events: Sequence[Event]) -> list[tuple[datetime, Event]]:
    """Return events with their dates, UTC."""
    return [(EPOCH + timedelta(seconds=event.moment), event) for event in events]
