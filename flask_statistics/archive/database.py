"""DuckDB in the process: one instance for each archive, made where it is first asked.

It reads files below the archive's folder and nothing else: no other folder, no network, no
extensions. What does not fit into memory is spilled into a folder of its process' own beside the
segments, which goes with the process.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any
from weakref import WeakSet

import sqlalchemy as sa

from ..asking.duckdb import URL, Connection, import_duckdb
from .folder import SPILLED

#: What one instance may hold in memory, and how many threads work for it.
MEMORY = "512MB"
MOST_THREADS = 4

_instances: WeakSet[Database] = WeakSet()


class Database:
    """DuckDB for the files of one folder.

    :ivar engine: gives connections; each has views and temporary tables of its own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._lock = Lock()
        self._instance: Any = None
        self._open = 0
        self.engine = sa.create_engine(f"{URL}://", creator=self._connect, poolclass=sa.NullPool)
        _instances.add(self)

    @contextmanager
    def connected(self) -> Iterator[tuple[sa.Connection, Connection]]:
        """Give a connection of SQLAlchemy's, and what it is a connection to.

        :raises MissingExtraError: where DuckDB is not installed.
        """
        with self._lock:
            self._open += 1
        try:
            with self.engine.connect() as connection:
                driver: Any = connection.connection.driver_connection
                yield connection, driver
        finally:
            with self._lock:
                self._open -= 1

    def _connect(self) -> Connection:
        with self._lock:
            if self._instance is None:
                self._instance = _start(self._folder)
            return Connection(self._instance.cursor())

    def close(self) -> None:
        """End the instance, unless it is being asked; the next question makes another."""
        with self._lock:
            if self._instance is not None and not self._open:
                self._instance.close()
                self._instance = None

    def abandon(self) -> None:
        """Forget the instance in a process that was forked while it was being asked.

        Its threads are not there, and to end it would be to wait for them.
        """
        self._lock = Lock()
        self._open = 0
        if self._instance is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._instance))
            self._instance = None


def _spill_folder(folder: Path) -> Path:
    """Return where this process may spill; what killed processes left is removed."""
    for left in folder.glob(f"{SPILLED}*"):
        if not Path("/proc", left.name.removeprefix(SPILLED)).exists() and Path("/proc").exists():
            shutil.rmtree(left, ignore_errors=True)
    return folder / f"{SPILLED}{os.getpid()}"


def _start(folder: Path) -> Any:
    threads = min(os.cpu_count() or 1, MOST_THREADS)
    instance = import_duckdb().connect(
        config={
            "memory_limit": MEMORY,
            "threads": threads,
            "temp_directory": str(_spill_folder(folder)),
            "autoload_known_extensions": False,
            "autoinstall_known_extensions": False,
            "python_enable_replacements": False,
        }
    )
    quoted = str(folder).replace("'", "''")
    for setting in (
        "parquet_metadata_cache = true",  # names are never used twice
        "preserve_insertion_order = false",
        f"allowed_directories = ['{quoted}']",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        instance.execute(f"SET {setting}")
    return instance


def _close_all() -> None:
    for database in list(_instances):
        database.close()


def _abandon_all() -> None:
    for database in list(_instances):
        database.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_close_all, after_in_child=_abandon_all)
