"""Databases that random models are made in, filled and emptied again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from flask_statistics.asking.answers import Answers
from flask_statistics.asking.query import Period
from flask_statistics.asking.source import Source, table_source
from flask_statistics.changes import write_state
from flask_statistics.model import Model
from flask_statistics.tables import Tables, declare_tables

from .batches import Batch
from .events import visit_rows
from .models import CASE_BLIND

_EVER = Period(date(1950, 1, 1), date(2050, 1, 1), ZoneInfo("UTC"))


class Database:
    """One database with the tables of ours; those of the models come and go."""

    def __init__(self, url: str) -> None:
        self.engine = sa.create_engine(url)
        self.tables: Tables = declare_tables(sa.MetaData())
        with self.engine.begin() as connection:
            if self.dialect == "postgresql":
                connection.exec_driver_sql(
                    f"CREATE COLLATION {CASE_BLIND} "
                    "(provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
                )
            self.tables.visit.metadata.create_all(connection)
            write_state(connection, self.tables, "visits", "complete")

    @property
    def dialect(self) -> str:
        return self.engine.dialect.name

    @contextmanager
    def holding(self, batch: Batch) -> Iterator[dict[str, Answers]]:
        """Store a batch, and give what answers about it: by the requests alone, or with the
        tables of visits and events."""
        metadata = sa.MetaData()
        model = batch.layout.model(metadata)
        metadata.create_all(self.engine)
        try:
            self._store(batch, model.table)
            complete = table_source(self.engine, model, self.tables)
            computed = _without_visits(complete)
            sources = {"complete": complete if batch.has_visits else computed, "computed": computed}
            sources["bare"] = table_source(self.engine, model)
            yield {name: _answers(source, model) for name, source in sources.items()}
        finally:
            metadata.drop_all(self.engine)

    def _store(self, batch: Batch, table: sa.Table) -> None:
        data = batch.kept(self.dialect)
        visits = visit_rows(data, _EVER) if batch.has_visits else []
        ours = {self.tables.event: batch.events, self.tables.visit: visits}
        with self.engine.begin() as connection:
            for name, rows in ours.items():
                connection.execute(sa.delete(name))
                if rows:
                    connection.execute(sa.insert(name), rows)
            if data.rows:
                connection.execute(sa.insert(table), batch.layout.stored(data.rows))


def _answers(source: Source, model: Model) -> Answers:
    return Answers(lambda: source, model)


def _without_visits(source: Source) -> Source:
    def holds(connection: sa.Connection) -> set[str]:
        return set(source.holds(connection)) - {"visits"}

    return replace(source, holds=holds)
