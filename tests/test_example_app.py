"""The example shop: its pages, who may see its statistics, its commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

from example_app.account import local_path
from example_app.catalogue import POSTS, TEAS, fill_shelves
from example_app.extensions import db
from example_app.models import Order, Request, User
from example_app.traffic import made_up_traffic
from flask_statistics.recording.record import RECORD, TrackedRecord
from tests.example_shop import close, make_shop

NOON = datetime(2026, 3, 12, 12)


@pytest.fixture
def shop(sqlite_url: str) -> Iterator[Flask]:
    """The shop in production, with tables and teas."""
    app = make_shop(sqlite_url)
    with app.app_context():
        db.create_all()
        fill_shelves()
    yield app
    close(app)


@pytest.fixture
def empty_shop(sqlite_url: str) -> Iterator[Flask]:
    """The shop before its database was made."""
    app = make_shop(sqlite_url)
    yield app
    close(app)


@pytest.fixture
def visitor(shop: Flask) -> FlaskClient:
    """Somebody who has not signed in."""
    return shop.test_client()


def sign_in(shop: Flask, name: str, *, admin: bool) -> FlaskClient:
    """Return the client of a new user who has signed in."""
    with shop.app_context():
        user = User(username=name, is_admin=admin)
        user.set_password("leaves")
        db.session.add(user)
        db.session.commit()
    client = shop.test_client()
    assert client.post("/login", data={"name": name, "password": "leaves"}).status_code == 302
    return client


def rows(shop: Flask) -> list[tuple[str, str | None, int]]:
    """Return path, route and status of each recorded request, in the order of time."""
    query = sa.select(Request.path, Request.route, Request.status_code).order_by(Request.id)
    with shop.app_context():
        return [tuple(row) for row in db.session.execute(query)]


@pytest.mark.parametrize(
    ("path", "route", "status"),
    [
        ("/", "/", 200),
        ("/teas?kind=green", "/teas", 200),
        ("/tea/sencha", "/tea/<slug>", 200),
        ("/tea/coffee", "/tea/<slug>", 404),
        ("/search?q=earl", "/search", 200),
        ("/cart", "/cart", 200),
        ("/shop", "/shop", 301),
        ("/tasting", "/tasting", 200),
        ("/stock", "/stock", 500),
        ("/prices.csv", "/prices.csv", 200),
        ("/robots.txt", "/robots.txt", 200),
        ("/blog/", "/blog/", 200),
        (f"/blog/{POSTS[0].slug}", "/blog/<slug>", 200),
        ("/blog/none", "/blog/<slug>", 404),
        ("/api/v1/products", "/api/v1/products", 200),
        ("/api/v1/products/1", "/api/v1/products/<int:number>", 200),
        ("/api/v1/products/999", "/api/v1/products/<int:number>", 404),
        ("/login", "/login", 200),
        ("/static/shop.css", "/static/<path:filename>", 200),
        ("/nowhere", None, 404),
    ],
)
def test_each_page_is_one_row(
    shop: Flask, visitor: FlaskClient, path: str, route: str | None, status: int
) -> None:
    """Each kind of page answers as it should, and is recorded once."""
    response = visitor.get(path)
    response.get_data()
    response.close()
    assert response.status_code == status
    assert rows(shop) == [(path.partition("?")[0], route, status)]


def test_failing_page_is_recorded_with_its_exception(shop: Flask, visitor: FlaskClient) -> None:
    """The visitor sees a page; the row has the exception."""
    assert "We spilled something" in visitor.get("/stock").text
    with shop.app_context():
        assert db.session.scalars(sa.select(Request.exception)).all() == [
            "ZeroDivisionError('division by zero')"
        ]


def test_prices_are_streamed(visitor: FlaskClient) -> None:
    """The download is a stream with a line for each tea."""
    response = visitor.get("/prices.csv")
    assert response.is_streamed
    lines = response.get_data(as_text=True).splitlines()
    assert lines[0] == "slug,name,kind,price"
    assert len(lines) == len(TEAS) + 1


def test_health_is_not_recorded(shop: Flask, visitor: FlaskClient) -> None:
    """STATISTICS_EXCLUDE_PATHS keeps the monitor's page out."""
    assert visitor.get("/health").text == "ok"
    assert rows(shop) == []


def test_order(shop: Flask, visitor: FlaskClient) -> None:
    """Two teas in the cart become an order with their total."""
    for slug in ("sencha", "sencha", "matcha"):
        assert visitor.post("/cart", data={"tea": slug}).location == "/cart"
    assert "Matcha" in visitor.get("/cart").text
    assert visitor.post("/checkout").location == "/"
    with shop.app_context():
        assert [(o.items, o.total) for o in db.session.scalars(sa.select(Order))] == [(3, 4860)]
    assert visitor.post("/checkout").status_code == 400


def test_forms_need_their_token(sqlite_url: str) -> None:
    """A POST from another site is refused."""
    app = make_shop(sqlite_url, WTF_CSRF_ENABLED=True)
    client = app.test_client()
    assert client.post("/cart", data={"tea": "sencha"}).status_code == 400
    assert client.post("/login", data={"name": "a", "password": "b"}).status_code == 400
    close(app)


def test_wrong_password(shop: Flask, visitor: FlaskClient) -> None:
    """A wrong password and an unknown name get the same answer."""
    sign_in(shop, "ann", admin=False)
    for name in ("ann", "nobody"):
        answer = visitor.post("/login", data={"name": name, "password": "wrong"})
        assert answer.status_code == 401
        assert "do not go together" in answer.text


@pytest.mark.parametrize(
    "target",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil.example", "cart", ""],
)
def test_login_leads_to_no_other_site(shop: Flask, target: str) -> None:
    """What ?next= names is followed on this site only."""
    with shop.test_request_context():
        assert local_path(target) == "/"
        assert local_path("/cart?a=1") == "/cart?a=1"


def test_strangers_are_sent_to_the_login(visitor: FlaskClient) -> None:
    """The statistics are closed to those who have not signed in."""
    answer = visitor.get("/statistics/")
    assert answer.status_code == 302
    assert answer.location.startswith("/login?next=")


def test_users_are_refused(shop: Flask) -> None:
    """Those who are no admins may not see the statistics."""
    assert sign_in(shop, "ann", admin=False).get("/statistics/").status_code == 403


def test_admins_see_the_statistics(shop: Flask) -> None:
    """Admins may see the statistics, and their names are recorded."""
    client = sign_in(shop, "ann", admin=True)
    client.get("/tea/keemun")
    answer = client.get("/statistics/")
    assert answer.status_code == 200
    assert "/tea/&lt;slug&gt;" in answer.text
    with shop.app_context():
        found = db.session.scalars(sa.select(Request.username).filter_by(path="/tea/keemun"))
        assert found.all() == ["ann"]


def test_demo_is_open(shop: Flask, visitor: FlaskClient) -> None:
    """In the demo, which listens on this machine only, everybody sees the statistics."""
    shop.config["DEMO"] = True
    assert visitor.get("/statistics/").status_code == 200


def test_secret_key_is_made_once(sqlite_url: str, tmp_path: Path) -> None:
    """Without a key from outside, one is made, kept, and readable by its owner only."""
    from example_app import _kept_secret_key

    key = _kept_secret_key(tmp_path / "instance")
    assert len(key) == 64
    assert _kept_secret_key(tmp_path / "instance") == key
    assert (tmp_path / "instance" / "secret_key").stat().st_mode & 0o077 == 0


def test_traffic_is_the_same_for_the_same_seed(shop: Flask) -> None:
    """Seed and clock decide every request."""
    same = [
        list(islice(made_up_traffic(shop, days=2, seed=seed, now=NOON), 500)) for seed in (5, 5, 6)
    ]
    assert same[0] == same[1]
    assert same[0] != same[2]


def test_traffic_is_plausible(shop: Flask) -> None:
    """It has a night, errors, people and bots, in the order of time, and ends now."""
    records = [
        dict(zip(RECORD, record, strict=True))
        for record in made_up_traffic(shop, days=12, seed=1, now=NOON)
    ]
    moments = [record["date"] for record in records]
    assert moments == sorted(moments)
    assert moments[-1] < NOON.replace(tzinfo=timezone.utc).timestamp()
    assert len(records) > 5000
    hours = [int(moment // 3600 % 24) for moment in moments]
    assert 3 * hours.count(3) < hours.count(20)
    assert {200, 301, 302, 304, 404, 500} <= {record["status_code"] for record in records}
    assert any("timed out" in (record["exception"] or "") for record in records)
    assert {"/tea/<slug>", None} <= {record["route"] for record in records}


def test_traffic_has_events(shop: Flask) -> None:
    """People put teas into the cart and buy some, with what they pay."""
    records = made_up_traffic(shop, days=3, seed=1, now=NOON)
    events = [e for r in records if isinstance(r, TrackedRecord) for e in r.tracked.events]
    assert {event.name for event in events} == {"cart", "purchase"}
    assert all((event.revenue or 0) > 0 for event in events if event.name == "purchase")


def test_seed_says_that_it_is_made_up(empty_shop: Flask) -> None:
    """`flask seed` derives and stores as for real, and refuses to do it twice."""
    runner = empty_shop.test_cli_runner()
    with empty_shop.app_context():
        db.create_all()
    ran = runner.invoke(args=["seed", "--days", "2"])
    assert ran.exit_code == 0, ran.output
    assert "MADE UP" in ran.output
    stored = len(rows(empty_shop))
    assert f"Stored {stored} requests" in ran.output
    with empty_shop.app_context():
        people = sa.select(Request.visitor, Request.visit).where(Request.bot.is_(None)).limit(5)
        assert all(visitor and visit for visitor, visit in db.session.execute(people))
    again = runner.invoke(args=["seed"])
    assert again.exit_code == 1
    assert again.output == (f"Error: there are {stored} requests already; --add adds to them.\n")
    assert runner.invoke(args=["seed", "--days", "1", "--add"]).exit_code == 0
    assert len(rows(empty_shop)) > stored


def test_demo_sets_up_everything(empty_shop: Flask) -> None:
    """`flask demo` makes the tables, made-up traffic, the real log's rows and an admin."""
    ran = empty_shop.test_cli_runner().invoke(args=["demo", "--no-serve", "--port", "5050"])
    assert ran.exit_code == 0, ran.output
    assert "http://127.0.0.1:5050/statistics/?start=2015-05-17&end=2015-05-20" in ran.output
    password = re.search(r"Sign in as admin with: +(\S+)", ran.output)
    assert password
    client = empty_shop.test_client()
    answer = client.post("/login", data={"name": "admin", "password": password[1]})
    assert answer.status_code == 302
    page = client.get("/statistics/api/summary?start=2015-05-17&end=2015-05-20")
    assert page.get_json()["metrics"]["hits"] == 10_000
    again = empty_shop.test_cli_runner().invoke(args=["demo", "--no-serve"])
    assert again.exit_code == 0, again.output
    page = client.get("/statistics/api/summary?start=2015-05-17&end=2015-05-20")
    assert page.get_json()["metrics"]["hits"] == 10_000
