"""Made-up people and programs, with what their browsers send.

Addresses are of ranges that belong to nobody: 198.18.0.0/15 (RFC 2544) and 2001:db8::/32
(RFC 3849).
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

_CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{v}.0.0.0"
_WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{s}"

#: User agents of people, with how common each is.
BROWSERS: tuple[tuple[int, str], ...] = (
    (26, f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_CHROME} Safari/537.36"),
    (9, f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_CHROME} Safari/537.36 Edg/{{v}}.0.0.0"),
    (7, "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:{f}.0) Gecko/20100101 Firefox/{f}.0"),
    (3, "Mozilla/5.0 (X11; Linux x86_64; rv:{f}.0) Gecko/20100101 Firefox/{f}.0"),
    (2, f"Mozilla/5.0 (X11; Linux x86_64) {_CHROME} Safari/537.36"),
    (7, f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_CHROME} Safari/537.36"),
    (8, f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_WEBKIT} Safari/605.1.15"),
    (21, f"Mozilla/5.0 (Linux; Android 10; K) {_CHROME} Mobile Safari/537.36"),
    (3, "Mozilla/5.0 (Android 15; Mobile; rv:{f}.0) Gecko/{f}.0 Firefox/{f}.0"),
    (
        3,
        "Mozilla/5.0 (Linux; Android 14; SAMSUNG SM-S921B) AppleWebKit/537.36 (KHTML, like Gecko) "
        "SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
    ),
    (
        18,
        f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) {_WEBKIT} "
        "Mobile/15E148 Safari/604.1",
    ),
    (
        4,
        f"Mozilla/5.0 (iPad; CPU OS 17_7 like Mac OS X) {_WEBKIT} Mobile/15E148 Safari/604.1",
    ),
    (2, f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_CHROME} Safari/537.36 OPR/122.0.0.0"),
)
_LANGUAGES = (
    (40, "en-US,en;q=0.9"),
    (22, "de-DE,de;q=0.9,en;q=0.7"),
    (12, "en-GB,en;q=0.9"),
    (9, "fr-FR,fr;q=0.9"),
    (6, "ja,en;q=0.8"),
    (5, "es-ES,es;q=0.9"),
    (4, "nl,en;q=0.8"),
    (2, "pt-BR,pt;q=0.9"),
)
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
#: Programs that walk through the pages, with how many requests a day each makes.
CRAWLERS = (
    (60, GOOGLEBOT),
    (40, "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)"),
    (35, "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)"),
    (30, "Mozilla/5.0 (compatible; GPTBot/1.2; +https://openai.com/gptbot)"),
    (20, "Mozilla/5.0 (compatible; ClaudeBot/1.0; +claudebot@anthropic.com)"),
    (10, "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)"),
)
MONITOR = "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)"
CLIENTS = ("python-requests/2.32.4", "curl/8.14.1", "Go-http-client/2.0")
SCANNER = "Mozilla/5.0 zgrab/0.x"


class Client(NamedTuple):
    """Who makes requests."""

    address: str
    user_agent: str
    language: str | None


def pick(random: Random, weighted: tuple[tuple[int, str], ...]) -> str:
    """Return one of the texts, each as probable as its weight."""
    weights = [weight for weight, _ in weighted]
    return random.choices([text for _, text in weighted], weights)[0]


def address(random: Random) -> str:
    """Return an address that belongs to nobody; one in five is IPv6."""
    if random.random() < 0.2:
        return f"2001:db8:{random.randrange(65536):x}::{random.randrange(1, 65536):x}"
    return f"198.{random.choice((18, 19))}.{random.randrange(256)}.{random.randrange(1, 255)}"


def person(random: Random) -> Client:
    """Return somebody with a browser that is a few releases old at most."""
    age = random.choices((0, 1, 2, 6), (70, 15, 10, 5))[0]
    user_agent = pick(random, BROWSERS).format(v=141 - age, f=143 - age, s=f"18.{5 - age % 5}")
    return Client(address(random), user_agent, pick(random, _LANGUAGES))


def program(random: Random, user_agent: str) -> Client:
    """Return a program; it accepts every language."""
    return Client(address(random), user_agent, None)
