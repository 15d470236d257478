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
    :ivar visit: one row a visit (two where bots and people share one): see :func:`_visit`.
    :ivar event: custom events; see :func:`_event`.
    :ivar change: how often a UTC day of the past was changed: by a row that came late, an import,
        or a command. What was derived from a day (the archive, a kept answer) is right as long
        as its number is.
    :ivar state: single values of one name each, some of which expire: the moment before which
        rows are closed, whether the visits are complete, leases.
    :ivar total: the figures of days that are over, for each value of some dimensions: see
        :func:`_total`.
    """

    salt: sa.Table
    live: sa.Table
    imported: sa.Table
    visit: sa.Table
    event: sa.Table
    change: sa.Table
    state: sa.Table
    total: sa.Table


# Types are named, not chosen by a length: else `flask db check` would see another one each time.
def _binary() -> sa.types.TypeEngine[Any]:
    return sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")


def _long_text() -> sa.types.TypeEngine[Any]:
    return sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")


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
        _visit(metadata)
        _event(metadata, number)
        sa.Table(
            "statistics_change",
            metadata,
            sa.Column("day", sa.Date, primary_key=True),
            sa.Column("number", sa.BigInteger, nullable=False),
        )
        sa.Table(
            "statistics_state",
            metadata,
            sa.Column("name", sa.String(64), primary_key=True),
            sa.Column("value", sa.String(255), nullable=False),
            sa.Column("expires", timestamp(), nullable=True),
        )
        _total(metadata, number)
    return Tables(*(metadata.tables[f"{prefix}statistics_{name}"] for name in Tables._fields))


def _visit(metadata: sa.MetaData) -> None:
    """Declare what is known of each visit, so that nobody need read its requests again.

    ``began`` and ``ended`` are the first and last request of any kind, ``first`` and ``last``
    the first and last page view or event, ``entry_date`` and ``exit_date`` the first and last
    page view, of which ``entry_path`` and ``exit_path`` are the pages. Bots and people have
    rows of their own, since a question may leave either out.
    """
    sa.Table(
        "statistics_visit",
        metadata,
        sa.Column("visit", sa.String(32), primary_key=True),
        sa.Column("person", sa.Boolean, primary_key=True),
        sa.Column("visitor", sa.String(32), nullable=False),
        sa.Column("began", timestamp(), nullable=False),
        sa.Column("ended", timestamp(), nullable=False),
        sa.Column("first", timestamp(), nullable=True),
        sa.Column("last", timestamp(), nullable=True),
        sa.Column("entry_date", timestamp(), nullable=True),
        sa.Column("exit_date", timestamp(), nullable=True),
        sa.Column("entry_path", sa.String(1024), nullable=True),
        sa.Column("exit_path", sa.String(1024), nullable=True),
        sa.Column("hits", sa.Integer, nullable=False),
        sa.Column("page_views", sa.Integer, nullable=False),
        sa.Column("events", sa.Integer, nullable=False),
        sa.Index("ix_statistics_visit_visitor", "visitor", "ended"),
        sa.Index("ix_statistics_visit_last", "last", "first"),
    )


def _event(metadata: sa.MetaData, number: sa.types.TypeEngine[Any]) -> None:
    """Declare custom events. ``request_date`` and ``request_id`` tell the request that an event
    was tracked in; NULL outside of requests. ``person`` is False for what a bot did."""
    sa.Table(
        "statistics_event",
        metadata,
        sa.Column("id", number, primary_key=True),
        sa.Column("date", timestamp(), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("person", sa.Boolean, nullable=False),
        sa.Column("visitor", sa.String(32), nullable=True),
        sa.Column("visit", sa.String(32), nullable=True),
        sa.Column("request_date", timestamp(), nullable=True),
        sa.Column("request_id", sa.String(64), nullable=True),
        sa.Column("path", sa.String(1024), nullable=True),
        sa.Column("username", sa.String(255), nullable=True),
        sa.Column("site", sa.String(128), nullable=True),
        sa.Column("properties", sa.Text, nullable=True),
        sa.Column("revenue", sa.Double, nullable=True),
        sa.Column("currency", sa.String(3), nullable=True),
        sa.Index("ix_statistics_event_date", "date"),
        sa.Index("ix_statistics_event_visit", "visit"),
        sa.Index("ix_statistics_event_request", "request_date"),
    )


def _total(metadata: sa.MetaData, number: sa.types.TypeEngine[Any]) -> None:
    """Declare what was added up of whole UTC days, so that long ranges need not read requests.

    A row is of one day (``first`` is its midnight, ``last`` its last microsecond), one dimension
    (an empty name is all requests together), one value of it (``text`` or ``number``; neither
    where there is none), and of people or of bots. Requests by the steps of their response times
    are there, too: ``number`` is the step, and ``hits`` how many. ``change`` is the number that
    the day had in ``statistics_change`` before it was read, ``apart`` whether none of its
    visitors has requests on another day, so that visitors of several days may be added (False
    also where a dimension has too many values). Times are in seconds.
    """
    sums = ("response_time", "size", "db_queries", "db_time")
    sa.Table(
        "statistics_total",
        metadata,
        sa.Column("id", number, primary_key=True),
        sa.Column("dimension", sa.String(64), nullable=False),
        sa.Column("first", timestamp(), nullable=False),
        sa.Column("last", timestamp(), nullable=False),
        sa.Column("change", sa.BigInteger, nullable=False),
        sa.Column("apart", sa.Boolean, nullable=False),
        sa.Column("person", sa.Boolean, nullable=False),
        sa.Column("text", _long_text(), nullable=True),
        sa.Column("number", sa.BigInteger, nullable=True),
        sa.Column("last_seen", timestamp(), nullable=True),
        *(sa.Column(n, sa.BigInteger, nullable=True)
          for n in ("hits", "visitors", "page_views", "errors")),
        sa.Column("response_time_max", sa.Double, nullable=True),
        *(sa.Column(f"{n}_sum", sa.Double if n.endswith("time") else sa.BigInteger, nullable=True)
          for n in sums),
        *(sa.Column(f"{n}_count", sa.BigInteger, nullable=True) for n in sums),
        sa.Index("ix_statistics_total_first", "first"),
        sa.Index("ix_statistics_total_dimension", "dimension", "first"),
    )  # fmt: skip
