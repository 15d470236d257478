"""What the archive holds for certain, so that it may be deleted from the table."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

import sqlalchemy as sa

from .absorbing import lock_horizon
from .folder import Archive
from .manifest import File
from .opening import Host, archive_of, check_identity, read_pruned
from .reading_rows import numbers_of
from .schema import kinds
from .segments import intact
from .sources import find_sources


def covered_until(connection: sa.Connection, host: Host, wanted: datetime) -> datetime:
    """Return the moment, at most ``wanted``, before which intact segments hold every row.

    Rows between the moment before which the table was pruned and this one may be deleted in the
    caller's transaction, of which this is the first statement: until it ends, nobody stores rows.

    :raises ArchiveError: where there is no archive, or it is damaged.
    """
    lock_horizon(connection, host.tables)
    archive = archive_of(host)
    manifest = archive.manifest()
    pruned = read_pruned(connection, host.tables) or datetime.min
    if manifest is None or wanted <= pruned:
        return pruned
    check_identity(host, archive, manifest)
    begin = max(pruned, manifest.begin)
    numbers = numbers_of(connection, host, begin, wanted)
    parts = find_sources(
        manifest, begin, wanted, numbers=numbers, pruned=pruned, columns=kinds(host.model)
    )
    until = begin
    for part in parts:
        if part.table:
            break
        if part.segment:
            for file in part.segment.files:
                _check(archive, file)
        until = part.end
    return until if until > begin else pruned


def _check(archive: Archive, file: File) -> None:
    stat = archive.file(file).stat()
    _checked(archive, file, stat.st_mtime_ns, stat.st_ino)


@lru_cache(maxsize=256)
def _checked(archive: Archive, file: File, modified: int, inode: int) -> None:
    """Check that a file is what was written; once, as long as nobody writes to it."""
    intact(archive, file)
