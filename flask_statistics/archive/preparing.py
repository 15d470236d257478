"""Making the views of the archive on a connection to DuckDB, each when it is first asked."""

from __future__ import annotations

from collections.abc import Sequence, Set
from threading import Lock
from typing import TYPE_CHECKING, Any

from . import views
from .manifest import Segment
from .partial_visits import OF_VISITS, visits_of
from .totals import DIMENSIONS
from .views import Views
from .young import Young

if TYPE_CHECKING:
    from ..asking.duckdb import Connection

#: How many sets of segments the visits that several of them share, and values, are known for.
_MOST_SETS = 16
#: How many values a dimension may have for them to be listed.
_MOST_VALUES = 255
#: Dimensions that have more, as a rule.
_LARGE = frozenset({"path"})


class SharedVisits:
    """Which visits lie in several segments; kept, since it takes a look at every visit."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: dict[tuple[str, ...], Any] = {}

    def find(self, duckdb: Any, found: Views) -> Any:
        """Return the names of such visits as a table of Arrow's."""
        names = tuple(sorted(s.visits.name for s in found.whole if s.visits))
        with self._lock:
            known = self._known.get(names)
        if known is None:
            known = duckdb.sql(
                f"SELECT visit FROM ({found.segments_visits}) "
                "GROUP BY visit, person HAVING count(*) > 1"
            ).to_arrow_table()
            self._keep(names, known)
        return known

    def _keep(self, names: tuple[str, ...], visits: Any) -> None:
        with self._lock:
            self._known[names] = visits
            while len(self._known) > _MOST_SETS:
                self._known.pop(next(iter(self._known)))


class KnownValues:
    """The values that dimensions have, where they have few; kept, as far as segments tell."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: dict[tuple[str, ...], dict[str, list[Any]]] = {}

    def find(
        self, driver: Connection, found: Views, young: Young, names: Set[str]
    ) -> dict[str, list[Any]]:
        """Return all values that dimensions have; those with too many are missing."""
        every = (*found.whole, *(part.segment for part in found.cut))
        segments = list({s.requests.name: s for s in every if s.requests}.values())
        if not all(segment.totals for segment in segments):
            return {}
        files = tuple(sorted(segment.totals.name for segment in segments if segment.totals))
        with self._lock:
            known = self._known.get(files)
        if known is None:
            known = _values_of(driver.duckdb, found, segments)
            with self._lock:
                self._known[files] = known
                while len(self._known) > _MOST_SETS:
                    self._known.pop(next(iter(self._known)))
        added = {name: _added(known[name], young.requests[name]) for name in names & known.keys()}
        return {name: values for name, values in added.items() if len(values) <= _MOST_VALUES}


def _values_of(duckdb: Any, found: Views, segments: Sequence[Segment]) -> dict[str, list[Any]]:
    """Return the values that figures of segments name, the most frequent first."""
    kinds = found.columns
    names = [n for n in DIMENSIONS if kinds.get(n) in {"text", "integer"} and n not in _LARGE]
    if not segments:
        return {name: [] for name in names}
    listed: dict[str, list[Any]] = {}
    rows = duckdb.execute(found.values(segments, names)).fetchall()
    for name, texts, numbers, files in rows:
        # Figures that were made before a dimension had any do not name its values.
        if files == sum(segment.columns.get(name) == kinds[name] for segment in segments):
            listed[name] = (numbers if kinds[name] == "integer" else texts) or []
    return listed


def _added(values: Sequence[Any], young: Any) -> list[Any]:
    """Return values, and those that a column of the host's rows has."""
    more = (value for value in young.unique().to_pylist() if value not in {None, ""})
    return list(dict.fromkeys([*values, *more]))


def prepare(driver: Connection, found: Views, young: Young, shared: SharedVisits) -> None:
    """Let a connection make the views once they are asked."""
    duckdb = driver.duckdb
    duckdb.register(views.YOUNG_REQUESTS, young.requests)
    duckdb.register(views.YOUNG_EVENTS, young.events)

    def make(name: str, select: str) -> None:
        duckdb.execute(f"CREATE TEMPORARY VIEW {name} AS {select}")

    driver.prepared = {
        views.REQUESTS: lambda: make(views.REQUESTS, found.requests),
        views.EVENTS: lambda: make(views.EVENTS, found.events),
        views.VISITS: lambda: _make_visits(duckdb, found, shared),
    }


def _make_visits(duckdb: Any, found: Views, shared: SharedVisits) -> None:
    needed = ", ".join(f'"{name}"' for name in found.columns if name in OF_VISITS)
    rows = duckdb.sql(f"SELECT {needed} FROM ({found.loose_requests})").to_arrow_table()
    events = duckdb.sql(found.loose_events).to_arrow_table()
    duckdb.register(views.LOOSE_VISITS, visits_of(rows, events, found.columns))
    duckdb.register(f"{views.SHARED}_of_segments", shared.find(duckdb, found))
    loose = f"SELECT visit FROM {views.LOOSE_VISITS}"
    duckdb.execute(
        f"CREATE TEMPORARY TABLE {views.SHARED} AS "
        f"SELECT visit FROM {views.SHARED}_of_segments UNION "
        f"SELECT visit FROM ({found.segments_visits}) WHERE visit IN ({loose})"
    )
    is_any = duckdb.execute(f"SELECT count(*) FROM {views.SHARED}").fetchone()[0]
    duckdb.execute(f"CREATE TEMPORARY TABLE {views.MERGED_VISITS} AS {found.merged_visits}")
    # Mostly there are none, and to look for them in each question would cost more than the rest.
    visits = found.visits if is_any else found.separate_visits
    duckdb.execute(f"CREATE TEMPORARY VIEW {views.VISITS} AS {visits}")
