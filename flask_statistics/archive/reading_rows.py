"""What the host's database says about spans of time while the archive is built."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ..asking.constructs import STARTS
from ..changes import day_numbers
from .extracting import BOUNDARY, Extractor
from .opening import Host, read_pruned

if TYPE_CHECKING:
    import pyarrow as pa

_TRIES = 5


@dataclass(frozen=True)
class Found:
    """What the table holds of a span.

    :ivar numbers: the numbers of its days, read before the rows.
    :ivar pruned: the moment before which the table was pruned, the same before and after.
    """

    requests: pa.Table
    events: pa.Table
    numbers: Mapping[date, int]
    pruned: datetime | None


def find_rows(host: Host, begin: datetime, end: datetime) -> Found:
    """Read a span of whole seconds, as it was at one moment between two prunings."""
    for _ in range(_TRIES):
        with host.engine.connect() as connection:
            numbers = numbers_of(connection, host, begin, end)
            pruned = read_pruned(connection, host.tables)
        with host.engine.connect() as connection:
            extractor = Extractor(connection, host.model, host.tables)
            requests, events = extractor.requests(begin, end), extractor.events(begin, end)
        with host.engine.connect() as connection:
            if read_pruned(connection, host.tables) == pruned:
                break
    return Found(requests, events, numbers, pruned)


def find_each(
    host: Host, spans: Sequence[tuple[datetime, datetime]], *, ahead: bool
) -> Generator[Found, None, None]:
    """Give what :func:`find_rows` finds of each span, one after the other.

    :param ahead: whether to read the next span, on a thread, while the caller works on one: about
        twice as fast where there are two processors, for the memory of one span more. To be
        closed, then.
    """
    if not ahead or len(spans) < 2:
        for span in spans:
            yield find_rows(host, *span)
        return
    with ThreadPoolExecutor(1, "flask_statistics reader") as executor:
        waiting = deque([executor.submit(find_rows, host, *spans[0])])
        for span in spans[1:]:
            waiting.append(executor.submit(find_rows, host, *span))
            yield waiting.popleft().result()
        yield waiting.popleft().result()


def numbers_of(
    connection: sa.Connection, host: Host, begin: datetime, end: datetime
) -> dict[date, int]:
    """Return the numbers of the days of a half-open span."""
    last = (end - timedelta(microseconds=1)).date()
    return day_numbers(connection, host.tables, begin.date(), last)


def count_days(host: Host, begin: datetime, end: datetime) -> dict[date, int]:
    """Return how many requests each day of a span has."""
    return {
        _date(start): count for start, count in _count(host, begin, end, "day") if start is not None
    }


def count_hours(host: Host, day: date) -> dict[int, int]:
    """Return how many requests each hour of a day has."""
    begin = datetime.combine(day, time.min)
    counted = _count(host, begin, begin + timedelta(days=1), "hour")
    return {int(str(start)[11:13]): count for start, count in counted}


def _count(host: Host, begin: datetime, end: datetime, unit: str) -> list[Any]:
    date = host.model.columns["date"]
    start = STARTS[unit](date)
    conditions = [date < sa.literal(end, BOUNDARY)]
    if begin > datetime.min:
        conditions.append(date >= sa.literal(begin, BOUNDARY))
    with host.engine.connect() as connection:
        counted = sa.select(start, sa.func.count()).where(*conditions).group_by(start)
        return list(connection.execute(counted))


def _date(start: Any) -> date:
    return date.fromisoformat(str(start)[:10])
