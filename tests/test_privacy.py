"""Storable text, redacted secrets and masked addresses."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest

from flask_statistics.config import SECRET_NAMES
from flask_statistics.privacy import (
    Secrets,
    basic_plane,
    decode_header,
    mask_address,
    mask_addresses,
    storable,
)

LAST_OCTET = (24, 48)
MEGABYTE = 1_000_000


@pytest.fixture
def secrets() -> Secrets:
    """Returns the secrets of the default setting."""
    return Secrets(SECRET_NAMES)


# --- storable text ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("", ""),
        ("/café/中文/😀", "/café/中文/😀"),
        ("a\x00b", "a\ufffdb"),
        ("a\x1b[31mb\x7f", "a\ufffd[31mb\ufffd"),
        ("a\x80\x85\x9fb\xa0", "a\ufffd\ufffd\ufffdb\xa0"),
        ("a\tb\r\nc\x0b\x0cd", "a b  c  d"),
        ("\ud800a\udfff", "\ufffda\ufffd"),
        ("\ud83d\ude00", "\ufffd\ufffd"),
        ("\u202eevil\u202c", "\u202eevil\u202c"),
        ("<script>{{ 1 }}%s", "<script>{{ 1 }}%s"),
    ],
)
def test_storable(text: str, stored: str) -> None:
    """What a database or a terminal cannot take is replaced, all else is kept."""
    assert storable(text) == stored


def test_storable_ascii_is_not_copied() -> None:
    """A plain text is returned as it is, which is the fast way of nearly all texts."""
    text = "/plain path"
    assert storable(text) is text


def test_storable_megabyte() -> None:
    """A huge text of what must be replaced has the same length afterwards."""
    assert storable("\x00" * MEGABYTE) == "\ufffd" * MEGABYTE


def test_basic_plane() -> None:
    """For utf8mb3 columns, characters of four bytes are replaced and no others."""
    assert basic_plane("é中😀\U0010ffff\uffff") == "é中\ufffd\ufffd\uffff"


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        ("plain", "plain"),
        ("/café 😀".encode().decode("latin-1"), "/café 😀"),
        ("caf\xe9", "caf\ufffd"),
        ("\xff\xfe\x00", "\ufffd\ufffd\ufffd"),
        ("\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
        ("already 中", "already 中"),
        ("\ud800", "\ufffd"),
    ],
)
def test_decode_header(text: str, decoded: str) -> None:
    """A WSGI string is read as UTF-8, and what is not UTF-8 is replaced."""
    assert decode_header(text) == decoded


# --- secrets ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *SECRET_NAMES,
        "TOKEN",
        "access_token",
        "reset-token",
        "resetToken",
        "ResetTokenV2",
        "APIKey",
        "api.key",
        "api_keys",
        "tokens",
        "password2",
        "user[password]",
        "user%5Bpassword%5D",
        "%74oken",
        "%2574oken",
        "accesstoken",
        "csrfmiddlewaretoken",
        "jsessionid",
        "newpassword",
        "session_id",
        "pass_word",
        "X-Amz-Signature",
        "oauth_verifier_code",
        " token ",
        "tok\x00en_token",
    ],
)
def test_secret_name(name: str, secrets: Secrets) -> None:
    """A name with a secret word is secret, however it is written or encoded."""
    assert secrets.is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "q",
        "page",
        "keyword",
        "author",
        "postcode",
        "passenger",
        "accessories",
        "secretary",
        "tokenizer",
        "assigned",
        "unsigned",
        "compass",
        "utm_source",
        "ids",
        "monkey",
        "%",
        "%zz",
        "ключ",
        "[]",
    ],
)
def test_innocent_name(name: str, secrets: Secrets) -> None:
    """A name that only resembles a secret word is not secret."""
    assert not secrets.is_secret(name)


def test_names_can_be_added() -> None:
    """The list of the host counts, in any case and with separators."""
    secrets = Secrets(["Kunden-Nummer", "iban"])
    assert [secrets.is_secret(n) for n in ("kundennummer", "kunden_nummer", "IBAN", "token")] == [
        True,
        True,
        True,
        False,
    ]


def test_no_names_redact_nothing_but_credentials() -> None:
    """With an empty list only credentials are secrets."""
    assert Secrets([]).redact_url("//u:p@h/?token=a") == "//REDACTED@h/?token=a"


NESTED = quote("https://example.com/reset?token=abc", safe="")


@pytest.mark.parametrize(
    ("query", "redacted"),
    [
        ("", ""),
        ("q=flask", "q=flask"),
        ("a=1&token=abc&b=%20x", "a=1&token=REDACTED&b=%20x"),
        ("token=abc;b=2;KEY=x", "token=REDACTED;b=2;KEY=REDACTED"),
        ("token=a=b==&c=d", "token=REDACTED&c=d"),
        ("token=a&token=b", "token=REDACTED&token=REDACTED"),
        ("token=&a", "token=&a"),
        ("token", "token"),
        ("&&;=&=x", "&&;=&=x"),
        ("user%5Bpassword%5D=x", "user%5Bpassword%5D=REDACTED"),
        ("%2574oken=x", "%2574oken=REDACTED"),
        ("q=100%25&r=a+b", "q=100%25&r=a+b"),
        ("q=a:b@c&r=x=y", "q=a:b@c&r=x=y"),
        ("mail=someone@example.com", "mail=someone@example.com"),
        (f"next={NESTED}&a=1", "next=REDACTED&a=1"),
        (f"next={quote(NESTED, safe='')}", "next=REDACTED"),
        ("next=https://example.com/?token=abc", "next=REDACTED"),
        ("next=https://user:pass@example.com/", "next=REDACTED"),
        ("next=https%3A%2F%2Fuser%3Apass%40example.com", "next=REDACTED"),
        ("next=%2Fshop%3Fpage%3D2", "next=%2Fshop%3Fpage%3D2"),
        ("state=token%3Dabc", "state=REDACTED"),
        ("state=x%3D1%3Btoken%3Dabc", "state=REDACTED"),
        ("state=x+token=abc", "state=REDACTED"),
        ("state=user%5Bpassword%5D%3Dabc", "state=REDACTED"),
        ("filter=%7B%22password%22%3A%20%22x%22%7D", "filter=REDACTED"),
        ("filter=%7B%22page%22%3A%202%7D", "filter=%7B%22page%22%3A%202%7D"),
        ("token%3Dabc", "REDACTED"),
        ("token%3Dabc=1", "REDACTED"),
        ("a=%25252525252574oken", "a=REDACTED"),
        ("token=\x00\ud800", "token=REDACTED"),
    ],
)
def test_redact_query(query: str, redacted: str, secrets: Secrets) -> None:
    """Secret values are replaced; order, separators and encoding stay."""
    assert secrets.redact_query(query) == redacted


@pytest.mark.parametrize(
    ("url", "redacted"),
    [
        ("", ""),
        ("/path?a=1#top", "/path?a=1#top"),
        ("https://example.com/a?token=b#c", "https://example.com/a?token=REDACTED#c"),
        ("https://example.com/#access_token=a&b=c", "https://example.com/#access_token=REDACTED&b=c"),
        ("https://example.com/#/login?token=a", "https://example.com/#/login?token=REDACTED"),
        ("https://user:pass@example.com/x", "https://REDACTED@example.com/x"),
        ("https://ghp_secret@example.com:8080/", "https://REDACTED@example.com:8080/"),
        ("https://user:p@ss@example.com/", "https://REDACTED@example.com/"),
        ("//user:pass@example.com", "//REDACTED@example.com"),
        ("https://a.example/web/https://u:p@b.example/", "https://a.example/web/https://REDACTED@b.example/"),
        ("https://a.example/x;jsessionid=1/y;v=2", "https://a.example/x;jsessionid=REDACTED/y;v=2"),
        ("https://a.example/go/https%3A%2F%2Fu%3Ap%40b.example", "https://a.example/go/REDACTED"),
        ("https://medium.com/@someone/x", "https://medium.com/@someone/x"),
        ("https://a.example//@someone", "https://a.example//@someone"),
        ("http://[::1]:80/?sid=1", "http://[::1]:80/?sid=REDACTED"),
        ("?token=1", "?token=REDACTED"),
        ("javascript:alert(1)", "javascript:alert(1)"),
        ("http://[", "http://["),
    ],
)  # fmt: skip
def test_redact_url(url: str, redacted: str, secrets: Secrets) -> None:
    """Credentials, and secrets in query, fragment and path, are replaced."""
    assert secrets.redact_url(url) == redacted


def test_ten_thousand_parameters(secrets: Secrets) -> None:
    """Every one of very many parameters is looked at."""
    query = "&".join(f"a{n}={n}&token{n}={n}" for n in range(5000))
    assert secrets.redact_query(query) == "&".join(
        f"a{n}={n}&token{n}=REDACTED" for n in range(5000)
    )


@pytest.mark.parametrize(
    "unit",
    ["a", "=", "&", "%", "%25", "a=", "//", "//a", "@", "//u:p@", "'", '"a" ', "A", "aB", "[", " "],
)
def test_megabyte(unit: str, secrets: Secrets) -> None:
    """A huge URL of any pattern is done in linear time, without an error."""
    text = unit * (MEGABYTE // len(unit))
    assert "hunter2" not in secrets.redact_url(text + "?token=hunter2&next=" + text)
    assert secrets.redact_query("q=" + text)
    assert secrets.is_secret(text + "_token")


# --- paths -----------------------------------------------------------------------------------

HEX = "5f3c2a10-6c1d-4a55-9d0a-0123456789ab"


@pytest.mark.parametrize(
    ("path", "view_args", "route", "redacted"),
    [
        ("/reset/abcdef", (("token", "abcdef"),), "/reset/<token>", "/reset/REDACTED"),
        ("/reset/abcdef", (("token", "abcdef"),), None, "/reset/REDACTED"),
        ("/user/abcdef", (("name", "abcdef"),), "/user/<name>", "/user/abcdef"),
        ("/r/x-abcdef.txt", (("token", "abcdef"),), "/r/x-<token>.txt", "/r/x-REDACTED.txt"),
        ("/abcd/xabcd", (("key", "abcd"),), "/<name>/x<key>", "/REDACTED/xREDACTED"),
        ("/v1/pin/1", (("pin", 1),), "/v1/pin/<int:pin>", "/v1/pin/REDACTED"),
        ("/pin/0042", (("pin", 42),), "/pin/<int:pin>", "/pin/REDACTED"),
        ("/key/" + HEX.upper(), (("key", UUID(HEX)),), "/key/<uuid:key>", "/key/REDACTED"),
        ("/f/a/b.c", (("secret", "a/b.c"),), "/f/<path:secret>", "/f/REDACTED"),
        ("/t/.*+(", (("token", ".*+("),), "/t/<token>", "/t/REDACTED"),
        ("/t/a\ufffdb", (("token", "a\x00b"),), "/t/<token>", "/t/REDACTED"),
        ("/t/é中😀", (("token", "é中😀"),), "/t/<token>", "/t/REDACTED"),
        ("/t/3.50", (("pin", 3.5),), "/t/<float:pin>", "/t/REDACTED0"),
        ("/t/AQ", (("token", {"id": 1}),), "/t/<signed:token>", "/t/<signed:token>"),
        ("/t/AQ", (("token", {"id": 1}),), None, "/REDACTED"),
        ("/users", (("key", "all"),), "/users", "/users"),
        ("/t", (("token", None), ("key", "")), None, "/t"),
        ("/t/a1b2/c3d4", (("token", "a1b2"), ("key", "c3d4")), None, "/t/REDACTED/REDACTED"),
        ("/t", (), None, "/t"),
    ],
)  # fmt: skip
def test_redact_path(
    path: str,
    view_args: tuple[tuple[str, Any], ...],
    route: str | None,
    redacted: str,
    secrets: Secrets,
) -> None:
    """The values of secret view arguments do not stay in the path."""
    assert secrets.redact_path(path, view_args, route) == redacted


# --- addresses -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "prefixes", "masked"),
    [
        ("192.0.2.77", LAST_OCTET, "192.0.2.0"),
        ("192.0.2.77", (0, 0), "0.0.0.0"),
        ("192.0.2.77", (32, 128), "192.0.2.77"),
        ("192.0.2.77", None, "192.0.2.77"),
        (" 192.0.2.77 ", LAST_OCTET, "192.0.2.0"),
        ("2001:db8:1:2:3:4:5:6", LAST_OCTET, "2001:db8:1::"),
        ("2001:db8:1:2:3:4:5:6", (24, 64), "2001:db8:1:2::"),
        ("2001:DB8::1", (0, 0), "::"),
        ("::ffff:192.0.2.77", LAST_OCTET, "192.0.2.0"),
        ("::ffff:c000:24d", LAST_OCTET, "192.0.2.0"),
        ("2002:c000:24d::1", LAST_OCTET, "192.0.2.0"),
        ("fe80::1%eth0", LAST_OCTET, "fe80::"),
        ("::1", LAST_OCTET, "::"),
        ("garbage", LAST_OCTET, None),
        ("garbage", None, "garbage"),
        ("", LAST_OCTET, None),
        ("192.0.2.77:80", LAST_OCTET, None),
        ("192.0.2.0077", LAST_OCTET, None),
        ("\x00\ud800", LAST_OCTET, None),
        ("1" * MEGABYTE, LAST_OCTET, None),
        (None, LAST_OCTET, None),
        (None, None, None),
    ],
)
def test_mask_address(
    address: str | None, prefixes: tuple[int, int] | None, masked: str | None
) -> None:
    """Only the first bits of an address are kept, and nothing of what is none."""
    assert mask_address(address, prefixes) == masked


@pytest.mark.parametrize(
    ("header", "masked"),
    [
        ("192.0.2.77", "192.0.2.0"),
        ("192.0.2.77,198.51.100.3", "192.0.2.0, 198.51.100.0"),
        ("192.0.2.77:4711, 198.51.100.3", "192.0.2.0, 198.51.100.0"),
        ("2001:db8:1:2::3", "2001:db8:1::"),
        ('"[2001:db8:1:2::3]:4711", [2001:db8:1:2::3]', "2001:db8:1::, 2001:db8:1::"),
        ("unknown, _hidden, 192.0.2.77", "unknown, unknown, 192.0.2.0"),
        ("for=192.0.2.77;proto=https", "unknown"),
        ("192.0.2.77 192.0.2.78", "unknown"),
        (" , ,", ""),
        ("", ""),
        ("[, ], [], \x00", "unknown, unknown, unknown, unknown"),
    ],
)
def test_mask_addresses(header: str, masked: str) -> None:
    """Each address of an X-Forwarded-For header is masked, and no other text stays."""
    assert mask_addresses(header, LAST_OCTET) == masked


def test_mask_addresses_off() -> None:
    """Without masking the header is kept as it is, and a missing one is missing."""
    assert mask_addresses("a:b, c", None) == "a:b, c"
    assert mask_addresses(None, LAST_OCTET) is None


def test_mask_many_addresses() -> None:
    """A header of very many addresses is masked as a whole."""
    assert mask_addresses("192.0.2.7," * 50_000, LAST_OCTET) == ", ".join(["192.0.2.0"] * 50_000)
