"""Models of hosts: which columns they have, under which names, and of which types."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, sqlite

from flask_statistics.fields import BY_NAME
from flask_statistics.model import Model

from .choices import Choices

Row = dict[str, Any]
Make = Callable[[], sa.types.TypeEngine[Any]]
#: Values of the columns whose host may have made an enumeration of them.
ENUMERATED = {
    "method": ("GET", "POST"),
    "device": ("desktop", "mobile", "bot"),
}
#: A collation of PostgreSQL's that the databases of these tests have.
CASE_BLIND = "case_blind"


def _case_blind() -> sa.types.TypeEngine[Any]:
    """Texts of the database's collation that hold "a" and "A" for the same."""
    return (
        sa.String(60)
        .with_variant(sa.String(60, collation="NOCASE"), "sqlite")
        .with_variant(sa.String(60, collation=CASE_BLIND), "postgresql")
        .with_variant(mysql.VARCHAR(60, collation="utf8mb4_general_ci"), "mysql", "mariadb")
    )


def _whole_seconds() -> sa.types.TypeEngine[Any]:
    """Moments without a fraction, as SQLite's hosts may have stored them."""
    truncated = sqlite.DATETIME(truncate_microseconds=True)  # type: ignore[no-untyped-call]
    return sa.DateTime().with_variant(truncated, "sqlite")


def _text_types(name: str) -> dict[str, Make]:
    types: dict[str, Make] = {"short": lambda: sa.String(60), "case-blind": _case_blind}
    types["long"] = sa.Text
    if name in ENUMERATED:
        values = ENUMERATED[name]
        types["enum"] = lambda: sa.Enum(*values, name=f"an_{name}")
        types["check"] = lambda: sa.Enum(*values, name=f"a_{name}", native_enum=False)
    if name in {"url_args", "track_var"}:
        types["json"] = sa.JSON
    return types


def types_of(name: str) -> dict[str, Make]:
    """Return the types that hosts give a column beside RequestMixin's, by names of ours."""
    if name == "date":
        return {"plain": sa.DateTime, "whole": _whole_seconds}
    if BY_NAME[name].kind == "text":
        return _text_types(name)
    if name in {"response_time", "db_time"}:
        return {"float": sa.Float, "numeric": lambda: sa.Numeric(12, 6)}
    if name == "size":
        return {"numeric": lambda: sa.Numeric(12, 0), "float": sa.Double}
    if BY_NAME[name].kind == "number":
        return {"big": sa.BigInteger, "numeric": lambda: sa.Numeric(12, 0)}
    return {}


@dataclass(frozen=True)
class Layout:
    """What a host's model looks like.

    :ivar columns: the fields that it has.
    :ivar types: those whose type is another than RequestMixin's: see :func:`types_of`.
    :ivar names: those whose column has another name than the field.
    """

    columns: tuple[str, ...]
    types: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    table: str = "request"
    key: str = "id"

    def has(self, *names: str) -> bool:
        return all(name in self.columns for name in names)

    def model(self, metadata: sa.MetaData) -> Model:
        """Declare its table, and return it as the engine knows it."""
        key = sa.BigInteger().with_variant(sa.Integer, "sqlite")
        declared = [sa.Column(self.key, key, primary_key=True, autoincrement=True)]
        for name in self.columns:
            declared.append(sa.Column(self.names.get(name, name), self._type(name)))
        table = sa.Table(self.table, metadata, *declared)
        columns = dict(zip(self.columns, declared[1:], strict=True))
        attributes = {**columns, self.key: declared[0]}
        return Model(object, table, declared[0], columns, attributes)

    def _type(self, name: str) -> sa.types.TypeEngine[Any]:
        given = self.types.get(name)
        return BY_NAME[name].type() if given is None else types_of(name)[given]()

    def kept(self, name: str, value: Any, dialect: str) -> Any:
        """Return what the column keeps of a value, as it is read back."""
        given = self.types.get(name)
        whole = {("plain", "mariadb"), ("whole", "mariadb"), ("whole", "sqlite")}
        if isinstance(value, datetime) and (given, dialect) in whole:
            return value.replace(microsecond=0)
        enumerated = given in {"enum", "check"} and value not in ENUMERATED[name]
        if enumerated or (given == "json" and value == ""):
            return None
        return value

    def shown(self, row: Row) -> Row:
        """Return a row as JSON has it."""
        read = {
            name: json.loads(row[name] or "null") for name, t in self.types.items() if t == "json"
        }
        return {**row, **read, "date": row["date"].isoformat() + "Z"}

    def stored(self, rows: Sequence[Row]) -> list[Row]:
        """Return what is inserted for rows, by the keys of the table's columns."""
        names = {name: self.names.get(name, name) for name in self.columns}
        return [
            {self.key: row["id"], **{names[n]: self._given(n, row[n]) for n in names}}
            for row in rows
        ]

    def _given(self, name: str, value: Any) -> Any:
        """Return the value that is given to the column's type."""
        if self.types.get(name) == "json":
            return sa.null() if value is None else json.loads(value)
        return value


#: Names that SQL, or the engine's own statements, use for something else.
TAKEN = ("last", "person", "select", "Path", "place", "key_0", "visit", "value", "amount", "a b")
TABLES = ("request", "order", "Request", "visits", "requests 2%")
KEYS = ("id", "index", "last", "person", "key")


def draw_layout(chance: Choices, optional: Sequence[str]) -> Layout:
    """Draw a model: all columns, or ``date`` and some."""
    everything = chance.one((True, False, False))
    some = tuple(name for name in optional if everything or chance.one((True, False)))
    columns = ("date", *some)
    types, names = {}, {}
    for name in columns:
        others = types_of(name)
        if chance.one((False, False, False, True)) and others:
            types[name] = chance.one(tuple(others))
    key = chance.one(KEYS)
    free = [name for name in TAKEN if name.lower() not in {*columns, key}]
    for name in columns:
        if chance.one((False,) * 7 + (True,)) and free:
            names[name] = free.pop(0)
    return Layout(columns, types, names, chance.one(TABLES), key)
