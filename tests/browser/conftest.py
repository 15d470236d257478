"""A real browser, and a host app that a thread serves."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask_admin import Admin
from flask_sqlalchemy import SQLAlchemy
from playwright.sync_api import Browser, sync_playwright
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.serving import WSGIRequestHandler, make_server

from flask_statistics import RequestMixin, Statistics
from tests.conftest import Host

HINT = "apt-get install chromium, or set STATISTICS_TEST_CHROMIUM to its path"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
#: Where the served app is mounted, as behind a proxy.
MOUNT = "/app"


class Quiet(WSGIRequestHandler):
    """Logs nothing."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Leave the tests' output alone."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
    path = os.environ.get("STATISTICS_TEST_CHROMIUM") or shutil.which("chromium")
    if path is None:
        if os.environ.get("STATISTICS_TEST_REQUIRE_SERVERS") == "1":
            pytest.fail(f"Chromium is missing: {HINT}")
        pytest.skip(f"Chromium is missing: {HINT}")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host with every column and a Flask-Admin; ``app.config["URL"]`` is where it is."""
    folder: Path = tmp_path_factory.mktemp("served")
    app = Flask("served", root_path=str(folder))
    app.config.update(
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{folder / 'served.sqlite'}",
        SECRET_KEY="fixed",
        TESTING=True,
        STATISTICS_ENABLED=False,
    )
    db = SQLAlchemy()
    request_model = type("Request", (RequestMixin, db.Model), {})
    db.init_app(app)
    statistics = Statistics(app, db, request_model)
    host = Host(app, db, request_model, statistics)
    with app.app_context():
        db.create_all()
        statistics.add_admin_views(Admin(app, name="served"))
    outside = Flask("outside")
    outside.add_url_rule("/favicon.ico", view_func=lambda: ("", 204))  # Flask-Admin has none
    mounted = DispatcherMiddleware(outside, {MOUNT: app})
    server = make_server("127.0.0.1", 0, mounted, threaded=True, request_handler=Quiet)
    app.config["URL"] = f"http://127.0.0.1:{server.port}{MOUNT}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield host
    server.shutdown()
    thread.join()
    server.server_close()
    host.stop()
