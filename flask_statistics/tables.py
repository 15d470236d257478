"""The tables of ours, declared on the metadata of the host's model.

The host's own ``flask db migrate`` finds them there, and ``db.create_all()`` makes them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from .fields import timestamp


class Tables(NamedTuple):
    """The tables of ours on one metadata.

    :ivar salt: one secret a UTC day, from which visitors are computed. ``live`` salts were made
        for requests as they came; the others for imported logs. Destroyed after ``expires``.
    :ivar live: the spans of time in which requests were recorded as they came.
    :ivar imported: which lines of access logs were imported: for each UTC hour, in
        parts, the 8-byte hashes of the lines, one after the other.
    """

    salt: sa.Table
    live: sa.Table
    imported: sa.Table


def _binary() -> sa.types.TypeEngine[Any]:
    # Named, not chosen by a length: else `flask db check` would see another type each time.
    return sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")


def declare_tables(metadata: sa.MetaData) -> Tables:
    """Declare the tables on ``metadata``, or return those declared there before."""
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    # The metadata names its tables with its schema, where it has one.
    prefix = f"{metadata.schema}." if metadata.schema else ""
    if f"{prefix}statistics_salt" not in metadata.tables:
        sa.Table(
            "statistics_salt",
            metadata,
            sa.Column("day", sa.Date, primary_key=True),
            sa.Column("salt", sa.String(64), nullable=False),
            sa.Column("live", sa.Boolean, nullable=False),
            sa.Column("expires", timestamp(), nullable=False),
        )
        sa.Table(
            "statistics_live",
            metadata,
            sa.Column("id", number, primary_key=True),
            sa.Column("started", timestamp(), nullable=False),
            sa.Column("ended", timestamp(), nullable=False),
        )
        sa.Table(
            "statistics_imported",
            metadata,
            sa.Column("id", number, primary_key=True),
            sa.Column("hour", timestamp(), nullable=False, index=True),
            sa.Column("lines", _binary(), nullable=False),
        )
    return Tables(*(metadata.tables[f"{prefix}statistics_{name}"] for name in Tables._fields))
