"""What functions of the host return is stored as its column takes it, or as NULL."""

from __future__ import annotations

import enum
import json
import logging
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy

from flask_statistics import RequestMixin, Statistics
from flask_statistics.recording.enrich.converting import HostFields
from flask_statistics.recording.enrich.keeping import Limits
from flask_statistics.recording.record import RECORD

if TYPE_CHECKING:
    from tests.conftest import Host

    MakeHost = Callable[..., Host]

BERLIN = timezone(timedelta(hours=2))
MOMENT = datetime(2024, 5, 6, 12, 0, 1, tzinfo=BERLIN)
NUMBER = UUID("12345678-1234-5678-1234-567812345678")


class Plan(enum.Enum):
    FREE = 1


def stored(make_host: MakeHost, url: str, values: list[tuple[Any, Any]]) -> list[Any]:
    """Return what is stored of these values in columns of these types, all of one row."""
    statistics = Statistics()
    names = [f"value_{number}" for number in range(len(values))]
    for name, (_, value) in zip(names, values, strict=True):
        statistics.field(name)(lambda value=value: value)

    def model(db: SQLAlchemy) -> Any:
        columns = {n: db.Column(type_) for n, (type_, _) in zip(names, values, strict=True)}
        return type("Request", (RequestMixin, db.Model), columns)

    host = make_host(model=model, statistics=statistics, url=url)
    host.open("/x")
    row = host.row()
    return [row[name] for name in names]


def test_values_that_fit(make_host: MakeHost, database_url: str) -> None:
    """A value becomes one of its column's type on every database."""
    cases = [
        (sa.String(50), Decimal("1.5"), "1.5"),
        (sa.String(50), 3, "3"),
        (sa.String(50), date(2024, 5, 6), "2024-05-06"),
        (sa.String(50), NUMBER, str(NUMBER)),
        (sa.String(5), "abcdefghij", "abcd…"),
        (sa.String(50), "a\0b\ud800", "a\ufffdb\ufffd"),
        (sa.Integer(), True, 1),
        (sa.Integer(), "12", 12),
        (sa.Integer(), Decimal(3), 3),
        (sa.BigInteger(), 2**63 - 1, 2**63 - 1),
        (sa.Double(), Decimal("1.5"), 1.5),
        (sa.Double(), "2.5", 2.5),
        (sa.Numeric(5, 2), 1.239, Decimal("1.24")),
        (sa.Boolean(), 1, True),
        (sa.DateTime(), MOMENT, datetime(2024, 5, 6, 10, 0, 1)),
        (sa.DateTime(), "2024-05-06T12:00:01+02:00", datetime(2024, 5, 6, 10, 0, 1)),
        (sa.DateTime(), date(2024, 5, 6), datetime(2024, 5, 6)),
        (sa.Date(), MOMENT, date(2024, 5, 6)),
        (sa.Date(), "2024-05-06", date(2024, 5, 6)),
        (sa.JSON(), {"a": [1, None]}, {"a": [1, None]}),
        (sa.JSON(), "no json", "no json"),
        (sa.JSON(), 5, 5),
        (sa.Enum(Plan), Plan.FREE, Plan.FREE),
        (sa.Enum("a", "b", name="letters"), "b", "b"),
        (sa.Uuid(), NUMBER, NUMBER),
        (sa.LargeBinary(), b"\xff", b"\xff"),
        (sa.Time(), time(1, 2), time(1, 2)),
    ]
    found = stored(make_host, database_url, [case[:2] for case in cases])
    assert found == [expected for _, _, expected in cases]


def test_values_that_do_not_fit(
    make_host: MakeHost, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A value that its column cannot hold is NULL, said without the value; the row is stored."""
    cases: list[tuple[Any, Any]] = [
        (sa.Integer(), MOMENT),
        (sa.Integer(), 2**80),
        (sa.Integer(), 1.5),
        (sa.Integer(), float("nan")),
        (sa.Integer(), "geheim"),
        (sa.Double(), float("inf")),
        (sa.Double(), 10**400),
        (sa.Numeric(5, 2), 999.999),
        (sa.Numeric(5, 2), Decimal("1e999999")),
        (sa.Boolean(), "yes"),
        (sa.DateTime(), 5),
        (sa.DateTime(), "yesterday"),
        (sa.DateTime(), datetime.min.replace(tzinfo=BERLIN)),
        (sa.Date(), object()),
        (sa.Enum(Plan), "geheim"),
        (sa.Uuid(), "geheim"),
        (sa.LargeBinary(), 5),
    ]
    assert stored(make_host, database_url, cases) == [None] * len(cases)
    messages = [r.message for r in caplog.records if r.levelno >= logging.WARNING]
    assert messages[0] == "A datetime of the field value_0 does not fit its column"
    assert len(messages) == len(cases)
    assert "geheim" not in caplog.text


@pytest.mark.parametrize("database_url", ["postgresql", "mariadb"], indirect=True)
def test_numbers_beyond_32_bits(make_host: MakeHost, database_url: str) -> None:
    """A number that its column has not the bits for is NULL."""
    cases = [
        (sa.Integer(), 2**31),
        (sa.Integer(), -(2**31)),
        (sa.SmallInteger(), 2**15),
        (sa.SmallInteger(), 2**15 - 1),
    ]
    assert stored(make_host, database_url, cases) == [None, -(2**31), None, 2**15 - 1]


def test_sqlite_keeps_64_bits(make_host: MakeHost, sqlite_url: str) -> None:
    """SQLite's integers are all of 64 bits."""
    assert stored(make_host, sqlite_url, [(sa.Integer(), 2**40)]) == [2**40]


def test_json_of_a_number(make_host: MakeHost, sqlite_url: str) -> None:
    """What no JSON has does not spoil the column."""
    (found,) = stored(make_host, sqlite_url, [(sa.Text(), {"a": NUMBER})])
    assert json.loads(found) == {"a": str(NUMBER)}


def test_size_of_a_large_body(make_host: MakeHost, database_url: str) -> None:
    """The classic `size` has 32 bits: what it cannot hold is NULL, or stored where it can."""

    def model(db: SQLAlchemy) -> Any:
        return type("Request", (RequestMixin, db.Model), {"size": db.Column(db.Integer)})

    host = make_host(model=model, url=database_url)

    @host.app.route("/large")
    def large() -> Any:
        response = host.app.response_class([], direct_passthrough=True)
        response.headers["Content-Length"] = "5000000000"
        return response

    host.open("/large")
    assert host.row()["size"] == (5_000_000_000 if "sqlite" in database_url else None)


def test_a_field_that_is_declared_late() -> None:
    """A request from before the declaration has NULL."""
    fields = HostFields({"tenant": sa.String(), "plan": sa.String()}, Limits())
    assert fields.of((None,) * (len(RECORD) - 1) + (("acme",),)) == ("acme", None)
