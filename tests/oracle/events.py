"""Random events, in requests and outside of them, and the table of visits that both make."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from flask_statistics.asking.query import Period, Query

from .choices import Choices
from .facts import Data, Facts, Row
from .rows import Edge, draw_moment

NAMES = ("signup", "signup", "Signup", "buy", "buy ", "ä", "a*b", "/a")
PROPERTIES = (
    *(None, "{}", '{"plan": "pro"}', '{"plan": "Pro", "n": 3}', '{"plan": "", "n": 3.0}'),
    *('{"plan": null}', '{"plan": true, "a.b": "x"}', '{"plan": "\\u00e4 \\ud83d\\ude00"}'),
    '{"plan": "a*b", "currency": "CHF"}',
)
REVENUES = ((None, None), (None, None), (1.5, "EUR"), (-0.25, "USD"), (1000.0, None), (0.0, "eur"))
#: How long after its request began something was tracked.
_LATER = (
    *(timedelta(), timedelta(), timedelta(microseconds=1), timedelta(seconds=1.5)),
    *(timedelta(minutes=1), timedelta(minutes=30), timedelta(hours=1)),
)
#: What an event takes over from its request, where the model has it.
_TAKEN_OVER = ("request_id", "visitor", "visit", "path", "username", "site")


def draw_event(
    chance: Choices, edge: Edge, rows: Sequence[Row], columns: Collection[str], number: int
) -> Row:
    """Draw an event in one of the requests, outside of any, or in one that is not there."""
    revenue, currency = chance.one(REVENUES)
    event: Row = {
        "id": number,
        "name": chance.one(NAMES),
        "properties": chance.one(PROPERTIES),
        "revenue": revenue,
        "currency": currency,
    }
    where = chance.one(("inside", "inside", "inside", "inside", "outside", "lost"))
    later, outside = chance.one(_LATER), draw_moment(chance, edge)
    request = rows[chance.byte() % len(rows)] if rows else None
    if where == "outside" or request is None:
        nothing: dict[str, Any] = dict.fromkeys((*_TAKEN_OVER, "request_date"))
        return event | nothing | {"date": outside, "person": True}
    taken = {name: request[name] if name in columns else None for name in _TAKEN_OVER}
    lost = timedelta(hours=5) if where == "lost" else timedelta()
    return (
        event
        | taken
        | {
            "date": request["date"] + later,
            "request_date": request["date"] + lost,
            "person": "bot" not in columns or request["bot"] is None,
        }
    )


def visit_rows(data: Data, period: Period) -> list[Row]:
    """Return the rows of ``statistics_visit``, as tables.py describes them: one for people and
    one for bots of each visit.

    :param period: one in which everything lies.
    """
    if "visit" not in data.columns:
        return []
    found = []
    for bots in ("0", "only") if "bot" in data.columns else ("1",):
        facts = Facts(data, Query(period, include_bots=bots))
        names = {row["visit"] for row in facts.rows} - {None} | set(facts.visits)
        for name in sorted(names):
            found.append(_visit_row(facts, name, person=bots != "only"))
    return found


def _visit_row(facts: Facts, name: str, *, person: bool) -> Row:
    visit = facts.visits.get(name)
    views, events = (visit.views, visit.events) if visit else ([], [])
    rows = [row for row in facts.rows if row["visit"] == name] or events
    moments = [row["date"] for row in (*views, *events)]
    return {
        "visit": name,
        "person": person,
        "visitor": rows[0].get("visitor") or "",
        "began": rows[0]["date"],
        "ended": rows[-1]["date"],
        "first": min(moments, default=None),
        "last": max(moments, default=None),
        "entry_date": views[0]["date"] if views else None,
        "exit_date": views[-1]["date"] if views else None,
        "entry_path": views[0].get("path") if views else None,
        "exit_path": views[-1].get("path") if views else None,
        "hits": len(rows),
        "page_views": len(views),
        "events": len(events),
    }
