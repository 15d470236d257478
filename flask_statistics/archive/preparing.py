"""Making the views of the archive on a connection to DuckDB, each when it is first asked."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

from . import views
from .partial_visits import OF_VISITS, visits_of
from .views import Views
from .young import Young

if TYPE_CHECKING:
    from ..asking.duckdb import Connection

#: How many sets of segments the visits that several of them share are known for.
_MOST_SETS = 16


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
