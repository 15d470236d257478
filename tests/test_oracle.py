"""Answers equal those of the definitions, on random models, rows and queries, on every database."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.oracle.batches import Batch, batches
from tests.oracle.comparing import compare
from tests.oracle.databases import Database

#: How many models with rows are drawn for each database; .ci/full asks for more, and for others
#: each time (STATISTICS_TEST_EXPLORE).
BATCHES = int(os.environ.get("STATISTICS_TEST_BATCHES", "10"))

exploring = settings(
    max_examples=BATCHES,
    deadline=None,
    database=None,
    derandomize="STATISTICS_TEST_EXPLORE" not in os.environ,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
    phases=[Phase.explicit, Phase.generate],  # compare() itself leaves out what is not needed
    report_multiple_bugs=False,
)
#: The same where each batch costs more.
sampling = settings(exploring, max_examples=max(1, BATCHES // 4))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.engine.dispose()


@pytest.mark.filterwarnings("ignore:Dialect sqlite")  # a host's own NUMERIC columns
@exploring
@given(batch=batches())
def test_answers_equal_the_definitions(database: Database, batch: Batch) -> None:
    """Random questions about random rows have the answers of the definitions."""
    compare(database, batch)
