"""The table of settings: name, default, what is accepted, help.

Validation at start-up, ``docs/settings.md`` and the test that every setting is documented
iterate :data:`SETTINGS`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from . import accepted
from .errors import ConfigurationError

if TYPE_CHECKING:
    from flask import Flask

PREFIX = "STATISTICS_"
logger = logging.getLogger("flask_statistics")

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


@dataclass(frozen=True)
class Setting:
    """One setting: :attr:`check` returns the value to use, or raises ``RejectedError``."""

    name: str
    default: Any
    check: Callable[[Any], Any]
    help: str


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "ENABLED", True, accepted.boolean, "Record requests. False: no thread, no cost; pages stay."
    ),
    Setting(
        "DEFAULT_DATE_SPAN",
        timedelta(days=7),
        accepted.span,
        "The range shown when the URL names none: today minus this span to today, both included.",
    ),
    Setting("URL_PREFIX", "/statistics", accepted.prefix, "Where the pages are."),
    Setting(
        "PUBLIC",
        False,
        accepted.boolean,
        "Let everybody see the pages, without addresses, user names and visits: without the "
        "columns that fields.md marks personal. Paths, referrers and user agents are shown.",
    ),
    Setting(
        "INCLUDE_OR_EXCLUDE_VIEWS",
        "exclude",
        accepted.one_of("exclude", "include"),
        "'exclude' records everything but what is excluded, 'include' only what is included.",
    ),
    Setting(
        "EXCLUDE_PATHS",
        (),
        accepted.texts,
        "Globs of paths that are not recorded, such as ['/health', '/static/*'].",
    ),
    Setting(
        "RECORD_OWN_PAGES",
        False,
        accepted.boolean,
        "Record the requests of the statistics pages too.",
    ),
    Setting(
        "MASK_IP",
        None,
        accepted.mask,
        "What is cut from addresses before they are stored: None, 'last-octet' (keeps /24 of "
        "IPv4 and /48 of IPv6), 'full', or the two prefix lengths to keep.",
    ),
    Setting(
        "SECRET_NAMES",
        SECRET_NAMES,
        accepted.texts,
        "Words that make a query parameter or a view argument secret: its value is replaced "
        "before anything is stored.",
    ),
    Setting(
        "USERNAME",
        None,
        accepted.optional_callable,
        "A function without arguments, called in the request, that returns the user's name or "
        "None; without one Flask-Login's user, then HTTP basic's name, is taken.",
    ),
    Setting("VERSION", None, accepted.optional_text, "The release of the app, for `version`."),
    Setting("SITE", None, accepted.optional_text, "The name of the site, stored in `site`."),
    Setting(
        "FLUSH_INTERVAL",
        0.5,
        accepted.seconds(0.01, 60),
        "Seconds between two batches: what a killed process can lose.",
    ),
    Setting(
        "QUEUE_SIZE",
        10_000,
        accepted.whole(1, 10_000_000),
        "How many requests may wait in memory; more are dropped and counted.",
    ),
    Setting("TIMEZONE", "UTC", accepted.zone, "The IANA time zone whose days the pages show."),
    Setting(
        "SYNC",
        False,
        accepted.boolean,
        "Store each request when its app context ends, for tests and scripts.",
    ),
    Setting(
        "VISIT_TIMEOUT",
        1800,
        accepted.seconds(1, 86_400),
        "Seconds without a request of the visitor that end a visit.",
    ),
    Setting(
        "QUERY_TIMEOUT",
        30.0,
        accepted.seconds(0.1, 3600),
        "Seconds that one page of the statistics may keep the database busy; the database itself "
        "ends what takes longer.",
    ),
    Setting(
        "RESPECT_DNT",
        None,
        accepted.one_of(None, "exclude", "anonymise"),
        "What becomes of requests that ask not to be tracked (the headers DNT and Sec-GPC): "
        "None records them like others, 'exclude' not at all, 'anonymise' without the columns "
        "that fields.md marks personal.",
    ),
    Setting(
        "RETENTION_DAYS",
        None,
        accepted.optional_days,
        "Days that requests, visits and events stay in the database; older ones are deleted "
        "once a day. None keeps them.",
    ),
    Setting(
        "ARCHIVE",
        None,
        accepted.archive_folder,
        "The folder of the columnar archive, from which long ranges are answered (extra "
        "`columnar`): a path, or True for `statistics-archive` below the app's instance folder. "
        "None: no archive.",
    ),
    Setting(
        "ARCHIVE_RETENTION_DAYS",
        None,
        accepted.optional_days,
        "Days that requests stay in the archive; None keeps them.",
    ),
    Setting(
        "KEEPER",
        True,
        accepted.boolean,
        "Let a thread of one of the app's processes look after the totals of days, the archive and "
        "the retention. False where `flask statistics totals build`, `archive build` and `prune` "
        "are run by cron.",
    ),
    # What follows is promised for later releases. Until then only the value that describes
    # today's behaviour is accepted: a setting that silently did nothing would be a lie.
    Setting("DURABILITY", "memory", accepted.one_of("memory"), "Where requests wait."),
    Setting("SPOOL", None, accepted.one_of(None), "The folder of waiting requests (later)."),
    Setting("GEOIP_DATABASE", None, accepted.one_of(None), "A MaxMind-format file (later)."),
    Setting(
        "VISITOR_COOKIE",
        False,
        accepted.one_of(False),
        "Visitors by a cookie (later).",
    ),
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
    query_timeout: float
    respect_dnt: str | None
    retention_days: int | None
    archive: str | bool | None
    archive_retention_days: int | None
    keeper: bool


def read_config(config: Mapping[str, Any]) -> Config:
    """Return the checked settings of a Flask configuration.

    :raises ConfigurationError: for a value that a setting does not accept.
    """
    _warn_of_misspelled(config)
    checked: dict[str, Any] = {}
    for setting in SETTINGS:
        name = PREFIX + setting.name
        value = config.get(name, setting.default)
        try:
            checked[setting.name.lower()] = setting.check(value)
        except accepted.RejectedError as expected:
            raise ConfigurationError(f"{name} is {value!r}, but must be {expected}.") from None
    return Config(**checked)


def _warn_of_misspelled(config: Mapping[str, Any]) -> None:
    known = [PREFIX + setting.name for setting in SETTINGS]
    for name in config:
        if isinstance(name, str) and name.startswith(PREFIX) and name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else "see docs/settings.md."
            logger.warning("%s is no setting of Flask-Statistics: %s", name, hint)


def set_defaults(app: Flask) -> None:
    """Give every setting that the host did not set its default."""
    for setting in SETTINGS:
        app.config.setdefault(PREFIX + setting.name, setting.default)
