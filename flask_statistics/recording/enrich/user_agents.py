"""Browser, platform, device and bot of a user agent, named as the user-agents package does.

Of user-agents only the naming is used where the native resolver is installed (the extra
``fast``): its own parsing takes fifty times as long. Both are imported with the first use,
since they take longer to import than the rest of the package.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from ...privacy import storable
from .bots import NO_USER_AGENT, bot_reason

#: Characters of a user agent that are looked at. Real ones have less than 600; the pure parser
#: takes 13 ms for the worst of this length.
LONGEST_USER_AGENT = 1024

# Only bounds of three digits are dropped by the native resolver, see _parse_natively.
_SHORTEST_BOUND = 100
_TYPICAL = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/125.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
    "Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/125.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
)


class UserAgent(NamedTuple):
    """What a user agent says of itself.

    :ivar browser: the family (``Firefox``), ``Other`` if unknown; None without a user agent.
    :ivar browser_version: ``72.0``, or ``""``; ``f"{browser} {browser_version}".strip()`` is
        what user-agents' ``get_browser()`` returns.
    :ivar platform: the operating system (``Windows``); None without a user agent.
    :ivar platform_version: ``10``, or ``""``; together as ``get_os()`` returns it.
    :ivar device: ``desktop``, ``mobile``, ``tablet``, ``bot`` or ``other``.
    :ivar bot: None for a person; else the bot's name, or why it is held for one.
    """

    browser: str | None
    browser_version: str
    platform: str | None
    platform_version: str
    device: str
    bot: str | None


def describe_user_agent(user_agent: str | None) -> UserAgent:
    """Return what a User-Agent header says; any text, or None where there was no header.

    Takes 10 to 40 µs with the native resolver and about 0.5 ms with the pure one: keep the
    results for user agents that come again.
    """
    text = storable((user_agent or "")[:LONGEST_USER_AGENT]).strip()
    if text in {"", "-"}:
        return UserAgent(None, "", None, "", "bot", NO_USER_AGENT)
    parsed = _parser()(text)
    bot = bot_reason(text, parsed)
    browser, platform = parsed.browser, parsed.os
    return UserAgent(
        browser.family,
        browser.version_string,
        platform.family,
        platform.version_string,
        "bot" if bot else _device(parsed),
        bot,
    )


def prepare() -> None:
    """Build the parser, ahead of traffic: the native one stops the process for 70 ms once."""
    for user_agent in _TYPICAL:
        describe_user_agent(user_agent)


def _device(parsed: Any) -> str:
    if parsed.is_tablet:
        return "tablet"
    if parsed.is_mobile:
        return "mobile"
    return "desktop" if parsed.is_pc else "other"


# Without a lock: two threads may build it twice, but a fork can never inherit a locked one.
@cache
def _parser() -> Callable[[str], Any]:
    from user_agents import parsers

    resolve = _native_resolver()
    if resolve is None:
        # As slow as ua-parser's newer pure resolver, without a second copy of the patterns.
        return _without_failing(parsers.UserAgent)
    return _without_failing(lambda text: _parse_natively(resolve, parsers, text))


def _native_resolver() -> Callable[[str], Any] | None:
    from ua_parser import Domain, load_lazy_builtins

    try:
        from ua_parser.regex import Resolver
    except ImportError:
        return None
    resolver = Resolver(load_lazy_builtins())
    return lambda text: resolver(text, Domain.ALL).complete().with_defaults()


def _parse_natively(resolve: Callable[[str], Any], parsers: Any, text: str) -> Any:
    """Return a ``user_agents.parsers.UserAgent`` that was filled by ua-parser's own API."""
    found = resolve(text)
    parsed = object.__new__(parsers.UserAgent)
    parsed.ua_string = text
    agent, system, device = found.user_agent, found.os, found.device
    parsed.browser = parsers.parse_browser(agent.family, agent.major, agent.minor, agent.patch)
    parsed.os = parsers.parse_operating_system(
        system.family, system.major, system.minor, system.patch
    )
    parsed.device = parsers.parse_device(device.family, device.brand, device.model)
    # The native resolver has no upper bounds of repetitions, which makes it find a few spiders
    # (and nothing else, in 22,000 user agents) that user-agents does not.
    if parsed.is_bot and len(text) > _SHORTEST_BOUND:
        return parsers.UserAgent(text)
    return parsed


def _without_failing(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    def parse_any(text: str) -> Any:
        try:
            return parse(text)
        except ValueError:  # user-agents takes "²" for a digit and fails to convert it
            return parse("")

    return parse_any
