"""The archive as the only place of old requests: pruning, what comes later, erasing a person."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flask_statistics.archive.building import build, rebuild
from flask_statistics.archive.erasing import Erased, erase
from flask_statistics.archive.opening import archive_of
from flask_statistics.archive.verifying import verify
from flask_statistics.errors import ArchiveError
from tests.archived import (
    NOW,
    archived_host,
    delete,
    in_table,
    prune,
    request,
    seen,
    seen_rows,
    state_of,
    store,
    store_event,
)

MakeHost = Callable[..., Any]
PRUNED = datetime(2026, 1, 8)


@pytest.fixture
def host(make_host: MakeHost, database_url: str, tmp_path: Path) -> Any:
    """A host with requests of four days, all of them in the archive."""
    host = archived_host(make_host, database_url, tmp_path / "archive")
    store(host, request(5), request(6, visitor="gone", request_id="r1"), request(8), request(9))
    build(state_of(host), now=NOW)
    return host


def test_what_is_archived_may_be_pruned(host: Any) -> None:
    """A reader sees the same before and after, and after the next builds."""
    before = seen(host)
    assert prune(host, PRUNED) == PRUNED
    assert len(in_table(host)) == 2
    assert seen(host) == before
    build(state_of(host), now=NOW + timedelta(days=1))
    assert seen(host) == before
    assert verify(state_of(host)) == []


def test_what_is_not_archived_is_not_pruned(host: Any) -> None:
    """A day that changed since, and the time after the horizon, stay in the table."""
    store(host, request(6, 11))
    before = seen(host)
    assert prune(host, PRUNED) == datetime(2026, 1, 6)
    assert seen(host) == before
    build(state_of(host), now=NOW)
    assert prune(host, datetime(2026, 1, 20)) == datetime(2026, 1, 12, 11, 50)
    assert seen(host) == before


def test_a_damaged_segment_is_no_reason_to_prune(host: Any) -> None:
    """What cannot be read is not held for kept."""
    archive = archive_of(state_of(host))
    for segment in archive.manifest().segments:  # type: ignore[union-attr]
        for file in segment.files:
            archive.file(file).write_bytes(b"x" * file.size)
    with pytest.raises(ArchiveError, match="is not what was written"):
        prune(host, PRUNED)
    assert len(in_table(host)) == 4


def test_what_comes_to_pruned_days_moves_into_the_archive(host: Any) -> None:
    """Late requests and events of pruned days are seen once, before and after the build."""
    prune(host, PRUNED)
    store(host, request(5, 12), request(7), request(8, 12))
    store_event(host, date=datetime(2026, 1, 5, 12), name="late")
    before, events = seen(host), seen(host, events=True)
    assert len(before) == 7
    build(state_of(host), now=NOW)
    assert (seen(host), seen(host, events=True)) == (before, events)
    assert [moment for _, moment in in_table(host)] == [
        datetime(2026, 1, 8, 10), datetime(2026, 1, 8, 12), datetime(2026, 1, 9, 10),
    ] or len(in_table(host)) == 3  # fmt: skip
    assert verify(state_of(host)) == []


def test_many_late_requests_move_in_parts(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """More of them than are moved at once are all seen, and all moved."""
    monkeypatch.setattr("flask_statistics.archive.extending.ADDED", 2)
    prune(host, PRUNED)
    store(host, *(request(6, 12, second) for second in range(5)))
    before = seen(host)
    build(state_of(host), now=NOW)
    assert seen(host) == before
    assert len(in_table(host)) == 2


def test_a_rebuild_keeps_what_only_the_archive_has(host: Any) -> None:
    """Of pruned days it keeps its requests; the others come from the table."""
    prune(host, PRUNED)
    before = seen(host)
    delete(host, state_of(host).model.columns["date"] > datetime(2026, 1, 9))
    rebuild(state_of(host), now=NOW)
    assert seen(host) == before[:3]


def test_a_person_is_erased_from_pruned_days(host: Any) -> None:
    """Their requests, and the events in them, are gone from the files; others stay."""
    store_event(host, date=datetime(2026, 1, 6, 10), name="signup", request_id="r1",
                request_date=datetime(2026, 1, 6, 10))  # fmt: skip
    store_event(host, date=datetime(2026, 1, 6, 10), name="other")
    build(state_of(host), now=NOW)
    prune(host, PRUNED)
    with state_of(host).engine.begin() as connection:
        connection.execute(state_of(host).tables.event.delete())
    erased = erase(state_of(host), {"visitor": "gone"})
    assert erased == Erased(1, 1, erased.segments, frozenset({date(2026, 1, 6)}))
    assert [row["visitor"] for row in seen_rows(host)] == ["anna"] * 3
    assert [row["name"] for row in seen_rows(host, events=True)] == ["other"]


def test_a_person_is_made_anonymous_in_pruned_days(host: Any) -> None:
    """Their requests stay, without what is personal."""
    prune(host, PRUNED)
    erased = erase(state_of(host), {"visitor": ["gone", "nobody"]}, anonymise=True)
    assert (erased.requests, erased.segments) == (1, 1)
    rows = sorted(seen_rows(host), key=lambda row: row["date"])
    assert [row["visitor"] for row in rows] == ["anna", None, "anna", "anna"]
    assert (rows[1]["request_id"], rows[1]["path"]) == (None, "/")


def test_erasing_where_there_is_nothing(host: Any) -> None:
    """Nobody is found, and nothing is written."""
    prune(host, PRUNED)
    before = (archive_of(state_of(host)).path / "manifest.json").read_bytes()
    assert erase(state_of(host), {"visitor": "nobody"}) == Erased()
    assert (archive_of(state_of(host)).path / "manifest.json").read_bytes() == before
