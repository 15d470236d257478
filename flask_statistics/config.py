"""The table of settings: name, default, what is accepted, help.

Validation at start-up, ``docs/settings.md`` and the test that every setting is documented
iterate :data:`SETTINGS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from .errors import ConfigurationError

if TYPE_CHECKING:
    from flask import Flask

PREFIX = "STATISTICS_"

#: Names of query parameters and of view arguments whose values are never kept. A name is
#: secret when one of its words (``access_token``, ``resetToken``, ``api-key``) is in this list.
SECRET_NAMES = (
    "access",
    "apikey",
    "auth",
    "authorization",
    "bearer",
    "code",
    "cookie",
    "credential",
    "credentials",
    "csrf",
    "cvc",
    "cvv",
    "jwt",
    "key",
    "nonce",
    "otp",
    "pass",
    "passcode",
    "phpsessid",
    "passphrase",
    "passwd",
    "password",
    "pin",
    "pwd",
    "saml",
    "secret",
    "sessid",
    "session",
    "sessionid",
    "sid",
    "sig",
    "signature",
    "signed",
    "ssn",
    "ticket",
    "token",
    "verifier",
    "xsrf",
)


class Rejected(ValueError):
    """Raised by a check: the text says what would have been accepted."""


@dataclass(frozen=True)
class Setting:
    """One setting: :attr:`check` returns the value to use or raises :class:`Rejected`."""

    name: str
    default: Any
    check: Callable[[Any], Any]
    help: str


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Rejected("True or False")
    return value


def _span(value: Any) -> timedelta:
    if isinstance(value, bool) or not isinstance(value, timedelta) or value < timedelta(0):
        raise Rejected("a datetime.timedelta that is not negative, such as timedelta(days=7)")
    if value > timedelta(days=36500):
        raise Rejected("a datetime.timedelta of at most 36500 days")
    return value


def _prefix(value: Any) -> str:
    accepted = "a path that starts with a slash and does not end with one, such as '/statistics'"
    if not isinstance(value, str) or not value.startswith("/") or value.endswith("/"):
        raise Rejected(accepted)
    if any(character in value for character in "<>?# ") or "//" in value:
        raise Rejected(accepted)
    return value


def _one_of(*choices: Any) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if not any(value == choice and type(value) is type(choice) for choice in choices):
            raise Rejected(" or ".join(repr(choice) for choice in choices))
        return value

    return check


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise Rejected("a list of strings")
    texts = tuple(value)
    if not all(isinstance(text, str) and text for text in texts):
        raise Rejected("a list of strings")
    return texts


def _seconds(lowest: float, highest: float) -> Callable[[Any], float]:
    def check(value: Any) -> float:
        accepted = f"seconds between {lowest:g} and {highest:g}"
        if isinstance(value, timedelta):
            value = value.total_seconds()
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Rejected(accepted)
        if not math.isfinite(value) or not lowest <= value <= highest:
            raise Rejected(accepted)
        return float(value)

    return check


def _whole(lowest: int, highest: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            raise Rejected(f"a whole number between {lowest} and {highest}")
        return value

    return check


def _mask(value: Any) -> tuple[int, int] | None:
    """Returns the prefix lengths for IPv4 and IPv6 that are kept, or None for all bits."""
    if value is None:
        return None
    named = {"last-octet": (24, 48), "full": (0, 0)}
    if isinstance(value, str) and value in named:
        return named[value]
    if isinstance(value, tuple | list) and len(value) == 2:
        ipv4, ipv6 = value
        if type(ipv4) is int and type(ipv6) is int and 0 <= ipv4 <= 32 and 0 <= ipv6 <= 128:
            return ipv4, ipv6
    raise Rejected("None, 'last-octet', 'full', or the prefix lengths to keep, such as (24, 48)")


def _zone(value: Any) -> ZoneInfo:
    try:
        if isinstance(value, str) and value:
            return ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        pass
    raise Rejected("an IANA time zone such as 'Europe/Berlin' (pip install tzdata if yours is one)")


def _optional_text(value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or not value):
        raise Rejected("None or a string")
    return value


def _optional_callable(value: Any) -> Callable[[], Any] | None:
    if value is not None and not callable(value):
        raise Rejected("None or a function without arguments that returns a name or None")
    return value  # type: ignore[no-any-return]


SETTINGS: tuple[Setting, ...] = (
    Setting("ENABLED", True, _boolean, "Record requests. False: no thread, no cost; pages stay."),
    Setting(
        "DEFAULT_DATE_SPAN",
        timedelta(days=7),
        _span,
        "The range shown when the URL names none: today minus this span to today, both included.",
    ),
    Setting("URL_PREFIX", "/statistics", _prefix, "Where the pages are."),
    Setting("PUBLIC", False, _boolean, "Let everybody see the pages, without personal data."),
    Setting(
        "INCLUDE_OR_EXCLUDE_VIEWS",
        "exclude",
        _one_of("exclude", "include"),
        "'exclude' records everything but what is excluded, 'include' only what is included.",
    ),
    Setting(
        "EXCLUDE_PATHS",
        (),
        _texts,
        "Globs of paths that are not recorded, such as ['/health', '/static/*'].",
    ),
    Setting(
        "RECORD_OWN_PAGES", False, _boolean, "Record the requests of the statistics pages too."
    ),
    Setting(
        "MASK_IP",
        None,
        _mask,
        "What is cut from addresses before they are stored: None, 'last-octet' (keeps /24 of "
        "IPv4 and /48 of IPv6), 'full', or the two prefix lengths to keep.",
    ),
    Setting(
        "SECRET_NAMES",
        SECRET_NAMES,
        _texts,
        "Words that make a query parameter or a view argument secret: its value is replaced "
        "before anything is stored.",
    ),
    Setting(
        "USERNAME",
        None,
        _optional_callable,
        "A function without arguments, called in the request, that returns the user's name or "
        "None; without one Flask-Login's user, then HTTP basic's name, is taken.",
    ),
    Setting("VERSION", None, _optional_text, "The release of the app, stored in `version`."),
    Setting("SITE", None, _optional_text, "The name of the site, stored in `site`."),
    Setting(
        "FLUSH_INTERVAL",
        0.5,
        _seconds(0.01, 60),
        "Seconds between two batches: what a killed process can lose.",
    ),
    Setting(
        "QUEUE_SIZE",
        10_000,
        _whole(1, 10_000_000),
        "How many requests may wait in memory; more are dropped and counted.",
    ),
    Setting("TIMEZONE", "UTC", _zone, "The IANA time zone whose days the pages show."),
    Setting(
        "SYNC",
        False,
        _boolean,
        "Store each request when its app context ends, for tests and scripts.",
    ),
    Setting(
        "VISIT_TIMEOUT",
        1800,
        _seconds(1, 86_400),
        "Seconds without a request of the visitor that end a visit.",
    ),
    # What follows is promised for later releases. Until then only the value that describes
    # today's behaviour is accepted: a setting that silently did nothing would be a lie.
    Setting("DURABILITY", "memory", _one_of("memory"), "Where waiting requests are kept."),
    Setting("SPOOL", None, _one_of(None), "The folder of waiting requests (not built yet)."),
    Setting("RETENTION_DAYS", None, _one_of(None), "Days to keep requests (not built yet)."),
    Setting("GEOIP_DATABASE", None, _one_of(None), "A MaxMind-format file (not built yet)."),
    Setting("VISITOR_COOKIE", False, _one_of(False), "Know visitors by a cookie (not built yet)."),
    Setting("QUERY_TIMEOUT", None, _one_of(None), "Seconds that a query may take (not built yet)."),
    Setting("ARCHIVE", None, _one_of(None), "The folder of the archive (not built yet)."),
)


class Config(SimpleNamespace):
    """The checked settings of one app, one attribute each, in lower case. Read once."""

    enabled: bool
    default_date_span: timedelta
    url_prefix: str
    public: bool
    include_or_exclude_views: str
    exclude_paths: tuple[str, ...]
    record_own_pages: bool
    mask_ip: tuple[int, int] | None
    secret_names: tuple[str, ...]
    username: Callable[[], Any] | None
    version: str | None
    site: str | None
    flush_interval: float
    queue_size: int
    timezone: ZoneInfo
    sync: bool
    visit_timeout: float


def read_config(config: Mapping[str, Any]) -> Config:
    """Return the checked settings of a Flask configuration.

    :raises ConfigurationError: for a value that a setting does not accept.
    """
    checked: dict[str, Any] = {}
    for setting in SETTINGS:
        name = PREFIX + setting.name
        value = config.get(name, setting.default)
        try:
            checked[setting.name.lower()] = setting.check(value)
        except Rejected as accepted:
            raise ConfigurationError(f"{name} is {value!r}, but must be {accepted}.") from None
    return Config(**checked)


def set_defaults(app: Flask) -> None:
    """Give every setting that the host did not set its default."""
    for setting in SETTINGS:
        app.config.setdefault(PREFIX + setting.name, setting.default)
