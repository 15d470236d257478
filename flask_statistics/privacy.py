"""What makes a text storable and keeps secrets and addresses out of what is stored.

All functions are pure and take time linear in their input. They run on the background thread,
before anything is stored or logged.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

#: Stands where a secret was.
REDACTED = "REDACTED"

_SPACES = re.compile(r"[\t\n\v\f\r]")
# The control characters C0, DEL and C1, and halves of surrogate pairs.
_UNSTORABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_ASTRAL = re.compile("[\U00010000-\U0010ffff]")


def storable(text: str) -> str:
    """Return a text that every database stores and that no terminal obeys.

    Tabs and line ends become spaces, other control characters and lone surrogates U+FFFD.
    Marks of direction (bidi overrides) are text and stay; pages show them visibly.
    """
    if text.isascii() and text.isprintable():
        return text
    return _UNSTORABLE.sub("\ufffd", _SPACES.sub(" ", text))


def basic_plane(text: str) -> str:
    """Replace what takes four bytes in UTF-8 by U+FFFD, for MariaDB's utf8mb3 columns."""
    return text if text.isascii() else _ASTRAL.sub("\ufffd", text)


def decode_header(text: str) -> str:
    """Return a WSGI string (PEP 3333: bytes as latin-1) as the UTF-8 that was sent, storable.

    Invalid UTF-8 becomes U+FFFD. A text that cannot be a WSGI string is taken as it is.
    """
    if text.isascii():
        return storable(text)
    with suppress(UnicodeEncodeError):
        text = text.encode("latin-1").decode("utf-8", "replace")
    return storable(text)


# --- secrets ---------------------------------------------------------------------------------

# camelCase, snake_case, kebab-case, a[b], a.b, API2Key
_NAME_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\dA-Za-z_]+")
_SEPARATOR = re.compile(r"([&;])")
_PATH_SEPARATOR = re.compile(r"([/;&])")
_CREDENTIALS = re.compile(r"//[^/?#\s]+@")
# What may stand between the parameters that a value of a parameter holds itself.
_NESTED_SEPARATOR = re.compile(r"[?&;#/\s,{}()+]+")
_JSON_NAME = re.compile(r"[\"']([^\"'\s]{1,64})[\"']\s{0,8}:")
# What may be a URL in a text; brackets may stand in a password.
_WORD_OF_TEXT = re.compile(r"[^\s'\"<>]+")
_JSON_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')
# Without one of these a text holds neither parameters nor credentials.
_CODED = re.compile(r"[%=:@]")
_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
#: How many layers of percent-encoding are looked through.
_LAYERS = 4
#: A word that ends with a secret name of this many letters is secret: ``accesstoken``.
_LONG_NAME = 5
#: Names up to this length are judged once and remembered.
_SHORT = 64
_INNOCENT = {
    *("assigned", "cosigned", "designed", "obsession", "possession", "redesigned", "resigned"),
    *("unassigned", "unsigned"),
}
_SHORT_VALUE = 4


class Secrets:
    """Knows secrets by the names of what holds them, and replaces their values.

    :param names: words, such as ``STATISTICS_SECRET_NAMES``; letter case does not count.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(_joined(name) for name in names)
        self._long = tuple(name for name in self._names if len(name) >= _LONG_NAME)
        self._judged = lru_cache(1024)(self._judge)

    def is_secret(self, name: str) -> bool:
        """Tell whether a parameter of this name, percent-encoded or not, holds a secret.

        It does if one of its words (``reset-token``, ``resetToken``, ``user[password]``) or all
        of them joined (``api_key`` → ``apikey``) is a listed name or its plural, or if a word
        ends with a listed name of five letters or more (``accesstoken``).
        """
        return self._judged(name) if len(name) <= _SHORT else self._judge(name)

    def _judge(self, name: str) -> bool:
        decoded = _decoded(name)
        words = [word.lower() for word in _NAME_WORD.findall(decoded)]
        if len(words) > 1:
            words.append(_joined(decoded))
        return any(map(self._is_secret_word, words))

    def _is_secret_word(self, word: str) -> bool:
        singular = word.removesuffix("s")
        if word in self._names or singular in self._names:
            return True
        return singular.endswith(self._long) and singular not in _INNOCENT

    def redact_query(self, query_string: str) -> str:
        """Return a raw query string with the values of secret parameters replaced.

        Order, separators (``&`` and ``;``) and encoding of the rest stay as they are. A value
        that holds a secret itself (a nested URL, parameters or JSON) is replaced as a whole, and
        so is what is percent-encoded more than four times.
        """
        return self._redact_parts(_SEPARATOR, query_string)

    def redact_url(self, url: str) -> str:
        """Return a URL, whole or relative, without its secrets.

        Replaced are credentials (``//user:password@``), and the values of secret parameters in
        the query, the fragment (``#access_token=…``) and the path (``;jsessionid=…``).
        """
        rest, hash_mark, fragment = url.partition("#")
        base, question_mark, query = rest.partition("?")
        base = _CREDENTIALS.sub(f"//{REDACTED}@", base)
        base = self._redact_parts(_PATH_SEPARATOR, base)
        query, fragment = self.redact_query(query), self.redact_query(fragment)
        return f"{base}{question_mark}{query}{hash_mark}{fragment}"

    def redact_text(self, text: str) -> str:
        """Return a text without the secrets of the URLs in it, whole or relative."""
        if "://" not in text and "?" not in text:
            return text
        return _WORD_OF_TEXT.sub(lambda word: self._redact_word(word[0]), text)

    def redact_json(self, text: str) -> str:
        """Return JSON without the secrets of the URLs in its strings."""
        if "://" not in text and "?" not in text:
            return text
        return _JSON_STRING.sub(lambda string: self._redact_string(string[0]), text)

    def _redact_word(self, word: str) -> str:
        return self.redact_url(word) if "://" in word or "?" in word else word

    def _redact_string(self, string: str) -> str:
        before = json.loads(string)
        after = self.redact_text(before)
        return string if after == before else json.dumps(after)

    def redact_path(
        self, path: str, view_args: Iterable[tuple[str, Any]], route: str | None = None
    ) -> str:
        """Return a decoded path without the values of secret view arguments.

        A value that a converter changed so much that it does not stand in the path cannot be
        cut out: then the route is returned, or ``/REDACTED`` where none is given. With a route,
        arguments that are not in it (defaults) are left alone.
        """
        for name, value in view_args:
            if value is None or value == "" or not self.is_secret(name):
                continue
            if route is not None and not _has_argument(route, name):
                continue
            redacted = _without_value(path, value)
            if redacted is None:
                return route or f"/{REDACTED}"
            path = redacted
        return path

    def _redact_parts(self, separator: re.Pattern[str], text: str) -> str:
        if not _CODED.search(text):
            return text
        parts = separator.split(text)
        parts[::2] = map(self._redact_part, parts[::2])
        return "".join(parts)

    def _redact_part(self, part: str) -> str:
        name, equals, value = part.partition("=")
        if self._holds_secret(name):
            return REDACTED
        if value and (self.is_secret(name) or self._holds_secret(value)):
            return name + equals + REDACTED
        return part

    def _holds_secret(self, value: str) -> bool:
        """Tell whether a value holds parameters of secret names, or credentials, itself."""
        if not _CODED.search(value):
            return False
        decoded = _decoded(value)
        if _CREDENTIALS.search(decoded) or _ENCODED.search(decoded):
            return True
        names = set(_JSON_NAME.findall(decoded))
        for piece in _NESTED_SEPARATOR.split(decoded):
            names.update(piece.split("=")[:-1])
        return any(map(self.is_secret, names))


def _joined(name: str) -> str:
    return "".join(_NAME_WORD.findall(name)).lower()


def _decoded(text: str) -> str:
    """Undo percent-encoding, of several layers too."""
    for _ in range(_LAYERS):
        if not _ENCODED.search(text):
            break
        text = unquote(text)
    return text


def _has_argument(route: str, name: str) -> bool:
    return f"<{name}>" in route or f":{name}>" in route


def _without_value(path: str, value: Any) -> str | None:
    """Replace the text of a converted value in a path; None if it is not there."""
    text = re.escape(storable(str(value)))
    numeric = isinstance(value, int | float)
    # A number may have had leading zeros, and short values stand by chance in other words.
    whole = rf"(?<![0-9A-Za-z]){'0*' if numeric else ''}{text}(?![0-9A-Za-z])"
    patterns = [whole, text] if numeric or len(text) < _SHORT_VALUE else [text]
    for pattern in patterns:
        redacted, count = re.subn(pattern, REDACTED, path, flags=re.IGNORECASE)
        if count:
            return redacted
    return None


# --- addresses -------------------------------------------------------------------------------

_ADDRESS = re.compile(r"\[([^\]]*)\](?::\d{1,5})?|([0-9.]+)(?::\d{1,5})?")
#: The prefix lengths that are kept of IPv4 and of IPv6.
Prefixes = tuple[int, int]


def mask_address(address: str | None, prefixes: Prefixes | None) -> str | None:
    """Return an address with only its first bits kept, the others 0.

    An IPv4 address within IPv6 (``::ffff:192.0.2.1``, 6to4) is masked as IPv4, since an IPv6
    prefix could hold all of it. Zone ids are dropped. What is no address is None.

    :param prefixes: how many bits to keep of IPv4 and of IPv6; None keeps the text as it is.
    """
    if address is None or prefixes is None:
        return address
    try:
        parsed = ipaddress.ip_address(address.strip().partition("%")[0])
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address):
        parsed = parsed.ipv4_mapped or parsed.sixtofour or parsed
    kept = prefixes[0] if parsed.version == 4 else prefixes[1]
    hidden = parsed.max_prefixlen - kept
    return str(type(parsed)(int(parsed) >> hidden << hidden))


def mask_addresses(header: str | None, prefixes: Prefixes | None) -> str | None:
    """Return an X-Forwarded-For header with each of its addresses masked.

    Ports, brackets and quotes are dropped; what is no address becomes ``unknown``, since it may
    hold one in a form that is not understood.
    """
    if header is None or prefixes is None:
        return header
    entries = (entry.strip().strip('"') for entry in header.split(","))
    return ", ".join(_mask_entry(entry, prefixes) for entry in entries if entry)


def _mask_entry(entry: str, prefixes: Prefixes) -> str:
    found = _ADDRESS.fullmatch(entry)
    address = (found[1] or found[2]) if found else entry
    return mask_address(address, prefixes) or "unknown"
