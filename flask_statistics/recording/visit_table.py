"""Keeps ``statistics_visit`` and the visits of rows right while rows are stored.

One transaction at a time works on visits: it holds the row of ``statistics_state`` that says
whether they are complete. So it sees every visit that another worker found, rows of a visit are
numbered in the order in which they are added to it, and nobody else begins a visit that belongs
to this one. A row that comes late may show that two visits are one; then the rows, the events
and the figures of the later one become those of the earlier one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import chain
from operator import attrgetter, itemgetter

import sqlalchemy as sa

from .. import changes
from ..model import Model
from ..tables import Tables
from .inserting import Inserter
from .known_visits import KnownVisits
from .visits import (
    COLUMNS,
    PageViews,
    Row,
    Run,
    Span,
    TrackedRow,
    Visit,
    find_runs,
    is_alone,
    name_visit,
    values_of,
)  # fmt: skip

_DAY = timedelta(days=1)
_ENDED = attrgetter("ended")


class VisitTable:
    """Finds the visits of rows that are being stored, and stores what is known of them.

    :param places: where each column stands in a row, by its name.
    """

    def __init__(
        self,
        engine: sa.Engine,
        model: Model,
        tables: Tables,
        places: Mapping[str, int],
        timeout: float,
    ) -> None:
        self._tables = tables
        self._timeout = timedelta(seconds=timeout)
        self._date, self._visitor = places["date"], places["visitor"]
        self._moment_of: Callable[[Row], datetime] = itemgetter(self._date)
        self._visit = places["visit"]
        self._bot, self._path = places.get("bot"), places.get("path")
        self._is_page_view = PageViews(places).holds
        table = tables.visit
        columns = [table.c[name] for name in COLUMNS]
        self._upsert = Inserter(engine, table, columns, keys=("visit", "person"))
        self._known = KnownVisits(engine, tables)
        self._rename = Rename(model, tables)

    def store(self, connection: sa.Connection, rows: Iterable[Row], *, polite: bool) -> None:
        """Set the visits of rows that are about to be inserted, and store the visits.

        :param connection: in a transaction that holds the lock of the visits.
        """
        by_visitor = self._by_visitor(rows)
        if not by_visitor:
            return
        known = self._look_up(connection, by_visitor)
        found = Found()
        for visitor, of in by_visitor.items():
            self._take(visitor, of, known.get(visitor, ()), found)
        for kept, name in found.joined:
            self._rename.run(connection, kept, name)
        visits = sorted(found.visits.items())
        self._upsert.insert(connection, [[*values_of(v)] for _, v in visits], polite=polite)

    def name(self, rows: Iterable[Row]) -> None:
        """Set the visits of rows without any table: they end with each batch and each span."""
        for visitor, of in self._by_visitor(rows).items():
            self._take(visitor, of, (), Found())

    def _by_visitor(self, rows: Iterable[Row]) -> dict[str, list[Row]]:
        found: dict[str, list[Row]] = {}
        place = self._visitor
        for row in rows:
            visitor = row[place]
            if visitor in found:
                found[visitor].append(row)
            elif visitor:
                found[visitor] = [row]
        return found

    def _look_up(
        self, connection: sa.Connection, by_visitor: Mapping[str, list[Row]]
    ) -> dict[str, list[Visit]]:
        """Return the visits that the rows may belong to, by visitor."""
        rows = chain.from_iterable(by_visitor.values())
        moments = list(map(self._moment_of, rows))
        first, last = min(moments) - self._timeout, max(moments) + self._timeout
        return self._known.of(connection, by_visitor, first, last)

    def _take(self, visitor: str, rows: list[Row], known: Iterable[Visit], found: Found) -> None:
        """Set the visits of a visitor's rows, which come in the order of their numbers."""
        date = self._date
        visits = {(visit.visit, visit.person): visit for visit in known}
        if self._go_on(visitor, rows, visits, found):
            return
        spans: list[Span] = [(v.began, v.ended, v.visit, None) for v in visits.values()]
        spans += [(row[date], row[date], None, row) for row in rows if not is_alone(row)]
        runs = find_runs(spans, self._timeout)
        for run in runs:
            if not run.known:
                run.known.append(name_visit(visitor, run.began, self._timeout))
            for name in run.known[1:]:
                found.join(visits, run.known[0], name)
            for row in run.rows:
                row[self._visit] = run.known[0]
                found.changed(self._add(visits, row))
        for row in rows:
            if type(row) is TrackedRow and (not row.alone or self._belongs(row, runs)):
                found.changed(self._add_events(visits, row))

    def _go_on(self, visitor: str, rows: list[Row], visits: Visits, found: Found) -> bool:
        """Do so where all rows come after what is known began, as nearly all do.

        :returns: whether that was so; else nothing was done.
        """
        if TrackedRow in map(type, rows):
            return False
        if len(rows) > 1:
            rows = sorted(rows, key=self._moment_of)
        date, timeout, name = self._date, self._timeout, ""
        ended = began = rows[0][date]
        if visits:
            last = _last(visits, timeout)
            if last is None or began < last.began:
                return False
            name, ended = last.visit, last.ended
        else:
            name = name_visit(visitor, began, timeout)
        bot, path, is_page_view, visit = self._bot, self._path, self._is_page_view, None
        for row in rows:
            moment = row[date]
            if moment > ended:
                if moment - ended > timeout:
                    name, visit = name_visit(visitor, moment, timeout), None
                ended = moment
            row[self._visit] = name
            if visit is None or (bot is not None and visit.person is not (row[bot] is None)):
                visit = self._visit_of(visits, row)
                found.changed(visit)
            viewed = None if path is None else row[path]
            visit.add_request(moment, viewed, page_view=is_page_view(row))
        return True

    def _visit_of(self, visits: Visits, row: Row) -> Visit:
        """Return the visit of a request, known or new."""
        key = (row[self._visit], self._bot is None or row[self._bot] is None)
        visit = visits.get(key)
        if visit is None:
            moment = row[self._date]
            visit = visits[key] = Visit(*key, row[self._visitor], moment, moment)
        return visit

    def _add(self, visits: Visits, row: Row) -> Visit:
        """Count a request in its visit."""
        visit = self._visit_of(visits, row)
        path = None if self._path is None else row[self._path]
        visit.add_request(row[self._date], path, page_view=self._is_page_view(row))
        return visit

    def _belongs(self, row: Row, runs: Iterable[Run]) -> bool:
        """Set the visit of a request that was stored before; return whether there is one."""
        moment = row[self._date]
        row[self._visit] = next((r.known[0] for r in runs if r.began <= moment <= r.ended), None)
        return row[self._visit] is not None

    def _add_events(self, visits: Visits, row: TrackedRow) -> Visit:
        person = self._bot is None or row[self._bot] is None
        name = row[self._visit]
        visit = visits.get((name, person)) or visits[name, not person]
        for event in row.events:
            visit.add_event(event[0])
        return visit


Visits = dict[tuple[str, bool], Visit]


def _last(visits: Visits, timeout: timedelta) -> Visit | None:
    """Return the last visit of a visitor; None where it is to be joined with another one."""
    if len(visits) == 1:
        return next(iter(visits.values()))
    last = max(visits.values(), key=_ENDED)
    others = (visit for visit in visits.values() if visit.visit != last.visit)
    return None if any(last.began - other.ended <= timeout for other in others) else last


class Found:
    """What is to be stored of the visits of one batch."""

    def __init__(self) -> None:
        self.visits: Visits = {}
        self.joined: list[tuple[str, Visit]] = []

    def changed(self, visit: Visit) -> None:
        self.visits[visit.visit, visit.person] = visit

    def join(self, visits: Visits, kept: str, name: str) -> None:
        """Let the rows of one name become those of another."""
        for person in (True, False):
            part = visits.pop((name, person), None)
            if part is None:
                continue
            self.joined.append((kept, part))
            whole = visits.get((kept, person))
            if whole is None:
                whole = visits[kept, person] = replace(part, visit=kept)
            else:
                whole.absorb(part)
            self.changed(whole)


class Rename:
    """Lets the rows and events of a visit become those of another, and forgets the visit."""

    def __init__(self, model: Model, tables: Tables) -> None:
        self._tables = tables
        visit, moment = model.columns["visit"], model.columns["date"]
        rows = [
            visit == sa.bindparam("statistics_before"),
            moment.between(sa.bindparam("statistics_first"), sa.bindparam("statistics_last")),
        ]
        if model.has("visitor"):  # where its index is
            rows.append(model.columns["visitor"] == sa.bindparam("statistics_visitor"))
        event = tables.event
        self._statements = [
            model.table.update().where(*rows).values({visit: sa.bindparam("statistics_after")}),
            event.update()
            .where(event.c.visit == sa.bindparam("statistics_before"))
            .values(visit=sa.bindparam("statistics_after")),
            tables.visit.delete().where(tables.visit.c.visit == sa.bindparam("statistics_before")),
        ]

    def run(self, connection: sa.Connection, kept: str, part: Visit) -> None:
        """Rename in the caller's transaction, and note the days as changed."""
        values = {
            "before": part.visit,
            "after": kept,
            "visitor": part.visitor,
            "first": part.began,
            "last": part.ended,
        }
        named = {f"statistics_{name}": value for name, value in values.items()}
        for statement in self._statements:
            connection.execute(statement, named)
        changes.raise_days(connection, self._tables, days_of(part))


def days_of(visit: Visit) -> list[date]:
    """Return the days on which a visit went on, most often one."""
    first = visit.began.date()
    return [first + n * _DAY for n in range((visit.ended.date() - first).days + 1)]
