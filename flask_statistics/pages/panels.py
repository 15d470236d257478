"""The parts of the dashboard, declared: which figures, which breakdowns, in which order.

A part appears as far as the host's model has the columns that it needs.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ..asking.answers import Answers, Ask
from ..asking.filters import EVENT, property_name
from ..asking.metrics import BY_NAME, Metric, is_available
from ..asking.query import Query

#: The metrics of the tiles; a click on one makes it the chart's.
TILES = (
    "visitors",
    "visits",
    "page_views",
    "hits",
    "response_time",
    "response_time_p95",
    "error_rate",
    "size",
)
#: The metrics of the table of URLs and of the pages of all values.
TABLE = ("hits", "visitors", "response_time", "response_time_p95", "errors", "size")
#: The same of events and their properties.
EVENT_TABLE = ("events", "visitors", "revenue", "hits")
#: What is shown of a single request.
REQUEST_COLUMNS = (
    "response_time",
    "status_code",
    "method",
    "path",
    "size",
    "exception",
    "remote_address",
    "username",
    "user_agent",
)
#: By what the table of URLs lists them: the first that the model has.
URLS = ("route", "path")
#: What a request is called that does not tell a value.
UNKNOWN = "not known"


@dataclass(frozen=True)
class Panel:
    """The most frequent values of one dimension.

    :ivar name: of the panel, for links to it.
    :ivar label: its heading.
    :ivar dimensions: the first of these that the model has is shown.
    :ivar metrics: what is shown of each value; it is sorted by the first.
    :ivar absent: what a request without a value is called; None leaves those requests out.
    :ivar empty: what is said when there is no value.
    """

    name: str
    label: str
    dimensions: tuple[str, ...]
    metrics: tuple[str, ...] = ("visitors", "hits")
    absent: str | None = UNKNOWN
    empty: str = "not known in this range"

    def dimension(self, columns: Collection[str]) -> str | None:
        """Return the dimension that it shows of a model with these columns."""
        return next((name for name in self.dimensions if name in columns), None)

    def query(self, query: Query, dimension: str, columns: Collection[str], limit: int) -> Query:
        """Return the question that it asks within another."""
        metrics = allowed_metrics(self.metrics, columns)
        asked = query.replace(
            group_by=(dimension,),
            metrics=tuple(metric.name for metric in metrics),
            order=f"-{metrics[0].name}",
            limit=limit,
            offset=0,
            bucket=None,
        )
        already = any(condition.dimension == dimension for condition in query.filters)
        return asked if self.absent is not None or already else asked.where(dimension, "!")


PANELS: tuple[Panel, ...] = (
    Panel("sources", "Sources", ("source", "referrer"), absent="direct or internal"),
    Panel("browsers", "Browsers", ("browser",)),
    Panel("platforms", "Platforms", ("platform",)),
    Panel("devices", "Devices", ("device",)),
    Panel("countries", "Countries", ("country",), absent=None,
          empty="not known in this range"),
    Panel("languages", "Languages", ("language",)),
    Panel("statuses", "Status", ("status_code",), metrics=("hits", "visitors")),
    Panel("exceptions", "Exceptions", ("exception",), metrics=("hits", "visitors"), absent=None,
          empty="none in this range"),
    Panel("methods", "Methods", ("method",), metrics=("hits", "visitors")),
    Panel("types", "Media types", ("mimetype",), metrics=("hits", "visitors"), absent="none"),
    Panel("bots", "Bots", ("bot",), metrics=("hits",), absent=None,
          empty="none in this range"),
)  # fmt: skip

_ABSENT = {
    "route": "no route",
    "country": UNKNOWN,
    "referrer": "direct",
    **{panel.dimensions[0]: panel.absent for panel in PANELS if panel.absent},
}


def absent_label(dimension: str) -> str:
    """Return what a request without a value of a dimension is called."""
    return _ABSENT.get(dimension, "none")


def panel_of(dimension: str, columns: Collection[str]) -> Panel | None:
    """Return the panel that shows a dimension of a model with these columns, if one does."""
    return next((panel for panel in PANELS if panel.dimension(columns) == dimension), None)


def allowed_metrics(names: Collection[str], columns: Collection[str]) -> tuple[Metric, ...]:
    """Return those of the metrics that a model with these columns allows."""
    return tuple(BY_NAME[name] for name in names if is_available(BY_NAME[name], columns))


def table_metrics(dimension: str, columns: Collection[str]) -> tuple[Metric, ...]:
    """Return the metrics of the page of all values of a dimension; the first one sorts it."""
    of_events = dimension == EVENT.name or property_name(dimension) is not None
    return allowed_metrics(EVENT_TABLE if of_events else TABLE, columns)


def has_routes(answers: Answers, by_route: Query, all_routes: Query) -> bool:
    """Whether most requests have a route: lines of an imported log have none.

    :param by_route: a question for routes, the most frequent first.
    :param all_routes: a question for the hits of all of them together.
    :raises QueryError: where the model has no column ``route``.
    """
    top, total = answers.many([Ask("breakdown", by_route), Ask("summary", all_routes)])
    without = sum(row["hits"] for row in top.rows if row["value"] is None)
    return bool(2 * without <= total["hits"])
