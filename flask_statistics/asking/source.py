"""Where answers come from: the host's table, or whatever else holds the same rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence, Set
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

import sqlalchemy as sa

from .. import changes
from .reading import reading

if TYPE_CHECKING:
    from ..model import Model
    from ..tables import Tables

#: From one moment to another, which is not in it; naive UTC.
Span = tuple[datetime, datetime]
#: Gives a connection that can answer about these spans, for as long as it is asked.
Open = Callable[[Sequence[Span]], AbstractContextManager[sa.Connection]]
#: The name, among the single values of ours, of whether the table of visits holds them all.
VISITS, COMPLETE = "visits", "complete"

_BOTH = frozenset({"visits", "events"})
#: The tables of ours that were seen; a host that has not migrated yet lacks them.
_seen: WeakKeyDictionary[sa.Engine, set[str]] = WeakKeyDictionary()


class Counted(Protocol):
    """Requests that were counted before they are asked for."""

    def aggregate(self, selection: Any, metrics: Sequence[Any], *, last: bool) -> sa.Select[Any]:
        """Return the statement that computes metrics of requests for each group."""


class Known(Counted, Protocol):
    """Figures that answer some questions; see :class:`.totals.Totals`."""

    def suits(self, source: Any, ask: Any) -> bool:
        """Whether a question is about nothing but these figures."""


@dataclass(frozen=True)
class Source:
    """What statements select from, and the connection that they run on.

    :ivar model: the requests: the table, its recorded columns by field name, its primary key.
    :ivar visits: rows as those of ``statistics_visit``; None where they are computed from the
        requests.
    :ivar events: rows as those of ``statistics_event``; None where there are none.
    :ivar open: gives a connection that can answer about these spans.
    :ivar holds: which of "visits" and "events" a connection finds complete.
    :ivar kept: what was built once for several statements of one answer.
    :ivar columnar: whether a column is read so quickly that distinct visitors are better counted
        for the groups of a page only, and whether percentiles are aggregates.
    :ivar totals: the figures of some dimensions in some spans of time that a connection knows
        before any request is counted; the empty name stands for all requests together.
    :ivar cells: the requests of the question, counted before; None where nothing is shared.
    """

    model: Model
    visits: sa.FromClause | None
    events: sa.FromClause | None
    open: Open
    holds: Callable[[sa.Connection], Collection[str]] = lambda _: _BOTH
    kept: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)
    cells: Counted | None = None
    columnar: bool = False
    totals: Callable[[sa.Connection, Set[str], Collection[Span]], Known | None] = lambda *_: None

    def seen_by(self, connection: sa.Connection) -> Source:
        """Return the source without the tables that this connection cannot answer from."""
        lacks_both = self.visits is None and self.events is None
        held = _BOTH if lacks_both else self.holds(connection)
        return replace(
            self,
            visits=self.visits if "visits" in held else None,
            events=self.events if "events" in held else None,
            kept={},
        )


def table_source(engine: sa.Engine, model: Model, tables: Tables | None = None) -> Source:
    """Return the host's own table as a source, with the tables of ours where there are any."""
    opened = partial(_open, engine)
    if tables is None:
        return Source(model, None, None, opened)
    return Source(model, tables.visit, tables.event, opened, partial(_held, engine, tables))


@contextmanager
def _open(engine: sa.Engine, spans: Sequence[Span]) -> Iterator[sa.Connection]:
    with reading(engine) as connection:
        yield connection


def _held(engine: sa.Engine, tables: Tables, connection: sa.Connection) -> set[str]:
    held = {"events"} if exists(engine, tables.event, connection) else set()
    if all(exists(engine, table, connection) for table in (tables.visit, tables.state)):
        complete = changes.read_state(connection, tables, VISITS) == COMPLETE
        held |= {"visits"} if complete else set()
    return held


def exists(engine: sa.Engine, table: sa.Table, connection: sa.Connection) -> bool:
    """Whether a table of ours is there; once seen, it is taken for granted."""
    seen = _seen.setdefault(engine, set())
    if table.fullname not in seen and sa.inspect(connection).has_table(
        table.name, schema=table.schema
    ):
        seen.add(table.fullname)
    return table.fullname in seen
