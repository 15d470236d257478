"""The answers to a query from what is in memory, written from the definitions and nothing else:
``docs/metrics.md`` and ``docs/query.md``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from itertools import product
from typing import Any

from flask_statistics.asking.query import Query

from .facts import VIEW, Data, Facts, Row
from .matching import holds
from .times import bucket, buckets

VISIT_METRICS = {"visits", "bounce_rate", "visit_duration", "views_per_visit"}
#: The column without which a metric is absent; the other needs follow below.
OF_COLUMN = {
    **{f"response_time{which}": "response_time" for which in ("", "_p50", "_p95", "_p99", "_max")},
    **{name: name for name in ("size", "db_queries", "db_time")},
    **dict.fromkeys(("errors", "error_rate"), "status_code"),
}
#: What requests have that is not recorded with them.
NOT_RECORDED = {"event", "entry_path", "exit_path", "visit_page_views"}
Key = tuple[Any, ...]


class Group:
    """The requests and events of one group."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.events: list[Row] = []


class Oracle:
    """Answers from what is in memory."""

    def __init__(self, data: Data, query: Query) -> None:
        self.query = query
        self.columns = data.columns
        self.facts = facts = Facts(data, query)
        self.rows = [
            row
            for row in facts.rows
            if all(holds(facts.values(row, f.dimension), f.values) for f in query.filters)
        ]
        #: Events, each with every request that it was tracked in, or with none.
        self.tracked = [
            (event, request)
            for event in facts.events
            for request in self._requests_of(event)
            if all(
                holds(facts.values_of_event(event, request, f.dimension), f.values)
                for f in query.filters
            )
        ]

    def _requests_of(self, event: Row) -> Sequence[Row | None]:
        """Return the requests of an event; None where it may stand alone: unless something is
        asked that is recorded of requests."""
        requests = self.facts.requests_of.get(event["id"], [])
        return requests or ([] if self.asks_requests else [None])

    @property
    def asks_requests(self) -> bool:
        return any(not is_of_events(n) and n not in NOT_RECORDED for n in self.query.dimensions)

    # -- metrics -----------------------------------------------------------------------------

    def figures(self, group: Group, only: str | None = None) -> Row:
        """Return the metrics that are asked for, or all that the model allows.

        :param only: the name of an order: just what it sorts by, where that is a metric.
        """
        rows, facts = group.rows, self.facts

        def numbers(name: str) -> list[float]:
            return [row[name] for row in rows if row.get(name) is not None]

        who = "visitor" if "visitor" in self.columns else "remote_address"
        people = {row.get(who) for row in rows if facts.is_person(row)} - {None}
        views = [row for row in rows if facts.is_view(row)]
        shown = {row.get("visit") for row in views} | {event["visit"] for event in group.events}
        visits = [facts.visits[name] for name in shown if name in facts.visits]
        times = sorted(numbers("response_time"))
        errors = sum(status >= 500 for status in numbers("status_code"))
        known = {
            "hits": len(rows),
            "visitors": len(people),
            "page_views": len(views),
            "visits": len(visits),
            "bounce_rate": mean([visit.is_bounce for visit in visits]),
            "visit_duration": mean([visit.duration for visit in visits]),
            "views_per_visit": mean([len(visit.views) for visit in visits]),
            "events": len(group.events),
            "revenue": math.fsum(event["revenue"] or 0 for event in group.events),
            "response_time": mean(times),
            **{f"response_time_p{p}": nearest_rank(times, p) for p in (50, 95, 99)},
            "response_time_max": max(times, default=None),
            "size": sum(numbers("size")),
            "errors": errors,
            "error_rate": errors / len(rows) if rows else None,
            "db_queries": mean(numbers("db_queries")),
            "db_time": mean(numbers("db_time")),
        }
        asked = self.query.metrics or [name for name in known if self.is_known(name)]
        if only is not None:
            asked = [only] if only in known else []
        return {name: known[name] for name in asked}

    def is_known(self, metric: str) -> bool:
        """Whether the model has what a metric needs."""
        if metric == "visitors":
            return bool(self.columns & {"visitor", "remote_address"})
        if metric == "page_views":
            return self.columns >= VIEW
        if metric in VISIT_METRICS:
            return self.columns >= VIEW | {"visit"}
        return OF_COLUMN.get(metric, "date") in self.columns

    # -- groups ------------------------------------------------------------------------------

    def groups(self, dimensions: Sequence[str], length: str | None = None) -> dict[Key, Group]:
        """Return what is shown by its values of dimensions; a request or event with several
        values of one counts in the group of each.

        :param length: of the bucket of time that comes before them.
        """
        found: dict[Key, Group] = {}

        def keys(moment: datetime, values: Sequence[list[Any]]) -> list[Key]:
            time = [[bucket(moment, length, self.query.period.zone)]] if length else []
            return list(product(*time, *(some or [None] for some in values)))

        for row in self.rows:
            for key in keys(row["date"], [self.facts.values(row, name) for name in dimensions]):
                found.setdefault(key, Group()).rows.append(row)
        for event, request in self.tracked:
            values = [self.facts.values_of_event(event, request, name) for name in dimensions]
            for key in keys(event["date"], values):
                if event not in (group := found.setdefault(key, Group())).events:
                    group.events.append(event)
        return found

    # -- answers -----------------------------------------------------------------------------

    def summary(self) -> Row:
        return self.figures(self.groups(()).get((), Group()))

    def timeseries(self) -> list[Row]:
        period, length = self.query.period, self.query.bucket or "day"
        groups = self.groups((), length)
        return [
            {"start": start, **self.figures(groups.get((key,), Group()))}
            for key, start in buckets(period, length).items()
        ]

    def breakdown(self) -> tuple[int, list[Row]]:
        """Return how many groups there are, and a page of them in their order.

        Groups are those of requests; of dimensions of events those of events, too.
        """
        names = self.query.group_by
        of_events = all(map(is_of_events, names)) and not self.asks_requests
        groups = {
            key: group for key, group in self.groups(names).items() if group.rows or of_events
        }
        order = (self.query.order or "-hits").removeprefix("-")
        found = [
            {"key": key, "value": named(key), "last": last(group, of_events),
             **self.figures(group, order)}
            for key, group in groups.items()
        ]  # fmt: skip
        found.sort(key=lambda row: [(part is None, part) for part in row["key"]])
        page = self.page(ordered(found, self.query.order or "-hits"))
        return len(found), [
            {"value": row["value"], "last": row["last"].isoformat() + "Z",
             **self.figures(groups[row["key"]])}
            for row in page
        ]  # fmt: skip

    def series(self) -> list[Row]:
        """Return a timeseries of each group on the page, of ten where there is no limit."""
        period, length = self.query.period, self.query.bucket or "day"
        first = Oracle(self.facts.data, self.query.replace(limit=self.query.limit or 10))
        groups = self.groups(self.query.group_by, length)
        found = []
        for row in first.breakdown()[1]:
            value = row["value"]
            key = (value,) if len(self.query.group_by) == 1 else tuple(value)
            points = [
                {"start": start, **self.figures(groups.get((time, *key), Group()))}
                for time, start in buckets(period, length).items()
            ]
            found.append({"value": value, "points": points})
        return found

    def requests(self) -> list[Row]:
        newest = sorted(self.rows, key=lambda row: (row["date"], row["id"]), reverse=True)
        return self.page(ordered(newest, self.query.order or "-date"))

    def page(self, rows: list[Row]) -> list[Row]:
        return rows[self.query.offset :][: self.query.limit or 100]


def is_of_events(dimension: str) -> bool:
    return dimension == "event" or dimension.startswith("prop.")


def named(key: Key) -> Any:
    """Return what a group is called: its value, or the values of several dimensions."""
    return key[0] if len(key) == 1 else list(key)


def last(group: Group, of_events: bool) -> datetime:
    """Return when something of a group was last recorded."""
    latest: datetime = max(
        row["date"] for row in [*group.rows, *(group.events if of_events else [])]
    )
    return latest


def ordered(rows: list[Row], order: str) -> list[Row]:
    """Sort by a name; what is equal stays as it is, what is None comes last."""
    name = order.removeprefix("-")
    if name == "value":
        for part in reversed(range(len(rows[0]["key"]) if rows else 0)):
            named = [{**row, "part": row["key"][part]} for row in rows]
            rows = ordered(named, order.replace("value", "part"))
        return rows
    known = [row for row in rows if row[name] is not None]
    known.sort(key=lambda row: row[name], reverse=order.startswith("-"))
    return known + [row for row in rows if row[name] is None]


def mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def nearest_rank(values: Sequence[float], percent: int) -> float | None:
    """The smallest value whose cumulative share is at least ``percent``."""
    for place, value in enumerate(values, start=1):
        if place * 100 >= percent * len(values):
            return value
    return None
