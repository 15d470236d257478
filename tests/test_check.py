"""``flask statistics check``: what it misses, and that its migration mends it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from flask_statistics import changes
from flask_statistics.checking import make_check, migration_text
from flask_statistics.state import State
from tests.pages import classic_model

if TYPE_CHECKING:
    from tests.conftest import Host

    MakeHost = Callable[..., Host]


def state_of(host: Host) -> State:
    state: State = host.app.extensions["statistics"]
    return state


def complete(host: Host) -> None:
    """Say that the table of visits holds them all."""
    state = state_of(host)
    with host.engine.begin() as connection:
        changes.write_state(connection, state.tables, "visits", "complete")


def run(host: Host, *arguments: str) -> Any:
    return host.app.test_cli_runner().invoke(args=["statistics", "check", *arguments])


def migrate(host: Host, text: str, direction: str) -> None:
    """Run a printed migration by Alembic."""
    with host.engine.begin() as connection:
        names: dict[str, Any] = {"op": Operations(MigrationContext.configure(connection))}
        exec(text, names)
        names[direction]()


def drop_indexes(host: Host) -> None:
    with host.engine.begin() as connection:
        for index in host.Request.__table__.indexes:
            index.drop(connection)


def test_a_model_with_everything(make_host: MakeHost, database_url: str) -> None:
    """Nothing needed is lacking: exit code 0."""
    host = make_host(url=database_url)
    complete(host)
    result = run(host)
    assert result.exit_code == 0, result.output
    assert "Our tables  all there" in result.output
    assert "Time limit  kept by the database" in result.output
    assert "Missing:" not in result.output


def test_the_migration_makes_it_pass(make_host: MakeHost, database_url: str) -> None:
    """Without indexes: exit code 1, and a migration that Alembic runs, forth and back."""
    host = make_host(url=database_url)
    complete(host)
    drop_indexes(host)
    assert run(host).exit_code == 1
    text = json.loads(run(host, "--format", "json").output)["migration"]
    migrate(host, text, "upgrade")
    found = json.loads(run(host, "--format", "json").output)
    assert (found["good"], found["indexes"], found["migration"]) == (True, [], None)
    migrate(host, text, "downgrade")
    assert run(host).exit_code == 1


def test_names_are_those_of_the_database(make_host: MakeHost, database_url: str) -> None:
    """Columns of other names, a table in a schema with a name that must be quoted."""
    schema = None if database_url.startswith("sqlite") else 'odd "schema'
    if schema and database_url.startswith("mariadb"):
        schema = None  # there a schema is another database

    def model(db: Any) -> Any:
        class Request(db.Model):  # type: ignore[name-defined, misc, unused-ignore]
            __tablename__ = "the `odd' \"table"
            __table_args__ = {"schema": schema}
            number = db.Column("the key", db.Integer, primary_key=True)
            date = db.Column("the 'date'", db.DateTime)
            visitor = db.Column("who", db.String(32))

        return Request

    def make_schema(app: Any) -> None:
        if schema:
            engine = sa.create_engine(database_url)
            with engine.begin() as connection:
                connection.execute(sa.schema.CreateSchema(schema))
            engine.dispose()

    host = make_host(model=model, url=database_url, before=make_schema)
    check = make_check(state_of(host))
    needed = [index.columns for index in check.indexes if not index.optional]
    assert needed == [("the 'date'",), ("who", "the 'date'")]
    migrate(host, migration_text(check), "upgrade")
    assert make_check(state_of(host)).indexes == ()


def test_an_index_that_begins_so_is_enough(make_host: MakeHost) -> None:
    """(date, path) serves what (date) would; a partial one does not."""
    host = make_host(model=classic_model)
    assert [i.columns for i in make_check(state_of(host)).indexes] == [("date",)]
    with host.engine.begin() as connection:
        connection.exec_driver_sql("CREATE INDEX some ON request (date) WHERE size > 5")
    assert [i.columns for i in make_check(state_of(host)).indexes] == [("date",)]
    with host.engine.begin() as connection:
        connection.exec_driver_sql("CREATE INDEX both ON request (date, path)")
    assert make_check(state_of(host)).indexes == ()


def test_what_else_is_missing(make_host: MakeHost) -> None:
    """Tables that were not migrated, and visits that are not complete, with the remedy."""
    host = make_host()
    result = run(host)
    assert result.exit_code == 1
    assert "flask statistics visits rebuild" in result.output
    state_of(host).tables.change.drop(host.engine)
    result = run(host)
    assert result.exit_code == 1
    assert "missing: statistics_change" in result.output
    assert "flask db upgrade" in result.output


def test_it_changes_nothing(make_host: MakeHost, database_url: str) -> None:
    """Not an index is made without being asked for."""
    host = make_host(url=database_url)
    drop_indexes(host)
    run(host)
    name = host.Request.__table__.name
    assert sa.inspect(host.engine).get_indexes(name) == []


@pytest.mark.parametrize("form", ["text", "json"])
def test_without_the_hosts_table(make_host: MakeHost, form: str) -> None:
    """It says so, and does not fail."""
    host = make_host()
    host.Request.__table__.drop(host.engine)
    result = run(host, "--format", form)
    assert result.exit_code == 1
    assert "request" in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
