"""Lines of access logs become records."""

from __future__ import annotations

from collections import Counter
from time import perf_counter
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from flask_statistics.importing.access_log import LONGEST_LINE, LineParser, is_whole
from flask_statistics.importing.media_types import guess_media_type
from flask_statistics.recording.record import LONGEST, RECORD
from tests.sample_log import ADDRESSES, SAMPLE_LINES, STATUSES

COMMON = '192.0.2.7 - - [17/May/2015:10:05:03 +0000] "GET /a/b.png?x=1&y=2 HTTP/1.1" 200 203023'
COMBINED = f'{COMMON} "https://example.org/" "Mozilla/5.0 (X11)"'


def parse(line: str | bytes, **options: Any) -> dict[str, Any]:
    """Return the record of a line that is one, by name."""
    raw = line if isinstance(line, bytes) else line.encode()
    record = LineParser(**options).parse(raw)
    assert record is not None, line
    return dict(zip(RECORD, record, strict=True))


def with_request(request: str) -> str:
    return COMBINED.replace("GET /a/b.png?x=1&y=2 HTTP/1.1", request)


def test_combined_line() -> None:
    """Every part of the combined format stands in its place, what no log holds is None."""
    record = parse(COMBINED)
    given = {name: value for name, value in record.items() if value is not None}
    assert given == {
        "date": 1431857103.0,
        "method": "GET",
        "script_name": "",
        "path": "/a/b.png",
        "query_string": "x=1&y=2",
        "status_code": 200,
        "content_type": "image/png",
        "size": 203023,
        "remote_address": "192.0.2.7",
        "user_agent": "Mozilla/5.0 (X11)",
        "referrer": "https://example.org/",
        "scheme": "http",
        "fields": (),
    }


def test_common_line() -> None:
    """The common format has neither referrer nor user agent."""
    record = parse(COMMON)
    assert (record["referrer"], record["user_agent"]) == (None, None)
    assert (record["path"], record["size"]) == ("/a/b.png", 203023)


def test_sample_log() -> None:
    """The sample's facts, counted by awk, hold, its one line without an end included."""
    parser = LineParser()
    records = [parser.parse(line.rstrip()) for line in SAMPLE_LINES]
    rows = [dict(zip(RECORD, record, strict=True)) for record in records if record]
    assert len(rows) == 10_000
    assert len({row["remote_address"] for row in rows}) == ADDRESSES
    assert Counter(row["status_code"] for row in rows) == STATUSES  # fmt: skip
    assert sorted(Counter(int(row["date"] // 86_400) for row in rows).items()) == [
        (16572, 1632), (16573, 2893), (16574, 2896), (16575, 2579),
    ]  # fmt: skip
    assert sum(row["size"] == 0 for row in rows) >= 669


@pytest.mark.parametrize(
    ("start", "host", "scheme", "address", "user"),
    [
        ("example.org:443 192.0.2.7 - - ", "example.org", "https", "192.0.2.7", None),
        ("example.org:80 192.0.2.7 - - ", "example.org", "http", "192.0.2.7", None),
        ("example.org:8080 2001:db8::1 - ada ", "example.org:8080", "http", "2001:db8::1", "ada"),
        ("example.org 192.0.2.7 - - ", "example.org", "http", "192.0.2.7", None),
        ("example.org:80 pc.example.net - - ", "example.org", "http", "pc.example.net", None),
        ("[2001:db8::2]:443 ::1 - - ", "[2001:db8::2]", "https", "::1", None),
        ("2001:db8::1 - - ", None, "http", "2001:db8::1", None),
        ("::1 - ada lovelace ", None, "http", "::1", "ada lovelace"),
        ("192.0.2.7 - a b c ", None, "http", "192.0.2.7", "a b c"),
        ("192.0.2.7 ident ada ", None, "http", "192.0.2.7", "ada"),
        ('192.0.2.7 - "" ', None, "http", "192.0.2.7", None),
        ("192.0.2.7 -  ", None, "http", "192.0.2.7", None),
        ("pc.example.net - - ", None, "http", "pc.example.net", None),
    ],
)
def test_what_stands_before_the_time(
    start: str, host: str | None, scheme: str, address: str, user: str | None
) -> None:
    """Virtual hosts, IPv6 addresses, host names and users with spaces are told apart."""
    record = parse(start + COMBINED[COMBINED.index("[") :])
    found = (record["host"], record["scheme"], record["remote_address"], record["username"])
    assert found == (host, scheme, address, user)
    assert record["authorization"] is (True if user else None)


def test_user_who_imitates_a_time() -> None:
    """A time and a request in the user's name, whose quotes servers escape, do not count."""
    forged = r"x [01/Jan/2000:00:00:00 +0000] \"GET /forged HTTP/1.1\" 500 1"
    record = parse(COMBINED.replace("- - [", f"- {forged} ["))
    assert (record["date"], record["path"], record["status_code"]) == (
        1431857103.0,
        "/a/b.png",
        200,
    )
    assert record["username"] == forged.replace("\\", "")


@pytest.mark.parametrize(
    ("tail", "seconds"),
    [
        ("0.123", 0.123),
        ("1234", 0.001234),
        ("0", 0.0),
        ("0.005 0.004 .", 0.005),
        ("rt=0.250 uct=0.000", 0.25),
        ("rt=1500", 0.0015),
        ('"0.5"', 0.5),
        ('"198.51.100.9, 192.0.2.1" 0.75', 0.75),
        ('"-" 0.75', 0.75),
        ("gzip", None),
        ("-", None),
        ("9" * 30, None),
        ('"198.51.100.9"', None),
    ],
)
def test_time_of_the_request(tail: str, seconds: float | None) -> None:
    """A fraction is nginx's seconds, a whole number Apache's microseconds."""
    assert parse(f"{COMBINED} {tail}")["response_time"] == seconds
    if "," not in tail and not tail.endswith('.9"'):
        assert parse(f"{COMMON} {tail}")["response_time"] == seconds


def test_forwarded_for() -> None:
    """What nginx's packaged format appends is X-Forwarded-For."""
    assert parse(f'{COMBINED} "198.51.100.9, ::1"')["xforwardedfor"] == "198.51.100.9, ::1"
    assert parse(f'{COMBINED} "-"')["xforwardedfor"] is None
    assert parse(f'{COMBINED} "example.org"')["xforwardedfor"] is None


@pytest.mark.parametrize(
    ("request_line", "method", "path", "query"),
    [
        ("GET / HTTP/2.0", "GET", "/", ""),
        ("GET /", "GET", "/", ""),
        ("GET /a b HTTP/1.1", "GET", "/a b", ""),
        ("GET /caf%C3%A9%2Fx?q=%20 HTTP/1.1", "GET", "/cafÃ©/x", "q=%20"),
        ("GET http://example.org/x?y HTTP/1.1", "GET", "/x", "y"),
        ("GET http://example.org HTTP/1.1", "GET", "/", ""),
        ("GET http://example.org?y HTTP/1.1", "GET", "/", "y"),
        ("GET //evil.example/x HTTP/1.1", "GET", "//evil.example/x", ""),
        ("OPTIONS * HTTP/1.1", "OPTIONS", "*", ""),
        ("CONNECT example.org:443 HTTP/1.1", "CONNECT", "example.org:443", ""),
        ("PROPFIND /dav HTTP/1.1", "PROPFIND", "/dav", ""),
        (r"GET /\"quoted\"\\ HTTP/1.1", "GET", '/"quoted"\\', ""),
        (r"GET /\xe4\t HTTP/1.1", "GET", "/ä\t", ""),
        ("GET /%zz% HTTP/1.1", "GET", "/%zz%", ""),
        ("-", None, None, ""),
        ("", None, None, ""),
        (r"\x16\x03\x01\x02", None, None, ""),
        (r"\x16\x03\x01 \x02 HTTP/1.1", None, None, ""),
        ("GET", None, None, ""),
        ("GET javascript:x HTTP/1.1", None, None, ""),
        (f"{'G' * 33} / HTTP/1.1", None, None, ""),
    ],
)
def test_request_lines(request_line: str, method: str | None, path: str | None, query: str) -> None:
    """A request is split as a WSGI server does; what is no HTTP is a hit all the same."""
    record = parse(with_request(request_line))
    assert (record["method"], record["path"], record["query_string"]) == (method, path, query)
    assert record["status_code"] == 200


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("17/May/2015:10:05:03 +0000", 1431857103),
        ("17/May/2015:12:05:03 +0200", 1431857103),
        ("17/May/2015:04:35:03 -0530", 1431857103),
        ("31/Dec/2016:23:59:60 +0000", 1483228800),
        ("01/Jan/2016:01:00:00 +0200", 1451602800),
        ("29/Feb/2024:00:00:00 +0000", 1709164800),
    ],
)
def test_times(time: str, seconds: int) -> None:
    """Offsets, leap days and leap seconds are counted to UTC."""
    assert parse(COMBINED.replace("17/May/2015:10:05:03 +0000", time))["date"] == seconds


def test_time_without_offset() -> None:
    """A time without an offset is one of the zone that is given; an offset has precedence."""
    bare = COMBINED.replace(" +0000]", "]")
    assert parse(bare)["date"] == 1431857103
    assert parse(bare, zone=ZoneInfo("Europe/Berlin"))["date"] == 1431857103 - 7200
    assert parse(COMBINED, zone=ZoneInfo("Europe/Berlin"))["date"] == 1431857103


def test_host_that_is_given() -> None:
    """The host of the command line is taken where a line names none."""
    assert parse(COMBINED, host="shop.example")["host"] == "shop.example"
    assert parse(f"blog.example:80 {COMBINED}", host="shop.example")["host"] == "blog.example"


def test_fields_of_the_host() -> None:
    """What functions of the host fill is not in a log."""
    assert parse(COMBINED, host_fields=2)["fields"] == (None, None)


@pytest.mark.parametrize(
    "line",
    [
        "",
        " ",
        "hello",
        COMBINED[:60],
        COMBINED[: COMBINED.index(" 200")],
        COMBINED.replace(" 200 ", " two "),
        COMBINED.replace("203023", "9" * 19),
        COMBINED.replace("203023", "-1"),
        COMBINED.replace("May", "Mai"),
        COMBINED.replace("17/May", "31/Feb"),
        COMBINED.replace("2015", "0001"),
        COMBINED.replace("2015", "9999"),
        COMBINED.replace("10:05:03", "24:05:03"),
        COMBINED.replace("10:05:03", "10:05:61"),
        COMBINED.replace("[", "").replace("]", ""),
        '{"time": "2015-05-17"}',
        "#Fields: date time cs-method",
        COMBINED.replace("/a/b", "/" + "a" * LONGEST_LINE),
        "\x00" * 300,
        "\\" * 300,
        '"' * 300,
    ],
)
def test_bad_lines(line: str) -> None:
    """What is no line of an access log is none."""
    assert LineParser().parse(line.encode()) is None


def test_binary_junk() -> None:
    """No sequence of bytes is an error."""
    assert LineParser().parse(bytes(range(256)) * 20) is None


def test_lost_end() -> None:
    """A line that ends in its user agent is still a request; one that ends before is none."""
    assert parse(COMBINED[:-5])["user_agent"] == "Mozilla/5.0 ("
    assert parse(COMBINED[:-5] + "\\")["user_agent"] == "Mozilla/5.0 ("
    assert LineParser().parse(COMBINED[: COMBINED.index("https") + 9].encode()) is None


def test_missing_values() -> None:
    """A dash is no value; no bytes are 0; an empty header is not a missing one."""
    record = parse(COMMON.replace("203023", "-").replace("200", "-") + ' "-" ""')
    assert (record["size"], record["status_code"]) == (0, None)
    assert (record["referrer"], record["user_agent"]) == (None, "")


def test_escapes() -> None:
    r"""``\"``, ``\xNN`` and ``\\`` are taken back; bytes stay bytes, as in WSGI strings."""
    agent = rb"a\"b\\c\xe4\xC3\x28\t\q" + "ü".encode()
    record = parse(COMBINED.encode().replace(b"Mozilla/5.0 (X11)", agent))
    assert record["user_agent"] == 'a"b\\c\xe4\xc3\x28\tq\xc3\xbc'


def test_long_values_are_cut() -> None:
    """What goes on is no longer than what a live record holds."""
    long = "a" * 9000
    record = parse(with_request(f"GET /{long}?{long} HTTP/1.1").replace("Mozilla", long))
    names = ("path", "query_string", "user_agent")
    assert [len(record[name]) for name in names] == [LONGEST] * 3


@pytest.mark.parametrize("character", ["\\", '"', " ", "[", "a", "\\x"])
def test_time_grows_with_length_only(character: str) -> None:
    """No long line makes the pattern try combination after combination."""
    parser = LineParser()
    began = perf_counter()
    for cut in (1, 2, 3):
        parser.parse((COMBINED[:-cut] + character * 60_000).encode()[:LONGEST_LINE])
        parser.parse(f'1 - {character * 60_000} [17/May/2015:10:05:03 +0000] "GET'.encode())
    assert perf_counter() - began < 2


@pytest.mark.parametrize(
    ("line", "before", "whole"),
    [
        (COMBINED, COMBINED, True),
        (COMBINED, None, True),
        (COMMON, COMMON, True),
        (COMBINED[:-3], COMBINED, False),
        (COMMON, COMBINED, False),
        (COMMON[:-2], COMBINED, False),
        (f"{COMBINED} 0.1", f"{COMBINED} 0.123", True),
        (COMBINED, f"{COMBINED} 0.123", False),
        ("junk", COMBINED, False),
        (COMBINED, "junk", False),
    ],
)
def test_whole_last_lines(line: str, before: str | None, whole: bool) -> None:
    """A last line without an end is whole when it has the form of the line before."""
    assert is_whole(line.encode(), before.encode() if before else None) is whole


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html"),
        ("/about", "text/html"),
        ("/index.html", "text/html"),
        ("/index.php", "text/html"),
        ("/v1.2", "text/html"),
        ("/users/j.smith", "text/html"),
        ("/.env", "text/html"),
        ("/dir.png/page", "text/html"),
        ("/x.", "text/html"),
        ("/logo.PNG", "image/png"),
        ("/style.css", "text/css"),
        ("/app.js", "text/javascript"),
        ("/favicon.ico", "image/x-icon"),
        ("/a.tar.gz", "application/gzip"),
        ("/feed.xml", "text/xml"),
        ("/font.woff2", "font/woff2"),
    ],
)
def test_media_types(path: str, media_type: str) -> None:
    """The extension tells the media type, of pages too, and no extension is a page."""
    assert guess_media_type(path) == media_type
