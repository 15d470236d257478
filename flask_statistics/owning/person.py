"""Whom ``forget`` and ``export`` mean: the requests of a visitor, an address, a user name.

Values are compared exactly, never as patterns: what belongs to others must not be among them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from ..asking.constructs import exact, matches
from ..errors import QueryError
from ..model import Model
from ..privacy import Prefixes, mask_address

Condition = sa.ColumnElement[bool]
#: Visitors of one person, one or more a day, at most.
MOST_VISITORS = 10_000


@dataclass(frozen=True)
class Person:
    """One person, by what is known of them; several values of a kind are alternatives.

    A person has another visitor each day, and may have several addresses. So the visitors of
    requests with an address or a user name are theirs, and all other requests of these, too.

    :ivar visitors: values of ``visitor``.
    :ivar addresses: values of ``remote_address`` or in ``xforwardedfor``, masked or not.
    :ivar usernames: values of ``username``.
    """

    visitors: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    usernames: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.visitors or self.addresses or self.usernames)

    def with_visitors(
        self, connection: sa.Connection, model: Model, mask: Prefixes | None
    ) -> Person:
        """Return the person with all visitors that have one of the addresses or user names.

        :raises QueryError: where the model has no column that could tell, or too many have.
        """
        if not (self.addresses or self.usernames) or not model.has("visitor"):
            return self
        column = model.columns["visitor"]
        asked = sa.select(column).where(*self.conditions(model, mask), column.is_not(None))
        found = connection.scalars(asked.distinct().limit(MOST_VISITORS + 1)).all()
        if len(found) > MOST_VISITORS:
            kind = "address" if self.addresses else "username"
            raise QueryError(kind, f"more than {MOST_VISITORS:,} visitors had it: that is nobody")
        return replace(self, visitors=tuple(dict.fromkeys([*self.visitors, *found])))

    def conditions(self, model: Model, mask: Prefixes | None) -> list[Condition]:
        """Return what all requests of the person have; nothing where nobody is meant.

        :raises QueryError: where the model has no column that could tell.
        """
        found: list[Condition] = []
        if self.visitors:
            found.append(_column(model, "visitor").in_(self.visitors))
        if self.usernames:
            found.append(_is_one_of(_column(model, "username"), self.usernames))
        if self.addresses:
            found += _has_address(model, self.addresses, mask)
        return [sa.or_(*found)] if found else []


def _column(model: Model, name: str) -> sa.Column[Any]:
    if not model.has(name):
        raise QueryError(name, f"the model has no column {name}")
    return model.columns[name]


def _is_one_of(column: sa.ColumnElement[Any], values: Sequence[str]) -> Condition:
    # The column as it is, too, for an index of the host's.
    return sa.and_(column.in_(values), exact(column).in_(values))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def forms_of(address: str, mask: Prefixes | None) -> list[str]:
    """Return the texts that an address may have been stored as: as given, in short, masked.

    What was stored before or after ``STATISTICS_MASK_IP`` was changed is found either way.
    """
    found = [address]
    try:
        parsed = ipaddress.ip_address(address.strip().partition("%")[0])
    except ValueError:
        return found
    found += [str(parsed), parsed.exploded]
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        found.append(str(parsed.ipv4_mapped))
    if parsed.version == 4:
        found.append(f"::ffff:{parsed}")
    masked = mask_address(address, mask)
    return list(dict.fromkeys([*found, masked] if masked else found))


def _has_address(model: Model, addresses: Sequence[str], mask: Prefixes | None) -> list[Condition]:
    forms = [form for address in addresses for form in forms_of(address, mask)]
    found: list[Condition] = []
    if model.has("remote_address"):
        found.append(_is_one_of(model.columns["remote_address"], forms))
    if model.has("xforwardedfor"):
        # Only what is an address: a pattern must not be among them.
        found += _forwarded(model.columns["xforwardedfor"], [f for f in forms if _is_address(f)])
    if not found:
        raise QueryError("address", "the model has neither remote_address nor xforwardedfor")
    return found


def _forwarded(column: sa.Column[Any], forms: Sequence[str]) -> list[Condition]:
    """Return the conditions of a header that lists an address, with a port or not."""
    bare: sa.ColumnElement[Any] = column
    for ornament in ' "':
        bare = sa.func.replace(bare, ornament, "", type_=sa.String())
    listed = exact(sa.literal(",") + bare + sa.literal(","))
    ends = [(f"[{form}],", f"[{form}]:") if ":" in form else (f"{form}:",) for form in forms]
    texts = [f"{form}," for form in forms] + [text for pair in ends for text in pair]
    return [matches(listed, f"*,{text}*") for text in texts]
