"""Figures and values as answers hold them: what JSON has, and nothing of a driver's own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, datetime, time, timezone
from decimal import Decimal
from typing import Any

from .metrics import Metric
from .period import LABEL_LENGTH, Bucket

Number = int | float | None


def bucket_key(key: tuple[Any, ...], length: str) -> tuple[str, int]:
    segment = key[1] if length == "hour" else 0
    return str(key[0])[: LABEL_LENGTH[length]], int(segment)


def points(
    buckets: Sequence[Bucket],
    metrics: tuple[Metric, ...],
    found: dict[tuple[str, int], dict[str, Any]],
) -> list[dict[str, Any]]:
    return [
        {"start": start, **figures(metrics, found.get((label, segment), {}))}
        for label, segment, start in buckets
    ]


def json_key(key: tuple[Any, ...]) -> Any:
    return json_value(key[0]) if len(key) == 1 else [json_value(value) for value in key]


def figures(metrics: tuple[Metric, ...], values: dict[str, Any]) -> dict[str, Number]:
    return {metric.name: _figure(metric, values.get(metric.name)) for metric in metrics}


def _figure(metric: Metric, value: Any) -> Number:
    if value is None:
        return 0 if metric.count or metric.total else None
    return int(value) if metric.count else float(value)


def json_value(value: Any) -> Any:
    """Return a column's value as JSON has it: moments as ISO 8601 in UTC, all else as text; that
    of a column of JSON as it is."""
    if isinstance(value, datetime):
        utc = value.astimezone(timezone.utc).replace(tzinfo=None) if value.tzinfo else value
        return utc.isoformat() + "Z"
    if isinstance(value, Decimal):
        value = int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str | dict | list):
        return value
    return value.isoformat() if isinstance(value, date | time) else str(value)
