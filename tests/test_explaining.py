"""``?explain=1``: the statements of a page with their plans, for those who may manage."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from flask_admin import Admin

from flask_statistics.asking.explaining import attended
from flask_statistics.asking.explaining import explained as noting
from flask_statistics.asking.limits import Deadline, bounded
from flask_statistics.checking import _SLOW
from flask_statistics.errors import QueryTimeoutError
from tests.pages import RANGE, add_rows, read, row

if TYPE_CHECKING:
    import sqlalchemy as sa

    from tests.conftest import Host

    MakeHost = Callable[..., Host]

EVIL = "\x1b[31m<script>alert(1)</script>\u202e'"


@pytest.fixture
def host(make_host: MakeHost, database_url: str) -> Host:
    """A host whose pages are open, with one request of somebody who means harm."""
    host = make_host(url=database_url, settings={"TESTING": True})
    add_rows(host, row(0, path=EVIL.replace("\x1b", "")), row(1))
    return host


def explained(host: Host, url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(host.open(url).text)["explain"]["statements"]
    return found


def test_a_page_explained(host: Host) -> None:
    """Each statement with its SQL, plan, rows and milliseconds, and a link back."""
    page = read(host.open(f"/statistics/?{RANGE}&explain=1").text)
    assert "How this page is answered" in page.text
    assert page.links("← The page itself") == [f"/statistics/?{RANGE}"]
    statements = page.all("section", class_="st-statement")
    assert len(statements) > 5
    for statement in statements:
        assert "SELECT" in statement.text
        assert "of the app's table" in statement.text
        assert " ms" in statement.text
    assert "breakdown" in page.text


def test_json_explained(host: Host) -> None:
    """The answer is there as ever, and beside it how it came about."""
    answer: Any = json.loads(
        host.open(f"/statistics/api/summary?{RANGE}&compare=none&explain=1").text
    )
    assert answer["metrics"]["hits"] == 2
    (asked,) = answer["explain"]["asked"]
    assert (asked["kind"], asked["kept"]) == ("summary", False)
    statements = answer["explain"]["statements"]
    assert all("SELECT" in s["sql"] and s["plan"] for s in statements)
    assert all(s["rows"] >= 0 and s["milliseconds"] > 0 for s in statements)
    assert any("2024-05-01" in value for s in statements for value in s["parameters"].values())


def test_it_is_asked_although_it_is_kept(host: Host) -> None:
    """What is kept is said to be, and asked anew, so that there is something to see."""
    url = f"/statistics/api/summary?{RANGE}&compare=none"
    host.open(url)
    answer: Any = json.loads(host.open(f"{url}&explain=1").text)
    assert [asked["kept"] for asked in answer["explain"]["asked"]] == [True]
    assert answer["explain"]["statements"]


@pytest.mark.parametrize("url", ["/statistics/", "/statistics/api/summary", "/statistics/chart"])
def test_only_for_who_may_manage(make_host: MakeHost, url: str) -> None:
    """Everybody else gets a 403, whatever else they may see."""
    host = make_host(permission_f=lambda action: action != "manage")
    assert host.open(url).status_code == 200
    assert host.open(f"{url}?explain=1").status_code == 403


def test_it_takes_nothing_but_1(host: Host) -> None:
    """Another value is a 400; an empty one is none."""
    assert host.open("/statistics/?explain=yes").status_code == 400
    assert host.open("/statistics/?explain=").status_code == 200


def test_what_visitors_sent_is_inert(host: Host) -> None:
    """A filter's value is shown, but neither as markup nor with what is invisible."""
    answer = host.open(
        "/statistics/", query_string=[*[p.split("=") for p in RANGE.split("&")],
                                      ("path", EVIL), ("explain", "1")],
    )  # fmt: skip
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text
    assert "\x1b" not in answer.text
    assert "\u202e" not in answer.text
    page = read(answer.text)
    assert "⟨U+001B⟩[31m<script>alert(1)</script>⟨U+202E⟩'" in page.text


def test_other_links_do_not_explain(host: Host) -> None:
    """The parameter is not carried on to other pages."""
    page = read(host.open(f"/statistics/?{RANGE}&explain=1").text)
    assert not [a for a in page.all("a") if "explain" in a.attributes["href"]]


def test_the_dashboard_says_where_it_is_explained(make_host: MakeHost) -> None:
    """A link for those who may manage, and for nobody else."""
    for actions, links in (({"view", "manage"}, 1), ({"view"}, 0)):
        host = make_host(permission_f=lambda action, actions=actions: action in actions)
        add_rows(host, row(0))
        page = read(host.open(f"/statistics/?{RANGE}").text)
        found = page.links("How this page is answered")
        assert found == [f"/statistics/?{RANGE}&explain=1"][:links]


def test_in_flask_admin(make_host: MakeHost) -> None:
    """Its dashboard can be explained, too."""
    host = make_host(settings={"TESTING": True})
    host.statistics.add_admin_views(Admin(host.app))
    add_rows(host, row(0))
    answer = host.open(f"/admin/statistics/?{RANGE}&explain=1")
    assert "How this page is answered" in answer.text
    assert "SELECT" in answer.text


def test_a_statement_that_was_stopped_is_there(host: Host) -> None:
    """What did not end is shown without rows, also where others clear up behind it."""
    engine = host.app.extensions["statistics"].engine
    with noting() as found, engine.connect() as connection, attended(connection, "the table"):
        stop_one(connection)
        connection.rollback()
        connection.exec_driver_sql("SELECT 2").all()
    assert [statement.rows for statement in found.statements] == [None, 1]


def stop_one(connection: sa.Connection) -> None:
    """Run a statement that has a plan, and is stopped while it runs."""
    with pytest.raises(QueryTimeoutError), bounded(connection, Deadline(0.2)):
        connection.exec_driver_sql(_SLOW[connection.dialect.name]).all()
