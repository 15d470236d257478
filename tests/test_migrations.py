"""Migrations on the three databases: from nothing, back again, and from the classic model."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import flask_migrate
import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from example_app import MIGRATIONS
from example_app.extensions import db as shop_db
from flask_statistics import RequestMixin, Statistics
from flask_statistics.classic import describe_rows, shorten_texts
from tests.example_shop import make_shop

ROOT = Path(__file__).resolve().parent.parent
OURS = {
    "statistics_change",
    "statistics_event",
    "statistics_imported",
    "statistics_live",
    "statistics_salt",
    "statistics_state",
    "statistics_total",
    "statistics_visit",
}
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:72.0) Gecko/20100101 Firefox/72.0"
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


@pytest.fixture
def shop(database_url: str) -> Iterator[Flask]:
    """The example app on an empty database, with its context pushed."""
    app = make_shop(database_url)
    with app.app_context():
        yield app
        shop_db.session.remove()
        shop_db.engine.dispose()


def table_names(engine: sa.Engine) -> set[str]:
    return set(sa.inspect(engine).get_table_names())


def test_from_nothing_and_back(shop: Flask) -> None:
    """Upgrade makes every table, the models then agree, and downgrade leaves none."""
    flask_migrate.upgrade()
    assert table_names(shop_db.engine) == {
        "alembic_version", "product", "request", "shop_order", "user", *OURS,
    }  # fmt: skip
    flask_migrate.check()
    flask_migrate.downgrade(revision="base")
    assert table_names(shop_db.engine) == {"alembic_version"}
    flask_migrate.upgrade()


def test_upgraded_database_records(shop: Flask) -> None:
    """What the migrations made holds every field of a request."""
    flask_migrate.upgrade()
    agent = {"User-Agent": FIREFOX}
    assert shop.test_client().get("/robots.txt?utm_source=x", headers=agent).status_code == 200
    found = shop_db.session.execute(
        sa.text("SELECT path, browser, visitor, visit, utm_source FROM request")
    ).one()
    assert (found.path, found.browser, found.utm_source) == ("/robots.txt", "Firefox", "x")
    assert found.visit.startswith(found.visitor)


def test_create_all_makes_the_same_tables(shop: Flask) -> None:
    """Hosts without migrations get what the migrations make."""
    shop_db.create_all()
    flask_migrate.stamp()
    flask_migrate.check()


def test_sql_can_be_printed(shop: Flask, capsys: pytest.CaptureFixture[str]) -> None:
    """`flask db upgrade --sql` prints the statements and needs no table."""
    flask_migrate.upgrade(sql=True)
    assert "CREATE TABLE statistics_salt" in capsys.readouterr().out
    assert table_names(shop_db.engine) == set()


def test_tables_follow_the_models_bind(sqlite_url: str, tmp_path: Path) -> None:
    """With `__bind_key__` our tables are made in the model's database, not in the default one."""
    app = Flask(__name__)
    other = f"sqlite:///{tmp_path / 'other.sqlite'}"
    app.config.update(SQLALCHEMY_DATABASE_URI=sqlite_url, SQLALCHEMY_BINDS={"statistics": other})
    db = SQLAlchemy(app)

    class Request(RequestMixin, db.Model):  # type: ignore[name-defined, misc, unused-ignore]
        __bind_key__ = "statistics"

    Statistics(app, db, Request)
    with app.app_context():
        db.create_all()
        assert table_names(db.engines["statistics"]) == {"request", *OURS}
        assert table_names(db.engine) == set()
        for engine in db.engines.values():
            engine.dispose()


# ---- from the classic model ---------------------------------------------------------------------


def documented(name: str) -> str:
    """Return the block of docs/model.md that is marked so, without its indentation."""
    text = (ROOT / "docs" / "model.md").read_text(encoding="utf-8")
    found = re.search(rf"( *)<!-- test: {name} -->\n *```python\n(.*?)```", text, re.DOTALL)
    assert found, name
    return re.sub(rf"^{found[1]}", "", found[2], flags=re.MULTILINE)


def host(url: str, block: str, folder: Path) -> SimpleNamespace:
    """Return a host whose model is the documented block; MariaDB's strings get a length."""
    app = Flask(__name__)
    app.config.update(SQLALCHEMY_DATABASE_URI=url, STATISTICS_SYNC=True, TESTING=True)
    db = SQLAlchemy(app)
    flask_migrate.Migrate(app, db, directory=str(folder), render_as_batch=True)
    source = documented(block)
    if "mariadb" in url:
        source = source.replace("path = db.Column(db.String)", "path = db.Column(db.String(1500))")
        source = source.replace("db.String)", "db.String(300))")
    names: dict[str, Any] = {"db": db, "__name__": __name__}
    exec(source, names)
    Statistics(app, db, names["Request"])
    return SimpleNamespace(app=app, db=db, table=names["Request"].__table__)


def old_row(**values: Any) -> dict[str, Any]:
    return {
        "response_time": 0.25, "date": datetime(2020, 2, 3, 4, 5, 6), "method": "GET",
        "size": 1234, "status_code": 200, "path": "/", "user_agent": FIREFOX,
        "remote_address": "203.0.113.9", "exception": None, "referrer": "https://www.google.com/",
        "browser": "firefox 72.0", "platform": "windows", "mimetype": "text/html", **values,
    }  # fmt: skip


OLD_ROWS = [
    old_row(),
    old_row(),
    old_row(path="/" + "a" * 1400, size=None, exception="ValueError('ä')"),
    old_row(user_agent=None, browser="None None", platform=None),
    old_row(user_agent=GOOGLEBOT, browser="google None", platform=None, date=None),
]


def write_old_rows(host: SimpleNamespace) -> None:
    with host.app.app_context():
        host.db.create_all()
        with host.db.engine.begin() as connection:
            connection.execute(host.table.insert(), OLD_ROWS)
        host.db.engine.dispose()


def add_documented_lines(migration: Path) -> None:
    """Put the documented lines where the documentation says."""
    lines = documented("migration").splitlines()
    words = ("import", "shorten_texts(", "describe_rows(")
    imported, first, last = (next(line for line in lines if word in line) for word in words)
    text = migration.read_text(encoding="utf-8")
    body = re.search(r"def upgrade\(\):\n(.*?)\n\n\ndef downgrade", text, re.DOTALL)
    assert body
    text = text.replace(body[1], f"{first}\n{body[1]}\n{last}")
    migration.write_text(f"{imported}\n{text}", encoding="utf-8")


def test_classic_table_grows_without_losing_a_row(database_url: str, tmp_path: Path) -> None:
    """The documented way: all rows stay, browser and platform are spelled anew, nothing differs."""
    folder = tmp_path / "migrations"
    (folder / "versions").mkdir(parents=True)
    for name in ("env.py", "alembic.ini", "script.py.mako"):
        shutil.copy(MIGRATIONS / name, folder)
    write_old_rows(host(database_url, "classic", folder))
    grown = host(database_url, "grown", folder)
    with grown.app.app_context():
        flask_migrate.migrate(message="every column")
        (migration,) = (folder / "versions").glob("*.py")
        add_documented_lines(migration)
        flask_migrate.upgrade()
        flask_migrate.check()
        query = sa.select(grown.table).order_by(grown.table.c["index"])
        with grown.db.engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
        flask_migrate.downgrade(revision="base")
        with grown.db.engine.connect() as connection:
            left = connection.scalar(sa.text("SELECT count(*) FROM request"))
        grown.db.engine.dispose()
    assert [row["index"] for row in rows] == [1, 2, 3, 4, 5]
    assert left == len(OLD_ROWS)
    kept = ("response_time", "method", "status_code", "remote_address", "referrer", "exception")
    for row, old in zip(rows, OLD_ROWS, strict=True):
        assert {name: row[name] for name in kept} == {name: old[name] for name in kept}
    assert [row["size"] for row in rows] == [1234, 1234, None, 1234, 1234]
    described = ("browser", "browser_version", "platform", "device", "bot")
    assert [rows[0][name] for name in described] == ["Firefox", "72.0", "Windows", "desktop", None]
    assert rows[2]["path"] == "/" + "a" * 1022 + "…"
    assert rows[3]["bot"]
    assert rows[4]["bot"] == "Googlebot"
    assert rows[4]["date"] == datetime(1970, 1, 1)
    assert [row["visitor"] for row in rows] == [None] * 5


def test_classic_rows_are_described_in_place(database_url: str, tmp_path: Path) -> None:
    """Without the new columns, browser and platform get name and version."""
    classic = host(database_url, "classic", tmp_path)
    write_old_rows(classic)
    with classic.app.app_context(), classic.db.engine.begin() as connection:
        assert shorten_texts(connection, "request") == 2
        assert shorten_texts(connection, "request") == 0
        assert describe_rows(connection, "request") == len(OLD_ROWS)
        found = connection.execute(sa.select(classic.table.c["browser", "platform"]))
        assert found.first() == ("Firefox 72.0", "Windows 10")
    with classic.app.app_context():
        classic.db.engine.dispose()


def test_many_rows_are_described_in_parts(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows beyond the first part are reached, none twice."""
    monkeypatch.setattr("flask_statistics.classic._ROWS_AT_ONCE", 2)
    classic = host(sqlite_url, "classic", tmp_path)
    write_old_rows(classic)
    with classic.app.app_context(), classic.db.engine.begin() as connection:
        assert describe_rows(connection, "request") == len(OLD_ROWS)
        found = connection.scalars(sa.select(classic.table.c.browser)).all()
        assert "firefox 72.0" not in found
    with classic.app.app_context():
        classic.db.engine.dispose()
