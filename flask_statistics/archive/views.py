"""The archive as three views of DuckDB's: requests, visits and events of some spans of time.

Segments are read where they lie. What they do not hold as it is now (young rows, changed days)
is *loose*: rows of the host's table in memory, and segments of which only a part counts. The
visits of a segment lie beside it; those of loose rows are computed, and a visit that is in
several places is merged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

from .manifest import File, Kind, Segment
from .schema import VISIT_KINDS
from .totals import VISITOR

REQUESTS, VISITS, EVENTS = "archive_requests", "archive_visits", "archive_events"
#: The figures of segments, and the requests that they are not of.
TOTALS, UNCOUNTED = "archive_totals", "archive_uncounted"
#: The host's rows in memory.
YOUNG_REQUESTS, YOUNG_EVENTS = "young_requests", "young_events"
#: The visits of loose rows, also in memory.
LOOSE_VISITS = "loose_visits"
#: The names of the visits that are in several places, and these visits as one each.
SHARED, MERGED_VISITS = "shared_visits", "merged_visits"

TYPES: dict[Kind, str] = {
    "integer": "BIGINT",
    "float": "DOUBLE",
    "microseconds": "DOUBLE",
    "boolean": "BOOLEAN",
    "text": "VARCHAR",
    "moment": "TIMESTAMP",
}
_MERGED = """
    SELECT visit, person, min(visitor) AS visitor, min(began) AS began, max(ended) AS ended,
        min("first") AS "first", max("last") AS "last",
        min(entry_date) AS entry_date, max(exit_date) AS exit_date,
        arg_min_null(entry_path, entry_date) FILTER (entry_date IS NOT NULL) AS entry_path,
        arg_max_null(exit_path, exit_date) FILTER (exit_date IS NOT NULL) AS exit_path,
        sum(hits)::BIGINT AS hits, sum(page_views)::BIGINT AS page_views,
        sum(events)::BIGINT AS events
    FROM ({rows}) GROUP BY visit, person"""


@dataclass(frozen=True)
class Cut:
    """A part of a segment, whose visits do not lie beside it."""

    segment: Segment
    begin: datetime
    end: datetime


@dataclass(frozen=True)
class Views:
    """The SQL of the views.

    :param folder: where the segments are.
    :param columns: what is stored of the model, by field name, its key included.
    :param of_events: what is stored of events.
    :param whole: segments that count as they are.
    :param cut: segments that count in part.
    """

    folder: Path
    columns: Mapping[str, Kind]
    of_events: Mapping[str, Kind]
    whole: Sequence[Segment]
    cut: Sequence[Cut]

    @property
    def requests(self) -> str:
        return _union([*self._segments(self.whole), self.loose_requests])

    @property
    def events(self) -> str:
        files = [segment.events for segment in self.whole if segment.events]
        return _union([*self._parquet(files, _listed(self.of_events)), self.loose_events])

    def totals(self, segments: Sequence[Segment]) -> str:
        """The figures of these segments, each row with the name of its file."""
        paths = ", ".join(_quoted(str(self.folder / s.totals.name)) for s in segments if s.totals)
        return f"SELECT * FROM read_parquet([{paths}], filename = true)"

    def figures(self, segments: Sequence[Segment], dimensions: Iterable[str]) -> str:
        """The figures of these segments for some dimensions."""
        listed = ", ".join(map(_quoted, dimensions))
        return f"{self.totals(segments)} WHERE dimension IN ({listed})"

    def values(self, segments: Sequence[Segment], dimensions: Iterable[str]) -> str:
        """The dimensions of these segments, each with its texts and numbers, the most frequent
        first, and the number of segments that know it."""
        hits = "sum(hits) AS hits, list(DISTINCT filename) AS files"
        by_value = (
            f"SELECT dimension, text, number, {hits} "
            f"FROM ({self.figures(segments, dimensions)}) GROUP BY ALL"
        )
        return (
            "SELECT dimension, list(text ORDER BY hits DESC, text) FILTER (text IS NOT NULL), "
            "list(number ORDER BY hits DESC, number) FILTER (number IS NOT NULL), "
            f"len(list_distinct(flatten(list(files)))) FROM ({by_value}) GROUP BY dimension"
        )

    def repeated_visitors(self, segments: Sequence[Segment]) -> str:
        """The visitors that several of these segments have."""
        visitors = f"SELECT text FROM ({self.totals(segments)}) WHERE dimension = '{VISITOR}'"
        return f"{visitors} GROUP BY text HAVING count(*) > 1"

    def files_with(self, segments: Sequence[Segment], visitors: str) -> str:
        """The names of the files of figures of these segments that know some visitors."""
        return (
            f"SELECT DISTINCT parse_filename(filename) FROM ({self.totals(segments)}) "
            f"WHERE dimension = '{VISITOR}' AND text IN ({visitors})"
        )

    def visitors(self, segments: Sequence[Segment]) -> str:
        """The visitors of all requests but those of these segments."""
        return f"SELECT visitor FROM ({self.requests_without(segments)})"

    def requests_without(self, segments: Sequence[Segment]) -> str:
        """All requests but those of these segments, which count as they are."""
        others = [segment for segment in self.whole if segment not in segments]
        return _union([*self._segments(others), self.loose_requests])

    @cached_property
    def loose_requests(self) -> str:
        parts = [
            f"{select} WHERE {_within(part)}"
            for part in self.cut
            for select in self._segments([part.segment])
        ]
        return _union([*parts, f"SELECT {_listed(self.columns)} FROM {YOUNG_REQUESTS}"])

    @cached_property
    def loose_events(self) -> str:
        parts = [
            f"{select} WHERE {_within(part)}"
            for part in self.cut
            if part.segment.events
            for select in self._parquet([part.segment.events], _listed(self.of_events))
        ]
        return _union([*parts, f"SELECT {_listed(self.of_events)} FROM {YOUNG_EVENTS}"])

    @property
    def segments_visits(self) -> str:
        """The visits that lie beside whole segments, as each segment knows them."""
        files = [segment.visits for segment in self.whole if segment.visits]
        found = self._parquet(files, _listed(VISIT_KINDS))
        return found[0] if found else _nothing(VISIT_KINDS)

    @property
    def merged_visits(self) -> str:
        """The visits of loose rows, and those that are in several segments."""
        shared = f"SELECT * FROM ({self.segments_visits}) SEMI JOIN {SHARED} USING (visit)"
        return _MERGED.format(rows=_union([shared, f"SELECT * FROM {LOOSE_VISITS}"]))

    @property
    def visits(self) -> str:
        """All visits, one row of each for people and one for bots."""
        alone = f"SELECT * FROM ({self.segments_visits}) ANTI JOIN {SHARED} USING (visit)"
        return f"{alone} UNION ALL SELECT * FROM {MERGED_VISITS}"

    @property
    def separate_visits(self) -> str:
        """All visits, where none is in several places."""
        return f"{self.segments_visits} UNION ALL SELECT * FROM {MERGED_VISITS}"

    def _segments(self, segments: Iterable[Segment]) -> list[str]:
        """Return a SELECT for each way in which columns are stored."""
        found: dict[str, list[File]] = {}
        for segment in segments:
            if segment.requests:
                columns = ", ".join(
                    _read(name, kind, segment.columns.get(name))
                    for name, kind in self.columns.items()
                )
                found.setdefault(columns, []).append(segment.requests)
        return [
            select for columns, files in found.items() for select in self._parquet(files, columns)
        ]

    def _parquet(self, files: Sequence[File | None], columns: str) -> list[str]:
        paths = ", ".join(_quoted(str(self.folder / file.name)) for file in files if file)
        return [f"SELECT {columns} FROM read_parquet([{paths}])"] if paths else []


def _read(name: str, kind: Kind, stored: Kind | None) -> str:
    if stored == "microseconds":
        return f'"{name}" / 1e6 AS "{name}"'  # the double that is nearest, as it was recorded
    return f'CAST("{name}" AS {TYPES[kind]}) AS "{name}"'


def _within(part: Cut) -> str:
    return f"\"date\" >= '{part.begin}'::TIMESTAMP AND \"date\" < '{part.end}'::TIMESTAMP"


def _listed(columns: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)


def _nothing(columns: Mapping[str, Kind]) -> str:
    listed = ", ".join(f'NULL::{TYPES[kind]} AS "{name}"' for name, kind in columns.items())
    return f"SELECT {listed} WHERE false"


def _union(selects: Sequence[str]) -> str:
    return " UNION ALL ".join(selects)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
