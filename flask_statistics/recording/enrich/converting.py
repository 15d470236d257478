"""Values that functions of the host return, as its columns take them.

One value that a driver or the database refuses would cost the whole row, so what does not fit
becomes NULL. Integers are bounded by 64 bits here; narrower columns are looked after where the
dialect is known.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from datetime import date, datetime, timezone
from decimal import Decimal
from itertools import chain, repeat
from typing import Any

import sqlalchemy as sa

from ...privacy import storable
from ..plain import plain_text
from ..record import RECORD, Record
from ..troubles import Troubles
from .keeping import Limits

#: Takes a value that is not None; raises where there is no such value of the column's type.
Convert = Callable[[Any], Any]
#: The type of each column that a function of the host fills.
Types = Mapping[str, sa.types.TypeEngine[Any]]
_FIELDS = RECORD.index("fields")
_LARGEST = 2**63
#: Digits before the point of a column that names none; more than a float has.
_MOST_DIGITS = 300
_REJECTIONS = (TypeError, ValueError, ArithmeticError, AttributeError, RecursionError)


class HostFields:
    """Converts the values of the host's functions.

    :param types: the type of each column, in the order of the functions.
    """

    def __init__(self, types: Types, limits: Limits) -> None:
        self._columns = [(name, _converter(name, type_, limits)) for name, type_ in types.items()]
        self._troubles = Troubles()

    def of(self, record: Record) -> tuple[Any, ...]:
        """Return a value for each column; None for functions declared after the request."""
        padded = chain(record[_FIELDS], repeat(None))
        return tuple(
            None if value is None else self._convert(name, convert, value)
            for (name, convert), value in zip(self._columns, padded, strict=False)
        )

    def _convert(self, name: str, convert: Convert, value: Any) -> Any:
        try:
            return convert(value)
        except _REJECTIONS:
            # Not what it is: it may be what a visitor sent.
            self._troubles.warning(
                f"A {type(value).__name__} of the field {name} does not fit its column"
            )
            return None


def _converter(name: str, type_: sa.types.TypeEngine[Any], limits: Limits) -> Convert:
    if isinstance(type_, sa.String) and not isinstance(type_, sa.Enum):
        return lambda value: limits.cut(name, storable(_text(value)))
    for kind, make in _BY_TYPE:
        if isinstance(type_, kind):
            return make(type_)
    return _of_type(type_)


def _text(value: Any) -> str:
    # A subclass of str (Markup) becomes a plain one.
    return str.__str__(value) if isinstance(value, str) else str(value)


def _whole(value: Any) -> int:
    number = int(value)
    if not isinstance(value, str) and number != value:
        raise ValueError
    if not -_LARGEST <= number < _LARGEST:
        raise OverflowError
    return number


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _decimal(type_: sa.Numeric[Any]) -> Convert:
    digits = _MOST_DIGITS if type_.precision is None else type_.precision - (type_.scale or 0)
    places = Decimal(1).scaleb(-type_.scale) if type_.scale is not None else None

    def convert(value: Any) -> Decimal:
        number = value if isinstance(value, Decimal) else Decimal(str(value))
        if not number.is_finite() or number.adjusted() > _MOST_DIGITS:
            raise ValueError
        # Rounded first: 9.999 needs a digit more than 9.9.
        rounded = number if places is None else round(number, type_.scale or 0)
        if abs(rounded) >= Decimal(10) ** digits:
            raise OverflowError
        return rounded if isinstance(rounded, Decimal) else Decimal(rounded)

    return convert


def _truth(value: Any) -> bool:
    if value is True or value is False:
        return value
    if isinstance(value, int | float | Decimal) and value in {0, 1}:
        return bool(value)
    raise ValueError


def _moment(value: Any) -> datetime:
    """Return a naive moment, UTC."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    elif not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    moment: datetime = value
    return moment.astimezone(timezone.utc).replace(tzinfo=None) if moment.tzinfo else moment


def _aware_moment(value: Any) -> datetime:
    return _moment(value).replace(tzinfo=timezone.utc)


def _day(value: Any) -> date:
    if isinstance(value, str):
        return date.fromisoformat(value)
    return _moment(value).date()


def _json(value: Any) -> str:
    """Return JSON; a text that is none becomes a string of JSON."""
    if isinstance(value, str):
        text = _text(value)
        try:
            json.loads(text, parse_constant=_reject)
        except ValueError:
            return json.dumps(storable(text))
        return text
    return json.dumps(value, default=plain_text, allow_nan=False)


def _reject(constant: str) -> None:
    raise ValueError(constant)  # NaN and Infinity are no JSON


def _one_of(type_: sa.Enum) -> Convert:
    def convert(value: Any) -> Any:
        known = type_.enum_class is not None and isinstance(value, type_.enum_class)
        if not known and value not in type_.enums:
            raise ValueError
        return value

    return convert


def _of_type(type_: sa.types.TypeEngine[Any]) -> Convert:
    """Return what lets values of the type's own Python type pass; all, where it has none."""
    try:
        expected = object if isinstance(type_, sa.types.TypeDecorator) else type_.python_type
    except NotImplementedError:
        expected = object

    def convert(value: Any) -> Any:
        if not isinstance(value, expected):
            raise TypeError
        return value

    return convert


#: The first that fits: Float was a kind of Numeric until SQLAlchemy 2.1.
_BY_TYPE: tuple[tuple[type[Any], Callable[[Any], Convert]], ...] = (
    (sa.Integer, lambda _: _whole),
    (sa.Float, lambda _: _finite),
    (sa.Numeric, _decimal),
    (sa.Boolean, lambda _: _truth),
    (sa.DateTime, lambda type_: _aware_moment if type_.timezone else _moment),
    (sa.Date, lambda _: _day),
    (sa.JSON, lambda _: _json),
    (sa.Enum, _one_of),
)
