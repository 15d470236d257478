"""Lines of Apache's and nginx's access logs → records.

The common, combined and vhost_combined formats of Apache
(https://httpd.apache.org/docs/2.4/logs.html), nginx's ``combined`` and its packaged ``main``
(combined and X-Forwarded-For), each with the request's time appended or not.
"""

from __future__ import annotations

import re
from datetime import date, datetime, tzinfo
from datetime import timezone as fixed_zone
from typing import Any, NamedTuple
from urllib.parse import unquote

from ..recording.record import LONGEST, RECORD, Record
from .media_types import guess_media_type

#: Bytes of a line, its end not included. Servers refuse longer requests by far.
LONGEST_LINE = 65_536

# What Apache and nginx escape cannot end a quoted value. Without alternatives that overlap:
# time grows with the length of a line, whatever stands in it.
_QUOTED = r'"([^"\\]*(?:\\.[^"\\]*)*)'
_LINE = re.compile(
    r"(\S+) (\S+) (.*?) ?"
    r"\[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d):(\d\d)(?: ([+-]\d{4}))?\] "
    rf'{_QUOTED}" (\d{{3}}|-) (\d{{1,18}}|-)'
    # A line whose end was lost in its last value, the user agent, is still told apart.
    rf'(?: {_QUOTED}" {_QUOTED}("|\\?\Z)(?: (\S.*))?| ([^"\s].*|"[\d.]+"|"-".*))?\s*',
    re.DOTALL,
)
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_EPOCH = date(1970, 1, 1).toordinal()
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|.)", re.DOTALL)
_CONTROL = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "v": "\v", "f": "\f"}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?]*")
_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}|(?=[^:]*:[^:]*:)[0-9A-Fa-f:.]+(?:%\w+)?")
_VIRTUAL_HOST = re.compile(r"(?:[^\s:\[\]]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}")
_CLIENT = r"(?:\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?|\[?[0-9A-Fa-f]*:[0-9A-Fa-f:.]+(?:\]:\d+)?|unknown)"
_FORWARDED = re.compile(rf'"({_CLIENT}(?:, ?{_CLIENT})*|-)"')
_SECONDS = re.compile(r'(?:^|[\s="])(\d{1,9}\.\d{1,9})(?=$|[\s",])')
_MICROSECONDS = re.compile(r'(?:^|.*\s)(?:\w+=)?"?(\d{1,15})"?', re.DOTALL)
#: Distinct requests and minutes whose meaning is remembered.
_REMEMBERED = 8192


class _Request(NamedTuple):
    method: str | None
    path: str | None
    query_string: str
    media_type: str | None


class LineParser:
    """Parses the lines of one log.

    :param host: the host of lines that name none.
    :param zone: the time zone of lines whose time has no offset.
    :param host_fields: how many columns functions of the host fill; no log holds them.
    """

    def __init__(
        self, host: str | None = None, zone: tzinfo = fixed_zone.utc, host_fields: int = 0
    ) -> None:
        self._host = host
        self._zone = zone
        self._fields = (None,) * host_fields
        self._minutes: dict[tuple[str, str | None], int | None] = {}
        self._requests: dict[str, _Request] = {}

    def parse(self, line: bytes) -> Record | None:
        """Return the record of a line without its end, or None for what is no such line.

        Its ``date`` is in whole seconds. A request that is no HTTP (a TLS greeting sent to the
        plain port, ``-``) has neither method nor path, but is a hit that the server answered.
        """
        match = _LINE.fullmatch(line.decode("latin-1")) if len(line) <= LONGEST_LINE else None
        if match is None:
            return None
        address, second, user, minute, seconds, offset, request, status, size = match.groups()[:9]
        referrer, user_agent, _, *tails = match.groups()[9:]
        tail = tails[0] or tails[1]
        begins = self._minutes.get((minute, offset)) or self._begin_of(minute, offset)
        if begins is None or seconds > "60":
            return None
        host, scheme = self._host, "http"
        if user != "-":
            host, scheme, address, user = self._name_parts(address, second, user)
        response_time, forwarded = _read_tail(tail) if tail else (None, None)
        asked = self._requests.get(request) or self._read_request(request)
        return (
            float(begins + int(seconds)),
            response_time,
            asked.method,
            "",
            asked.path,
            asked.query_string,
            int(status) if status != "-" else None,
            asked.media_type,
            int(size) if size != "-" else 0,
            address[:LONGEST],
            None if user_agent is None or user_agent == "-" else _unescape(user_agent),
            None if referrer is None or referrer == "-" else _unescape(referrer),
            None,
            scheme,
            host,
            forwarded,
            True if user != "-" else None,
            None,
            None,
            None,
            None,
            None,
            _unescape(user) if user != "-" else None,
            None,
            None,
            None,
            self._fields,
        )

    def _begin_of(self, minute: str, offset: str | None) -> int | None:
        """Return the seconds since the epoch at which a minute of the log begins."""
        if len(self._minutes) >= _REMEMBERED:
            self._minutes.clear()
        begins = self._minutes[minute, offset] = _parse_minute(minute, offset, self._zone)
        return begins

    def _read_request(self, request: str) -> _Request:
        if len(self._requests) >= _REMEMBERED:
            self._requests.clear()
        asked = _parse_request(_ESCAPE.sub(_unescape_one, request))
        if len(request) <= LONGEST:
            self._requests[request] = asked
        return asked

    def _name_parts(self, first: str, second: str, user: str) -> tuple[str | None, str, str, str]:
        """Return host, scheme, address and user: a virtual host may stand before the address.

        It does where an address, which no identd answers, follows it, or where it has a port.
        """
        _, space, rest = user.partition(" ")
        if space and (_ADDRESS.fullmatch(second) or _VIRTUAL_HOST.fullmatch(first)):
            name, _, port = (
                first.rpartition(":") if _VIRTUAL_HOST.fullmatch(first) else (first, "", "")
            )
            host = name if port in {"", "80", "443"} else first
            return host[:LONGEST], "https" if port == "443" else "http", second, rest or "-"
        return self._host, "http", first, "-" if user in {"", '""'} else user


def is_whole(line: bytes, like: bytes | None) -> bool:
    """Whether the last line of a log that ends without a line end has lost nothing.

    A server may be in the middle of writing it: it must be of the same form as the line before.
    """
    match = _LINE.fullmatch(line.decode("latin-1"))
    before = _LINE.fullmatch(like.decode("latin-1")) if like is not None else match
    return match is not None and before is not None and _form(match) == _form(before)


def _form(match: re.Match[str]) -> tuple[Any, ...]:
    return match[11] is None, match[12] == "", match[13] is None, match[14] is None


def _parse_minute(minute: str, offset: str | None, zone: tzinfo) -> int | None:
    try:
        day, month, year = int(minute[:2]), _MONTHS.index(minute[3:6]) + 1, int(minute[7:11])
        hours, minutes = int(minute[12:14]), int(minute[15:17])
        begins = datetime(year, month, day, hours, minutes, tzinfo=zone)
    except ValueError:
        return None
    if not 1970 <= year <= 9998:
        return None
    if offset is None:
        return int(begins.timestamp())
    east = int(offset[1:3]) * 3600 + int(offset[3:5]) * 60
    local = (begins.toordinal() - _EPOCH) * 86_400 + hours * 3600 + minutes * 60
    return local + east if offset[0] == "-" else local - east


def _parse_request(request: str) -> _Request:
    """Split a request line as a WSGI server does (RFC 9112, section 3)."""
    method, _, target = request.partition(" ")
    rest, _, version = target.rpartition(" ")
    if version.startswith("HTTP/"):
        target = rest
    if not _TOKEN.fullmatch(method) or not target:
        return _Request(None, None, "", None)
    absolute = _ABSOLUTE.match(target)
    if absolute:
        target = target[absolute.end() :] or "/"
        target = "/" + target if target.startswith("?") else target
    elif not target.startswith(("/", "*", "?")) and method != "CONNECT":
        return _Request(None, None, "", None)
    path, _, query_string = target.partition("?")
    decoded = unquote(path, "latin-1")[:LONGEST]
    return _Request(method, decoded, query_string[:LONGEST], guess_media_type(decoded))


def _unescape(text: str) -> str:
    r"""Take back ``\"``, ``\\``, ``\n`` and ``\xNN``; cut to what a record holds."""
    if "\\" in text:
        text = _ESCAPE.sub(_unescape_one, text)
    return text[:LONGEST]


def _unescape_one(match: re.Match[str]) -> str:
    escaped = match[1]
    if len(escaped) == 3:
        return chr(int(escaped[1:], 16))
    return _CONTROL.get(escaped, escaped)


def _read_tail(tail: str) -> tuple[float | None, str | None]:
    """Return the seconds of the request and X-Forwarded-For from what follows the formats.

    A number with a fraction is nginx's ``$request_time``, in seconds; a whole number at the end
    is Apache's ``%D``, in microseconds.
    """
    forwarded = _FORWARDED.match(tail)
    if forwarded:
        tail = tail[forwarded.end() :].strip()
    address = forwarded[1][:LONGEST] if forwarded and forwarded[1] != "-" else None
    seconds = _SECONDS.search(tail)
    if seconds:
        return float(seconds[1]), address
    microseconds = _MICROSECONDS.fullmatch(tail.rstrip())
    return (int(microseconds[1]) / 1e6 if microseconds else None), address


assert len(RECORD) == 27  # noqa: S101 - parse() writes a record out value by value
