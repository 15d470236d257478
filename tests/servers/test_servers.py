"""Twenty requests give twenty rows under the servers that people use. Run by ``.ci/run``."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BIN = Path(sys.executable).parent
REQUESTS = 20
SECONDS = 60

GUNICORN = [str(BIN / "gunicorn"), "--bind", "127.0.0.1:{port}", "--workers", "2", "host:app"]
UWSGI = [
    str(BIN / "uwsgi"), "--http-socket", "127.0.0.1:{port}", "--module", "host:app", "--master",
    "--processes", "2", "--die-on-term", "--need-app", "--virtualenv", str(BIN.parent),
]  # fmt: skip
SERVERS = {
    "gunicorn-sync": GUNICORN,
    "gunicorn-sync-preload": [*GUNICORN, "--preload"],
    "gunicorn-threads": [*GUNICORN, "--threads", "4"],
    "gunicorn-gevent": [*GUNICORN, "--worker-class", "gevent"],
    "gunicorn-gevent-preload": [*GUNICORN, "--worker-class", "gevent", "--preload"],
    "uwsgi": UWSGI,
    "uwsgi-threads": [*UWSGI, "--enable-threads"],
    "uwsgi-lazy-apps": [*UWSGI, "--enable-threads", "--lazy-apps"],
    "waitress": [str(BIN / "waitress-serve"), "--listen", "127.0.0.1:{port}", "host:app"],
}


def free_port() -> int:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[str], log: Path) -> None:
    """Wait until somebody listens; the connection sends nothing."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with closing(socket.socket()) as connection:
            if connection.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail(f"nobody listens: {log.read_text()}")


@contextmanager
def serve(command: list[str], folder: Path, database: Path) -> Iterator[int]:
    """Run a server; yield its port; end it in its own orderly way."""
    port, log = free_port(), folder / "log"
    environment = {
        **os.environ,
        "HOST_DATABASE": str(database),
        "PYTHONPATH": f"{HERE}{os.pathsep}{ROOT}",
    }
    filled = [part.format(port=port) for part in command]
    with log.open("w") as output:
        process = subprocess.Popen(
            filled, cwd=HERE, env=environment, stdout=output, stderr=output, text=True
        )
        try:
            wait_for(port, process, log)
            yield port
        finally:
            process.terminate()
            process.wait(timeout=SECONDS)


def paths(database: Path) -> list[str]:
    with closing(sqlite3.connect(database, timeout=SECONDS)) as connection:
        return [path for (path,) in connection.execute("SELECT path FROM request")]


@pytest.mark.parametrize("name", SERVERS)
def test_twenty_requests_give_twenty_rows(name: str, tmp_path: Path) -> None:
    """While the server runs, each of 20 requests becomes one row, and none comes later."""
    database = tmp_path / "host.sqlite"
    environment = {
        **os.environ,
        "HOST_DATABASE": str(database),
        "PYTHONPATH": f"{HERE}{os.pathsep}{ROOT}",
    }
    create = [sys.executable, "-c", "import host; host.create_tables()"]
    subprocess.run(create, env=environment, check=True, timeout=SECONDS)
    with serve(SERVERS[name], tmp_path, database) as port:
        for number in range(REQUESTS):
            with urlopen(f"http://127.0.0.1:{port}/{number}", timeout=SECONDS) as response:
                assert response.read().decode() == f"hello {number}"
        wait_for_rows(database)
    assert sorted(paths(database)) == sorted(f"/{number}" for number in range(REQUESTS))


def wait_for_rows(database: Path) -> None:
    """Wait until all rows are stored by the server that is still running."""
    deadline = time.monotonic() + SECONDS
    while len(paths(database)) < REQUESTS:
        assert time.monotonic() < deadline, f"only {len(paths(database))} rows"
        time.sleep(0.05)
