"""Where the archive is the long-term store: pruning, forgetting and exporting reach it."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flask_statistics.archive.building import build
from flask_statistics.changes import raise_days
from flask_statistics.errors import ArchiveError
from flask_statistics.owning import pruning_archived
from flask_statistics.owning.pruning import prune
from tests.owned import (
    ALICE,
    ALWAYS,
    BOB,
    FIREFOX,
    MakeHost,
    age,
    counts,
    days_ago,
    peoples_host,
    run,
    state_of,
    visit,
)

if TYPE_CHECKING:
    from tests.conftest import Host


def archived_host(make_host: MakeHost, url: str, folder: Path) -> Host:
    """Return a host with requests of 40 and of 5 days ago, all of them in its archive, too."""
    host = peoples_host(make_host, url, ARCHIVE=str(folder / "archive"), KEEPER=False)
    for days in (35, 5):
        for address in (ALICE, BOB):
            # Another visitor, as on another day.
            visit(host, "/?buy=1", address, User_Agent=f"{FIREFOX} {days}")
            visit(host, "/a", address, User_Agent=f"{FIREFOX} {days}")
        host.rows()
        age(host, days)
    build(state_of(host))
    return host


def exported(host: Host, what: str = "requests") -> list[dict[str, Any]]:
    lines = run(host, "export", "--what", what, "--format", "jsonl").stdout.splitlines()
    return [json.loads(text) for text in lines]


def written(file: Path) -> list[Any]:
    """Return what is in a Parquet file: its rows, and texts that no row refers to."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pq.read_schema(file)
    texts = [field.name for field in schema if pa.types.is_string(field.type)]
    columns = pq.read_table(file, read_dictionary=texts).select(texts).columns
    dictionaries = [chunk.dictionary.to_pylist() for column in columns for chunk in column.chunks]
    return [*pq.read_table(file).to_pylist(), *dictionaries]


def totals(host: Host) -> dict[str, Any]:
    found: dict[str, Any] = state_of(host).answers.summary(ALWAYS)
    return found


def test_pruning_changes_no_number(
    make_host: MakeHost, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is pruned is in the archive only; totals and exports stay as they were."""
    monkeypatch.setattr(pruning_archived, "STEP", 1)
    host = archived_host(make_host, database_url, tmp_path)
    before = totals(host), exported(host), exported(host, "events")
    said = run(host, "prune", "--days", 30).stdout
    assert said == (
        f"Deleted 4 requests, 2 visits and 2 events from before {days_ago(30)} (UTC).\n"
    )
    assert counts(host) == (4, 2, 2)
    after = totals(host), exported(host), exported(host, "events")
    assert after == before
    assert run(host, "prune", "--days", 30).stdout.startswith("Deleted 0 requests")


def test_only_what_the_archive_holds_is_pruned(
    make_host: MakeHost, database_url: str, tmp_path: Path
) -> None:
    """Days that the archive has not caught up with stay, and it is said what to do."""
    host = archived_host(make_host, database_url, tmp_path)
    with host.engine.begin() as connection:
        raise_days(connection, state_of(host).tables, {days_ago(40)})
    said = run(host, "prune", "--days", 30).stdout
    assert "stays until the archive holds it: run `flask statistics archive build`" in said
    assert counts(host)[0] == 8
    build(state_of(host))
    assert run(host, "prune", "--days", 30).stdout.startswith("Deleted 4 requests")


def test_nothing_is_pruned_without_the_archive(
    make_host: MakeHost, sqlite_url: str, tmp_path: Path
) -> None:
    """A damaged archive is said, and no row goes."""
    host = archived_host(make_host, sqlite_url, tmp_path)
    for segment in (tmp_path / "archive").glob("*.parquet"):
        content = bytearray(segment.read_bytes())
        content[len(content) // 2] ^= 1
        segment.write_bytes(content)
    with pytest.raises(ArchiveError):
        prune(state_of(host), days=30)
    assert counts(host)[0] == 8


@pytest.mark.parametrize("pruned", [False, True])
@pytest.mark.parametrize("anonymise", [False, True])
def test_forgetting_reaches_the_archive(
    make_host: MakeHost, database_url: str, tmp_path: Path, pruned: bool, anonymise: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Nothing of a person is left in any file, and everybody else's numbers are right."""
    monkeypatch.setattr("flask_statistics.archive.building.sleep", lambda seconds: None)
    monkeypatch.setattr("flask_statistics.archive.folder.GRACE", timedelta())
    host = archived_host(make_host, database_url, tmp_path)
    if pruned:
        run(host, "prune", "--days", 30)
    known = exported(host)
    names = {row["visitor"] for row in known if row["remote_address"] == ALICE}
    how = ["--anonymise"] if anonymise else []
    said = run(host, "forget", "--address", ALICE, "--yes", *how).stdout
    only = " (2 of them in the archive only)" if pruned else ""
    assert f"{'Anonymised' if anonymise else 'Erased'}: 4 requests{only} and 2 events." in said
    left = exported(host)
    theirs = [row for row in known if row["remote_address"] == BOB]
    assert [row for row in left if row["remote_address"] == BOB] == theirs
    assert len(left) == (8 if anonymise else 4)
    for file in (tmp_path / "archive").glob("*.parquet"):
        text = str(written(file))
        assert not [name for name in (ALICE, *names) if name in text]
    found = totals(host)
    assert (found["visits"], found["visitors"]) == (2, 2)
    assert found["hits"] == len(left)
