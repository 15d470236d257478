"""Who: a salted hash a day, a salt that all workers share and nobody keeps, and visits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from threading import Barrier, Thread
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from flask_statistics.recording.visitors import Salts
from tests.test_storage import record

if TYPE_CHECKING:
    from tests.conftest import Host

    MakeHost = Callable[..., Host]

NOW = datetime(2024, 3, 10, 12, 0)


class Clock:
    """A clock that stands still until it is set: of requests and of salts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = NOW
        monkeypatch.setattr("flask_statistics.recording.capture.time", self.seconds)
        monkeypatch.setattr("flask_statistics.recording.visitors.utc_now", lambda: self.now)

    def seconds(self) -> float:
        return (self.now - datetime(1970, 1, 1)).total_seconds()

    def advance(self, **span: float) -> None:
        self.now += timedelta(**span)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def visit(host: Host, **options: Any) -> dict[str, Any]:
    """Make one request and return its row."""
    if "any" not in host.app.view_functions:
        host.app.add_url_rule("/<path:name>", "any", lambda name: name)
    host.open("/x", **options)
    row: dict[str, Any] = host.rows()[-1]
    return row


def salts(host: Host) -> list[dict[str, Any]]:
    table = host.app.extensions["statistics"].tables.salt
    with host.engine.connect() as connection:
        found = connection.execute(sa.select(table).order_by(table.c.day)).mappings()
        return [dict(row) for row in found]


def who(host: Host) -> dict[str, Any]:
    """Return what the visitor of the first request was computed from."""
    row = host.stored()[0]
    return {name: row[name] for name in ("remote_address", "user_agent")}


def another_worker(host: Host) -> None:
    """Forget what this process knows, as a worker that just started."""
    recorder = host.app.extensions["statistics"].recorder
    recorder.stop()
    recorder.reset()


# Visitors


def test_the_same_visitor(make_host: MakeHost, clock: Clock, database_url: str) -> None:
    """Address, user agent and host are who; path and time of the day are not."""
    host = make_host(url=database_url)
    first = visit(host)
    clock.advance(hours=3)
    assert visit(host)["visitor"] == first["visitor"]
    assert first["visitor"]


@pytest.mark.parametrize(
    "other",
    [
        {"environ_base": {"REMOTE_ADDR": "203.0.113.9"}},
        {"headers": {"User-Agent": "Other/1.0"}},
        {"base_url": "http://other.example"},
    ],
)
def test_another_visitor(host: Host, clock: Clock, other: dict[str, Any]) -> None:
    """Another address, user agent or host is another visitor."""
    assert visit(host)["visitor"] != visit(host, **other)["visitor"]


def test_another_day_is_another_visitor(host: Host, clock: Clock) -> None:
    """The hash changes at midnight UTC."""
    clock.now = datetime(2024, 3, 10, 23, 59, 59)
    before = visit(host)["visitor"]
    clock.advance(seconds=2)
    assert visit(host)["visitor"] != before
    assert [row["day"] for row in salts(host)] == [date(2024, 3, 10), date(2024, 3, 11)]


def test_two_apps_never_agree(make_host: MakeHost, clock: Clock) -> None:
    """The salt is random: the same person has another hash elsewhere."""
    assert visit(make_host())["visitor"] != visit(make_host())["visitor"]


def test_nothing_of_the_identity_is_stored(host: Host, clock: Clock) -> None:
    """The hash is short and holds nothing that was put in."""
    visitor = visit(host, environ_base={"REMOTE_ADDR": "203.0.113.77"})["visitor"]
    assert len(visitor) <= 32
    assert "203" not in visitor or "203.0.113.77" not in visitor
    assert int(visitor, 16) >= 0


def test_masking_does_not_merge_visitors(make_host: MakeHost, clock: Clock) -> None:
    """Visitors are told apart by the whole address, although only a part is stored."""
    host = make_host(settings={"STATISTICS_MASK_IP": "full"})
    first = visit(host, environ_base={"REMOTE_ADDR": "203.0.113.1"})
    second = visit(host, environ_base={"REMOTE_ADDR": "203.0.113.2"})
    assert first["visitor"] != second["visitor"]
    assert first["remote_address"] == second["remote_address"]


# Salts


def test_the_salt_is_shared(make_host: MakeHost, clock: Clock, database_url: str) -> None:
    """A worker that starts later takes the salt that is there."""
    host = make_host(url=database_url)
    before = visit(host)["visitor"]
    another_worker(host)
    assert visit(host)["visitor"] == before
    assert len(salts(host)) == 1


def test_two_workers_at_once_agree_on_one_salt(
    make_host: MakeHost, clock: Clock, database_url: str
) -> None:
    """Eight workers that start at the same moment have one salt."""
    host = make_host(url=database_url)
    table = host.app.extensions["statistics"].tables.salt
    barrier, found = Barrier(8), []

    def work() -> None:
        worker = Salts(host.engine.begin, table, live=True)
        barrier.wait()
        found.append(worker.of(NOW.date()))

    threads = [Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert found[0] is not None
    assert len(salts(host)) == 1


def test_a_salt_lives_48_hours_at_most(host: Host, clock: Clock) -> None:
    """A day's salt expires 48 hours after the day began, and is destroyed then."""
    clock.now = datetime(2024, 3, 10, 0, 0, 1)
    visit(host)
    (made,) = salts(host)
    assert made["expires"] == datetime(2024, 3, 11, 23)
    clock.now = datetime(2024, 3, 12, 0, 0, 1)
    visit(host)
    assert [row["day"] for row in salts(host)] == [date(2024, 3, 12)]
    assert made["salt"] not in repr(salts(host))


def test_salts_are_destroyed_without_visitors(
    host: Host, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody comes any more, salts are destroyed all the same while the process lives."""
    visit(host)
    assert len(salts(host)) == 1
    clock.advance(hours=49)
    recorder = host.app.extensions["statistics"].recorder
    recorder.work()
    assert salts(host) == []


def test_no_salt_is_made_for_a_day_long_gone(host: Host, clock: Clock) -> None:
    """A request that waited for more than 48 hours has no visitor: its salt is gone."""
    worker = Salts(host.engine.begin, host.app.extensions["statistics"].tables.salt, live=True)
    assert worker.of(NOW.date() - timedelta(days=2)) is None
    assert worker.of(NOW.date() - timedelta(days=1)) is not None


def test_salts_are_long_and_random(host: Host, clock: Clock) -> None:
    """32 random bytes each."""
    visit(host)
    clock.advance(days=1)
    visit(host)
    first, second = (row["salt"] for row in salts(host))
    assert first != second
    assert len(bytes.fromhex(first)) == 32


def test_the_file_does_not_keep_a_destroyed_salt(host: Host, clock: Clock) -> None:
    """SQLite leaves deleted rows in its file; a salt is overwritten first."""
    from pathlib import Path

    visit(host)
    (made,) = salts(host)
    file = Path(str(host.engine.url.database))
    assert made["salt"].encode() in file.read_bytes()
    clock.advance(days=3)
    visit(host)
    assert made["salt"].encode() not in file.read_bytes()


def test_without_the_table_visitors_are_null(
    make_host: MakeHost, clock: Clock, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The table of salts may be missing: NULL, said in the log once, with what to do."""
    host = make_host(url=database_url)
    host.app.extensions["statistics"].tables.salt.drop(host.engine)
    for _ in range(3):
        row = visit(host)
        assert (row["visitor"], row["visit"], row["path"]) == (None, None, "/x")
    messages = [r.getMessage() for r in caplog.records if r.name == "flask_statistics"]
    assert messages == [
        "The table statistics_salt is missing, so visitors are not recorded: "
        "run `flask db migrate` and `flask db upgrade`, or call db.create_all() after "
        "Statistics(…)."
    ]


# Visits


def test_a_visit_goes_on(make_host: MakeHost, clock: Clock, database_url: str) -> None:
    """Requests less than 30 minutes apart are one visit, however long."""
    host = make_host(url=database_url)
    first = visit(host)["visit"]
    for _ in range(4):
        clock.advance(minutes=29)
        assert visit(host)["visit"] == first
    assert first


def test_thirty_minutes_end_a_visit(make_host: MakeHost, clock: Clock, database_url: str) -> None:
    """30 minutes without a request end it."""
    host = make_host(url=database_url)
    first = visit(host)["visit"]
    clock.advance(minutes=30, seconds=1)
    second = visit(host)["visit"]
    assert second != first
    clock.advance(minutes=30, seconds=1)
    assert visit(host)["visit"] not in {first, second}


def test_the_timeout_is_a_setting(make_host: MakeHost, clock: Clock) -> None:
    """STATISTICS_VISIT_TIMEOUT sets the pause."""
    host = make_host(settings={"STATISTICS_VISIT_TIMEOUT": 60})
    first = visit(host)["visit"]
    clock.advance(seconds=59)
    assert visit(host)["visit"] == first
    clock.advance(seconds=61)
    assert visit(host)["visit"] != first


def test_visitors_have_visits_of_their_own(host: Host, clock: Clock) -> None:
    """Two visitors never share a visit."""
    first = visit(host)["visit"]
    assert visit(host, environ_base={"REMOTE_ADDR": "203.0.113.9"})["visit"] != first


def test_another_worker_continues_the_visit(
    make_host: MakeHost, clock: Clock, database_url: str
) -> None:
    """A worker that never saw the visitor finds the visit in the host's table."""
    host = make_host(url=database_url)
    first = visit(host)["visit"]
    for _ in range(3):
        clock.advance(minutes=25)
        another_worker(host)
        assert visit(host)["visit"] == first


def test_a_worker_that_missed_some_requests(
    make_host: MakeHost, clock: Clock, database_url: str
) -> None:
    """A worker that last saw the visitor long ago asks again before it begins a new visit."""
    host = make_host(url=database_url)
    first = visit(host)["visit"]
    mine = host.app.extensions["statistics"].recorder
    elsewhere = mine._make_storage()
    seen_elsewhere = record(date=clock.seconds() + 25 * 60, host="localhost", **who(host))
    rows = elsewhere.derive([seen_elsewhere])
    with elsewhere.transaction() as connection:
        elsewhere.write(connection, rows)
    assert host.rows()[-1]["visit"] == first
    clock.advance(minutes=50)
    assert visit(host)["visit"] == first


def test_one_batch_with_several_visits(make_host: MakeHost, clock: Clock) -> None:
    """Requests that are stored together are told apart as if they had been stored one by one."""
    host = make_host(settings={"STATISTICS_FLUSH_INTERVAL": 60})
    host.app.add_url_rule("/<path:name>", "any", lambda name: name)
    for minutes in (0, 10, 45, 20):
        clock.advance(minutes=minutes)
        host.open("/x")
    a, b, c, d = (row["visit"] for row in host.rows())
    assert a == b
    assert c == d
    assert a != c


def test_visit_without_visitor_column(make_host: MakeHost, clock: Clock) -> None:
    """A model may keep visits and no visitors."""
    from flask_sqlalchemy import SQLAlchemy

    def model(db: SQLAlchemy) -> Any:
        columns = {
            "id": db.Column(db.Integer, primary_key=True),
            "date": db.Column(db.DateTime),
            "visit": db.Column(db.String(40)),
        }
        return type("Request", (db.Model,), columns)

    host = make_host(model=model)
    first = visit(host)["visit"]
    clock.advance(minutes=10)
    assert visit(host)["visit"] == first
    clock.advance(minutes=31)
    assert visit(host)["visit"] != first
