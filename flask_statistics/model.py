"""What the host's model has: its table and the recorded columns among its columns."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Mapper

from .errors import ConfigurationError
from .fields import BY_NAME

#: Columns in which NULL means something, so that no other value may stand for it.
NULL_HAS_A_MEANING = ("bot", "exception", "route", "visitor", "visit")

_EXAMPLE = "such as `class Request(RequestMixin, db.Model): pass`"


@dataclass(frozen=True)
class Model:
    """The host's model.

    :ivar orm: the mapped class.
    :ivar table: its table.
    :ivar primary_key: its one primary key column.
    :ivar columns: the recorded columns that it has, by the field's name.
    :ivar attributes: all its columns, by attribute or column name.
    """

    orm: type[Any]
    table: sa.Table
    primary_key: sa.Column[Any]
    columns: dict[str, sa.Column[Any]]
    attributes: dict[str, sa.Column[Any]]

    def has(self, *names: str) -> bool:
        """Whether the model has all these recorded columns."""
        return all(name in self.columns for name in names)


def describe_model(db: Any, orm: Any, *, extra_fields: Collection[str] = ()) -> Model:
    """Return what ``orm``, a model of ``db``, has.

    :param extra_fields: columns that functions of the host fill.
    :raises ConfigurationError: where rows could not be stored in it.
    """
    if not isinstance(db, SQLAlchemy):
        raise ConfigurationError(
            f"Statistics needs your Flask-SQLAlchemy object as `db`, but got {db!r}."
        )
    mapper = _mapper(orm)
    table: Any = mapper.local_table
    if not isinstance(table, sa.Table) or len(mapper.tables) != 1:
        raise ConfigurationError(f"{orm.__name__} must be mapped to one table of its own.")
    if not any(table.metadata is metadata for metadata in db.metadatas.values()):
        raise ConfigurationError(
            f"{orm.__name__} is not a model of the db that was given: derive it from its db.Model."
        )
    attributes = _attributes(mapper)
    columns = {name: column for name, column in attributes.items() if name in BY_NAME}
    primary_key = _primary_key(orm, table)
    _check_date(orm, columns)
    _check_not_null(orm, table, columns, primary_key, extra_fields, attributes)
    return Model(orm, table, primary_key, columns, attributes)


def _mapper(orm: Any) -> Mapper[Any]:
    mapper: Any = sa.inspect(orm, raiseerr=False) if isinstance(orm, type) else None
    if not isinstance(mapper, Mapper):
        raise ConfigurationError(
            f"Statistics needs a model of yours as third argument, {_EXAMPLE}, but got {orm!r}."
        )
    return mapper


def _attributes(mapper: Mapper[Any]) -> dict[str, sa.Column[Any]]:
    """Columns by column name and by attribute name; the attribute's name has precedence."""
    mapped = [(attribute.key, attribute.columns[0]) for attribute in mapper.column_attrs]
    pairs = [(key, column) for key, column in mapped if isinstance(column, sa.Column)]
    by_attribute = dict(pairs)
    by_column = {column.name: column for _, column in pairs if column.name not in by_attribute}
    taken = {id(column) for name, column in by_attribute.items() if name in BY_NAME}
    return by_attribute | {n: c for n, c in by_column.items() if id(c) not in taken}


def _primary_key(orm: Any, table: sa.Table) -> sa.Column[Any]:
    keys = list(table.primary_key.columns)
    if len(keys) != 1 or not isinstance(keys[0].type, sa.Integer):
        raise ConfigurationError(
            f"{orm.__name__} needs one integer primary key, of any name, "
            "that the database fills, such as `id = db.Column(db.Integer, primary_key=True)`."
        )
    key = keys[0]
    if table.autoincrement_column is None and not (key.default or key.server_default):
        raise ConfigurationError(
            f"{orm.__name__}.{key.name} is a primary key that nothing fills: write "
            f"`{key.name} = db.Column(db.Integer, primary_key=True)`, without "
            "`autoincrement=False` and without a foreign key, or give it a default."
        )
    return key


def _check_date(orm: Any, columns: dict[str, sa.Column[Any]]) -> None:
    column = columns.get("date")
    if column is None:
        raise ConfigurationError(
            f"{orm.__name__} needs a column `date`, such as `date = db.Column(db.DateTime)`."
        )
    if not isinstance(column.type, sa.DateTime) or column.type.timezone:
        raise ConfigurationError(
            f"{orm.__name__}.date must be a DateTime without time zone (it holds UTC), "
            f"but is {column.type!r}."
        )


def _check_not_null(
    orm: Any,
    table: sa.Table,
    columns: dict[str, sa.Column[Any]],
    primary_key: sa.Column[Any],
    extra_fields: Collection[str],
    attributes: dict[str, sa.Column[Any]],
) -> None:
    filled = {id(column) for column in columns.values()} | {id(primary_key)}
    filled |= {id(attributes[name]) for name in extra_fields if name in attributes}
    for column in table.columns:
        if column.nullable or column.default or column.server_default or column.computed:
            continue
        if id(column) not in filled:
            raise ConfigurationError(
                f"{orm.__name__}.{column.name} is NOT NULL without a default, and nothing fills "
                "it: make it nullable, give it a default, or fill it with "
                f"@statistics.field({column.name!r}) before init_app."
            )
    for name in NULL_HAS_A_MEANING:
        if name in columns and not columns[name].nullable:
            raise ConfigurationError(
                f"{orm.__name__}.{name} must be nullable: NULL in it has a meaning "
                f"({BY_NAME[name].help})"
            )
