"""The keeper: one process at a time looks after the archive, the totals and the retention."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from flask_statistics import keeper as keepers
from flask_statistics.archive.lease import LEASE, read_lease, take_lease
from flask_statistics.attending import _tasks
from flask_statistics.changes import utc_now
from flask_statistics.keeper import Keeper
from tests.archived import archived_host, manifest_of, request, state_of, store

MakeHost = Callable[..., Any]


@pytest.fixture(autouse=True)
def _no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keepers, "REST", 0.0)


@pytest.fixture
def host(make_host: MakeHost, database_url: str, tmp_path: Path) -> Any:
    return archived_host(
        make_host, database_url, tmp_path / "archive", settings={"STATISTICS_KEEPER": True}
    )


def keeper_of(host: Any) -> Keeper:
    """Return the keeper of another process."""
    state = state_of(host)
    return Keeper(state.engine, state.tables, list(_tasks(state)))


def test_one_process_at_a_time(host: Any) -> None:
    """A lease is held by one, until it ends or is given back."""
    state = state_of(host)
    engine, tables = state.engine, state.tables
    assert take_lease(engine, tables, "one")
    assert not take_lease(engine, tables, "two")
    assert take_lease(engine, tables, "one")
    assert take_lease(engine, tables, "two", utc_now() + LEASE + timedelta(seconds=1))
    assert not take_lease(engine, tables, "one")
    lease = read_lease(engine, tables)
    assert lease is not None
    assert lease[0] == "two"


def test_the_keeper_builds_the_archive(host: Any) -> None:
    """It builds where it is the keeper; another one does not; stopping gives the lease back."""
    store(host, request(5))
    keeper, other = keeper_of(host), keeper_of(host)
    assert keeper.look()
    assert manifest_of(host).rows == 1
    assert not other.look()
    keeper.stop(1)
    assert other.look()
    other.stop(1)


def test_it_prunes_once_a_day(
    make_host: MakeHost,
    sqlite_url: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where a retention is set; a failure is logged, and tried again at the next look."""
    host = make_host(url=sqlite_url, settings={"STATISTICS_RETENTION_DAYS": 30})
    calls: list[str] = []

    def prune(_: Any) -> None:
        calls.append("pruned")
        if len(calls) == 1:
            raise OSError("away")

    monkeypatch.setattr("flask_statistics.owning.pruning.prune", prune)
    keeper = keeper_of(host)
    assert [keeper.look() for _ in range(3)] == [True] * 3
    assert len(calls) == 2
    assert "The retention could not be looked after" in caplog.text
    keeper.stop(1)


def test_a_folder_that_cannot_be_used_is_said(
    host: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The message of the archive is logged, once."""
    (tmp_path / "archive").touch()
    keeper = keeper_of(host)
    keeper.look()
    keeper.look()
    assert caplog.text.count("is a file: set STATISTICS_ARCHIVE to a folder.") == 1
    keeper.stop(1)


def test_it_starts_with_the_first_request(
    make_host: MakeHost, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at import nor at start-up; the thread builds, and ends with the process."""
    monkeypatch.setattr(keepers, "START", 0.0)
    built = threading.Event()
    monkeypatch.setattr(Keeper, "look", lambda self: built.set())
    host = archived_host(
        make_host, sqlite_url, tmp_path / "archive", settings={"STATISTICS_KEEPER": True}
    )
    keeper = state_of(host).keeper
    assert keeper._thread is None
    host.open("/")
    host.rows()
    assert built.wait(30)
    assert keeper.stop(30)


def test_it_stays_away_where_nobody_needs_it(make_host: MakeHost, tmp_path: Path) -> None:
    """Where the host looks after all, or the database is in memory, there is no thread."""
    for settings in (
        {"url": "sqlite://"},
        {"settings": {"STATISTICS_KEEPER": False, "STATISTICS_ARCHIVE": str(tmp_path / "a")}},
    ):
        host = make_host(**settings)
        host.open("/")
        host.rows()
        assert state_of(host).keeper._thread is None


def test_what_one_task_fails_at_does_not_keep_it_from_the_others(host: Any) -> None:
    """Each task is done, whatever became of the one before; an archive needs no totals."""
    state = state_of(host)
    state.config.retention_days = 30
    assert [task.name for task in _tasks(state)] == ["The archive", "The retention"]
    done: list[str] = []

    def fail(_: Any) -> Any:
        raise OSError("away")

    tasks = [
        keepers.Task("This", fail),
        keepers.Task("That", lambda _: done.append("that") or ()),  # type: ignore[func-returns-value]
    ]
    keeper = Keeper(state.engine, state.tables, tasks)
    assert keeper.look()
    assert done == ["that"]
    keeper.stop(1)
