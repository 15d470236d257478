"""A property of a JSON object as a text: one construct, compiled for every dialect.

A text is what it says, without quotes; ``true`` and ``false`` and numbers are as they stand in
the document, which is how Python's ``json`` writes them. ``null``, lists, objects, a property
that is not there, a document that is no JSON object, and a text that not every database can hold
(with ``\\u0000`` or half of a surrogate pair) have no value, and are no error.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

Element = FunctionElement[Any]


class text_of_property(Element):  # noqa: N801
    """Arguments: the document, the name, and the path ``$."name"``."""

    inherit_cache = True
    type = sa.String()


def property_text(document: sa.ColumnElement[Any], name: str) -> sa.ColumnElement[str]:
    """Return the property as a text.

    :param name: without a quotation mark or a backslash.
    """
    return text_of_property(document, sa.literal(name), sa.literal(f'$."{name}"'))


def _arguments(element: Element, compiler: SQLCompiler, options: dict[str, Any]) -> list[str]:
    return [compiler.process(clause, **options) for clause in element.clauses]


#: Halves of surrogate pairs in escapes: what follows the first one, and precedes the second.
_HIGH, _LOW = r"\u[dD][89abAB]??", r"\u[dD][c-fC-F]"
_HALVES = (
    *(rf"*{_HIGH}{other}*" for other in (r"[^\]", r"\[^u]", r"\u[^dD]", r"\u[dD][^c-fC-F]")),
    *(
        rf"*{other}{_LOW}*"
        for other in (r"[^\]?????", r"\[^u]????", r"\u[^dD]???", r"\u[dD][^89abAB]??")
    ),
    rf"[^\]{_LOW}*",
)


@compiles(text_of_property, "sqlite")
def _property_sqlite(element: text_of_property, compiler: SQLCompiler, **options: Any) -> str:
    document, _, path = _arguments(element, compiler, options)
    # Two paths give a list of both, in which numbers stand as in the document: "[1.50,1.50]".
    twice = f"json_extract({document}, {path}, {path})"
    plain = f"substr({twice}, 2, (length({twice}) - 3) / 2)"
    unfit = " OR ".join(f"{plain} GLOB '{half}'" for half in _HALVES)
    unfit = rf"({plain} GLOB '*\u[dD]*' AND ({unfit}) OR {plain} GLOB '*\u0000*')"
    return (
        f"(CASE WHEN json_valid({document}) THEN CASE json_type({document}, {path})"
        f" WHEN 'text' THEN CASE WHEN NOT {unfit} THEN json_extract({document}, {path}) END"
        " WHEN 'true' THEN 'true' WHEN 'false' THEN 'false'"
        f" WHEN 'integer' THEN {plain} WHEN 'real' THEN {plain} END END)"
    )


@compiles(text_of_property, "mysql", "mariadb")
def _property_mariadb(element: text_of_property, compiler: SQLCompiler, **options: Any) -> str:
    document, _, path = _arguments(element, compiler, options)
    value = f"JSON_EXTRACT({document}, {path})"
    return (
        f"(CASE WHEN JSON_VALID({document}) AND JSON_TYPE({value}) IN"
        " ('STRING', 'INTEGER', 'DOUBLE', 'BOOLEAN')"
        # A backslash in a literal means what the server's settings say.
        f" AND INSTR({value}, CONCAT(CHAR(92 USING utf8mb4), 'u0000')) = 0"
        f" THEN JSON_UNQUOTE({value}) END)"
    )


# PostgreSQL raises an error for what is no JSON, and before version 16 has no test for it. So
# its text is reduced step by step: what is left of a JSON object is one scalar.
_SPACE = r"[ \t\n\r]*"
_ESCAPED = r"""\\["\\/bfnrt]"""
#: Texts that PostgreSQL's text can hold: not \u0000, and no half of a surrogate pair.
_UNICODE = (
    r"\\u(?!0000)(?![dD][89a-fA-F])[0-9a-fA-F]{4}"
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
_STRING = rf'"(?:[^"\\\u0001-\u001f]|{_ESCAPED}|{_UNICODE})*"'
_SCALAR = r"(?:-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|true|false|null)"
_VALUE = r'(?:""|0)'
_MEMBER = rf'""{_SPACE}:{_SPACE}{_VALUE}'


def _list_of(item: str) -> str:
    return rf"{_SPACE}(?:{item}(?:{_SPACE},{_SPACE}{item})*)?{_SPACE}"


_INNERMOST = rf"\[{_list_of(_VALUE)}\]|\{{{_list_of(_MEMBER)}\}}"
_DEEPEST = 8


@compiles(text_of_property, "postgresql")
def _property_postgresql(element: text_of_property, compiler: SQLCompiler, **options: Any) -> str:
    document, name, _ = _arguments(element, compiler, options)
    # Regular expressions refuse a column whose collation holds "a" and "A" for the same.
    document = reduced = f'({document} COLLATE "C")'
    steps = [(_STRING, '""'), (_SCALAR, "0"), *[(_INNERMOST, "0")] * _DEEPEST]
    for pattern, replaced in steps:
        reduced = f"regexp_replace({reduced}, {_quoted(pattern)}, '{replaced}', 'g')"
    is_object = f"{document} ~ {_quoted(rf'^{_SPACE}[{{]')}"
    is_json = f"{reduced} ~ {_quoted(rf'^{_SPACE}0{_SPACE}$')}"
    value = f"CAST({document} AS json)"
    return (
        f"(CASE WHEN {is_object} AND {is_json} THEN"
        f" CASE WHEN json_typeof({value} -> {name}) IN ('string', 'number', 'boolean')"
        f" THEN {value} ->> {name} END END)"
    )


def _quoted(pattern: str) -> str:
    """Return a pattern as a literal; with E'', it does not depend on the server's settings."""
    escaped = pattern.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'"
