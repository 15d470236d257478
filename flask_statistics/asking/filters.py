"""What a filter of the URL means: ``browser=Firefox*``, ``country=!``, ``status_code=!5xx``."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import sqlalchemy as sa

from ..errors import QueryError
from ..fields import BY_NAME, PERSONAL, Field, text

#: Values of all filters of one query together.
MOST_VALUES = 100
#: Characters of one value.
LONGEST_VALUE = 4096
#: Characters of all patterns of one query together: databases match them in quadratic time.
LONGEST_PATTERNS = 500

#: Properties that one query may filter by: each is a long condition, compiled anew and asked of
#: the JSON of every row.
MOST_PROPERTIES = 10
#: Dimensions that one query may group by.
MOST_DIMENSIONS = 2

#: Dimensions that every request has from its visit: no columns, but columns make them.
VISIT_DIMENSIONS: dict[str, Field] = {
    "entry_path": Field("entry_path", text(1024), "derived", "Entry page",
                        "The path of the first page view of the visit."),
    "exit_path": Field("exit_path", text(1024), "derived", "Exit page",
                       "The path of the last page view of the visit."),
    "visit_page_views": Field("visit_page_views", sa.Integer, "derived", "Pages of the visit",
                              "The page views of the visit within the period.", kind="number"),
}  # fmt: skip
_VISIT = ("visit", "method", "status_code")
_VISIT_NEEDS = {
    "entry_path": ("path", *_VISIT),
    "exit_path": ("path", *_VISIT),
    "visit_page_views": _VISIT,
}
EVENT = Field(
    "event", text(128), "derived", "Event", "The names of the events tracked in the request."
)
#: What dimensions of properties begin with: ``prop.plan``.
PROPERTY = "prop."
#: Names in ASCII: others stand in JSON as they are or escaped, and not every database sees that
#: these are one name.
_PROPERTY_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,64}")

_NUMBER = r"[+-]?(?:[0-9]{1,18}(?:\.[0-9]{1,18})?|\.[0-9]{1,18})(?:[eE][+-]?[0-9]{1,3})?"
_COMPARED = re.compile(rf"(>=|<=|>|<)?({_NUMBER})")
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})")
_CLASS = re.compile(r"([1-9])xx", re.IGNORECASE)
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True)
class Filter:
    """One dimension and the values it may have, as they stand in the URL.

    Values are alternatives; those with a leading ``!`` exclude, all of them. ``*`` matches any
    run of characters, the empty value means absent, ``!`` present.
    """

    dimension: str
    values: tuple[str, ...]


class Equal(NamedTuple):
    value: str | bool


class Like(NamedTuple):
    """A text in which ``*`` matches any run of characters and all else itself."""

    pattern: str


class Between(NamedTuple):
    """A number between two bounds, each included or not; None is no bound."""

    low: int | float | None
    high: int | float | None
    low_included: bool = True
    high_included: bool = True


class Absent(NamedTuple):
    """No value: NULL or, for texts, the empty one."""


Term = Equal | Like | Between | Absent


class Terms(NamedTuple):
    """A filter that was read: any of ``accepted`` (when there are any), none of ``excluded``."""

    accepted: tuple[Term, ...]
    excluded: tuple[Term, ...]


def shown(text: str) -> str:
    """Return a text as an error message may hold it: escaped, and not too long."""
    return repr(text if len(text) <= 60 else f"{text[:60]}…")


def property_name(dimension: str) -> str | None:
    """Return the name of the property that a dimension stands for; None for another one."""
    return dimension.removeprefix(PROPERTY) if dimension.startswith(PROPERTY) else None


def is_personal(dimension: str) -> bool:
    """Whether a dimension can tell about one person, as what a host tracks may: then only those
    who may see personal data may filter or group by it."""
    return dimension in PERSONAL or dimension.startswith(PROPERTY)


def find_dimension(parameter: str, name: str, columns: Collection[str]) -> Field:
    """Return the field of a dimension that the model has.

    :raises QueryError: for ``parameter``, when there is no such dimension here.
    """
    field = _find(parameter, name)
    if field is None:
        known = ", ".join([*available_dimensions(columns), f"{PROPERTY}<name>"])
        raise QueryError(parameter, f"{shown(name)} is unknown; dimensions are {known}")
    if not field.dimension:
        raise QueryError(parameter, f"{name} is not a dimension")
    for needed in _VISIT_NEEDS.get(name, (name,) if name in BY_NAME else ()):
        if needed not in columns:
            raise QueryError(parameter, f"the model has no column {needed}")
    return field


def _find(parameter: str, name: str) -> Field | None:
    prop = property_name(name)
    if prop is None:
        return EVENT if name == EVENT.name else BY_NAME.get(name) or VISIT_DIMENSIONS.get(name)
    if not _PROPERTY_NAME.fullmatch(prop):
        raise QueryError(
            parameter,
            f"{shown(prop)} is no name of a property: 1 to 64 of a-z, A-Z, 0-9, _, -, . and :",
        )
    help_ = f"The property {prop} of the request's variables or of an event tracked in it."
    return Field(name, sa.Text, "derived", prop, help_, personal=True)


def read_dimensions(parameter: str, text: str, columns: Collection[str]) -> tuple[str, ...]:
    """Return the one or two dimensions that are named with a comma between.

    :raises QueryError: for ``parameter``, when they cannot be grouped by.
    """
    names = tuple(text.split(","))
    if len(names) > MOST_DIMENSIONS:
        raise QueryError(parameter, f"{len(names)} dimensions are more than {MOST_DIMENSIONS}")
    if len(set(names)) != len(names):
        raise QueryError(parameter, f"{shown(names[0])} is given {len(names)} times")
    for name in names:
        find_dimension(parameter, name, columns)
    return names


def available_dimensions(columns: Collection[str]) -> dict[str, Field]:
    """Return the dimensions of a model with these columns, by name; those of properties, whose
    names nobody knows, are not among them."""
    found = {name: field for name, field in BY_NAME.items() if field.dimension and name in columns}
    for name, needs in _VISIT_NEEDS.items():
        if all(needed in columns for needed in needs):
            found[name] = VISIT_DIMENSIONS[name]
    return found | {EVENT.name: EVENT}


def read_filter(condition: Filter, columns: Collection[str]) -> Terms:
    """Return what a filter means.

    :raises QueryError: for an unknown dimension, or a value that it cannot have.
    """
    field = find_dimension(condition.dimension[:60], condition.dimension, columns)
    terms = [(v.startswith("!"), _read(field, v.removeprefix("!"))) for v in condition.values]
    return Terms(
        tuple(term for excluded, term in terms if not excluded),
        tuple(term for excluded, term in terms if excluded),
    )


def _read(field: Field, value: str) -> Term:
    if len(value) > LONGEST_VALUE:
        raise QueryError(field.name, f"a value is longer than {LONGEST_VALUE} characters")
    if _UNSTORABLE.search(value):
        raise QueryError(field.name, f"{shown(value)} holds a character that is never stored")
    if value == "":
        return Absent()
    if field.kind == "number":
        return _read_number(field, value)
    if field.kind == "boolean":
        return _read_boolean(field, value)
    return Like(re.sub(r"\*+", "*", value)) if "*" in value else Equal(value)


def _read_boolean(field: Field, value: str) -> Equal:
    if value.lower() not in _BOOLEANS:
        raise QueryError(field.name, f"{shown(value)} is neither true nor false")
    return Equal(_BOOLEANS[value.lower()])


def _read_number(field: Field, value: str) -> Between:
    if field.name == "status_code" and (match := _CLASS.fullmatch(value)):
        return Between(int(match[1]) * 100, int(match[1]) * 100 + 99)
    if match := _RANGE.fullmatch(value):
        low, high = _number(field, match[1]), _number(field, match[2])
        if low > high:
            raise QueryError(field.name, f"{shown(value)} ends before it begins")
        return Between(low, high)
    if match := _COMPARED.fullmatch(value):
        number = _number(field, match[2])
        bounds = {
            ">": Between(number, None, low_included=False),
            ">=": Between(number, None),
            "<": Between(None, number, high_included=False),
            "<=": Between(None, number),
        }
        return bounds.get(match[1], Between(number, number))
    kinds = "a number, >1.5, <=3 or 500..599"
    if field.name == "status_code":
        kinds = "a status, 5xx, >399, <=399 or 500..599"
    raise QueryError(field.name, f"{shown(value)} is not {kinds}")


def _number(field: Field, text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        pass
    number = float(text)
    if not math.isfinite(number):
        raise QueryError(field.name, f"{shown(text)} is too large")
    return number
