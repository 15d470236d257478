"""What takes too long is ended by the database; the host's connections stay as they were."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from werkzeug.test import TestResponse

from flask_statistics.asking.answers import Ask
from flask_statistics.asking.limits import Deadline, bounded, within
from flask_statistics.asking.period import Period
from flask_statistics.asking.query import Query
from flask_statistics.asking.reading import reading
from flask_statistics.asking.sharing import shared
from flask_statistics.asking.source import table_source
from flask_statistics.errors import QueryTimeoutError
from tests.pages import RANGE, add_rows, read, row

if TYPE_CHECKING:
    from tests.conftest import Host

    MakeHost = Callable[..., Host]

#: Joined with itself four times it has more rows than any database counts in a minute.
ROWS = 300


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """An engine with a pool of one connection, and a table of long texts."""
    engine = sa.create_engine(database_url, poolclass=sa.QueuePool, pool_size=1, max_overflow=0)
    with engine.begin() as connection:
        table.create(connection)
        connection.execute(table.insert(), [{"text": "/" + "ab" * 400} for _ in range(ROWS)])
    yield engine
    engine.dispose()


table = sa.Table("long_text", sa.MetaData(), sa.Column("text", sa.String(1000)))


def endless(name: str = "long_text", column: str = "text") -> str:
    """A question of minutes: every row with every other, four times over."""
    return (
        f"SELECT COUNT(*) FROM {name} a, {name} b, {name} c, {name} d "
        f"WHERE a.{column} <> b.{column} OR c.{column} = d.{column}"
    )


def settings(connection: sa.Connection) -> list[Any]:
    """What a question must leave as it found it."""
    asked = {
        "postgresql": ["SHOW statement_timeout", "SHOW transaction_isolation",
                       "SHOW transaction_read_only"],
        "mysql": ["SELECT @@max_statement_time", "SELECT @@tx_isolation", "SELECT @@autocommit"],
        "mariadb": ["SELECT @@max_statement_time", "SELECT @@tx_isolation", "SELECT @@autocommit"],
        "sqlite": ["PRAGMA query_only"],
    }  # fmt: skip
    return [connection.exec_driver_sql(text).scalar() for text in asked[connection.dialect.name]]


def test_the_database_ends_what_takes_too_long(engine: sa.Engine) -> None:
    """It ends with our error; the one connection of the pool serves the host as before."""
    with engine.connect() as connection:
        before = settings(connection)
    with (
        pytest.raises(QueryTimeoutError, match=r"0\.3 seconds"),
        within(0.3),
        reading(engine) as connection,
    ):
        connection.exec_driver_sql(endless())
    with engine.connect() as connection:
        assert settings(connection) == before
        counted = sa.select(sa.func.count()).select_from(table)
        assert connection.execute(counted).scalar() == ROWS


def test_statements_share_one_deadline(engine: sa.Engine) -> None:
    """A question that begins when the time is over is not asked at all."""
    asked = sa.select(sa.func.count()).select_from(table)
    with within(30) as deadline, reading(engine) as connection:
        assert connection.execute(asked).scalar() == ROWS
        deadline._ends = 0.0
        with pytest.raises(QueryTimeoutError):
            connection.execute(asked)


def test_an_inner_deadline_is_the_outer_one() -> None:
    """A page of several questions has one time limit."""
    with within(5) as outer, within(60) as inner:
        assert inner is outer


def test_a_stricter_limit_of_the_host_holds(engine: sa.Engine) -> None:
    """Ours never lets a statement run longer than the host's own would."""
    stricter = {
        "postgresql": "SET statement_timeout = '200ms'",
        "mysql": "SET max_statement_time = 0.2",
        "mariadb": "SET max_statement_time = 0.2",
    }
    if engine.dialect.name not in stricter:
        pytest.skip("SQLite has no limit of its own")

    @sa.event.listens_for(engine, "checkout")
    def limit(driver: Any, *_: Any) -> None:
        driver.cursor().execute(stricter[engine.dialect.name])

    deadline = Deadline(3600)
    with (
        pytest.raises(QueryTimeoutError),
        engine.connect() as connection,
        bounded(connection, deadline),
    ):
        connection.exec_driver_sql(endless())
    assert deadline.left > 3000


def test_the_shared_connection_in_memory(make_host: MakeHost) -> None:
    """In memory the host's open transaction outlives a question that was ended."""
    host = make_host(url="sqlite://")
    engine = host.engine
    with engine.begin() as connection:
        table.create(connection)
        connection.execute(table.insert(), [{"text": "/" + "ab" * 400} for _ in range(ROWS)])
    with host.app.app_context():
        host.db.session.execute(table.insert().values(text="open"))
        with pytest.raises(QueryTimeoutError), within(0.2), reading(engine) as connection:
            connection.exec_driver_sql(endless())
        host.db.session.commit()
        texts = sa.select(sa.func.count()).where(table.c.text == "open")
        assert host.db.session.execute(texts).scalar() == 1


def test_a_pattern_is_ended_too(sqlite_url: str) -> None:
    """SQLite compares a text with a pattern in one step: the clock is looked at between rows."""
    engine = sa.create_engine(sqlite_url)
    with engine.begin() as connection:
        table.create(connection)
        connection.execute(table.insert(), [{"text": "/" + "ab" * 490} for _ in range(2000)])
    pattern = "*" + "[a-b]" * 99 + "c"
    asked = "SELECT COUNT(*) FROM long_text a, long_text b WHERE a.text || b.text GLOB ?"
    with pytest.raises(QueryTimeoutError), within(0.2), reading(engine) as connection:
        connection.exec_driver_sql(asked, (pattern,))
    engine.dispose()


def test_other_threads_on_a_shared_connection_go_on(sqlite_url: str) -> None:
    """Our time limit ends our statements, not those of the host in another thread."""
    engine = sa.create_engine(
        sqlite_url, poolclass=sa.StaticPool, connect_args={"check_same_thread": False}
    )
    found: list[Any] = []

    def host() -> None:
        driver: Any = connection.connection.driver_connection
        steps = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000) "
        found.append(driver.execute(steps + "SELECT COUNT(*) FROM n").fetchone())

    with engine.connect() as connection, bounded(connection, Deadline(0)):
        thread = threading.Thread(target=host)
        thread.start()
        thread.join()
    assert found == [(50_000,)]
    engine.dispose()


def data(answer: TestResponse) -> dict[str, Any]:
    """Return what a JSON answer says."""
    found: dict[str, Any] = json.loads(answer.text)
    return found


class Late(Deadline):
    """One that passes before one of the next statements."""

    def __init__(self, statements: int) -> None:
        super().__init__(60)
        self.statements = statements

    def check(self) -> None:
        self.statements -= 1
        if self.statements < 0:
            raise QueryTimeoutError(self.seconds)


def test_no_table_is_left_when_it_is_late(make_host: MakeHost, database_url: str) -> None:
    """Whenever the time is over, the pool takes back no temporary table."""
    host = make_host(url=database_url)
    add_rows(host, row(0))
    state = host.app.extensions["statistics"]
    source = table_source(host.engine, state.model, state.tables)
    query = Query(Period(date(2024, 1, 1), date(2024, 12, 31), state.config.timezone))
    by = (query.replace(group_by=(name,)) for name in ("browser", "device"))
    asks = [Ask("summary", query), *(Ask("breakdown", each) for each in by)]
    ended = 0
    for statements in range(12):
        try:
            with (
                host.engine.connect() as connection,
                bounded(connection, Late(statements)),
                shared(connection, source, asks) as found,
            ):
                assert len(found) == 3
        except QueryTimeoutError:
            ended += 1
        with host.engine.connect() as connection, pytest.raises(sa.exc.DBAPIError):
            connection.exec_driver_sql("SELECT * FROM statistics_cells_0").all()
    assert 0 < ended < 12


# ---- what people see ---------------------------------------------------------------------------


@pytest.fixture
def slow(make_host: MakeHost, database_url: str) -> Host:
    """A host whose pages have a tenth of a second for what takes longer."""
    settings = {"TESTING": True, "STATISTICS_QUERY_TIMEOUT": 0.1}
    host = make_host(url=database_url, settings=settings)
    add_rows(host, row(0))
    rows = [row(0, visitor=None, visit=None, date=datetime(2024, 5, 1) + timedelta(seconds=n))
            for n in range(400)]  # fmt: skip
    add_rows(host, *rows)
    model = host.app.extensions["statistics"].model
    # A column that takes minutes to compute stands for a table that takes minutes to read.
    pairs = endless(host.Request.__table__.name, "path")
    model.columns["size"] = sa.literal_column(f"({pairs})", sa.BigInteger)
    return host


def test_the_page_says_what_makes_it_fast(slow: Host) -> None:
    """503, with fewer days, the command that finds indexes, and the archive."""
    answer = slow.open("/statistics/?start=2024-01-01&end=2024-05-03")
    assert answer.status_code == 503
    page = read(answer.text)
    assert "This took too long" in page.text
    assert "flask statistics archive build" in page.text
    (link,) = page.links("The last 7 days")
    assert link == "/statistics/?start=2024-04-27&end=2024-05-03"
    assert page.links("Try again") == ["/statistics/?start=2024-01-01&end=2024-05-03"]


def test_the_page_names_the_index_that_is_missing(slow: Host) -> None:
    """Where the date has no index, the command that prints its migration."""
    (index,) = [i for i in slow.Request.__table__.indexes if i.name.endswith("request_date")]
    with slow.engine.begin() as connection:
        index.drop(connection)
    text = read(slow.open(f"/statistics/?{RANGE}").text).text
    assert "lacks one on date" in text
    assert "flask statistics check" in text


def test_json_that_took_too_long(slow: Host) -> None:
    """The same in JSON."""
    answer = slow.open(f"/statistics/api/summary?{RANGE}")
    assert answer.status_code == 503
    assert "0.1 seconds (STATISTICS_QUERY_TIMEOUT)" in data(answer)["error"]


def test_a_slow_page_can_be_explained(slow: Host) -> None:
    """The statement that was stopped is shown, for whom wants to know why."""
    # Long enough that the short questions before it are over on any machine.
    slow.app.extensions["statistics"].config.query_timeout = 1.0
    answer = slow.open(f"/statistics/api/summary?{RANGE}&explain=1")
    assert answer.status_code == 503
    assert data(answer)["explain"]["statements"][-1]["rows"] is None
    page = slow.open(f"/statistics/?{RANGE}&explain=1")
    assert page.status_code == 503
    assert "stopped after" in " ".join(read(page.text).text.split())
