"""Response times by steps, fine where most of them are, so that few rows need be sorted."""

from __future__ import annotations

import sqlalchemy as sa

from .metrics import Expression


def step_of(value: Expression, *, columnar: bool = False) -> Expression:
    """Return a whole number that never falls where a value, in seconds, rises.

    :param columnar: count from whole microseconds, as archives do; the host's databases round
        in their own ways, which is no matter where one of them counts and looks for steps.
    """
    if columnar:
        micro = sa.cast(sa.func.round(value * 1_000_000), sa.BigInteger)
        return sa.case(
            (micro < 0, -1),
            (micro < 20_000, micro.op("//")(100)),
            (micro < 1_000_000, 200 + micro.op("//")(2000)),
            (micro < 1_000_000_000, 700 + micro.op("//")(100_000)),
            else_=sa.literal_column("20000"),
        )
    return sa.case(
        (value < 0, -1),
        (value < 0.02, sa.cast(value * 10_000, sa.Integer)),
        (value < 1, 200 + sa.cast(value * 500, sa.Integer)),
        (value < 1000, 700 + sa.cast(value * 10, sa.Integer)),
        else_=sa.literal_column("20000"),
    )
