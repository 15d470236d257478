"""What is added up of a day: rows of ``statistics_total``; see :mod:`.asking.totals`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from time import perf_counter, sleep
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from . import changes
from .asking.constructs import STARTS, exact
from .asking.daily_totals import (
    ALL,
    DAY,
    any_returns,
    dimensions_of,
    layout_of,
    parts_of,
    stepped_of,
)
from .asking.metrics import Columns, Expression
from .asking.period import Period
from .asking.query import Query
from .asking.selection import Rows, Selection
from .asking.source import table_source
from .asking.steps import step_of
from .asking.totals import HOURS, OF_TIME, PARTS, STEPS
from .model import Model
from .tables import Tables

#: Values of a dimension that a day may have; of more, as of made-up referrers, sums help nobody.
MOST_VALUES = 5_000
#: Seconds after a statement, as long as it took itself, in which the host may write.
_LONGEST_REST = 0.25
_UTC = ZoneInfo("UTC")
#: Parts of hours that are not computed as those of values are.
_OTHERWISE = ("last", "visitors")


class Host(Protocol):
    """What is needed of an app's state."""

    model: Model
    tables: Tables


def rows_of_day(connection: sa.Connection, host: Host, first: datetime) -> list[dict[str, Any]]:
    """Return what is to be stored of a day.

    Where visitors return on other days, or a dimension has too many values, nothing of the day
    is ever added; then it is only noted that it was read.
    """
    model, day = host.model, first.date()
    same = {
        "first": first,
        "last": first + DAY - datetime.resolution,
        "change": changes.day_numbers(connection, host.tables, day, day).get(day, 0),
    }
    every = list(_figures(connection, model, first, ALL))
    figures = []
    apart = not any_returns(connection, model, (first, first + DAY))
    for name in dimensions_of(model) if apart else ():
        began = perf_counter()
        found = list(_figures(connection, model, first, name))
        _rest(connection, perf_counter() - began)
        if len(found) > MOST_VALUES:
            return [same | {"apart": False} | row for row in every]
        figures += found
    figures += _hours(connection, model, first) if apart else ()
    steps = _steps_of_all(connection, model, first) if apart else []
    nothing = dict.fromkeys(every[0])
    figures += [nothing | row for rows in steps for row in rows]
    every = [row | {"number": len(steps)} for row in every]
    return [same | {"apart": apart} | row for row in (*every, *figures)]


def _figures(
    connection: sa.Connection, model: Model, first: datetime, name: str
) -> Iterator[dict[str, Any]]:
    """Yield a row for each value of a dimension, of people and of bots."""
    keys, columns, requests = _requests(connection, model, first, name)
    parts, person = parts_of(model), _person(columns)
    named = (PARTS[part](columns).label(part) for part in parts)
    statement = sa.select(*keys, person, *named).select_from(requests).group_by(*keys, person)
    for row in connection.execute(statement.limit(MOST_VALUES + 1)).mappings():
        key = row["key_0"] if keys else None
        of_number = isinstance(key, int)
        yield {
            "dimension": name,
            "person": bool(row["person"]),
            "number": key if of_number else None,
            "text": layout_of(model) if name == ALL else None if of_number else key,
            "last_seen": row["last"],
            **{part: _plain(part, row[part]) for part in parts if part != "last"},
        }


def _hours(connection: sa.Connection, model: Model, first: datetime) -> Iterator[dict[str, Any]]:
    """Yield a row for each hour, of people and of bots, as :data:`~.asking.totals.HOURS` says."""
    _, columns, requests = _requests(connection, model, first, ALL)
    parts = [part for part in parts_of(model) if part not in _OTHERWISE]
    by = [STARTS["hour"](columns["date"]).label("hour"), _person(columns)]
    named = (PARTS[part](columns).label(part) for part in parts)
    figures = sa.select(*by, *named).select_from(requests).group_by(*by)
    began = _visitors_by_hour(connection, columns, requests, sa.func.min)
    ended = _visitors_by_hour(connection, columns, requests, sa.func.max)
    for row in connection.execute(figures).mappings():
        key = str(row["hour"]), bool(row["person"])
        yield {
            "dimension": HOURS,
            "person": key[1],
            "text": None,
            "last_seen": first.replace(hour=int(key[0][11:13])),
            "visitors": began.get(key, 0),
            "number": ended.get(key, 0),
            **{part: _plain(part, row[part]) for part in parts},
        }


def _visitors_by_hour(
    connection: sa.Connection, columns: Columns, requests: sa.FromClause, of: Any
) -> dict[tuple[str, bool], int]:
    """Return how many visitors were first, or last, there in which hour: by hour and person."""
    who, moment = exact(columns["visitor"]), of(columns["date"]).label("moment")
    known = sa.select(_person(columns), moment).select_from(requests).where(who.is_not(None))
    each = known.group_by(who, _person(columns)).subquery()
    by: list[Expression] = [STARTS["hour"](each.c.moment), each.c.person]
    found = connection.execute(sa.select(*by, sa.func.count()).group_by(*by))
    return {(str(row[0]), bool(row[1])): row[2] for row in found}


def _steps_of_all(
    connection: sa.Connection, model: Model, first: datetime
) -> list[list[dict[str, Any]]]:
    """Return the requests by steps of response times, of as many dimensions as have few rows."""
    found = []
    for name in stepped_of(model):
        began = perf_counter()
        found.append(list(_steps(connection, model, first, name)))
        _rest(connection, perf_counter() - began)
        if len(found[-1]) > MOST_VALUES:
            return found[:-1]
    return found


def _steps(
    connection: sa.Connection, model: Model, first: datetime, name: str
) -> Iterator[dict[str, Any]]:
    """Yield a row for each value of a dimension and step of response times that it has."""
    keys, columns, requests = _requests(connection, model, first, name)
    value, person = columns["response_time"], _person(columns)
    by = [*keys, person, step_of(value).label("step")]
    counted = sa.select(*by, sa.func.count().label("hits")).select_from(requests)
    counted = counted.where(value.is_not(None)).group_by(*by).limit(MOST_VALUES + 1)
    for row in connection.execute(counted).mappings():
        yield {
            "dimension": STEPS + name,
            "person": bool(row["person"]),
            "text": row["key_0"] if keys else None,
            "number": row["step"],
            "hits": row["hits"],
        }


def _requests(connection: sa.Connection, model: Model, first: datetime, name: str) -> Rows:
    """Return the requests of a day by the values of a dimension."""
    query = Query(
        Period(first.date(), first.date(), _UTC),
        group_by=(name,) if name else (),
        include_bots="1",
    )
    return Selection(table_source(connection.engine, model), query).rows()


def _person(columns: Columns) -> Expression:
    person = columns["bot"].is_(None) if "bot" in columns else sa.true()
    return person.label("person")


def _rest(connection: sa.Connection, taken: float) -> None:
    """Let the host write between two statements, which SQLite without WAL lets it only then."""
    if connection.dialect.name == "sqlite":
        sleep(min(taken, _LONGEST_REST))


def _plain(part: str, value: Any) -> int | float | None:
    """Return a figure as every driver takes it: PostgreSQL and MariaDB give decimals of sums."""
    if value is None:
        return None
    return float(value) if part in OF_TIME else int(value)
