"""DuckDB answers as the other databases do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given

from flask_statistics.asking.duckdb import URL
from tests.oracle.batches import Batch, batches
from tests.oracle.comparing import compare
from tests.oracle.databases import Database
from tests.test_oracle import exploring


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"{URL}:///{tmp_path / 'host.duckdb'}")
    yield database
    database.engine.dispose()


@exploring
@given(batch=batches())
def test_answers_equal_the_definitions(database: Database, batch: Batch) -> None:
    """Random questions about random rows in DuckDB have the answers of the definitions."""
    compare(database, batch)
