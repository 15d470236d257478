"""Who made a request, without a cookie: daily salts, visitors and visits.

A visitor is a keyed hash of address, user agent and host under a random salt that is made anew
each day (UTC), shared by all workers through a table of ours, and destroyed. Plausible counts in
the same way (https://plausible.io/data-policy). A visit ends after 30 minutes without a request
of its visitor (Google Analytics' and Matomo's definition too).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime, time, timedelta, timezone
from hashlib import blake2b
from typing import Any

import sqlalchemy as sa

from ..model import Model

EPOCH = datetime(1970, 1, 1)
#: How long after the beginning of its day a salt is kept. It is looked every hour which have
#: expired, so that none outlives its day's beginning by more than 48 hours.
LIFETIME = timedelta(hours=47)
#: How long after the last import that used it a salt for imported requests is kept.
IMPORTED_LIFETIME = timedelta(hours=48)
_HOUR = timedelta(hours=1)
#: Visitors whose latest request is remembered, so that most rows need no look-up.
REMEMBERED = 20_000
_LOOKED_UP_AT_ONCE = (5, 50, 400)


Transaction = Callable[[], AbstractContextManager[sa.Connection]]


def utc_now() -> datetime:
    """Return now, UTC, without a time zone. The one clock of salts."""
    return datetime.now(timezone.utc).replace(tzinfo=None)


class Salts:
    """The salt of each day, from the table that all workers share.

    :param transaction: gives a connection in a short transaction of its own.
    :param live: whether the salts are for requests as they come, or for imported ones.
    """

    def __init__(self, transaction: Transaction, table: sa.Table, *, live: bool) -> None:
        self._transaction = transaction
        self._table = table
        self._live = live
        self._known: dict[date, bytes | None] = {}
        self._destroyed = EPOCH

    def of(self, day: date) -> bytes | None:
        """Return the salt of a UTC day; None where it has been destroyed.

        It is read, or made, in a short transaction of its own, so that workers that start at
        once agree on the one that was committed first.

        :raises sqlalchemy.exc.DBAPIError: where the table is missing or the database away.
        """
        if day not in self._known:
            if abs(utc_now() - self._destroyed) >= _HOUR:
                self.destroy_expired()
            self._known[day] = self._read(day) or self._make(day)
        return self._known[day]

    def _read(self, day: date) -> bytes | None:
        table = self._table
        with self._transaction() as connection:
            row = connection.execute(
                sa.select(table.c.salt, table.c.live).where(table.c.day == day)
            ).first()
            if row and not self._live and not row.live:
                connection.execute(
                    table.update()
                    .where(table.c.day == day)
                    .values(expires=utc_now() + IMPORTED_LIFETIME)
                )
        return bytes.fromhex(row.salt) if row else None

    def _make(self, day: date) -> bytes | None:
        now = utc_now()
        end = datetime.combine(day, time()) + LIFETIME
        live = self._live or day >= now.date()
        if live and end <= now:
            return None
        salt = secrets.token_bytes(32)
        values = {
            "day": day,
            "salt": salt.hex(),
            "live": live,
            "expires": end if live else now + IMPORTED_LIFETIME,
        }
        try:
            with self._transaction() as connection:
                connection.execute(self._table.insert().values(values))
        except sa.exc.IntegrityError:
            return self._read(day)  # another worker was first
        return salt

    def destroy_expired(self) -> None:
        """Destroy the salts that have expired, in the table and in this process."""
        table, now = self._table, utc_now()
        expired = table.c.expires <= now
        with self._transaction() as connection:
            if connection.scalar(sa.select(sa.func.count()).where(expired)):
                # Overwritten first: a deleted row of SQLite lies in the file until it is reused.
                overwritten = table.update().where(expired).values(salt=secrets.token_hex(32))
                connection.execute(overwritten)
                connection.execute(table.delete().where(expired))
        self._destroyed = now
        self.forget()

    def forget(self) -> None:
        """Read every salt again when it is needed: what any worker destroyed is gone here too."""
        self._known.clear()


def hash_visitor(salt: bytes, identity: str) -> str:
    """Return the visitor with this address, user agent and host: 16 hexadecimal digits."""
    text = identity.encode("utf-8", "replace")
    return blake2b(text, digest_size=8, key=salt).hexdigest()


class Visits:
    """Finds the visit that each row belongs to.

    The visit of a visitor's first request is named after the visitor and the span of
    :attr:`timeout` seconds in which it began. Two visits of a visitor never begin in one span,
    since a visit begins only after a pause of that length; and two workers that meet a new
    visitor at once give the same name. A worker that does not know a visitor, or last saw them
    too long ago, asks the host's table for the latest row that any worker stored.
    """

    def __init__(self, model: Model, timeout: float) -> None:
        self._columns = model.columns
        self._timeout = timedelta(seconds=timeout)
        self._known: dict[str, tuple[str, datetime]] = {}
        if model.has("visitor", "visit"):
            self._latest = _latest_requests(model.columns)

    def fill(
        self,
        connection: sa.Connection,
        rows: Sequence[list[Any]],
        date: int,
        visitor: int,
        visit: int,
    ) -> None:
        """Set the visit of rows whose columns stand at these positions."""
        ordered = sorted((row for row in rows if row[visitor]), key=lambda row: row[date])
        if not ordered:
            return
        self._look_up(connection, ordered, date, visitor)
        known = self._known
        for row in ordered:
            row[visit] = self._visit_of(known.pop(row[visitor], None), row[visitor], row[date])
        while len(known) > REMEMBERED:
            del known[next(iter(known))]

    def _visit_of(self, latest: tuple[str, datetime] | None, visitor: str, moment: datetime) -> str:
        if latest and abs(moment - latest[1]) <= self._timeout:
            # Put back last: the one not seen for longest is forgotten first.
            self._known[visitor] = (latest[0], max(moment, latest[1]))
            return latest[0]
        span = int((moment - EPOCH) / self._timeout)
        self._known[visitor] = (f"{visitor}-{span:x}", moment)
        return self._known[visitor][0]

    def _look_up(
        self, connection: sa.Connection, rows: Sequence[list[Any]], date: int, visitor: int
    ) -> None:
        if "visitor" not in self._columns or "visit" not in self._columns:
            return
        unknown: dict[str, None] = {}
        for row in rows:
            latest = self._known.get(row[visitor])
            if latest is None or abs(row[date] - latest[1]) > self._timeout:
                unknown[row[visitor]] = None
        names = list(unknown)
        span = (rows[0][date] - self._timeout, rows[-1][date] + self._timeout)
        for start in range(0, len(names), _LOOKED_UP_AT_ONCE[-1]):
            part = names[start : start + _LOOKED_UP_AT_ONCE[-1]]
            count = next(c for c in _LOOKED_UP_AT_ONCE if c >= len(part))
            # Filled up by repetition: one statement for few counts, each kept parsed.
            self._read(connection, part + part[-1:] * (count - len(part)), span)

    def _read(
        self, connection: sa.Connection, names: list[str], span: tuple[datetime, datetime]
    ) -> None:
        names_and_span = {"names": names, "first": span[0], "last": span[1]}
        found = connection.execute(self._latest, names_and_span)
        for visitor, visit, moment in found:
            self._known[visitor] = (visit, moment)


def _latest_requests(columns: dict[str, sa.Column[Any]]) -> sa.Select[Any]:
    """Return the statement for the latest request of each visit of some visitors."""
    latest = sa.func.max(columns["date"])
    return (
        sa.select(columns["visitor"], columns["visit"], latest)
        .where(
            columns["visitor"].in_(sa.bindparam("names", expanding=True)),
            columns["visit"].is_not(None),
            columns["date"].between(sa.bindparam("first"), sa.bindparam("last")),
        )
        .group_by(columns["visitor"], columns["visit"])
        .order_by(latest)
    )
