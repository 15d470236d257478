"""Expired salts are destroyed by whoever looks, also where no request is recorded."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from flask_admin import Admin

if TYPE_CHECKING:
    from tests.conftest import Host

    MakeHost = Callable[..., Host]

WITHOUT_RECORDING = {"STATISTICS_ENABLED": False, "TESTING": True}
LONG_AGO = date(2020, 1, 1)


def add_salt(host: Host, day: date = LONG_AGO) -> None:
    """Store a salt that expired in 2020."""
    table = host.app.extensions["statistics"].tables.salt
    values = {"day": day, "salt": "aa", "live": True, "expires": datetime(2020, 1, 3)}
    with host.engine.begin() as connection:
        connection.execute(table.insert().values(values))


def salts(host: Host) -> int:
    table = host.app.extensions["statistics"].tables.salt
    with host.engine.connect() as connection:
        return int(connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0)


def status(host: Host) -> Any:
    return host.app.test_cli_runner().invoke(args=["statistics", "status"])


def add_admin(host: Host) -> None:
    with host.app.app_context():
        host.statistics.add_admin_views(Admin(host.app, name="tea house"))


def open_admin(host: Host) -> None:
    assert host.open("/admin/statistics/").status_code == 200


def open_dashboard(host: Host) -> None:
    assert host.open("/statistics/").status_code == 200


@pytest.mark.parametrize("look", [status, open_dashboard, open_admin])
def test_whoever_looks_destroys_them(
    make_host: MakeHost, database_url: str, look: Callable[[Host], Any]
) -> None:
    """The command, the dashboard and its twin in Flask-Admin do."""
    host = make_host(url=database_url, settings=WITHOUT_RECORDING)
    add_admin(host)
    add_salt(host)
    look(host)
    assert salts(host) == 0


def _same(moment: datetime) -> datetime:
    return moment


def test_salts_are_looked_for_once_an_hour(
    make_host: MakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dashboard costs no statement more in between."""
    host = make_host(settings=WITHOUT_RECORDING)
    begin = datetime(2024, 3, 10)
    for seconds, left in ((0, 0), (3599, 1), (3600, 0)):
        now = begin + timedelta(seconds=seconds)
        monkeypatch.setattr("flask_statistics.recording.visitors.utc_now", partial(_same, now))
        add_salt(host)
        open_dashboard(host)
        assert salts(host) == left
        with host.engine.begin() as connection:
            connection.execute(host.app.extensions["statistics"].tables.salt.delete())


def test_a_missing_table_is_logged(make_host: MakeHost, caplog: pytest.LogCaptureFixture) -> None:
    """The dashboard is shown without it."""
    host = make_host(settings=WITHOUT_RECORDING)
    host.app.extensions["statistics"].tables.salt.drop(host.engine)
    open_dashboard(host)
    (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert record.getMessage() == (
        "The expired salts of visitors could not be destroyed: no such table: statistics_salt"
    )


def test_a_transaction_of_the_host_is_left_alone(make_host: MakeHost) -> None:
    """In memory all share one connection: what the host has open there is not committed."""

    def before_f() -> None:
        host.db.session.execute(sa.insert(host.Request).values(path="/", date=datetime(2024, 5, 1)))

    host = make_host(url="sqlite://", settings=WITHOUT_RECORDING, before_f=before_f)
    add_salt(host)
    open_dashboard(host)
    assert host.stored() == []
