"""The heart: how exactly one record is made of each request.

Hooks alone miss requests (an earlier ``before_request`` that answers, an ``after_request`` that
raises), middleware alone knows neither rule nor exception. So four methods of the app object are
wrapped, each for the cases that only it sees:

1. ``wsgi_app``: every request begins and ends here; it holds the clock, counts streamed bodies,
   and sees what fails after a response was made (a teardown function).
2. ``full_dispatch_request``: returns the response of every request that none of the host's code
   failed in, after all ``after_request`` functions, while the context, the rule and the user are
   known, and before middleware can hide the response. What passes here as an exception that is
   no ``Exception`` (``SystemExit`` in a view) passes none of the following.
3. ``handle_exception``: exceptions that nothing handled, in a view or any hook, a failing
   ``open_session`` included; returns the response to them, or raises again (``debug``,
   ``testing``, ``PROPAGATE_EXCEPTIONS``), and then there is no response anywhere.
4. ``handle_user_exception``: exceptions that an error handler of the host turns into a response.

A request that middleware answers before Flask passes 1 but neither 2 nor 3: no record. A context
that was pushed by hand does not pass 1: no record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from time import perf_counter, time
from typing import TYPE_CHECKING, Any

from flask import Flask, request
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.wsgi import ClosingIterator

from .excluding import Exclusion, Selection
from .host_values import HostValues
from .matching import match
from .plain import plain_pairs
from .record import LONGEST, Tracked, cut
from .trace import STATUS, Stream, Trace, is_lazy
from .troubles import Troubles
from .wishes import Withholding, asks_for_privacy

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

    from ..state import State

_BODILESS = frozenset((204, 304))
_current_request = request._get_current_object  # type: ignore[attr-defined]


def install(app: Flask, state: State) -> None:
    """Wrap the four methods of ``app``.

    Arguments are passed on as they come: newer releases of Flask pass the context, too.
    """
    capture = _Capture(app, state)
    key, note, keep = capture.key, capture.note, capture.keep
    serve, dispatch = app.wsgi_app, app.full_dispatch_request
    handle, handle_user = app.handle_exception, app.handle_user_exception

    def wsgi_app(environ: Any, start_response: Any) -> Iterable[bytes]:
        trace = environ[key] = Trace()
        trace.date = time()
        trace.began = perf_counter()
        try:
            body = serve(environ, start_response)
        except BaseException as error:
            capture.failed(trace, error)
            raise
        if trace.values is None:
            # The debugger and other middleware call the app when they are iterated.
            lazy = not trace.noted and is_lazy(body, environ)
            return Stream(body, trace, keep) if lazy else body
        if trace.streamed:
            return Stream(body, trace, keep)
        keep(trace)
        return body

    def full_dispatch_request(*arguments: Any) -> Response:
        try:
            response = dispatch(*arguments)
        except Exception:
            raise  # to handle_exception
        except BaseException as error:
            capture.raised(error)
            note(None)
            raise
        note(response)
        return response

    def handle_exception(*arguments: Any) -> Response:
        capture.raised(arguments[-1])
        try:
            response = handle(*arguments)
        except BaseException:
            note(None)
            raise
        note(response)
        return response

    def handle_user_exception(*arguments: Any) -> Any:
        capture.raised(arguments[-1])
        return handle_user(*arguments)

    # To a type checker these are methods of the class, not of the app.
    wrapped: Any = app
    wrapped.wsgi_app = wsgi_app
    wrapped.full_dispatch_request = full_dispatch_request
    wrapped.handle_exception = handle_exception
    wrapped.handle_user_exception = handle_user_exception
    if state.model.has("db_queries") or state.model.has("db_time"):
        capture.count_statements()


class _Capture:
    """Reads, in the request's context, what only the request knows."""

    def __init__(self, app: Flask, state: State) -> None:
        self.key = state.key
        self._app = app
        self._state = state
        self._put = state.recorder.put
        self._kept = Selection(app, state)
        self._keys, self._blanks = state.captured.keys, state.captured.blanks
        self._withhold = Withholding(self._keys).withhold
        self._fields = state.declarations.fields
        self._trouble = Troubles().exception
        self._excluded = Exclusion(app, state, self._trouble)
        self._may_disable = self._excluded.may_hold
        self._anonymises = state.config.respect_dnt == "anonymise"
        self._reads_user = state.model.has("username")
        host_values = HostValues(app, state, self._trouble)
        self._take_from_host, self._has_user = host_values.take, host_values.has_user

    # ---- 2 and 3: with the response ------------------------------------------------------

    def note(self, response: Response | None) -> None:
        """Take what the request and its response say; once a request, in its context.

        One long function on purpose: a call in it costs more than most of its lines.
        """
        try:
            # One look-up: each attribute of the proxy costs as much as ten of the lines below.
            now = _current_request()
            environ = now.environ
            trace = environ.get(self.key)
            if trace is None or trace.noted:
                return  # a context pushed by hand
            trace.noted = True
            rule, arguments = now.url_rule, now.view_args
            if rule is None:
                if self._is_own_path(now.path):
                    return
                rule, arguments = self._match_again(now)
            elif rule.arguments and rule.arguments - arguments.keys():
                # A preprocessor of the host took some away; they may be secret.
                arguments = self._match_again(now)[1] or arguments
            endpoint = None if rule is None else rule.endpoint
            if not self._kept[endpoint] or (
                self._may_disable and self._excluded.holds(now.path, environ)
            ):
                return
            texts = tuple(map(environ.get, self._keys, self._blanks))
            try:  # one look at all of them
                if len("".join(texts)) > LONGEST:
                    texts = cut(texts)
            except TypeError:  # a server that has None for what it does not know
                texts = cut(texts)
            status, content_type, length, size = 500, None, None, None
            if response is not None:
                status = response.status_code
                for name, value in response.headers:
                    if name == "Content-Type":
                        content_type = value
                    elif name == "Content-Length":
                        length = value
                body = response.response
                if (
                    status == 200
                    and type(body) is list
                    and len(body) == 1
                    and type(body[0]) is bytes
                    and environ["REQUEST_METHOD"] != "HEAD"
                ):
                    size = len(body[0])
                else:
                    size = self._size(trace, environ, response, length)
            trace.values = (
                status,
                content_type,
                size,
                endpoint,
                None if rule is None else rule.rule,
                plain_pairs(arguments) if arguments else None,
                "HTTP_AUTHORIZATION" in environ,
                *texts,
            )
            if (
                trace.variables is not None
                or self._fields
                or (self._reads_user and self._has_user(environ))
            ):
                self._take_from_host(trace)
            if self._anonymises and asks_for_privacy(environ):
                self._withhold(trace)
        except Exception:
            self._trouble("A request was not recorded, because its values could not be read")

    def _size(
        self, trace: Trace, environ: Any, response: Response, length: str | None
    ) -> int | None:
        """Return the bytes of the body; decide whether they must be counted while it is sent."""
        status, body = response.status_code, response.response
        if status in _BODILESS or status < 200 or environ["REQUEST_METHOD"] == "HEAD":
            return 0
        # A file, or the page of an HTTPException: Werkzeug runs that as an app of its own and
        # wraps the list that it gave.
        whole = response.direct_passthrough or isinstance(body, ClosingIterator)
        if whole and length and length.isdigit():
            return int(length)
        if isinstance(body, list | tuple):
            return sum(map(_length, body))
        trace.streamed = True
        return 0

    def _match_again(self, now: Any) -> tuple[Any, Mapping[str, Any] | None]:
        """Return the rule where Flask did not match one, and arguments, to find secrets in them.

        Flask did not get so far where a session could not be opened. Of a URL that was refused
        for its method or redirected to its slash the arguments are known, but no rule matched.
        """
        if isinstance(now.routing_exception, NotFound):
            return None, None
        try:
            adapter = self._app.create_url_adapter(now)
        except HTTPException:  # a host that is not trusted
            return None, None
        found = match(adapter) if adapter is not None else None
        if found is None:
            return None, None
        rule, arguments = found
        return (rule if now.routing_exception is None else None), arguments

    def _is_own_path(self, path: str) -> bool:
        """Whether a URL without a rule is below ours: a redirect to its slash, a 405."""
        if self._state.config.record_own_pages:
            return False
        return any(path == own or path.startswith(own + "/") for own in self._state.own_paths)

    # ---- 1: the end ----------------------------------------------------------------------

    def keep(self, trace: Trace) -> None:
        """Hand the finished record over."""
        try:
            trace.kept = True
            said = trace.what_was_said() if trace.said else None
            seconds = perf_counter() - trace.began
            if trace.events is None:
                self._put((trace.date, seconds, trace.values, said))
            else:
                tracked = Tracked(trace.kept_events(), trace.request_id)
                self._put((trace.date, seconds, trace.values, said, tracked))
        except Exception:
            self._trouble("A request was not recorded")

    def failed(self, trace: Trace, error: BaseException) -> None:
        """Record a request whose exception leaves the app, whatever was answered before."""
        try:
            if trace.values is None:
                return
            if trace.exception is None:
                trace.raised(error)
            trace.replace(STATUS, 500)
            self.keep(trace)
        except Exception:
            self._trouble("A failing request was not recorded")

    # ---- 2, 3 and 4: exceptions -------------------------------------------------------------

    def raised(self, error: BaseException) -> None:
        """Remember the exception of the current request; abort() is none."""
        if isinstance(error, HTTPException):
            return
        try:
            trace = request.environ.get(self.key)
            if trace is not None:
                trace.raised(error)
        except Exception:
            self._trouble("An exception of a request was not recorded")

    def count_statements(self) -> None:
        """Count the statements of each request on the engines of the host's db."""
        from .statements import count_statements

        with self._app.app_context():
            for engine in self._app.extensions["sqlalchemy"].engines.values():
                count_statements(engine, self.key)


def _length(chunk: Any) -> int:
    return len(chunk.encode() if isinstance(chunk, str) else chunk)
