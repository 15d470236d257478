"""Who asks the same gets one answer; what is over is kept until a day of it changes."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from flask_statistics import changes
from flask_statistics.asking import keeping
from flask_statistics.asking.answers import Ask
from flask_statistics.asking.keeping import Kept
from flask_statistics.asking.query import Filter, Period, Query
from flask_statistics.errors import QueryError, QueryTimeoutError
from flask_statistics.state import State
from tests.pages import RANGE, add_rows, row

if TYPE_CHECKING:
    from tests.conftest import Host

    MakeHost = Callable[..., Host]

OVER = Query(Period(date(2024, 5, 1), date(2024, 5, 3), ZoneInfo("UTC")), metrics=("hits",))
SUMMARY = Ask("summary", OVER)


@pytest.fixture
def host(make_host: MakeHost, database_url: str) -> Host:
    """A host whose pages are open, with one request in a period that is over."""
    host = make_host(url=database_url, settings={"TESTING": True})
    add_rows(host, row(0))
    return host


@pytest.fixture
def kept(host: Host) -> Kept:
    return state_of(host).kept_answers


def state_of(host: Host) -> State:
    state: State = host.app.extensions["statistics"]
    return state


def hits(host: Host, query: Query = OVER) -> Any:
    return state_of(host).answers.summary(query)["hits"]


_NUMBER = r"SELECT count\(\*\) AS count_1 FROM {0} WHERE {0}\.date >= .* AND {0}\.date < [^=<>]*$"


@contextmanager
def statements(host: Host) -> Iterator[list[str]]:
    """Collect the statements about requests, but for the number of them that a key holds."""
    found: list[str] = []
    name = host.Request.__table__.name

    def note(*arguments: Any) -> None:
        text = arguments[2].replace("\n", "")
        counted = re.search(_NUMBER.format(name), text)
        if f"FROM {name}" in text and not counted:
            found.append(arguments[2])

    engine = host.engine
    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)


# ---- what is over ------------------------------------------------------------------------------


def test_what_is_over_is_asked_once(host: Host) -> None:
    """The second dashboard of closed days reads no request."""
    with statements(host) as first:
        page = host.open(f"/statistics/?{RANGE}").text
    with statements(host) as second:
        assert host.open(f"/statistics/?{RANGE}").text == page
    assert first
    assert second == []


def test_a_late_row_makes_it_a_new_question(host: Host) -> None:
    """What raises the number of a day of the period makes the answer be computed anew."""
    assert hits(host) == 1
    state = state_of(host)
    with host.engine.begin() as connection:
        values = {"date": datetime(2024, 5, 2, 12), "path": "/late"}
        connection.execute(sa.insert(host.Request.__table__), values)
        changes.note_rows(connection, state.tables, [values["date"]])  # type: ignore[list-item]
    assert hits(host) == 2


def test_other_days_do_not_matter(host: Host) -> None:
    """A change outside of the period leaves its answer where it is."""
    assert hits(host) == 1
    with host.engine.begin() as connection:
        changes.raise_days(connection, state_of(host).tables, [date(2024, 4, 30)])
    with statements(host) as asked:
        assert hits(host) == 1
    assert asked == []


def test_what_runs_is_never_kept(host: Host) -> None:
    """Today's answer is computed at each question."""
    now = datetime.now(timezone.utc).replace(tzinfo=None)
    query = OVER.replace(period=Period(now.date(), now.date(), ZoneInfo("UTC")))
    for amount in (1, 2):
        add_rows(host, row(date=now))
        assert hits(host, query) == amount


def test_what_is_about_to_be_over_is_not_kept_yet(host: Host) -> None:
    """Rows of its last minutes may still be on their way."""
    ended = changes.utc_now() - changes.SETTLED / 2
    query = OVER.replace(
        period=Period(ended.date() - timedelta(days=1), ended.date(), ZoneInfo("UTC"), ended)
    )
    assert hits(host, query) == 0
    add_rows(host, row(date=ended - timedelta(seconds=1)))
    assert hits(host, query) == 1


def test_persons_are_not_kept(host: Host) -> None:
    """Neither single requests nor answers about an address stay in memory."""
    by_address = OVER.replace(filters=(Filter("remote_address", ("192.0.2.7",)),))
    for ask in (Ask("requests", OVER.replace(metrics=())), Ask("summary", by_address)):
        state_of(host).answers.many([ask])
        with statements(host) as asked:
            state_of(host).answers.many([ask])
        assert asked


def test_who_changes_an_answer_changes_a_copy(host: Host) -> None:
    """What is kept does not change with what was handed out."""
    for _ in range(3):
        found = state_of(host).answers.summary(OVER)
        assert found == {"hits": 1}
        found["hits"] = 99


def test_it_is_bounded(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """By number and by bytes, the oldest go first; what is too large is not kept."""
    memory = kept._memory
    monkeypatch.setattr(keeping, "MOST_ANSWERS", 3)
    for number in range(5):
        memory.keep(number, b"x" * 10)
    assert list(memory.kept) == [2, 3, 4]
    assert memory.find(2) == b"x" * 10
    memory.keep(5, b"y")
    assert list(memory.kept) == [4, 2, 5]
    monkeypatch.setattr(keeping, "MOST_BYTES", 15)
    memory.keep(6, b"z" * 10)
    assert list(memory.kept) == [5, 6]
    assert memory.bytes == 11
    memory.keep(7, b"x" * (keeping._LARGEST + 1))
    assert memory.find(7) is None


def test_it_is_not_kept_for_ever(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the host changes by SQL of its own is seen at last."""
    kept._memory.keep("a", b"x")
    monkeypatch.setattr(keeping, "LONGEST", -1.0)
    assert kept._memory.find("a") is None


def test_without_our_tables_nothing_is_kept(host: Host) -> None:
    """A host that has not migrated yet is answered all the same."""
    state_of(host).tables.change.drop(host.engine)
    assert hits(host) == 1
    add_rows(host, row(1))
    assert hits(host) == 2


def test_each_process_has_its_own(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a fork nothing of the parent's is waited for, whatever it held."""
    parents = kept._memory
    assert parents.lock.acquire()
    parents.flights[SUMMARY] = keeping._Flight()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert kept.share([SUMMARY], lambda asks: ["mine" for _ in asks]) == ["mine"]


# ---- at the same time --------------------------------------------------------------------------


def crowd(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, answer: Callable[[], Any], size: int
) -> tuple[list[Any], int]:
    """Let threads ask the same; return what each got, and how often it was computed.

    The first one's answer is held back until all others wait for it.
    """
    arrived, joined = threading.Semaphore(0), keeping._joined
    found: list[Any] = []
    computed: list[Any] = []

    def counted(*arguments: Any) -> bool:
        arrived.release()
        return joined(*arguments)

    def compute(asks: Any) -> list[Any]:
        computed.append(asks)
        for _ in range(size - 1):
            assert arrived.acquire(timeout=30)
        return [answer() for _ in asks]

    def ask() -> None:
        try:
            found.append(kept.share([SUMMARY], compute)[0])
        except sa.exc.OperationalError as error:
            found.append(type(error))

    monkeypatch.setattr(keeping, "_joined", counted)
    threads = [threading.Thread(target=ask) for _ in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found, len(computed)


def test_ten_who_ask_the_same_are_answered_once(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One computes, nine wait for its answer, and each gets a copy of its own."""
    found, computed = crowd(kept, monkeypatch, lambda: {"hits": 7}, 10)
    assert (found, computed) == ([{"hits": 7}] * 10, 1)
    assert len({id(answer) for answer in found}) == 10


def test_a_failure_reaches_all_who_wait_and_is_forgotten(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody hangs; who asks later asks the database again."""

    def fail() -> Any:
        raise sa.exc.OperationalError("SELECT 1", {}, OSError("away"))

    found, computed = crowd(kept, monkeypatch, fail, 5)
    assert (found, computed) == ([sa.exc.OperationalError] * 5, 1)
    assert kept.share([SUMMARY], lambda asks: ["again"]) == ["again"]


def test_somebody_elses_bad_question_is_not_ours(kept: Kept) -> None:
    """Who waits for an answer that was asked together with a bad one computes it alone."""
    bad = Ask("summary", OVER.replace(metrics=("beauty",)))
    began, waits = threading.Event(), threading.Event()

    def refuse(asks: Any) -> list[Any]:
        began.set()
        assert waits.wait(30)
        raise QueryError("metric", "no")

    def ask() -> None:
        with pytest.raises(QueryError):
            kept.share([SUMMARY, bad], refuse)

    thread = threading.Thread(target=ask)
    thread.start()
    assert began.wait(30)
    flight = kept._memory.flights[SUMMARY]
    landed = flight.landed.wait
    flight.landed.wait = lambda timeout=None: waits.set() or landed(timeout)  # type: ignore[method-assign, func-returns-value]
    assert kept.share([SUMMARY], lambda asks: ["mine"]) == ["mine"]
    thread.join()


def test_who_waits_has_a_time_limit_too(host: Host) -> None:
    """A waiting page does not hang longer than one that computes."""
    state = state_of(host)
    kept = Kept(state.engine, state.model, state.tables, 0.05)
    kept._memory.board([SUMMARY])
    with pytest.raises(QueryTimeoutError):
        kept.share([SUMMARY], lambda asks: ["never"])


def test_ten_dashboards_at_once_are_one(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten tabs of a running period ask the database no more than one does."""
    url = "/statistics/?compare=none"
    add_rows(host, row(date=changes.utc_now()))
    with statements(host) as alone:
        host.open(url)
    gate, arrived = threading.Event(), threading.Semaphore(0)
    computed, joined = state_of(host).kept_answers._answered, keeping._joined

    def held(asks: Any, compute: Any) -> Any:
        if asks:
            assert gate.wait(30)
        return computed(asks, compute)

    def counted(*arguments: Any) -> bool:
        arrived.release()
        return joined(*arguments)

    monkeypatch.setattr(state_of(host).kept_answers, "_answered", held)
    monkeypatch.setattr(keeping, "_joined", counted)
    pages: list[str] = []
    threads = [
        threading.Thread(target=lambda: pages.append(host.open(url).text)) for _ in "1234567890"
    ]
    with statements(host) as together:
        for thread in threads:
            thread.start()
        for _ in range(9):  # each of the others has come to wait for an answer of the first
            assert arrived.acquire(timeout=30)
        gate.set()
        for thread in threads:
            thread.join()
    assert len(set(pages)) == 1
    assert len(together) == len(alone)
