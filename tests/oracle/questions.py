"""Random queries about a model: every kind of filter, order, bucket and page that there is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from flask_statistics.asking.filters import Filter, available_dimensions
from flask_statistics.asking.metrics import available
from flask_statistics.asking.query import Period, Query
from flask_statistics.fields import BY_NAME

from .choices import Choices
from .rows import TEXTS, VALUES, Edge, draw_moment
from .times import local

PATTERNS = (
    *("/a", "/A", "/a ", "/a*", "/A*", "*a*", "*", "**", "/a%*", "/a_*", "/a\\*", "/a[*", "/a?*"),
    *("*~*", "/ä", "/Ä*", "/😀*", "/*b", "", "/a*b", "nothing", "!*", "*a", "*\n", "a*a*a*", "*/"),
    *(text for text in TEXTS if text),
)
NUMBERS = (
    *("200", ">=300", "<300", "200..304", ">404", "<=200", "", "304.0", "1e2", ">0.25", "<=.5"),
    *("0.125..0.5", "0.125", "<1000000000000", "-1", ">-0.5", "0", "+7", "999999999999999999"),
)
BUCKETS = ("day", "hour", "week", "week-sunday", "month", "year")
#: Dimensions of what hosts track.
PROPERTIES = ("prop.plan", "prop.n", "prop.a.b", "prop.currency", "prop.none")
TRACKED = (
    *("pro", "Pro", "pro ", "p*", "", "*", "true", "3", "3.0", "1.0", "2.5", "ä*", "*a", "a*b"),
    *("CHF", "EUR", "[*", '"x\\', "null"),
)
PAGES = ((None, 0), (None, 0), (1, 0), (2, 0), (2, 2), (5, 5), (1, 3), (1000, 0), (None, 100))


OF_DIMENSION = {
    "event": ("signup", "S*", "*", "", "buy", "buy ", "ä", "a*b", "none"),
    "visit_page_views": ("1", "0", ">1", "<=2", "", "2..9"),
    "status_code": (*NUMBERS, "5xx", "2XX", "4xx", "3xx"),
    **dict.fromkeys(("path", "browser", "entry_path", "exit_path"), PATTERNS),
    **dict.fromkeys(PROPERTIES, TRACKED),
}


def values_of(dimension: str) -> Sequence[str]:
    """Return values that filters of a dimension may have."""
    if dimension in OF_DIMENSION:
        return OF_DIMENSION[dimension]
    if BY_NAME[dimension].kind == "number":
        return NUMBERS
    if BY_NAME[dimension].kind == "boolean":
        return ("true", "0", "", "False", "1")
    known = [value for value in VALUES[dimension] if value]
    return (*known, *(f"{text[:2]}*" for text in known), "", "*", "*a", "none such")


def draw_period(chance: Choices, edge: Edge) -> Period:
    """Draw some days around the edge, as a rule few; some end early, as the running one does,
    or begin late."""
    start = local(edge.moment, edge.zone).date() + timedelta(days=chance.one((0, -1, -2, 1, -7)))
    days = chance.one((0, 0, 1, 2, 3, 6, 8, 32, 400))
    period = Period(start, start + timedelta(days=days), edge.zone)
    cut = chance.one(("", "", "", "", "", "", "until", "since"))
    moment = draw_moment(chance, edge) if cut else None
    if cut == "since":
        return replace(period, since=moment)
    return replace(period, until=moment)


def draw_filters(chance: Choices, dimensions: Sequence[str]) -> tuple[Filter, ...]:
    chosen = chance.some(dimensions, chance.one((0, 0, 1, 1, 1, 2, 2, 3))) if dimensions else []
    return tuple(
        Filter(
            dimension,
            tuple(
                chance.one(("", "", "!")) + value
                for value in chance.some(values_of(dimension), chance.one((1, 1, 1, 2, 3)))
            ),
        )
        for dimension in chosen
    )


def draw_query(chance: Choices, columns: Collection[str], edge: Edge) -> Query:
    """Draw a query that a model with these columns can answer."""
    possible = available_dimensions(columns)
    dimensions = sorted(name for name in possible if name in VALUES or name not in BY_NAME)
    dimensions += [*PROPERTIES, "event", "prop.plan"]
    names = [metric.name for metric in available(columns)]
    order = chance.one(("hits", "value", "last", *names))
    metrics = chance.one(((), (), ("hits",), (order,) if order in names else names[-2:]))
    limit, offset = chance.one(PAGES)
    bots: Any = chance.one((None, None, "0", "1", "only" if "bot" in columns else "1"))
    period = draw_period(chance, edge)
    bucket = chance.one(BUCKETS)
    return Query(
        period=period,
        filters=draw_filters(chance, dimensions),
        group_by=tuple(chance.some(dimensions, chance.one((1, 1, 2)))),
        metrics=tuple(metrics),
        bucket="day" if bucket == "hour" and period.days > 40 else bucket,
        order=chance.one(("-", "")) + order,
        limit=limit,
        offset=offset,
        include_bots=bots,
    )


def order_of_requests(chance: Choices, columns: Collection[str]) -> str:
    numbers = [name for name in columns if name in VALUES and BY_NAME[name].kind == "number"]
    return chance.one(("-", "")) + chance.one(("date", "date", *sorted(numbers)))
