"""What is known of a visit, and which visit a request belongs to.

A visit is a longest run of a visitor's requests in which none is more than
``STATISTICS_VISIT_TIMEOUT`` seconds after the one before (30 minutes in Google Analytics and
Matomo, too). It is named after its visitor and the span of that many seconds in which one of its
requests came; two visits of a visitor never have a request in one span.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

from .visitors import EPOCH

#: Characters of a path that are kept with a visit: those of the column.
LONGEST_PATH = 1024
Row = list[Any]


class TrackedRow(list[Any]):
    """The row of a request with the events that were tracked in it.

    :ivar events: their dates, and what :mod:`.events` needs of them.
    :ivar alone: whether the request is not to be stored: it was before, or there was none.
    """

    __slots__ = ("alone", "events")

    def __init__(self, row: Iterable[Any], events: Sequence[Any], *, alone: bool = False) -> None:
        super().__init__(row)
        self.events = events
        self.alone = alone


def is_alone(row: Row) -> bool:
    """Whether a row only tells whose its events are."""
    return type(row) is TrackedRow and row.alone


@dataclass(slots=True)
class Visit:
    """A row of ``statistics_visit``, its columns in their order: see :mod:`..tables`."""

    visit: str
    person: bool
    visitor: str
    began: datetime
    ended: datetime
    first: datetime | None = None
    last: datetime | None = None
    entry_date: datetime | None = None
    exit_date: datetime | None = None
    entry_path: str | None = None
    exit_path: str | None = None
    hits: int = 0
    page_views: int = 0
    events: int = 0

    def add_request(self, moment: datetime, path: str | None, *, page_view: bool) -> None:
        """Count a request; of equal moments the one that is added later is the later one."""
        self.hits += 1
        if moment > self.ended:
            self.ended = moment
        elif moment < self.began:
            self.began = moment
        if not page_view:
            return
        self.page_views += 1
        if self.entry_date is None or moment < self.entry_date:
            self.entry_date, self.entry_path = moment, path and path[:LONGEST_PATH]
        if self.exit_date is None or moment >= self.exit_date:
            self.exit_date, self.exit_path = moment, path and path[:LONGEST_PATH]
        self._act(moment, moment)

    def add_event(self, moment: datetime) -> None:
        """Count an event."""
        self.events += 1
        self._act(moment, moment)

    def absorb(self, other: Visit) -> None:
        """Take over what is known of a visit that turned out to be a part of this one."""
        self.began, self.ended = min(self.began, other.began), max(self.ended, other.ended)
        self.hits += other.hits
        self.page_views += other.page_views
        self.events += other.events
        if other.entry_date and (self.entry_date is None or other.entry_date < self.entry_date):
            self.entry_date, self.entry_path = other.entry_date, other.entry_path
        if other.exit_date and (self.exit_date is None or other.exit_date >= self.exit_date):
            self.exit_date, self.exit_path = other.exit_date, other.exit_path
        if other.first and other.last:
            self._act(other.first, other.last)

    def _act(self, first: datetime, last: datetime) -> None:
        if self.first is None or first < self.first:
            self.first = first
        if self.last is None or last > self.last:
            self.last = last


COLUMNS = tuple(field.name for field in fields(Visit))
#: The values of a visit in the order of its columns.
values_of: Callable[[Visit], tuple[Any, ...]] = attrgetter(*COLUMNS)


class PageViews:
    """Tells of rows whether they are page views, as :func:`..asking.metrics.page_view` does.

    Whether a bot saw the page is not asked: people and bots have rows of their own.

    :param places: where each column stands in a row, by its name.
    """

    def __init__(self, places: Mapping[str, int]) -> None:
        self._method, self._status = places.get("method"), places.get("status_code")
        self._mimetype = places.get("mimetype")

    def holds(self, row: Sequence[Any]) -> bool:
        """Whether the request of this row viewed a page; False where that cannot be known."""
        if self._method is None or self._status is None or row[self._method] != "GET":
            return False
        if self._mimetype is not None and row[self._mimetype] != "text/html":
            return False
        status = row[self._status]
        return status is not None and (200 <= status <= 299 or status == 304)


@dataclass(slots=True)
class Run:
    """Requests of a visitor that belong together, and the visits that were known among them."""

    began: datetime
    ended: datetime
    rows: list[Row]
    known: list[str]


Span = tuple[datetime, datetime, str | None, Row | None]


def find_runs(spans: Iterable[Span], timeout: timedelta) -> list[Run]:
    """Return the runs of a visitor's requests and known visits.

    :param spans: of each its first and last moment, and the visit's name or the request's row.
    """
    runs: list[Run] = []
    for began, ended, name, row in sorted(spans, key=lambda span: span[0]):
        if not runs or began - runs[-1].ended > timeout:
            runs.append(Run(began, ended, [], []))
        run = runs[-1]
        run.ended = max(run.ended, ended)
        if row is not None:
            run.rows.append(row)
        if name is not None and name not in run.known:
            run.known.append(name)
    return runs


def name_visit(visitor: str, moment: datetime, timeout: timedelta) -> str:
    """Return the name of a visit in which a request came at this moment."""
    return f"{visitor}-{int((moment - EPOCH) / timeout):x}"
