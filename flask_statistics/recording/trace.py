"""What is known of one request while it is served, and the body that is still being sent."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from types import FunctionType, GeneratorType
from typing import Any

from .event import LONGEST_EVENTS, MOST_EVENTS, Event
from .plain import describe

#: Places in :attr:`Trace.values`.
STATUS, SIZE = 0, 2


class Trace:
    """What is known of one request while it is served."""

    date = 0.0
    began = 0.0
    noted = False
    streamed = False
    #: From the status on, see :class:`~.record.Captured`; None where none shall be kept.
    values: tuple[Any, ...] | None = None
    #: Whether one of the following was set.
    said = False
    exception: str | None = None
    username: str | None = None
    #: What the view put into ``g.track_var``, and its JSON.
    variables: Any = None
    track_var: str | None = None
    queries = 0
    seconds = 0.0
    fields: tuple[Any, ...] = ()
    #: The events that were tracked in it, and what it is called where they need a name for it.
    events: list[Event] | None = None
    #: The characters of the events, and whether one found no room, so that none is taken any more.
    length = 0
    full = False
    request_id: str | None = None
    #: Whether nothing that can tell about a person is to be kept of it.
    anonymous = False
    #: Whether the record was handed over, so that what comes now comes too late for it.
    kept = False

    def track(self, event: Event) -> bool:
        """Keep an event with the request; return whether there was room."""
        if self.events is None:
            self.events, self.request_id = [], f"{random.getrandbits(64):016x}"
        self.length += event.length
        if len(self.events) >= MOST_EVENTS or self.length > LONGEST_EVENTS:
            self.full = True
            return False
        self.events.append(event)
        return True

    def kept_events(self) -> tuple[Event, ...]:
        return tuple(e.anonymous() if self.anonymous else e for e in self.events or ())

    def raised(self, error: BaseException) -> None:
        self.said = True
        self.exception = describe(error)

    def what_was_said(self) -> tuple[Any, ...]:
        return (
            self.exception, self.username, self.track_var, self.queries, self.seconds, self.fields
        )  # fmt: skip

    def replace(self, place: int, value: Any) -> None:
        if self.values is not None:
            self.values = (*self.values[:place], value, *self.values[place + 1 :])


class Stream:
    """A body that is generated while it is sent: counted, recorded when it has ended.

    A class, since closing a generator that was not started runs nothing.
    """

    def __init__(self, body: Iterable[bytes], trace: Trace, keep: Callable[[Trace], None]) -> None:
        self._body = body
        self._chunks = iter(body)
        self._trace: Trace | None = trace
        self._keep = keep
        self._size = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            chunk = next(self._chunks)
        except StopIteration:
            self._end()
            raise
        except BaseException as error:
            self._fail(error)
            raise
        self._size += len(chunk)
        return chunk

    def close(self) -> None:
        """Close the body; a client that went away ends the record here."""
        close = getattr(self._body, "close", None)
        try:
            if close is not None:
                close()
        finally:
            self._end()

    def _fail(self, error: BaseException) -> None:
        if self._trace is not None:
            self._trace.raised(error)
            if not self._size:  # nothing was sent yet, so the server answers 500
                self._trace.replace(STATUS, 500)
        self._end()

    def _end(self) -> None:
        trace, self._trace = self._trace, None
        if trace is not None and trace.values is not None:
            if trace.streamed:
                trace.replace(SIZE, self._size)
            self._keep(trace)


def is_lazy(body: Iterable[bytes], environ: Any) -> bool:
    """Whether code in Python makes the body while it is sent; a server's own file is none."""
    wrapper = environ.get("wsgi.file_wrapper")
    if isinstance(wrapper, type) and isinstance(body, wrapper):
        return False
    return isinstance(body, GeneratorType) or isinstance(
        getattr(type(body), "__next__", None), FunctionType
    )
