"""Who may see what: each page, each callback, each setting."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, abort, make_response, redirect

from flask_statistics.pages.permissions import ACTIONS, Refused, make_guard
from tests.pages import RANGE, add_rows, read, row

if TYPE_CHECKING:
    from tests.conftest import Host

    MakeHost = Callable[..., Host]

#: What each endpoint needs. A new one must be entered here, so that somebody decided.
NEEDS = {
    "statistics.static": None,
    "statistics.dashboard": "view",
    "statistics.chart": "view",
    "statistics.breakdown": "view",
    "statistics.api_summary": "view",
    "statistics.api_timeseries": "view",
    "statistics.api_breakdown": "view",
    "statistics.api_requests": "view",
    "statistics.api_status": "view",
    "statistics.export": "export",
}
ARGUMENTS = {"filename": "style.css", "dimension": "path"}
ADDRESS = "198.51.100.77"


def endpoints(app: Flask) -> set[str]:
    rules = app.url_map.iter_rules()
    return {rule.endpoint for rule in rules if rule.rule.startswith("/statistics")}


def url_of(app: Flask, endpoint: str) -> str:
    (rule,) = app.url_map.iter_rules(endpoint)
    file = {"dimension": "path.csv"} if endpoint.endswith(".export") else {}
    built = rule.build(ARGUMENTS | file, append_unknown=False)
    assert built
    return built[1]


def open_all(host: Host, method: str = "GET") -> dict[str, int]:
    """Return the status of each endpoint that is not open to all."""
    return {
        endpoint: host.open(url_of(host.app, endpoint), method=method).status_code
        for endpoint, needed in NEEDS.items()
        if needed
    }


def statuses(host: Host, method: str = "GET") -> set[int]:
    return set(open_all(host, method).values())


def test_every_endpoint_was_decided(host: Host) -> None:
    """A route without a line in NEEDS fails here."""
    assert endpoints(host.app) == set(NEEDS)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_closed_by_default(host: Host, method: str) -> None:
    """Without a callback everything but the assets answers 403."""
    assert statuses(host, method) == {403}
    assert host.open("/statistics/static/style.css", method=method).status_code == 200


def test_the_403_page_says_how_to_open_it(host: Host) -> None:
    """It shows both callbacks and the setting, and nothing of the data."""
    add_rows(host, row(path="/private"))
    answer = host.open("/statistics/?" + RANGE)
    text = read(answer.text).text
    assert "Statistics(app, db, Request, before_f)" in text
    assert "Statistics(app, db, Request, permission_f=permission_f)" in text
    assert "STATISTICS_PUBLIC = True" in text
    assert "/private" not in text
    assert host.open("/statistics/api/summary").json == {
        "error": "'view' is not allowed here; pass before_f or permission_f to Statistics, "
        "or set STATISTICS_PUBLIC = True"
    }


def test_the_403_of_a_callback_does_not_say_how(make_host: MakeHost) -> None:
    """Where somebody decided, a stranger is not taught about the settings."""
    host = make_host(permission_f=lambda action: False)
    answer = host.open("/statistics/")
    assert "permission_f" not in answer.text
    assert host.open("/statistics/api/summary").json == {"error": "'view' is not allowed here"}


@pytest.mark.parametrize("flag", ["DEBUG", "TESTING"])
def test_open_in_debug_and_testing(make_host: MakeHost, flag: str) -> None:
    """app.debug and app.testing allow all four."""
    host = make_host(settings={flag: True})
    assert statuses(host) == {200}
    assert personal_is_shown(host)


def test_public_allows_view_only(make_host: MakeHost) -> None:
    """STATISTICS_PUBLIC shows the pages without personal data."""
    host = make_host(settings={"STATISTICS_PUBLIC": True})
    assert open_all(host) == {
        endpoint: 200 if needed == "view" else 403 for endpoint, needed in NEEDS.items() if needed
    }
    assert not personal_is_shown(host)


def test_callbacks_outdo_debug_and_public(make_host: MakeHost) -> None:
    """A permission_f that refuses is obeyed, whatever the flags are."""
    host = make_host(
        settings={"DEBUG": True, "TESTING": True, "STATISTICS_PUBLIC": True},
        permission_f=lambda action: False,
    )
    assert statuses(host) == {403}


def test_before_f_alone_grants_everything(make_host: MakeHost) -> None:
    """Whomever it lets through may also see personal data."""
    host = make_host(before_f=lambda: None)
    assert statuses(host) == {200}
    assert personal_is_shown(host)


def personal_is_shown(host: Host) -> bool:
    """Whether addresses are shown; every way to them must agree."""
    add_rows(host, row(path="/x", remote_address=ADDRESS))
    ways = {
        "page": ADDRESS in host.open(f"/statistics/?{RANGE}&path=/x").text,
        "json": ADDRESS in host.open(f"/statistics/api/requests?{RANGE}").text,
        "filter": host.open(f"/statistics/?{RANGE}&remote_address={ADDRESS}").status_code == 200,
        "filtered json": host.open("/statistics/api/summary?visitor=*").status_code == 200,
        "details": host.open(f"/statistics/breakdown/username?{RANGE}").status_code == 200,
        "breakdown": host.open("/statistics/api/breakdown/remote_address").status_code == 200,
    }
    assert len(set(ways.values())) == 1, ways
    return ways["page"]


def test_a_personal_filter_is_refused_with_403(make_host: MakeHost) -> None:
    """Whether an address was there is personal too."""
    host = make_host(settings={"STATISTICS_PUBLIC": True})
    answer = host.open(f"/statistics/?{RANGE}&remote_address={ADDRESS}")
    assert answer.status_code == 403
    assert "you may not see personal data" in answer.text
    assert "Nobody was allowed to see them yet." not in answer.text
    assert host.open("/statistics/api/summary?username=bob").json == {
        "error": "'personal' is not allowed here"
    }


@pytest.mark.parametrize(
    "answer",
    [("who are you?", 401, {"X-Mine": "1"}), make_response],
    ids=["tuple", "response"],
)
def test_an_answer_of_before_f_is_returned_as_it_is(make_host: MakeHost, answer: Any) -> None:
    """Its status, body and headers; no security header of ours is forced upon it."""

    def before_f() -> Any:
        return answer("who are you?", 401, {"X-Mine": "1"}) if callable(answer) else answer

    host = make_host(before_f=before_f, permission_f=lambda action: True)
    found = host.open("/statistics/")
    assert (found.status_code, found.text) == (401, "who are you?")
    assert found.headers["X-Mine"] == "1"
    assert "Content-Security-Policy" not in found.headers
    assert statuses(host) == {401}
    assert host.open("/statistics/static/style.css").status_code == 200


def test_before_f_may_abort(make_host: MakeHost) -> None:
    """abort(401) in it is a 401, through the host's own error pages."""

    def add_page(app: Flask) -> None:
        app.register_error_handler(401, lambda error: ("the host's 401", 401))

    host = make_host(before=add_page, before_f=lambda: abort(401))
    assert host.open("/statistics/").text == "the host's 401"
    assert statuses(host) == {401}


def test_before_f_is_asked_before_permission_f(make_host: MakeHost) -> None:
    """And permission_f is not asked about whom before_f turned away."""
    asked: list[str] = []

    def before_f() -> Any:
        asked.append("before_f")
        return None if len(asked) == 1 else ("no", 401)

    def permission_f(action: str) -> bool:
        asked.append(action)
        return True

    host = make_host(before_f=before_f, permission_f=permission_f)
    host.open("/statistics/api/summary")
    assert asked == ["before_f", "view"]
    host.open("/statistics/api/summary")
    assert asked == ["before_f", "view", "before_f"]


@pytest.mark.parametrize("granted", [(), ("view",), ("view", "personal"), ACTIONS], ids=str)
def test_permission_f_decides_each_action(make_host: MakeHost, granted: tuple[str, ...]) -> None:
    """Every endpoint asks for the action that it needs."""
    host = make_host(permission_f=lambda action: action in granted)
    assert open_all(host) == {
        endpoint: 200 if needed in granted else 403 for endpoint, needed in NEEDS.items() if needed
    }
    if "view" in granted:
        assert personal_is_shown(host) == ("personal" in granted)


def test_permission_f_is_asked_once_a_request(make_host: MakeHost) -> None:
    """It may be a query of the host's."""
    asked: list[str] = []

    def permission_f(action: str) -> bool:
        asked.append(action)
        return True

    host = make_host(permission_f=permission_f)
    add_rows(host, row(path="/x"))
    assert host.open(f"/statistics/?{RANGE}&path=/x").status_code == 200
    assert sorted(asked) == ["manage", "personal", "view"]


def test_every_request_is_asked_anew(make_host: MakeHost) -> None:
    """Also under an app context that outlives requests, as pytest-flask pushes one."""
    answers = iter([True, False])
    host = make_host(permission_f=lambda action: next(answers))
    with host.app.test_request_context("/"):
        assert host.open("/statistics/api/status").status_code == 200
        assert host.open("/statistics/api/status").status_code == 403


def test_async_callbacks(make_host: MakeHost) -> None:
    """Both may be async functions."""

    async def before_f() -> None:
        return None

    async def refuse(action: str) -> bool:
        return False

    async def allow(action: str) -> bool:
        return True

    assert statuses(make_host(before_f=before_f, permission_f=allow)) == {200}
    assert statuses(make_host(before_f=before_f, permission_f=refuse)) == {403}
    assert statuses(make_host(before_f=before_f)) == {200}


def fails(*arguments: Any) -> Any:
    raise LookupError("the host's database is away")


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        ("before_f", "before_f failed, so the statistics pages stay closed"),
        ("permission_f", "permission_f('view') failed, so it is not allowed"),
    ],
)
def test_a_callback_that_fails_closes_the_pages(
    make_host: MakeHost, caplog: pytest.LogCaptureFixture, callback: str, message: str
) -> None:
    """403, not 500; the traceback is logged and not shown."""
    host = make_host(settings={"TESTING": True}, **{callback: fails})
    answer = host.open("/statistics/")
    assert answer.status_code == 403
    assert "LookupError" not in answer.text
    (record,) = caplog.records
    assert record.getMessage() == message
    assert record.exc_info
    assert statuses(host) == {403}


def test_permission_f_may_abort(make_host: MakeHost, caplog: pytest.LogCaptureFixture) -> None:
    """abort() in it is a way to say no, not an error."""
    host = make_host(permission_f=lambda action: abort(404))
    assert statuses(host) == {403}
    assert not caplog.records


def test_truth_is_enough(make_host: MakeHost) -> None:
    """What permission_f returns is taken for its truth."""
    assert statuses(make_host(permission_f=lambda action: "yes")) == {200}
    assert statuses(make_host(permission_f=lambda action: None)) == {403}


def documented(name: str) -> str:
    """Return a block of docs/permissions.md."""
    text = (Path(__file__).parent.parent / "docs/permissions.md").read_text(encoding="utf-8")
    found = re.search(rf"<!-- test: {name} -->\n```python\n(.*?)```", text, re.DOTALL)
    assert found
    return found[1]


@pytest.mark.parametrize(
    ("block", "role", "status"),
    [
        ("before_f", None, 302),
        ("before_f", "editor", 403),
        ("before_f", "admin", 200),
        ("permission_f", None, 403),
        ("permission_f", "editor", 200),
        ("permission_f", "reader", 403),
    ],
)
def test_the_documented_callbacks(
    make_host: MakeHost, block: str, role: str | None, status: int
) -> None:
    """docs/permissions.md runs as it stands."""
    user = SimpleNamespace(is_authenticated=role is not None, is_admin=role == "admin", role=role)
    names: dict[str, Any] = {"current_user": user, "redirect": redirect, "abort": abort}
    text = documented(block).rpartition("statistics =")[0]
    exec(text, names)
    assert make_host(**{block: names[block]}).open("/statistics/").status_code == status


def test_an_endpoint_without_a_decision_is_closed(make_host: MakeHost) -> None:
    """A view that somebody adds to our blueprint and forgets to decide about stays closed."""
    host = make_host(settings={"TESTING": True})
    with host.app.test_request_context("/statistics/"):
        assert make_guard({"statistics.dashboard": "view"})() is None
        with pytest.raises(Refused):
            make_guard({"statistics.other": "view"})()


def test_a_function_that_returns_a_coroutine_is_awaited(make_host: Any) -> None:
    """A coroutine is true; what it answers may be no."""

    async def answer(action: str) -> bool:
        return False

    class Callable_:
        async def __call__(self, action: str) -> bool:
            return False

    for permission_f in (partial(lambda function, action: function(action), answer), Callable_()):
        host = make_host(permission_f=permission_f, settings={"STATISTICS_SYNC": True})
        assert host.open("/statistics/api/requests").status_code == 403


def test_flask_admin_stays_closed_where_before_f_fails(make_host: Any) -> None:
    """Its views answer 403 as the pages do, not 500."""
    from flask_admin import Admin

    def fails() -> None:
        raise RuntimeError("no directory")

    host = make_host(before_f=fails)
    admin = Admin(host.app)
    host.statistics.add_admin_views(admin)
    for path in ("/statistics/", "/admin/statistics/", "/admin/statistics-requests/"):
        assert host.open(path).status_code == 403
