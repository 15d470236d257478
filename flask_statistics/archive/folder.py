"""The folder of the archive: what may be one, and changes that a crash leaves whole.

A file gets a name that was never used, is written, and reaches the disk before the manifest that
names it takes the place of the old one by a rename. What the new manifest does not name any more
stays for :data:`GRACE`, for those who still read by the old one.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import IO

from ..changes import utc_now
from ..errors import ArchiveError
from .manifest import File, Manifest, from_bytes, to_bytes

#: How long files stay that the manifest does not name any more. A reader opens its files within
#: this time after it read the manifest; where one is missing, it reads the manifest again.
GRACE = timedelta(seconds=10)
MANIFEST = "manifest.json"
#: The file that makes a folder an archive, and the one that writers lock.
LOCK = "flask-statistics-archive.lock"
#: The folders into which readers put what does not fit into memory, each named after a process.
SPILLED = "spilled-"
_ENDINGS = (".parquet", ".new")
_REBUILD = "run `flask statistics archive rebuild`"

#: Called with the name of each step of a change; what a test ends the process in.
Step = Callable[[str], None]


def _no_step(name: str) -> None:
    """Go on."""


class Archive:
    """The archive in a folder, which need not exist yet.

    :param path: the folder.
    :param step: called before and after everything that reaches the disk.
    """

    def __init__(self, path: str | os.PathLike[str], step: Step = _no_step) -> None:
        self.path = Path(path)
        self.step = step

    # ---- reading --------------------------------------------------------------------------

    def manifest(self) -> Manifest | None:
        """Return what the archive holds; None where there is none.

        :raises ArchiveError: where it is not ours, damaged, or of another format.
        """
        self.check()
        try:
            content = (self.path / MANIFEST).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ArchiveError(f"{self.path} cannot be read: {error.strerror}.") from None
        try:
            return from_bytes(content)
        except ArchiveError as error:
            raise ArchiveError(
                f"{error}: {self.path / MANIFEST}. Restore it from your backup, or {_REBUILD}, "
                "which makes the archive anew from what the table holds."
            ) from None

    def file(self, file: File) -> Path:
        """Return where a file is."""
        return self.path / file.name

    def check(self) -> None:
        """Check that the folder is one of ours, or may become one.

        :raises ArchiveError: with what to do.
        """
        path = self.path
        if path.is_symlink():
            raise ArchiveError(
                f"{path} is a symbolic link: set STATISTICS_ARCHIVE to the folder itself."
            )
        if path.exists() and not path.is_dir():
            raise ArchiveError(f"{path} is a file: set STATISTICS_ARCHIVE to a folder.")
        try:
            names = {e.name for e in path.iterdir() if not e.name.startswith(SPILLED)}
        except FileNotFoundError:
            return
        except OSError as error:
            raise ArchiveError(f"{path} cannot be read: {error.strerror}.") from None
        if names and LOCK not in names and MANIFEST not in names:
            raise ArchiveError(
                f"{path} holds other things ({', '.join(sorted(names)[:3])}): set "
                "STATISTICS_ARCHIVE to an empty folder, or to one that does not exist yet."
            )

    # ---- writing --------------------------------------------------------------------------

    @contextmanager
    def locked(self, *, wait: bool = False) -> Iterator[None]:
        """Be the only one, on this machine, who changes the archive.

        :param wait: whether to wait for another process that changes it.
        :raises ArchiveError: where the folder cannot be used, or another process changes it.
        """
        self.check()
        with self._lock_file() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ArchiveError(
                    "Another process changes the archive: run this again when it has finished."
                ) from None
            yield

    def _lock_file(self) -> IO[bytes]:
        try:
            if not self.path.exists():
                self.path.mkdir(mode=0o700, parents=True)
            if not (self.path / LOCK).exists():
                self.path.chmod(0o700)
            opened = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise ArchiveError(
                f"The archive cannot be written to {self.path}: {error.strerror}. "
                "Set STATISTICS_ARCHIVE to a folder that the app may write to."
            ) from None
        return os.fdopen(opened, "r+b")

    @contextmanager
    def writing(self, ending: str) -> Iterator[NewFile]:
        """Give a new file to write; it is on the disk at the end. It counts once it is named.

        :param ending: what the file's name ends with, ``.parquet`` included.
        """
        new = NewFile(self.path / f"{utc_now():%Y%m%dT%H%M%S}-{secrets.token_hex(6)}{ending}")
        self.step(f"before {ending}")
        try:
            with new.open() as stream:
                new.stream = stream
                yield new
                self.step(f"written {ending}")
                stream.flush()
                os.fsync(stream.fileno())
        except BaseException:
            with suppress(OSError):
                new.path.unlink(missing_ok=True)
            raise
        self.step(f"on disk {ending}")

    def write(self, manifest: Manifest) -> Manifest:
        """Make this the archive's manifest; return it as it was written.

        The caller has the lock, and every file that is named is on the disk.
        """
        manifest = replace(manifest, written=utc_now())
        beside = self.path / f"{MANIFEST}.new"
        self.step("before manifest")
        self._sync_folder()  # the names of the new files
        opened = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(opened, "wb") as stream:
            stream.write(to_bytes(manifest))
            stream.flush()
            os.fsync(stream.fileno())
        self.step("manifest beside")
        beside.replace(self.path / MANIFEST)
        self.step("manifest in place")
        self._sync_folder()
        self.step("manifest on disk")
        return manifest

    def _sync_folder(self) -> None:
        opened = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)

    def unnamed(self, manifest: Manifest | None) -> list[Path]:
        """Return the files of ours that do not count: old ones, and leftovers of a crash."""
        named = set(manifest.files) if manifest else set()
        return sorted(
            path
            for path in self.path.iterdir()
            if path.name.endswith(_ENDINGS) and path.name not in named
        )

    def remove_unnamed(self, manifest: Manifest | None, now: datetime | None = None) -> int:
        """Remove files that do not count, once nobody reads them; return how many were removed.

        The caller has the lock.
        """
        if manifest and (now or utc_now()) - manifest.written < GRACE:
            return 0
        paths = self.unnamed(manifest)
        for path in paths:
            path.unlink(missing_ok=True)
            self.step("removed")
        return len(paths)

    def remove(self) -> None:
        """Remove the archive: its manifest first, then what it named. The caller has the lock."""
        (self.path / MANIFEST).unlink(missing_ok=True)
        self._sync_folder()
        self.step("manifest removed")
        self.remove_unnamed(None)
        with suppress(OSError):  # somebody may still read, or keep things of their own here
            (self.path / LOCK).unlink()
            for spilled in self.path.glob(f"{SPILLED}*"):
                shutil.rmtree(spilled)
            self.path.rmdir()


class NewFile:
    """A file that is being written.

    :ivar stream: what to write to.
    """

    stream: IO[bytes]

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self) -> IO[bytes]:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        return os.fdopen(os.open(self.path, flags, 0o600), "w+b")

    def described(self, rows: int) -> File:
        """Return what a manifest says of it. It is read once, so call it after writing."""
        digest = sha256()
        with self.path.open("rb") as stream:
            while part := stream.read(1 << 20):
                digest.update(part)
        return File(self.path.name, rows, self.path.stat().st_size, digest.hexdigest())
