"""The hello-world apps that are compared: the same app, recorded in different ways."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask
from flask_sqlalchemy import SQLAlchemy


@dataclass(frozen=True)
class Host:
    """One app on a SQLite file of its own. ``Request`` and ``statistics`` are None when bare."""

    app: Flask
    db: SQLAlchemy
    path: Path
    Request: Any = None
    statistics: Any = None

    def flush(self) -> None:
        """Wait until everything that was recorded is stored."""
        if self.statistics is None:
            return
        with self.app.app_context():
            if not self.statistics.flush(timeout=60):
                raise RuntimeError("what was recorded could not be stored within a minute")

    def create_tables(self) -> None:
        """Make the tables anew, without rows."""
        with self.app.app_context():
            self.db.drop_all()
            self.db.create_all()

    def stored(self) -> int:
        """Return how many requests the table holds."""
        with self.app.app_context():
            return int(self.db.session.query(self.Request).count())


def bare_host(folder: Path, name: str = "bare") -> Host:
    """Return the app that the others are compared with: Flask, Flask-SQLAlchemy, two views."""
    app = Flask("hello")
    path = folder / f"{name}.sqlite"
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{path}"
    db = SQLAlchemy(app)

    @app.route("/")
    @app.route("/<path:page>")
    def hello(page: str = "") -> str:
        return "Hello, World!"

    return Host(app, db, path)


def recording_host(folder: Path, model: str, name: str | None = None, **settings: Any) -> Host:
    """Return the app with Statistics, in its default configuration.

    :param model: ``"classic"``, ``"everything"``, or ``"no visits"``: everything but these.
    :param settings: names without ``STATISTICS_``.
    """
    from flask_statistics import RequestMixin, Statistics

    host = bare_host(folder, name or model)
    host.app.config.update({f"STATISTICS_{key}": value for key, value in settings.items()})
    if model == "classic":
        request_model = classic_model(host.db)
    else:
        left_out = {"visit": None} if model == "no visits" else {}
        request_model = type("Request", (RequestMixin, host.db.Model), left_out)
    statistics = Statistics(host.app, host.db, request_model)
    recording = Host(host.app, host.db, host.path, request_model, statistics)
    recording.create_tables()
    return recording


def classic_model(db: SQLAlchemy) -> Any:
    """Return the model of flask-statistics 1.0."""

    class Request(db.Model):  # type: ignore[name-defined, misc]
        index = db.Column(db.Integer, primary_key=True, autoincrement=True)
        response_time = db.Column(db.Float)
        date = db.Column(db.DateTime)
        method = db.Column(db.String)
        size = db.Column(db.Integer)
        status_code = db.Column(db.Integer)
        path = db.Column(db.String)
        user_agent = db.Column(db.String)
        remote_address = db.Column(db.String)
        exception = db.Column(db.String)
        referrer = db.Column(db.String)
        browser = db.Column(db.String)
        platform = db.Column(db.String)
        mimetype = db.Column(db.String)

    return Request
