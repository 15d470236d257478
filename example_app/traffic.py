"""Thirty days of made-up but plausible requests of the shop, as records for the storage.

People come in the evening more than at night, from search engines, newsletters and links; look
at some pages, the popular ones more often (Zipf); a few buy. Crawlers, API clients, a monitor and
scanners for other people's software come too. Three days before the end the database is away
for an hour and a half. The same ``seed`` and ``now`` give the same requests.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from random import Random
from typing import Any, NamedTuple
from urllib.parse import quote_plus

from flask import Flask
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import RequestRedirect

from flask_statistics.recording.event import take_event
from flask_statistics.recording.record import RECORD, Record, Tracked, TrackedRecord

from .catalogue import POSTS, TEAS, Tea
from .visitors import CLIENTS, CRAWLERS, MONITOR, SCANNER, Client, person, pick, program

HOST = "leaf-and-kettle.example"
VISITS_A_DAY = 240
_REGULARS = 900
_HOURS = (9, 5, 3, 2, 2, 4, 9, 16, 24, 28, 30, 31, 34, 31, 29, 29, 31, 34, 38, 44, 48, 44, 31, 17)
_HTML = "text/html; charset=utf-8"
_REFERRERS = (
    (34, "https://www.google.com/"),
    (7, "https://duckduckgo.com/"),
    (5, "https://www.bing.com/"),
    (5, "https://news.ycombinator.com/item?id=4242"),
    (6, "https://www.reddit.com/r/tea/comments/1abcd/"),
    (4, "https://www.instagram.com/"),
    (3, "https://chatgpt.com/"),
    (2, "https://t.co/1aB2cD3eF4"),
    (4, "https://steeped-thoughts.example/where-to-buy"),
    (36, ""),
)
_CAMPAIGNS = (
    "utm_source=newsletter&utm_medium=email&utm_campaign=first-flush",
    "utm_source=instagram&utm_medium=social&utm_campaign=autumn",
    "utm_source=google&utm_medium=cpc&utm_campaign=brand&utm_term=loose+tea",
)
_SEARCHES = ("green", "earl grey", "oolong", "matcha", "gift", "coffee", "pu-erh", "sencha", "chai")
_SCANNED = ("/wp-login.php", "/.env", "/admin.php", "/xmlrpc.php", "/.git/config", "/phpmyadmin/")
_OUTAGE = "OperationalError('connection to the database timed out')"
_CACHED = "/static/shop.css"


class Cost(NamedTuple):
    """What an endpoint takes: median seconds, bytes, statements, and its content type."""

    seconds: float
    size: int
    queries: int
    content_type: str = _HTML


_COSTS = {
    "shop.home": Cost(0.011, 3_900, 1),
    "shop.teas": Cost(0.019, 9_300, 1),
    "shop.tea": Cost(0.009, 2_100, 1),
    "shop.search": Cost(0.046, 4_800, 1),
    "shop.cart": Cost(0.013, 2_600, 1),
    "shop.add_to_cart": Cost(0.010, 220, 1),
    "shop.checkout": Cost(0.120, 200, 4),
    "shop.tasting": Cost(1.62, 1_600, 0),
    "shop.prices": Cost(0.034, 910, 1, "text/csv; charset=utf-8"),
    "shop.robots": Cost(0.001, 31, 0, "text/plain; charset=utf-8"),
    "blog.index": Cost(0.005, 2_300, 0),
    "blog.post": Cost(0.006, 1_700, 0),
    "api.v1.products": Cost(0.014, 2_400, 1, "application/json"),
    "api.v1.product": Cost(0.006, 110, 1, "application/json"),
    "static": Cost(0.002, 2_048, 0, "text/css; charset=utf-8"),
}
_OTHER = Cost(0.004, 1_500, 0)


class Hit(NamedTuple):
    """One request before it is answered; ``when`` in UTC, ``event`` with its properties."""

    when: datetime
    client: Client
    path: str
    method: str = "GET"
    query: str = ""
    referrer: str | None = None
    username: str | None = None
    event: tuple[str, dict[str, Any]] | None = None


def made_up_traffic(app: Flask, *, days: int, seed: int, now: datetime) -> Iterator[Record]:
    """Yield the records of ``days`` days that end at ``now`` (UTC), in the order of time."""
    random = Random(seed)  # noqa: S311 - it plays dice and keeps no secret
    regulars = [person(random) for _ in range(_REGULARS)]
    urls = app.url_map.bind(HOST, url_scheme="https")
    first = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days - 1)
    outage = now.replace(hour=14, minute=10, second=0, microsecond=0) - timedelta(days=3)
    late: list[Hit] = []  # of visits that went on past midnight
    for number in range(days):
        day = first + timedelta(days=number)
        hits = sorted([*late, *_day(random, day, regulars)], key=lambda hit: hit.when)
        late = [hit for hit in hits if hit.when >= day + timedelta(days=1)]
        for hit in hits[: len(hits) - len(late)]:
            if hit.when < now:
                away = outage <= hit.when < outage + timedelta(minutes=90)
                yield _answer(random, urls, hit, away=away)


def _day(random: Random, day: datetime, regulars: list[Client]) -> Iterator[Hit]:
    weekend = 0.7 if day.weekday() >= 5 else 1.0
    for _ in range(round(random.gauss(VISITS_A_DAY, 18) * weekend)):
        client = random.choice(regulars) if random.random() < 0.3 else person(random)
        yield from _visit(random, _moment(random, day), client, day)
    for amount, user_agent in CRAWLERS:
        client = program(random, user_agent)
        for _ in range(random.randint(amount // 2, amount)):
            path, query = _page(random)
            yield Hit(_moment(random, day), client, path, query=query)
        yield Hit(_moment(random, day), client, "/robots.txt")
    monitor = program(random, MONITOR)
    for minute in range(0, 1440, 15):
        yield Hit(day + timedelta(minutes=minute, seconds=7), monitor, "/", "HEAD")
    yield from _programs(random, day)


def _programs(random: Random, day: datetime) -> Iterator[Hit]:
    for user_agent in CLIENTS:
        client = program(random, user_agent)
        for _ in range(random.randint(10, 45)):
            number = random.randint(0, len(TEAS) + 1)
            path = f"/api/v1/products/{number}" if number else "/api/v1/products"
            yield Hit(_moment(random, day), client, path)
    scanner, start = program(random, SCANNER), _moment(random, day)
    for second, path in enumerate(random.sample(_SCANNED, 4)):
        yield Hit(start + timedelta(seconds=second), scanner, path)


def _moment(random: Random, day: datetime) -> datetime:
    hour = random.choices(range(24), _HOURS)[0]
    return day + timedelta(hours=hour, seconds=random.uniform(0, 3600))


def _zipf(random: Random, slugs: list[str]) -> str:
    return random.choices(slugs, [1 / rank for rank in range(1, len(slugs) + 1)])[0]


def _page(random: Random) -> tuple[str, str]:
    """Return the path and the query string of a page that somebody wants to see."""
    kind = random.random()
    if kind < 0.22:
        return "/", ""
    if kind < 0.55:
        return "/tea/" + _zipf(random, [tea.slug for tea in TEAS]), ""
    if kind < 0.72:
        return "/blog/" + _zipf(random, [post.slug for post in POSTS]), ""
    if kind < 0.80:
        return "/teas", random.choice(("", "kind=green", "kind=black", "kind=oolong"))
    if kind < 0.87:
        return "/search", "q=" + quote_plus(_zipf(random, [*_SEARCHES]))
    rare = ("/blog/", "/tasting", "/prices.csv", "/shop", "/stock", "/tea/ceylon", "/about")
    return random.choices(rare, (30, 9, 9, 12, 2, 8, 7))[0], ""


def _visit(random: Random, when: datetime, client: Client, day: datetime) -> Iterator[Hit]:
    path, query = _page(random)
    referrer: str | None = pick(random, _REFERRERS) or None
    if random.random() < (0.25 if day.weekday() == 3 else 0.06):  # the newsletter's day
        query, referrer = random.choice(_CAMPAIGNS), None
    username = "admin" if random.random() < 0.006 else None
    yield Hit(when, client, _CACHED, referrer=f"https://{HOST}{path}")
    while True:
        yield Hit(when, client, path, query=query, referrer=referrer, username=username)
        referrer = f"https://{HOST}{path}"
        when += timedelta(seconds=random.lognormvariate(3.2, 1.1))
        tea = next((tea for tea in TEAS if path == f"/tea/{tea.slug}"), None)
        if tea and random.random() < 0.09:
            yield from _purchase(random, when, client, tea)
            return
        if random.random() < 0.42:
            return
        path, query = _page(random)


def _purchase(random: Random, when: datetime, client: Client, tea: Tea) -> Iterator[Hit]:
    cart, page = f"https://{HOST}/cart", f"https://{HOST}/tea/{tea.slug}"
    yield Hit(when, client, "/cart", "POST", referrer=page, event=("cart", {"tea": tea.slug}))
    yield Hit(when + timedelta(seconds=0.2), client, "/cart", referrer=page)
    if random.random() < 0.55:
        paid = when + timedelta(seconds=random.uniform(20, 120))
        order = {"items": 1, "revenue": tea.price / 100, "currency": "EUR"}
        yield Hit(paid, client, "/checkout", "POST", referrer=cart, event=("purchase", order))
        yield Hit(paid + timedelta(seconds=0.3), client, "/", referrer=cart)


def _match(urls: Any, hit: Hit) -> tuple[Any, dict[str, Any], int]:
    try:
        rule, arguments = urls.match(hit.path, hit.method, return_rule=True)
    except RequestRedirect as redirect:
        return None, {}, redirect.code
    except MethodNotAllowed:
        return None, {}, 405
    except HTTPException:
        return None, {}, 404
    return rule, arguments, 200


def _status(random: Random, endpoint: str | None, hit: Hit, arguments: dict[str, Any]) -> int:
    if endpoint == "shop.tea" and arguments["slug"] not in {tea.slug for tea in TEAS}:
        return 404
    if endpoint == "api.v1.product" and arguments["number"] > len(TEAS):
        return 404
    if endpoint == "static" and random.random() < 0.3:
        return 304
    if endpoint == "shop.old_address":
        return 301
    if endpoint == "shop.stock":
        return 500
    return 302 if hit.method == "POST" else 200


def _answer(random: Random, urls: Any, hit: Hit, *, away: bool) -> Record:
    rule, arguments, status = _match(urls, hit)
    endpoint = rule.endpoint if rule else None
    cost = _COSTS.get(endpoint or "", _OTHER)
    if status == 200:
        status = _status(random, endpoint, hit, arguments)
    exception = "ZeroDivisionError('division by zero')" if status == 500 else None
    seconds = cost.seconds * random.lognormvariate(0, 0.45)
    if away and cost.queries:
        status, exception, seconds = 500, _OUTAGE, random.uniform(4.5, 5.5)
    size = 0 if hit.method == "HEAD" or status == 304 else round(cost.size * random.gauss(1, 0.03))
    statements = cost.queries if status != 500 else 0
    results = {"results": random.randint(0, 6)} if endpoint == "shop.search" else None
    values: dict[str, Any] = {
        "date": hit.when.replace(tzinfo=timezone.utc).timestamp(),
        "response_time": seconds,
        "method": hit.method,
        "script_name": "",
        "path": hit.path,
        "query_string": hit.query,
        "status_code": status,
        "content_type": cost.content_type if status < 400 else _HTML,
        "size": size,
        "remote_address": hit.client.address,
        "user_agent": hit.client.user_agent,
        "referrer": hit.referrer,
        "accept_language": hit.client.language,
        "scheme": "https",
        "host": HOST,
        "authorization": False,
        "endpoint": endpoint,
        "route": rule.rule if rule else None,
        "view_args": tuple(arguments.items()) if rule else None,
        "exception": exception,
        "username": hit.username,
        "track_var": json.dumps(results) if results and status == 200 else None,
        "db_queries": statements,
        "db_time": statements * seconds * 0.2,
        "fields": (),
    }
    record = tuple(values.get(name) for name in RECORD)
    if hit.event is None or status >= 400:
        return record
    return TrackedRecord(record, Tracked((take_event(values["date"], *hit.event),)))
