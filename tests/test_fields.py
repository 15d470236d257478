"""Every column of the contract is filled as it says."""

from __future__ import annotations

import json
import re
import time
from base64 import b64encode
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import flask
import pytest
import sqlalchemy as sa
from flask import Flask, g, request
from flask_login import LoginManager, UserMixin, current_user, login_user
from flask_sqlalchemy import SQLAlchemy

from flask_statistics import RequestMixin, Statistics
from flask_statistics.fields import FIELDS

if TYPE_CHECKING:
    from tests.conftest import Host

    MakeHost = Callable[..., Host]

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:72.0) Gecko/20100101 Firefox/72.0"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 13_3 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/13.0.4 Mobile/15E148 Safari/604.1"
)
IPAD = (
    "Mozilla/5.0 (iPad; CPU OS 12_4 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/12.1.2 Mobile/15E148 Safari/604.1"
)
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


def row_of(host: Host, path: str = "/x", **options: Any) -> dict[str, Any]:
    """Answer one request with "hello" and return its row."""
    if "any" not in host.app.view_functions:
        host.app.add_url_rule("/<path:name>", "any", lambda name: "hello")
    before = len(host.rows())
    host.open(path, **options)
    (row,) = host.rows()[before:]
    return row


def with_headers(host: Host, **headers: str) -> dict[str, Any]:
    return row_of(host, headers={name.replace("_", "-"): text for name, text in headers.items()})


def without(*names: str) -> Callable[[SQLAlchemy], Any]:
    """Return a maker of the model with all columns but these."""

    def make(db: SQLAlchemy) -> Any:
        columns: dict[str, Any] = {"id": db.Column(db.Integer, primary_key=True)}
        for field in FIELDS:
            if field.name not in names:
                columns[field.name] = db.Column(field.type())
        return type("Request", (db.Model,), columns)

    return make


# Of the request


def test_date_is_the_beginning_in_utc(host: Host) -> None:
    """`date` is UTC, when the request began."""
    began: list[datetime] = []

    def slow() -> str:
        began.append(datetime.now(timezone.utc).replace(tzinfo=None))
        until = time.perf_counter() + 0.02
        while time.perf_counter() < until:
            pass
        return "x"

    host.app.add_url_rule("/slow", view_func=slow)
    before = datetime.now(timezone.utc).replace(tzinfo=None)
    date = row_of(host, "/slow")["date"]
    assert before - timedelta(milliseconds=1) <= date <= began[0] + timedelta(milliseconds=1)


def test_response_time_is_seconds(host: Host) -> None:
    """`response_time` holds what the view takes, in seconds."""

    def slow() -> str:
        until = time.perf_counter() + 0.02
        while time.perf_counter() < until:
            pass
        return "x"

    host.app.add_url_rule("/slow", view_func=slow)
    began = time.perf_counter()
    row = row_of(host, "/slow")
    assert 0.02 <= row["response_time"] <= time.perf_counter() - began


def test_response_time_includes_teardown(host: Host) -> None:
    """The context ends after its teardown functions."""

    @host.app.teardown_request
    def slow(error: BaseException | None) -> None:
        until = time.perf_counter() + 0.02
        while time.perf_counter() < until:
            pass

    assert row_of(host)["response_time"] >= 0.02


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_method(host: Host, method: str) -> None:
    """`method` is as sent."""
    host.app.add_url_rule("/m", "m", lambda: "x", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    assert row_of(host, "/m", method=method)["method"] == method


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("/x?q=1", "/x"),
        ("/a%20b", "/a b"),
        ("/gr%C3%BC%C3%9Fe", "/grüße"),
        ("/%F0%9F%98%80", "/😀"),
        ("/a/b/c", "/a/b/c"),
        ("/x;v=1", "/x;v=1"),
    ],
)
def test_path(host: Host, sent: str, stored: str) -> None:
    """`path` is decoded and without the query string."""
    assert row_of(host, sent)["path"] == stored


def test_status_code(host: Host) -> None:
    """`status_code` is a number."""
    assert row_of(host)["status_code"] == 200


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("application/json", "application/json"),
        ("text/html; charset=utf-8", "text/html"),
        ("Text/HTML", "text/html"),
        ("image/svg+xml", "image/svg+xml"),
    ],
)
def test_mimetype(host: Host, sent: str, stored: str) -> None:
    """`mimetype` has no parameters."""
    host.app.add_url_rule("/m", "m", lambda: flask.Response("x", content_type=sent))
    assert row_of(host, "/m")["mimetype"] == stored


def test_referrer(host: Host) -> None:
    """`referrer` is as sent."""
    assert with_headers(host, Referer="https://a.example/x?y=1")["referrer"] == (
        "https://a.example/x?y=1"
    )


def test_no_referrer(host: Host) -> None:
    """Without the header `referrer` and `source` are NULL."""
    row = row_of(host)
    assert (row["referrer"], row["source"]) == (None, None)


def test_user_agent(host: Host) -> None:
    """`user_agent` is as sent."""
    assert with_headers(host, User_Agent=FIREFOX)["user_agent"] == FIREFOX


def test_size(host: Host) -> None:
    """`size` is bytes, not characters."""
    host.app.add_url_rule("/s", "s", lambda: "grüße")
    assert row_of(host, "/s")["size"] == 7


def test_remote_address(host: Host) -> None:
    """`remote_address` is the server's peer."""
    row = row_of(host, environ_base={"REMOTE_ADDR": "203.0.113.77"})
    assert row["remote_address"] == "203.0.113.77"


@pytest.mark.parametrize(
    ("mask", "sent", "stored"),
    [
        ("last-octet", "203.0.113.77", "203.0.113.0"),
        ("last-octet", "2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ((16, 32), "203.0.113.77", "203.0.0.0"),
    ],
)
def test_a_masked_remote_address(make_host: MakeHost, mask: Any, sent: str, stored: str) -> None:
    """STATISTICS_MASK_IP cuts the address and X-Forwarded-For before they are stored."""
    host = make_host(settings={"STATISTICS_MASK_IP": mask})
    row = row_of(
        host, environ_base={"REMOTE_ADDR": sent}, headers={"X-Forwarded-For": f"{sent}, {sent}"}
    )
    assert row["remote_address"] == stored
    assert row["xforwardedfor"] == f"{stored}, {stored}"


def test_a_fully_masked_address_is_nowhere(make_host: MakeHost) -> None:
    """'full' leaves no trace of the address in any column."""
    host = make_host(settings={"STATISTICS_MASK_IP": "full"})
    row = row_of(
        host,
        environ_base={"REMOTE_ADDR": "203.0.113.77"},
        headers={"X-Forwarded-For": "198.51.100.23"},
    )
    text = repr(row)
    assert "203." not in text
    assert "198." not in text
    assert row["visitor"] is not None


def test_url(host: Host) -> None:
    """`url` is the whole URL."""
    row = row_of(host, "/x?a=1", base_url="https://shop.example:8443")
    assert row["url"] == "https://shop.example:8443/x?a=1"


def test_url_under_a_prefix(host: Host) -> None:
    """SCRIPT_NAME is part of the URL."""
    row = row_of(host, "/x", base_url="http://shop.example/prefix")
    assert row["url"] == "http://shop.example/prefix/x"
    assert row["path"] == "/x"


def test_query_string(host: Host) -> None:
    """`query_string` is what follows the question mark."""
    assert row_of(host, "/x?b=2&a=1&b=3")["query_string"] == "b=2&a=1&b=3"


def test_url_args(host: Host) -> None:
    """`url_args` is JSON in which every value can be found."""
    args = json.loads(row_of(host, "/x?a=1&b=2&b=3&empty=")["url_args"])
    assert set(args) == {"a", "b", "empty"}
    assert args["a"] in ("1", ["1"])
    assert args["b"] == ["2", "3"]


def test_host_and_server_name(host: Host) -> None:
    """`host` is the Host header, `server_name` the app's name."""
    row = row_of(host, base_url="http://shop.example:8080")
    assert (row["host"], row["server_name"]) == ("shop.example:8080", host.app.name)


def test_endpoint_route_blueprint(host: Host) -> None:
    """The rule is stored as it was declared."""
    blueprint = flask.Blueprint("shop", __name__, url_prefix="/shop")
    blueprint.add_url_rule("/<int:number>", "item", lambda number: "x")
    host.app.register_blueprint(blueprint)
    row = row_of(host, "/shop/7")
    assert (row["endpoint"], row["route"], row["blueprint"]) == (
        "shop.item",
        "/shop/<int:number>",
        "shop",
    )
    assert json.loads(row["view_args"]) == {"number": 7}


def test_view_args_of_every_converter(host: Host) -> None:
    """`view_args` is JSON, also of values that JSON does not know."""
    host.app.add_url_rule("/<uuid:u>/<float:f>/<path:p>", "conv", lambda u, f, p: "x")
    row = row_of(host, "/6a2f41a3-c54c-fce8-32d2-0324e1c32e22/1.5/a/b")
    assert json.loads(row["view_args"]) == {
        "u": "6a2f41a3-c54c-fce8-32d2-0324e1c32e22",
        "f": 1.5,
        "p": "a/b",
    }


def test_view_args_that_the_view_changed(host: Host) -> None:
    """A hook of the host that takes an argument away (as for languages) breaks nothing."""

    @host.app.url_value_preprocessor
    def language(endpoint: str | None, values: dict[str, Any] | None) -> None:
        if values:
            g.language = values.pop("language", None)

    host.app.add_url_rule("/l/<language>/<name>", "lang", lambda name: name)
    row = row_of(host, "/l/de/you")
    assert row["status_code"] == 200
    assert json.loads(row["view_args"])["name"] == "you"


def test_xforwardedfor(host: Host) -> None:
    """`xforwardedfor` is the raw header."""
    row = with_headers(host, X_Forwarded_For="203.0.113.9, 10.0.0.1")
    assert row["xforwardedfor"] == "203.0.113.9, 10.0.0.1"
    assert row["remote_address"] == "127.0.0.1"


def test_authorization(host: Host) -> None:
    """`authorization` is whether the header came; what it said is stored nowhere."""
    assert row_of(host)["authorization"] is False
    row = with_headers(host, Authorization="Bearer s3cr3t-t0ken")
    assert row["authorization"] is True
    assert "s3cr3t" not in repr(row)


@pytest.mark.parametrize("sent", ["abc-123", "a" * 64, "6a2f41a3-c54c-fce8-32d2-0324e1c32e22"])
def test_a_harmless_request_id(host: Host, sent: str) -> None:
    """`request_id` is the host's own where it is harmless."""
    assert with_headers(host, X_Request_ID=sent)["request_id"] == sent


@pytest.mark.parametrize("sent", ["a" * 65, "<script>", "a b\tc", "ä", "' OR 1=1"])
def test_a_harmful_request_id(host: Host, sent: str) -> None:
    """Anything else is replaced by a random one."""
    row = row_of(host, environ_overrides={"HTTP_X_REQUEST_ID": sent})
    assert row["request_id"] != sent
    assert re.fullmatch(r"[\w.-]{8,64}", row["request_id"], re.ASCII)


def test_random_request_ids_differ(host: Host) -> None:
    """Without a header each request has an id of its own."""
    assert row_of(host)["request_id"] != row_of(host)["request_id"]


# Derived


@pytest.mark.parametrize(
    ("user_agent", "browser", "platform", "device"),
    [
        (FIREFOX, "Firefox 72.0", "Windows 10", "desktop"),
        (SAFARI, "Mobile Safari 13.0.4", "iOS 13.3", "mobile"),
        (IPAD, "Mobile Safari 12.1.2", "iOS 12.4", "tablet"),
    ],
)
def test_browser_platform_device(
    make_host: MakeHost, user_agent: str, browser: str, platform: str, device: str
) -> None:
    """Without columns for versions, names have them."""
    host = make_host(model=without("browser_version", "platform_version"))
    row = with_headers(host, User_Agent=user_agent)
    assert (row["browser"], row["platform"], row["device"]) == (browser, platform, device)
    assert row["bot"] is None


def test_browser_and_version_apart(host: Host) -> None:
    """With columns for versions, names have none."""
    row = with_headers(host, User_Agent=FIREFOX)
    assert (row["browser"], row["browser_version"]) == ("Firefox", "72.0")
    assert (row["platform"], row["platform_version"]) == ("Windows", "10")


def test_only_one_version_apart(make_host: MakeHost) -> None:
    """Each name goes with its own version column."""
    host = make_host(model=without("platform_version"))
    row = with_headers(host, User_Agent=FIREFOX)
    assert (row["browser"], row["browser_version"], row["platform"]) == (
        "Firefox",
        "72.0",
        "Windows 10",
    )


def test_a_bot_of_the_parser(host: Host) -> None:
    """A known bot is named."""
    row = with_headers(host, User_Agent=GOOGLEBOT)
    assert (row["bot"], row["device"]) == ("Googlebot", "bot")


@pytest.mark.parametrize(
    "user_agent",
    [
        "curl/8.5.0",
        "python-requests/2.31.0",
        "Go-http-client/1.1",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "HeadlessChrome/120.0.0.0 Safari/537.36",
        "Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)",
        "",
    ],
)
def test_programmatic_clients_are_bots(host: Host, user_agent: str) -> None:
    """Programs are bots, each with a reason."""
    row = row_of(host, environ_overrides={"HTTP_USER_AGENT": user_agent})
    assert row["bot"]
    assert row["device"] == "bot"


def test_no_user_agent_is_a_bot(host: Host) -> None:
    """A request without the header is held for a program."""
    host.app.add_url_rule("/<path:name>", "any", lambda name: "x")
    builder = host.app.test_client()
    builder.environ_base.pop("HTTP_USER_AGENT")
    builder.get("/x", buffered=True)
    row = host.row()
    assert row["bot"]
    assert row["user_agent"] in (None, "")


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("de-DE,de;q=0.9,en;q=0.8", "de-DE"),
        ("en", "en"),
        ("fr;q=0.2, es;q=0.9", "fr"),
        ("*", None),
        ("", None),
    ],
)
def test_language(host: Host, sent: str, stored: str | None) -> None:
    """`language` is the first language of Accept-Language."""
    assert with_headers(host, Accept_Language=sent)["language"] == stored


@pytest.mark.parametrize(
    ("referrer", "source"),
    [
        ("https://www.google.com/", "Google"),
        ("https://www.google.co.uk/search?q=x", "Google"),
        ("https://news.ycombinator.com/item?id=1", "Hacker News"),
        ("https://example.net/x", "example.net"),
        ("http://localhost/x", None),
    ],
)
def test_source(host: Host, referrer: str, source: str | None) -> None:
    """`source` is the referrer's name, else its host; the own host is no source."""
    assert with_headers(host, Referer=referrer)["source"] == source


def test_utm(host: Host) -> None:
    """Campaign parameters have columns."""
    row = row_of(
        host, "/x?utm_source=news&utm_medium=e+mail&utm_campaign=c%20d&utm_term=t&utm_content=b"
    )
    names = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")
    assert [row[name] for name in names] == ["news", "e mail", "c d", "t", "b"]


def test_no_utm(host: Host) -> None:
    """Without campaign parameters the columns are NULL."""
    row = row_of(host, "/x?utm_other=1")
    names = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")
    assert [row[name] for name in names] == [None] * 5


def test_places_are_null(host: Host) -> None:
    """Places are not looked up yet."""
    row = row_of(host)
    assert [row[name] for name in ("country", "region", "city", "ip_info")] == [None] * 4


# Of the host


def test_username_of_http_basic(host: Host) -> None:
    """Without Flask-Login the name of HTTP basic is taken, never the password."""
    token = b64encode(b"ann:s3cr3t").decode()
    row = with_headers(host, Authorization=f"Basic {token}")
    assert row["username"] == "ann"
    assert "s3cr3t" not in repr(row)
    assert token not in repr(row)


def test_no_username(host: Host) -> None:
    """A visitor without a name is NULL."""
    assert row_of(host)["username"] is None


def test_username_of_a_callback(make_host: MakeHost) -> None:
    """STATISTICS_USERNAME is asked in the request, after the view."""

    def view() -> str:
        g.user = "ann"
        return "x"

    host = make_host(settings={"STATISTICS_USERNAME": lambda: g.get("user")})
    host.app.add_url_rule("/u", "u", view)
    assert row_of(host, "/u")["username"] == "ann"


class User(UserMixin):  # type: ignore[misc]
    def __init__(self, name: str) -> None:
        self.id = name


@pytest.fixture
def login_host(make_host: MakeHost) -> tuple[Host, list[str]]:
    """A host with Flask-Login, and the names whose users were loaded."""
    loaded: list[str] = []

    def before(app: Flask) -> None:
        manager = LoginManager(app)

        @manager.user_loader  # type: ignore[untyped-decorator]
        def load(name: str) -> User:
            loaded.append(name)
            return User(name)

    host = make_host(before=before)

    def log_in() -> str:
        login_user(User("ann"))
        return "in"

    def who() -> str:
        return str(current_user.get_id())

    host.app.add_url_rule("/in", "in", log_in)
    host.app.add_url_rule("/who", "who", who)
    host.app.add_url_rule("/none", "none", lambda: "x")
    return host, loaded


def test_username_of_flask_login(login_host: tuple[Host, list[str]]) -> None:
    """Flask-Login's user is taken where the host loaded it in this request."""
    host, _loaded = login_host
    client = host.app.test_client()
    for path in ("/in", "/who"):
        client.get(path, buffered=True)
    assert [row["username"] for row in host.rows()] == ["ann", "ann"]


def test_the_user_is_not_loaded_for_us(login_host: tuple[Host, list[str]]) -> None:
    """A request that did not need its user costs no query for it."""
    host, loaded = login_host
    client = host.app.test_client()
    client.get("/in", buffered=True)
    loaded.clear()
    client.get("/none", buffered=True)
    assert loaded == []
    assert host.rows()[-1]["username"] is None


def test_an_anonymous_user(login_host: tuple[Host, list[str]]) -> None:
    """Flask-Login's anonymous user has no name."""
    host, _loaded = login_host
    assert row_of(host, "/who")["username"] is None


def _statements(host: Host) -> None:
    for _ in range(3):
        host.db.session.execute(sa.text("SELECT 1"))


def test_db_queries_and_db_time(host: Host) -> None:
    """Statements of the host's session are counted and timed for their request."""

    def view() -> str:
        _statements(host)
        return "x"

    host.app.add_url_rule("/q", "q", view)
    row = row_of(host, "/q")
    assert row["db_queries"] == 3
    assert 0 < row["db_time"] < row["response_time"]


def test_no_db_queries(host: Host) -> None:
    """A request without SQL has zero; what the recorder stores meanwhile is not counted."""
    row_of(host)
    row = row_of(host)
    assert (row["db_queries"], row["db_time"]) == (0, 0)


def test_db_queries_of_hooks_count(host: Host) -> None:
    """SQL of before_request and teardown belongs to the request."""
    host.app.before_request(lambda: _statements(host))

    @host.app.after_request
    def after(response: flask.Response) -> flask.Response:
        _statements(host)
        return response

    assert row_of(host)["db_queries"] == 6


def test_db_queries_of_a_connection(host: Host) -> None:
    """A connection of the host's engine counts as its session does."""

    def view() -> str:
        with host.db.engine.connect() as connection:
            connection.execute(sa.text("SELECT 1"))
        return "x"

    host.app.add_url_rule("/q", "q", view)
    assert row_of(host, "/q")["db_queries"] == 1


def test_db_queries_that_fail_count(host: Host) -> None:
    """A statement that the database refuses was run."""

    def view() -> str:
        try:
            host.db.session.execute(sa.text("SELECT nonsense"))
        except sa.exc.OperationalError:
            host.db.session.rollback()
        return "x"

    host.app.add_url_rule("/q", "q", view)
    assert row_of(host, "/q")["db_queries"] == 1


def test_db_queries_of_another_engine_do_not_count(host: Host) -> None:
    """Only engines of the host's db count."""
    other = sa.create_engine("sqlite://")

    def view() -> str:
        with other.connect() as connection:
            connection.execute(sa.text("SELECT 1"))
        return "x"

    host.app.add_url_rule("/q", "q", view)
    assert row_of(host, "/q")["db_queries"] == 0
    other.dispose()


def test_db_queries_in_sync_mode(make_host: MakeHost) -> None:
    """Our own statements are not counted, although this thread runs them."""
    host = make_host(settings={"STATISTICS_SYNC": True})
    with host.app.app_context():
        assert row_of(host)["db_queries"] == 0
        assert row_of(host)["db_queries"] == 0


def test_version_and_site(make_host: MakeHost) -> None:
    """The settings are stored with each row."""
    host = make_host(settings={"STATISTICS_VERSION": "1.2.3", "STATISTICS_SITE": "shop"})
    row = row_of(host)
    assert (row["version"], row["site"]) == ("1.2.3", "shop")


def test_no_version_and_site(host: Host) -> None:
    """Without the settings they are NULL."""
    row = row_of(host)
    assert (row["version"], row["site"]) == (None, None)


def test_track_var(host: Host) -> None:
    """`g.track_var` is stored as JSON."""

    def view() -> str:
        g.track_var["color"] = "röd"
        g.track_var.update(n=1, nested={"a": [1, None]})
        return "x"

    host.app.add_url_rule("/t", "t", view)
    track_var = json.loads(row_of(host, "/t")["track_var"])
    assert track_var == {"color": "röd", "n": 1, "nested": {"a": [1, None]}}


def test_an_empty_track_var_is_null(host: Host) -> None:
    """Nothing tracked is NULL."""
    assert row_of(host)["track_var"] is None


def test_a_track_var_of_other_objects(host: Host) -> None:
    """What JSON does not know is described, and never fails the request."""

    def view() -> str:
        g.track_var["when"] = datetime(2020, 1, 2)
        g.track_var["what"] = object()
        g.track_var["many"] = {1, 2}
        return "x"

    host.app.add_url_rule("/t", "t", view)
    row = row_of(host, "/t")
    assert row["status_code"] == 200
    assert "2020" in json.loads(row["track_var"])["when"]


def test_a_track_var_that_holds_itself(host: Host) -> None:
    """A circle cannot be JSON; the request and the row stay."""

    def view() -> str:
        g.track_var["self"] = g.track_var
        return "x"

    host.app.add_url_rule("/t", "t", view)
    assert row_of(host, "/t")["status_code"] == 200


def test_a_track_var_that_was_replaced(host: Host) -> None:
    """A view may assign a dict of its own, or anything else."""

    def view(kind: str) -> str:
        g.track_var = {"a": 1} if kind == "dict" else 5
        return "x"

    host.app.add_url_rule("/t/<kind>", "t", view)
    assert json.loads(row_of(host, "/t/dict")["track_var"]) == {"a": 1}
    assert row_of(host, "/t/other")["status_code"] == 200


def test_a_track_var_that_was_deleted(host: Host) -> None:
    """A view may take it away."""

    def view() -> str:
        del g.track_var
        return "x"

    host.app.add_url_rule("/t", "t", view)
    row = row_of(host, "/t")
    assert (row["status_code"], row["track_var"]) == (200, None)


def _with_tenant(db: SQLAlchemy) -> Any:
    columns = {"tenant": db.Column(db.String(20)), "plan": db.Column(db.Integer)}
    return type("Request", (RequestMixin, db.Model), columns)


def test_a_field_of_the_host(make_host: MakeHost) -> None:
    """@statistics.field fills a column with what the function returns in the request."""
    statistics = Statistics()

    @statistics.field("tenant")
    def tenant() -> str:
        return request.headers["X-Tenant"]

    @statistics.field("plan")
    def plan() -> int:
        return 3

    assert tenant.__name__ == "tenant"
    host = make_host(statistics=statistics, model=_with_tenant)
    row = with_headers(host, X_Tenant="acme")
    assert (row["tenant"], row["plan"]) == ("acme", 3)


def test_a_field_that_raises(make_host: MakeHost, caplog: pytest.LogCaptureFixture) -> None:
    """A failing field is NULL, logged once an interval, and changes nothing else."""
    statistics = Statistics()

    @statistics.field("tenant")
    def tenant() -> str:
        raise ValueError("boom")

    host = make_host(statistics=statistics, model=_with_tenant)
    rows = [row_of(host) for _ in range(3)]
    assert [(row["tenant"], row["status_code"]) for row in rows] == [(None, 200)] * 3
    assert len(caplog.records) == 1
    assert "tenant" in caplog.text


def test_a_username_callback_that_raises(
    make_host: MakeHost, caplog: pytest.LogCaptureFixture
) -> None:
    """A failing callback is NULL, logged once an interval, and changes nothing else."""

    def username() -> str:
        raise ValueError("boom")

    host = make_host(settings={"STATISTICS_USERNAME": username})
    rows = [row_of(host) for _ in range(3)]
    assert [(row["username"], row["status_code"]) for row in rows] == [(None, 200)] * 3
    assert len(caplog.records) == 1


@pytest.mark.parametrize("value", [object(), {"a": 1}, 2**80, "\ud800", "a\0b", float("nan"), [1]])
def test_a_field_that_no_column_takes(make_host: MakeHost, value: Any) -> None:
    """A value that the database refuses never keeps other requests from being stored."""
    statistics = Statistics()
    values = [value, "fine"]
    statistics.field("tenant")(lambda: values.pop(0))
    host = make_host(statistics=statistics, model=_with_tenant)
    host.app.add_url_rule("/<path:name>", "any", lambda name: "x")
    host.open("/first")
    host.open("/second")
    with host.app.app_context():
        host.statistics.flush()
    assert [row["tenant"] for row in host.stored() if row["path"] == "/second"] == ["fine"]


# Models of hosts


def test_a_column_under_another_attribute(make_host: MakeHost) -> None:
    """A column is known by the name of its attribute; an attribute of another name counts too."""

    def model(db: SQLAlchemy) -> Any:
        return type(
            "Request",
            (db.Model,),
            {
                "key": db.Column("number", db.Integer, primary_key=True),
                "date": db.Column("moment", db.DateTime),
                "path": db.Column("p", db.String(100)),
                "code": db.Column("status_code", db.Integer),
            },
        )

    row = row_of(make_host(model=model))
    assert (row["p"], row["status_code"], row["number"]) == ("/x", 200, 1)
    assert row["moment"] is not None


def test_only_the_hosts_columns(make_host: MakeHost) -> None:
    """A model with a date alone is enough."""

    def model(db: SQLAlchemy) -> Any:
        columns = {"pk": db.Column(db.Integer, primary_key=True), "date": db.Column(db.DateTime)}
        return type("Request", (db.Model,), columns)

    assert set(row_of(make_host(model=model))) == {"pk", "date"}


@pytest.mark.parametrize("field", [field.name for field in FIELDS if field.name != "date"])
def test_a_model_that_lacks_one_column(make_host: MakeHost, field: str) -> None:
    """Each column may be missing."""
    row = row_of(make_host(model=without(field)))
    assert field not in row
    assert row["date"] is not None


def test_columns_of_the_host_with_defaults(make_host: MakeHost) -> None:
    """Columns that we do not fill get the host's defaults, of Python and of the database."""

    def model(db: SQLAlchemy) -> Any:
        columns = {
            "shard": db.Column(db.Integer, nullable=False, default=7),
            "made": db.Column(db.String(10), nullable=False, default=lambda: "made"),
            "zone": db.Column(db.String(10), nullable=False, server_default="eu"),
            "note": db.Column(db.String(10)),
        }
        return type("Request", (RequestMixin, db.Model), columns)

    row = row_of(make_host(model=model))
    assert (row["shard"], row["made"], row["zone"], row["note"]) == (7, "made", "eu", None)
    assert row["path"] == "/x"


def test_json_columns(make_host: MakeHost) -> None:
    """A host may keep view_args, url_args and track_var as JSON."""

    def model(db: SQLAlchemy) -> Any:
        names = ("view_args", "url_args", "track_var")
        return type("Request", (RequestMixin, db.Model), {n: db.Column(db.JSON) for n in names})

    host = make_host(model=model)
    row = row_of(host, "/x?a=1")
    assert row["view_args"] == {"name": "x"}
    assert set(row["url_args"]) == {"a"}
    assert row["track_var"] is None


def test_too_long_values_are_cut_with_a_mark(make_host: MakeHost) -> None:
    """What exceeds the column is cut to its length, and marked."""

    def model(db: SQLAlchemy) -> Any:
        columns = {"path": db.Column(db.String(10)), "user_agent": db.Column(db.String(12))}
        return type("Request", (RequestMixin, db.Model), columns)

    row = row_of(make_host(model=model), "/" + "a" * 50, headers={"User-Agent": "b" * 50})
    assert len(row["path"]) == 10
    assert row["path"].startswith("/aaaaaa")
    assert not row["path"].endswith("a")
    assert len(row["user_agent"]) == 12
    assert not row["user_agent"].endswith("b")


def classic_model(db: SQLAlchemy) -> Any:
    """Return the model of flask-statistics as its documentation declares it."""
    return type(
        "Request",
        (db.Model,),
        {
            "__tablename__": "request",
            "index": db.Column(db.Integer, primary_key=True, autoincrement=True),
            "response_time": db.Column(db.Float),
            "date": db.Column(db.DateTime),
            "method": db.Column(db.String),
            "size": db.Column(db.Integer),
            "status_code": db.Column(db.Integer),
            "path": db.Column(db.String),
            "user_agent": db.Column(db.String),
            "remote_address": db.Column(db.String),
            "exception": db.Column(db.String),
            "referrer": db.Column(db.String),
            "browser": db.Column(db.String),
            "platform": db.Column(db.String),
            "mimetype": db.Column(db.String),
        },
    )


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_the_classic_model(make_host: MakeHost, database_url: str) -> None:
    """The model of flask-statistics works as it stands."""
    host = make_host(model=classic_model, url=database_url, settings={"TESTING": True})
    row = row_of(
        host,
        headers={"User-Agent": FIREFOX, "Referer": "https://example.net/"},
        environ_base={"REMOTE_ADDR": "203.0.113.7"},
    )
    del row["date"], row["response_time"]
    assert row == {
        "index": 1,
        "method": "GET",
        "size": 5,
        "status_code": 200,
        "path": "/x",
        "user_agent": FIREFOX,
        "remote_address": "203.0.113.7",
        "exception": None,
        "referrer": "https://example.net/",
        "browser": "Firefox 72.0",
        "platform": "Windows 10",
        "mimetype": "text/html",
    }
    assert host.open("/statistics/").status_code == 200


def test_every_column_on_every_database(make_host: MakeHost, database_url: str) -> None:
    """RequestMixin takes a row with every value on each database."""
    host = make_host(url=database_url, settings={"STATISTICS_VERSION": "1"})
    row = row_of(
        host,
        "/grüße?utm_source=news&q=😀",
        headers={"User-Agent": FIREFOX, "Referer": "https://www.google.com/"},
    )
    assert (row["path"], row["browser"], row["source"]) == ("/grüße", "Firefox", "Google")
    assert row["date"].microsecond or row_of(host)["date"].microsecond
    assert json.loads(row["url_args"])["q"] in ("😀", ["😀"])
