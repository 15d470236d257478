"""What a page asks of the database, statement by statement, for whom wants to know why it is slow.

Nothing is noted unless :func:`explained` asks for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.cursor import FullyBufferedCursorFetchStrategy


@dataclass(frozen=True)
class Statement:
    """One statement that was run.

    :ivar origin: what it read from.
    :ivar parameters: their names, or numbers from 1, and their values.
    :ivar plan: lines, as the database says them; nothing was run for it.
    :ivar rows: how many it returned; None where it did not end.
    :ivar seconds: until its last row was there, or until it failed.
    """

    origin: str
    sql: str
    parameters: tuple[tuple[str, Any], ...]
    plan: tuple[str, ...]
    rows: int | None
    seconds: float


@dataclass(frozen=True)
class Asked:
    """One question; ``kept`` says whether an answer to it was at hand, which was not used."""

    kind: str
    args: tuple[tuple[str, str], ...]
    dimensions: tuple[str, ...]
    kept: bool


@dataclass(frozen=True)
class Explanation:
    """What was asked, and the statements that were run for it, in their order."""

    asked: list[Asked] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)


#: What reads rows, also into a temporary table of ours, and the part of it that has a plan.
_QUESTION = re.compile(
    r"(?:CREATE TEMPORARY TABLE \S+ AS )?(?P<reads>(?:SELECT|WITH|INSERT)\b.*)", re.DOTALL
)

_noted: ContextVar[Explanation | None] = ContextVar("flask_statistics_noted", default=None)


@contextmanager
def explained() -> Iterator[Explanation]:
    """Note what is asked inside; all of it is asked of the database, kept answers are not used."""
    explanation = Explanation()
    token = _noted.set(explanation)
    try:
        yield explanation
    finally:
        _noted.reset(token)


def explanation() -> Explanation | None:
    """Return where to note what is asked now; None where nobody wants to know."""
    return _noted.get()


@contextmanager
def attended(connection: sa.Connection, origin: str) -> Iterator[None]:
    """Note what this connection is asked, where somebody wants to know.

    :param origin: what it reads from.
    """
    noted = explanation()
    if noted is None:
        yield
        return
    attendant = _Attendant(origin, noted.statements)
    events: dict[str, Callable[..., Any]] = {
        "before_cursor_execute": attendant.before,
        "after_cursor_execute": attendant.after,
    }
    for name, listener in events.items():
        sa.event.listen(connection, name, listener)
    try:
        yield
    except BaseException:
        attendant.note(None)
        raise
    finally:
        for name, listener in events.items():
            sa.event.remove(connection, name, listener)


class _Attendant:
    """Listens to one connection."""

    def __init__(self, origin: str, statements: list[Statement]) -> None:
        self._origin = origin
        self._statements = statements
        #: The context and the plan of the statement that runs.
        self._runs: tuple[Any, tuple[str, ...]] | None = None
        self._plans = False
        self._began = 0.0

    def before(self, connection: sa.Connection, *arguments: Any) -> None:
        context = arguments[3]
        self.note(None)  # the one before was stopped: what follows clears up behind it
        question = _QUESTION.match(context.statement)
        if self._plans or question is None:
            return
        self._plans = True
        try:
            plan = tuple(_plan(connection, question["reads"], _only(context.parameters)))
        finally:
            self._plans = False
        self._runs = context, plan
        self._began = perf_counter()

    def after(self, _: sa.Connection, cursor: Any, *arguments: Any) -> None:
        if self._runs is None:
            return
        if not cursor.description:  # a temporary table of ours
            self.note(max(cursor.rowcount, 0))
            return
        # SQLite computes a row when it is fetched.
        rows = cursor.fetchall()
        context = self._runs[0]
        context.cursor_fetch_strategy = FullyBufferedCursorFetchStrategy(
            cursor, initial_buffer=rows
        )
        self.note(len(rows))

    def note(self, rows: int | None) -> None:
        """Note the statement that ran, if one did."""
        if self._runs is None:
            return
        (context, plan), self._runs = self._runs, None
        self._statements.append(
            Statement(
                self._origin,
                context.statement,
                tuple(_named(_only(context.parameters))),
                plan,
                rows,
                perf_counter() - self._began,
            )
        )


def _only(parameters: Any) -> Any:
    return parameters[0] if parameters else ()


def _named(parameters: Any) -> Iterator[tuple[str, Any]]:
    if hasattr(parameters, "items"):
        yield from parameters.items()
    else:
        yield from ((str(number), value) for number, value in enumerate(parameters, 1))


def _plan(connection: sa.Connection, statement: str, parameters: Any) -> Iterator[str]:
    """Yield the lines of a plan; of SQLite's, indented as the steps lie in each other."""
    if connection.dialect.name == "sqlite":
        depth = {0: -1}
        found = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        for step, within, _, text in found:
            depth[step] = depth.get(within, -1) + 1
            yield "  " * depth[step] + text
        return
    result = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
    names, rows = list(result.keys()), result.fetchall()
    if connection.dialect.name in {"mysql", "mariadb"}:
        for row in rows:
            cells = zip(names, row, strict=True)
            yield ", ".join(f"{name}: {value}" for name, value in cells if value is not None)
    else:  # the last column holds the text
        for row in rows:
            yield from str(row[-1]).splitlines()
