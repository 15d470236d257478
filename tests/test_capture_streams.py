"""Bodies: streams are recorded when they end, lists and files when their context ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import flask
import pytest
from flask import send_file, stream_with_context
from werkzeug.test import EnvironBuilder, run_wsgi_app

if TYPE_CHECKING:
    from tests.conftest import Host

    MakeHost = Callable[..., Host]


def call(app: Any, path: str = "/", **environ: Any) -> Any:
    """Call a WSGI app as a server does and return the iterable, neither read nor closed."""
    builder = EnvironBuilder(path)
    try:
        whole = {**builder.get_environ(), **environ}
    finally:
        builder.close()
    return app(whole, lambda status, headers, exc_info=None: lambda data: None)


class Body:
    """A body that knows what was done to it."""

    def __init__(self, *chunks: bytes, error: Exception | None = None) -> None:
        self.chunks, self.error = iter(chunks), error
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self.chunks)
        except StopIteration:
            if self.error:
                raise self.error from None
            raise

    def close(self) -> None:
        self.closed += 1


def serve(host: Host, body: Any, **options: Any) -> None:
    host.app.add_url_rule("/x", "x", lambda: flask.Response(body, **options))


# Streams


def test_a_stream_is_recorded_when_it_ends(host: Host) -> None:
    """No row while it is sent, one with the counted bytes at its end."""
    body = Body(b"one", b"three")
    serve(host, body)
    iterable = call(host.app, "/x")
    chunks = iter(iterable)
    assert next(chunks) == b"one"
    assert host.rows() == []
    assert list(chunks) == [b"three"]
    iterable.close()
    row = host.row()
    assert (row["size"], row["status_code"], row["exception"]) == (8, 200, None)
    assert body.closed == 1


def test_a_stream_that_is_read_but_not_closed(host: Host) -> None:
    """The row is there when the body has ended, even if the server never closes it."""
    serve(host, Body(b"one"))
    assert list(call(host.app, "/x")) == [b"one"]
    assert host.row()["size"] == 3


def test_a_stream_is_recorded_once(host: Host) -> None:
    """Reading on after the end and closing twice add no row."""
    serve(host, Body(b"one"))
    iterable = call(host.app, "/x")
    chunks = iter(iterable)
    assert list(chunks) == [b"one"]
    assert list(chunks) == []
    iterable.close()
    iterable.close()
    assert host.row()["size"] == 3


def test_a_stream_that_raises(host: Host) -> None:
    """A failing generator gives one row with its exception, and the server gets it."""
    body = Body(b"one", error=ValueError("boom"))
    serve(host, body)
    iterable = call(host.app, "/x")
    chunks = iter(iterable)
    next(chunks)
    with pytest.raises(ValueError, match="boom"):
        next(chunks)
    iterable.close()
    row = host.row()
    assert (row["size"], row["exception"]) == (3, "ValueError('boom')")
    assert body.closed == 1


def test_a_stream_that_raises_at_once(host: Host) -> None:
    """A generator that fails before its first chunk gives one row."""
    serve(host, Body(error=ValueError("boom")))
    iterable = call(host.app, "/x")
    with pytest.raises(ValueError, match="boom"):
        list(iterable)
    iterable.close()
    row = host.row()
    assert (row["size"], row["exception"]) == (0, "ValueError('boom')")


def test_a_client_that_goes_away(host: Host) -> None:
    """A stream that is closed early is recorded with what was sent."""
    body = Body(b"one", b"three")
    serve(host, body)
    iterable = call(host.app, "/x")
    next(iter(iterable))
    iterable.close()
    row = host.row()
    assert (row["size"], row["status_code"], row["exception"]) == (3, 200, None)
    assert body.closed == 1


def test_a_client_that_goes_away_before_the_first_byte(host: Host) -> None:
    """A stream that was never begun is recorded when it is closed."""
    body = Body(b"one")
    serve(host, body)
    call(host.app, "/x").close()
    row = host.row()
    assert (row["size"], row["status_code"]) == (0, 200)
    assert body.closed == 1


def test_a_generator_that_is_closed_early_runs_its_finally(host: Host) -> None:
    """The host's generator is closed as without us."""
    closed = []

    def generate() -> Iterator[str]:
        try:
            yield "one"
            yield "two"
        finally:
            closed.append(True)

    serve(host, generate())
    iterable = call(host.app, "/x")
    next(iter(iterable))
    iterable.close()
    assert closed == [True]
    assert host.row()["size"] == 3


def test_a_body_whose_close_fails(host: Host) -> None:
    """A failing close() reaches the server, and the row is there once."""

    class Failing(Body):
        def close(self) -> None:
            raise ValueError("boom")

    serve(host, Failing(b"one"))
    iterable = call(host.app, "/x")
    list(iterable)
    with pytest.raises(ValueError, match="boom"):
        iterable.close()
    assert host.row()["size"] == 3


def test_call_on_close(host: Host) -> None:
    """Functions of response.call_on_close run once."""
    closed = []

    def view() -> flask.Response:
        response = flask.Response(iter(["one"]))
        response.call_on_close(lambda: closed.append(True))
        return response

    host.app.add_url_rule("/x", view_func=view)
    host.open("/x")
    assert closed == [True]
    assert host.row()["size"] == 3


def test_the_size_of_text_is_counted_in_bytes(host: Host) -> None:
    """A stream of text counts as it is encoded."""
    serve(host, iter(["ä", "€"]))
    host.open("/x")
    assert host.row()["size"] == 5


def test_a_stream_counts_although_a_length_was_promised(host: Host) -> None:
    """Of a stream what was sent counts, not its Content-Length."""
    serve(host, Body(b"one", b"two"), headers={"Content-Length": "6"})
    iterable = call(host.app, "/x")
    next(iter(iterable))
    iterable.close()
    assert host.row()["size"] == 3


def test_the_time_of_a_stream_includes_its_making(host: Host) -> None:
    """response_time of a stream lasts until its end."""

    def generate() -> Iterator[str]:
        began = time.perf_counter()
        while time.perf_counter() < began + 0.02:
            pass
        yield "slow"

    serve(host, generate())
    host.open("/x")
    assert host.row()["response_time"] >= 0.02


def test_head_of_a_stream(host: Host) -> None:
    """HEAD never starts the generator; its row has size 0."""
    body = Body(b"one")
    serve(host, body)
    host.open("/x", method="HEAD")
    row = host.row()
    assert (row["method"], row["size"], row["status_code"]) == ("HEAD", 0, 200)
    assert list(body) == [b"one"]


def test_the_buffered_test_client(host: Host) -> None:
    """A client that reads and closes at once gets one row."""
    serve(host, Body(b"one", b"two"))
    assert host.app.test_client().get("/x", buffered=True).data == b"onetwo"
    assert host.row()["size"] == 6


def test_the_test_client_that_reads_later(host: Host) -> None:
    """The row comes when the test reads the data."""
    serve(host, Body(b"one", b"two"))
    response = host.app.test_client().get("/x")
    assert response.data == b"onetwo"
    assert host.row()["size"] == 6
    response.close()
    assert host.row()["size"] == 6


def test_stream_with_context(host: Host) -> None:
    """A generator that keeps the request's context gives one row, at its end."""

    def generate() -> Iterator[str]:
        yield flask.request.args["name"]
        yield "!"

    host.app.add_url_rule("/x", "x", lambda: flask.Response(stream_with_context(generate())))
    assert host.open("/x?name=you").data == b"you!"
    row = host.row()
    assert (row["size"], row["query_string"]) == (4, "name=you")


def test_stream_with_context_that_raises(host: Host) -> None:
    """A generator that fails inside the kept context gives one row."""

    def generate() -> Iterator[str]:
        yield "one"
        raise ValueError("boom")

    host.app.add_url_rule("/x", "x", lambda: flask.Response(stream_with_context(generate())))
    with pytest.raises(ValueError, match="boom"):
        host.open("/x")
    row = host.row()
    assert (row["size"], row["exception"]) == (3, "ValueError('boom')")


def test_stream_with_context_that_is_closed_early(host: Host) -> None:
    """A client that goes away from a generator with context gives one row."""

    def generate() -> Iterator[str]:
        yield "one"
        yield "two"

    host.app.add_url_rule("/x", "x", lambda: flask.Response(stream_with_context(generate())))
    iterable = call(host.app, "/x")
    next(iter(iterable))
    iterable.close()
    assert host.row()["size"] == 3


def test_a_stream_of_a_failed_request(host: Host) -> None:
    """An error page that is streamed keeps the exception of the view."""

    def view() -> str:
        raise ValueError("boom")

    host.app.register_error_handler(
        ValueError, lambda error: (flask.Response(iter(["sorry"])), 500)
    )
    host.app.add_url_rule("/x", view_func=view)
    host.open("/x")
    row = host.row()
    assert (row["exception"], row["size"], row["status_code"]) == ("ValueError('boom')", 5, 500)


def test_a_stream_whose_teardown_fails(host: Host) -> None:
    """The context of a stream ends before its body; a failing teardown is one row."""

    def teardown(error: BaseException | None) -> None:
        raise KeyError("teardown")

    host.app.teardown_request(teardown)
    serve(host, Body(b"one"))
    with pytest.raises(KeyError):
        call(host.app, "/x")
    row = host.row()
    assert (row["status_code"], row["exception"]) == (500, "KeyError('teardown')")


def test_two_streams_at_once(host: Host) -> None:
    """Streams that are sent at the same time count for themselves."""
    host.app.add_url_rule("/<int:n>", "x", lambda n: flask.Response(iter(["a" * n] * 3)))
    first, second = call(host.app, "/1"), call(host.app, "/2")
    a, b = iter(first), iter(second)
    next(a), next(b), next(b)
    list(b)
    list(a)
    first.close()
    second.close()
    assert {row["path"]: row["size"] for row in host.rows()} == {"/1": 3, "/2": 6}


@pytest.mark.parametrize("sync", [True, False])
def test_a_stream_is_stored_however_rows_are(make_host: MakeHost, sync: bool) -> None:
    """STATISTICS_SYNC has rows of streams too."""
    host = make_host(settings={"STATISTICS_SYNC": sync})
    serve(host, Body(b"one"))
    host.open("/x")
    assert host.row()["size"] == 3


# Bodies known in full


@pytest.mark.parametrize("body", ["text", b"bytes", ["a", "b"], ("a", "b"), [], ""])
def test_a_body_known_in_full(host: Host, body: Any) -> None:
    """Strings and lists are recorded when their context ends, unread."""
    serve(host, body)
    bare = flask.Response(body)
    expected = sum(len(part.encode() if isinstance(part, str) else part) for part in bare.response)
    iterable = call(host.app, "/x")
    assert host.row()["size"] == expected
    iterable.close()
    assert len(host.rows()) == 1


def test_a_list_body_is_not_wrapped(host: Host) -> None:
    """The server gets the same kind of iterable as without us."""
    serve(host, ["a", "b"])
    bare = flask.Flask("bare")
    bare.add_url_rule("/x", "x", lambda: flask.Response(["a", "b"]))
    with_us, without = call(host.app, "/x"), call(bare, "/x")
    assert type(with_us) is type(without)
    with_us.close()
    without.close()


class Sendfile:
    """The server's own wrapper of files."""

    def __init__(self, file: Any, size: int = 8192) -> None:
        self.file = file

    def close(self) -> None:
        self.file.close()


def test_a_file_keeps_the_servers_sendfile(host: Host, tmp_path: Path) -> None:
    """A file's iterable is the server's file_wrapper itself; its size is Content-Length."""
    (tmp_path / "a.bin").write_bytes(b"x" * 1000)
    host.app.add_url_rule("/x", "x", lambda: send_file(tmp_path / "a.bin"))
    iterable = call(host.app, "/x", **{"wsgi.file_wrapper": Sendfile})
    assert type(iterable) is Sendfile
    row = host.row()
    assert (row["size"], row["status_code"]) == (1000, 200)
    iterable.close()
    assert len(host.rows()) == 1


def test_a_file_in_memory(host: Host) -> None:
    """send_file of a BytesIO is recorded once, with its length where Flask knows it."""
    host.app.add_url_rule("/x", "x", lambda: send_file(BytesIO(b"12345"), "text/plain"))
    assert host.open("/x").data == b"12345"
    row = host.row()
    assert (row["size"], row["mimetype"]) == (5, "text/plain")


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_a_body(host: Host, status: int) -> None:
    """204 and 304 have size 0, whatever the view put in."""
    host.app.add_url_rule("/x", "x", lambda: ("ignored", status))
    host.open("/x")
    assert host.row()["size"] == 0


@pytest.mark.parametrize("status", [204, 304])
def test_streams_without_a_body(host: Host, status: int) -> None:
    """204 and 304 of a stream are recorded once, with size 0."""
    host.app.add_url_rule("/x", "x", lambda: (iter(["ignored"]), status))
    host.open("/x")
    assert host.row()["size"] == 0


def test_the_conditional_etag_of_a_view(host: Host) -> None:
    """A view that answers conditionally is a 304 without bytes, with its own type."""

    def view() -> flask.Response:
        response = flask.make_response("body")
        response.add_etag()
        response.make_conditional(flask.request)
        return response

    host.app.add_url_rule("/x", view_func=view)
    etag = host.open("/x").headers["ETag"]
    assert host.open("/x", headers={"If-None-Match": etag}).status_code == 304
    first, second = host.rows()
    assert (first["size"], first["mimetype"]) == (4, "text/html")
    assert (second["size"], second["mimetype"]) == (0, "text/html")


def test_the_time_of_a_list_excludes_its_sending(host: Host) -> None:
    """response_time of a known body ends when the body is about to go to the server."""
    serve(host, ["a", "b"])
    iterable = call(host.app, "/x")
    recorded = host.row()["response_time"]
    began = time.perf_counter()
    while time.perf_counter() < began + 0.05:
        pass
    list(iterable)
    iterable.close()
    assert host.row()["response_time"] == recorded


def test_run_wsgi_app_with_a_lazy_start(host: Host) -> None:
    """start_response is called by the app itself, before the body is read."""
    serve(host, Body(b"one"))
    builder = EnvironBuilder("/x")
    body, status, headers = run_wsgi_app(host.app, builder.get_environ())
    builder.close()
    assert status == "200 OK"
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert b"".join(body) == b"one"
    assert host.row()["size"] == 3
