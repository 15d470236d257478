"""``flask statistics archive build | status | verify | rebuild | drop``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.archived import archived_host, request, state_of, store

MakeHost = Callable[..., Any]


@pytest.fixture
def host(make_host: MakeHost, sqlite_url: str, tmp_path: Path) -> Any:
    host = archived_host(make_host, sqlite_url, tmp_path / "archive")
    store(host, request(5), request(6))
    return host


def run(host: Any, *arguments: str, code: int = 0) -> str:
    """Run a command, check its exit status, and return what it wrote."""
    ran = host.app.test_cli_runner().invoke(args=["statistics", "archive", *arguments])
    assert ran.exit_code == code, ran.output
    return str(ran.output)


def test_build_and_status(host: Any, tmp_path: Path) -> None:
    """What was built is shown, as text and as JSON."""
    assert run(host, "build").startswith("The archive holds 2 requests in ")
    text = run(host, "status")
    assert f"Folder        {tmp_path / 'archive'}" in text
    assert "Changed since no day" in text
    values = json.loads(run(host, "status", "--format", "json"))
    assert (values["rows"], values["pruned"], values["keeper"]) == (2, None, None)
    assert values["size"] > 0


def test_verify(host: Any) -> None:
    """All is right, or what is wrong and exit status 1."""
    run(host, "build")
    assert run(host, "verify") == "The archive is as it should be.\n"
    state = state_of(host)
    with state.engine.begin() as connection:
        connection.execute(state.model.table.update().values(path="/other"))
    assert "the table says something else of 2026-01-05" in run(host, "verify", code=1)
    assert "2 requests" in run(host, "rebuild")
    run(host, "verify", "--quick")


def test_drop(host: Any, tmp_path: Path) -> None:
    """It asks, and removes the folder."""
    run(host, "build")
    run(host, "drop", code=1)
    assert run(host, "drop", "--yes") == "The archive is removed.\n"
    assert not (tmp_path / "archive").exists()
    assert "holds no archive yet" in run(host, "status", code=1)


def test_without_an_archive(make_host: MakeHost, sqlite_url: str) -> None:
    """Each command says what to set."""
    host = make_host(url=sqlite_url)
    for name in ("build", "status", "verify", "rebuild"):
        assert run(host, name, code=1) == (
            "Error: There is no archive: set STATISTICS_ARCHIVE = True, or to the path of a "
            "folder.\n"
        )
