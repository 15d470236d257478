"""How long the whole dashboard takes: of rows in the host's table, and of an archive.

What is asked is what the page asks, on one connection, with no answer kept from before; the least
of several runs, warm. The days are added up, as the keeper does (`flask_statistics/totalling.py`);
beside each figure stands what it takes without that, and what the bare database or engine takes in
the same run for the least that any dashboard needs: hits and visitors of each day, by SQL that was
written by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import sqlalchemy as sa

from flask_statistics.asking.answers import Answers, Ask
from flask_statistics.asking.daily_totals import source_with_totals
from flask_statistics.asking.source import Source, table_source
from flask_statistics.pages import overview, questions, sections
from flask_statistics.totalling import total_days

from .archives import archive_file
from .databases import URLS, Database, sqlite_file
from .figure import Figure
from .generating import Traffic

DAYS = 90
LAST = date(2026, 3, 31)
#: Database, and seconds that 7 and 90 days of a million rows may take.
LIMITS = {"SQLite": (0.5, 4.5), "PostgreSQL": (0.4, 3.0), "MariaDB": (0.8, 6.0)}
#: What two filters leave of the rows, and the seconds that may take.
FILTERED = (
    ("up to 10 %", "&platform=Windows&country=US", 0.5),
    ("20 %", "&browser=Chrome&platform=Windows", 1.3),
)


def run(folder: Path, *, short: bool) -> list[Figure]:
    """Measure each database that is there."""
    rows = 10_000 if short else 1_000_000
    figures = []
    for name, limits in LIMITS.items():
        if name == "SQLite":
            database = sqlite_file(folder / "host.sqlite")
        elif name in URLS:
            database = Database(URLS[name])
        else:
            continue
        database.record()
        database.fill(traffic(2 * rows))
        figures += _host_figures(name, limits, database, rows, turns=1 if short else 3)
    return figures


def run_archive(folder: Path, *, short: bool) -> list[Figure]:
    """Measure an archive of rows that are nowhere else."""
    rows = 40_000 if short else 10_000_000
    database = archive_file(folder, traffic(2 * rows))
    return archive_figures(database, rows, turns=1 if short else 5)


def traffic(rows: int) -> Traffic:
    """Return rows in 90 days, and the 90 before."""
    return Traffic(LAST - timedelta(2 * DAYS - 1), 2 * DAYS, rows)


def asks_of(database: Database, days: int, filters: str = "") -> list[Ask]:
    """Return what the dashboard asks about the last days."""
    first = LAST - timedelta(days - 1)
    url = f"/statistics/?start={first}&end={LAST}{filters}"
    with database.app.test_request_context(url):
        question = questions.ask()
        return list(dict.fromkeys([*overview.asks(question), *sections.asks(question)]))


def least(turns: int, call: Callable[[], Any]) -> float:
    """Return the fewest seconds of several calls; one before them warms the caches."""
    call()
    taken = []
    for _ in range(turns):
        began = perf_counter()
        call()
        taken.append(perf_counter() - began)
    return min(taken)


def _host_figures(
    name: str, limits: Iterable[float], database: Database, rows: int, turns: int
) -> list[Figure]:
    state = database.state
    began = perf_counter()
    total_days(state)
    totalled = 2 * rows / (perf_counter() - began)
    quick = source_with_totals(state.engine, state.model, state.tables)
    plain = table_source(state.engine, state.model, state.tables)
    figures = []
    for days, limit in zip((7, DAYS), limits, strict=True):
        asks = asks_of(database, days)
        seconds, counted = (
            least(turns, partial(Answers(partial(_same, source), state.model).many, asks))
            for source in (quick, plain)
        )
        bare = least(turns, lambda days=days: _by_hand(database, days))  # type: ignore[misc]
        figures.append(
            Figure(f"dashboard, {name}, {days} of 90 days of {rows:,} rows", seconds, "s", limit,
                   f"without totals {counted:.2f} s; hits and visitors a day by hand {bare:.2f} s; "
                   f"{totalled:,.0f} rows/s added up")
        )  # fmt: skip
    return figures


def _same(source: Source) -> Source:
    return source


def _by_hand(database: Database, days: int) -> None:
    date_of = database.Request.__table__.c
    day = sa.func.date(date_of.date)
    visitors = sa.func.count(sa.distinct(date_of.visitor))
    since = date_of.date >= LAST - timedelta(days - 1)
    with database.engine.connect() as connection:
        connection.execute(
            sa.select(day, sa.func.count(), visitors).where(since).group_by(day)
        ).all()


# -- the archive -------------------------------------------------------------------------------


def archive_figures(database: Database, rows: int, turns: int) -> list[Figure]:
    """Return all figures of a database with an archive of this many rows in 90 days."""
    from flask_statistics.archive.answers import ArchivedAnswers

    state = database.state
    archived: Any = state.archived
    answers = ArchivedAnswers(
        archived, lambda: table_source(state.engine, state.model, state.tables)
    )

    def seconds(asks: list[Ask]) -> float:
        return least(turns, lambda: answers.many(asks))

    figures = []
    by_hand = _panels_by_hand(database, turns)
    hits = f"{rows:,} rows"
    for days, limit in ((7, 0.25), (DAYS, 1.7)):
        taken = seconds(asks_of(database, days))
        figures.append(Figure(f"dashboard, archive, {days} of 90 days of {hits}", taken, "s", limit,
                              f"a panel by hand, 90 days {by_hand['browser']:.2f} s"))  # fmt: skip
    whole = figures[-1].measured
    for kept, filters, limit in FILTERED:
        asks = asks_of(database, DAYS, filters)
        left = answers.many([ask for ask in asks if ask.kind == "summary"][:1])[0]["hits"]
        figures.append(Figure(f"dashboard, archive, two filters that leave {kept}", seconds(asks),
                              "s", limit, f"left {left / rows * 100:.0f} %"))  # fmt: skip
    asks = asks_of(database, DAYS)
    singles = {ask: seconds([ask]) for ask in asks}
    panels = {ask.query.group_by[0]: taken for ask, taken in singles.items()
              if ask.kind == "breakdown" and len(ask.query.metrics) == 2}  # fmt: skip
    ratios = {name: panels[name] / taken for name, taken in by_hand.items() if name in panels}
    worst = max(ratios, key=lambda name: ratios[name])
    figures += [
        Figure("archive, slowest panel against SQL by hand", ratios[worst], "times", 1.5,
               f"{worst}: by hand {by_hand[worst]:.2f} s"),
        Figure("archive, dashboard against the sum of its questions", whole / sum(singles.values()),
               "times", 0.5, f"sum {sum(singles.values()):.2f} s"),
        Figure("archive, size", bytes_a_row(database), "bytes a row", 42,
               f"with visits and totals beside {_bytes_beside(database):.1f}"),
    ]  # fmt: skip
    return figures


def bytes_a_row(database: Database) -> float:
    """Return the bytes of the segments of requests by the number of requests."""
    archived: Any = database.state.archived
    manifest = archived.archive.manifest()
    held = [segment.requests for segment in manifest.segments if segment.requests]
    return float(sum(file.size for file in held) / manifest.rows)


def _bytes_beside(database: Database) -> float:
    archived: Any = database.state.archived
    manifest = archived.archive.manifest()
    return float(sum(file.size for file in manifest.files.values()) / manifest.rows)


def _panels_by_hand(database: Database, turns: int) -> dict[str, float]:
    """Return the seconds of panels as one would write them for DuckDB, on the same segments."""
    import duckdb

    archived: Any = database.state.archived
    manifest, path = archived.archive.manifest(), archived.archive.path
    begin = LAST - timedelta(DAYS - 1)
    files = [str(path / segment.requests.name) for segment in manifest.segments
             if segment.requests and segment.end.date() > begin]  # fmt: skip
    found = {}
    with closing(duckdb.connect()) as connection:
        for name in ("browser", "platform", "device", "country", "source", "status_code", "method"):
            query = (
                f"SELECT {name}, count(*) AS hits, "
                "count(DISTINCT visitor) FILTER (bot IS NULL) AS visitors, max(date) "
                f"FROM read_parquet(?) WHERE date >= ? GROUP BY {name} "
                "ORDER BY visitors DESC LIMIT 10"
            )
            found[name] = least(
                turns, lambda q=query: connection.execute(q, [files, begin]).fetchall()
            )  # type: ignore[misc]
    return found
