"""The rows of some questions in a temporary table that has no more than the questions ask for.

For DuckDB. Of dimensions whose values are known beforehand, numbers are copied instead of texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from .asked import Ask, counts_visits, is_of_known, metrics_of
from .cells import make_table
from .conditions import person
from .constructs import exact
from .marked_visitors import Visitors, named_keys
from .metrics import BY_NAME, Columns, Expression, Metric, page_view
from .query import Query
from .selection import Key, Selection

if TYPE_CHECKING:
    from .source import Source

#: More rows are not copied: they would not fit into the memory that DuckDB is given.
MOST_ROWS = 3_000_000


class _Byte(sa.types.UserDefinedType[int]):
    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "UTINYINT"


@dataclass
class Copy:
    """The rows of some questions.

    :ivar query: which rows.
    :ivar asks: the questions.
    :ivar values: the value of each number from 1 on, of dimensions that are copied as numbers.
    :ivar number: tells its tables from those of other copies.
    :ivar tables: the names of what was made.
    """

    source: Source
    query: Query
    asks: Sequence[Ask]
    values: Mapping[str, Sequence[Any]]
    number: int
    tables: list[str] = field(default_factory=list)

    def fill(self, connection: sa.Connection) -> bool:
        """Copy the rows, and look at their visitors; return False where they are too many."""
        selection = Selection(self.source, self.query)
        # Without filters it costs little to know beforehand.
        if (
            not self.query.filters
            and _count(connection, selection.source, *selection.conditions) > MOST_ROWS
        ):
            return False
        named = [value.label(name) for name, value in self._copied().items()]
        rows = sa.select(*named).select_from(selection.source).where(*selection.conditions)
        self._rows = self.make(connection, "rows", rows.limit(MOST_ROWS + 1))
        if _count(connection, self._rows) > MOST_ROWS:
            return False
        if "who" in self._rows.c:
            marked = Visitors(self._rows, self.values, self._with_visitors())
            self._visitors = replace(marked, table=self.make(connection, "visitors", marked.rows()))
        if "visit" in self._rows.c:
            self.visits = self.make(connection, "visits", self._visits())
            # Its names are a third of the copy.
            connection.exec_driver_sql(f"ALTER TABLE {self._rows.name} DROP COLUMN visit")
            left = (column for column in self._rows.c if column.name != "visit")
            self._rows = sa.table(self._rows.name, *_plain(left))
        return True

    def make(self, connection: sa.Connection, of: str, rows: Any) -> sa.TableClause:
        """Make a temporary table of what a statement selects."""
        name = f"statistics_{of}_{self.number}"
        self.tables.append(name)
        make_table(connection, name, rows)
        return sa.table(name, *_plain(rows.selected_columns))

    # -- what is copied ----------------------------------------------------------------------

    def _copied(self) -> dict[str, Expression]:
        """Return what is copied of each row, by its name in the copy."""
        columns: dict[str, Expression] = dict(self.source.model.columns)
        asked = {m.name for ask in self.asks for m in metrics_of(self.source, ask.query)}
        needed = {name for metric in asked for name in BY_NAME[metric].needs}
        columns["person"] = person(columns, self.query)
        found: dict[str, Expression] = {"date": columns["date"]}
        for name in self._dimensions:
            found[f"of_{name}"] = self._number_of(name)
        for name in ("response_time", "size", "db_queries", "db_time"):
            if name in needed:
                found[name] = columns[name]
        if asked & {"errors", "error_rate"}:
            found["failed"] = columns["status_code"] >= 500
        if "visitors" in asked:
            who = columns["visitor" if "visitor" in columns else "remote_address"]
            found["who"] = sa.case((columns["person"], exact(who)))
        if "page_views" in asked:
            found["page_view"] = page_view(columns)
        if any(counts_visits(self.source, ask) for ask in self.asks):
            found["visit"] = sa.case((page_view(columns), exact(columns["visit"])))
        return found

    def _with_visitors(self) -> list[str]:
        """Return the dimensions whose values are asked with their visitors."""
        of = (a for a in self.asks if BY_NAME["visitors"] in metrics_of(self.source, a.query))
        return list(dict.fromkeys(name for ask in of for name in ask.query.group_by))

    @property
    def _dimensions(self) -> list[str]:
        return list(dict.fromkeys(name for ask in self.asks for name in ask.query.group_by))

    def _number_of(self, name: str) -> Expression:
        """Return a dimension as it is copied."""
        selection = Selection(self.source, self.query.replace(group_by=(name,)))
        if name not in self.values:
            return selection.keys[0]
        # A function of one column, which DuckDB computes once for each text of a dictionary.
        place = sa.func.list_position(_list(self.values[name]), self.source.model.columns[name])
        return sa.type_coerce(sa.cast(place, _Byte()), sa.SmallInteger())

    def _visits(self) -> sa.Select[Any]:
        """Return the visits of page views, each once."""
        visit = self._rows.c.visit
        return sa.select(visit).where(visit.is_not(None)).distinct()

    # -- answers -----------------------------------------------------------------------------

    def aggregate(
        self, selection: Selection, metrics: Sequence[Metric], *, last: bool
    ) -> sa.Select[Any]:
        """Return the statement that :func:`.aggregates.aggregate` would, but over the copy."""
        rows = self._keyed(selection)
        keys = _keys_of(rows)
        figures = {m.name: self._figure(m, dict(rows.c)) for m in metrics if m.name != "visitors"}
        if last:
            figures["last"] = sa.func.max(rows.c.date)
        named = [figure.label(name) for name, figure in figures.items()]
        found = sa.select(*keys, *named).select_from(rows).group_by(*keys)
        if not any(metric.name == "visitors" for metric in metrics):
            return self._decoded(selection, found) if keys else found
        if not keys:
            return found.add_columns(self._visitors.amount().label("visitors"))
        return self._decoded(selection, found, self._visitors.by(selection))

    def percentiles(
        self, connection: sa.Connection, selection: Selection, metrics: Sequence[Metric]
    ) -> dict[Key, dict[str, Any]]:
        """Return the percentiles of each group by nearest rank."""
        rows = self._keyed(selection)
        keys = _keys_of(rows)
        shares = ", ".join(f"0.{metric.name.rpartition('_p')[2]}" for metric in metrics)
        # With decimals DuckDB's discrete quantile is the nearest rank.
        ranks = sa.func.quantile_disc(
            rows.c.response_time, sa.literal_column(f"[{shares}]"), type_=sa.types.NullType()
        )
        groups = sa.select(*keys, ranks.label("ranks")).select_from(rows).group_by(*keys)
        found = connection.execute(self._decoded(selection, groups) if keys else groups)
        names = [metric.name for metric in metrics]
        return {
            tuple(key): dict(zip(names, ranks or [None] * len(names), strict=True))
            for *key, ranks in found
        }

    def _keyed(self, selection: Selection) -> sa.Subquery:
        """Return the copied rows with the keys of a selection."""
        rows = self._rows.c
        names = selection.query.group_by
        keys = [*selection.times(rows.date), *(rows[f"of_{name}"] for name in names)]
        found = sa.select(*named_keys(keys), *rows)
        if is_of_known(selection.query):
            found = found.where(keys[-1].is_not(None))
        return found.subquery()

    @staticmethod
    def _figure(metric: Metric, rows: Columns) -> Expression:
        if metric.name == "page_views":
            return sa.func.count(sa.case((rows["page_view"], 1)))
        columns: dict[str, Expression] = dict(rows)
        if "failed" in columns:
            columns["status_code"] = sa.case((columns["failed"], 500))
        return metric.expression(columns)

    def _decoded(
        self, selection: Selection, rows: sa.Select[Any], people: sa.Subquery | None = None
    ) -> sa.Select[Any]:
        """Return groups with values instead of numbers, and with their visitors."""
        groups = rows.subquery()
        columns: list[Expression] = list(groups.c)
        source: sa.FromClause = groups
        if people is not None:
            same = (people.c[key.name].is_not_distinct_from(key) for key in _keys_of(groups))
            source = groups.outerjoin(people, sa.and_(*same))
            amount = sa.func.coalesce(people.c.visitors, 0, type_=sa.BigInteger())
            columns.append(amount.label("visitors"))
        names = selection.query.group_by
        if names and names[0] in self.values:
            value = sa.func.list_extract(_list(self.values[names[0]]), groups.c.key_0)
            type_ = self.source.model.columns[names[0]].type
            columns[0] = sa.type_coerce(value, type_).label("key_0")
        return sa.select(*columns).select_from(source)


def _count(connection: sa.Connection, rows: sa.FromClause, *conditions: Expression) -> int:
    counted = sa.select(sa.func.count()).select_from(rows).where(*conditions)
    return int(connection.execute(counted).scalar_one())


def _keys_of(rows: sa.FromClause) -> list[Expression]:
    return [column for column in rows.c if column.name.startswith("key_")]


def _plain(columns: Iterable[Any]) -> list[sa.ColumnClause[Any]]:
    return [sa.column(column.name, column.type) for column in columns]


def _list(values: Sequence[Any]) -> Expression:
    return sa.literal(list(values), sa.types.NullType())
