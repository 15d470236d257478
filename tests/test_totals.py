"""Days that are over are added up once; what follows from them is what the requests give."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from flask_statistics import RequestMixin, changes, totalling
from flask_statistics import keeper as keepers
from flask_statistics.asking.answers import Answers, Ask
from flask_statistics.asking.daily_totals import source_with_totals
from flask_statistics.asking.limits import within
from flask_statistics.asking.query import Period, Query
from flask_statistics.asking.source import table_source
from flask_statistics.day_rows import rows_of_day
from flask_statistics.totalling import can_total, drop_totals, total_days
from tests.archived import delete, state_of, store
from tests.conftest import Host
from tests.oracle.comparing import plain, same
from tests.owned import run

MakeHost = Callable[..., Host]
FIRST, DAYS = date(2024, 3, 28), 6  # with the day of 23 hours in Europe
LAST = FIRST + timedelta(DAYS - 1)
UTC = ZoneInfo("UTC")
ZONES = ("UTC", "Europe/Berlin", "Asia/Kathmandu")
PEOPLE = {"anna": "Firefox", "Anna": "firefox", "bert": "", "cleo": None, "dora": "Opera\u00e9 "}


def draw(seed: int, rows: int = 250) -> list[dict[str, Any]]:
    """Return requests of some days, each visitor of one of them."""
    chance, found = random.Random(seed), []
    for _ in range(rows):
        day = FIRST + timedelta(chance.randrange(DAYS))
        name = chance.choice([*PEOPLE, "bot", "lost"])
        person = None if name == "lost" else f"{name}-{day}"
        found.append({
            "date": datetime.combine(day, datetime.min.time())
            + timedelta(seconds=chance.choice([0, 3600, 43_200, 80_000, 86_399])),
            "method": chance.choice(["GET", "GET", "POST"]), "path": chance.choice(["/", "/a"]),
            "route": chance.choice(["/", "/<name>", None]),
            "status_code": chance.choice([200, 200, 304, 404, 500, 503]),
            "mimetype": chance.choice(["text/html", "text/html", "image/png", None]),
            "browser": PEOPLE.get(name), "country": chance.choice(["DE", "de", None, ""]),
            "exception": chance.choice([None, None, "KeyError('\u00e9')", "keyerror('\u00e9')"]),
            "bot": "crawler" if name == "bot" else None,
            "visitor": person, "visit": person and f"{person}-1",
            "response_time": chance.choice([None, 0.25, 1e-6, 3.5]),
            "size": chance.choice([None, 0, 2**40]),
        })  # fmt: skip
    return found


METRICS = ("hits", "visitors", "page_views", "errors", "size", "response_time", "visits")


def questions(zone: str = "UTC", first: date = FIRST, last: date = LAST) -> list[Ask]:
    query = Query(Period(first, last, ZoneInfo(zone)))
    found = [Ask("summary", query), Ask("timeseries", query.replace(metrics=METRICS))]
    for name in ("status_code", "browser", "country", "exception", "path"):
        by = query.replace(group_by=(name,), order="-visitors", metrics=METRICS)
        found.append(Ask("breakdown", by.where(name, "!") if name == "country" else by))
    return found


def questions_of_bots() -> list[Ask]:
    found = []
    for bots in ("0", "1", "only"):
        query = Query(Period(FIRST, LAST, UTC), include_bots=bots, metrics=METRICS)
        found += [Ask("summary", query), Ask("timeseries", query.replace(bucket="week"))]
        found.append(Ask("breakdown", query.replace(group_by=("browser",))))
    return found


def agree(host: Host, asked: list[Ask]) -> None:
    """Check that answers with totals are those of the requests alone."""
    state = state_of(host)
    source = source_with_totals(state.engine, state.model, state.tables)
    found = Answers(lambda: source, state.model).many(asked)
    by_requests = table_source(state.engine, state.model, state.tables)
    expected = Answers(lambda: by_requests, state.model).many(asked)
    for ask, left, right in zip(asked, found, expected, strict=True):
        assert same(plain(left), plain(right)), ask


def known(host: Host, first: date = FIRST, last: date = LAST) -> int | None:
    """Return of how many days figures are taken; None where all is counted."""
    state = state_of(host)
    period = Period(first, last, UTC)
    source = source_with_totals(state.engine, state.model, state.tables)
    with state.engine.connect() as connection:
        totals: Any = source.totals(connection, {""}, [(period.begins, period.ends)])
    return None if totals is None else len(totals.spans)


@pytest.fixture
def host(make_host: MakeHost, database_url: str) -> Host:
    return make_host(url=database_url)


@pytest.mark.parametrize("seed", range(2))
def test_answers_are_those_of_the_requests(host: Host, seed: int) -> None:
    """Whatever the values, with and without bots, in zones whose days are not those of UTC."""
    store(host, *draw(seed))
    assert total_days(state_of(host)) == DAYS
    assert known(host) == DAYS
    agree(host, questions_of_bots())
    for zone in ZONES:
        agree(host, questions(zone, FIRST + timedelta(seed)))
    agree(host, questions(first=FIRST - timedelta(30), last=LAST + timedelta(30)))


def test_requests_are_not_read_again(host: Host) -> None:
    """Where all days of a period are known, its panels read nothing of the host's table."""
    store(host, *draw(1))
    total_days(state_of(host))
    read: list[str] = []
    sa.event.listen(host.engine, "before_cursor_execute", lambda *of: read.append(of[2]))
    metrics = ("hits", "visitors", "page_views", "errors", "size")
    query = Query(Period(FIRST, LAST, UTC), metrics=metrics)
    asked = [Ask("breakdown", query.replace(group_by=(n,))) for n in ("route", "browser", "bot")]
    asked.append(Ask("timeseries", query))
    state = state_of(host)
    source = source_with_totals(state.engine, state.model, state.tables)
    Answers(lambda: source, state.model).many([Ask("summary", query), *asked])
    of_requests = [text for text in read if "FROM request" in text]
    assert len(of_requests) == 1  # how many there are
    assert "count(*)" in of_requests[0]


def test_percentiles_read_few_requests(host: Host) -> None:
    """The steps of response times are known, so that requests are sorted, but not counted."""
    store(host, *draw(1))
    total_days(state_of(host))
    read: list[str] = []
    sa.event.listen(host.engine, "before_cursor_execute", lambda *of: read.append(of[2]))
    query = Query(
        Period(FIRST, LAST, UTC), metrics=("hits", "response_time_p50", "response_time_p95")
    )
    by_route = query.replace(group_by=("route",), limit=2)
    agree(host, [Ask("breakdown", by_route)])
    agree(host, [Ask("summary", query), Ask("summary", query.replace(include_bots="0"))])
    state = state_of(host)
    source = source_with_totals(state.engine, state.model, state.tables)
    read.clear()
    Answers(lambda: source, state.model).many([Ask("breakdown", by_route), Ask("summary", query)])
    of_requests = [text for text in read if "FROM request" in text]
    assert sum("count(*)" in text for text in of_requests) == 1  # how many there are
    assert sum("row_number()" in text for text in of_requests) == len(of_requests) - 1 == 2


def test_a_day_that_changed_is_read_again(host: Host) -> None:
    """A late row, a deletion: the day is counted until it is added up again."""
    store(host, *draw(2))
    total_days(state_of(host))
    model = state_of(host).model
    store(host, draw(9)[0] | {"date": datetime(2024, 3, 29, 12), "visitor": "late-2024-03-29"})
    assert known(host) == DAYS - 1
    agree(host, questions())
    delete(host, model.columns["date"] >= datetime(2024, 4, 1), model.columns["bot"].is_(None))
    assert known(host) == DAYS - 3
    agree(host, questions())
    assert total_days(state_of(host)) == 3
    assert total_days(state_of(host)) == 0
    assert known(host) == DAYS
    agree(host, questions())


def test_what_the_host_deletes_by_sql_is_noticed(host: Host) -> None:
    """The number of requests tells; once a day, and by the command, the day is read again."""
    store(host, *draw(3))
    total_days(state_of(host))
    table = state_of(host).model.table
    with host.engine.begin() as connection:
        connection.execute(table.delete().where(table.c.date < datetime(2024, 3, 29)))
        connection.execute(table.insert(), [draw(4)[0] | {"date": datetime(2024, 3, 30, 5)}])
    assert known(host) is None
    agree(host, questions())
    assert total_days(state_of(host), recount=False) == 0
    assert total_days(state_of(host)) == 1  # of the other one nothing is left to read
    agree(host, questions())


def test_a_visitor_of_two_days_is_counted_once(host: Host) -> None:
    """Figures of days that share visitors are not added, however they came to share them."""
    store(host, *draw(5))
    total_days(state_of(host))
    again = draw(5)[0] | {"visitor": f"anna-{FIRST}", "visit": f"anna-{FIRST}-2"}
    store(host, again | {"date": datetime(2024, 3, 30, 8)})
    agree(host, questions())  # counted, and found in what is added up
    total_days(state_of(host))
    assert known(host) is None
    agree(host, questions())
    store(host, again | {"date": datetime(2024, 4, 20, 8)})
    agree(host, questions(last=date(2024, 4, 30)))
    assert known(host, date(2024, 3, 31)) == DAYS - 3
    agree(host, questions(first=date(2024, 3, 31)))


def test_the_running_day_is_counted(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day is added up when it is over, and its last requests are stored."""
    monkeypatch.setattr(changes, "utc_now", lambda: datetime(2024, 4, 2, 0, 9))
    store(host, *draw(6))
    assert total_days(state_of(host)) == DAYS - 2
    assert known(host) == DAYS - 2
    agree(host, questions())
    monkeypatch.setattr(changes, "utc_now", lambda: datetime(2024, 4, 2, 0, 10))
    assert total_days(state_of(host)) == 1


def test_it_may_be_interrupted(host: Host) -> None:
    """The newest days come first; the next run goes on where it ended."""
    store(host, *draw(7))
    assert total_days(state_of(host), lambda: False) == 1
    assert known(host, LAST, LAST) == 1
    assert total_days(state_of(host)) == DAYS - 1
    assert drop_totals(state_of(host)) == DAYS
    assert known(host) is None


def test_pages_show_the_same(host: Host) -> None:
    """The dashboard with totals is the dashboard without."""
    host.app.testing = True
    store(host, *draw(8))
    url = f"/statistics/?start={FIRST}&end={LAST}&tz=UTC"
    before = host.open(url)
    total_days(state_of(host))
    state_of(host).kept_answers.clear()
    assert known(host) == DAYS
    after = host.open(url)
    assert before.status_code == after.status_code == 200
    numbers = re.compile(r"\d+\.\d{6,}")  # sums of another order differ in the last digits
    texts = [numbers.sub(lambda n: f"{float(n[0]):.9f}", page.text) for page in (before, after)]
    assert texts[0] == texts[1]


def test_forgotten_people_are_not_left_in_totals(host: Host) -> None:
    """What only one person did is deleted with it, at once."""
    told = draw(1)[0] | {"exception": "SecretError()", "visitor": "gone", "visit": "gone-1"}
    store(host, *draw(1), told | {"date": datetime(2024, 3, 28, 6)})
    total_days(state_of(host))
    texts = sa.select(state_of(host).tables.total.c.text)
    with host.engine.connect() as connection:
        assert "SecretError()" in connection.scalars(texts).all()
    run(host, "forget", "--visitor", "gone", "--yes")
    with host.engine.connect() as connection:
        assert "SecretError()" not in connection.scalars(texts).all()
    agree(host, questions())


def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], Any]) -> None:
    """Do something once, after the first day was read and before it is stored."""
    waiting = [act]
    read = rows_of_day

    def then(*of: Any) -> Any:
        rows = read(*of)
        if waiting:
            waiting.pop()()
        return rows

    monkeypatch.setattr(totalling, "rows_of_day", then)


def rows_of_all(host: Host) -> list[Any]:
    total = state_of(host).tables.total.c
    with host.engine.connect() as connection:
        found = sa.select(total.first, total.person).where(total.dimension == "")
        return [tuple(row) for row in connection.execute(found)]


def test_two_processes_add_up_the_same_day(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day that changed while it was read is left to whoever reads it again."""
    store(host, *draw(1))

    def another() -> None:
        store(host, draw(9)[0] | {"date": datetime(2024, 4, 2, 12), "visitor": "late-2024-04-02"})
        assert total_days(state_of(host)) == DAYS

    meanwhile(monkeypatch, another)
    total_days(state_of(host))
    assert len(set(rows_of_all(host))) == len(rows_of_all(host))
    assert known(host) == DAYS
    agree(host, questions())


def test_somebody_is_forgotten_while_a_day_is_read(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read of them is not stored, also where nothing else is left of the day."""
    told = draw(1)[0] | {"exception": "SecretError()", "visitor": "gone", "visit": "gone-1"}
    store(host, *draw(1), told | {"date": datetime(2024, 5, 5, 6)})
    meanwhile(monkeypatch, lambda: run(host, "forget", "--visitor", "gone", "--yes"))
    total_days(state_of(host))
    total_days(state_of(host))
    with host.engine.connect() as connection:
        texts = connection.scalars(sa.select(state_of(host).tables.total.c.text)).all()
    assert "SecretError()" not in texts
    agree(host, questions(last=date(2024, 5, 6)))


def test_rows_that_the_host_moves_between_days(host: Host) -> None:
    """Each day is counted, so that what one lost and another gained is noticed."""
    store(host, *draw(3))
    total_days(state_of(host))
    table = state_of(host).model.table
    moved = table.update().where(table.c.date == datetime(2024, 3, 29))
    with host.engine.begin() as connection:
        assert connection.execute(moved.values(date=datetime(2024, 3, 30))).rowcount
    agree(host, questions())
    assert total_days(state_of(host)) == 2
    agree(host, questions())


def test_a_day_that_the_host_empties(host: Host) -> None:
    """Its figures go with the next look, and the others count as before."""
    store(host, *draw(3))
    total_days(state_of(host))
    table = state_of(host).model.table
    with host.engine.begin() as connection:
        connection.execute(table.delete().where(table.c.date < datetime(2024, 3, 29)))
    assert known(host) == DAYS - 1
    agree(host, questions())
    assert total_days(state_of(host)) == 0
    assert min(first for first, _ in rows_of_all(host)) == datetime(2024, 3, 29)


def test_a_day_that_cannot_be_added_up(host: Host) -> None:
    """The others are; it is told once, and not tried again until the next day."""
    store(host, *draw(1))
    huge = draw(1)[0] | {"date": datetime(2024, 3, 30, 1), "size": 2**62}
    store(host, *(huge | {"visitor": f"{n}-2024-03-30"} for n in range(4)))
    failed: set[datetime] = set()
    with pytest.raises((sa.exc.DBAPIError, OverflowError)):
        total_days(state_of(host), failed=failed)
    assert failed == {datetime(2024, 3, 30)}
    assert total_days(state_of(host), failed=failed) == 0
    assert known(host) == DAYS - 1


def test_the_commands(host: Host) -> None:
    """They say how many days there are."""
    store(host, *draw(1))
    assert "Added up 6 days." in run(host, "totals", "build").output
    assert "Added up 0 days." in run(host, "totals", "build").output
    assert "Deleted the totals of 6 days." in run(host, "totals", "drop").output


def test_the_keeper_adds_up(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """By default, in a process that records."""
    monkeypatch.setattr(keepers, "REST", 0.0)
    store(host, *draw(1))
    keeper = state_of(host).keeper
    assert keeper.look()
    keeper.stop(1)
    assert known(host) == DAYS


def test_a_host_that_has_not_upgraded(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    """Without the table all is counted; the keeper says what to do."""
    store(host, *draw(1))
    state_of(host).tables.total.drop(host.engine)
    agree(host, questions())
    keeper = state_of(host).keeper
    keeper.look()
    keeper.stop(1)
    assert "did `flask db upgrade` run?" in caplog.text
    assert run(host, "totals", "build", code=1).output.startswith("Error: The database failed")


def test_a_day_of_a_slow_database_is_bounded(host: Host) -> None:
    """Adding up ends with the deadline, as every question of ours does."""
    store(host, *draw(1))
    from flask_statistics.errors import QueryTimeoutError

    with within(0.0), pytest.raises(QueryTimeoutError):
        total_days(state_of(host))


def test_models_whose_days_cannot_be_added_up(make_host: MakeHost) -> None:
    """Without visitors that an index finds, or in memory, there are no totals."""

    def no_index(db: Any) -> Any:
        class Request(RequestMixin, db.Model):  # type: ignore[misc]
            __table_args__ = (sa.Index("by_date", "date"),)

        return Request

    assert can_total(state_of(make_host()))
    for options in ({"model": no_index}, {"url": "sqlite://"}):
        host = make_host(**options)
        store(host, *draw(1, 30))
        assert not can_total(state_of(host))
        agree(host, questions())
        assert "cannot be added up" in run(host, "totals", "build", code=1).output


def test_a_day_of_too_many_values_is_counted(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up referrers do not fill the memory or the table."""
    store(host, *draw(1))
    monkeypatch.setattr("flask_statistics.day_rows.MOST_VALUES", 3)
    assert total_days(state_of(host)) == DAYS
    assert total_days(state_of(host)) == 0
    assert known(host) is None
    with host.engine.connect() as connection:
        rows = connection.execute(sa.select(state_of(host).tables.total.c.dimension)).all()
    assert {name for (name,) in rows} == {""}
    agree(host, questions())


def test_a_column_that_the_model_gains(make_host: MakeHost, sqlite_url: str, tmp_path: Any) -> None:
    """What was added up without it does not stand for it."""

    def small(db: Any) -> Any:
        class Request(db.Model):  # type: ignore[misc]
            id = sa.Column(sa.Integer, primary_key=True)
            date = sa.Column(sa.DateTime)
            visitor = sa.Column(sa.String(32), index=True)
            status_code = sa.Column(sa.Integer)

        return Request

    old = make_host(url=sqlite_url, model=small)
    names = ("date", "visitor", "status_code")
    store(old, *({name: row[name] for name in names} for row in draw(1)))
    assert total_days(state_of(old)) == DAYS
    assert known(old) == DAYS
    query = Query(Period(FIRST, LAST, UTC), metrics=("hits", "visitors", "errors"))
    by_status, by_browser = (
        Ask("breakdown", query.replace(group_by=(name,))) for name in ("status_code", "browser")
    )
    agree(old, [by_status])
    with old.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE request ADD COLUMN browser VARCHAR(64)")

    def grown(db: Any) -> Any:
        model = small(db)
        model.browser = sa.Column(sa.String(64))
        return model

    new = make_host(url=sqlite_url, model=grown)
    assert known(new) is None
    agree(new, [by_status, by_browser])
    assert total_days(state_of(new)) == DAYS
    agree(new, [by_status, by_browser])
