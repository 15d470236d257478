"""What hypothesis draws: a model, rows in it, and questions about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from flask_statistics.asking.answers import Ask, Kind

from .choices import Choices
from .events import draw_event
from .facts import Data
from .models import Layout, draw_layout
from .questions import draw_query, order_of_requests
from .rows import VALUES, Edge, Row, draw_edge, draw_row

#: Where answers come from: the requests with events and visits, the same without the table of
#: visits, or the requests alone.
SOURCES = ("complete", "computed", "bare")
KINDS: tuple[Kind, ...] = ("summary", "breakdown", "breakdown", "requests", "timeseries", "series")


@dataclass(frozen=True)
class Question:
    """One thing that is asked, and of what."""

    ask: Ask
    source: str


def draw_question(chance: Choices, columns: tuple[str, ...], edge: Edge) -> Question:
    query, kind = draw_query(chance, columns, edge), chance.one(KINDS)
    source = chance.one(SOURCES)
    if kind == "requests":
        query = query.replace(order=order_of_requests(chance, columns))
        kind = chance.one(("requests", "requests", "count"))
    if kind in {"timeseries", "series"}:  # the buckets of a running period end with it
        query = query.replace(period=replace(query.period, until=None, since=None))
    if kind == "series":
        query = query.replace(limit=chance.one((3, 1, 2)))
    return Question(Ask(kind, query, personal=True), source)


@dataclass(frozen=True)
class Batch:
    """One model with rows and events, and questions about them.

    :ivar at_once: whether all questions are asked together.
    """

    layout: Layout
    rows: list[Row]
    events: list[Row]
    questions: list[Question]
    at_once: bool = False

    def __repr__(self) -> str:
        # Hypothesis shows it where a test fails; what failed says which parts of it matter.
        return f"<Batch of {len(self.rows)} rows and {len(self.questions)} questions>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))

    @property
    def has_visits(self) -> bool:
        """Whether the names of its visits can be those of the table of visits."""
        return all(row["visit"] in {None, str(row["visit"]).lower()} for row in self.rows)

    def kept(self, dialect: str) -> Data:
        """Return what the database keeps."""
        names = self.layout.columns
        rows = [
            {"id": row["id"], **{n: self.layout.kept(n, row[n], dialect) for n in names}}
            for row in self.rows
        ]
        events = [
            {
                **event,
                "request_date": event["request_date"]
                and self.layout.kept("date", event["request_date"], dialect),
            }
            for event in self.events
        ]
        return Data(frozenset(names), rows, events)


@st.composite
def choices(draw: Any, length: int) -> Choices:
    return Choices(draw(st.binary(min_size=length, max_size=length)))


@st.composite
def batches(draw: Any, most_rows: int = 40, most_questions: int = 50) -> Batch:
    return build(
        lambda length: draw(choices(length)),
        lambda low, high: draw(st.integers(low, high)),
        most_rows,
        most_questions,
    )


def build(
    choose: Callable[[int], Choices],
    number: Callable[[int, int], int],
    most_rows: int = 40,
    most_questions: int = 50,
) -> Batch:
    """Make a batch of choices that are drawn by bytes, and of numbers between two."""
    chance = choose(120)
    layout, edge = draw_layout(chance, tuple(VALUES)), draw_edge(chance)
    rows = [
        draw_row(choose(len(VALUES) + 2), edge, identity)
        for identity in range(1, number(0, most_rows) + 1)
    ]
    if number(0, 1):  # the names of ours for visits, unlike others, differ in more than case
        rows = [{**row, "visit": row["visit"] and row["visit"].lower()} for row in rows]
    events = [
        draw_event(choose(10), edge, rows, layout.columns, identity)
        for identity in range(1, number(0, len(rows) // 2 + 2) + 1)
    ]
    questions = [
        draw_question(choose(42), layout.columns, edge) for _ in range(number(1, most_questions))
    ]
    return Batch(layout, rows, events, questions, at_once=number(0, 1) == 1)
