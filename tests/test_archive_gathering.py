"""Rows from the database and from segments, put together and filtered as Arrow tables."""

from __future__ import annotations

import pyarrow as pa
import pytest

from flask_statistics.archive.gathering import encoded, filtered, together

TEXTS = ["a", "b", None, "a"]


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("second", [False, True])
def test_texts_are_put_together_whether_in_dictionaries_or_not(first: bool, second: bool) -> None:
    """The rows are those of both, in order; so with events, which the two sources keep apart."""
    tables = []
    for is_dictionary in (first, second):
        texts = pa.array(TEXTS)
        tables.append(pa.table({"name": texts.dictionary_encode() if is_dictionary else texts}))
    found = together(*tables, tables[0].slice(0, 0))
    assert found["name"].to_pylist() == TEXTS * 2


def test_filtered_rows_hold_nothing_of_the_others() -> None:
    """A dictionary is written with all its values: those of erased rows must not be among them."""
    rows = pa.table({"name": pa.array(TEXTS).dictionary_encode(), "number": [1, 2, 3, 4]})
    left = filtered(rows, pa.array([False, True, True, False]))
    assert left.to_pylist() == [{"name": "b", "number": 2}, {"name": None, "number": 3}]
    assert left["name"].combine_chunks().dictionary.to_pylist() == ["b"]


def test_values_of_several_columns_have_one_number_each() -> None:
    """Whether in dictionaries or not, whether a dictionary holds a value twice; NULL has none."""
    twice = pa.DictionaryArray.from_arrays(pa.array([2, 0, None, 1]), pa.array(["a", "b", "a"]))
    columns = pa.chunked_array([twice]), pa.chunked_array([["c", "a"], [None]])
    codes, values = encoded(*columns, pa.chunked_array([], pa.string()))
    assert values.to_pylist() == ["a", "b", "c"]
    assert values.take(codes).to_pylist() == ["a", "a", None, "b", "c", "a", None]
