"""A metadata with a schema: our tables lie in it beside the host's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy

from flask_statistics import RequestMixin
from flask_statistics.tables import declare_tables
from tests.conftest import empty_database
from tests.pages import show

if TYPE_CHECKING:
    from tests.conftest import Host

    MakeHost = Callable[..., Host]


def model_in(schema: str) -> Callable[[SQLAlchemy], Any]:
    """Return what declares the host's model on a metadata with this schema."""

    def model(db: SQLAlchemy) -> Any:
        db.metadata.schema = schema
        return type("Request", (RequestMixin, db.Model), {})

    return model


@pytest.mark.parametrize(("dialect", "schema"), [("sqlite", "main"), ("postgresql", "public")])
def test_requests_are_stored_and_shown(
    make_host: MakeHost, tmp_path: Path, dialect: str, schema: str
) -> None:
    """Requests, visitors and spans are stored; nothing is said to be missing."""
    host = make_host(
        url=empty_database(dialect, tmp_path),
        model=model_in(schema),
        before_f=lambda: None,
    )
    host.open("/tea")
    assert host.row()["visitor"]
    state = host.app.extensions["statistics"]
    assert {table.schema for table in state.tables} == {schema}
    assert "The database lacks" not in show(host, "/statistics/").text
    status = host.app.test_cli_runner().invoke(args=["statistics", "status"]).stdout
    assert "request: 1 requests" in status
    assert "Missing" not in status


def test_tables_are_declared_once() -> None:
    """A second app of one metadata gets the same tables."""
    metadata = sa.MetaData(schema="main")
    assert declare_tables(metadata) == declare_tables(metadata)
