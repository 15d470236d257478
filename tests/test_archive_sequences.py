"""Whatever is done in whatever order, crashes included: archive and table together hold each
request once, and answer as plain counting does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from flask_statistics.archive import building, compacting, dividing
from flask_statistics.archive import folder as folders
from flask_statistics.archive.verifying import verify
from flask_statistics.asking.answers import Answers, Ask
from flask_statistics.asking.query import Period, Query
from tests.archived import archived_host, delete, prune, state_of, store
from tests.owned import run
from tests.test_oracle import BATCHES

MakeHost = Callable[..., Any]
FIRST, LAST = date(2026, 1, 1), date(2026, 1, 12)
METRICS = ("hits", "visitors", "page_views")


class Crash(BaseException):
    """The end of the process, as far as code of ours could tell."""


class Story:
    """A host with an archive, what was done to it, and the requests that there should be."""

    def __init__(self, host: Any, seed: int) -> None:
        self.host, self.state = host, state_of(host)
        self.chance = Random(seed)
        self.now = datetime(2026, 1, 4, 12)
        self.rows: list[dict[str, Any]] = []
        self.told: list[str] = []
        self.pruned = datetime.min

    def go_on(self) -> None:
        """Do something, and look."""
        ways = (self.store, self.store, self.store_late, self.delete, self.prune, self.forget,
                self.build, self.build, self.crash, self.rebuild)  # fmt: skip
        way = self.chance.choice(ways)
        self.told.append(f"{way.__name__} at {self.now}")
        way()
        self.now = min(self.now + timedelta(hours=self.chance.choice((0, 1, 7, 30))),
                       datetime(2026, 1, 12, 23))  # fmt: skip
        self.look()

    def _store(self, first: datetime, last: datetime) -> None:
        seconds = int((last - first).total_seconds())
        rows = []
        for _ in range(self.chance.randrange(1, 9)):
            moment = first + timedelta(seconds=self.chance.randrange(max(seconds, 1)))
            name = self.chance.choice(("anna", "bert", "cleo", "dora"))
            # Some return on another day, which the recorder's visitors never do.
            who = name if self.chance.random() < 0.1 else f"{name}-{moment.day}"
            rows.append({
                "date": moment, "method": "GET", "path": self.chance.choice(("/", "/a", "/b")),
                "status_code": self.chance.choice((200, 404)), "mimetype": "text/html",
                "response_time": self.chance.randrange(1, 900) / 64, "visitor": who,
                "visit": f"{who}-{moment:%d%H}", "browser": self.chance.choice(("Opera", None)),
                "bot": "crawler" if name == "dora" else None,
            })  # fmt: skip
        store(self.host, *rows)
        self.rows += rows

    def store(self) -> None:
        """Requests of the last hours."""
        self._store(self.now - timedelta(hours=5), self.now)

    def store_late(self) -> None:
        """Requests of any day before, of pruned ones, too."""
        self._store(datetime(2026, 1, 1), self.now)

    def delete(self) -> None:
        """Requests of some hours that the table holds, as a command of ours deletes them."""
        begin = max(self.pruned, datetime(2026, 1, 1)) + timedelta(hours=self.chance.randrange(72))
        end = begin + timedelta(hours=9)
        moment = self.state.model.columns["date"]
        delete(self.host, moment >= begin, moment < end)
        self.rows = [row for row in self.rows if not begin <= row["date"] < end]

    def prune(self) -> None:
        """What the archive holds for certain leaves the table."""
        if self.state.archived.archive.manifest() is not None:
            before = datetime.combine(self.now - timedelta(days=3), datetime.min.time())
            self.pruned = max(self.pruned, prune(self.host, before))

    def forget(self) -> None:
        """One person, everywhere."""
        who = f"{self.chance.choice(('anna', 'bert'))}-{self.chance.randrange(1, 12)}"
        run(self.host, "forget", "--visitor", who, "--yes")
        self.rows = [row for row in self.rows if row["visitor"] != who]

    def build(self) -> None:
        building.build(self.state, now=self.now)

    def rebuild(self) -> None:
        building.rebuild(self.state, now=self.now)

    def crash(self) -> None:
        """Build, up to some step."""
        left = self.chance.randrange(25)

        def step(name: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Crash

        try:
            building.build(self.state, now=self.now, step=step)
        except Crash:
            self.told.append("which crashed")

    def look(self) -> None:
        """Compare what is answered with what should be."""
        source = self.state.archived.source
        if self.state.archived.archive.manifest() is None:
            return
        days = sorted(self.chance.randrange(1, 13) for _ in range(2))
        first, last = (date(2026, 1, day) for day in days)
        for period in (Period(FIRST, LAST, ZoneInfo("UTC")), Period(first, last, ZoneInfo("UTC"))):
            query = Query(period, metrics=METRICS)
            asks = [Ask("summary", query), Ask("timeseries", query.replace(bucket="day"))]
            asks.append(Ask("breakdown", query.replace(group_by=("path",))))
            answers = Answers(lambda: source, self.state.model).many(asks)
            assert answers[0] == self._figures(period), self.told
            found = {point["start"]: point["hits"] for point in answers[1] if point["hits"]}
            among = self._among(period)
            assert found == Counter(str(row["date"].date()) for row in among), self.told
            paths = {row["value"]: row["hits"] for row in answers[2].rows}
            assert paths == Counter(row["path"] for row in among), self.told

    def _among(self, period: Period) -> list[dict[str, Any]]:
        return [row for row in self.rows if period.begins <= row["date"] < period.ends]

    def _figures(self, period: Period) -> dict[str, int]:
        among = self._among(period)
        people = [row for row in among if row["bot"] is None]
        return {
            "hits": len(among),
            "visitors": len({row["visitor"] for row in people}),
            "page_views": sum(row["status_code"] == 200 for row in people),
        }


@pytest.mark.parametrize("seed", range(max(1, BATCHES // 5)))
def test_any_sequence_of_operations(
    make_host: MakeHost,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
) -> None:
    """Recording, late rows, deleting, pruning, forgetting, building, rebuilding, crashing."""
    monkeypatch.setattr(folders, "GRACE", timedelta(0))
    monkeypatch.setattr(dividing, "TARGET", 15)
    monkeypatch.setattr(compacting, "LARGEST", 25)
    host = archived_host(make_host, database_url, tmp_path / "archive")
    story = Story(host, seed)
    for _ in range(20):
        story.go_on()
    story.build()
    story.look()
    assert verify(story.state) == []
