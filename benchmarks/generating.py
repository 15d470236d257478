"""Realistic traffic in any amount: all columns of ``RequestMixin``, the same for the same seed.

Paths and people are met by Zipf's law; there is more by day than by night and on working days;
people view several pages a visit and return, some through a campaign; bots crawl; responses have
a long tail, and some fail. Visitors and visits are named as the recorder names them: another
visitor each day, another visit after half an hour's pause. A day's rows are made at once by
NumPy, into Arrow columns, in the order of their dates.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
_TIMEOUT = 1800 * _SECOND
#: Visits by hour of the day (UTC), and by day of the week from Monday.
_HOURS = (3, 2, 2, 1, 1, 2, 3, 5, 8, 10, 11, 11, 10, 10, 11, 11, 11, 10, 10, 10, 11, 10, 8, 5)
_WEEK = (1.1, 1.15, 1.15, 1.1, 1.0, 0.75, 0.75)
_HOST = "www.example.org"

#: Route, endpoint, blueprint, media type, methods, its paths, its share, seconds of a response.
_ROUTES = (
    ("/", "index", None, "text/html", "GET", 1, 0.07, 0.02),
    ("/articles/<int:number>", "blog.article", "blog", "text/html", "GET", 6000, 0.24, 0.03),
    ("/articles/", "blog.articles", "blog", "text/html", "GET", 1, 0.04, 0.05),
    ("/topics/<topic>", "blog.topic", "blog", "text/html", "GET", 150, 0.05, 0.04),
    ("/products/<slug>", "shop.product", "shop", "text/html", "GET", 3000, 0.15, 0.04),
    ("/products/", "shop.products", "shop", "text/html", "GET", 1, 0.03, 0.08),
    ("/cart", "shop.cart", "shop", "text/html", "GET", 1, 0.02, 0.03),
    ("/cart/add", "shop.add", "shop", "text/html", "POST", 1, 0.015, 0.03),
    ("/checkout", "shop.checkout", "shop", "text/html", "POST", 1, 0.005, 0.4),
    ("/account/<name>", "account.show", "account", "text/html", "GET", 2000, 0.03, 0.03),
    ("/login", "account.login", "account", "text/html", "POST", 1, 0.01, 0.25),
    ("/search", "search", None, "text/html", "GET", 2500, 0.055, 0.12),
    ("/api/items/<int:number>", "api.item", "api", "application/json", "GET", 5000, 0.1, 0.008),
    ("/api/items/", "api.items", "api", "application/json", "GET", 1, 0.03, 0.02),
    ("/api/events", "api.events", "api", "application/json", "POST", 1, 0.05, 0.006),
    ("/feed.xml", "feed", None, "application/rss+xml", "GET", 1, 0.02, 0.06),
    ("/downloads/<name>", "download", None, "application/pdf", "GET", 200, 0.015, 0.01),
    ("/images/<int:number>.png", "image", None, "image/png", "GET", 1500, 0.05, 0.002),
    (None, None, None, "text/html", "GET", 1200, 0.02, 0.001),
)
_BROWSERS = (
    ("Chrome", (120, 131), 0.5, ("Windows", "Mac OS X", "Android", "Linux")),
    ("Safari", (16, 18), 0.22, ("iOS", "Mac OS X")),
    ("Firefox", (115, 133), 0.12, ("Windows", "Linux", "Mac OS X", "Android")),
    ("Edge", (120, 131), 0.1, ("Windows",)),
    ("Samsung Internet", (23, 27), 0.04, ("Android",)),
    ("Opera", (105, 114), 0.02, ("Windows", "Android")),
)
_PLATFORMS = {
    "Windows": (("10",), "desktop"),
    "Mac OS X": (("10.15.7",), "desktop"),
    "Linux": ((None,), "desktop"),
    "Android": (("10", "12", "13", "14", "15"), "mobile"),
    "iOS": (("16.7", "17.6", "18.1"), "mobile"),
}
_BOTS = ("Googlebot", "bingbot", "AhrefsBot", "SemrushBot", "GPTBot", "YandexBot", "Applebot",
         "python-requests", "curl", "UptimeRobot", "facebookexternalhit", "DotBot")  # fmt: skip
_COUNTRIES = ("US", "DE", "GB", "FR", "IN", "BR", "CA", "NL", "ES", "IT", "JP", "PL", "AU", "SE",
              "CH", "AT", "MX", "TR", "KR", "CN", "BE", "CZ", "PT", "DK", "FI", "NO", "IE", "RO",
              "UA", "AR", "ID", "ZA", "GR", "HU", "IL", "SG", "NZ", "CL", "CO", "TH")  # fmt: skip
_LANGUAGES = ("en-US", "de", "en-GB", "fr", "en", "pt-BR", "es", "nl", "it", "ja", "pl", "sv",
              "zh-CN", "ru", "tr", "ko", "cs", "da")  # fmt: skip
_SOURCES = ("Google", "Bing", "DuckDuckGo", "Hacker News", "Reddit", "Facebook", "LinkedIn",
            "GitHub", "Twitter", *(f"site{number}.example" for number in range(200)))  # fmt: skip
_EXCEPTIONS = ("KeyError('price')", "TimeoutError('upstream')", "ValueError('bad page')",
               "OperationalError('database is locked')", "ZeroDivisionError('division by zero')",
               "TemplateNotFound('card.html')")  # fmt: skip


def _zipf(count: int, exponent: float = 1.0) -> np.ndarray[Any, Any]:
    """Return the cumulative shares of this many things, the most frequent first."""
    weights = np.cumsum(1 / np.arange(1, count + 1) ** exponent)
    return weights / weights[-1]


class _Pool:
    """Values to choose from: one index names one value of each of several columns."""

    def __init__(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        self.size = len(rows)
        self._columns = {
            name: pa.array([row[place] for row in rows]).dictionary_encode()
            for place, name in enumerate(columns)
        }

    def take(self, chosen: np.ndarray[Any, Any]) -> dict[str, pa.Array]:
        indices = pa.array(chosen)
        return {name: values.take(indices) for name, values in self._columns.items()}


class _Chain(NamedTuple):
    """A day's requests, each visitor's in a row: when, whose, whether the visit's first."""

    moments: np.ndarray[Any, Any]
    visitors: np.ndarray[Any, Any]
    begins: np.ndarray[Any, Any]


@dataclass(frozen=True)
class Traffic:
    """Rows of these days, about as many a day as were asked for.

    :ivar first: the first day.
    :ivar rows: all rows, exactly.
    """

    first: date
    days: int
    rows: int
    seed: int = 1

    def rows_of(self, number: int) -> int:
        """Return how many rows day ``number`` has."""
        weights = np.array(
            [_WEEK[(self.first + timedelta(day)).weekday()] for day in range(self.days)]
        )
        ends = np.rint(np.cumsum(weights) / weights.sum() * self.rows).astype(int)
        return int(ends[number] - (ends[number - 1] if number else 0))

    def __iter__(self) -> Iterator[tuple[pa.Table, pa.Table]]:
        """Yield requests and visits, a day at a time."""
        first_id = 1
        for number in range(self.days):
            requests, visits = self.day(number, first_id)
            first_id += requests.num_rows
            yield requests, visits

    def day(self, number: int, first_id: int) -> tuple[pa.Table, pa.Table]:
        """Return the requests of one day in order, and its visits as ``statistics_visit``."""
        random = np.random.default_rng((self.seed, number))
        day = self.first + timedelta(number)
        midnight = (day - date(1970, 1, 1)).days * _DAY
        chain = self._chain(random, self.rows_of(number))
        chain = chain._replace(moments=chain.moments + midnight)
        people = self._people(random, int(chain.visitors[-1]) + 1)
        is_bot = people >= self._identities
        columns = self._requests(random, chain, people, is_bot, number)
        visits = _visits(chain, columns, is_bot)
        order = np.argsort(chain.moments, kind="stable")
        ids = pa.array(np.arange(first_id, first_id + len(order)))
        taken = pa.array(order)
        return (
            pa.table({"id": ids, **{name: col.take(taken) for name, col in columns.items()}}),
            visits,
        )

    # -- who comes when ------------------------------------------------------------------------

    @property
    def _identities(self) -> int:
        return max(1000, self.rows // (self.days * 2))

    def _chain(self, random: np.random.Generator, rows: int) -> _Chain:
        """Each visitor's first request by the rhythm of the day, the others after pauses."""
        lengths = random.geometric(1 / 8, size=rows // 4 + 50)
        lengths = np.where(random.random(len(lengths)) < 0.004, lengths * 40, lengths)
        lengths = np.minimum(lengths, max(rows // 20, 50))
        lengths = lengths[: int(np.searchsorted(np.cumsum(lengths), rows * 1.5 + 1000)) + 1]
        visitors = np.repeat(np.arange(len(lengths)), lengths)
        starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
        hours = np.searchsorted(np.cumsum(_HOURS) / sum(_HOURS), random.random(len(lengths)))
        begun = (hours * 3600 + random.random(len(lengths)) * 3600) * _SECOND
        pauses = random.exponential(35, len(visitors)) + 0.05
        pauses = np.where(pauses > 1700, 1700, pauses) * _SECOND
        away = random.random(len(visitors)) < 0.03
        pauses = np.where(away, (1810 + random.exponential(7200, len(away))) * _SECOND, pauses)
        pauses[starts] = 0
        passed = np.cumsum(pauses)
        moments = (begun[visitors] + passed - passed[starts][visitors]).astype(np.int64)
        kept = np.flatnonzero(moments < _DAY)[:rows]  # after midnight it is another visitor
        if len(kept) < rows:
            raise RuntimeError(f"only {len(kept)} of {rows} rows lie within the day")
        moments, visitors = moments[kept], visitors[kept]
        later = np.diff(visitors, prepend=-1) == 0
        begins = ~(later & (np.diff(moments, prepend=0) <= _TIMEOUT))
        return _Chain(moments, visitors, begins)

    def _people(self, random: np.random.Generator, visitors: int) -> np.ndarray[Any, Any]:
        """Return who each visitor is; the highest numbers are bots."""
        bots = min(max(visitors // 12, 1), self._bots)
        shuffled = random.permutation(self._identities)[: visitors - bots]
        more = random.integers(0, self._identities, max(0, visitors - bots - len(shuffled)))
        crawling = self._identities + random.permutation(self._bots)[:bots]
        return random.permutation(np.concatenate((shuffled, more, crawling)))

    @property
    def _bots(self) -> int:
        return max(200, self._identities // 50)

    # -- what they ask for ---------------------------------------------------------------------

    def _requests(
        self,
        random: np.random.Generator,
        chain: _Chain,
        people: np.ndarray[Any, Any],
        is_bot: np.ndarray[Any, Any],
        number: int,
    ) -> dict[str, pa.Array]:
        rows = len(chain.moments)
        who = people[chain.visitors]
        target, campaign = self._targets_of(random, chain)
        salt = np.uint64(self.seed * 1_000_003 + number)
        hashes = _mixed(people.astype(np.uint64) * np.uint64(2**20) + salt)[chain.visitors]
        span = np.maximum.accumulate(np.where(chain.begins, np.arange(rows), 0))
        status, exception = self._statuses(random, target)
        size = np.where(status == 304, 0, random.lognormal(9.2, 1.1, rows).astype(np.int64))
        taken = random.lognormal(0, 0.7, rows) * self._seconds[target]
        taken *= np.where(random.random(rows) < 0.01, 20, 1)
        taken = np.rint(taken * _SECOND) / _SECOND
        statements = random.poisson(self._seconds[target] * 100)
        in_database = np.rint(taken * random.random(rows) * 0.6 * _SECOND) / _SECOND
        nothing = pa.nulls(rows, pa.string())
        return {
            "date": pa.array(chain.moments, pa.timestamp("us")),
            "response_time": pa.array(taken),
            **self._targets.take(target),
            "status_code": pa.array(status.astype(np.int32)),
            "size": pa.array(size),
            "exception": exception,
            **self._referrers_of(random, chain, target, campaign),
            **self._clients.take(who),
            "host": _constant(_HOST, rows),
            "server_name": _constant("shop", rows),
            "authorization": pa.array(random.random(rows) < 0.01),
            "visitor": _hexadecimal(hashes),
            "visit": _visit_names(hashes, chain.moments[span]),
            "request_id": _hexadecimal(random.integers(0, 2**63, rows).astype(np.uint64)),
            "db_queries": pa.array(statements.astype(np.int32)),
            "db_time": pa.array(np.where(statements > 0, in_database, 0.0)),
            "version": _constant(f"2.{number // 10}", rows),
            "site": nothing,
            "track_var": pa.DictionaryArray.from_arrays(
                pa.array(np.zeros(rows, np.int32), mask=random.random(rows) > 0.02),
                pa.array(['{"plan": "pro"}']),
            ),
            "bot": self._bot_names(who, is_bot[chain.visitors]),
        }

    def _targets_of(
        self, random: np.random.Generator, chain: _Chain
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Return what is asked for, and for the first request of a visit its campaign or -1."""
        rows = len(chain.moments)
        target = np.searchsorted(self._target_shares, random.random(rows))
        campaign = np.full(rows, -1)
        led = chain.begins & (random.random(rows) < 0.06)
        campaign[led] = np.searchsorted(_zipf(len(self._campaigns)), random.random(led.sum()))
        return np.where(led, self._plain_targets + campaign, target), campaign

    def _statuses(
        self, random: np.random.Generator, target: np.ndarray[Any, Any]
    ) -> tuple[np.ndarray[Any, Any], pa.Array]:
        chance = random.random(len(target))
        status = np.select(
            [chance < 0.85, chance < 0.93, chance < 0.96, chance < 0.985, chance < 0.993],
            [200, 304, 302, 404, 403],
            500,
        )
        status = np.where(self._unrouted[target], 404, status)
        which = random.integers(0, len(_EXCEPTIONS), len(target)).astype(np.int32)
        raised = pa.array(which, mask=(status != 500) | (chance > 0.998))
        return status, pa.DictionaryArray.from_arrays(raised, pa.array(_EXCEPTIONS))

    def _referrers_of(
        self,
        random: np.random.Generator,
        chain: _Chain,
        target: np.ndarray[Any, Any],
        campaign: np.ndarray[Any, Any],
    ) -> dict[str, pa.Array]:
        """The page before, else another site, else nothing."""
        rows = len(target)
        outer = np.searchsorted(_zipf(len(_SOURCES), 1.2), random.random(rows))
        # The sites come after the own pages among the referrers.
        chosen = np.where(chain.begins, self._targets.size + outer, np.roll(target, 1))
        unknown = np.where(chain.begins, random.random(rows) < 0.45, random.random(rows) < 0.1)
        found = self._referrers.take(np.where(unknown, self._referrers.size - 1, chosen))
        return found | self._utm.take(np.where(campaign < 0, len(self._campaigns), campaign))

    def _bot_names(self, who: np.ndarray[Any, Any], is_bot: np.ndarray[Any, Any]) -> pa.Array:
        names = pa.array((who % len(_BOTS)).astype(np.int32), mask=~is_bot)
        return pa.DictionaryArray.from_arrays(names, pa.array(_BOTS))

    # -- pools ---------------------------------------------------------------------------------

    @cached_property
    def _routes(self) -> list[tuple[int, str, str]]:
        """Route, path and query of each target, campaigns last."""
        found = []
        for number, (route, *_, paths, _share, _seconds) in enumerate(_ROUTES):
            for path in range(paths):
                found.append((number, *_target(route, path)))
        return found + [(1, f"/articles/{n + 1}", _query(c)) for n, c in enumerate(self._campaigns)]

    @cached_property
    def _campaigns(self) -> list[tuple[str, str, str, str | None, str | None]]:
        sources = (("google", "cpc"), ("newsletter", "email"), ("facebook", "social"))
        return [
            (source, medium, campaign, term, content)
            for (source, medium), campaign, (term, content) in product(
                sources,
                ("spring", "summer", "launch", "retarget", "brand"),
                (("shoes", "a"), ("boots", "b"), (None, None)),
            )
        ]

    @property
    def _plain_targets(self) -> int:
        return len(self._routes) - len(self._campaigns)

    @cached_property
    def _target_shares(self) -> np.ndarray[Any, Any]:
        shares = [np.diff(_zipf(paths, 0.9), prepend=0) * share for *_, paths, share, _ in _ROUTES]
        cumulative = np.cumsum(np.concatenate(shares))
        return cumulative / cumulative[-1]

    @cached_property
    def _seconds(self) -> np.ndarray[Any, Any]:
        return np.array([_ROUTES[route][-1] for route, *_ in self._routes])

    @cached_property
    def _unrouted(self) -> np.ndarray[Any, Any]:
        return np.array([_ROUTES[route][0] is None for route, *_ in self._routes])

    @cached_property
    def _targets(self) -> _Pool:
        names = ("method", "path", "mimetype", "url", "query_string", "url_args", "endpoint",
                 "route", "blueprint", "view_args")  # fmt: skip
        rows = []
        for number, path, query in self._routes:
            route, endpoint, blueprint, mimetype, method, *_ = _ROUTES[number]
            url = f"https://{_HOST}{path}" + (f"?{query}" if query else "")
            args = dict(part.split("=") for part in query.split("&")) if query else {}
            last = path.rsplit("/", 1)[1]
            view_args = json.dumps({"name": last} if route and "<" in route else {})
            rows.append((method, path, mimetype, url, query, json.dumps(args), endpoint, route,
                         blueprint, view_args))  # fmt: skip
        return _Pool(names, rows)

    @cached_property
    def _referrers(self) -> _Pool:
        own = [(f"https://{_HOST}{path}", None) for _, path, _ in self._routes]
        others = [
            (f"https://{source.lower().replace(' ', '')}.example/", source) for source in _SOURCES
        ]
        return _Pool(("referrer", "source"), [*own, *others, (None, None)])

    @cached_property
    def _utm(self) -> _Pool:
        names = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")
        return _Pool(names, [*self._campaigns, (None,) * 5])

    @cached_property
    def _clients(self) -> _Pool:
        """What is the same for a person on every day: address, place, language, browser."""
        random = np.random.default_rng(self.seed)
        count = self._identities + self._bots
        agents, weights = _agents()
        agent = np.searchsorted(np.cumsum(weights) / sum(weights), random.random(count))
        country = np.searchsorted(_zipf(len(_COUNTRIES)), random.random(count))
        city = np.searchsorted(_zipf(30), random.random(count))
        language = np.searchsorted(_zipf(len(_LANGUAGES)), random.random(count))
        address = random.integers(0x0B000000, 0xDF000000, count)
        chance = random.random((count, 2))
        rows = []
        for person in range(count):
            is_bot = person >= self._identities
            client = _bot_agent(person) if is_bot else agents[agent[person]]
            ip = ".".join(str((int(address[person]) >> shift) & 255) for shift in (24, 16, 8, 0))
            land, place = _COUNTRIES[country[person]], int(city[person])
            rows.append((
                *client, None if is_bot else _LANGUAGES[language[person]], ip,
                f"{ip}, 198.51.100.7" if chance[person, 0] < 0.2 else None,
                None if is_bot or chance[person, 1] > 0.15 else f"user{person}",
                land, f"{land}-{place % 8}", f"City {land} {place}",
                json.dumps({"country": land, "city": f"City {land} {place}"}),
            ))  # fmt: skip
        names = ("user_agent", "browser", "browser_version", "platform", "platform_version",
                 "device", "language", "remote_address", "xforwardedfor", "username", "country",
                 "region", "city", "ip_info")  # fmt: skip
        return _Pool(names, rows)


def _target(route: str | None, number: int) -> tuple[str, str]:
    """Return the path and the query string of one target of a route."""
    if route is None:
        return f"/old/page-{number}.php", ""
    if route == "/search":
        return "/search", f"q=word{number}&page={number % 3 + 1}"
    begin, argument, rest = route.partition("<")
    if not argument:
        return route, ""
    kind, _, end = rest.partition(">")
    name = str(number + 1) if kind.startswith("int:") else f"{kind}-{number * 7919 % 10007:04d}"
    return f"{begin}{name}{end}", ""


def _query(campaign: tuple[str, str, str, str | None, str | None]) -> str:
    names = ("source", "medium", "campaign", "term", "content")
    return "&".join(
        f"utm_{name}={value}" for name, value in zip(names, campaign, strict=True) if value
    )


def _agents() -> tuple[list[tuple[str | None, ...]], list[float]]:
    """Return user agent, browser, its version, platform, its version, device; and their shares."""
    found, weights = [], []
    for name, (oldest, newest), share, platforms in _BROWSERS:
        for version in range(oldest, newest + 1):
            for place, platform in enumerate(platforms):
                versions, device = _PLATFORMS[platform]
                for of in versions:
                    agent = f"Mozilla/5.0 ({platform} {of or 'x86_64'}) {name}/{version}.0.0.0"
                    found.append((agent, name, f"{version}.0", platform, of, device))
                    weights.append(
                        share / (newest - version + 1) ** 1.5 / (place + 1) / len(versions)
                    )
    return found, weights


def _bot_agent(person: int) -> tuple[str | None, ...]:
    name = _BOTS[person % len(_BOTS)]
    return (f"Mozilla/5.0 (compatible; {name}/2.1)", name, "2.1", None, None, "bot")


def _visits(chain: _Chain, columns: dict[str, pa.Array], is_bot: np.ndarray[Any, Any]) -> pa.Table:
    """Return a row a visit; the chain has the requests of each together."""
    starts = np.flatnonzero(chain.begins)
    ends = np.append(starts[1:], len(chain.moments)) - 1
    status = columns["status_code"].to_numpy()
    viewed = (
        _equal(columns["method"], "GET")
        & _equal(columns["mimetype"], "text/html")
        & (((status >= 200) & (status <= 299)) | (status == 304))
    )
    places, rows = np.arange(len(viewed)), len(viewed)
    entry = np.minimum.reduceat(np.where(viewed, places, rows), starts)
    last = np.maximum.reduceat(np.where(viewed, places, -1), starts)
    none = last < 0
    entry, last = np.where(none, 0, entry), np.where(none, 0, last)

    def moments(of: np.ndarray[Any, Any], mask: np.ndarray[Any, Any] | None = None) -> pa.Array:
        return pa.array(chain.moments[of], pa.timestamp("us"), mask=mask)

    paths = columns["path"].cast(pa.string())
    return pa.table({
        "visit": columns["visit"].take(pa.array(starts)),
        "person": pa.array(~is_bot[chain.visitors[starts]]),
        "visitor": columns["visitor"].take(pa.array(starts)),
        "began": moments(starts),
        "ended": moments(ends),
        "first": moments(entry, none),
        "last": moments(last, none),
        "entry_date": moments(entry, none),
        "exit_date": moments(last, none),
        "entry_path": paths.take(pa.array(entry, mask=none)),
        "exit_path": paths.take(pa.array(last, mask=none)),
        "hits": pa.array((ends - starts + 1).astype(np.int32)),
        "page_views": pa.array(np.add.reduceat(viewed.astype(np.int32), starts)),
        "events": pa.array(np.zeros(len(starts), np.int32)),
    })  # fmt: skip


def _equal(column: pa.Array, value: str) -> np.ndarray[Any, Any]:
    known = np.array([text == value for text in column.dictionary.to_pylist()])
    return known[column.indices.to_numpy()]


def _mixed(numbers: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return numbers that look random (Steele, Lea and Flood's SplitMix64), one for each."""
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


_PAIRS = np.frombuffer("".join(f"{byte:02x}" for byte in range(256)).encode(), "S2")


def _digits(numbers: np.ndarray[Any, Any], count: int = 16) -> np.ndarray[Any, Any]:
    """Return the last hexadecimal digits of each number, a byte each."""
    pairs = _PAIRS[numbers.astype(">u8").view(np.uint8)]
    return pairs.view(np.uint8).reshape(len(numbers), 16)[:, 16 - count :]


def _texts(characters: np.ndarray[Any, Any]) -> pa.Array:
    """Return texts of equal length from their bytes, a row each."""
    rows, length = characters.shape
    offsets = pa.py_buffer(np.arange(0, (rows + 1) * length, length, dtype=np.int32))
    data = pa.py_buffer(np.ascontiguousarray(characters))
    return pa.StringArray.from_buffers(rows, offsets, data)


def _hexadecimal(numbers: np.ndarray[Any, Any]) -> pa.Array:
    return _texts(_digits(numbers))


def _visit_names(hashes: np.ndarray[Any, Any], begun: np.ndarray[Any, Any]) -> pa.Array:
    """Return visitor, hyphen, and the number of the half hour that the visit began in."""
    spans = _digits((begun // _TIMEOUT).astype(np.uint64), 5)
    hyphens = np.full((len(hashes), 1), ord("-"), np.uint8)
    return _texts(np.hstack((_digits(hashes), hyphens, spans)))


def _constant(value: str, rows: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([value]))
