"""Exact percentiles without sorting all rows.

Response times are first counted by coarse steps, which tells in which step a percentile lies and
how many rows are below it. Then the rows of those steps only are sorted: some per cent of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from .cells import tally
from .copied import Copy
from .metrics import Expression, Metric
from .selection import Selection
from .steps import step_of
from .totals import Totals

Key = tuple[Any, ...]
#: More groups would make too long a statement of conditions.
_MOST_GROUPS = 60


def find_percentiles(
    connection: sa.Connection, selection: Selection, metrics: Sequence[Metric]
) -> dict[Key, dict[str, Any]] | None:
    """Return the percentiles of each group by nearest rank; None where the groups are too many."""
    cells = selection.tables.cells
    if isinstance(cells, Copy):
        return cells.percentiles(connection, selection, metrics)
    known = cells.steps(selection) if isinstance(cells, Totals) else None
    columnar = selection.tables.columnar
    if selection.bucket or (columnar and known is None):
        return None
    keys, columns, rows = selection.rows()
    value = columns["response_time"]
    timed = sa.select(
        *_named(keys), value.label("value"), step_of(value, columnar=columnar).label("step")
    )
    timed = timed.where(value.is_not(None)).select_from(rows)
    counts = _counts(connection, selection, timed.subquery(), known)
    if len(counts) > _MOST_GROUPS:
        return None
    wanted = {key: _places(steps, metrics) for key, steps in counts.items()}
    found: dict[Key, dict[str, Any]] = {key: {} for key in wanted}
    if wanted:
        for *key, step, place, figure in connection.execute(_placed(timed.subquery(), wanted)):
            for name in wanted[tuple(key)].get((step, place), ()):
                found[tuple(key)][name] = figure
    return found


def _named(keys: Sequence[Expression]) -> list[Expression]:
    return [key.label(f"key_{number}") for number, key in enumerate(keys)]


def _counts(
    connection: sa.Connection,
    selection: Selection,
    timed: sa.Subquery,
    known: sa.Select[Any] | None,
) -> dict[Key, list[tuple[int, int]]]:
    """Return how many values each group has in which step, in order."""
    if known is not None:
        rows = [tuple(row) for row in connection.execute(known)]
    else:
        by = [column for column in timed.c if column.name.startswith("key_")]
        rows = tally(connection, timed, [*by, timed.c.step])
    shown = None if selection.shown is None else set(selection.shown)
    found: dict[Key, list[tuple[int, int]]] = {}
    for *key, number, amount in rows:
        if shown is None or tuple(key) in shown:
            found.setdefault(tuple(key), []).append((number, int(amount)))
    return {key: sorted(steps) for key, steps in found.items()}


def _places(
    steps: Sequence[tuple[int, int]], metrics: Sequence[Metric]
) -> dict[tuple[int, int], list[str]]:
    """Return step and place in it of each percentile of a group, with the metrics' names."""
    total = sum(amount for _, amount in steps)
    found: dict[tuple[int, int], list[str]] = {}
    for metric in metrics:
        below, rank = 0, -(-total * _percent(metric) // 100)
        for step, amount in steps:
            if below + amount >= rank:
                found.setdefault((step, rank - below), []).append(metric.name)
                break
            below += amount
    return found


def _percent(metric: Metric) -> int:
    return int(metric.name.rpartition("_p")[2])


def _placed(
    timed: sa.Subquery, wanted: dict[Key, dict[tuple[int, int], list[str]]]
) -> sa.Select[Any]:
    """Return the statement for group, step, place in the step, and value of what is wanted."""
    by = [column for column in timed.c if column.name.startswith("key_")]
    of_steps = [
        _is(by, key, timed.c.step.in_(sorted({step for step, _ in places})))
        for key, places in wanted.items()
    ]
    place = sa.func.row_number().over(partition_by=[*by, timed.c.step], order_by=timed.c.value)
    placed = sa.select(*by, timed.c.step, place.label("place"), timed.c.value)
    # Few rows lie in any of the steps, so that the other conditions cost next to nothing.
    in_any = timed.c.step.in_(sorted({step for places in wanted.values() for step, _ in places}))
    placed_rows = placed.where(in_any, sa.or_(*of_steps)).subquery()
    columns = placed_rows.c
    among = [
        sa.and_(columns.step == step, columns.place == number)
        for step, number in sorted({at for places in wanted.values() for at in places})
    ]
    return sa.select(placed_rows).where(sa.or_(*among))


def _is(by: Sequence[Expression], key: Key, condition: Expression) -> Expression:
    parts = (
        column.is_(None) if value is None else column == value
        for column, value in zip(by, key, strict=True)
    )
    return sa.and_(*parts, condition)
