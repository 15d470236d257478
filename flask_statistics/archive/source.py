"""Answers from the archive: segments, and what only the host's table holds yet."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from .. import changes
from ..asking.columnar import VALUES
from ..asking.constructs import as_stored
from ..asking.duckdb import StoredJson, WholeSeconds
from ..asking.explaining import attended
from ..asking.limits import bounded, current
from ..asking.reading import reading
from ..asking.source import Source, Span
from ..errors import ArchiveError
from . import views
from .counted import Counting, SharedVisitors
from .database import Database
from .folder import MANIFEST, Archive
from .manifest import Kind, Manifest, Segment
from .preparing import KnownValues, SharedVisits, prepare
from .schema import ID, arrow, event_kinds, keeps_visits, kinds
from .sources import ABSORBED, IDENTITY, PRUNED, Part, find_sources
from .views import Cut, Views
from .young import Absorbed, Young, read_young

if TYPE_CHECKING:
    from ..asking.totals import Totals
    from ..model import Model
    from ..tables import Tables

#: What the archive is called where it is said from where an answer comes.
ARCHIVE = "the archive"
#: Where a connection remembers how its figures are found.
_TOTALS = "statistics_totals"
#: What DuckDB raises where a file is missing, cut off or not what it was, or memory is short.
_TROUBLES = ("IOException", "InvalidInputException", "OutOfMemoryException", "InternalException")
_SQL_TYPES: dict[Kind, Any] = {
    "integer": sa.BigInteger,
    "float": sa.Double,
    "microseconds": sa.Double,
    "boolean": sa.Boolean,
    "text": sa.String,
    "moment": sa.DateTime,
}


class _Found(NamedTuple):
    """What one question needs: the views, and the host's rows in memory."""

    views: Views
    young: Young


class ArchivedRequests:
    """The requests of one app, from its archive and its table.

    :ivar database: DuckDB, which reads the archive.
    :ivar model: the host's model.
    :ivar tables: the tables of ours.
    :ivar trouble: why the archive did not answer when it was last asked; None where it did.
    """

    def __init__(self, archive: Archive, engine: sa.Engine, model: Model, tables: Tables) -> None:
        self.archive = archive
        self.database = Database(archive.path)
        self._engine = engine
        self.model = model
        self.tables = tables
        self._columns = kinds(model)
        self.trouble: str | None = None
        self._lock = Lock()
        self._manifest: tuple[Any, Manifest] | None = None
        self._shared = SharedVisits()
        self._visitors = SharedVisitors()
        self._values = KnownValues()
        self.source = self._make_source(views.REQUESTS)
        self._uncounted = self._make_source(views.UNCOUNTED)

    def _make_source(self, requests: str) -> Source:
        visits = sa.table(views.VISITS, *_plain(self.tables.visit))
        events = sa.table(views.EVENTS, *_plain(self.tables.event))
        return Source(
            _archived(self.model, self._columns, self._engine.dialect, requests),
            visits if keeps_visits(self._columns) else None,
            events,
            self.open,
            columnar=True,
            totals=_totals,
        )

    @contextmanager
    def open(self, spans: Sequence[Span]) -> Iterator[sa.Connection]:
        """Give a connection that can answer about these spans.

        :raises ArchiveError: where the archive cannot, now or while it is asked.
        """
        found = self._find(spans)
        with (
            self.database.connected() as (connection, driver),
            bounded(connection, current()),
            attended(connection, ARCHIVE),
            _told(),
        ):
            prepare(driver, found.views, found.young, self._shared)
            counting = Counting(
                *(self.source, self._uncounted, found.views, found.young, spans, self._visitors)
            )
            connection.info[_TOTALS] = partial(counting.totals, driver)
            connection.info[VALUES] = partial(self._values.find, driver, found.views, found.young)
            yield connection

    def state(self) -> object:
        """Return what changes whenever the archive does."""
        try:
            found = (self.archive.path / MANIFEST).stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    # -- what to read ------------------------------------------------------------------------

    def _find(self, spans: Sequence[Span]) -> _Found:
        with reading(self._engine) as connection:
            _see_one_moment(connection)
            # The table first, then the manifest: what moves between them is seen in one of them.
            state = self._read_state(connection)
            manifest = self._read_manifest(state)
            parts = self._parts(connection, manifest, spans, state)
            absorbed = self._absorbed(manifest, state)
            young = read_young(
                connection,
                self.model,
                self.tables,
                [(part.begin, part.end) for part in parts if part.table],
                absorbed,
            )
        return _Found(self._views(parts), young)

    def _read_state(self, connection: sa.Connection) -> Mapping[str, str]:
        table = self.tables.state
        asked = sa.select(table.c.name, table.c.value).where(
            table.c.name.in_((IDENTITY, PRUNED, ABSORBED))
        )
        return {name: value for name, value in connection.execute(asked)}  # noqa: C416

    def _read_manifest(self, state: Mapping[str, str]) -> Manifest:
        stamp = self.state()
        with self._lock:
            kept = self._manifest
        if kept is None or kept[0] != stamp:
            manifest = self.archive.manifest()
            if manifest is None:
                raise ArchiveError(
                    f"There is no archive in {self.archive.path} yet: "
                    "run `flask statistics archive build`."
                )
            with self._lock:
                self._manifest = kept = stamp, manifest
        if kept[1].identity != state.get(IDENTITY):
            raise ArchiveError(
                f"{self.archive.path} is the archive of another app or database: "
                "set STATISTICS_ARCHIVE to a folder of this app's own."
            )
        return kept[1]

    def _parts(
        self,
        connection: sa.Connection,
        manifest: Manifest,
        spans: Sequence[Span],
        state: Mapping[str, str],
    ) -> list[Part]:
        parts: list[Part] = []
        for begins, ends in _joined([_widened(manifest, span) for span in spans]):
            numbers = changes.day_numbers(connection, self.tables, begins.date(), ends.date())
            parts += find_sources(
                manifest,
                begins,
                ends,
                numbers=numbers,
                pruned=_moment(state.get(PRUNED)),
                columns=self._columns,
            )
        return parts

    def _absorbed(self, manifest: Manifest, state: Mapping[str, str]) -> Absorbed:
        absorbed = manifest.absorbed
        if absorbed is None or state.get(ABSORBED) == absorbed.token:
            return Absorbed()
        table = arrow().parquet.read_table(self.archive.file(absorbed.file))
        ids, events = (table[name].drop_null().to_pylist() for name in ("id", "event"))
        return Absorbed(ids, events, _moment(state.get(PRUNED)) or datetime.min)

    def _views(self, parts: Sequence[Part]) -> Views:
        whole: list[Segment] = []
        cut: list[Cut] = []
        for part in parts:
            segment = part.segment
            if segment is None:
                continue
            if not part.table and (part.begin, part.end) == (segment.begin, segment.end):
                whole.append(segment)
            else:
                cut.append(Cut(segment, part.begin, part.end))
        return Views(
            self.archive.path.absolute(), self._columns, event_kinds(self.tables), whole, cut
        )


def _totals(
    connection: sa.Connection, dimensions: Set[str], _spans: Collection[Span]
) -> Totals | None:
    found: Totals | None = connection.info[_TOTALS](dimensions)
    return found


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _plain(table: sa.Table) -> list[sa.ColumnClause[Any]]:
    return [sa.column(column.name, column.type) for column in table.columns]


def _archived(model: Model, columns: Mapping[str, Kind], dialect: sa.Dialect, view: str) -> Model:
    """Return the model of a view of requests."""
    types = {name: _SQL_TYPES[kind] for name, kind in columns.items()}
    # As the host's table gives them, so that single requests are the same from both.
    types |= {n: StoredJson for n, c in model.columns.items() if isinstance(c.type, sa.JSON)}
    moment = sa.column("moment", sa.DateTime())
    if str(as_stored(moment, model.columns["date"]).compile(dialect=dialect)) != moment.name:
        types["date"] = WholeSeconds
    table = sa.Table(
        view,
        sa.MetaData(),
        *(sa.Column(name, kind(), primary_key=name == ID) for name, kind in types.items()),
    )
    by_name = {name: table.c[name] for name in model.columns}
    return replace(
        model, table=table, primary_key=table.c[ID], columns=by_name, attributes=dict(table.c)
    )


@contextmanager
def _told() -> Iterator[None]:
    """Tell what is wrong with the archive, where DuckDB says that something is."""
    try:
        yield
    except Exception as error:
        cause = getattr(error, "orig", None) or error
        if type(cause).__name__ not in _TROUBLES:
            raise
        text = str(cause).strip().splitlines()[0]
        raise ArchiveError(
            f"The archive cannot be read ({text}): run `flask statistics archive verify`, which "
            "names what is damaged, and `flask statistics archive rebuild`."
        ) from error


def _see_one_moment(connection: sa.Connection) -> None:
    """Let SQLite, too, answer all that follows from one state; it is short."""
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "sqlite" and not driver.in_transaction:
        connection.exec_driver_sql("BEGIN")


def _widened(manifest: Manifest, span: Span) -> Span:
    """Return the span of the whole segments, and of what the table alone holds."""
    segments = manifest.between(*span)
    if not segments:
        return span
    return min(span[0], segments[0].begin), max(span[1], segments[-1].end)


def _joined(spans: Sequence[Span]) -> list[Span]:
    """Return spans, those that overlap or touch as one."""
    joined: list[Span] = []
    for begins, ends in sorted(spans):
        if joined and begins <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], ends)
        else:
            joined.append((begins, ends))
    return joined
