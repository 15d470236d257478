"""Which user agents are programs that ask by themselves, and why they are held for such.

The names stand in ``data/bots.json``; what is not listed there is known by the words that robots
call themselves by (``…bot``, ``…crawler``), by the page about itself that a robot gives
(``+http``), or by saying nothing that a browser says. Apps and browsers inside apps are persons:
they show what a person asked for. Each test takes time linear in the user agent.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

#: Characters of a bot's name that are kept: a hostile user agent may call itself anything.
LONGEST_NAME = 64
NO_USER_AGENT = "no user agent"
UNKNOWN = "unknown program"
UNNAMED = "unnamed robot"

_LIST = Path(__file__).parent / "data" / "bots.json"
_URL = re.compile(r"https?://[^\s;,)]*", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z0-9][\w.!:\\-]*")
_PRODUCT = re.compile(r"(?<![\w.-])([A-Za-z][\w.-]*)/\d")
_ROBOT = re.compile(
    r"(?:bots?|crawl(?:er)?|spider|scraper|archiver|fetcher|indexer)(?![a-z])", re.IGNORECASE
)
# One of these stands in each match: looking for them first is ten times as fast.
_ROBOT_STEMS = ("bot", "crawl", "spider", "scraper", "archiver", "fetcher", "indexer")
# Words that also stand in the names of apps; they tell a robot only where no browser is named.
_PROGRAM = re.compile(
    r"(?:monitor(?:ing)?|checker|scanner|validator|feed|rss|preview|proxy|library|sdk|http)"
    r"(?![a-z])",
    re.IGNORECASE,
)
#: CUBOT makes phones; "Amazon CloudFront" is a proxy that hides its visitors' user agents.
_PERSONS = ("cubot", "amazon cloudfront")
# What old and rare browsers say that the parser does not know.
_BROWSER_MARKS = ("gecko/", "macintosh", "x11;", "os/2", "amiga", "w3m", "netscape", "browse")
_BROWSERS = {
    *("AppleWebKit", "Chrome", "Firefox", "Gecko", "IE", "Mobile", "Mozilla", "Opera", "Other"),
    *("Safari", "Version", "bot", "robot"),
}


class _Names(NamedTuple):
    """What is listed, lower-case name → what is stored."""

    first: dict[str, str]
    words: dict[str, str]
    phrases: dict[str, str]


@cache
def _names() -> _Names:
    names = _Names({}, {}, {})
    reasons: dict[str, list[str]] = json.loads(_LIST.read_text("utf-8"))
    del reasons["about"]
    for reason, listed in reasons.items():
        for name in listed:
            _add(names, name, reason)
    return names


def _add(names: _Names, name: str, reason: str) -> None:
    plain = name.removeprefix("^")
    stored = {"crawler": plain, "attack": "attack in the user agent"}.get(
        reason, f"{plain} ({reason})"
    )
    if " " in plain or reason == "attack":
        names.phrases[plain.lower()] = stored
    elif plain != name:
        names.first[plain.lower()] = stored
    else:
        names.words[plain.lower()] = stored


def bot_reason(user_agent: str, parsed: Any) -> str | None:
    """Return a bot's name, or why it is held for one; None for a person.

    :param user_agent: the header, at most the characters that the parser sees, stripped.
    :param parsed: what the user-agents package says of it.
    """
    if user_agent in {"", "-"}:
        return NO_USER_AGENT
    lowered = user_agent.lower()
    words = _WORD.findall(_URL.sub(" ", user_agent))
    reason = _listed(lowered, words)
    if reason is None and not any(person in lowered for person in _PERSONS):
        reason = _claims(user_agent, lowered, words, parsed)
    return reason and reason[:LONGEST_NAME]


def _listed(lowered: str, words: list[str]) -> str | None:
    names = _names()
    for phrase, stored in names.phrases.items():
        if phrase in lowered:
            return stored
    lower_words = [word.lower().rstrip(".:!_") for word in words]
    for word in lower_words:
        if word in names.words:
            return names.words[word]
    return names.first.get(lower_words[0]) if lower_words else None


def _claims(user_agent: str, lowered: str, words: list[str], parsed: Any) -> str | None:
    """Return what the user agent, the parser or the lack of a browser says of a robot."""
    if any(stem in lowered for stem in _ROBOT_STEMS) and (name := _called(_ROBOT, words)):
        return name
    if parsed.is_bot or "+http" in lowered:
        return _robots_name(user_agent, parsed.browser.family)
    if _says_nothing(parsed) and not any(mark in lowered for mark in _BROWSER_MARKS):
        name = _called(_PROGRAM, words)
        return f"{name} (program)" if name else UNKNOWN
    return None


def _called(pattern: re.Pattern[str], words: list[str]) -> str | None:
    """Return the first word of a pattern, with the word before it where it says no more."""
    for place, word in enumerate(words):
        if pattern.search(word):
            whole = pattern.fullmatch(word.rstrip(".:!")) and place
            return f"{words[place - 1]} {word}" if whole else word
    return None


def _says_nothing(parsed: Any) -> bool:
    families = {parsed.browser.family, parsed.os.family, parsed.device.family}
    return families == {"Other"}


def _robots_name(user_agent: str, family: str) -> str:
    """Return the parser's name of a robot, else the first product that is no browser."""
    names = [family, *_PRODUCT.findall(_URL.sub(" ", user_agent))]
    own = (name for name in names if "/" not in name and not _BROWSERS & set(name.split()))
    return next(own, UNNAMED)
