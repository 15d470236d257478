"""The figures of a span by the hour, and its requests by steps of their response times.

With the first ones a chart need not read requests, although its days are not those of segments;
with the second ones percentiles of all need sort few of them (DuckDB finds those of groups faster
without). See :mod:`flask_statistics.asking.totals`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from .schema import arrow

if TYPE_CHECKING:
    import pyarrow as pa

#: Spans that are longer lie in more days than hours could tell apart.
_LONGEST = timedelta(days=3)


def hours_of(rows: pa.Table, added_up: Any, who: str) -> Mapping[str, Any]:
    """Return the figures of each hour: ``last_seen`` is the hour, ``visitors`` are those first
    there in it, ``number`` those last there in it. Nothing of long spans.

    :param rows: as :func:`.totals.totals_of` makes them; ``who`` numbers visitors.
    :param added_up: adds up the rows of each combination of keys.
    """
    pa = arrow()
    moments = rows["last_seen"]
    if pa.compute.max(moments).as_py() - pa.compute.min(moments).as_py() > _LONGEST:
        return {}
    hours = pa.compute.floor_temporal(moments, unit="hour")
    figures = added_up(rows.append_column("hour", hours), ["hour", "person"])
    keys = list(zip(*(figures[name].to_pylist() for name in ("hour", "person")), strict=True))
    met = pa.table({"who": rows[who], "person": rows["person"], "hour": hours})
    met = met.filter(pa.compute.is_valid(met["who"])).group_by(["who", "person"])
    spans = met.aggregate([("hour", "min"), ("hour", "max")])
    there = {}
    for name, bound in (("visitors", "hour_min"), ("number", "hour_max")):
        counted = spans.group_by([bound, "person"]).aggregate([([], "count_all")]).to_pylist()
        by_hour = {(row[bound], row["person"]): row["count_all"] for row in counted}
        there[name] = pa.array([by_hour.get(key, 0) for key in keys], pa.int64())
    found = {name: figures[name] for name in figures.column_names if name != "hour"}
    return found | {"last_seen": figures["hour"]} | there


def steps_of(rows: pa.Table) -> Mapping[str, Any]:
    """Return how many requests there are of each step of response times: ``number``, ``hits``."""
    pa = arrow()
    steps = pa.table({"person": rows["person"], "step": _step(rows["response_time_sum"])})
    known = steps.filter(pa.compute.is_valid(steps["step"]))
    counted = known.group_by(["person", "step"]).aggregate([([], "count_all")])
    return {
        "person": counted["person"],
        "number": counted["step"],
        "hits": counted["count_all"],
    }


def _step(micro: Any) -> Any:
    """Return what :func:`~flask_statistics.asking.steps.step_of` does, of microseconds."""
    pa = arrow()
    compute = pa.compute

    def whole(number: int) -> Any:
        return pa.scalar(number, pa.int64())

    def part(base: int, width: int) -> Any:
        return compute.add(compute.divide(micro, whole(width)), whole(base))

    step = pa.repeat(whole(20_000), len(micro))
    for below, found in (
        (1_000_000_000, part(700, 100_000)),
        (1_000_000, part(200, 2000)),
        (20_000, part(0, 100)),
        (0, whole(-1)),
    ):
        step = compute.if_else(compute.less(micro, whole(below)), found, step)
    return compute.if_else(compute.is_valid(micro), step, pa.scalar(None, pa.int64()))
