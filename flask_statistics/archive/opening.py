"""The archive of one app: where it is, whether it is this app's, and what a change of it needs."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, Protocol

import sqlalchemy as sa

from ..changes import read_state, utc_now, write_state
from ..config import Config
from ..errors import ArchiveError
from ..model import Model
from ..recording.connections import is_shared_memory
from ..tables import Tables
from .folder import Archive, Step
from .manifest import Absorbed, Manifest, Segment
from .sources import IDENTITY, PRUNED


class Host(Protocol):
    """What the archive needs of an app's state."""

    config: Config
    model: Model
    tables: Tables
    engine: sa.Engine


def archive_of(host: Host, step: Step | None = None) -> Archive:
    """Return the archive of an app, whether or not there is something in it.

    :raises ArchiveError: where none is set, or the database cannot have one.
    """
    folder = host.config.archive
    if not folder:
        raise ArchiveError(
            "There is no archive: set STATISTICS_ARCHIVE = True, or to the path of a folder."
        )
    if is_shared_memory(host.engine):
        raise ArchiveError("A database in memory has no archive: use a file, or a server.")
    return Archive(str(folder), step) if step else Archive(str(folder))


@dataclass
class Change:
    """A change of the archive, by the only one who changes it.

    :ivar manifest: what the archive holds by now.
    :ivar now: UTC.
    :ivar progress: called with the number of rows of each segment that was written.
    :ivar go_on: called between two segments; false ends the change, which another one continues.
    """

    host: Host
    archive: Archive
    manifest: Manifest
    now: datetime = field(default_factory=utc_now)
    progress: Callable[[int], None] = field(default=lambda rows: None)
    go_on: Callable[[], bool] = field(default=lambda: True)

    def commit(
        self,
        old: Iterable[Segment],
        new: Iterable[Segment],
        absorbed: Absorbed | None = None,
    ) -> None:
        """Put segments in the place of others, all at once."""
        changed = self.manifest.replaced(old, new)
        self.manifest = self.archive.write(replace(changed, absorbed=absorbed))


@contextmanager
def changing(
    host: Host,
    archive: Archive,
    *,
    wait: bool = False,
    anew: Literal["never", "damaged", "always"] = "never",
) -> Iterator[Change]:
    """Be the only one who changes the archive.

    :param wait: whether to wait for another process that changes it.
    :param anew: whether to begin with nothing where the manifest cannot be read; "always" also
        where requests were kept only there.
    :raises ArchiveError: where it cannot be changed; OSError becomes one, too.
    """
    try:
        with archive.locked(wait=wait):
            try:
                manifest = archive.manifest()
            except ArchiveError:
                if anew == "never":
                    raise
                manifest = None
            if manifest:
                check_identity(host, archive, manifest)
            if manifest is None or anew == "always":
                manifest = begin_anew(host, forget_pruned=anew == "always")
            yield Change(host, archive, manifest)
    except OSError as error:
        raise ArchiveError(
            f"The archive in {archive.path} could not be changed: {error.strerror or error}. It is "
            "as it was before; what it lacks is read from the table."
        ) from error


def check_identity(host: Host, archive: Archive, manifest: Manifest) -> None:
    """Check that this app's database made the archive.

    :raises ArchiveError: with what to do.
    """
    with host.engine.connect() as connection:
        identity = read_state(connection, host.tables, IDENTITY)
    if (identity, host.model.table.fullname) != (manifest.identity, manifest.table):
        raise ArchiveError(
            f"{archive.path} is the archive of another app or database (of its table "
            f"{manifest.table}): set STATISTICS_ARCHIVE to a folder of this app's own. Where no "
            "app uses that archive any more, delete the folder."
        )


def begin_anew(host: Host, *, forget_pruned: bool = False) -> Manifest:
    """Return the manifest of an archive that holds nothing.

    :param forget_pruned: begin also where the table was pruned, because an archive had its rows.
    :raises ArchiveError: where such an archive is missing.
    """
    tables = host.tables
    with host.engine.begin() as connection:
        pruned = read_pruned(connection, tables)
        if pruned and not forget_pruned:
            raise ArchiveError(
                f"{host.config.archive} holds no archive any more, though requests before "
                f"{pruned:%Y-%m-%d %H:%M} UTC were kept only there. Restore the folder from your "
                "backup; or `flask statistics archive rebuild --begin-anew` makes one of what the "
                "table holds."
            )
        connection.execute(tables.state.delete().where(tables.state.c.name == PRUNED))
        identity = read_state(connection, tables, IDENTITY)
        if identity is None:
            identity = secrets.token_hex(16)
            write_state(connection, tables, IDENTITY, identity)
    return Manifest(identity, host.model.table.fullname)


def read_pruned(connection: sa.Connection, tables: Tables) -> datetime | None:
    """Return the moment before which requests were pruned from the table; None if never."""
    value = read_state(connection, tables, PRUNED)
    return datetime.fromisoformat(value) if value else None
