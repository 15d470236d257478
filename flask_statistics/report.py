"""The dashboard's numbers in a terminal."""

from __future__ import annotations

import json
import shutil
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from typing import Any

from .asking.answers import Ask
from .asking.limits import within
from .asking.metrics import BY_NAME as METRICS
from .asking.metrics import Metric
from .asking.prefetching import Prefetched
from .asking.query import Period, Query, query_from_args
from .pages.formats import bucket, change, exact, figure, span, visible
from .pages.panels import (
    PANELS,
    TABLE,
    URLS,
    absent_label,
    allowed_metrics,
    has_routes,
)
from .state import State

_NARROWEST, _WIDEST = 60, 120
_BAR_PARTS = " ▏▎▍▌▋▊▉"

Row = tuple[str, ...]


def inert(text: str) -> str:
    """Return text that does nothing to a terminal: controls and bidi marks are spelled out."""
    return visible(text)


def make_report(state: State, args: Sequence[tuple[str, str]], limit: int) -> dict[str, Any]:
    """Return the report's numbers in the shapes of the JSON API.

    :param args: as in a URL of the pages: ``start``, ``end``, ``compare``, ``bots``.
    :param limit: rows of each breakdown.
    :returns: ``summary`` as of ``/api/summary``, ``addresses`` (how many there were),
        ``timeseries`` as of ``/api/timeseries``, and ``breakdowns`` by dimension, each as of
        ``/api/breakdown/<dimension>``.
    :raises QueryError: for a parameter that cannot be read.
    """
    query, compared = query_from_args(
        args,
        model_columns=state.model.columns,
        zone=state.config.timezone,
        default_span=state.config.default_date_span,
        now=datetime.now(timezone.utc),
    )
    answers, asks = Prefetched(state.answers), _asks(state, query, compared, limit)
    with within(state.config.query_timeout):
        answers.many([ask for group in asks for ask in group])
        return _arranged(state, answers, query, compared, limit)


def _asks(state: State, query: Query, compared: Period | None, limit: int) -> Iterator[list[Ask]]:
    """Yield all that a report asks, so that it is computed together."""
    columns = state.model.columns
    yield [
        Ask("summary", query.replace(period=period))
        for period in (query.period, compared)
        if period
    ]
    yield [Ask("timeseries", _timeseries_query(query))]
    yield [Ask("breakdown", asked) for asked in _panel_queries(state, query, limit)]
    if "remote_address" in columns:
        yield [Ask("breakdown", _addresses_query(query))]
    if {"route", "path"} <= columns.keys():
        yield [Ask("breakdown", _by_url(state, query, "route", limit))]


def _arranged(
    state: State, answers: Prefetched, query: Query, compared: Period | None, limit: int
) -> dict[str, Any]:
    previous = answers.summary(query.replace(period=compared)) if compared else {}
    asked = [*_url_queries(state, answers, query, limit), *_panel_queries(state, query, limit)]
    series = _timeseries_query(query)
    return {
        "summary": {
            "period": _days(query.period),
            "metrics": answers.summary(query),
            "previous": previous,
            "previous_period": compared and _days(compared),
        },
        "addresses": _count_addresses(state, answers, query),
        "timeseries": {
            "interval": series.bucket,
            "period": _days(query.period),
            "points": answers.timeseries(series),
        },
        "breakdowns": {each.group_by[0]: _breakdown(answers, each) for each in asked},
    }


def _days(period: Period) -> dict[str, str]:
    return {"start": period.start.isoformat(), "end": period.end.isoformat()}


def _timeseries_query(query: Query) -> Query:
    return query.replace(bucket=query.bucket or query.period.interval)


def _url_queries(state: State, answers: Prefetched, query: Query, limit: int) -> Iterator[Query]:
    choices = [name for name in URLS if name in state.model.columns]
    if len(choices) > 1 and not has_routes(
        answers, _by_url(state, query, choices[0], limit), query
    ):
        choices = choices[1:]
    if choices:
        yield _by_url(state, query, choices[0], limit)


def _by_url(state: State, query: Query, dimension: str, limit: int) -> Query:
    metrics = tuple(metric.name for metric in allowed_metrics(TABLE, state.model.columns))
    return query.replace(group_by=(dimension,), metrics=metrics, order="-hits", limit=limit)


def _panel_queries(state: State, query: Query, limit: int) -> Iterator[Query]:
    columns = state.model.columns
    for panel in PANELS:
        dimension = panel.dimension(columns)
        if dimension:
            yield panel.query(query, dimension, columns, limit)


def _addresses_query(query: Query) -> Query:
    return query.where("remote_address", "!").replace(
        group_by=("remote_address",), metrics=("hits",), limit=1
    )


def _count_addresses(state: State, answers: Prefetched, query: Query) -> int | None:
    """Return how many addresses there were, those of bots included."""
    if "remote_address" not in state.model.columns:
        return None
    return answers.breakdown(_addresses_query(query)).total


def _breakdown(answers: Prefetched, query: Query) -> dict[str, Any]:
    found = answers.breakdown(query)
    return {"dimension": found.dimension, "total": found.total, "rows": found.rows}


def write_report(report: dict[str, Any], form: str) -> str:
    """Return a report as ``"text"``, as wide as the terminal, or ``"json"``."""
    if form == "json":
        return json.dumps(report, indent=2)
    width = min(max(shutil.get_terminal_size().columns, _NARROWEST), _WIDEST)
    parts = [_totals(report["summary"], report["addresses"]), _series(report["timeseries"], width)]
    parts += [_table(found, width) for found in report["breakdowns"].values() if _says(found)]
    if not report["summary"]["metrics"]["hits"]:
        parts = [_heading(report["summary"]), _NOTHING]
    return "\n\n".join(parts)


def _says(found: dict[str, Any]) -> bool:
    """Whether a breakdown has any value: access logs have neither languages nor countries."""
    return any(row["value"] not in {None, ""} for row in found["rows"])


_NOTHING = (
    "No request was recorded in this time. Choose another one with --start and --end,\n"
    "request a page of the app, or import access logs: flask statistics import FILE..."
)


def _heading(summary: dict[str, Any]) -> str:
    text = f"Statistics, {_span(summary['period'])}"
    previous = summary["previous_period"]
    return f"{text}, compared with {_span(previous)}" if previous else text


def _span(period: dict[str, str]) -> str:
    start, end = (datetime.fromisoformat(period[name]).date() for name in ("start", "end"))
    return span(start, end)


def _totals(summary: dict[str, Any], addresses: int | None) -> str:
    before = summary["previous"]
    rows = [
        (METRICS[name].label, _figure(METRICS[name], value), _change(name, value, before.get(name)))
        for name, value in summary["metrics"].items()
        if value is not None
    ]
    if addresses is not None:
        rows.append(("Addresses", exact(addresses), ""))
    return "\n".join([_heading(summary), "", *_aligned(rows, left=(0, 2))])


def _figure(metric: Metric, value: Any) -> str:
    """Return a figure; counts in full, so that they can be compared with other sources."""
    return exact(value) if metric.unit == "count" else figure(value, metric.unit)


def _change(name: str, now: Any, before: Any) -> str:
    found = change(METRICS[name], now, before)
    if found is None:
        return ""
    sign = {"up": "+", "down": "-", "same": ""}[found.direction]
    return f"{sign}{found.text}" if found.text[0].isdigit() else found.text


def _series(series: dict[str, Any], width: int) -> str:
    points = [
        (bucket(point["start"], series["interval"]), point["hits"]) for point in series["points"]
    ]
    rows = [(label, exact(hits)) for label, hits in points]
    lines = _aligned(rows)
    room = width - max(map(_width, lines)) - 2
    highest = max(hits for _, hits in points) or 1
    bars = [
        f"{line}  {_bar(hits / highest, room)}"
        for line, (_, hits) in zip(lines, points, strict=True)
    ]
    return "\n".join([f"Hits per {series['interval']}", "", *(line.rstrip() for line in bars)])


def _table(found: dict[str, Any], width: int) -> str:
    rows, dimension = found["rows"], found["dimension"]
    # A metric that no row knows (access logs have no response times) only takes room.
    names = [n for n in rows[0] if n in METRICS and any(row[n] is not None for row in rows)]
    heads = tuple(METRICS[name].label for name in names)
    figures = [tuple(_figure(METRICS[name], row[name]) for name in names) for row in rows]
    if dimension in URLS:
        heads = (*heads, "Last requested")
        figures = [(*f, _minute(row["last"])) for f, row in zip(figures, rows, strict=True)]
    taken = sum(max(map(_width, column)) + 2 for column in zip(heads, *figures, strict=True))
    values = [_cut(_value(dimension, row["value"]), max(width - taken, 20)) for row in rows]
    cells = [(value, *of) for value, of in zip(values, figures, strict=True)]
    more = found["total"] - len(rows)
    lines = _aligned([(_title(dimension), *heads), *cells])
    return "\n".join(lines + ([f"and {more:,} more"] if more > 0 else []))


def _minute(moment: str | None) -> str:
    return (moment or "")[:16].replace("T", " ")


def _title(dimension: str) -> str:
    titles = {name: panel.label for panel in PANELS for name in panel.dimensions}
    return titles.get(dimension, "URLs")


def _value(dimension: str, value: Any) -> str:
    return f"({absent_label(dimension)})" if value in {None, ""} else inert(str(value))


def _aligned(rows: Sequence[Row], left: tuple[int, ...] = (0,)) -> list[str]:
    """Return a line a row: the columns ``left`` begin at one place, the others end at one."""
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = []
        for place, (cell, width) in enumerate(zip(row, widths, strict=True)):
            gap = " " * (width - _width(cell))
            cells.append(cell + gap if place in left else gap + cell)
        lines.append("  ".join(cells).rstrip())
    return lines


def _width(text: str) -> int:
    """Return how many cells of a terminal a text takes (Unicode, UAX 11)."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(bool(unicodedata.combining(character)) for character in text)


def _cut(text: str, room: int) -> str:
    if _width(text) <= room:
        return text
    while _width(text) > room - 1:
        text = text[:-1]
    return text + "…"


def _bar(share: float, room: int) -> str:
    if not _can_show(_BAR_PARTS + "█"):
        return "#" * round(share * room)
    full, eighths = divmod(round(share * room * 8), 8)
    return "█" * full + _BAR_PARTS[eighths].strip()


def _can_show(characters: str) -> bool:
    try:
        characters.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
