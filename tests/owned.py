"""What the tests of ``owning/`` share: a host with people's requests, and what it holds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from click.testing import Result
from flask import g, request

from flask_statistics.asking.answers import Answers
from flask_statistics.asking.period import Period
from flask_statistics.asking.query import Query
from flask_statistics.asking.source import table_source
from flask_statistics.changes import utc_now

if TYPE_CHECKING:
    from tests.conftest import Host

MakeHost = Callable[..., "Host"]
ALICE, BOB = "203.0.113.9", "198.51.100.7"
ALWAYS = Query(Period(date(1970, 1, 1), date(2100, 1, 1), ZoneInfo("UTC")))
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def peoples_host(make_host: MakeHost, url: str, **settings: Any) -> Host:
    """Return a host with a shop in which people buy."""
    host = make_host(url=url, settings={f"STATISTICS_{n}": v for n, v in settings.items()})

    @host.app.route("/")
    @host.app.route("/<page>")
    def show(page: str = "") -> str:
        g.track_var["basket"] = 3
        if request.args.get("buy"):
            host.statistics.track("order", revenue=9.5, currency="EUR", email="alice@example.org")
        return f"<p>{page}</p>"

    return host


def visit(host: Host, path: str, address: str = ALICE, **headers: str) -> None:
    """Request a page, as somebody's browser does."""
    headers = {"User-Agent": FIREFOX} | {n.replace("_", "-"): v for n, v in headers.items()}
    host.open(path, headers=headers, environ_base={"REMOTE_ADDR": address})


def run(host: Host, *arguments: Any, code: int = 0, **options: Any) -> Result:
    """Run ``flask statistics …`` and check the exit code."""
    result = host.app.test_cli_runner().invoke(args=["statistics", *map(str, arguments)], **options)
    assert result.exit_code == code, (result.output, result.exception)
    return result


def state_of(host: Host) -> Any:
    return host.app.extensions["statistics"]


def everything(host: Host) -> dict[str, list[Any]]:
    """Return the rows of all tables, by name."""
    state = state_of(host)
    found = {}
    with host.engine.connect() as connection:
        for table in (state.model.table, *state.tables):
            rows = connection.execute(sa.select(table).order_by(*table.primary_key))
            found[table.name] = [tuple(row) for row in rows]
    return found


def counts(host: Host) -> tuple[int, int, int]:
    """Return how many requests, visits and events there are."""
    held = everything(host)
    return tuple(len(held[name]) for name in ("request", "statistics_visit", "statistics_event"))  # type: ignore[return-value]


def numbers(host: Host) -> dict[date, int]:
    """Return how often each day was changed."""
    return dict(everything(host)["statistics_change"])


def figures(host: Host) -> dict[str, Any]:
    """Return the totals, after checking that the table of visits and the requests agree."""
    state = state_of(host)
    by_table = Answers(
        lambda: table_source(host.engine, state.model, state.tables), state.model
    ).summary(ALWAYS)
    bare = Answers(lambda: table_source(host.engine, state.model), state.model).summary(ALWAYS)
    visits = ("visits", "bounce_rate", "visit_duration", "views_per_visit", "hits", "page_views")
    if not by_table["events"]:  # without their table events are not known
        assert [by_table[name] for name in visits] == [bare[name] for name in visits]
    return by_table


def age(host: Host, days: int, **where: Any) -> None:
    """Let requests, their visits and events be some days older."""
    state, back = state_of(host), timedelta(days=days)
    moments = {
        state.model.table: ("date",),
        state.tables.visit: ("began", "ended", "first", "last", "entry_date", "exit_date"),
        state.tables.event: ("date", "request_date"),
    }
    with host.engine.begin() as connection:
        for table, names in moments.items():
            for row in connection.execute(sa.select(table)).mappings().all():
                if all(row.get(name, value) == value for name, value in where.items()):
                    keys = [key == row[key.name] for key in table.primary_key]
                    older = {n: row[n] - back for n in names if row[n] is not None}
                    connection.execute(table.update().where(*keys).values(older))


def days_ago(days: int) -> date:
    return utc_now().date() - timedelta(days=days)
