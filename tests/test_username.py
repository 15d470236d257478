"""Whose request it was, without asking the host's database."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, g, request
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user
from flask_sqlalchemy import SQLAlchemy

from flask_statistics import RequestMixin
from flask_statistics.recording import host_values

if TYPE_CHECKING:
    from tests.conftest import Host

    MakeHost = Callable[..., Host]


def with_users(db: SQLAlchemy) -> Any:
    columns = {
        "id": db.Column(db.Integer, primary_key=True),
        "username": db.Column(db.String(20)),
        "is_active": db.Column(db.Boolean),
    }
    request_model: Any = type("Request", (RequestMixin, db.Model), {})
    request_model.User = type("User", (UserMixin, db.Model), columns)
    return request_model


@pytest.fixture
def host(make_host: MakeHost) -> Host:
    """A host whose users are rows, with a view that reads their names and one that commits."""

    made: list[Host] = []

    def before(app: Flask) -> None:
        manager = LoginManager(app)

        @manager.user_loader  # type: ignore[untyped-decorator]
        def load(number: str) -> Any:
            return made[0].db.session.get(made[0].Request.User, int(number))

        @manager.request_loader  # type: ignore[untyped-decorator]
        def load_by_key(asked: Any) -> Any:
            number = asked.args.get("key")
            return number and load(number)

    host = make_host(model=with_users, before=before)
    made.append(host)
    with host.app.app_context():
        for name in ("ann", "bob"):
            host.db.session.add(host.Request.User(username=name, is_active=True))
        host.db.session.commit()

    @host.app.route("/in/<int:number>")
    def log_in(number: int) -> str:
        login_user(host.db.session.get(host.Request.User, number))
        return "in"

    @host.app.route("/who")
    def who() -> str:
        return str(current_user.username)

    @host.app.route("/commit")
    def commit() -> str:
        current_user.get_id()
        host.db.session.commit()
        return "done"

    @host.app.route("/rename")
    def rename() -> str:
        current_user.username = "eve"
        host.db.session.commit()
        return str(current_user.username)

    @host.app.route("/out")
    def log_out() -> str:
        logout_user()
        return "out"

    return host


def rows(host: Host, *paths: str) -> list[tuple[Any, Any]]:
    """Return user and statements of each request of one client."""
    client = host.app.test_client()
    for path in paths:
        assert client.get(path, buffered=True).status_code == 200
    return [(row["username"], row["db_queries"]) for row in host.rows()]


def test_a_user_is_not_loaded_again(host: Host) -> None:
    """After a view's commit the name is known from before, and nothing is asked."""
    assert rows(host, "/in/1", "/who", "/commit") == [("ann", 1), ("ann", 1), ("ann", 1)]


def test_a_user_whose_name_was_never_seen(host: Host) -> None:
    """A commit in the first request of a user leaves the id."""
    with host.app.test_client() as client, client.session_transaction() as session:
        session["_user_id"] = "2"
    client.get("/commit", buffered=True)
    client.get("/who", buffered=True)
    client.get("/commit", buffered=True)
    found = [(row["username"], row["db_queries"]) for row in host.rows()]
    assert found == [("2", 1), ("bob", 1), ("bob", 1)]


def test_names_are_not_mixed_up(host: Host) -> None:
    """Each user keeps the own name, and a new one is learned."""
    rows(host, "/in/1")
    rows(host, "/in/2")
    found = rows(host, "/in/1", "/rename", "/commit")
    assert [name for name, _ in found[2:]] == ["ann", "eve", "eve"]


def test_remembered_names_are_bounded(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host of many users does not fill the memory: who was forgotten is an id."""
    monkeypatch.setattr(host_values, "REMEMBERED_USERS", 1)
    rows(host, "/in/1")
    rows(host, "/in/2")
    client = host.app.test_client()
    with client.session_transaction() as session:
        session["_user_id"] = "1"
    client.get("/commit", buffered=True)
    assert host.rows()[-1]["username"] == "1"


def test_a_user_of_a_request_loader(host: Host) -> None:
    """A user without a session is known by the row's key."""
    assert rows(host, "/who?key=2", "/commit?key=1") == [("bob", 1), ("1", 1)]


def test_who_logged_out_has_no_name(host: Host) -> None:
    """A request that ends a session is nobody's."""
    assert rows(host, "/in/1", "/out")[-1][0] is None


def test_a_user_who_is_no_row(make_host: MakeHost) -> None:
    """A plain class is asked whether it is authenticated, and for its id."""

    class Guest(UserMixin):  # type: ignore[misc]
        id = "guest"

        @property
        def is_authenticated(self) -> bool:
            return "in" in request.args

    def before(app: Flask) -> None:
        LoginManager(app).request_loader(lambda _: Guest())

    host = make_host(before=before)
    host.app.add_url_rule("/who", "who", lambda: f"{current_user.get_id()}")
    host.open("/who")
    host.open("/who?in=1")
    assert [row["username"] for row in host.rows()] == [None, "guest"]


def test_a_callback_that_is_async(make_host: MakeHost) -> None:
    """STATISTICS_USERNAME may be an async function, as a view may."""

    async def username() -> str:
        return str(g.user)

    def view() -> str:
        g.user = "ann"
        return "x"

    host = make_host(settings={"STATISTICS_USERNAME": username})
    host.app.add_url_rule("/u", "u", view)
    host.open("/u")
    assert host.row()["username"] == "ann"
