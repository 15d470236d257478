"""The archive and the table together answer as the table alone would, whatever is where."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from hypothesis import given

from flask_statistics import changes
from flask_statistics.archive.answers import ArchivedAnswers
from flask_statistics.archive.building import build, rebuild
from flask_statistics.archive.folder import Archive
from flask_statistics.archive.opening import archive_of
from flask_statistics.archive.source import ArchivedRequests
from flask_statistics.asking.answers import Answers, Ask
from flask_statistics.asking.query import Period, Query
from flask_statistics.asking.source import Source, table_source
from flask_statistics.config import Config
from flask_statistics.errors import ArchiveError
from flask_statistics.model import Model
from flask_statistics.tables import Tables
from tests.archived import NOW, archived_host, delete, prune, request, state_of, store
from tests.conftest import Host
from tests.oracle.batches import Batch, batches
from tests.oracle.comparing import compare
from tests.oracle.databases import Database
from tests.test_oracle import sampling

UTC = ZoneInfo("UTC")
FIRST = datetime(2024, 3, 1)


@dataclass
class App:
    """What the archive needs of an app."""

    config: Config
    model: Model
    tables: Tables
    engine: sa.Engine


def _config(folder: Path) -> Config:
    return Config(archive=str(folder), archive_retention_days=None, retention_days=None)


# -- the definitions ---------------------------------------------------------------------------


class Archived(Database):
    """A database of which one part of the rows is archived, and one came later."""

    def __init__(self, url: str, folder: Path) -> None:
        super().__init__(url)
        self._folder = folder
        self._archives = 0

    @contextmanager
    def holding(self, batch: Batch) -> Iterator[dict[str, Answers]]:
        metadata = sa.MetaData()
        model = batch.layout.model(metadata)
        metadata.create_all(self.engine)
        with self.engine.begin() as connection:
            connection.execute(sa.delete(self.tables.state))
            connection.execute(sa.delete(self.tables.change))
            connection.execute(sa.delete(self.tables.event))
        try:
            yield self._archived(batch, model)
        finally:
            metadata.drop_all(self.engine)

    def _archived(self, batch: Batch, model: Model) -> dict[str, Answers]:
        self._archives += 1
        folder = self._folder / str(self._archives)
        app = App(_config(folder), model, self.tables, self.engine)
        half = len(batch.rows) // 2
        self._add(replace(batch, rows=batch.rows[:half], events=[]), model)
        moments = sorted(row["date"] for row in batch.rows) or [FIRST]
        build(app, now=moments[len(moments) // 3] + changes.SETTLED)
        self._add(replace(batch, rows=batch.rows[half:]), model)
        if len(batch.rows) % 2:
            build(app, now=moments[2 * len(moments) // 3] + changes.SETTLED)
        archived = ArchivedRequests(Archive(folder), self.engine, model, self.tables)
        source = archived.source
        sources = {
            "complete": source,
            "computed": replace(source, visits=None),
            "bare": replace(source, visits=None, events=None),
        }
        answers: dict[str, Answers] = {}
        for name, source in sources.items():
            answers[name] = Strict(archived, lambda: table_source(self.engine, model))
            answers[name]._sources = partial(_itself, source)
        return answers

    def _add(self, batch: Batch, model: Model) -> None:
        data = batch.kept(self.dialect)
        with self.engine.begin() as connection:
            moments = [row["date"] for row in (*data.rows, *data.events)]
            changes.note_rows(connection, self.tables, moments)
            if data.rows:
                connection.execute(sa.insert(model.table), batch.layout.stored(data.rows))
            if batch.events:
                connection.execute(sa.insert(self.tables.event), batch.events)


def _itself(source: Source) -> Source:
    return source


class Strict(ArchivedAnswers):
    """Answers that do not turn to the table."""

    def _computed_by_table(self, asks: Any, error: ArchiveError) -> list[Any]:
        raise error


@pytest.fixture
def archived(database_url: str, tmp_path: Path) -> Iterator[Archived]:
    database = Archived(database_url, tmp_path / "archives")
    yield database
    database.engine.dispose()


@pytest.mark.filterwarnings("ignore:Dialect sqlite")  # a host's own NUMERIC columns
@sampling
@given(batch=batches())
def test_archive_equals_the_definitions(archived: Archived, batch: Batch) -> None:
    """Random questions about rows in segments and in the table have the definitions' answers."""
    compare(archived, batch)


# -- what the archive meets --------------------------------------------------------------------

JANUARY = Query(Period(date(2026, 1, 1), date(2026, 1, 31), UTC))
ASKS = [
    Ask("summary", JANUARY),
    Ask("timeseries", JANUARY),
    Ask("breakdown", JANUARY.replace(group_by=("path",))),
    Ask("breakdown", JANUARY.replace(group_by=("entry_path",))),
    Ask("requests", JANUARY, personal=True),
    Ask("count", JANUARY),
]


@pytest.fixture
def host(make_host: Callable[..., Host], database_url: str, tmp_path: Path) -> Host:
    host = archived_host(make_host, database_url, tmp_path / "archive")
    rows = [
        request(day, hour, path=f"/{hour % 3}", visit=f"{visitor}-{day}", visitor=visitor)
        for day in range(5, 12)
        for hour in (8, 9, 23)
        for visitor in ("anna", "bert")
    ]
    store(host, *rows)
    build(state_of(host), now=NOW)
    return host


def by_archive(host: Host) -> list[Any]:
    """Return the archive's answers, computed anew."""
    archived = state_of(host).archived
    answers = ArchivedAnswers(archived, lambda: _table(host)).many(ASKS)
    assert archived.trouble is None
    return answers


def by_table(host: Host) -> list[Any]:
    return Answers(lambda: _table(host), state_of(host).model).many(ASKS)


def _table(host: Host) -> Any:
    state = state_of(host)
    return table_source(state.engine, state.model, state.tables)


def test_young_late_and_deleted_rows_count(host: Host) -> None:
    """What was stored or deleted after the archive was built is in its answers."""
    assert by_archive(host) == by_table(host)
    store(host, request(13, path="/young"), request(7, 9, 30, path="/late", visit="anna-7"))
    assert by_archive(host) == by_table(host)
    delete(host, state_of(host).model.columns["date"] < datetime(2026, 1, 6))
    assert by_archive(host) == by_table(host)
    build(state_of(host), now=NOW + timedelta(days=3))
    assert by_archive(host) == by_table(host)


def test_pruned_requests_are_answered_by_the_archive(host: Host) -> None:
    """What only the archive holds is in its answers, with late rows of such days."""
    before = by_table(host)
    prune(host, datetime(2026, 1, 9))
    assert by_archive(host) == before
    assert by_table(host) != before
    store(host, request(6, 12, path="/late"))
    later = by_archive(host)
    assert later[-1] == before[-1] + 1
    build(state_of(host), now=NOW)
    summary, later_summary = by_archive(host)[0], later[0]
    assert summary == later_summary


@pytest.mark.parametrize("damage", ["deleted", "cut off"])
def test_a_damaged_segment_is_not_missed(
    host: Host, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The table answers and the log says so; of pruned days an error names the remedy."""
    state, expected = state_of(host), by_table(host)
    manifest = archive_of(state).manifest()
    assert manifest is not None
    file = next(segment.requests for segment in manifest.segments if segment.requests)
    path = archive_of(state).file(file)
    if damage == "deleted":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-100])
    answers = ArchivedAnswers(state.archived, lambda: _table(host))
    assert answers.many(ASKS) == expected
    assert "archive verify" in str(state.archived.trouble)
    with state.engine.begin() as connection:
        changes.write_state(connection, state.tables, "pruned", "2026-01-09T00:00:00")
    with pytest.raises(ArchiveError, match=r"archive verify.*The table was pruned"):
        answers.many(ASKS)
    host.app.testing = True
    page = host.open("/statistics/?start=2026-01-01&end=2026-01-31")
    assert page.status_code == 503
    assert "archive verify" in page.text
    assert host.open("/statistics/api/summary?start=2026-01-01&end=2026-01-31").is_json


def test_another_apps_archive_is_refused(host: Host) -> None:
    """Where the identity is another, the table answers."""
    state, expected = state_of(host), by_table(host)
    with state.engine.begin() as connection:
        changes.write_state(connection, state.tables, "archive", "another")
    answers = ArchivedAnswers(state.archived, lambda: _table(host))
    assert answers.many(ASKS) == expected
    assert "of another app" in str(state.archived.trouble)


def test_threads_ask_while_the_archive_is_rebuilt(host: Host) -> None:
    """Whoever asks while segments are replaced gets the same answers."""
    expected = by_table(host)
    wrong: list[Any] = []

    def ask() -> None:
        wrong.extend(found for _ in range(5) if (found := by_archive(host)) != expected)

    threads = [Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(4):
        rebuild(state_of(host), now=NOW)
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_pages_answers_come_from_the_archive(host: Host) -> None:
    """The app asks its archive, once there is one."""
    state = state_of(host)
    assert isinstance(state.answers, ArchivedAnswers)
    assert state.answers.count(JANUARY) == by_table(host)[-1]
