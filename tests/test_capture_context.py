"""Contexts that Flask pushes more than once, or without a request, do not change the count."""

from __future__ import annotations

import json
from collections.abc import Callable
from threading import Thread
from typing import TYPE_CHECKING, Any

import flask
import pytest
import sqlalchemy as sa
from flask import (
    Flask,
    copy_current_request_context,
    current_app,
    g,
    request,
    session,
    stream_with_context,
)
from flask.testing import FlaskClient

if TYPE_CHECKING:
    from tests.conftest import Host

    MakeHost = Callable[..., Host]


def paths(host: Host) -> list[str]:
    return [row["path"] for row in host.rows()]


@pytest.fixture
def app(make_host: MakeHost) -> Flask:
    """The app as pytest-flask wants it; the plugin pushes a request context for each test."""
    host = make_host()
    host.app.add_url_rule("/x", "x", view)
    host.app.extensions["test_host"] = host
    return host.app


def view() -> str:
    g.track_var.update(request.args)
    return "x"


# Contexts of the test client


def test_with_client(host: Host) -> None:
    """A client that keeps the context after the request has one row a request."""
    host.app.add_url_rule("/x", view_func=view)
    with host.app.test_client() as client:
        client.get("/x?n=1")
        assert request.args["n"] == "1"
        client.get("/x?n=2")
        assert request.args["n"] == "2"
    assert [row["query_string"] for row in host.rows()] == ["n=1", "n=2"]


def test_with_client_rows_are_there_inside(host: Host) -> None:
    """The row does not wait for the end of the with block."""
    host.app.add_url_rule("/x", view_func=view)
    with host.app.test_client() as client:
        client.get("/x")
        assert host.row()["path"] == "/x"
    assert len(host.rows()) == 1


@pytest.mark.parametrize("sync", [True, False])
def test_with_client_and_an_exception(make_host: MakeHost, sync: bool) -> None:
    """A kept context of a failed request tears down twice: one row."""
    host = make_host(settings={"TESTING": True, "STATISTICS_SYNC": sync})

    def fail() -> str:
        raise ValueError("boom")

    host.app.add_url_rule("/x", view_func=fail)
    with host.app.test_client() as client, pytest.raises(ValueError, match="boom"):
        client.get("/x")
    row = host.row()
    assert (row["status_code"], row["exception"]) == (500, "ValueError('boom')")


def test_with_client_and_a_stream(host: Host) -> None:
    """A stream read inside the with block is one row."""
    host.app.add_url_rule(
        "/x", "x", lambda: flask.Response(stream_with_context(iter(["one", "two"])))
    )
    with host.app.test_client() as client:
        assert client.get("/x").data == b"onetwo"
    assert host.row()["size"] == 6


def test_session_transaction(host: Host) -> None:
    """session_transaction pushes a context of its own: no row for it."""

    def show() -> str:
        return str(session["name"])

    host.app.add_url_rule("/x", view_func=show)
    with host.app.test_client() as client:
        with client.session_transaction() as stored:
            stored["name"] = "you"
        assert client.get("/x").data == b"you"
        with client.session_transaction() as stored:
            assert stored["name"] == "you"
    assert paths(host) == ["/x"]


def test_a_nested_call_of_the_test_client(host: Host) -> None:
    """A view that requests another page makes two rows, each its own."""

    def outer() -> str:
        g.track_var["who"] = "outer"
        inner = current_app.test_client().get("/inner?n=1")
        return f"outer {inner.text}"

    def inner() -> tuple[str, int]:
        g.track_var["who"] = "inner"
        return "inner", 202

    host.app.add_url_rule("/outer", view_func=outer)
    host.app.add_url_rule("/inner", view_func=inner)
    assert host.open("/outer").data == b"outer inner"
    rows = {row["path"]: row for row in host.rows()}
    assert {path: row["status_code"] for path, row in rows.items()} == {
        "/inner": 202,
        "/outer": 200,
    }
    assert json.loads(rows["/inner"]["track_var"]) == {"who": "inner"}
    assert json.loads(rows["/outer"]["track_var"]) == {"who": "outer"}
    assert len(host.rows()) == 2


def test_a_nested_call_that_fails(host: Host) -> None:
    """The exception of the inner request is not the outer one's."""

    def outer() -> str:
        return str(current_app.test_client().get("/inner").status_code)

    def inner() -> str:
        raise ValueError("boom")

    host.app.add_url_rule("/outer", view_func=outer)
    host.app.add_url_rule("/inner", view_func=inner)
    assert host.open("/outer").data == b"500"
    rows = {row["path"]: (row["status_code"], row["exception"]) for row in host.rows()}
    assert rows == {"/inner": (500, "ValueError('boom')"), "/outer": (200, None)}


@pytest.mark.parametrize("sync", [True, False])
def test_a_nested_call_and_the_statements_of_each(make_host: MakeHost, sync: bool) -> None:
    """Each of two nested requests counts its own SQL, and what we store counts for neither."""
    host = make_host(settings={"STATISTICS_SYNC": sync})

    def outer() -> str:
        host.db.session.execute(sa.text("SELECT 1"))
        host.db.session.commit()
        return current_app.test_client().get("/inner").text

    def inner() -> str:
        host.db.session.execute(sa.text("SELECT 1"))
        host.db.session.execute(sa.text("SELECT 2"))
        return "inner"

    host.app.add_url_rule("/outer", view_func=outer)
    host.app.add_url_rule("/inner", view_func=inner)
    host.open("/outer")
    assert {row["path"]: row["db_queries"] for row in host.rows()} == {"/inner": 2, "/outer": 1}


def test_a_nested_call_to_the_same_view(host: Host) -> None:
    """Recursion is a row a level."""

    def count(n: int) -> str:
        return current_app.test_client().get(f"/{n - 1}").text if n else "done"

    host.app.add_url_rule("/<int:n>", view_func=count)
    assert host.open("/3").data == b"done"
    assert sorted(paths(host)) == ["/0", "/1", "/2", "/3"]


@pytest.mark.parametrize("sync", [True, False])
def test_a_nested_call_in_a_before_request(make_host: MakeHost, sync: bool) -> None:
    """A hook that requests another page makes a row for it."""
    host = make_host(settings={"STATISTICS_SYNC": sync})

    @host.app.before_request
    def warm() -> None:
        if request.path == "/x":
            current_app.test_client().get("/warm")

    host.app.add_url_rule("/<name>", "any", lambda name: name)
    host.open("/x")
    assert sorted(paths(host)) == ["/warm", "/x"]


def test_a_nested_call_to_another_app(make_host: MakeHost) -> None:
    """A view of one app that calls another records in both, each its own."""
    first, second = make_host(), make_host()
    second.app.add_url_rule("/b", view_func=lambda: ("b", 202))

    def outer() -> str:
        g.track_var["app"] = "first"
        return second.app.test_client().get("/b").text

    first.app.add_url_rule("/a", view_func=outer)
    first.open("/a")
    assert [(row["path"], row["status_code"]) for row in first.rows()] == [("/a", 200)]
    assert [(row["path"], row["status_code"]) for row in second.rows()] == [("/b", 202)]
    assert json.loads(first.row()["track_var"]) == {"app": "first"}


# Copied contexts


def test_a_copied_context_within_the_request(host: Host) -> None:
    """A thread that works on a copy of the context tears it down again: one row."""
    seen: list[str] = []

    def view() -> str:
        @copy_current_request_context
        def work() -> None:
            seen.append(request.path)

        thread = Thread(target=work)
        thread.start()
        thread.join()
        return "x"

    host.app.add_url_rule("/x", view_func=view)
    host.open("/x")
    assert seen == ["/x"]
    assert paths(host) == ["/x"]


def test_a_copied_context_after_the_request(make_host: MakeHost) -> None:
    """Work that goes on after the request has ended adds nothing, and asks disable_f no more."""
    work: list[Callable[[], None]] = []
    asked: list[bool] = []

    def disable() -> bool:
        asked.append(True)
        return False

    host = make_host(disable_f=disable)

    def view() -> str:
        @copy_current_request_context
        def later() -> None:
            assert request.path == "/x"
            g.track_var["late"] = True

        work.append(later)
        return "x"

    host.app.add_url_rule("/x", view_func=view)
    host.open("/x")
    assert host.row()["track_var"] is None
    thread = Thread(target=work[0])
    thread.start()
    thread.join()
    assert len(host.rows()) == 1
    assert asked == [True]


def test_a_copied_context_that_raises(host: Host) -> None:
    """An exception in copied work that the view survives is not the request's."""

    def view() -> str:
        @copy_current_request_context
        def work() -> None:
            raise ValueError("boom")

        with pytest.raises(ValueError, match="boom"):
            work()
        return "x"

    host.app.add_url_rule("/x", view_func=view)
    host.open("/x")
    row = host.row()
    assert (row["status_code"], row["exception"]) == (200, None)


def test_a_view_that_runs_the_context_by_hand(host: Host) -> None:
    """A context pushed again inside the request is one row."""

    def view() -> str:
        from flask.globals import request_ctx

        with request_ctx._get_current_object().copy():  # type: ignore[attr-defined]
            return "x"

    host.app.add_url_rule("/x", view_func=view)
    host.open("/x")
    assert paths(host) == ["/x"]


# Contexts without a request


def test_a_test_request_context_alone(host: Host) -> None:
    """A context that was pushed without a WSGI call gives no row."""
    with host.app.test_request_context("/x"):
        assert request.path == "/x"
    assert host.rows() == []


def test_a_test_request_context_that_is_dispatched(host: Host) -> None:
    """Dispatching by hand, as tests of hooks do, gives no row and no error."""
    host.app.add_url_rule("/x", view_func=lambda: "x")
    with host.app.test_request_context("/x"):
        host.app.preprocess_request()
        response = host.app.full_dispatch_request()
        assert response.data == b"x"
        host.app.process_response(response)
    assert host.rows() == []


def test_a_test_request_context_that_fails(host: Host) -> None:
    """Handling an exception by hand gives no row and no error."""

    def fail() -> str:
        raise ValueError("boom")

    host.app.add_url_rule("/x", view_func=fail)
    with host.app.test_request_context("/x"):
        with pytest.raises(ValueError, match="boom") as raised:
            host.app.full_dispatch_request()
        assert host.app.handle_exception(raised.value).status_code == 500
    assert host.rows() == []


def test_a_test_request_context_inside_a_view(host: Host) -> None:
    """A view that pushes a context to render a URL is one row, its own."""

    def view() -> tuple[str, int]:
        with host.app.test_request_context("/elsewhere"):
            path = request.path
        return path, 202

    host.app.add_url_rule("/x", view_func=view)
    assert host.open("/x").data == b"/elsewhere"
    row = host.row()
    assert (row["path"], row["status_code"]) == ("/x", 202)


def test_an_app_context_alone(host: Host) -> None:
    """Commands and scripts work in an app context: no row."""
    with host.app.app_context():
        assert current_app.name == host.app.name
    assert host.rows() == []


def test_a_command(host: Host) -> None:
    """A command of the host gives no row."""

    @host.app.cli.command("hello")
    def hello() -> None:
        print(current_app.name)

    result = host.app.test_cli_runner().invoke(args=["hello"])
    assert result.exit_code == 0
    assert host.rows() == []


@pytest.mark.parametrize("sync", [True, False])
def test_requests_within_an_outer_app_context(make_host: MakeHost, sync: bool) -> None:
    """A request in a pushed app context shares its g: still one row, with its own track_var."""
    host = make_host(settings={"STATISTICS_SYNC": sync})
    host.app.add_url_rule("/x", view_func=view)
    with host.app.app_context():
        client = host.app.test_client()
        client.get("/x?a=1")
        client.get("/x?b=2")
        client.get("/x")
        assert len(host.rows()) == 3
    assert [row["track_var"] and json.loads(row["track_var"]) for row in host.rows()] == [
        {"a": "1"},
        {"b": "2"},
        None,
    ]


def test_requests_within_an_outer_request_context(host: Host) -> None:
    """The same inside test_request_context."""
    host.app.add_url_rule("/x", view_func=view)
    with host.app.test_request_context("/outer"):
        host.open("/x?a=1")
        host.open("/x")
        assert request.path == "/outer"
    assert [row["query_string"] for row in host.rows()] == ["a=1", ""]


def test_pytest_flask_pushes_a_context(app: Flask) -> None:
    """The context that pytest-flask pushes for every test is no request."""
    assert request.path == "/"
    assert app.extensions["test_host"].rows() == []


def test_pytest_flasks_client(app: Flask, client: FlaskClient) -> None:
    """Requests by pytest-flask's client are recorded, one row each."""
    client.get("/x?a=1")
    client.get("/absent")
    host: Any = app.extensions["test_host"]
    assert paths(host) == ["/x", "/absent"]
    assert [row["track_var"] for row in host.rows()] == ['{"a": "1"}', None]


def test_flush_inside_a_view(host: Host) -> None:
    """A view may wait for earlier requests; its own row follows."""

    def flush() -> str:
        return str(host.statistics.flush())

    host.app.add_url_rule("/x", view_func=view)
    host.app.add_url_rule("/flush", view_func=flush)
    host.open("/x")
    assert host.open("/flush").data == b"True"
    assert paths(host) == ["/x", "/flush"]
