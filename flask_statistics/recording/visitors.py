"""Who made a request, without a cookie: daily salts, and visitors.

A visitor is a keyed hash of address, user agent and host under a random salt that is made anew
each day (UTC), shared by all workers through a table of ours, and destroyed. Plausible counts in
the same way (https://plausible.io/data-policy).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import date, datetime, time, timedelta, timezone
from hashlib import blake2b

import sqlalchemy as sa

EPOCH = datetime(1970, 1, 1)
#: How long after the beginning of its day a salt is kept. It is looked every hour which have
#: expired, so that none outlives its day's beginning by more than 48 hours.
LIFETIME = timedelta(hours=47)
#: How long after the last import that used it a salt for imported requests is kept.
IMPORTED_LIFETIME = timedelta(hours=48)
_HOUR = timedelta(hours=1)

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
        """Destroy the salts that have expired, here and in the table, at most once an hour."""
        table, now = self._table, utc_now()
        if abs(now - self._destroyed) < _HOUR:
            return
        self._destroyed = now
        expired = table.c.expires <= now
        with self._transaction() as connection:
            if connection.scalar(sa.select(sa.func.count()).where(expired)):
                # Overwritten first: a deleted row of SQLite lies in the file until it is reused.
                overwritten = table.update().where(expired).values(salt=secrets.token_hex(32))
                connection.execute(overwritten)
                connection.execute(table.delete().where(expired))
        self.forget()

    def forget(self) -> None:
        """Read every salt again when it is needed: what any worker destroyed is gone here too."""
        self._known.clear()


def day_digits(day: date) -> str:
    """Return the first three digits of a day's visitors.

    Those of one day then lie beside each other in every index that begins with the visitor, so
    that storing touches some of its pages again and again, and not each row another one. The
    remaining 52 bits of the hash tell a million visitors of a day apart (two of them are the same
    once in 9,000 such days).
    """
    return f"{day.toordinal() % 4096:03x}"


def hash_visitor(salt: bytes, identity: str, digits: str) -> str:
    """Return the visitor with this address, user agent and host: 16 hexadecimal digits.

    :param digits: the first ones, :func:`day_digits`.
    """
    text = identity.encode("utf-8", "replace")
    return digits + blake2b(text, digest_size=8, key=salt).hexdigest()[len(digits) :]
