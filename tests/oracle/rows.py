"""Random rows: what is stored of requests, and at which moments around the edges of periods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from .choices import Choices

Row = dict[str, Any]

TEXTS = (
    *("/", "/a", "/A", "/a ", "/ä", "/Ä", "/a\u0308", "/ß", "/ss", "/a*b", "/a%b", "/a_b", "/axb"),
    *("/a\\b", "/a[b]c", "/a?b", "/a~b", "/😀", "/😁", "/\n", "", None),
)
PROPERTIES = (
    *(None, None, "", "{}", '{"plan": "pro"}', '{"plan": "Pro", "n": 3}', '{"plan": "pro "}'),
    *('{"plan": ""}', '{"plan": null}', '{"n": 2.5}', '{"plan": true}', '{"plan": ["a"]}'),
    *('{"plan": "\\u00e4"}', '{"plan": "a*b", "a.b": "\\"x\\\\"}', '{"a.b": 1}', '{"plan": 1.0}'),
)
#: What rows may hold, the plainest first; every column that is not here is always NULL.
VALUES: dict[str, Sequence[Any]] = {
    "response_time": (0.125, None, 0.25, 0.0, 0.375, 1.0, 1.5, 2.25, 7.875, 60.5),
    "method": ("GET", "GET", "GET", "GET", "get", "POST", None),
    "path": TEXTS,
    "status_code": (200, 200, 299, 200, 204, 304, 300, 302, 404, 499, 500, 199, 599, None),
    "mimetype": (*("text/html",) * 5, "Text/HTML", "text/html ", "image/png", None),
    "size": (0, None, 1, 1024, 2**31 - 1, 2**33),
    "referrer": (None, "https://example.org/ä?q=*", "HTTPS://example.org/"),
    "remote_address": ("10.0.0.1", None, "10.0.0.2", "::a", "::A"),
    "browser": TEXTS,
    "device": ("desktop", None, "Desktop", "mobile", "bot"),
    "bot": (None, None, None, None, None, "curl", "Curl"),
    "url_args": (None, "{}", '{"a": ["1"]}', '{"A": ["1"]}'),
    "authorization": (None, True, False),
    "username": (None, "ann", "Ann", "ann "),
    "visitor": ("v", None, "V", "v ", "w", "w"),
    "visit": ("a", None, "A", "b", "b", "c", "d", "e"),
    "request_id": ("r1", "r2", "r3", None),
    "country": ("DE", None, "de", "", "FR"),
    "db_queries": (None, 0, 1, 7),
    "db_time": (None, 0.0, 0.125, 1.5),
    "version": ("1.0", "1.0", None, "1.1"),
    "site": ("main", None, "shop"),
    "track_var": PROPERTIES,
}
#: Zones with moments of UTC at which their clocks change, or at which their days begin.
EDGES: tuple[tuple[str, datetime], ...] = (
    ("UTC", datetime(2024, 2, 29)),
    ("Europe/Berlin", datetime(2024, 10, 27, 1)),
    ("Europe/Berlin", datetime(2024, 3, 31, 1)),
    ("America/New_York", datetime(2024, 3, 10, 7)),
    ("America/New_York", datetime(2024, 11, 3, 6)),
    ("Australia/Lord_Howe", datetime(2024, 4, 6, 15)),
    ("Australia/Lord_Howe", datetime(2024, 10, 5, 15, 30)),
    ("Asia/Kathmandu", datetime(2023, 12, 31, 18, 15)),
    ("America/St_Johns", datetime(2024, 11, 3, 4, 30)),
    ("America/St_Johns", datetime(2010, 11, 7, 2, 30)),
    ("Africa/Casablanca", datetime(2024, 3, 10, 2)),
    ("Pacific/Apia", datetime(2011, 12, 30, 10)),
    ("America/Havana", datetime(2024, 11, 3, 5)),
    ("America/Havana", datetime(2024, 3, 10, 5)),
    ("Asia/Beirut", datetime(2024, 3, 30, 22)),
    ("UTC", datetime(1969, 12, 31, 23, 30)),
)
_COARSE = (
    *(0, 0, 0, 0, 60, -60, 1800, -1800, 3600, -3600, 7200, -7200, 20_000, -20_000, 43_200),
    *(86_400, -86_400, 86_400, -86_400, 2 * 86_400, -2 * 86_400, 3 * 86_400, -3 * 86_400),
    *(6 * 86_400, -6 * 86_400, 30 * 86_400, -30 * 86_400, 366 * 86_400, -366 * 86_400),
)
_FINE = tuple(
    timedelta(seconds=seconds, microseconds=microseconds)
    for seconds, microseconds in (
        *((0, 0), (0, 0), (0, -1), (0, 1), (0, 0), (0, 0), (1, 0), (-1, 0), (0, 500_000)),
        *((1, 250_000), (-60, 1), (59, 999_999), (60, 0), (61, 0), (600, 0), (1800, 0), (-1800, 0)),
        *((1801, 0), (900, 0), (-900, 125_000), (3599, 999_999), (7, 0), (8, 0), (9, 0), (-10, 0)),
    )
)


@dataclass(frozen=True)
class Edge:
    """A zone, and a moment of UTC around which rows and periods lie."""

    zone: ZoneInfo
    moment: datetime


def draw_edge(chance: Choices) -> Edge:
    zone, moment = chance.one(EDGES)
    return Edge(ZoneInfo(zone), moment)


def draw_moment(chance: Choices, edge: Edge) -> datetime:
    return edge.moment + timedelta(seconds=chance.one(_COARSE)) + chance.one(_FINE)


def draw_row(chance: Choices, edge: Edge, number: int) -> Row:
    """Draw a row with every column."""
    row: Row = {"id": number, "date": draw_moment(chance, edge)}
    return row | {name: chance.one(values) for name, values in VALUES.items()}
