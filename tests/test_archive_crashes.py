"""A process that is killed while it changes the archive leaves the old state or the new one.

What a killed process leaves is what its files are at that moment, so they are copied at each step
of one run, and each state that differs from the one before is looked at. That a kill leaves the
same, and no lock, is tested with processes that are killed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flask_statistics.archive import building
from flask_statistics.archive import folder as folders
from flask_statistics.archive.erasing import erase
from flask_statistics.archive.verifying import verify
from tests.archived import (
    NOW,
    archived_host,
    delete,
    files,
    in_table,
    manifest_of,
    named,
    prune,
    request,
    seen,
    state_of,
    store,
    store_event,
)

MakeHost = Callable[..., Any]
Killed = Callable[[str, Path, str, int], int | None]
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def killed_at() -> Iterator[Killed]:
    """Run an operation in a process that kills itself at a step.

    Returns the number of steps where it came through.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "tests.archive_child"],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        assert child.stdin
        assert child.stdout

        def run(url: str, folder: Path, operation: str, step: int) -> int | None:
            print(url, folder, operation, step, file=child.stdin, flush=True)
            answer = child.stdout.readline().strip()  # type: ignore[union-attr]
            return None if answer == "killed" else int(answer)

        yield run
        child.stdin.close()


@pytest.fixture(autouse=True)
def _no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "GRACE", timedelta(0))


def _with_new_and_changed_rows(host: Any) -> None:
    store(host, request(5), request(6), request(9))
    building.build(state_of(host), now=datetime(2026, 1, 11, 12))
    store(host, request(5, 11), request(12, 9))
    delete(host, state_of(host).model.columns["date"].between(
        datetime(2026, 1, 6), datetime(2026, 1, 7)))  # fmt: skip


def _with_late_rows_of_pruned_days(host: Any) -> None:
    store(host, request(5), request(6, visitor="gone"), request(9))
    store_event(host, date=datetime(2026, 1, 5, 10), name="signup")
    building.build(state_of(host), now=NOW - timedelta(days=1))
    assert prune(host, datetime(2026, 1, 8)) == datetime(2026, 1, 8)
    store(host, request(5, 12), request(6, 12), request(9, 12))
    store_event(host, date=datetime(2026, 1, 5, 12), name="late")


SITUATIONS = {
    "build": _with_new_and_changed_rows,
    "rebuild": _with_new_and_changed_rows,
    "build, pruned": _with_late_rows_of_pruned_days,
    "rebuild, pruned": _with_late_rows_of_pruned_days,
    "erase, pruned": _with_late_rows_of_pruned_days,
}


def _run(host: Any, operation: str, step: Callable[[str], None]) -> None:
    state = state_of(host)
    if operation == "erase":
        erase(state, {"visitor": "gone"}, step=step)
    else:
        getattr(building, operation)(state, now=NOW, step=step)


def _content(folder: Path) -> dict[str, bytes]:
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def _states(host: Any, origin: Path, copies: Path, operation: str) -> tuple[list[Path], int]:
    """Run an operation; return copies of the folder as it was at its steps, and their number."""
    found: list[Path] = []
    last: dict[str, bytes] = {}
    steps = 0

    def step(name: str) -> None:
        nonlocal steps, last
        steps += 1
        now = _content(origin)
        if now != last:
            found.append(copies / str(steps))
            shutil.copytree(origin, found[-1])
        last = now

    _run(host, operation, step)
    return found, steps


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """The folder in which the operation runs."""
    folder = tmp_path / "origin"
    folder.mkdir()
    return folder


def _host_in(make_host: MakeHost, place: Path) -> Any:
    return archived_host(make_host, f"sqlite:///{place / 'host.sqlite'}", place / "archive")


def _put(host: Any, state: Path, place: Path) -> None:
    """Let the host in a folder find another state of it."""
    host.engine.dispose()
    shutil.rmtree(place, ignore_errors=True)
    state.rename(place)


def _everything_seen(host: Any) -> tuple[Any, Any]:
    return seen(host), seen(host, events=True)


def _after(operation: str, expected: tuple[Any, Any]) -> tuple[Any, Any]:
    if operation != "erase":
        return expected
    return [row for row in expected[0] if row[1] != datetime(2026, 1, 6, 10)], expected[1]


def _goes_on(host: Any, place: Path, expected: tuple[Any, Any], after: tuple[Any, Any]) -> None:
    """Check that every request is seen once, and that the next build cleans up and goes on."""
    assert _everything_seen(host) in (expected, after)
    building.build(state_of(host), now=NOW)
    assert _everything_seen(host) in (expected, after)
    assert verify(state_of(host)) == []
    assert files(place / "archive") == named(manifest_of(host))


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_crash_at_any_step_loses_and_doubles_nothing(
    make_host: MakeHost, tmp_path: Path, origin: Path, situation: str
) -> None:
    """After each step: every request is seen once, and the next build cleans up and goes on."""
    operation, place = situation.split(",", maxsplit=1)[0], tmp_path / "place"
    host = _host_in(make_host, origin)
    SITUATIONS[situation](host)
    expected = _everything_seen(host)
    states, steps = _states(host, origin, tmp_path, operation)
    assert steps > 8
    assert len(states) > 4
    shutil.copytree(origin, place)
    crashed = _host_in(make_host, place)
    for state in states:
        _put(crashed, state, place)
        _goes_on(crashed, place, expected, _after(operation, expected))


def test_a_crash_of_the_first_build(make_host: MakeHost, tmp_path: Path, origin: Path) -> None:
    """There is no archive, or a part of one; the next build goes on."""
    place = tmp_path / "place"
    host = _host_in(make_host, origin)
    store(host, request(5), request(12, 9))
    states, _ = _states(host, origin, tmp_path, "build")
    assert len(states) > 4
    shutil.copytree(origin, place)
    crashed = _host_in(make_host, place)
    expected: tuple[Any, Any] = (in_table(host), [])
    for state in states:
        _put(crashed, state, place)
        _goes_on(crashed, place, expected, expected)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_killed_process_leaves_what_the_next_one_goes_on_with(
    make_host: MakeHost, origin: Path, killed_at: Killed, situation: str
) -> None:
    """A real one is killed in the middle: its locks are gone, and nothing is lost or doubled."""
    operation = situation.split(",", maxsplit=1)[0]
    host = _host_in(make_host, origin)
    SITUATIONS[situation](host)
    expected = _everything_seen(host)
    host.engine.dispose()
    url, folder = f"sqlite:///{origin / 'host.sqlite'}", origin / "archive"
    for step in (6, 9):
        assert killed_at(url, folder, operation, step) is None
        assert _everything_seen(host) in (expected, _after(operation, expected))
        host.engine.dispose()
    _goes_on(host, origin, expected, _after(operation, expected))
