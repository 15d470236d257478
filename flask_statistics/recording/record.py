"""What goes through the queue: one flat tuple of plain values for each request.

Strings are as the server handed them over, empty or None where there was none: WSGI strings hold
bytes as Latin-1. They are cut to :data:`LONGEST` at capture, so that the queue's memory is
bounded, and decoded, cleaned and parsed on the background thread. Plain tuples of strings and
numbers, because whatever else waits in the queue makes the garbage collector visit it again and
again.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from operator import itemgetter
from typing import Any, NamedTuple

#: The names of the values of a record, in their order.
RECORD = (
    "date",  # seconds since the epoch
    "response_time",  # seconds
    "method",
    "script_name",
    "path",
    "query_string",
    "status_code",
    "content_type",
    "size",  # bytes
    "remote_address",
    "user_agent",
    "referrer",
    "accept_language",
    "scheme",
    "host",
    "xforwardedfor",
    "authorization",
    "request_id",
    "endpoint",
    "route",
    "view_args",  # ((name, value), …)
    "exception",
    "username",
    "track_var",  # JSON
    "db_queries",
    "db_time",  # seconds
    "fields",  # the values of the host's field functions
)

#: Characters kept of each string of a record.
LONGEST = 4096

Record = tuple[Any, ...]
#: Stands in the place of a request's id where none shall be stored; no header can hold it.
WITHHELD = "\0"
#: What a host's X-Request-ID may look like.
HARMLESS_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,64}")


class Tracked(NamedTuple):
    """The events that were tracked in a request, the fifth value of what was captured of it.

    :ivar request_id: what the request is called where it brought no harmless name.
    :ivar alone: whether the request itself is not to be stored: it was before, or there is none.
    """

    events: tuple[Any, ...]
    request_id: str | None = None
    alone: bool = False


class TrackedRecord(tuple[Any, ...]):
    """A record with the events of its request; empty where they happened outside of requests."""

    tracked: Tracked

    def __new__(cls, record: Iterable[Any], tracked: Tracked) -> TrackedRecord:
        self = super().__new__(cls, record)
        self.tracked = tracked
        return self


#: Where the strings of a record stand in environ, and the columns that are made of them.
_ENVIRON = {
    "method": ("REQUEST_METHOD", "method"),
    "script_name": ("SCRIPT_NAME", "url"),
    "path": ("PATH_INFO", "path url"),
    "query_string": (
        "QUERY_STRING",
        "query_string url_args url utm_source utm_medium utm_campaign utm_term utm_content",
    ),
    "remote_address": ("REMOTE_ADDR", "remote_address visitor visit"),
    "user_agent": (
        "HTTP_USER_AGENT",
        "user_agent browser browser_version platform platform_version device bot visitor visit",
    ),
    "referrer": ("HTTP_REFERER", "referrer source"),
    "accept_language": ("HTTP_ACCEPT_LANGUAGE", "language"),
    "scheme": ("wsgi.url_scheme", "url"),
    "host": ("HTTP_HOST", "host url source visitor visit"),
    "server_name": ("SERVER_NAME", "host url source visitor visit"),
    "server_port": ("SERVER_PORT", "host url source visitor visit"),
    "xforwardedfor": ("HTTP_X_FORWARDED_FOR", "xforwardedfor"),
    "request_id": ("HTTP_X_REQUEST_ID", "request_id"),
}
_HEAD = (
    "date",
    "response_time",
    "status_code",
    "content_type",
    "size",
    "endpoint",
    "route",
    "view_args",
    "authorization",
)
#: How many values stand before the texts where the date and the time are not among them yet.
HEAD = len(_HEAD) - 2
_SAID = ("exception", "username", "track_var", "db_queries", "db_time", "fields")
_NOTHING_SAID = (None, None, None, 0, 0.0, ())


def cut(texts: Iterable[str | None]) -> tuple[str, ...]:
    """Cut each text that is longer than any real one; what is not known becomes empty."""
    return tuple((text or "")[:LONGEST] for text in texts)


class Captured:
    """How a request is captured for one model: no more than its columns need.

    The serving thread puts ``(date, response_time, (*head, *texts), said)`` into the queue, and
    behind it :class:`Tracked` where there were events; :meth:`record` makes a record of it on
    the background thread.

    :ivar keys: where the texts stand in environ.
    :ivar blanks: what stands for those that are not there.
    """

    def __init__(self, columns: Collection[str]) -> None:
        texts = [
            name
            for name, (_, needed) in _ENVIRON.items()
            if not {*needed.split()}.isdisjoint(columns)
        ]
        self.keys = tuple(_ENVIRON[name][0] for name in texts)
        self.blanks = ("",) * len(texts)
        names = (*_HEAD, *texts, *_SAID, "nothing")
        order = (*RECORD, "server_name", "server_port")
        missing = len(names) - 1
        self._ordered = itemgetter(*(names.index(n) if n in names else missing for n in order))
        self._host, self._id = RECORD.index("host"), RECORD.index("request_id")

    def record(self, captured: tuple[Any, ...]) -> Record:
        """Return the record of what was captured; behind it stand two values that nobody reads."""
        if len(captured) > 4:
            return self._tracked(captured[:-1], captured[-1])
        date, seconds, values, said = captured
        record: Record = self._ordered((date, seconds, *values, *(said or _NOTHING_SAID), None))
        if record[self._host] or not record[-2]:
            return record
        host = f"{record[-2]}:{record[-1]}"
        return (*record[: self._host], host, *record[self._host + 1 :])

    def _tracked(self, captured: tuple[Any, ...], tracked: Tracked) -> TrackedRecord:
        if not captured[2]:
            return TrackedRecord((), tracked)
        record = [*self.record(captured)]
        if record[self._id] != WITHHELD and not HARMLESS_ID.fullmatch(record[self._id] or ""):
            record[self._id] = tracked.request_id
        return TrackedRecord(record, tracked)
