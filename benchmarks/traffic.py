"""Requests as a server hands them over: WSGI environs, always the same for the same seed.

Paths, referrers and the 558 user agents are those of the real log in the example app, with their
own frequencies; visitors are made up.
"""

from __future__ import annotations

import gzip
import io
import random
import re
import sys
from functools import cache
from itertools import accumulate
from typing import Any
from urllib.parse import unquote

from .process import ROOT

LOG = ROOT / "example_app" / "data" / "access.log.gz"
VISITORS = 4000
_REQUEST = re.compile(r'"[A-Z]+ (\S+) HTTP/[\d.]+" \d+ \S+ "([^"]*)" "([^"]*)"')
_LANGUAGES = ("en-US,en;q=0.9", "de-DE,de;q=0.9,en;q=0.5", "fr", "pt-BR,pt;q=0.9", "zh-CN,zh;q=0.8")

Environ = dict[str, Any]


@cache
def _logged() -> list[tuple[str, str, str]]:
    """Return target, referrer and user agent of each line of the log."""
    with gzip.open(LOG, "rt", encoding="latin-1") as lines:
        found = filter(None, map(_REQUEST.search, lines))
        return [(match[1], match[2], match[3]) for match in found]


@cache
def _visitors() -> tuple[list[tuple[str, str, str]], list[float]]:
    """Return address, user agent and language of each visitor, and how often which one comes."""
    seeded = random.Random(3)
    agents = [agent for _, _, agent in seeded.sample(_logged(), VISITORS)]
    visitors = [
        (f"{seeded.randint(1, 223)}.{seeded.randint(0, 255)}.{seeded.randint(0, 255)}."
         f"{seeded.randint(1, 254)}", agent, seeded.choice(_LANGUAGES))
        for agent in agents
    ]  # fmt: skip
    return visitors, list(accumulate(1 / rank**0.8 for rank in range(1, VISITORS + 1)))


def realistic_requests(count: int, seed: int = 1) -> list[Environ]:
    """Return environs of many visitors, of whom some come often (Zipf) and most seldom."""
    seeded = random.Random(seed)
    visitors, weights = _visitors()
    chosen = seeded.choices(visitors, cum_weights=weights, k=count)
    asked = seeded.choices(_logged(), k=count)
    return [
        _environ(target, address, agent, language, referrer)
        for (address, agent, language), (target, referrer, _) in zip(chosen, asked, strict=True)
    ]


def same_requests(count: int) -> list[Environ]:
    """Return environs of one browser asking for ``/``, one object each."""
    agent = (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/125.0.0.0 Safari/537.36"
    )
    referrer = "https://www.google.com/"
    return [_environ("/", "203.0.113.9", agent, _LANGUAGES[0], referrer) for _ in range(count)]


def _environ(target: str, address: str, agent: str, language: str, referrer: str) -> Environ:
    path, _, query = target.partition("?")
    environ = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(path, "latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": target,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "benchmark",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "REMOTE_ADDR": address,
        "REMOTE_PORT": "50000",
        "HTTP_HOST": "www.example.org",
        "HTTP_USER_AGENT": agent,
        "HTTP_ACCEPT": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "HTTP_ACCEPT_LANGUAGE": language,
        "HTTP_ACCEPT_ENCODING": "gzip, deflate, br",
        "HTTP_CONNECTION": "keep-alive",
        "HTTP_COOKIE": "theme=dark; consent=1",
        "HTTP_UPGRADE_INSECURE_REQUESTS": "1",
        "HTTP_SEC_FETCH_DEST": "document",
        "HTTP_SEC_FETCH_MODE": "navigate",
        "HTTP_SEC_FETCH_SITE": "cross-site",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if referrer != "-":
        environ["HTTP_REFERER"] = referrer
    return environ
