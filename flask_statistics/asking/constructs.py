"""What databases say differently: one construct each, compiled for every dialect.

A new database needs its ``@compiles`` functions here and nothing else. None of the SQL holds a
``%``, which some drivers would take for a parameter.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

Element = FunctionElement[Any]


def _arguments(element: Element, compiler: SQLCompiler, options: dict[str, Any]) -> list[str]:
    return [compiler.process(clause, **options) for clause in element.clauses]


def as_text(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Return a column as a text: enumerations, JSON and types of the host's own are none."""
    plain = isinstance(column.type, sa.String) and not isinstance(column.type, sa.Enum)
    return column if plain else sa.cast(column, sa.Text)


class exact(Element):  # noqa: N801
    """A text that is compared, grouped and sorted by its characters: case and trailing spaces
    count, the order is that of Unicode's code points.

    MariaDB's default collations hold "A" and "a", "a" and "a " for the same; SQLite's and
    PostgreSQL's are exact, unless the host chose others.
    """

    inherit_cache = True
    type = sa.String()


@compiles(exact)
def _exact(element: exact, compiler: SQLCompiler, **options: Any) -> str:
    (text,) = _arguments(element, compiler, options)
    return f"({text})"


@compiles(exact, "sqlite")
def _exact_sqlite(element: exact, compiler: SQLCompiler, **options: Any) -> str:
    (text,) = _arguments(element, compiler, options)
    return f"({text} COLLATE BINARY)"


@compiles(exact, "postgresql")
def _exact_postgresql(element: exact, compiler: SQLCompiler, **options: Any) -> str:
    (text,) = _arguments(element, compiler, options)
    return f'({text} COLLATE "C")'


@compiles(exact, "mysql", "mariadb")
def _exact_mariadb(element: exact, compiler: SQLCompiler, **options: Any) -> str:
    (text,) = _arguments(element, compiler, options)
    mariadb = getattr(compiler.dialect, "is_mariadb", False)
    collation = "utf8mb4_nopad_bin" if mariadb else "utf8mb4_0900_bin"
    return f"(CONVERT({text} USING utf8mb4) COLLATE {collation})"


class _matches(Element):  # noqa: N801
    """Whether a text matches: arguments are the text, a GLOB and a LIKE (escaped by ``~``)."""

    inherit_cache = True
    type = sa.Boolean()


def matches(text: sa.ColumnElement[Any], pattern: str) -> sa.ColumnElement[bool]:
    """Return whether an :class:`exact` text matches a pattern: ``*`` is any run of characters.

    All other characters, ``%``, ``_``, ``?``, ``[`` and ``\\`` included, are themselves.
    """
    glob = "".join(f"[{character}]" if character in "[?" else character for character in pattern)
    like = "".join(f"~{character}" if character in "~%_" else character for character in pattern)
    return _matches(text, sa.literal(glob), sa.literal(like.replace("*", "%")))


@compiles(_matches)
def _matches_like(element: _matches, compiler: SQLCompiler, **options: Any) -> str:
    text, _, like = _arguments(element, compiler, options)
    return f"({text} LIKE {like} ESCAPE '~')"


@compiles(_matches, "sqlite")
def _matches_glob(element: _matches, compiler: SQLCompiler, **options: Any) -> str:
    # SQLite's LIKE holds "A" and "a" for the same.
    text, glob, _ = _arguments(element, compiler, options)
    return f"({text} GLOB {glob})"


class ratio(Element):  # noqa: N801
    """A quotient as a double; NULL where the divisor is 0.

    MariaDB and PostgreSQL would divide integers and decimals with a few digits only.
    """

    inherit_cache = True
    type = sa.Double()


@compiles(ratio)
def _ratio(element: ratio, compiler: SQLCompiler, **options: Any) -> str:
    dividend, divisor = _arguments(element, compiler, options)
    return f"(1e0 * {dividend} / NULLIF({divisor}, 0))"


@compiles(ratio, "postgresql")
def _ratio_postgresql(element: ratio, compiler: SQLCompiler, **options: Any) -> str:
    dividend, divisor = _arguments(element, compiler, options)
    return f"(CAST({dividend} AS DOUBLE PRECISION) / NULLIF({divisor}, 0))"


class nearest_rank(Element):  # noqa: N801
    """The smallest value whose cumulative share is at least a percentage: arguments are the value
    and one of :data:`PERCENTAGES`. Where :attr:`.source.Source.columnar` holds only."""

    inherit_cache = True
    type = sa.Double()


#: The percentages of percentiles; databases compute all of them at once.
PERCENTAGES = (50, 95, 99)


class seconds_between(Element):  # noqa: N801
    """Seconds from one moment to another, with their fraction."""

    inherit_cache = True
    type = sa.Double()


@compiles(seconds_between, "sqlite")
def _seconds_sqlite(element: seconds_between, compiler: SQLCompiler, **options: Any) -> str:
    def seconds(moment: str) -> str:
        # julianday() is off by some 10 microseconds; the fraction of strftime() by 500.
        whole = f"CAST(strftime('%s', substr({moment}, 1, 19)) AS INTEGER)"
        return f"({whole} + CAST('0' || substr({moment}, 20) AS REAL))"

    earlier, later = _arguments(element, compiler, options)
    return f"({seconds(later)} - {seconds(earlier)})"


@compiles(seconds_between, "postgresql")
def _seconds_postgresql(element: seconds_between, compiler: SQLCompiler, **options: Any) -> str:
    earlier, later = _arguments(element, compiler, options)
    return f"CAST(EXTRACT(EPOCH FROM ({later} - {earlier})) AS DOUBLE PRECISION)"


@compiles(seconds_between, "mysql", "mariadb")
def _seconds_mariadb(element: seconds_between, compiler: SQLCompiler, **options: Any) -> str:
    earlier, later = _arguments(element, compiler, options)
    return f"(TIMESTAMPDIFF(MICROSECOND, {earlier}, {later}) / 1e6)"


class shifted(Element):  # noqa: N801
    """A moment, later by a whole number of seconds; the fraction may be cut."""

    inherit_cache = True
    type = sa.DateTime()


@compiles(shifted, "sqlite")
def _shifted_sqlite(element: shifted, compiler: SQLCompiler, **options: Any) -> str:
    # The fraction goes first: SQLite rounds it to milliseconds, into the next day.
    moment, seconds = _arguments(element, compiler, options)
    return f"datetime(substr({moment}, 1, 19), ({seconds}) || ' seconds')"


@compiles(shifted, "postgresql")
def _shifted_postgresql(element: shifted, compiler: SQLCompiler, **options: Any) -> str:
    moment, seconds = _arguments(element, compiler, options)
    return f"({moment} + ({seconds}) * INTERVAL '1 second')"


@compiles(shifted, "mysql", "mariadb")
def _shifted_mariadb(element: shifted, compiler: SQLCompiler, **options: Any) -> str:
    moment, seconds = _arguments(element, compiler, options)
    return f"({moment} + INTERVAL ({seconds}) SECOND)"


class _Start(Element):
    """The start of the bucket that a local moment lies in; what the driver makes of it begins,
    as a string, with the bucket's label."""

    inherit_cache = True
    type = sa.types.NullType()
    unit: str
    length: int


class _start_of_hour(_Start):  # noqa: N801
    inherit_cache = True
    unit, length = "hour", 13


class _start_of_day(_Start):  # noqa: N801
    inherit_cache = True
    unit, length = "day", 10


class _start_of_week(_Start):  # noqa: N801
    inherit_cache = True
    unit, length = "week", 10


class _start_of_week_from_sunday(_Start):  # noqa: N801
    inherit_cache = True
    unit, length = "week-sunday", 10


class _start_of_month(_Start):  # noqa: N801
    inherit_cache = True
    unit, length = "month", 7


class _start_of_year(_Start):  # noqa: N801
    inherit_cache = True
    unit, length = "year", 4


#: The start of a bucket by its length, each a function of a local moment.
STARTS: dict[str, type[_Start]] = {
    start.unit: start
    for start in (
        *(_start_of_hour, _start_of_day, _start_of_week, _start_of_week_from_sunday),
        *(_start_of_month, _start_of_year),
    )
}


@compiles(_Start, "sqlite")
def _start_sqlite(element: _Start, compiler: SQLCompiler, **options: Any) -> str:
    (moment,) = _arguments(element, compiler, options)
    if element.unit == "week":
        return f"date(substr({moment}, 1, 10), 'weekday 0', '-6 days')"
    if element.unit == "week-sunday":
        return f"date(substr({moment}, 1, 10), '-6 days', 'weekday 0')"
    return f"substr({moment}, 1, {element.length})"


@compiles(_Start, "postgresql")
def _start_postgresql(element: _Start, compiler: SQLCompiler, **options: Any) -> str:
    (moment,) = _arguments(element, compiler, options)
    if element.unit == "week-sunday":
        day = "INTERVAL '1 day'"
        return f"(date_trunc('week', {moment} + {day}) - {day})"
    return f"date_trunc('{element.unit}', {moment})"


@compiles(_Start, "mysql", "mariadb")
def _start_mariadb(element: _Start, compiler: SQLCompiler, **options: Any) -> str:
    (moment,) = _arguments(element, compiler, options)
    if element.unit == "week":
        return f"DATE({moment} - INTERVAL WEEKDAY({moment}) DAY)"
    if element.unit == "week-sunday":
        return f"DATE({moment} - INTERVAL (DAYOFWEEK({moment}) - 1) DAY)"
    return f"LEFT({moment}, {element.length})"


class as_stored(Element):  # noqa: N801
    """A moment as a column of dates would have stored it: arguments are the moment and anything
    of the column's type. MariaDB's DATETIME cuts the fraction of a second where it was declared
    without one.
    """

    inherit_cache = True
    type = sa.DateTime()


@compiles(as_stored)
def _as_stored(element: as_stored, compiler: SQLCompiler, **options: Any) -> str:
    return _arguments(element, compiler, options)[0]


@compiles(as_stored, "sqlite")
def _as_stored_sqlite(element: as_stored, compiler: SQLCompiler, **options: Any) -> str:
    # SQLite compares texts, which some hosts have stored without a fraction.
    moment, column = element.clauses
    text = compiler.process(moment, **options)
    form = getattr(column.type.dialect_impl(compiler.dialect), "_storage_format", "microsecond")
    return text if "microsecond" in form else f"substr({text}, 1, 19)"


@compiles(as_stored, "mysql", "mariadb")
def _as_stored_mariadb(element: as_stored, compiler: SQLCompiler, **options: Any) -> str:
    moment, column = element.clauses
    digits = getattr(column.type.dialect_impl(compiler.dialect), "fsp", None) or 0
    text = compiler.process(moment, **options)
    return text if digits == 6 else f"CAST({text} AS DATETIME({digits}))"
