"""What a row has of each dimension that is its own or its visit's, as SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from ..fields import BY_NAME as FIELDS
from .constructs import as_text, exact
from .filters import VISIT_DIMENSIONS, find_dimension
from .metrics import Columns, Expression
from .visits import PAGES, visit_pages, whole_visits

if TYPE_CHECKING:
    from .query import Query
    from .source import Source


class Dimensions:
    """The dimensions of rows that have recorded columns and belong to a visit.

    :param columns: the columns that the rows have of requests.
    :param visit: the column with the name of the visit.
    """

    def __init__(
        self, tables: Source, query: Query, columns: Columns, visit: Expression | None
    ) -> None:
        self._columns = columns
        self._visit = visit
        self._of_visits: dict[str, Expression] = {}
        self._joined: list[sa.Subquery] = []
        for name in VISIT_DIMENSIONS:
            if name in query.dimensions:
                find_dimension(name, name, tables.model.columns)
                self._join(tables, query, name)

    def _join(self, tables: Source, query: Query, name: str) -> None:
        if name in PAGES:
            visits = visit_pages(tables, query, name)
            self._of_visits[name] = visits.c.path
        else:
            visits = whole_visits(tables, query)
            self._of_visits[name] = visits.c.page_views
        self._joined.append(visits)

    def join(self, rows: sa.FromClause) -> sa.FromClause:
        """Return the rows, joined with the visits that their dimensions are of."""
        for visits in self._joined:
            rows = rows.outerjoin(visits, exact(self._visit) == visits.c.visit)
        return rows

    def stored(self, name: str) -> Expression:
        """Return the column of a dimension, texts as the database compares them."""
        if name in self._of_visits:
            return self._of_visits[name]
        column = self._columns[name]
        return column if FIELDS[name].kind != "text" else as_text(column)

    def value(self, name: str) -> Expression:
        """Return the values of a dimension as they group."""
        stored = self.stored(name)
        return grouped(stored) if (FIELDS | VISIT_DIMENSIONS)[name].kind == "text" else stored


def grouped(text: Expression) -> Expression:
    """Return texts as they group: exactly, empty ones as NULL."""
    return sa.func.nullif(exact(text), "", type_=sa.String())
