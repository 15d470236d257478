"""A period that is not over yet: what is compared, and what its chart leaves open."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from flask_statistics.asking.period import Period
from flask_statistics.asking.query import Query
from flask_statistics.pages.overview import same_span
from flask_statistics.pages.questions import Question
from tests.pages import add_rows, row, show

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Host

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2024, 5, 3, 10, 30, tzinfo=BERLIN)


def asked(period: Period, comparison: Period | None) -> Question:
    """A question at :data:`NOW`, to no app."""
    nothing: Any = None
    return Question(nothing, nothing, Query(period), comparison, NOW)


def test_a_running_period_is_compared_with_the_same_span() -> None:
    """Until the same time of the corresponding day, in the zone of the pages."""
    running = Period(date(2024, 5, 1), date(2024, 5, 7), BERLIN)
    compared = same_span(asked(running, running.previous()))
    assert compared is not None
    assert (compared.start, compared.end) == (date(2024, 4, 24), date(2024, 4, 26))
    assert compared.ends == datetime(2024, 4, 26, 8, 30)


def test_the_same_time_of_day_across_a_clock_change() -> None:
    """Half past ten in winter is another hour of UTC than in summer."""
    running = Period(date(2024, 5, 3), date(2024, 5, 3), BERLIN)
    winter = Period(date(2024, 1, 5), date(2024, 1, 5), BERLIN)
    compared = same_span(asked(running, winter))
    assert compared is not None
    assert compared.ends == datetime(2024, 1, 5, 9, 30)


@pytest.mark.parametrize(("start", "end"), [(1, 2), (4, 9)])
def test_what_is_over_or_to_come_is_compared_as_a_whole(start: int, end: int) -> None:
    """Nothing is cut where now is not in the period."""
    period = Period(date(2024, 5, start), date(2024, 5, end), BERLIN)
    assert same_span(asked(period, period.previous())) == period.previous()


def test_a_shorter_comparison_is_not_made_longer() -> None:
    """A chosen comparison that ends before the corresponding day is taken as it is."""
    running = Period(date(2024, 5, 1), date(2024, 5, 7), BERLIN)
    day = Period(date(2024, 4, 1), date(2024, 4, 1), BERLIN)
    assert same_span(asked(running, day)) == day
    assert same_span(asked(running, None)) is None


def test_the_chart_of_a_running_period(make_host: Callable[..., Host]) -> None:
    """Days to come are blank, today says that it is not over."""
    host = make_host(settings={"TESTING": True})
    now = datetime.now(timezone.utc).replace(tzinfo=None)
    add_rows(host, row(date=now))
    today = now.date()
    days = [today + timedelta(days=number) for number in (-1, 0, 1, 2)]
    page = show(host, f"/statistics/?start={days[0]}&end={days[-1]}&metric=hits&interval=day")
    rows = [tr for tr in page.all("tr") if tr.attributes]
    assert [tr.attributes["data-state"] for tr in rows] == ["running", "future", "future"]
    assert "so far" in rows[0].text
    assert [d.attributes["value"] for d in page.all("data") if "class" not in d.attributes] == [
        "0", "1", "", "",
    ]  # fmt: skip


def test_nothing_before_is_not_drawn(make_host: Callable[..., Host]) -> None:
    """A grey word instead of praise, and no line of noughts."""
    host = make_host(settings={"TESTING": True})
    add_rows(host, row())
    page = show(host)
    change = page.all("span", class_="st-change")[0]
    assert change.text.strip() == "nothing before"
    assert change.attributes["class"] == "st-change st-neutral"
    assert "Before" not in [th.text for th in page.all("th")]
    assert not page.all("span", class_="st-before")
