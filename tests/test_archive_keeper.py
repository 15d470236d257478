"""The keeper: one process at a time looks after the archive and the retention."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from flask_statistics.archive import keeper as keepers
from flask_statistics.archive.keeper import Keeper
from flask_statistics.archive.lease import LEASE, read_lease, take_lease
from flask_statistics.changes import utc_now
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
    state = state_of(host)
    store(host, request(5))
    keeper, other = Keeper(state, lambda: None), Keeper(state, lambda: None)
    assert keeper.look()
    assert manifest_of(host).rows == 1
    assert not other.look()
    keeper.stop(1)
    assert other.look()
    other.stop(1)


def test_it_prunes_once_a_day(
    make_host: MakeHost, sqlite_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Where a retention is set; a failure is logged, and tried again at the next look."""
    host = make_host(url=sqlite_url, settings={"STATISTICS_RETENTION_DAYS": 30})
    calls: list[str] = []

    def prune() -> None:
        calls.append("pruned")
        if len(calls) == 1:
            raise OSError("away")

    keeper = Keeper(state_of(host), prune)
    assert [keeper.look() for _ in range(3)] == [True] * 3
    assert len(calls) == 2
    assert "The archive or the retention could not be looked after" in caplog.text
    keeper.stop(1)


def test_a_folder_that_cannot_be_used_is_said(
    host: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The message of the archive is logged, once."""
    (tmp_path / "archive").touch()
    keeper = Keeper(state_of(host), lambda: None)
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


@pytest.mark.parametrize("settings", [{"STATISTICS_KEEPER": False}, {"STATISTICS_ARCHIVE": None}])
def test_it_stays_away_where_nobody_needs_it(
    make_host: MakeHost, sqlite_url: str, tmp_path: Path, settings: dict[str, Any]
) -> None:
    """Without an archive or a retention, or where the host looks after them, there is no thread."""
    host = archived_host(make_host, sqlite_url, tmp_path / "archive", settings=settings)
    host.open("/")
    host.rows()
    assert state_of(host).keeper._thread is None
