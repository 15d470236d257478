"""What the host does to its requests through its own model is noticed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa

from flask_statistics import changes
from flask_statistics.asking.period import Period
from flask_statistics.asking.query import Query
from flask_statistics.errors import StatisticsError
from flask_statistics.recording.rebuilding import rebuild
from flask_statistics.state import get_state

from .conftest import Host

OLD = datetime(2026, 1, 5, 12)
METRICS = ("hits", "visitors", "page_views", "visits", "bounce_rate")


def request(host: Host, minute: int, **values: Any) -> Any:
    given = {
        "date": OLD + timedelta(minutes=minute), "visitor": "a" * 16, "visit": f"{'a' * 16}-1",
        "method": "GET", "status_code": 200, "mimetype": "text/html", "path": f"/{minute}",
    }  # fmt: skip
    return host.Request(**given | values)


def figures(host: Host) -> dict[str, Any]:
    state = get_state(host.app)
    period = Period(date(2026, 1, 1), date(2026, 1, 31), state.config.timezone)
    return state.answers.summary(Query(period, metrics=METRICS))


def complete(host: Host) -> str | None:
    state = get_state(host.app)
    with state.engine.connect() as connection:
        return changes.read_state(connection, state.tables, "visits")


def is_incomplete(host: Host) -> bool:
    return (complete(host) or "").startswith("incomplete")


@pytest.fixture
def recorded(make_host: Callable[..., Host], database_url: str) -> Host:
    """A host with a recorded request, so that its table of visits is complete."""
    host = make_host(url=database_url)
    host.open("/now", headers={"User-Agent": "Mozilla/5.0 Firefox/125.0"})
    host.rows()
    assert complete(host) == "complete"
    return host


def test_added_requests_count_at_once(recorded: Host) -> None:
    """Requests added, changed and deleted by the ORM are in the next answer, visits too."""
    assert figures(recorded)["hits"] == 0
    with recorded.app.app_context():
        recorded.db.session.add(request(recorded, 1))
        recorded.db.session.commit()
    assert figures(recorded) == {
        "hits": 1, "visitors": 1, "page_views": 1, "visits": 1, "bounce_rate": 1.0
    }  # fmt: skip
    with recorded.app.app_context():
        recorded.db.session.add(request(recorded, 2))
        recorded.db.session.commit()
    assert figures(recorded)["bounce_rate"] == 0.0
    with recorded.app.app_context():
        second = recorded.db.session.scalars(sa.select(recorded.Request).filter_by(path="/2")).one()
        second.mimetype = "text/css"
        recorded.db.session.commit()
    assert figures(recorded)["bounce_rate"] == 1.0
    with recorded.app.app_context():
        second = recorded.db.session.scalars(sa.select(recorded.Request).filter_by(path="/2")).one()
        recorded.db.session.delete(second)
        recorded.db.session.commit()
    assert figures(recorded)["hits"] == 1


def test_visits_are_incomplete_until_they_are_rebuilt(
    recorded: Host, caplog: pytest.LogCaptureFixture
) -> None:
    """The visits count as incomplete, the day as changed; the log says what to run."""
    with recorded.app.app_context():
        recorded.db.session.add(request(recorded, 1))
        recorded.db.session.commit()
    figures(recorded)
    assert is_incomplete(recorded)
    assert "run `flask statistics visits rebuild`" in caplog.text
    state = get_state(recorded.app)
    with state.engine.connect() as connection:
        numbers = changes.day_numbers(connection, state.tables, OLD.date(), OLD.date())
    assert numbers == {OLD.date(): 1}
    result = recorded.app.test_cli_runner().invoke(args=["statistics", "visits", "rebuild"])
    assert result.exit_code == 0, result.output
    assert complete(recorded) == "complete"
    assert figures(recorded)["visits"] == 1


def test_sql_of_the_host_is_seen_by_its_number(recorded: Host) -> None:
    """Requests that the host adds or deletes by SQL are not hidden by a kept answer."""
    assert figures(recorded)["hits"] == 0
    table = recorded.Request.__table__
    with recorded.engine.begin() as connection:
        connection.execute(table.insert().values(date=OLD, method="GET"))
    assert figures(recorded)["hits"] == 1
    with recorded.engine.begin() as connection:
        connection.execute(table.delete().where(table.c.date == OLD))
    assert figures(recorded)["hits"] == 0


def test_an_open_transaction_of_the_host_is_left_alone(recorded: Host) -> None:
    """While the host holds a lock, the next question neither waits nor fails."""
    with recorded.app.app_context():
        recorded.db.session.add(request(recorded, 1, date=datetime.now(timezone.utc)))
        recorded.db.session.flush()
        assert figures(recorded)["hits"] == 0
        recorded.db.session.commit()
    assert get_state(recorded.app).answers is not None
    assert is_incomplete(recorded)


def numbers(host: Host) -> dict[date, int]:
    state = get_state(host.app)
    with state.engine.connect() as connection:
        return changes.day_numbers(connection, state.tables, date.min, date.max)


def test_both_days_of_a_moved_request_are_noted(recorded: Host) -> None:
    """A request that the host gives another date changes the day it was on, too."""
    with recorded.app.app_context():
        moved = request(recorded, 1)
        recorded.db.session.add(moved)
        recorded.db.session.commit()
        figures(recorded)
        before = numbers(recorded)
        assert moved.date == OLD + timedelta(minutes=1)
        moved.date = OLD + timedelta(days=3)
        recorded.db.session.commit()
        figures(recorded)
    after = numbers(recorded)
    assert after[OLD.date()] > before[OLD.date()]
    assert after[OLD.date() + timedelta(days=3)] == 1


@pytest.mark.parametrize("how", ["update", "delete"])
def test_the_day_of_an_expired_request_is_noted(recorded: Host, how: str) -> None:
    """The day is known also where the host's commit has emptied the object."""
    with recorded.app.app_context():
        expired = request(recorded, 1)
        recorded.db.session.add(expired)
        recorded.db.session.commit()
        figures(recorded)
        before = numbers(recorded)
        if how == "update":
            expired.mimetype = "text/css"
        else:
            recorded.db.session.delete(expired)
        assert "date" not in expired.__dict__ or how == "delete"
        recorded.db.session.commit()
        figures(recorded)
    assert numbers(recorded)[OLD.date()] > before[OLD.date()]


def test_a_question_before_the_commit_hides_nothing(
    make_host: Callable[..., Host], database_url: str
) -> None:
    """What was answered between the host's flush and its commit is not kept beyond the commit."""
    if database_url.startswith("sqlite"):
        pytest.skip("there nothing of ours can be written while the host writes")
    host = make_host(url=database_url)
    with host.app.app_context():
        host.db.session.add(request(host, 1))
        host.db.session.commit()
        assert figures(host)["page_views"] == 1
        found = host.db.session.scalars(sa.select(host.Request)).one()
        found.mimetype = "text/css"
        host.db.session.flush()
        assert figures(host)["page_views"] == 1
        host.db.session.commit()
        assert figures(host)["page_views"] == 0


def test_an_edit_while_visits_are_rebuilt_is_not_hidden(recorded: Host) -> None:
    """A rebuilding does not call the visits complete where the host changed requests meanwhile."""
    state = get_state(recorded.app)

    def edit(visitors: int) -> None:
        with recorded.app.app_context():
            recorded.db.session.add(request(recorded, 1))
            recorded.db.session.commit()
        figures(recorded)

    with pytest.raises(StatisticsError, match="once more"):
        rebuild(state, edit)
    assert is_incomplete(recorded)
    rebuild(state)
    assert complete(recorded) == "complete"
