"""What is known within a period: its requests, its events, and the visits that they make.

Written from ``docs/metrics.md`` and ``docs/query.md``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from flask_statistics.asking.query import Query

from .times import in_period

Row = dict[str, Any]
VIEW = {"method", "status_code"}


class Data(NamedTuple):
    """All that is stored: rows with ``id`` and ``date``, and events."""

    columns: frozenset[str]
    rows: list[Row]
    events: list[Row]


class Visit:
    """The page views and events of one visit within the period, each in order."""

    def __init__(self) -> None:
        self.views: list[Row] = []
        self.events: list[Row] = []

    @property
    def is_bounce(self) -> bool:
        return len(self.views) == 1 and not self.events

    @property
    def duration(self) -> float:
        """From its first to its last page view or event, in seconds."""
        moments = [row["date"] for row in self.views + self.events]
        return float((max(moments) - min(moments)).total_seconds())


class Facts:
    """What a query's period holds, whatever its filters."""

    def __init__(self, data: Data, query: Query) -> None:
        self.data = data
        self.columns = data.columns
        self.bots = query.include_bots
        self.events_of = self._link(data)
        self.rows = [
            row
            for row in sorted(data.rows, key=lambda row: (row["date"], row["id"]))
            if in_period(row["date"], query.period) and self._counts(row)
        ]
        self.events = [
            event
            for event in data.events
            if in_period(event["date"], query.period)
            and (self.bots == "1" or event["person"] == (self.bots != "only"))
        ]
        self.visits = self._visits()
        # A request that counts nowhere still tells of its events what they were tracked in.
        found = [row for row in data.rows if in_period(row["date"], query.period)]
        self.requests_of: dict[int, list[Row]] = {}
        for row in found:
            for event in self.events_of[row["id"]]:
                self.requests_of.setdefault(event["id"], []).append(row)

    def _link(self, data: Data) -> dict[int, list[Row]]:
        """Return the events that were tracked in each request: those with its date and name."""
        name = next((n for n in ("request_id", "visitor") if n in self.columns), "")
        tracked: dict[Any, list[Row]] = {}
        for event in data.events:
            if event["request_date"] is not None:
                key = event["request_date"], event.get(name) or ""
                tracked.setdefault(key, []).append(event)
        return {row["id"]: tracked.get((row["date"], row.get(name) or ""), []) for row in data.rows}

    def _counts(self, row: Row) -> bool:
        if "bot" not in self.columns or self.bots in {None, "1"}:
            return True
        return (row["bot"] is None) == (self.bots == "0")

    def is_person(self, row: Row) -> bool:
        return row.get("bot") is None or self.bots is not None

    def is_view(self, row: Row) -> bool:
        """Whether a request is a page view; never where the model cannot know."""
        return (
            self.columns >= VIEW
            and self.is_person(row)
            and row["method"] == "GET"
            and row["status_code"] in {*range(200, 300), 304}
            and row.get("mimetype", "text/html") == "text/html"
        )

    def _visits(self) -> dict[str, Visit]:
        """Return the visits with at least one page view or event."""
        found: dict[str, Visit] = {}
        if "visit" not in self.columns:
            return found
        for row in filter(self.is_view, self.rows):
            if row["visit"] is not None:
                found.setdefault(row["visit"], Visit()).views.append(row)
        for event in self.events:
            if event["visit"] is not None:
                found.setdefault(event["visit"], Visit()).events.append(event)
        return found

    # -- dimensions --------------------------------------------------------------------------

    def values(self, row: Row, dimension: str) -> list[Any]:
        """Return what a request has of a dimension: nothing, one value, or one of each event."""
        events = self.events_of[row["id"]]
        if dimension == "event":
            found = [event["name"] for event in events]
        elif dimension.startswith("prop."):
            found = [self.variable(row, dimension)]
            found += [own_value(event, dimension) for event in events]
        elif dimension in row:
            found = [row[dimension]]
        else:
            found = [self.of_visit(row["visit"], dimension)]
        return valued(found)

    def variable(self, row: Row, dimension: str) -> str | None:
        return property_text(row.get("track_var"), dimension)

    def of_visit(self, name: str | None, dimension: str) -> Any:
        visit = self.visits.get(name) if name is not None else None
        if visit is None:
            return None
        if dimension == "visit_page_views":
            return len(visit.views)
        return visit.views[0 if dimension == "entry_path" else -1]["path"] if visit.views else None

    def values_of_event(self, event: Row, request: Row | None, dimension: str) -> list[Any]:
        """Return what an event has of a dimension: of its own, of its request, of its visit."""
        if dimension == "event":
            return valued([event["name"]])
        if dimension.startswith("prop."):
            own = valued([own_value(event, dimension)])
            return own or valued([request and self.variable(request, dimension)])
        if dimension in self.columns:
            assert request is not None
            return valued([request[dimension]])
        return valued([self.of_visit(event["visit"], dimension)])


def valued(found: Iterable[Any]) -> list[Any]:
    """Return the different values; NULL and the empty text are none."""
    return list(dict.fromkeys(value for value in found if value is not None and value != ""))


def own_value(event: Row, dimension: str) -> str | None:
    if dimension == "prop.currency" and event["currency"]:
        return str(event["currency"])
    return property_text(event["properties"], dimension)


_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class _Number(str):
    """A number as it stands in the document."""

    __slots__ = ()


def property_text(document: str | None, dimension: str) -> str | None:
    """Return a property of a JSON object that is a text, a number or a boolean, as text."""
    try:
        read = json.loads(document or "", parse_int=_Number, parse_float=_Number)
    except ValueError:
        return None
    value = read.get(dimension.removeprefix("prop.")) if isinstance(read, dict) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str) and not _UNSTORABLE.search(value) else None
