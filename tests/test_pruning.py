"""Old rows are deleted, in short transactions, and stay away."""

from __future__ import annotations

import sqlite3
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from flask_statistics import changes
from flask_statistics.errors import ConfigurationError, MissingTableError
from flask_statistics.owning import pruning, transactions
from flask_statistics.owning.pruning import prune
from tests.owned import (
    BOB,
    MakeHost,
    age,
    counts,
    days_ago,
    everything,
    figures,
    numbers,
    peoples_host,
    run,
    state_of,
    visit,
)
from tests.sample_log import SAMPLE_LINES

LINES = 300


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of 2015."""
    path = tmp_path / "access.log"
    path.write_bytes(b"".join(SAMPLE_LINES[:LINES]))
    return path


def test_old_days_go(make_host: MakeHost, database_url: str) -> None:
    """Requests, visits and events of days before the last N go; the days are noted as changed."""
    host = peoples_host(make_host, database_url, RETENTION_DAYS=30)
    visit(host, "/?buy=1")
    visit(host, "/a")
    host.rows()
    age(host, 31)
    visit(host, "/b", BOB)
    visit(host, "/?buy=1", BOB)
    host.rows()
    assert counts(host) == (4, 2, 2)
    before = numbers(host)
    assert run(host, "prune").stdout == (
        f"Deleted 2 requests, 1 visits and 1 events from before {days_ago(30)} (UTC).\n"
    )
    assert counts(host) == (2, 1, 1)
    changed = {day for day, number in numbers(host).items() if number != before.get(day, 0)}
    assert changed == {days_ago(31)}
    assert figures(host)["visits"] == 1


def test_whole_days_are_kept(make_host: MakeHost, database_url: str) -> None:
    """What is exactly N days old is kept to its first moment."""
    host = peoples_host(make_host, database_url)
    for _ in range(2):
        visit(host, "/")
    first, second = (row["id"] for row in host.rows())
    table = state_of(host).model.table
    midnight = datetime.combine(days_ago(3), time())
    with host.engine.begin() as connection:
        for key, moment in ((first, midnight), (second, midnight - timedelta.resolution)):
            update = table.update().where(table.c.id == key).values(date=moment)
            connection.execute(update)
    run(host, "prune", "--days", 3)
    assert [row["id"] for row in host.stored()] == [first]


def test_dry_run_changes_nothing(make_host: MakeHost, database_url: str, log: Path) -> None:
    """A dry run counts what would go, and changes no row of any table."""
    host = peoples_host(make_host, database_url)
    run(host, "import", log)
    before = everything(host)
    text = run(host, "prune", "--days", 1, "--dry-run").stdout
    assert text.startswith("Would delete 300 requests, ")
    assert everything(host) == before
    assert run(host, "prune", "--days", 1).stdout == text.replace("Would delete", "Deleted")
    assert counts(host) == (0, 0, 0)


def test_what_was_pruned_is_not_imported_again(
    make_host: MakeHost, database_url: str, log: Path
) -> None:
    """Lines of a log whose requests were pruned are known, and stay away."""
    host = peoples_host(make_host, database_url)
    run(host, "import", log)
    run(host, "prune", "--days", 1)
    assert "0 new, 300 known" in run(host, "import", log).stdout
    assert counts(host) == (0, 0, 0)


def test_without_a_retention(make_host: MakeHost, sqlite_url: str) -> None:
    """Without a setting or an option it says what to do, and deletes nothing."""
    host = peoples_host(make_host, sqlite_url)
    visit(host, "/")
    host.rows()
    age(host, 1000)
    assert run(host, "prune", code=1).stderr == (
        "Error: Nothing says how long requests are kept: set STATISTICS_RETENTION_DAYS, "
        "or give --days.\n"
    )
    with pytest.raises(ConfigurationError):
        prune(state_of(host))
    assert counts(host)[0] == 1


def test_missing_tables(make_host: MakeHost, sqlite_url: str) -> None:
    """A host that has not migrated is told so, before anything is deleted."""
    host = peoples_host(make_host, sqlite_url)
    with host.engine.begin() as connection:
        state_of(host).tables.event.drop(connection)
    with pytest.raises(MissingTableError, match="statistics_event is missing: run `flask db"):
        prune(state_of(host), days=1)


def _let_transactions_be_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "HELD", 0.0)
    monkeypatch.setattr(pruning, "PART", 50)


def test_others_write_between_transactions(
    make_host: MakeHost, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SQLite each transaction is short and ends, so that another writer comes in between."""
    path = tmp_path / "shared.sqlite"
    host = peoples_host(make_host, f"sqlite:///{path}")
    run(host, "import", log)
    _let_transactions_be_short(monkeypatch)
    other = sqlite3.connect(path, timeout=0, isolation_level=None)
    other.execute("CREATE TABLE other (number INTEGER)")
    left: list[Any] = []

    def write(seconds: float) -> None:
        other.execute("INSERT INTO other SELECT COUNT(*) FROM request")
        left.append(other.execute("SELECT MAX(rowid), number FROM other").fetchone()[1])

    monkeypatch.setattr(transactions, "sleep", write)
    prune(state_of(host), days=1)
    other.close()
    assert left[:3] == [250, 200, 150]


def test_it_goes_on_where_it_was_interrupted(
    make_host: MakeHost, database_url: str, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was deleted stays deleted where the database fails, and the next run goes on."""
    host = peoples_host(make_host, database_url)
    run(host, "import", log)
    done, raise_days = [], changes.raise_days

    def fail(*arguments: Any) -> None:
        done.append(arguments)
        if len(done) == 4:
            raise sa.exc.DatabaseError("DELETE", None, Exception("the disk is full"))
        raise_days(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(changes, "raise_days", fail)
        _let_transactions_be_short(patched)
        assert "the disk is full" in run(host, "prune", "--days", 1, code=1).stderr
    assert counts(host)[0] == LINES - 3 * 50
    assert run(host, "prune", "--days", 1).stdout.startswith("Deleted 150 requests")
    assert counts(host) == (0, 0, 0)
