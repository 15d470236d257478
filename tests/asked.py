"""What tests of answers share: a model with every column and our tables, rows, and sources."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase

from flask_statistics.asking.answers import Answers
from flask_statistics.asking.source import Source, table_source
from flask_statistics.changes import write_state
from flask_statistics.fields import BY_NAME
from flask_statistics.mixin import RequestMixin
from flask_statistics.model import Model
from flask_statistics.tables import declare_tables

Row = dict[str, Any]
NOON = datetime(2024, 5, 17, 12)
#: What makes a request a page view.
VIEW = {"method": "GET", "status_code": 200, "mimetype": "text/html"}


class Base(DeclarativeBase):
    pass


class Request(RequestMixin, Base):
    __tablename__ = "request"


TABLES = declare_tables(Base.metadata)


def model_of(orm: type[Any]) -> Model:
    table = orm.__table__
    columns = {name: table.c[name] for name in BY_NAME if name in table.c}
    return Model(orm, table, next(iter(table.primary_key)), columns, dict(table.c))


MODEL = model_of(Request)


def answers_about(engine: sa.Engine, *, visits: bool = True, model: Model = MODEL) -> Answers:
    """Return what answers; without ``visits`` all visits are computed from the requests."""

    def source() -> Source:
        found = table_source(engine, model, TABLES)
        return found if visits else replace(found, visits=None)

    return Answers(source, model)


def store(engine: sa.Engine, rows: Iterable[Row], events: Iterable[Row] = ()) -> None:
    """Store requests and events in place of all that is there, and the visits that they make."""
    rows = [{"id": n, "date": NOON, **row} for n, row in enumerate(rows, start=1)]
    events = [{"id": n, "date": NOON, "person": True, **row} for n, row in enumerate(events, 1)]
    with engine.begin() as connection:
        for table in (MODEL.table, TABLES.event, TABLES.visit):
            connection.execute(sa.delete(table))
        for table, stored in (
            (MODEL.table, rows),
            (TABLES.event, events),
            (TABLES.visit, make_visits(rows, events)),
        ):
            for row in stored:
                connection.execute(sa.insert(table), row)
        write_state(connection, TABLES, "visits", "complete")


def make_visits(rows: Iterable[Row], events: Iterable[Row]) -> list[Row]:
    """Return the rows of the table of visits, as :mod:`flask_statistics.tables` describes them."""
    found: dict[tuple[str, bool], list[tuple[datetime, int, str, Row]]] = {}
    for row in rows:
        if row.get("visit") is not None:
            key = row["visit"], row.get("bot") is None
            is_view = row.get("method") == "GET" and row.get("mimetype") == "text/html"
            is_view = is_view and row.get("status_code") in {*range(200, 300), 304}
            kind = "view" if is_view else "request"
            found.setdefault(key, []).append((row["date"], row["id"], kind, row))
    for event in events:
        if event.get("visit") is not None:
            key = event["visit"], event["person"]
            found.setdefault(key, []).append((event["date"], 0, "event", event))
    return [_visit(*key, sorted(of, key=_order)) for key, of in found.items()]


def _order(entry: tuple[datetime, int, str, Row]) -> tuple[datetime, int]:
    return entry[:2]


def _visit(name: str, person: bool, entries: list[tuple[datetime, int, str, Row]]) -> Row:
    views = [entry for entry in entries if entry[2] == "view"]
    both = [entry for entry in entries if entry[2] != "request"]
    return {
        "visit": name,
        "person": person,
        "visitor": "",
        "began": entries[0][0],
        "ended": entries[-1][0],
        "first": both[0][0] if both else None,
        "last": both[-1][0] if both else None,
        "entry_date": views[0][0] if views else None,
        "exit_date": views[-1][0] if views else None,
        "entry_path": views[0][3].get("path") if views else None,
        "exit_path": views[-1][3].get("path") if views else None,
        "hits": sum(entry[2] != "event" for entry in entries),
        "page_views": len(views),
        "events": sum(entry[2] == "event" for entry in entries),
    }
