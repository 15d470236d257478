"""What a request to the pages asks for, checked against what it may see."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any

from flask import request

from ..asking.answers import Answers
from ..asking.filters import find_dimension, is_personal
from ..asking.period import Period
from ..asking.prefetching import Prefetched
from ..asking.query import Filter, Query, query_from_args
from ..errors import QueryError
from ..fields import BY_NAME
from ..state import State, get_state
from .links import OWN_PARAMETERS
from .panels import URLS
from .permissions import allowed, require

_EXACT = {"path", "route"}


@dataclass(frozen=True)
class Question:
    """A question to one app's requests.

    :ivar query: as the URL puts it.
    :ivar comparison: the period that totals are compared with.
    :ivar now: the moment in the zone of the pages.
    :ivar by: by what the URL wants the table of URLs, ``route`` or ``path``.
    """

    state: State
    answers: Answers
    query: Query
    comparison: Period | None
    now: datetime
    by: str | None = None

    @property
    def today(self) -> date:
        """The date in the zone of the pages."""
        return self.now.date()

    @property
    def columns(self) -> frozenset[str]:
        """The recorded columns of the host's model."""
        return frozenset(self.state.model.columns)

    @property
    def url(self) -> Filter | None:
        """The one route or path that everything is narrowed to."""
        found = [condition for condition in self.query.filters if condition.dimension in _EXACT]
        if len(found) != 1 or len(found[0].values) != 1:
            return None
        value = found[0].values[0]
        return None if not value or value.startswith("!") or "*" in value else found[0]

    def where(self, *conditions: Filter) -> Query:
        """Return the query with more conditions."""
        return self.query.replace(filters=(*self.query.filters, *conditions))

    def requests(self, query: Query) -> list[dict[str, Any]]:
        """Return single requests, with personal columns only for whom may see them."""
        return self.answers.requests(query, personal=allowed("personal"))


def ask() -> Question:
    """Return what the current request asks for.

    :raises QueryError: for a parameter that cannot be read.
    :raises Refused: for a filter on personal data that may not be seen.
    """
    state = get_state()
    now = datetime.now(timezone.utc)
    query, comparison = query_from_args(
        request.args,
        model_columns=state.model.columns,
        zone=state.config.timezone,
        default_span=state.config.default_date_span,
        now=now,
        ignore=OWN_PARAMETERS,
    )
    require_dimensions(query.dimensions)
    local = now.astimezone(query.time_zone)
    answers = Prefetched(state.answers)
    return Question(state, answers, query, comparison, local, _read_by(state))


def require_dimensions(dimensions: frozenset[str]) -> None:
    """Refuse personal dimensions: a filter on an address tells whether it was there.

    :raises Refused: where they may not be seen.
    """
    if any(map(is_personal, dimensions)):
        require("personal")


def _read_by(state: State) -> str | None:
    by = request.args.get("by") or None
    if by is not None and by not in URLS:
        raise QueryError("by", f"{by[:60]!r} is none of {', '.join(URLS)}")
    if by is not None and not state.model.has(by):
        raise QueryError("by", f"the model has no column {by}")
    return by


def newest_day(question: Question) -> date | None:
    """Return the day of the newest request of all, None where there is none."""
    always = Period(
        date(1970, 1, 1), question.today + timedelta(days=366), question.query.time_zone
    )
    newest = question.answers.requests(Query(always, include_bots="1", limit=1))
    if not newest or not newest[0]["date"]:
        return None
    moment = datetime.fromisoformat(newest[0]["date"].replace("Z", "+00:00"))
    return moment.astimezone(question.query.time_zone).date()


def label(dimension: str) -> str:
    """Return how pages call a dimension."""
    return find_dimension("dimension", dimension, BY_NAME).label
