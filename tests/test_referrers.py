"""The names of referrers."""

from __future__ import annotations

import json
import re

import pytest

from flask_statistics.recording.enrich import referrers
from flask_statistics.recording.enrich.referrers import referrer_source

NAMES = {
    "https://www.google.com/": "Google",
    "http://www.google.de/url?sa=t&q=": "Google",
    "https://google.co.uk/": "Google",
    "https://www.google.com.au/search": "Google",
    "HTTPS://WWW.GOOGLE.FR:443/": "Google",
    "https://www.google.com./": "Google",
    "android-app://com.google.android.googlequicksearchbox/https/www.google.com": "Google",
    "https://mail.google.com/mail/u/0/": "Gmail",
    "android-app://com.google.android.gm/": "Gmail",
    "https://news.google.co.in/": "Google News",
    "https://docs.google.com/document/d/1": "Google Docs",
    "https://gemini.google.com/app": "Gemini",
    "https://www.bing.com/search?q=x": "Bing",
    "https://cn.bing.com/": "Bing",
    "https://copilot.microsoft.com/": "Copilot",
    "https://duckduckgo.com/": "DuckDuckGo",
    "https://search.yahoo.com/": "Yahoo Search",
    "https://de.search.yahoo.com/": "Yahoo Search",
    "https://yandex.ru/": "Yandex",
    "https://yandex.com.tr/": "Yandex",
    "https://www.baidu.com/link?url=1": "Baidu",
    "https://www.ecosia.org/": "Ecosia",
    "https://t.co/AbCd": "X",
    "https://twitter.com/someone/status/1": "X",
    "https://lnkd.in/e1": "LinkedIn",
    "https://l.facebook.com/l.php?u=x": "Facebook",
    "https://lm.facebook.com/": "Facebook",
    "https://l.instagram.com/": "Instagram",
    "https://old.reddit.com/r/flask/": "Reddit",
    "https://out.reddit.com/": "Reddit",
    "https://news.ycombinator.com/item?id=1": "Hacker News",
    "https://m.youtube.com/watch?v=1": "YouTube",
    "https://outlook.live.com/": "Outlook",
    "https://chatgpt.com/": "ChatGPT",
    "https://claude.ai/chat/1": "Claude",
    "https://www.perplexity.ai/search/1": "Perplexity",
    "https://github.com/someone/project": "GitHub",
    "https://gist.github.com/1": "GitHub",
    "https://stackoverflow.com/q/1": "Stack Overflow",
    "https://unix.stackexchange.com/q/1": "Stack Exchange",
    "android-app://com.slack": "Slack",
    "android-app://com.slack/": "Slack",
    "https://de.wikipedia.org/wiki/Flask": "Wikipedia",
}
HOSTS = {
    "https://www.Blog.Example/path": "blog.example",
    "https://shop.example.com:8443/?a=b": "shop.example.com",
    "https://user:secret@shop.example.com/": "shop.example.com",
    "http://192.0.2.7/": "192.0.2.7",
    "http://[2001:db8::1]:8080/x": "[2001:db8::1]",
    "https://bücher.example/": "xn--bcher-kva.example",
    "https://google.evil.example/": "google.evil.example",
    "https://notgoogle.com/": "notgoogle.com",
    "https://google.com.evil.example/": "google.com.evil.example",
    "https://github.io/": "github.io",
    "https://someone.github.io/": "someone.github.io",
    "https://com/": "com",
    "android-app://com.example.reader/": "com.example.reader",
}
GARBAGE = [
    "",
    "-",
    "/relative/path",
    "google.com",
    "javascript:alert(1)",
    "data:text/html,x",
    "about:blank",
    "https://",
    "https:///path",
    "https://:80/",
    "https://@/",
    "http://[::1/",
    "http://]/",
    "http://exa mple.com/",
    "http://example.com:port/",
    "http://<script>alert(1)</script>/",
    "http://exam\x00ple.com/",
    "http://\ud800.example/",
    "http://" + "ü" * 80 + ".example/",
    "http://" + "a" * 300 + ".example/",
    "http://" + "a." * 500_000,
    "x" * 1_000_000,
    " " * 1_000_000,
    "http://" + "@" * 1_000_000,
]


@pytest.mark.parametrize("referrer", NAMES)
def test_known(referrer: str) -> None:
    """A well-known site or app has its name, whatever subdomain or country."""
    assert referrer_source(referrer, "example.com") == NAMES[referrer]


@pytest.mark.parametrize("referrer", HOSTS)
def test_unknown_is_its_host(referrer: str) -> None:
    """Any other referrer is called by its host, without port, credentials and www."""
    assert referrer_source(referrer, "example.com") == HOSTS[referrer]


@pytest.mark.parametrize(
    ("referrer", "host"),
    [
        ("https://example.com/page", "example.com"),
        ("https://www.example.com/", "example.com"),
        ("https://example.com/", "www.example.com:8443"),
        ("http://EXAMPLE.com:5000/", "Example.COM"),
        ("https://bücher.example/", "xn--bcher-kva.example"),
        ("https://xn--bcher-kva.example/", "bücher.example"),
        ("http://[::1]:5000/", "[::1]:5000"),
        ("http://localhost:5000/", "localhost:5000"),
        ("https://github.com/x", "github.com"),
    ],
)
def test_own_host_is_internal(referrer: str, host: str) -> None:
    """A link within the own host is no source."""
    assert referrer_source(referrer, host) is None


def test_subdomain_is_another_host() -> None:
    """A subdomain of the own host is a source, as another site is."""
    assert referrer_source("https://blog.example.com/", "example.com") == "blog.example.com"


def test_no_referrer() -> None:
    """Without a referrer there is no source."""
    assert referrer_source(None, "example.com") is None


@pytest.mark.parametrize("host", [None, "", ":", "[", "a" * 1_000_000, "\x00"])
def test_odd_host(host: str | None) -> None:
    """A missing or broken Host header changes nothing."""
    assert referrer_source("https://t.co/x", host) == "X"


@pytest.mark.parametrize("referrer", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage(referrer: str) -> None:
    """What names no host is no source and never raises."""
    assert referrer_source(referrer, "example.com") is None


def test_list_is_well_formed() -> None:
    """Each host of the list stands there once, in the form that is looked up."""
    groups = json.loads(referrers._LIST.read_text("utf-8"))
    del groups["about"]
    hosts = [host for group in groups.values() for hosts in group.values() for host in hosts]
    form = re.compile(
        r"(?:android-app://[a-zA-Z0-9_.]+|[a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:[a-z]+|\*))"
    )
    assert [host for host in hosts if not form.fullmatch(host)] == []
    assert sorted(hosts) == sorted(set(hosts))


def test_list_has_each_name_in_one_group() -> None:
    """A name of the list belongs to one group."""
    groups = json.loads(referrers._LIST.read_text("utf-8"))
    del groups["about"]
    names = [name for group in groups.values() for name in group]
    assert sorted(names) == sorted(set(names))
