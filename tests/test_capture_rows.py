"""Exactly one row for each request, and the right one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import flask
import pytest
from flask import (
    Blueprint,
    Flask,
    abort,
    after_this_request,
    got_request_exception,
    redirect,
    request,
    request_finished,
    request_started,
    send_file,
)
from flask.sessions import SecureCookieSessionInterface
from flask.views import MethodView, View
from werkzeug.debug import DebuggedApplication
from werkzeug.exceptions import HTTPException, Unauthorized
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client, EnvironBuilder, run_wsgi_app

if TYPE_CHECKING:
    from tests.conftest import Host

    MakeHost = Callable[..., Host]


def fail() -> Any:
    raise ValueError("boom")


BOOM = "ValueError('boom')"


def call(app: Any, path: str = "/", **options: Any) -> tuple[bytes, str]:
    """Call a WSGI app as a server does: read to the end, then close."""
    builder = EnvironBuilder(path, **options)
    try:
        body, status, _headers = run_wsgi_app(app, builder.get_environ(), buffered=True)
    finally:
        builder.close()
    return b"".join(body), status


# Answers of every kind


@pytest.mark.parametrize("status", [200, 201, 204, 299, 400, 418, 503, 599])
def test_a_view_that_answers_gives_one_row(host: Host, status: int) -> None:
    """A view's own status is recorded, whatever it is, without an exception."""
    host.app.add_url_rule("/x", view_func=lambda: ("body", status))
    assert host.open("/x").status_code == status
    row = host.row()
    assert (row["status_code"], row["exception"]) == (status, None)
    assert (row["method"], row["path"], row["route"]) == ("GET", "/x", "/x")


def test_each_request_has_its_own_row(host: Host) -> None:
    """Five requests are five rows, in order."""
    host.app.add_url_rule("/<int:number>", "x", lambda number: f"{number}")
    for number in range(5):
        host.open(f"/{number}")
    assert [row["path"] for row in host.rows()] == [f"/{number}" for number in range(5)]


@pytest.mark.parametrize("path", ["/x", "/abort", "/absent", "/fail"])
def test_a_client_that_reads_no_body(host: Host, path: str) -> None:
    """The test client neither reads nor closes a body unless asked; error pages are known."""
    host.app.add_url_rule("/x", "x", lambda: "x")
    host.app.add_url_rule("/abort", "abort", lambda: abort(403))
    host.app.add_url_rule("/fail", "fail", fail)
    response = host.app.test_client().get(path)
    row = host.row()
    assert row["status_code"] == response.status_code
    assert row["size"] == len(response.data)


def test_concurrent_requests_have_a_row_each(host: Host) -> None:
    """Requests on eight threads neither lose nor mix up rows."""
    host.app.add_url_rule("/<int:number>", "x", lambda number: (str(number), 200 + number % 50))

    def visit(start: int) -> None:
        for number in range(start, start + 25):
            host.open(f"/{number}")

    threads = [Thread(target=visit, args=(start,)) for start in range(0, 200, 25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = {row["path"]: row["status_code"] for row in host.rows()}
    assert seen == {f"/{number}": 200 + number % 50 for number in range(200)}
    assert len(host.rows()) == 200


def test_a_redirect(host: Host) -> None:
    """A redirect is recorded as one, not as what it leads to."""
    host.app.add_url_rule("/old", view_func=lambda: redirect("/new"))
    host.open("/old")
    row = host.row()
    assert (row["path"], row["status_code"], row["exception"]) == ("/old", 302, None)


def test_a_followed_redirect_is_two_rows(host: Host) -> None:
    """A client that follows makes two requests."""
    host.app.add_url_rule("/old", "old", lambda: redirect("/new"))
    host.app.add_url_rule("/new", "new", lambda: "new")
    host.open("/old", follow_redirects=True)
    assert [(row["path"], row["status_code"]) for row in host.rows()] == [
        ("/old", 302),
        ("/new", 200),
    ]


def test_the_redirect_to_a_trailing_slash(host: Host) -> None:
    """Werkzeug's own redirect happens before any view; it has one row."""
    host.app.add_url_rule("/dir/", view_func=lambda: "dir")
    host.open("/dir")
    row = host.row()
    assert (row["path"], row["status_code"], row["exception"]) == ("/dir", 308, None)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 429, 500, 503])
def test_abort(host: Host, status: int) -> None:
    """abort() is an answer, not an exception: also abort(500)."""
    host.app.add_url_rule("/x", view_func=lambda: abort(status))
    host.open("/x")
    row = host.row()
    assert (row["status_code"], row["exception"], row["route"]) == (status, None, "/x")


@pytest.mark.parametrize("mode", ["DEBUG", "TESTING"])
def test_abort_while_developing(make_host: MakeHost, mode: str) -> None:
    """abort() under debug or testing is recorded as in production."""
    host = make_host(settings={mode: True})
    host.app.add_url_rule("/x", view_func=lambda: abort(403))
    host.open("/x")
    row = host.row()
    assert (row["status_code"], row["exception"]) == (403, None)


def test_abort_with_a_response(host: Host) -> None:
    """abort(response) is recorded with that response's status."""
    host.app.add_url_rule("/x", view_func=lambda: abort(flask.Response("no", 451)))
    host.open("/x")
    row = host.row()
    assert (row["status_code"], row["exception"]) == (451, None)


def test_a_missing_form_key_is_a_400(host: Host) -> None:
    """A KeyError of request.form is an HTTPException, so it is no exception."""
    host.app.add_url_rule("/x", view_func=lambda: request.form["absent"], methods=["POST"])
    host.open("/x", method="POST")
    row = host.row()
    assert (row["status_code"], row["exception"]) == (400, None)


def test_a_trapped_bad_request_is_one_row(make_host: MakeHost) -> None:
    """TRAP_HTTP_EXCEPTIONS lets the exception through to the server: one row, status 500."""
    host = make_host(settings={"TRAP_HTTP_EXCEPTIONS": True, "TESTING": True})
    host.app.add_url_rule("/x", view_func=lambda: abort(400))
    with pytest.raises(HTTPException):
        host.open("/x")
    assert host.row()["status_code"] == 500


def test_a_404_without_a_rule(host: Host) -> None:
    """What no rule matches is recorded, without route and endpoint."""
    host.open("/nowhere?x=1")
    row = host.row()
    assert (row["path"], row["status_code"], row["exception"]) == ("/nowhere", 404, None)
    assert (row["route"], row["endpoint"], row["view_args"]) == (None, None, None)


@pytest.mark.parametrize("mode", ["DEBUG", "TESTING"])
def test_a_404_while_developing(make_host: MakeHost, mode: str) -> None:
    """A 404 under debug or testing has its row as well."""
    host = make_host(settings={mode: True})
    host.open("/nowhere")
    assert host.row()["status_code"] == 404


def test_a_405(host: Host) -> None:
    """A method that the rule does not take is recorded."""
    host.app.add_url_rule("/x", view_func=lambda: "x", methods=["POST"])
    host.open("/x")
    row = host.row()
    assert (row["path"], row["method"], row["status_code"]) == ("/x", "GET", 405)
    assert row["exception"] is None


def test_a_too_large_body_is_a_413(make_host: MakeHost) -> None:
    """A body that Flask refuses while the view reads it is recorded as 413."""
    host = make_host(settings={"MAX_CONTENT_LENGTH": 4})
    host.app.add_url_rule("/x", view_func=lambda: f"{request.get_data()!r}", methods=["POST"])
    host.open("/x", method="POST", data=b"12345")
    row = host.row()
    assert (row["status_code"], row["exception"]) == (413, None)


def test_head(host: Host) -> None:
    """HEAD has a row of its own, with no bytes of body."""
    host.app.add_url_rule("/x", view_func=lambda: "body")
    host.open("/x", method="HEAD")
    row = host.row()
    assert (row["method"], row["status_code"], row["size"]) == ("HEAD", 200, 0)


def test_automatic_options(host: Host) -> None:
    """Flask's own answer to OPTIONS is recorded."""
    host.app.add_url_rule("/x", view_func=lambda: "x")
    host.open("/x", method="OPTIONS")
    row = host.row()
    assert (row["method"], row["status_code"], row["route"]) == ("OPTIONS", 200, "/x")


def test_own_options(host: Host) -> None:
    """A view that answers OPTIONS itself is recorded with its own status."""
    host.app.add_url_rule("/x", view_func=lambda: ("mine", 202), methods=["OPTIONS"])
    host.open("/x", method="OPTIONS")
    row = host.row()
    assert (row["method"], row["status_code"]) == ("OPTIONS", 202)


def test_the_status_that_after_request_sets(make_host: MakeHost) -> None:
    """What after_request functions make of the response is recorded, in whatever order."""

    def before(app: Flask) -> None:
        @app.after_request
        def replace(response: flask.Response) -> flask.Response:
            return flask.Response("other", 202, mimetype="text/css")

    host = make_host(before=before)

    @host.app.after_request
    def brand(response: flask.Response) -> flask.Response:
        response.status_code = 203
        return response

    host.app.add_url_rule("/x", view_func=lambda: "x")
    assert host.open("/x").status_code == 202
    row = host.row()
    assert (row["status_code"], row["mimetype"], row["size"]) == (202, "text/css", 5)


def test_a_response_class_of_the_host(make_host: MakeHost) -> None:
    """A subclass of Response is recorded like any other."""

    class Plain(flask.Response):
        default_mimetype = "text/plain"

    class App(Flask):
        response_class = Plain

    host = make_host(app=App("plain"))
    host.app.add_url_rule("/x", view_func=lambda: "x")
    host.open("/x")
    assert host.row()["mimetype"] == "text/plain"


def test_a_view_that_returns_a_wsgi_app(host: Host) -> None:
    """A view may return a WSGI callable; its status is recorded."""

    def inner(environ: Any, start_response: Any) -> list[bytes]:
        start_response("299 Odd", [("Content-Type", "text/plain")])
        return [b"inner"]

    host.app.add_url_rule("/x", view_func=lambda: inner)
    assert host.open("/x").data == b"inner"
    assert host.row()["status_code"] == 299


def test_a_view_that_returns_none(host: Host) -> None:
    """A view without a return value is Flask's TypeError, status 500."""
    host.app.add_url_rule("/x", view_func=lambda: None)  # type: ignore[arg-type]
    assert host.open("/x").status_code == 500
    row = host.row()
    assert row["status_code"] == 500
    assert row["exception"].startswith("TypeError(")


# Exceptions


@pytest.mark.parametrize("propagate", [None, True, False])
@pytest.mark.parametrize("mode", [None, "DEBUG", "TESTING"])
def test_an_unhandled_exception(
    make_host: MakeHost, mode: str | None, propagate: bool | None
) -> None:
    """An exception has one row with its repr and 500, answered by Flask or raised to the server."""
    settings: dict[str, Any] = {"PROPAGATE_EXCEPTIONS": propagate}
    if mode:
        settings[mode] = True
    host = make_host(settings=settings)
    host.app.add_url_rule("/x", view_func=fail)
    raised = propagate if propagate is not None else mode is not None
    if raised:
        with pytest.raises(ValueError, match="boom"):
            host.open("/x")
    else:
        assert host.open("/x").status_code == 500
    row = host.row()
    assert (row["status_code"], row["exception"]) == (500, BOOM)
    assert (row["path"], row["route"], row["endpoint"]) == ("/x", "/x", "fail")


@pytest.mark.parametrize("propagate", [None, True, False])
@pytest.mark.parametrize("mode", [None, "DEBUG", "TESTING"])
def test_an_exception_that_a_handler_answers(
    make_host: MakeHost, mode: str | None, propagate: bool | None
) -> None:
    """A handled exception has its repr and the handler's status, in every mode."""
    settings: dict[str, Any] = {"PROPAGATE_EXCEPTIONS": propagate}
    if mode:
        settings[mode] = True
    host = make_host(settings=settings)
    host.app.register_error_handler(ValueError, lambda error: ("sorry", 409))
    host.app.add_url_rule("/x", view_func=fail)
    assert host.open("/x").status_code == 409
    row = host.row()
    assert (row["status_code"], row["exception"]) == (409, BOOM)


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("inside", [True, False])
def test_the_interactive_debugger(make_host: MakeHost, order: str, inside: bool) -> None:
    """Werkzeug's debugger keeps contexts alive and answers itself: still one right row."""

    def debug(app: Flask) -> None:
        app.wsgi_app = DebuggedApplication(  # type: ignore[method-assign]
            app.wsgi_app, evalex=True, pin_security=False, pin_logging=False
        )

    host = make_host(
        settings={"DEBUG": True}, before=debug if inside and order == "before" else None
    )
    app: Any = host.app
    if inside and order == "after":
        debug(host.app)
    elif not inside:
        app = DebuggedApplication(host.app, evalex=True, pin_security=False, pin_logging=False)
    host.app.add_url_rule("/x", view_func=fail)
    body, status = call(app, "/x", errors_stream=None)
    assert status.startswith("500")
    assert b"boom" in body
    row = host.row()
    assert (row["status_code"], row["exception"], row["route"]) == (500, BOOM, "/x")


def test_the_debuggers_own_files_have_no_row(make_host: MakeHost) -> None:
    """The debugger answers for its style sheet before Flask is asked."""
    host = make_host(settings={"DEBUG": True})
    app = DebuggedApplication(host.app, evalex=True, pin_security=False, pin_logging=False)
    _body, status = call(app, "/?__debugger__=yes&cmd=resource&f=style.css")
    assert status.startswith("200")
    assert host.rows() == []


def test_a_request_that_succeeds_under_the_debugger(make_host: MakeHost) -> None:
    """The debugger preserves contexts of good requests as well: one row."""
    host = make_host(settings={"DEBUG": True})
    host.app.add_url_rule("/x", view_func=lambda: "x")
    app = DebuggedApplication(host.app, evalex=True, pin_security=False, pin_logging=False)
    call(app, "/x")
    assert host.row()["status_code"] == 200


@pytest.mark.parametrize("registered_for", [Exception, 500])
def test_a_catch_all_handler(host: Host, registered_for: Any) -> None:
    """Handlers for Exception and for 500 answer unhandled errors; the row has both facts."""
    host.app.register_error_handler(registered_for, lambda error: ("maintenance", 503))
    host.app.add_url_rule("/x", view_func=fail)
    assert host.open("/x").status_code == 503
    row = host.row()
    assert (row["status_code"], row["exception"]) == (503, BOOM)


@pytest.mark.parametrize("registered_for", [Exception, HTTPException, 404])
def test_a_handler_that_answers_a_404(host: Host, registered_for: Any) -> None:
    """A 404 with a page of the host's own is no exception."""
    host.app.register_error_handler(registered_for, lambda error: ("no such page", 404))
    host.open("/nowhere")
    row = host.row()
    assert (row["status_code"], row["exception"]) == (404, None)


def test_a_handler_that_turns_an_abort_into_a_200(host: Host) -> None:
    """The handler's status counts, for an HTTPException too."""
    host.app.register_error_handler(403, lambda error: ("come in", 200))
    host.app.add_url_rule("/x", view_func=lambda: abort(403))
    host.open("/x")
    row = host.row()
    assert (row["status_code"], row["exception"]) == (200, None)


def test_a_handler_that_aborts(host: Host) -> None:
    """A handler that raises an HTTPException in its turn ends in one row."""
    host.app.register_error_handler(ValueError, lambda error: abort(502))
    host.app.add_url_rule("/x", view_func=fail)
    status = host.open("/x").status_code
    row = host.row()
    assert row["status_code"] == status
    assert row["exception"] == BOOM


def test_a_handler_that_fails(host: Host) -> None:
    """A failing handler ends in one row, status 500, with what was raised."""

    def handler(error: Exception) -> Any:
        raise KeyError("handler")

    host.app.register_error_handler(ValueError, handler)
    host.app.add_url_rule("/x", view_func=fail)
    assert host.open("/x").status_code == 500
    row = host.row()
    assert row["status_code"] == 500
    assert row["exception"] in {BOOM, "KeyError('handler')"}


def test_a_500_handler_that_fails(host: Host) -> None:
    """When even the page for 500 fails, the exception reaches the server: one row."""

    def handler(error: Exception) -> Any:
        raise KeyError("handler")

    host.app.register_error_handler(500, handler)
    host.app.add_url_rule("/x", view_func=fail)
    with pytest.raises(KeyError):
        host.open("/x")
    row = host.row()
    assert row["status_code"] == 500
    assert row["exception"] in {BOOM, "KeyError('handler')"}


def test_a_blueprints_handler(host: Host) -> None:
    """Error handlers of a blueprint count like the app's."""
    blueprint = Blueprint("shop", __name__)
    blueprint.add_url_rule("/x", view_func=fail)
    blueprint.register_error_handler(ValueError, lambda error: ("sorry", 422))
    host.app.register_blueprint(blueprint)
    host.open("/x")
    row = host.row()
    assert (row["status_code"], row["exception"]) == (422, BOOM)


def test_an_exception_does_not_leak_into_the_next_row(host: Host) -> None:
    """The request after a failing one has no exception."""
    host.app.add_url_rule("/x", view_func=fail)
    host.app.add_url_rule("/y", "y", lambda: "y")
    host.open("/x")
    host.open("/y")
    assert [(row["status_code"], row["exception"]) for row in host.rows()] == [
        (500, BOOM),
        (200, None),
    ]


def test_an_exception_that_the_view_catches(host: Host) -> None:
    """What a view catches itself never happened."""

    def view() -> str:
        try:
            fail()
        except ValueError:
            return "caught"
        return "unreached"

    host.app.add_url_rule("/x", view_func=view)
    host.open("/x")
    row = host.row()
    assert (row["status_code"], row["exception"]) == (200, None)


def test_an_exception_whose_repr_fails(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that cannot be described is recorded all the same."""

    class Silent(Exception):
        def __repr__(self) -> str:
            raise RuntimeError("no repr")

        __str__ = __repr__

    def view() -> str:
        raise Silent

    # The host's log would fail on such an exception by itself.
    monkeypatch.setattr(host.app.logger, "disabled", True)
    host.app.add_url_rule("/x", view_func=view)
    assert host.open("/x").status_code == 500
    row = host.row()
    assert row["status_code"] == 500
    assert "Silent" in row["exception"]


@pytest.mark.parametrize("exception", [SystemExit(3), KeyboardInterrupt()])
def test_what_ends_the_process(host: Host, exception: BaseException) -> None:
    """SystemExit and KeyboardInterrupt pass by Flask to the server, and have a row."""

    def view() -> str:
        raise exception

    host.app.add_url_rule("/x", view_func=view)
    with pytest.raises(type(exception)):
        host.open("/x")
    row = host.row()
    assert (row["status_code"], row["exception"]) == (500, repr(exception))
    assert (row["route"], row["endpoint"]) == ("/x", "view")


# Functions of the host around the view


@pytest.mark.parametrize("order", ["before", "after"])
def test_an_early_answer(make_host: MakeHost, order: str) -> None:
    """A before_request that answers, registered before or after us, has its row."""

    def answer(app: Flask) -> None:
        app.before_request(lambda: ("closed", 503))

    host = make_host(before=answer if order == "before" else None)
    if order == "after":
        answer(host.app)
    host.app.add_url_rule("/x", view_func=lambda: "x")
    host.open("/x")
    row = host.row()
    assert (row["status_code"], row["exception"], row["route"]) == (503, None, "/x")


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("propagate", [True, False])
@pytest.mark.parametrize(
    "hook",
    [
        "before_request",
        "after_request",
        "teardown_request",
        "teardown_appcontext",
        "url_value_preprocessor",
        "request_started",
        "request_finished",
        "after_this_request",
    ],
)
def test_a_hook_of_the_host_that_raises(
    make_host: MakeHost, hook: str, propagate: bool, order: str
) -> None:
    """A failing hook of the host gives one row with its exception and 500."""

    armed: list[bool] = []  # app contexts are pushed before the request and after it, too

    def raising(*args: Any, **kwargs: Any) -> Any:
        if armed and armed.pop():
            raise ValueError("boom")
        return args[0] if args else None  # after_request functions pass the response on

    signals = {"request_started": request_started, "request_finished": request_finished}

    def register(app: Flask) -> None:
        if hook in signals:
            signals[hook].connect(raising, app)
        elif hook != "after_this_request":
            getattr(app, hook)(raising)

    host = make_host(
        before=register if order == "before" else None,
        settings={"PROPAGATE_EXCEPTIONS": propagate},
    )
    if order == "after":
        register(host.app)

    def view() -> str:
        if hook == "after_this_request":
            after_this_request(raising)
        return "x"

    host.app.add_url_rule("/x", view_func=view)
    armed.append(True)
    if propagate or hook.startswith("teardown"):
        with pytest.raises(ValueError, match="boom"):
            host.open("/x")
    else:
        assert host.open("/x").status_code == 500
    row = host.row()
    assert (row["status_code"], row["exception"]) == (500, BOOM)
    assert (row["path"], row["route"]) == ("/x", "/x")


@pytest.mark.parametrize("propagate", [True, False])
def test_an_after_request_that_always_raises(make_host: MakeHost, propagate: bool) -> None:
    """A hook that fails for the error page as well, as Flask then ignores, gives one row."""

    def after(response: flask.Response) -> flask.Response:
        raise ValueError("boom")

    host = make_host(settings={"PROPAGATE_EXCEPTIONS": propagate})
    host.app.after_request(after)
    host.app.add_url_rule("/x", view_func=lambda: "x")
    if propagate:
        with pytest.raises(ValueError, match="boom"):
            host.open("/x")
    else:
        assert host.open("/x").status_code == 500
    row = host.row()
    assert (row["status_code"], row["exception"]) == (500, BOOM)


def test_an_abort_in_after_request(host: Host) -> None:
    """Flask answers abort() in after_request with 500; it is still no exception."""
    armed = [True]

    @host.app.after_request
    def after(response: flask.Response) -> flask.Response:
        if armed:
            armed.clear()
            abort(403)
        return response

    host.app.add_url_rule("/x", view_func=lambda: "x")
    status = host.open("/x").status_code
    row = host.row()
    assert (row["status_code"], row["exception"]) == (status, None)


def test_a_failing_teardown_after_a_failing_view(host: Host) -> None:
    """Two exceptions in one request are one row."""

    @host.app.teardown_request
    def teardown(error: BaseException | None) -> None:
        raise KeyError("teardown")

    host.app.add_url_rule("/x", view_func=fail)
    with pytest.raises(KeyError):
        host.open("/x")
    row = host.row()
    assert row["status_code"] == 500
    assert row["exception"] in {BOOM, "KeyError('teardown')"}


def test_a_hook_that_aborts(host: Host) -> None:
    """abort() in before_request is an answer, not an exception."""
    host.app.before_request(lambda: abort(401))
    host.app.add_url_rule("/x", view_func=lambda: "x")
    host.open("/x")
    row = host.row()
    assert (row["status_code"], row["exception"]) == (401, None)


def test_a_failing_before_request_that_a_handler_answers(host: Host) -> None:
    """Handlers answer for hooks as for views."""
    host.app.before_request(fail)
    host.app.register_error_handler(ValueError, lambda error: ("sorry", 400))
    host.open("/x")
    # Without a rule the 404 comes after before_request, so the hook's exception comes first.
    row = host.row()
    assert (row["status_code"], row["exception"]) == (400, BOOM)


def test_the_hosts_listener_of_exceptions(host: Host) -> None:
    """A receiver of got_request_exception, as error trackers use it, still gets its call."""
    seen: list[str] = []

    def receiver(sender: Any, exception: BaseException, **extra: Any) -> None:
        seen.append(repr(exception))

    host.app.add_url_rule("/x", view_func=fail)
    with got_request_exception.connected_to(receiver, host.app):
        host.open("/x")
    assert seen == [BOOM]
    assert host.row()["exception"] == BOOM


@pytest.mark.parametrize("method", ["open_session", "save_session"])
@pytest.mark.parametrize("propagate", [True, False])
def test_a_failing_session(make_host: MakeHost, method: str, propagate: bool) -> None:
    """A session backend that is down fails before or after every hook: one row."""

    class Broken(SecureCookieSessionInterface):
        pass

    def broken(*args: Any, **kwargs: Any) -> Any:
        raise ValueError("boom")

    setattr(Broken, method, broken)
    host = make_host(settings={"PROPAGATE_EXCEPTIONS": propagate})
    host.app.session_interface = Broken()
    host.app.add_url_rule("/x", view_func=lambda: "x")
    if propagate:
        with pytest.raises(ValueError, match="boom"):
            host.open("/x")
    else:
        assert host.open("/x").status_code == 500
    row = host.row()
    assert (row["status_code"], row["exception"], row["path"]) == (500, BOOM, "/x")
    assert (row["route"], row["endpoint"]) == ("/x", "<lambda>")


# Kinds of views


def test_a_static_file(host: Host, tmp_path: Path) -> None:
    """Flask's static files are requests like any other."""
    static = tmp_path / "static"
    static.mkdir()
    (static / "site.css").write_text("body {}")
    host.open("/static/site.css")
    row = host.row()
    assert (row["status_code"], row["mimetype"], row["size"]) == (200, "text/css", 7)
    assert (row["endpoint"], row["route"]) == ("static", "/static/<path:filename>")


def test_a_missing_static_file(host: Host) -> None:
    """A missing static file is a 404 with the static rule."""
    host.open("/static/absent.css")
    row = host.row()
    assert (row["status_code"], row["endpoint"]) == (404, "static")


def test_an_unchanged_file(host: Host, tmp_path: Path) -> None:
    """A conditional request answered 304 has no body; its type is the file's."""
    (tmp_path / "a.txt").write_text("0123456789")
    host.app.add_url_rule("/x", view_func=lambda: send_file(tmp_path / "a.txt"))
    etag = host.open("/x").headers["ETag"]
    assert host.open("/x", headers={"If-None-Match": etag}).status_code == 304
    first, second = host.rows()
    assert (first["status_code"], first["size"], first["mimetype"]) == (200, 10, "text/plain")
    assert (second["status_code"], second["size"], second["mimetype"]) == (304, 0, "text/plain")


def test_a_range(host: Host, tmp_path: Path) -> None:
    """A range has the size of the part."""
    (tmp_path / "a.txt").write_text("0123456789")
    host.app.add_url_rule("/x", view_func=lambda: send_file(tmp_path / "a.txt"))
    assert host.open("/x", headers={"Range": "bytes=2-4"}).data == b"234"
    row = host.row()
    assert (row["status_code"], row["size"]) == (206, 3)


def test_a_range_that_cannot_be_satisfied(host: Host, tmp_path: Path) -> None:
    """A range outside of the file is a 416."""
    (tmp_path / "a.txt").write_text("0123456789")
    host.app.add_url_rule("/x", view_func=lambda: send_file(tmp_path / "a.txt"))
    host.open("/x", headers={"Range": "bytes=20-30"})
    row = host.row()
    assert (row["status_code"], row["exception"]) == (416, None)


def test_an_async_view(host: Host) -> None:
    """A coroutine answers as a function does."""

    async def view() -> tuple[str, int]:
        return "async", 202

    host.app.add_url_rule("/x", view_func=view)
    host.open("/x")
    row = host.row()
    assert (row["status_code"], row["endpoint"]) == (202, "view")


def test_an_async_view_that_raises(host: Host) -> None:
    """A coroutine's exception is recorded."""

    async def view() -> str:
        raise ValueError("boom")

    host.app.add_url_rule("/x", view_func=view)
    host.open("/x")
    row = host.row()
    assert (row["status_code"], row["exception"]) == (500, BOOM)


def test_an_async_handler_and_hooks(host: Host) -> None:
    """Coroutines as error handler, before_request and after_request change nothing."""

    @host.app.before_request
    async def before() -> None:
        return None

    @host.app.after_request
    async def after(response: flask.Response) -> flask.Response:
        return response

    @host.app.errorhandler(ValueError)
    async def handler(error: ValueError) -> tuple[str, int]:
        return "sorry", 409

    host.app.add_url_rule("/x", view_func=fail)
    host.open("/x")
    row = host.row()
    assert (row["status_code"], row["exception"]) == (409, BOOM)


@pytest.mark.parametrize("every_request", [True, False])
def test_a_class_based_view(host: Host, every_request: bool) -> None:
    """A View class is known by its endpoint."""

    class Hello(View):
        init_every_request = every_request

        def dispatch_request(self, **arguments: str) -> str:
            return arguments["name"]

    host.app.add_url_rule("/hello/<name>", view_func=Hello.as_view("hello"))
    host.open("/hello/you")
    row = host.row()
    assert (row["endpoint"], row["route"]) == ("hello", "/hello/<name>")
    assert row["status_code"] == 200


def test_a_method_view(host: Host) -> None:
    """A MethodView's methods have rows of their own; what it lacks is a 405."""

    class Item(MethodView):
        def get(self) -> str:
            return "got"

        def post(self) -> tuple[str, int]:
            return "made", 201

    host.app.add_url_rule("/item", view_func=Item.as_view("item"))
    for method in ("GET", "POST", "DELETE", "HEAD"):
        host.open("/item", method=method)
    assert [(row["method"], row["status_code"]) for row in host.rows()] == [
        ("GET", 200),
        ("POST", 201),
        ("DELETE", 405),
        ("HEAD", 200),
    ]


def test_nested_blueprints(host: Host) -> None:
    """A view in a nested blueprint is known by its dotted endpoint."""
    parent, child = Blueprint("shop", __name__), Blueprint("basket", __name__)
    child.add_url_rule("/<int:number>", "item", lambda number: f"{number}")
    parent.register_blueprint(child, url_prefix="/basket")
    host.app.register_blueprint(parent, url_prefix="/shop")
    host.open("/shop/basket/7")
    row = host.row()
    assert row["endpoint"] == "shop.basket.item"
    assert row["blueprint"] == "shop.basket"
    assert row["route"] == "/shop/basket/<int:number>"


def test_a_subdomain_blueprint(make_host: MakeHost) -> None:
    """A blueprint on a subdomain is recorded with its host."""
    app = Flask("subdomains", subdomain_matching=True)
    host = make_host(app=app, settings={"SERVER_NAME": "example.org"})
    blueprint = Blueprint("api", __name__, subdomain="<tenant>")
    blueprint.add_url_rule("/x", "x", lambda tenant: tenant)
    app.register_blueprint(blueprint)
    assert host.open("/x", base_url="http://acme.example.org").data == b"acme"
    row = host.row()
    assert (row["host"], row["endpoint"]) == ("acme.example.org", "api.x")
    assert row["status_code"] == 200


def test_a_host_that_is_not_trusted(make_host: MakeHost) -> None:
    """A Host header that Flask refuses is a 400 before any routing: one row."""
    host = make_host(settings={"TRUSTED_HOSTS": ["example.org"]})
    host.app.add_url_rule("/x", view_func=lambda: "x")
    status = host.open("/x", base_url="http://evil.example.com").status_code
    assert status == 400
    assert host.row()["status_code"] == 400


def test_a_subclass_of_flask(make_host: MakeHost) -> None:
    """A host that overrides Flask's own methods keeps them."""
    calls: list[str] = []

    class App(Flask):
        def wsgi_app(self, environ: Any, start_response: Any) -> Any:
            calls.append("wsgi_app")
            return super().wsgi_app(environ, start_response)

        def finalize_request(self, rv: Any, from_error_handler: bool = False) -> Any:
            calls.append("finalize_request")
            return super().finalize_request(rv, from_error_handler)

        def handle_user_exception(self, e: Exception) -> Any:
            calls.append("handle_user_exception")
            return super().handle_user_exception(e)

        def handle_exception(self, e: Exception) -> Any:
            calls.append("handle_exception")
            return super().handle_exception(e)

    host = make_host(app=App("mine"))
    host.app.add_url_rule("/x", view_func=fail)
    host.open("/x")
    assert calls == ["wsgi_app", "handle_user_exception", "handle_exception", "finalize_request"]
    row = host.row()
    assert (row["status_code"], row["exception"]) == (500, BOOM)


def test_the_hosts_own_logging_of_an_exception(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    """Flask logs the exception once, as without us."""
    host.app.add_url_rule("/x", view_func=fail)
    with caplog.at_level(logging.ERROR):
        host.open("/x")
    assert [record.message for record in caplog.records] == ["Exception on /x [GET]"]


# Around the app


def test_a_second_app_behind_a_dispatcher(make_host: MakeHost) -> None:
    """Each of two mounted apps records its own requests in its own table."""
    first, second = make_host(), make_host()
    first.app.add_url_rule("/x", view_func=lambda: "first")
    second.app.add_url_rule("/x", view_func=lambda: ("second", 202))
    client = Client(DispatcherMiddleware(first.app, {"/second": second.app}))
    client.get("/x")
    client.get("/second/x")
    assert [row["status_code"] for row in first.rows()] == [200]
    assert [row["status_code"] for row in second.rows()] == [202]
    assert second.row()["url"] == "http://localhost/second/x"


def test_a_second_app_inside_wsgi_app(make_host: MakeHost) -> None:
    """An app mounted by wrapping wsgi_app answers for itself; the outer one has no row."""
    first, second = make_host(), make_host()
    second.app.add_url_rule("/x", view_func=lambda: "second")
    first.app.wsgi_app = DispatcherMiddleware(  # type: ignore[method-assign]
        first.app.wsgi_app, {"/second": second.app}
    )
    first.open("/second/x")
    assert first.rows() == []
    assert second.row()["path"] == "/x"


def test_a_plain_second_app_mounted_before_us(make_host: MakeHost) -> None:
    """A foreign WSGI app mounted inside our hooks answers before Flask: no row."""

    def foreign(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"foreign"]

    def mount(app: Flask) -> None:
        app.wsgi_app = DispatcherMiddleware(  # type: ignore[method-assign]
            app.wsgi_app, {"/foreign": foreign}
        )

    host = make_host(before=mount)
    assert host.open("/foreign").data == b"foreign"
    assert host.rows() == []


@pytest.mark.parametrize("order", ["before", "after"])
def test_a_middleware_that_answers_before_flask(make_host: MakeHost, order: str) -> None:
    """What Flask never saw, a websocket for one, is not recorded."""

    def install(app: Flask) -> None:
        inner = app.wsgi_app

        def middleware(environ: Any, start_response: Any) -> Iterable[bytes]:
            if environ["PATH_INFO"] == "/socket":
                start_response("101 Switching Protocols", [])
                return []
            return inner(environ, start_response)

        app.wsgi_app = middleware  # type: ignore[method-assign]

    host = make_host(before=install if order == "before" else None)
    if order == "after":
        install(host.app)
    host.app.add_url_rule("/x", view_func=lambda: "x")
    host.open("/socket")
    assert host.rows() == []
    host.open("/x")
    assert host.row()["path"] == "/x"


@pytest.mark.parametrize("order", ["before", "after"])
def test_a_middleware_that_fails_before_flask(make_host: MakeHost, order: str) -> None:
    """An exception of a middleware is not a request of the app."""

    def install(app: Flask) -> None:
        def middleware(environ: Any, start_response: Any) -> Iterable[bytes]:
            raise ValueError("boom")

        app.wsgi_app = middleware  # type: ignore[method-assign]

    host = make_host(before=install if order == "before" else None)
    if order == "after":
        install(host.app)
    with pytest.raises(ValueError, match="boom"):
        host.open("/x")
    assert host.rows() == []


@pytest.mark.parametrize("order", ["before", "after"])
def test_a_buffering_middleware(make_host: MakeHost, order: str) -> None:
    """A middleware that reads the whole body and answers anew hides nothing from the row."""

    def install(app: Flask) -> None:
        inner = app.wsgi_app

        def middleware(environ: Any, start_response: Any) -> Iterable[bytes]:
            body, status, headers = run_wsgi_app(inner, environ, buffered=True)
            start_response(status, headers.to_wsgi_list())
            return [b"".join(body).upper()]

        app.wsgi_app = middleware  # type: ignore[method-assign]

    host = make_host(before=install if order == "before" else None)
    if order == "after":
        install(host.app)
    host.app.add_url_rule("/<name>", "x", lambda name: (f"hello {name}", 202))
    assert host.open("/you").data == b"HELLO YOU"
    row = host.row()
    assert (row["status_code"], row["route"], row["size"]) == (202, "/<name>", 9)


@pytest.mark.parametrize("order", ["before", "after"])
def test_proxy_fix(make_host: MakeHost, order: str) -> None:
    """The address that ProxyFix finds is recorded, installed before or after us."""

    def install(app: Flask) -> None:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_host=1, x_proto=1)  # type: ignore[method-assign]

    host = make_host(before=install if order == "before" else None)
    if order == "after":
        install(host.app)
    host.app.add_url_rule("/x", view_func=lambda: request.remote_addr or "")
    response = host.open(
        "/x",
        headers={
            "X-Forwarded-For": "203.0.113.9",
            "X-Forwarded-Host": "shop.example",
            "X-Forwarded-Proto": "https",
        },
    )
    assert response.data == b"203.0.113.9"
    row = host.row()
    assert row["remote_address"] == "203.0.113.9"
    assert row["host"] == "shop.example"
    assert row["url"] == "https://shop.example/x"
    assert row["xforwardedfor"] == "203.0.113.9"


@pytest.mark.parametrize("order", ["before", "after"])
def test_a_middleware_that_copies_environ(make_host: MakeHost, order: str) -> None:
    """A middleware may hand on a new environ; the row is found all the same."""

    def install(app: Flask) -> None:
        inner = app.wsgi_app

        def middleware(environ: Any, start_response: Any) -> Iterable[bytes]:
            return inner(dict(environ), start_response)

        app.wsgi_app = middleware  # type: ignore[method-assign]

    host = make_host(before=install if order == "before" else None)
    if order == "after":
        install(host.app)
    host.app.add_url_rule("/x", view_func=lambda: ("x", 202))
    host.open("/x")
    row = host.row()
    assert (row["status_code"], row["route"]) == (202, "/x")


def test_a_reused_environ(host: Host) -> None:
    """A server or test that calls twice with one environ gets two rows."""
    host.app.add_url_rule("/x", view_func=lambda: "x")
    builder = EnvironBuilder("/x")
    environ = builder.get_environ()
    for _ in range(2):
        run_wsgi_app(host.app, environ, buffered=True)
    builder.close()
    assert len(host.rows()) == 2


def test_wsgi_calls_without_host_and_address(host: Host) -> None:
    """A minimal environ, as a server on a unix socket gives it, is recorded."""
    host.app.add_url_rule("/x", view_func=lambda: "x")
    environ = EnvironBuilder("/x").get_environ()
    for name in ("HTTP_HOST", "REMOTE_ADDR", "QUERY_STRING", "HTTP_USER_AGENT"):
        environ.pop(name, None)
    run_wsgi_app(host.app, environ, buffered=True)
    row = host.row()
    assert (row["remote_address"], row["status_code"]) == (None, 200)
    assert row["path"] == "/x"


# The statistics pages


@pytest.mark.parametrize("path", ["/statistics/", "/statistics", "/statistics/api/summary"])
def test_our_own_pages_have_no_row(make_host: MakeHost, path: str) -> None:
    """Looking at the statistics does not change them."""
    host = make_host(settings={"TESTING": True})
    host.open(path)
    assert host.rows() == []


def test_our_own_pages_have_no_row_when_closed(host: Host) -> None:
    """A 403 of ours is not recorded either."""
    assert host.open("/statistics/").status_code == 403
    assert host.rows() == []


def test_our_own_assets_have_no_row(host: Host) -> None:
    """Style sheets of the pages are not recorded, found or not."""
    (endpoint,) = (
        rule
        for rule in host.app.url_map.iter_rules()
        if rule.rule.startswith("/statistics/") and rule.rule.endswith("<path:filename>")
    )
    host.open(endpoint.rule.replace("<path:filename>", "absent.css"))
    assert host.rows() == []


def test_our_own_pages_at_another_prefix_have_no_row(make_host: MakeHost) -> None:
    """The prefix of the settings is what counts; /statistics is then the host's."""
    host = make_host(settings={"TESTING": True, "STATISTICS_URL_PREFIX": "/numbers"})
    host.app.add_url_rule("/statistics/", view_func=lambda: "the host's own")
    host.open("/numbers/")
    assert host.rows() == []
    host.open("/statistics/")
    assert host.row()["path"] == "/statistics/"


def test_our_own_pages_on_demand(make_host: MakeHost) -> None:
    """A setting records the pages like any other."""
    host = make_host(settings={"TESTING": True, "STATISTICS_RECORD_OWN_PAGES": True})
    host.open("/statistics/")
    assert host.row()["path"] == "/statistics/"


@pytest.mark.parametrize("error", [Unauthorized, ZeroDivisionError])
def test_a_raised_class_instead_of_an_instance(host: Host, error: type[Exception]) -> None:
    """`raise Class` is recorded as an instance of it."""

    def view() -> str:
        raise error

    host.app.add_url_rule("/x", view_func=view)
    status = host.open("/x").status_code
    expected = None if issubclass(error, HTTPException) else f"{error.__name__}()"
    row = host.row()
    assert (row["status_code"], row["exception"]) == (status, expected)
