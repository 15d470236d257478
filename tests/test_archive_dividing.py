"""How spans of time become segments: no moment is lost or twice, whatever the traffic is like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from flask_statistics.archive.dividing import LARGEST, TARGET, divide

FIRST = datetime(2026, 3, 1)
#: Rows of an hour: none, a few, about a segment's, and far too many.
ROWS = st.sampled_from([0, 0, 1, 700, 9_000, TARGET // 2, LARGEST, LARGEST + 1, 5 * LARGEST])
HOURS = st.dictionaries(st.tuples(st.integers(0, 5), st.integers(0, 23)), ROWS, max_size=30)
SECONDS = st.integers(0, 6 * 86_400)


def _divided(
    begin: datetime, end: datetime, rows: Mapping[tuple[int, int], int]
) -> list[tuple[datetime, datetime]]:
    days: Counter[date] = Counter()
    for (day, _), number in rows.items():
        days[(FIRST + timedelta(day)).date()] += number

    def hours(day: date) -> dict[int, int]:
        place = (day - FIRST.date()).days
        return {hour: n for (of, hour), n in rows.items() if of == place}

    return divide(begin, end, days, hours)


@given(rows=HOURS, moments=st.tuples(SECONDS, SECONDS).map(sorted))
def test_spans_follow_each_other_without_gap_or_overlap(
    rows: dict[tuple[int, int], int], moments: list[int]
) -> None:
    """Each is within a day or of whole days, at whole seconds; so each request has one segment."""
    begin, end = (FIRST + timedelta(seconds=second) for second in moments)
    spans = _divided(begin, end, rows)
    if begin == end:
        assert spans == []
        return
    assert spans[0][0] == begin
    assert spans[-1][1] == end
    assert all(one[1] == other[0] for one, other in pairwise(spans))
    for opens, closes in spans:
        assert opens < closes
        assert not opens.microsecond
        assert not closes.microsecond
        within_a_day = opens.date() == (closes - timedelta(microseconds=1)).date()
        assert within_a_day or opens.time() == closes.time() == time.min


@given(rows=HOURS)
def test_no_segment_is_larger_than_it_may_be(rows: dict[tuple[int, int], int]) -> None:
    """Where the requests of an hour come evenly; a second at most is cut off."""
    for opens, closes in _divided(FIRST, FIRST + timedelta(6), rows):
        held = 0.0
        for (day, hour), number in rows.items():
            starts = FIRST + timedelta(day, hours=hour)
            ends = starts + timedelta(hours=1)
            shared = min(closes, ends) - max(opens, starts)
            held += number * max(0.0, shared / timedelta(hours=1))
        assert held <= LARGEST * 1.01
