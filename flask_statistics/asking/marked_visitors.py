"""Distinct visitors of copied rows, found for all questions by one pass over these.

It tells of each visitor, as bits, which values they have, and when they were first and last
there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from .metrics import Expression
from .selection import Selection

#: The bits of one number that stand for values.
_BITS = 60
_ONE: Expression = sa.literal_column("1::BIGINT", sa.BigInteger())


def named_keys(keys: Sequence[Expression]) -> list[Expression]:
    """Return the keys of groups by the names that they have in every statement."""
    return [key.label(f"key_{number}") for number, key in enumerate(keys)]


@dataclass(frozen=True)
class Visitors:
    """The visitors of some rows.

    :ivar copied: the rows: ``who`` is their visitor, ``of_browser`` the browser's number.
    :ivar values: the values of the dimensions that have numbers, from 1 on; their bits are those
        of the numbers, and bit 0 is no value.
    :ivar dimensions: those that are asked for with visitors.
    :ivar table: what :meth:`rows` selects, once it is stored.
    """

    copied: sa.TableClause
    values: Mapping[str, Sequence[Any]]
    dimensions: Sequence[str]
    table: sa.FromClause | None = None

    def rows(self) -> sa.Select[Any]:
        """Return a row for each visitor."""
        rows = self.copied.c
        moments = sa.func.min(rows.date).label("first"), sa.func.max(rows.date).label("last")
        bits = [
            sa.func.bit_or(self._bit(name, word), type_=sa.BigInteger()).label(f"{name}_{word}")
            for name in self.dimensions
            for word in self._words(name)
        ]
        return sa.select(rows.who, *moments, *bits).where(rows.who.is_not(None)).group_by(rows.who)

    def amount(self) -> Expression:
        """Return how many there are."""
        return sa.select(sa.func.count()).select_from(self._stored).scalar_subquery()

    def by(self, selection: Selection) -> sa.Subquery:
        """Return how many have the keys of a selection: ``key_0`` and so on, ``visitors``."""
        names = selection.query.group_by
        if not names:
            return self._by_time(selection)
        if names[0] in self.values:
            pieces = [self._by_bits(names[0], word) for word in self._words(names[0])]
            return sa.union_all(*pieces).subquery()
        rows = self.copied.c
        key = rows[f"of_{names[0]}"].label("key_0")
        amount = sa.func.count(sa.distinct(rows.who)).label("visitors")
        return sa.select(key, amount).group_by(key).subquery()

    @property
    def _stored(self) -> sa.FromClause:
        if self.table is None:
            raise RuntimeError("the visitors are not stored yet")
        return self.table

    def _words(self, name: str) -> range:
        """Return the numbers of the numbers that hold a dimension's bits."""
        return range(len(self.values[name]) // _BITS + 1) if name in self.values else range(0)

    def _bit(self, name: str, word: int) -> Expression:
        number = sa.func.coalesce(self.copied.c[f"of_{name}"], sa.literal_column("0"))
        if len(self._words(name)) == 1:
            return _ONE.op("<<")(number)
        size: Expression = sa.literal_column(str(_BITS))
        bit = _ONE.op("<<")(number % size)
        is_here = number.op("//")(size) == sa.literal_column(str(word))
        return sa.case((is_here, bit), else_=sa.literal_column("0"))

    def _by_bits(self, name: str, word: int) -> sa.Select[Any]:
        bits = self._stored.c[f"{name}_{word}"].label("bits")
        alike = sa.select(bits, sa.func.count().label("amount")).group_by(bits).subquery()
        last = min(_BITS, len(self.values[name]) + 1 - word * _BITS)
        places = sa.func.range(sa.literal_column(str(last))).table_valued("place")
        places = places.render_derived()
        place = places.c.place
        is_set = alike.c.bits.op("&")(_ONE.op("<<")(place)) != 0
        number = place + sa.literal_column(str(word * _BITS))
        key = sa.func.nullif(number, sa.literal_column("0")).label("key_0")
        amount = sa.func.sum(alike.c.amount).label("visitors")
        return sa.select(key, amount).select_from(alike.join(places, is_set)).group_by(key)

    def _by_time(self, selection: Selection) -> sa.Subquery:
        """Return those of buckets of time: few visitors are there in two of them."""
        people, rows = self._stored.c, self.copied.c
        first, last = selection.times(people.first), selection.times(people.last)
        once = sa.and_(*(a == b for a, b in zip(first, last, strict=True)))
        alone = sa.select(*named_keys(first), people.who).where(once)
        several = sa.select(people.who).where(sa.not_(once))
        times = named_keys(selection.times(rows.date))
        others = sa.select(*times, rows.who).where(rows.who.in_(several)).distinct()
        every = sa.union_all(alone, others).subquery()
        keys = [every.c[key.name] for key in times]
        return sa.select(*keys, sa.func.count().label("visitors")).group_by(*keys).subquery()
