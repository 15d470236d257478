"""A question as an immutable value: built from a URL or in Python, printable back to the URL.

No SQL here: :mod:`flask_statistics.asking.answers` compiles it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ..errors import QueryError
from .filters import (
    LONGEST_PATTERNS,
    MOST_PROPERTIES,
    MOST_VALUES,
    PROPERTY,
    Filter,
    read_dimensions,
    read_filter,
    shown,
)
from .period import Period, check_bucket

__all__ = ["DEFAULT_LIMIT", "PARAMETERS", "Filter", "Period", "Query", "query_from_args"]

#: Rows of a list when the query names no limit.
DEFAULT_LIMIT = 100
MOST_ROWS = 1000
#: The highest page: its offset fits into 64 bits with any limit.
LAST_PAGE = 10**9
_LAST_OFFSET = LAST_PAGE * MOST_ROWS
#: The parameters of a URL that are not filters.
PARAMETERS = frozenset(
    {
        *("start", "end", "compare", "tz", "bots", "interval", "group"),
        *("limit", "page", "offset", "sort", "metric"),
    }
)

Bots = Literal["0", "1", "only"]
_BOTS: dict[str, Bots] = {"0": "0", "1": "1", "only": "only"}
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_WHOLE = re.compile(r"[0-9]{1,19}")
_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,40}(?:/[A-Za-z0-9_+-]{1,40}){0,2}")


@dataclass(frozen=True)
class Query:
    """What is asked.

    :ivar period: the days, in the zone of the reader.
    :ivar filters: conditions that all hold.
    :ivar group_by: one or two dimensions of a breakdown.
    :ivar metrics: names of metrics; none stands for all that the model allows.
    :ivar bucket: hour, day, week (from Monday), week-sunday, month or year; None lets the period
        choose.
    :ivar order: a metric's name, descending with a leading ``-``.
    :ivar limit: rows at most; None stands for :data:`DEFAULT_LIMIT`.
    :ivar offset: rows that are skipped.
    :ivar include_bots: None counts bots in metrics of requests and leaves them out of metrics
        of people; "0" leaves them out of all, "1" counts them in all, "only" counts only them.
    :ivar time_zone: the zone of the period's days; None stands for that which the period has.
    """

    period: Period
    filters: tuple[Filter, ...] = ()
    group_by: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    bucket: str | None = None
    order: str | None = None
    limit: int | None = None
    offset: int = 0
    include_bots: Bots | None = None
    time_zone: ZoneInfo = None  # type: ignore[assignment]  # never None once it is made

    def __post_init__(self) -> None:
        zone = self.time_zone or self.period.zone
        object.__setattr__(self, "time_zone", zone)
        object.__setattr__(self, "period", replace(self.period, zone=zone))

    @property
    def page(self) -> int:
        """The number of the page that the offset begins, from 1."""
        return self.offset // (self.limit or DEFAULT_LIMIT) + 1

    @property
    def dimensions(self) -> frozenset[str]:
        """Every dimension that it filters or groups by; see ``fields.PERSONAL``."""
        return frozenset((*self.group_by, *(condition.dimension for condition in self.filters)))

    def replace(self, **changes: Any) -> Query:
        """Return a copy with other values: ``query.replace(group_by=("path",), limit=10)``."""
        if "period" in changes:  # which brings its own zone
            changes = {"time_zone": None} | changes
        return replace(self, **changes)

    def where(self, dimension: str, *values: str) -> Query:
        """Return a copy whose filter on ``dimension`` has these values; without any, none."""
        others = tuple(kept for kept in self.filters if kept.dimension != dimension)
        return self.replace(filters=(*others, Filter(dimension, values)) if values else others)

    def to_args(self) -> list[tuple[str, str]]:
        """Return the parameters of a URL, which :func:`query_from_args` reads back.

        What they cannot say is that a period ends early (:attr:`Period.until`).
        """
        is_page = self.offset % (self.limit or DEFAULT_LIMIT) == 0
        given = {
            "start": self.period.start.isoformat(),
            "end": self.period.end.isoformat(),
            "tz": self.time_zone.key,
            "group": ",".join(self.group_by) or None,
            "bots": self.include_bots,
            "interval": self.bucket,
            "sort": self.order,
            "limit": None if self.limit is None else str(self.limit),
            "page": str(self.page) if self.offset and is_page else None,
            "offset": None if is_page else str(self.offset),
        }
        args = [(name, value) for name, value in given.items() if value is not None]
        args += [("metric", metric) for metric in self.metrics]
        return args + [
            (condition.dimension, value) for condition in self.filters for value in condition.values
        ]


def query_from_args(
    args: Mapping[str, str] | Iterable[tuple[str, str]],
    *,
    model_columns: Collection[str],
    zone: ZoneInfo,
    default_span: timedelta,
    now: datetime,
    ignore: Collection[str] = (),
) -> tuple[Query, Period | None]:
    """Read the parameters of a URL: return the query, and the period to compare it with.

    :param args: pairs of name and value, or Werkzeug's ``request.args``.
    :param model_columns: the fields that the host's model has.
    :param zone: the zone of days, unless the parameters name one.
    :param default_span: the default range is today minus this to today, both included.
    :param now: an aware moment, or a naive one in UTC.
    :param ignore: names of the caller's own parameters.
    :raises QueryError: for whatever cannot be read; it names the parameter.
    """
    single, filters = _sort_out(_pairs(args), ignore)
    for condition in filters:
        read_filter(condition, model_columns)
    zone = _read_zone(single) or zone
    aware = now if now.tzinfo else now.replace(tzinfo=timezone.utc)
    period = _read_period(single, aware.astimezone(zone).date(), default_span, zone)
    limit = _whole(single, "limit", MOST_ROWS)
    bucket = _one(single, "interval")
    if bucket is not None:
        check_bucket(bucket)
    query = Query(
        period=period,
        filters=filters,
        group_by=_read_group(single, model_columns),
        metrics=tuple(dict.fromkeys(filter(None, single.get("metric", [])))),
        bucket=bucket,
        order=_one(single, "sort"),
        limit=limit,
        offset=_read_offset(single, limit or DEFAULT_LIMIT),
        include_bots=_read_bots(single),
    )
    return query, _read_comparison(single, period)


def _pairs(args: Mapping[str, str] | Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    if hasattr(args, "getlist"):  # a MultiDict gives only first values unless asked for all
        return args.items(multi=True)  # type: ignore[union-attr,call-arg]
    return args.items() if isinstance(args, Mapping) else args


def _sort_out(
    pairs: Iterable[tuple[str, str]], ignore: Collection[str]
) -> tuple[dict[str, list[str]], tuple[Filter, ...]]:
    single: dict[str, list[str]] = {}
    filters: dict[str, list[str]] = {}
    count = patterns = 0
    for name, value in pairs:
        if name in PARAMETERS:
            single.setdefault(name, []).append(value)
        elif name not in ignore:
            filters.setdefault(name, []).append(value)
            count += 1
            if count > MOST_VALUES:
                raise QueryError(name[:60], f"there are more than {MOST_VALUES} filter values")
            patterns += len(value) if "*" in value else 0
            if patterns > LONGEST_PATTERNS:
                raise QueryError(
                    name[:60],
                    f"all patterns together are longer than {LONGEST_PATTERNS} characters",
                )
    if sum(name.startswith(PROPERTY) for name in filters) > MOST_PROPERTIES:
        raise QueryError(PROPERTY, f"there are filters of more than {MOST_PROPERTIES} properties")
    return single, tuple(Filter(name, tuple(values)) for name, values in filters.items())


def _one(single: dict[str, list[str]], name: str) -> str | None:
    """Return the value of a parameter; an empty one, as forms send it, is none."""
    values = single.get(name, [])
    if len(values) > 1:
        raise QueryError(name, f"is given {len(values)} times")
    return values[0] or None if values else None


def _whole(single: dict[str, list[str]], name: str, highest: int) -> int | None:
    text = _one(single, name)
    if text is None:
        return None
    if not _WHOLE.fullmatch(text) or not 1 <= int(text) <= highest:
        raise QueryError(name, f"{shown(text)} is not a whole number between 1 and {highest}")
    return int(text)


def _read_offset(single: dict[str, list[str]], limit: int) -> int:
    page, offset = _whole(single, "page", LAST_PAGE), _whole(single, "offset", _LAST_OFFSET)
    if page is not None and offset is not None:
        raise QueryError("offset", "page says already which rows are skipped")
    return offset or ((page or 1) - 1) * limit


def _read_group(single: dict[str, list[str]], columns: Collection[str]) -> tuple[str, ...]:
    text = _one(single, "group")
    return () if text is None else read_dimensions("group", text, columns)


def _read_zone(single: dict[str, list[str]]) -> ZoneInfo | None:
    name = _one(single, "tz")
    if name is None:
        return None
    try:
        if _ZONE.fullmatch(name):
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    raise QueryError("tz", f"{shown(name)} is not a time zone such as Europe/Berlin or UTC")


def _read_bots(single: dict[str, list[str]]) -> Bots | None:
    text = _one(single, "bots")
    if text is not None and text not in _BOTS:
        raise QueryError("bots", f"{shown(text)} is none of 0, 1, only")
    return None if text is None else _BOTS[text]


def _read_date(parameter: str, text: str) -> date:
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise QueryError(parameter, f"{shown(text)} is not a date such as 2024-01-31")


def _read_period(
    single: dict[str, list[str]], today: date, span: timedelta, zone: ZoneInfo
) -> Period:
    start, end = _one(single, "start"), _one(single, "end")
    last = today if end is None else _read_date("end", end)
    if start is not None:
        return Period(_read_date("start", start), last, zone)
    try:
        return Period(last - span, last, zone)
    except OverflowError:
        return Period(date.min, last, zone)


def _read_comparison(single: dict[str, list[str]], period: Period) -> Period | None:
    text = _one(single, "compare")
    if text is None:
        return period.previous()
    if text == "none":
        return None
    if text in {"previous", "year"}:
        found = period.previous() if text == "previous" else period.year_before()
        if found is None:
            raise QueryError("compare", f"what lies before {period.start} is before year 1")
        return found
    start, separator, end = text.partition("..")
    if not separator:
        raise QueryError("compare", f"{shown(text)} is none of previous, year, none, START..END")
    try:
        return Period(_read_date("compare", start), _read_date("compare", end), period.zone)
    except QueryError as error:
        raise QueryError("compare", str(error).partition(": ")[2]) from None
