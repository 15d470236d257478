"""Response times by steps, fine where most of them are, so that few rows need be sorted."""

from __future__ import annotations

import sqlalchemy as sa

from .metrics import Expression


def step_of(value: Expression) -> Expression:
    """Return a whole number that never falls where a value, in seconds, rises."""
    return sa.case(
        (value < 0, -1),
        (value < 0.02, sa.cast(value * 10_000, sa.Integer)),
        (value < 1, 200 + sa.cast(value * 500, sa.Integer)),
        (value < 1000, 700 + sa.cast(value * 10, sa.Integer)),
        else_=sa.literal_column("20000"),
    )
