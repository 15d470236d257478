"""What a referrer is called: ``Google``, ``Hacker News``, else its host.

The names stand in ``data/referrers.json``, written by hand for this package.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

#: The longest name that the Domain Name System has (RFC 1035); what is longer is no host.
LONGEST_HOST = 253

_LIST = Path(__file__).parent / "data" / "referrers.json"
_APP = "android-app://"
_REFERRER = re.compile(r"\s*(https?|android-app)://([^/?#\\]*)", re.IGNORECASE)
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[\w.-]+?)\.?(?::\d*)?", re.IGNORECASE)
# google.de, google.com, google.co.uk, google.com.au
_COUNTRY = re.compile(r"\.(?:(?:com?|net|org|ne|or|ac)\.)?[a-z]{2}$|\.com$")


def referrer_source(referrer: str | None, host: str | None) -> str | None:
    """Return the name of the site or app that a request came from.

    :param referrer: the Referer header.
    :param host: the host that was asked for, with or without port.
    :returns: its name, else its host in lower case without port and ``www.`` (international
        names in their ASCII form); None without a referrer, for one that names no host, and for
        the own host.
    """
    found = _REFERRER.match(referrer or "")
    if found is None:
        return None
    scheme, authority = found.groups()
    source = _plain_host(authority.rpartition("@")[2])
    if source is None or (host and source == _plain_host(host)):
        return None
    if scheme.lower() in _APP:
        return _names().get(_APP + source, source)
    return _name(source) or source


def _plain_host(authority: str) -> str | None:
    """Return a host without port, ``www.`` and final dot, lower-case ASCII; None if it is none."""
    found = _HOST.fullmatch(authority[: LONGEST_HOST + len(".:65535")])
    if found is None or len(found[1]) > LONGEST_HOST:
        return None
    name = found[1].lower()
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii")
        except UnicodeError:
            return None
    return name.removeprefix("www.") or None


@cache
def _names() -> dict[str, str]:
    groups: dict[str, dict[str, list[str]]] = json.loads(_LIST.read_text("utf-8"))
    del groups["about"]
    named = (item for group in groups.values() for item in group.items())
    return {host: name for name, hosts in named for host in hosts}


def _name(host: str) -> str | None:
    names = _names()
    return next((names[known] for known in _candidates(host) if known in names), None)


def _candidates(host: str) -> Iterator[str]:
    """Yield what a host may be listed as, the longest first."""
    stem = _COUNTRY.sub("", host)
    while host:
        yield host
        if stem != host:
            yield f"{stem}.*"
        host, stem = host.partition(".")[2], stem.partition(".")[2]
