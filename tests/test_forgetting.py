"""One person is erased, or made anonymous, everywhere; everybody else stays as they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from flask_statistics.changes import read_state
from flask_statistics.fields import PERSONAL
from flask_statistics.owning.person import forms_of
from flask_statistics.owning.touched_visits import TouchedVisits
from tests.owned import (
    ALICE,
    BOB,
    MakeHost,
    age,
    counts,
    everything,
    figures,
    numbers,
    peoples_host,
    run,
    state_of,
    visit,
)
from tests.sample_log import line

if TYPE_CHECKING:
    from tests.conftest import Host


def two_people(make_host: MakeHost, url: str, **settings: Any) -> Host:
    """Return a host that Alice (with two browsers) and Bob have visited."""
    host = peoples_host(make_host, url, **settings)
    for path in ("/", "/a", "/?buy=1"):
        visit(host, path, ALICE)
        visit(host, path, BOB)
    visit(host, "/b", ALICE, User_Agent="Mozilla/5.0 (iPhone) Safari/605.1")
    host.rows()
    return host


def addresses(host: Host) -> set[Any]:
    return {row["remote_address"] for row in host.stored()}


@pytest.mark.parametrize("kind", ["address", "visitor"])
def test_a_person_is_erased(make_host: MakeHost, database_url: str, kind: str) -> None:
    """Requests, visits and events of the person go; totals are those of everybody else."""
    host = two_people(make_host, database_url)
    assert counts(host) == (7, 3, 2)
    alices = {row["visitor"] for row in host.stored() if row["remote_address"] == ALICE}
    whom = ["--address", ALICE] if kind == "address" else [
        part for name in sorted(alices) for part in ("--visitor", name)
    ]  # fmt: skip
    before = numbers(host)
    text = run(host, "forget", *whom, "--yes").stdout
    assert "4 requests by 2 visitors of 1 days" in text
    assert "Erased: 4 requests and 1 events." in text
    assert "hits 4 less, visits 2 less; 0 visits were counted anew" in text
    assert addresses(host) == {BOB}
    assert counts(host) == (3, 1, 1)
    assert figures(host) | {"response_time": 0} == figures(host) | {
        "response_time": 0, "hits": 3, "visitors": 1, "visits": 1, "page_views": 3, "events": 1,
    }  # fmt: skip
    assert all(numbers(host)[day] > before.get(day, 0) for day in numbers(host))
    with host.engine.connect() as connection:
        said = connection.scalar(
            sa.select(state_of(host).tables.state.c.value).where(
                state_of(host).tables.state.c.name == "visits"
            )
        )
    assert said == "complete"


def test_a_person_is_anonymised(make_host: MakeHost, database_url: str) -> None:
    """Every personal column is empty then, and hits and page views are as before."""
    host = two_people(make_host, database_url)
    before = figures(host)
    text = run(host, "forget", "--address", ALICE, "--anonymise", "--yes").stdout
    assert "Anonymised: 4 requests and 1 events." in text
    assert "hits as before, visits 2 less" in text
    rows = [row for row in host.stored() if row["remote_address"] != BOB]
    assert len(rows) == 4
    assert all(row[name] is None for row in rows for name in PERSONAL)
    assert {row["path"] for row in rows} == {"/", "/a", "/b"}
    after = figures(host)
    for name in ("hits", "page_views", "size", "events", "revenue"):
        assert after[name] == before[name]
    assert (after["visitors"], after["visits"]) == (1, 1)
    for event in everything(host)["statistics_event"]:
        if BOB not in str(event) and event[4] is None:
            assert "alice" not in str(event)


def test_all_that_the_visitor_did(make_host: MakeHost, database_url: str) -> None:
    """With a user name, requests of before they signed in are found by their visitor."""
    host = peoples_host(
        make_host, database_url,
        USERNAME=lambda: "Ann" if __import__("flask").request.path == "/in" else None,
    )  # fmt: skip
    for path in ("/", "/in", "/out"):
        visit(host, path, ALICE)
    visit(host, "/", BOB)
    host.rows()
    assert "0 requests by 0 visitors" in run(host, "forget", "--username", "ann", "--yes").stdout
    assert "3 requests by 1 visitors" in run(host, "forget", "--username", "Ann", "--yes").stdout
    assert addresses(host) == {BOB}


def test_a_part_of_a_visit(make_host: MakeHost, database_url: str) -> None:
    """A visit that loses its middle becomes two; the table of visits and the requests agree."""
    host = peoples_host(make_host, database_url)
    for path in ("/a", "/b", "/c", "/d"):
        visit(host, path)
        host.rows()
    age(host, 10)
    table = state_of(host).model.table
    minutes = {"/a": 0, "/b": 20, "/c": 40, "/d": 41}
    with host.engine.begin() as connection:
        earliest = connection.execute(sa.select(sa.func.min(table.c.date))).scalar_one()
        first = earliest.replace(hour=1)
        for path, minute in minutes.items():
            moment = first.replace(minute=minute)
            connection.execute(table.update().where(table.c.path == path).values(date=moment))
    run(host, "forget", "--where", "path=/x", "--yes")
    run(host, "forget", "--where", "path=/b", "--yes")
    assert [row["path"] for row in host.stored()] == ["/a", "/c", "/d"]
    names = [row["visit"] for row in host.stored()]
    assert names[0] != names[1] == names[2]
    found = figures(host)
    assert (found["visits"], found["page_views"]) == (2, 3)


def test_where_takes_the_filters_of_the_pages(make_host: MakeHost, database_url: str) -> None:
    """All dimensions must hold; events go with the requests that they were tracked in."""
    host = two_people(make_host, database_url)
    text = run(
        host, "forget", "--where", "path=/", "--where", f"remote_address={ALICE}",
        "--where", "query_string=buy=*", "--yes",
    ).stdout  # fmt: skip
    assert "Erased: 1 requests and 1 events." in text
    assert counts(host) == (6, 3, 1)
    figures(host)


def test_dry_run_and_a_no_change_nothing(make_host: MakeHost, database_url: str) -> None:
    """Neither a dry run, nor a no at the question, changes any row."""
    host = two_people(make_host, database_url)
    before = everything(host)
    assert "would be erased" in run(host, "forget", "--address", ALICE, "--dry-run").stdout
    asked = run(host, "forget", "--address", ALICE, code=1, input="n\n")
    assert "This cannot be undone. Go on? [y/N]: n" in asked.stdout
    assert everything(host) == before


def test_everybody_must_be_meant(make_host: MakeHost, sqlite_url: str) -> None:
    """What would erase all requests is refused, unless it is said."""
    host = two_people(make_host, sqlite_url)
    text = run(host, "forget", "--where", "path=*", "--yes", code=2).stderr
    assert "These are all requests that there are: --everybody says that you mean it." in text
    assert counts(host)[0] == 7
    run(host, "forget", "--where", "path=*", "--yes", "--everybody")
    assert counts(host) == (0, 0, 0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "Name whom by one of --visitor, --address, --username or --where."),
        (["--visitor", "a", "--where", "path=/"], "Name whom by one of"),
        (["--address", " "], "Invalid value for --address: is empty"),
        (["--where", "path"], "'path' is no filter such as path=/private/*"),
        (["--where", "limit=3"], "'limit=3' is no filter"),
        (["--where", "nothing=3"], "nothing: 'nothing' is unknown"),
        (["--where", "status_code=x"], "status_code: 'x' is not a status"),
    ],
)
def test_bad_options(host: Host, options: list[str], said: str) -> None:
    """What cannot be meant is a message, and an exit code of 2."""
    assert said in run(host, "forget", "--yes", *options, code=2).stderr


def test_what_waits_in_the_queue(make_host: MakeHost, database_url: str) -> None:
    """What this process has recorded and not stored yet is erased, too."""
    host = peoples_host(make_host, database_url, FLUSH_INTERVAL=60)
    visit(host, "/", ALICE)
    visit(host, "/", BOB)
    assert host.stored() == []
    assert "Erased: 1 requests" in run(host, "forget", "--address", ALICE, "--yes").stdout
    assert addresses(host) == {BOB}


def test_an_imported_log_does_not_bring_a_person_back(
    make_host: MakeHost, database_url: str, tmp_path: Path
) -> None:
    """The hashes of lines stay, so that the same log adds nothing."""
    host = peoples_host(make_host, database_url)
    path = tmp_path / "access.log"
    path.write_text(line("/a") + line("/b").replace("::1 ", f"{BOB} "))
    run(host, "import", path)
    run(host, "forget", "--address", "::1", "--yes")
    assert "0 new, 2 known" in run(host, "import", path).stdout
    assert addresses(host) == {BOB}


def test_addresses_in_other_forms(make_host: MakeHost, database_url: str) -> None:
    """An address is found in X-Forwarded-For, with a port, and not within a longer one."""
    host = peoples_host(make_host, database_url)
    kept = ("203.0.113.90", "1203.0.113.9", "203.0.113.9.example", "203_0.113.9")
    for header in ("10.0.0.1, 203.0.113.9", "203.0.113.9:443,10.0.0.1", *kept):
        visit(host, "/", BOB, X_Forwarded_For=header, User_Agent=header)
    visit(host, "/", "2001:db8::1", User_Agent="six")
    visit(host, "/", BOB, X_Forwarded_For='"[2001:db8::1]:443"', User_Agent="seven")
    host.rows()
    run(host, "forget", "--address", ALICE, "--yes")
    run(host, "forget", "--address", "2001:DB8:0:0:0:0:0:1", "--yes")
    assert {row["xforwardedfor"] for row in host.stored()} == set(kept)


def test_masked_addresses(make_host: MakeHost, database_url: str) -> None:
    """A full address finds what was stored of it, and it is said that others share that."""
    host = peoples_host(make_host, database_url, MASK_IP="last-octet")
    visit(host, "/", ALICE)
    visit(host, "/", "203.0.113.77", User_Agent="another")
    visit(host, "/", BOB)
    host.rows()
    text = run(host, "forget", "--address", ALICE, "--yes").stdout
    assert "all who share 203.0.113.0 are meant" in text
    assert addresses(host) == {"198.51.100.0"}


def test_forms_of_an_address() -> None:
    """An address is looked for as it was given, in short, at length, and masked."""
    assert forms_of("203.0.113.9", (24, 48)) == ["203.0.113.9", "::ffff:203.0.113.9", "203.0.113.0"]
    assert forms_of("unix:", (24, 48)) == ["unix:"]


def test_who_erases_says_complete_only_where_nobody_else_erases(
    make_host: MakeHost, database_url: str
) -> None:
    """Of two at once the first to end leaves the visits incomplete, the other may have begun."""
    host = two_people(make_host, database_url)
    one, other = TouchedVisits(state_of(host)), TouchedVisits(state_of(host))
    one.begin()
    other.begin()
    one.recount()
    assert said(host) != "complete"
    other.recount()
    assert said(host) != "complete"
    run(host, "visits", "rebuild")
    assert said(host) == "complete"


def test_a_rebuilding_that_ends_meanwhile_does_not_hide_what_is_erased(
    make_host: MakeHost, database_url: str
) -> None:
    """Once more requests go, the visits count as incomplete again, until they are counted anew."""
    host = two_people(make_host, database_url)
    erasing = TouchedVisits(state_of(host))
    erasing.begin()
    run(host, "visits", "rebuild")
    assert said(host) == "complete"
    with host.engine.begin() as connection:
        erasing.lock(connection)
    assert said(host) != "complete"
    erasing.recount()
    assert said(host) == "complete"


def said(host: Host) -> str | None:
    state = state_of(host)
    with host.engine.connect() as connection:
        return read_state(connection, state.tables, "visits")
