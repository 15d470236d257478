"""Questions that are asked together have the answers of the same questions one by one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given

from flask_statistics.asking.answers import Ask
from flask_statistics.asking.copied import Copy
from flask_statistics.asking.filters import Filter
from flask_statistics.asking.query import Query
from flask_statistics.errors import QueryError
from tests.oracle.batches import Batch, batches
from tests.oracle.comparing import plain, same
from tests.oracle.databases import Database
from tests.test_archive_source import Archived
from tests.test_oracle import sampling


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.engine.dispose()


def together(query: Query, batch: Batch) -> list[Ask]:
    """Return questions as a dashboard asks them: by every dimension, of the same rows."""
    plainly = query.replace(group_by=(), order=None, offset=0, metrics=(), limit=5)
    asks = [Ask("summary", plainly), Ask("timeseries", plainly.replace(bucket="month"))]
    for name in batch.layout.columns:
        by = plainly.replace(group_by=(name,), metrics=query.metrics)
        known = by.replace(filters=(*by.filters, Filter(name, ("!",))), order="-visitors")
        asks += [Ask("breakdown", by), Ask("breakdown", known)]
    return asks


def compare(database: Database, batch: Batch) -> None:
    with database.holding(batch) as sources:
        for question in batch.questions[:2]:
            answers = sources[question.source]
            asks = [ask for ask in together(question.ask.query, batch) if _can(answers, ask)]
            for ask, found in zip(asks, answers.many(asks), strict=True):
                alone = plain(answers.many([ask])[0])
                assert same(plain(found), alone), (ask, plain(found), alone)


def _can(answers: object, ask: Ask) -> bool:
    try:
        answers.many([ask])  # type: ignore[attr-defined]
    except QueryError:
        return False
    return True


@pytest.mark.filterwarnings("ignore:Dialect sqlite")  # a host's own NUMERIC columns
@sampling
@given(batch=batches())
def test_shared_answers_equal_single_ones(database: Database, batch: Batch) -> None:
    """Whatever rows and whatever filters: on the host's table."""
    compare(database, batch)


def test_shared_answers_of_the_archive_equal_single_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever rows and whatever filters: on DuckDB, from copies of the rows."""
    answered: list[str] = []
    by_copy = Copy.aggregate

    def noted(copy: Copy, selection: Any, metrics: Any, *, last: bool) -> Any:
        answered.append(",".join(selection.query.group_by))
        return by_copy(copy, selection, metrics, last=last)

    monkeypatch.setattr(Copy, "aggregate", noted)
    folders = count()

    @pytest.mark.filterwarnings("ignore:Dialect sqlite")
    @sampling
    @given(batch=batches())
    def check(batch: Batch) -> None:
        folder = tmp_path / str(next(folders))
        folder.mkdir()
        database = Archived(f"sqlite:///{folder / 'host.sqlite'}", folder / "archives")
        try:
            compare(database, batch)
        finally:
            database.engine.dispose()

    check()
    assert len(set(answered)) > 3


@pytest.mark.filterwarnings("ignore:Dialect sqlite")
@sampling
@given(batch=batches())
def test_nothing_is_left_behind(database: Database, batch: Batch) -> None:
    """After questions together, no temporary table is on the connection that the pool took."""
    with database.holding(batch) as sources:
        query = batch.questions[0].ask.query.replace(filters=(), include_bots=None)
        asks = together(query, batch)
        sources["bare"].many([ask for ask in asks if _can(sources["bare"], ask)])
        with database.engine.connect() as connection, pytest.raises(sa.exc.DBAPIError):
            connection.exec_driver_sql("SELECT * FROM statistics_cells_0").all()
