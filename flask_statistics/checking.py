"""What the host's database lacks that would make questions fast or right. Changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from . import changes
from .asking.limits import Deadline, bounded
from .asking.reading import reading
from .asking.source import COMPLETE, VISITS
from .errors import QueryTimeoutError
from .model import Model
from .state import State

#: What the panels of the dashboard read of a request; what is long stays out.
_PANELS = (
    *("visitor", "bot", "visit", "method", "status_code", "mimetype", "response_time", "size"),
    *("browser", "platform", "device", "country", "language", "source", "route", "exception"),
)
#: Characters of a name that every database takes, and those of it that the table's may have.
_TABLE_LETTERS = 40
#: A statement that takes two seconds, or for SQLite about one.
_SLOW = {
    "postgresql": "SELECT pg_sleep(2)",
    "mysql": "SELECT SLEEP(2)",
    "mariadb": "SELECT SLEEP(2)",
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9000000) "
    "SELECT COUNT(*) FROM n",
}
_PATIENCE = 0.1


@dataclass(frozen=True)
class UsefulIndex:
    """An index that questions gain from.

    :ivar columns: as the database calls them.
    :ivar optional: whether what it costs is worth it only to some.
    """

    name: str
    columns: tuple[str, ...]
    gain: str
    cost: str
    optional: bool = False


@dataclass(frozen=True)
class Check:
    """What was found.

    :ivar model: the name of the host's model.
    :ivar indexes: those that its table lacks.
    :ivar missing: our tables that the database lacks; the host's, if that is missing.
    :ivar visits: whether the table of visits holds them all; None where the model has none.
    :ivar timeout: whether the database ends a statement that takes too long.
    """

    model: str
    table: str
    schema: str | None
    indexes: tuple[UsefulIndex, ...]
    missing: tuple[str, ...]
    visits: bool | None
    timeout: bool

    @property
    def is_good(self) -> bool:
        """Whether nothing is lacking but what is optional."""
        needed = [index for index in self.indexes if not index.optional]
        return not needed and not self.missing and self.visits is not False and self.timeout


def make_check(state: State) -> Check:
    """Look at the database of an app.

    :raises sqlalchemy.exc.SQLAlchemyError: where it does not answer.
    """
    table = state.model.table
    with reading(state.engine) as connection:
        inspector = sa.inspect(connection)
        missing = tuple(
            each.name
            for each in (table, *state.tables)
            if not inspector.has_table(each.name, schema=each.schema)
        )
        indexes = () if table.name in missing else tuple(_lacking(inspector, state.model))
        visits = None
        if state.model.has("visit"):
            gone = {state.tables.state.name, state.tables.visit.name} & set(missing)
            visits = not gone and changes.read_state(connection, state.tables, VISITS) == COMPLETE
    timeout = _ends_statements(state.engine)
    name = state.model.orm.__name__
    return Check(name, table.name, table.schema, indexes, missing, visits, timeout)


def lacking_indexes(state: State) -> list[UsefulIndex]:
    """Return the indexes that the host's table lacks, those that are optional included.

    :raises sqlalchemy.exc.SQLAlchemyError: where the database does not answer.
    """
    with reading(state.engine) as connection:
        return list(_lacking(sa.inspect(connection), state.model))


def _lacking(inspector: sa.Inspector, model: Model) -> Iterator[UsefulIndex]:
    table = model.table
    there = list(inspector.get_indexes(table.name, schema=table.schema))
    begins: list[list[str | None]] = [
        list(index["column_names"]) for index in there if not _is_partial(index)
    ]
    key = inspector.get_pk_constraint(table.name, schema=table.schema)
    begins.append(list(key["constrained_columns"]))
    for unique in inspector.get_unique_constraints(table.name, schema=table.schema):
        begins.append(list(unique["column_names"]))
    taken = {str(index["name"]) for index in there}
    for wanted in _useful(model, inspector.dialect.name, taken):
        columns = list(wanted.columns)
        if not any(found[: len(columns)] == columns for found in begins):
            yield wanted


def _is_partial(index: Any) -> bool:
    options = index.get("dialect_options", {})
    return any(name.endswith("_where") and value is not None for name, value in options.items())


def _useful(model: Model, dialect: str, taken: Iterable[str]) -> Iterator[UsefulIndex]:
    def index(ending: str, fields: Iterable[str], **texts: Any) -> UsefulIndex:
        name = f"ix_{model.table.name[:_TABLE_LETTERS]}_{ending}"
        while name in taken:  # of another index
            name += "_2"
        return UsefulIndex(name, tuple(model.columns[field].name for field in fields), **texts)

    yield index(
        "date", ["date"],
        gain="every question: it is about days, and reads no others",
        cost="some 4 µs a row, which without indexes costs 11",
    )  # fmt: skip
    if model.has("visitor"):
        yield index(
            "visitor_date", ["visitor", "date"],
            gain="all that is about one visitor: `forget`, `visits rebuild`",
            cost="some 4 µs a row, as the other",
        )  # fmt: skip
    if dialect == "sqlite" and model.has("visitor"):
        yield index(
            "statistics", ["date", *(field for field in _PANELS if model.has(field))],
            gain="the dashboard over long ranges, which then does not read whole rows",
            cost="three fifths of the storing rate, and the room of a second, smaller table; "
            "an archive gains more and costs nothing here",
            optional=True,
        )  # fmt: skip


def _ends_statements(engine: sa.Engine) -> bool:
    statement = _SLOW.get(engine.dialect.name)
    if statement is None:
        return False
    try:
        with engine.connect() as connection, bounded(connection, Deadline(_PATIENCE)):
            connection.exec_driver_sql(statement).all()
    except QueryTimeoutError:
        return True
    return False


def migration_text(check: Check) -> str:
    """Return the two functions of an Alembic migration that adds the lacking indexes."""
    table, schema = check.table, f", schema={check.schema!r}" if check.schema else ""
    made = [
        f"    op.create_index({index.name!r}, {table!r}, {list(index.columns)!r}{schema})"
        for index in check.indexes
    ]
    dropped = [
        f"    op.drop_index({index.name!r}, table_name={table!r}{schema})"
        for index in reversed(check.indexes)
    ]
    return "\n".join(["def upgrade():", *made, "", "", "def downgrade():", *dropped])


def write_check(check: Check, form: str) -> str:
    """Return a check as ``"text"`` or ``"json"``."""
    if form == "json":
        migration = migration_text(check) if check.indexes else None
        return json.dumps(
            {"good": check.is_good, **asdict(check), "migration": migration}, indent=2
        )
    return "\n".join(_lines(check))


def _lines(check: Check) -> Iterator[str]:
    needed = [index for index in check.indexes if not index.optional]
    found = {
        "Table": check.table,
        "Our tables": f"missing: {', '.join(check.missing)}" if check.missing else "all there",
        "Visits": {True: "complete", False: "incomplete", None: "not recorded"}[check.visits],
        "Time limit": "kept by the database" if check.timeout else "not kept by this database",
        "Indexes": f"{len(needed)} missing" if needed else "all there",
    }
    yield from (f"{label:<12}{value}" for label, value in found.items())
    if check.missing:
        yield "\nRun `flask db migrate` and `flask db upgrade` to make the missing tables."
    elif check.visits is False:
        yield (
            "\nRun `flask statistics visits rebuild`: until then visits are computed from the "
            "requests, at each question."
        )
    yield from _advice(check)


def _advice(check: Check) -> Iterator[str]:
    for index in check.indexes:
        kind = "Optional" if index.optional else "Missing"
        yield f"\n{kind}: an index on ({', '.join(index.columns)})"
        yield f"  for {index.gain}"
        yield f"  costs {index.cost}"
    if check.indexes:
        yield "\nA migration that adds them, for the file that `flask db revision` makes:\n"
        yield migration_text(check)
        yield "\nBelow the model, so that the next `flask db migrate` does not drop them:\n"
        for index in check.indexes:
            columns = f"[{check.model}.__table__.c[name] for name in {list(index.columns)!r}]"
            yield f"db.Index({index.name!r}, *{columns})"
