"""Which segments' figures may be added up for a question, visitors included."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ..asking.totals import HOURS, STEPS, Totals
from . import views
from .manifest import Kind, Segment
from .totals import ALL, DIMENSIONS, TOTALS_KINDS
from .views import Views

if TYPE_CHECKING:
    from ..asking.duckdb import Connection
    from ..asking.source import Source, Span
    from .young import Young

#: How many sets of segments the visitors that several of them share are known for.
_MOST_SETS = 16
_TYPES: dict[Kind, Any] = {
    "integer": sa.BigInteger, "boolean": sa.Boolean, "text": sa.String, "moment": sa.DateTime
}  # fmt: skip


class SharedVisitors:
    """Which segments have visitors that others have, too; kept, since each visitor is looked at."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: dict[tuple[str, ...], frozenset[str]] = {}

    def find(self, duckdb: Any, found: Views, segments: Sequence[Segment]) -> frozenset[str]:
        """Return the names of such segments' files of figures."""
        names = tuple(sorted(s.totals.name for s in segments if s.totals))
        with self._lock:
            known = self._known.get(names)
        if known is None:
            known = _files_with(duckdb, found, segments, found.repeated_visitors(segments))
            with self._lock:
                self._known[names] = known
                while len(self._known) > _MOST_SETS:
                    self._known.pop(next(iter(self._known)))
        return known


def _files_with(
    duckdb: Any, found: Views, segments: Sequence[Segment], visitors: str
) -> frozenset[str]:
    """Return the names of files of figures that know visitors of a SELECT."""
    if not segments:
        return frozenset()
    rows = duckdb.execute(found.files_with(segments, visitors)).fetchall()
    return frozenset(name for (name,) in rows)


@dataclass(frozen=True)
class Counting:
    """What figures are found with: the archive's sources, and what one question reads.

    :ivar source: the source of all requests.
    :ivar uncounted: the source of those that no figure is of.
    """

    source: Source
    uncounted: Source
    found: Views
    young: Young
    spans: Sequence[Span]
    shared: SharedVisitors

    def totals(self, driver: Connection, dimensions: Set[str]) -> Totals | None:
        """Return the figures of segments that may be added up; None where there are none.

        :param dimensions: those that are asked for.
        """
        columns = self.source.model.columns
        known = dimensions & {ALL, *(name for name in DIMENSIONS if name in columns)}
        finer = dimensions & {HOURS, STEPS}
        chosen = self._chosen(driver.duckdb) if known else []
        if not chosen:
            return None
        found = self.found
        for kind, name, select in (
            ("TABLE", views.TOTALS, found.figures(chosen, known | finer)),
            ("VIEW", views.UNCOUNTED, found.requests_without(chosen)),
        ):
            driver.duckdb.execute(f"CREATE TEMPORARY {kind} {name} AS {select}")
        covered = not self._is_any_loose() and len(chosen) == len(self._counted)
        dates = [(s.first, s.last) for s in chosen if s.first and s.last]
        return Totals(_table(), known | finer, dates, None if covered else self.uncounted)

    @property
    def _counted(self) -> list[Segment]:
        return [segment for segment in self.found.whole if segment.totals]

    def _is_any_loose(self) -> bool:
        others = any(s.requests and not s.totals for s in self.found.whole)
        return bool(others or self.found.cut or self.young.requests.num_rows)

    def _chosen(self, duckdb: Any) -> list[Segment]:
        segments = self._counted
        crowded = self.shared.find(duckdb, self.found, segments)
        if self._is_any_loose():
            crowded |= _files_with(duckdb, self.found, segments, self.found.visitors(segments))
        return [
            segment
            for segment in segments
            if segment.totals
            and segment.totals.name not in crowded
            and _lies_well(segment, self.spans)
        ]


def _lies_well(segment: Segment, spans: Sequence[Span]) -> bool:
    """Whether each span has all requests of a segment, or none."""
    first, last = segment.first, segment.last
    if first is None or last is None:
        return False
    return all(
        (begins <= first and last < ends) or last < begins or first >= ends
        for begins, ends in spans
    )


def _table() -> sa.FromClause:
    columns = (sa.column(name, _TYPES[kind]()) for name, kind in TOTALS_KINDS.items())
    return sa.table(views.TOTALS, *columns)
