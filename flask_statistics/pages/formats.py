"""How pages write numbers, moments and whatever visitors sent. Used as Jinja filters."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable
from datetime import date, datetime, timezone
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from markupsafe import Markup

from ..asking.metrics import Metric

#: Characters of a value that a page shows.
LONGEST_SHOWN = 300
NOTHING = "\u2013"
_DASH, _TIMES = "\u2013", "\u00d7"
_JOINERS = "\u200c\u200d"  # needed by emoji and by Persian and Indian scripts
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_SHORT = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_BYTES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def visible(text: object, longest: int = LONGEST_SHOWN) -> str:
    """Return text in which nothing is invisible: controls and bidi marks become ``⟨U+202E⟩``.

    Cut to ``longest`` characters. It is not escaped: the templates do that.
    """
    shown = str(text)
    if len(shown) > longest:
        shown = shown[:longest] + "…"
    if shown.isprintable():
        return shown
    return "".join(_mark(character) for character in shown)


def with_code(text: str) -> Markup:
    """Return HTML of a sentence of ours: what stands in backticks becomes ``<code>``."""
    code = Markup("<code>{}</code>")
    parts = enumerate(text.split("`"))
    return Markup("").join(code.format(part) if n % 2 else part for n, part in parts)


def _mark(character: str) -> str:
    if character in _JOINERS or unicodedata.category(character) not in _INVISIBLE:
        return character
    return f"⟨U+{ord(character):04X}⟩"


def exact(number: float | None) -> str:
    """Return a number with all that matters of it: ``12,432``, ``0.0312``."""
    if number is None:
        return NOTHING
    if isinstance(number, int) or float(number).is_integer():
        return f"{int(number):,}"
    return f"{number:,.6g}" if abs(number) < 1e6 else f"{number:,.0f}"


def _scaled(number: float, steps: tuple[tuple[float, str], ...], space: str) -> str | None:
    for factor, unit in steps:
        # What would round to 1,000 of the smaller unit is 1 of this one.
        if abs(number) >= factor * 0.9995:
            scaled = number / factor
            digits = 0 if abs(scaled) >= 99.95 else 1
            return f"{scaled:.{digits}f}".removesuffix(".0") + space + unit
    return None


def short(number: float | None) -> str:
    """Return a number shortened to three or four digits: ``12.4k``."""
    if number is None:
        return NOTHING
    if abs(number) < 9_999.5:
        digits = 0 if isinstance(number, int) or abs(number) >= 100 else 2
        plain = f"{number:,.{digits}f}"
        return plain.rstrip("0").rstrip(".") if "." in plain else plain
    return _scaled(number, _SHORT, "") or exact(number)


def duration(seconds: float | None) -> str:
    """Return seconds as people say them: ``0.4 ms``, ``123 ms``, ``1.24 s``, ``2 min 5 s``."""
    if seconds is None:
        return NOTHING
    if seconds == 0:
        return "0 ms"
    if abs(seconds) < 0.9995:
        milliseconds = seconds * 1000
        digits = 2 if abs(milliseconds) < 0.995 else 1 if abs(milliseconds) < 9.95 else 0
        return f"{milliseconds:.{digits}f} ms"
    if abs(seconds) < 59.95:
        return f"{seconds:.2f} s" if abs(seconds) < 9.995 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def file_size(size: float | None) -> str:
    """Return bytes as ``512 B``, ``12.4 kB`` (1,000 bytes), ``3.1 MB``."""
    if size is None:
        return NOTHING
    return _scaled(size, _BYTES, " ") or f"{size:.0f} B"


def percent(share: float | None) -> str:
    """Return a share between 0 and 1 as ``12.3 %``."""
    if share is None:
        return NOTHING
    hundredths = share * 100
    if hundredths in {0, 100}:
        return f"{hundredths:.0f} %"
    if 0 < hundredths < 0.1:
        return "< 0.1 %"
    if 99.9 < hundredths < 100:
        return "> 99.9 %"
    return f"{hundredths:.1f} %" if hundredths < 100 else f"{hundredths:.0f} %"


_UNITS: dict[str, Callable[[Any], str]] = {
    "count": short,
    "number": short,
    "seconds": duration,
    "bytes": file_size,
    "share": percent,
}
_EXACT_UNITS = {"seconds": " s", "bytes": " bytes"}


def figure(value: float | None, unit: str) -> str:
    """Return a metric's value in its unit, shortened."""
    return _UNITS[unit](value)


def exact_figure(value: float | None, unit: str) -> str:
    """Return a metric's value in its unit, in full: the title of the shortened one."""
    if value is None:
        return "not known"
    if unit == "share":
        return f"{value * 100:.6g} %"
    return exact(value) + _EXACT_UNITS.get(unit, "")


class Change(NamedTuple):
    """What a value changed by.

    :ivar text: ``12 %``, ``0.3 points`` or ``nothing before``, without a sign.
    :ivar direction: where it went.
    :ivar verdict: whether that is good news.
    """

    text: str
    direction: Literal["up", "down", "same"]
    verdict: Literal["good", "bad", "neutral"]


def change(metric: Metric, now: float | None, before: float | None) -> Change | None:
    """Return how a metric changed; None where one of the two is not known.

    Shares change by points, all else in relation to the value before.
    """
    if now is None or before is None:
        return None
    if now == before:
        return Change("no change", "same", "neutral")
    if before == 0 and metric.unit != "share":  # growth from nothing is no praise
        return Change("nothing before", "same", "neutral")
    direction: Literal["up", "down"] = "up" if now > before else "down"
    verdict: Literal["good", "bad", "neutral"] = "neutral"
    if metric.better is not None:
        verdict = "good" if metric.better == direction else "bad"
    return Change(_difference(metric, now, before), direction, verdict)


def _difference(metric: Metric, now: float, before: float) -> str:
    difference = abs(now - before)
    if metric.unit == "share":
        return _points(difference * 100)
    share = difference / abs(before)
    if share >= 9.995:
        return f"{_TIMES} {short(now / before)}" if math.isfinite(now / before) else "from 0"
    return f"{share * 100:.1f} %" if share < 0.0995 else f"{share * 100:.0f} %"


def _points(difference: float) -> str:
    if difference < 0.01:
        return "< 0.01 points"
    return f"{difference:.2g} points" if difference < 10 else f"{difference:.0f} points"


def day(moment: date) -> str:
    """Return a date as ``17 May 2015``."""
    return f"{moment.day} {moment:%b} {moment.year:04d}"


def span(start: date, end: date) -> str:
    """Return a range of dates as ``17-20 May 2015`` as short as it goes."""
    if start == end:
        return day(start)
    if (start.year, start.month) == (end.year, end.month):
        return f"{start.day}{_DASH}{day(end)}"
    if start.year == end.year:
        return f"{start.day} {start:%b} {_DASH} {day(end)}"
    return f"{day(start)} {_DASH} {day(end)}"


def bucket(start: str, interval: str) -> str:
    """Return the beginning of a chart's bucket, ISO 8601, as a label."""
    moment = datetime.fromisoformat(start)
    if interval == "hour":
        return f"{moment:%a} {moment.day} {moment:%b}, {moment:%H:%M}"
    if interval == "day":
        return f"{moment:%a} {day(moment)}"
    if interval.startswith("week"):
        return f"week of {day(moment)}"
    return f"{moment:%b} {moment.year:04d}" if interval == "month" else f"{moment.year:04d}"


def short_bucket(start: str, interval: str) -> str:
    """Return the beginning of a chart's bucket as short as an axis wants it."""
    moment = datetime.fromisoformat(start)
    if interval == "hour":
        return f"{moment:%H:%M}" if moment.hour else f"{moment.day} {moment:%b}"
    if interval in {"day", "week", "week-sunday"}:
        return f"{moment.day} {moment:%b}"
    return f"{moment:%b} {moment.year:04d}" if interval == "month" else f"{moment.year:04d}"


def moment(instant: str | datetime | None, zone: ZoneInfo) -> str:
    """Return an instant, UTC, as ``17 May 2015 10:05:03`` in a time zone."""
    local = local_moment(instant, zone)
    return NOTHING if local is None else f"{day(local)} {local:%H:%M:%S}"


def brief_moment(instant: str | datetime | None, zone: ZoneInfo) -> str:
    """Return an instant, UTC, as ``17 May 2015 10:05`` in a time zone."""
    return moment(instant, zone).rpartition(":")[0] or NOTHING


def local_moment(instant: str | datetime | None, zone: ZoneInfo) -> datetime | None:
    """Return an instant, naive ones in UTC, in a time zone; None for what is not one."""
    if instant is None or instant == "":
        return None
    try:
        if not isinstance(instant, datetime):  # Python 3.10 does not read a final Z
            instant = datetime.fromisoformat(instant.replace("Z", "+00:00"))
        aware = instant if instant.tzinfo else instant.replace(tzinfo=timezone.utc)
        return aware.astimezone(zone)
    except (ValueError, OverflowError):
        return None


FILTERS: dict[str, Callable[..., Any]] = {
    "visible": visible,
    "with_code": with_code,
    "exact": exact,
    "figure": figure,
    "exact_figure": exact_figure,
    "percent": percent,
    "day": day,
    "span": span,
    "bucket": bucket,
    "short_bucket": short_bucket,
    "moment": moment,
    "brief_moment": brief_moment,
}
