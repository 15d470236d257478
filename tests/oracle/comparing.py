"""Whether the engine's answers are those of the definitions, and if not, on how little."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from flask_statistics.asking.answers import Answers, Breakdown, Series

from .batches import Batch, Question
from .databases import Database
from .definitions import Oracle
from .facts import Data
from .models import Layout

T = TypeVar("T")


def same(found: Any, expected: Any) -> bool:
    """Whether two answers are equal, but for what adding up numbers in another order changes."""
    if isinstance(expected, dict):
        return set(found) == set(expected) and all(same(found[k], expected[k]) for k in expected)
    if isinstance(expected, list | tuple):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, bool) or isinstance(found, bool):
        return found is expected
    if isinstance(expected, float) or isinstance(found, float):
        return (found is not None and expected is not None) and math.isclose(
            found, expected, rel_tol=1e-9, abs_tol=1e-6
        )
    return bool(found == expected)


def defined(data: Data, layout: Layout, question: Question) -> Any:
    """Return what the definitions answer."""
    query, kind = question.ask.query, question.ask.kind
    if question.source == "bare":
        data = data._replace(events=[])
    if kind not in {"breakdown", "series"}:
        query = query.replace(group_by=())
    oracle = Oracle(data, query)
    if kind == "count":
        return len(oracle.rows)
    if kind == "requests":
        return [layout.shown(row) for row in oracle.requests()]
    return getattr(oracle, kind)()


def plain(answer: Any) -> Any:
    if isinstance(answer, Breakdown):
        return answer.total, answer.rows
    return answer.series if isinstance(answer, Series) else answer


def disagreement(answers: dict[str, Answers], batch: Batch, data: Data) -> str | None:
    """Return what the engine answers otherwise than the definitions; None where nothing is."""
    try:
        for question, answer in _answered(answers, batch):
            expected = defined(data, batch.layout, question)
            if not same(plain(answer), expected):
                return f"{question}\n   found {plain(answer)}\nexpected {expected}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def _answered(sources: dict[str, Answers], batch: Batch) -> Iterator[tuple[Question, Any]]:
    """Ask each question alone, or all those of one source together."""
    for name, answers in sources.items():
        questions = [question for question in batch.questions if question.source == name]
        if batch.at_once:
            asks = [question.ask for question in questions]
            yield from zip(questions, answers.many(asks), strict=True)
            continue
        for question in questions:
            yield question, answers.many([question.ask])[0]


def compare(database: Database, batch: Batch) -> None:
    """Ask all questions; where one is answered wrongly, fail with as little as shows it."""
    found = _wrong(database, batch)
    if found is None:
        return
    for part in ("questions", "events", "rows"):
        fewest = _fewest(getattr(batch, part), partial(_is_wrong, database, batch, part))
        batch = _with(batch, part, fewest)
    data = batch.kept(database.dialect)
    told = [_wrong(database, batch) or found, f"{batch.at_once=}", batch.questions, batch.layout]
    raise AssertionError("\n".join(map(str, [*told, *data.rows, *data.events])))


def _with(batch: Batch, part: str, fewer: list[Any]) -> Batch:
    changes: dict[str, Any] = {part: fewer}
    return replace(batch, **changes)


def _is_wrong(database: Database, batch: Batch, part: str, fewer: list[Any]) -> bool:
    return _wrong(database, _with(batch, part, fewer)) is not None


def _wrong(database: Database, batch: Batch) -> str | None:
    with database.holding(batch) as sources:
        return disagreement(sources, batch, batch.kept(database.dialect))


def _fewest(parts: Sequence[T], is_wrong: Callable[[list[T]], bool]) -> list[T]:
    """Return as few of the parts as still give a wrong answer."""
    kept, step = list(parts), len(parts)
    while step:
        for start in range(0, len(kept), step):
            fewer = kept[:start] + kept[start + step :]
            if is_wrong(fewer):
                kept = fewer
                break
        else:
            step //= 2
    return kept
