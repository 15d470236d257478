"""What single questions need, where several are answered together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .metrics import Metric, available
from .query import Filter, Query

if TYPE_CHECKING:
    from .source import Source


class Ask(Protocol):
    """A question, as far as it matters here; see :class:`.answers.Ask`."""

    @property
    def kind(self) -> str: ...

    @property
    def query(self) -> Query: ...

    def __hash__(self) -> int: ...


def metrics_of(source: Source, query: Query) -> list[Metric]:
    """Return the metrics that a query asks for, and that it sorts by.

    :raises KeyError: where one is not known.
    """
    known = {metric.name: metric for metric in available(source.model.columns)}
    names = dict.fromkeys(query.metrics or known)
    order = (query.order or "-hits").removeprefix("-")
    if query.group_by and order not in {"value", "last"}:
        names[order] = None
    return [known[name] for name in names]


def counts_visits(source: Source, ask: Ask) -> bool:
    """Whether a question is about totals of visits, and not of events."""
    sources = {metric.source for metric in metrics_of(source, ask.query)}
    return ask.kind == "summary" and "visits" in sources and "events" not in sources


def is_of_known(query: Query) -> bool:
    """Whether requests without a value are left out by the filter of the dimension itself."""
    return len(query.group_by) == 1 and Filter(query.group_by[0], ("!",)) in query.filters
