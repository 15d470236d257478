"""Bad input is recorded inertly, on each database, and never answered with a 500 by us."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from flask import Flask, Response, g, request
from flask.sessions import SecureCookieSessionInterface
from flask_sqlalchemy import SQLAlchemy
from werkzeug.test import EnvironBuilder, run_wsgi_app

from flask_statistics import RequestMixin, Statistics
from flask_statistics.config import SECRET_NAMES
from flask_statistics.privacy import Secrets

if TYPE_CHECKING:
    from tests.conftest import Host

    MakeHost = Callable[..., Host]

#: What a WSGI server may hand over: each string holds bytes as Latin-1.
TEXTS = {
    "markup": "<script>alert(1)</script>",
    "template": "{{ config }}{% raw %}${7*7}",
    "sql": "'; DROP TABLE request; --",
    "bidi": "\u202eabc\u202c\u2066x\u2069".encode().decode("latin-1"),
    "nul": "a\0b",
    "control": "a\r\nb\x1b[31m\x7f\x85",
    "surrogate": "\ud800abc\udfff",
    "encoded surrogate": b"\xed\xa0\x80".decode("latin-1"),
    "invalid utf-8": b"\xff\xfe\xc3\x28".decode("latin-1"),
    "four bytes": "\U0001f600".encode().decode("latin-1"),
    "beyond latin-1": "\u20ac\U0001f600",
    "noncharacter": "\uffff\ufdd0".encode().decode("latin-1"),
    "long": "x" * 1_000_000,
    "long and multibyte": "\u20ac".encode().decode("latin-1") * 300_000,
    "percent": "%00%ff%zz%",
    "empty": "",
}
NO_WSGI_STRINGS = {"surrogate", "beyond latin-1"}
SECRET = "s3cr3t-v4lue"


def send(app: Flask, **environ: Any) -> int:
    """Call the app with raw values in environ, as a lax server does; return the status."""
    builder = EnvironBuilder("/x")
    whole = {**builder.get_environ(), **environ}
    builder.close()
    _body, status, _headers = run_wsgi_app(app, whole, buffered=True)
    return int(status.split()[0])


def any_path(host: Host) -> None:
    host.app.add_url_rule("/", "root", lambda: "x")
    host.app.add_url_rule("/<path:name>", "any", lambda name: "x")


@pytest.fixture
def database_host(make_host: MakeHost, database_url: str) -> Host:
    """A host on each database that answers every path with 200."""
    host = make_host(url=database_url)
    any_path(host)
    return host


# As sent, on each database


@pytest.mark.parametrize(
    "name",
    [
        "PATH_INFO",
        "QUERY_STRING",
        "HTTP_USER_AGENT",
        "HTTP_REFERER",
        "HTTP_ACCEPT_LANGUAGE",
        "HTTP_X_FORWARDED_FOR",
        "HTTP_X_REQUEST_ID",
        "HTTP_AUTHORIZATION",
        "REMOTE_ADDR",
    ],
)
def test_hostile_values(database_host: Host, name: str) -> None:
    """Each hostile text in each place of the request is one row, as every database takes it."""
    statuses = []
    for kind, text in TEXTS.items():
        if name in {"PATH_INFO", "QUERY_STRING"} and kind in NO_WSGI_STRINGS:
            continue  # Flask itself raises on these before any request exists
        value = f"/{text}" if name == "PATH_INFO" else text
        statuses.append(send(database_host.app, **{name: value}))
    rows = database_host.rows()
    assert [row["status_code"] for row in rows] == statuses
    assert 500 not in statuses
    for row in rows:
        for value in row.values():
            if isinstance(value, str):
                assert "\0" not in value
                value.encode()


@pytest.mark.parametrize("kind", list(TEXTS))
def test_a_hostile_host(host: Host, kind: str) -> None:
    """A Host header that Flask may refuse has its row, with Flask's own status."""
    any_path(host)
    bare = Flask("bare")
    bare.add_url_rule("/<path:name>", "any", lambda name: "x")
    expected = send(bare, HTTP_HOST=TEXTS[kind])
    assert send(host.app, HTTP_HOST=TEXTS[kind]) == expected
    assert host.row()["status_code"] == expected


def test_hostile_texts_of_views(database_host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a view tracks or raises is stored inertly as well."""

    def view() -> str:
        g.track_var["text"] = request.headers.get("X-Text", "")
        raise ValueError("a\0b\ud800" + "x" * 1_000_000)

    monkeypatch.setattr(database_host.app.logger, "disabled", True)
    database_host.app.add_url_rule("/fail", "fail", view)
    send(database_host.app, PATH_INFO="/fail", HTTP_X_TEXT="a\0b\ud800" + "y" * 1_000_000)
    row = database_host.row()
    assert row["status_code"] == 500
    assert row["exception"].startswith("ValueError('a")


def test_markup_is_stored_as_it_is(host: Host) -> None:
    """Escaping is for the page, not for the table."""
    any_path(host)
    host.open("/<b>&amp;", headers={"User-Agent": "<i>&"})
    row = host.row()
    assert (row["path"], row["user_agent"]) == ("/<b>&amp;", "<i>&")


def test_invalid_utf8_is_told_from_valid(host: Host) -> None:
    """Valid bytes are text; invalid ones are replaced without losing the rest."""
    any_path(host)
    send(host.app, PATH_INFO="/gr\xc3\xbc\xc3\x9fe")
    send(host.app, PATH_INFO="/a\xffb")
    first, second = host.rows()
    assert first["path"] == "/grüße"
    assert second["path"].startswith("/a")
    assert second["path"].endswith("b")
    assert "\xff" not in second["path"]


@pytest.mark.parametrize("database_url", ["mariadb"], indirect=True)
def test_four_bytes_in_a_narrow_character_set(database_host: Host) -> None:
    """MariaDB's utf8mb3 refuses four bytes a character: they are replaced."""
    with database_host.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE request CONVERT TO CHARACTER SET utf8mb3"))
    database_host.open("/a%F0%9F%98%80b")
    path = database_host.row()["path"]
    assert (path[:2], path[-1]) == ("/a", "b")
    assert "\U0001f600" not in path


def test_ten_thousand_parameters(database_host: Host) -> None:
    """A query of 10,000 parameters is one row, and its JSON is JSON."""
    query = "&".join(f"name{number}=value{number}" for number in range(10_000))
    assert send(database_host.app, QUERY_STRING=query) == 200
    row = database_host.row()
    assert row["query_string"].startswith("name0=value0&name1=")
    assert row["url_args"] is None or isinstance(json.loads(row["url_args"]), dict)


@pytest.mark.parametrize(
    "method", ["BREW", "get", "PROPFIND", "M-SEARCH", "", "G\0T", "é", "X" * 100_000, "<b>"]
)
def test_methods_that_do_not_exist(database_host: Host, method: str) -> None:
    """An unknown method is a 405, or what Flask makes of it, with a row."""
    status = send(database_host.app, REQUEST_METHOD=method)
    assert status != 500
    row = database_host.row()
    assert row["status_code"] == status
    assert len(row["method"]) <= 32


@pytest.mark.parametrize("length", ["abc", "-5", "99999999999999999999", ""])
def test_a_strange_length_of_the_request(host: Host, length: str) -> None:
    """Content-Length of the request is the host's business."""
    any_path(host)
    assert send(host.app, CONTENT_LENGTH=length) == 200
    assert host.row()["status_code"] == 200


@pytest.mark.parametrize("length", ["abc", "-5", "9" * 30, "1.5"])
def test_a_strange_length_of_the_response(host: Host, length: str) -> None:
    """A view may send a Content-Length that is none."""
    host.app.add_url_rule("/x", "x", lambda: Response("abc", headers={"Content-Length": length}))
    send(host.app)
    row = host.row()
    assert row["status_code"] == 200
    assert row["size"] == 3


@pytest.mark.parametrize("status", ["999 Odd", "099 Odd", "abc", "200", 0, 10**30, -1])
def test_a_strange_status(make_host: MakeHost, status: Any) -> None:
    """A view may send a status that is none; the host's next requests are stored."""
    host = make_host()
    any_path(host)

    def view() -> Response:
        return Response("abc", status=status)

    host.app.add_url_rule("/odd", "odd", view)
    # Whether werkzeug can send such a status is its business.
    with suppress(Exception):
        host.open("/odd")
    host.open("/fine")
    with host.app.app_context():
        host.statistics.flush()
    assert host.stored()[-1]["path"] == "/fine"


def test_a_strange_content_type_of_the_response(host: Host) -> None:
    """A view may send a Content-Type that is none."""
    host.app.add_url_rule(
        "/x", "x", lambda: Response("abc", content_type="\xe4;;;" + "x" * 100_000)
    )
    send(host.app)
    assert host.row()["status_code"] == 200


# Secrets

PARAMETERS = (
    "token",
    "access_token",
    "password",
    "PASSWORD",
    "api_key",
    "apiKey",
    "key",
    "secret",
    "client_secret",
    "code",
    "session",
    "sessionid",
    "auth",
    "signature",
    "X-Amz-Signature",
    "user[password]",
    "jwt",
)


@pytest.mark.parametrize("name", PARAMETERS)
def test_secret_parameters(host: Host, name: str) -> None:
    """The value of a parameter that looks secret is in no column; the others are."""
    any_path(host)
    query = f"page=2&{quote(name, safe='')}={SECRET}&sort=up"
    host.open(f"/x?{query}", headers={"Referer": f"https://example.net/y?{query}"})
    row = host.row()
    assert SECRET not in repr(row)
    for column in ("url", "query_string", "referrer"):
        assert "page=2" in row[column]
        assert "sort=up" in row[column]
    assert {"page", "sort"} < set(json.loads(row["url_args"]))
    assert len(json.loads(row["url_args"])) == 3


@pytest.mark.parametrize(
    "query",
    [
        f"%74oken={SECRET}",
        f"token%00={SECRET}",
        f"TOKEN={SECRET}",
        f"a=1;token={SECRET}",
        f"token={SECRET}&token={SECRET}",
        f"+token={SECRET}",
        f"token={SECRET}={SECRET}",
        f"&&token={SECRET}&&",
        f"token[]={SECRET}",
        f"%2574oken=x&token={SECRET}",
    ],
)
def test_disguised_secret_parameters(host: Host, query: str) -> None:
    """Encoding, repetition and odd separators do not hide a secret."""
    any_path(host)
    send(host.app, QUERY_STRING=query, HTTP_REFERER=f"https://example.net/?{query}")
    assert SECRET not in repr(host.row())


def test_a_secret_that_is_cut_stays_secret(host: Host) -> None:
    """A secret behind more than the queue keeps is not stored in part."""
    any_path(host)
    for length in (900, 1000, 1020, 4070, 4080, 4090, 4095, 15_990):
        send(host.app, QUERY_STRING=f"a={'x' * length}&token={SECRET * 50}")
    assert "s3cr3t" not in repr(host.rows())


@pytest.mark.parametrize(
    "referrer",
    [
        f"https://ann:{SECRET}@example.net/x",
        f"https://{SECRET}@example.net/x",
        f"https://example.net/x#access_token={SECRET}",
        f"https://example.net/x?next=https%3A%2F%2Fe.net%2F%3Ftoken%3D{SECRET}",
        f"//ann:{SECRET}@example.net/x?token={SECRET}",
        f"example.net/x?token={SECRET}",
        f"https://[::1/x?token={SECRET}",
    ],
)
def test_secrets_in_the_referrer(host: Host, referrer: str) -> None:
    """Credentials, fragments and nested URLs of the referrer are redacted."""
    any_path(host)
    send(host.app, HTTP_REFERER=referrer)
    row = host.row()
    assert SECRET not in repr(row)
    assert row["referrer"]


def test_credentials_in_the_host(host: Host) -> None:
    """A Host header with credentials does not carry them into a column."""
    any_path(host)
    send(host.app, HTTP_HOST=f"ann:{SECRET}@example.net")
    assert SECRET not in repr(host.row())


@pytest.mark.parametrize("rule", ["/reset/<token>", "/reset/<string:reset_token>/done"])
def test_secrets_in_the_path(host: Host, rule: str) -> None:
    """Where the rule's argument looks secret, path, url and view_args are redacted."""
    host.app.add_url_rule(rule, "reset", lambda **arguments: "x")
    path = rule.replace("<token>", SECRET).replace("<string:reset_token>", SECRET)
    host.open(path)
    row = host.row()
    assert row["status_code"] == 200
    assert row["route"] == rule
    assert SECRET not in repr(row)
    assert row["path"].startswith("/reset/")
    assert len(json.loads(row["view_args"])) == 1


def test_secrets_in_the_path_beside_others(host: Host) -> None:
    """Other arguments of the rule stay."""
    host.app.add_url_rule("/user/<name>/<path:key>", "user", lambda name, key: "x")
    host.open(f"/user/ann/{SECRET}/{SECRET}")
    row = host.row()
    assert SECRET not in repr(row)
    assert row["path"].startswith("/user/ann/")
    assert json.loads(row["view_args"])["name"] == "ann"


@pytest.mark.parametrize("secret", ["a%20b%20s3cr3t", "s3cr3t%E2%82%AC", "s3cr3t+x", "S3CR3T"])
def test_encoded_secrets_in_the_path(host: Host, secret: str) -> None:
    """A secret in the path is found however it is encoded."""
    host.app.add_url_rule("/reset/<token>", "reset", lambda token: "x")
    host.open(f"/reset/{secret}")
    assert "s3cr3t" not in repr(host.row()).lower()


def test_a_secret_of_another_type(host: Host) -> None:
    """A number may be a secret as well."""
    host.app.add_url_rule("/verify/<int:code>", "verify", lambda code: "x")
    host.open("/verify/0049331")
    assert "49331" not in repr(host.row())


def test_a_secret_in_the_referrers_path(host: Host) -> None:
    """A referrer of the own app is redacted by the app's own rules."""
    any_path(host)
    host.app.add_url_rule("/reset/<token>", "reset", lambda token: "x")
    host.open("/x", headers={"Referer": f"http://localhost/reset/{SECRET}"})
    assert SECRET not in repr(host.row())


def test_a_secret_that_a_preprocessor_took(host: Host) -> None:
    """A hook that takes the argument away from the view does not bring the secret back."""

    @host.app.url_value_preprocessor
    def take(endpoint: str | None, values: dict[str, Any] | None) -> None:
        g.token = (values or {}).pop("token", None)

    host.app.add_url_rule("/reset/<token>", "reset", lambda: "x")
    host.open(f"/reset/{SECRET}")
    row = host.row()
    assert row["status_code"] == 200
    assert SECRET not in repr(row)


def test_a_secret_in_the_path_of_a_failing_session(host: Host) -> None:
    """A session backend that is down fails before the rule is matched: redacted as well."""

    class Broken(SecureCookieSessionInterface):
        def open_session(self, app: Flask, request: Any) -> Any:
            raise ValueError("boom")

    host.app.session_interface = Broken()
    host.app.add_url_rule("/reset/<token>", "reset", lambda token: "x")
    host.open(f"/reset/{SECRET}")
    assert SECRET not in repr(host.row())


def test_a_secret_in_the_path_of_a_redirect_to_a_slash(host: Host) -> None:
    """Werkzeug's own redirect has no rule; the path is redacted all the same."""
    host.app.add_url_rule("/reset/<token>/", "reset", lambda token: "x")
    host.open(f"/reset/{SECRET}")
    row = host.row()
    assert row["status_code"] == 308
    assert SECRET not in repr(row)


def test_a_secret_in_the_path_of_a_failing_view(make_host: MakeHost) -> None:
    """A view that raises is redacted too, re-raised or not."""
    for propagate in (True, False):
        host = make_host(settings={"PROPAGATE_EXCEPTIONS": propagate})

        def fail(token: str) -> str:
            raise ValueError("boom")

        host.app.add_url_rule("/reset/<token>", "reset", fail)
        if propagate:
            with pytest.raises(ValueError, match="boom"):
                host.open(f"/reset/{SECRET}")
        else:
            host.open(f"/reset/{SECRET}")
        assert SECRET not in repr(host.row())


def test_a_secret_in_the_path_of_a_405(host: Host) -> None:
    """The rule did not answer, but its argument is still a secret."""
    host.app.add_url_rule("/reset/<token>", "reset", lambda token: "x", methods=["POST"])
    host.open(f"/reset/{SECRET}")
    row = host.row()
    assert row["status_code"] == 405
    assert SECRET not in repr(row)


def test_a_secret_in_the_path_that_ends_the_process(host: Host) -> None:
    """SystemExit is recorded outside of the context: redacted as well."""

    def leave(token: str) -> str:
        raise SystemExit(1)

    host.app.add_url_rule("/reset/<token>", "reset", leave)
    with pytest.raises(SystemExit):
        host.open(f"/reset/{SECRET}")
    assert SECRET not in repr(host.row())


def test_more_names_of_secrets(make_host: MakeHost) -> None:
    """The list of names can be extended."""
    host = make_host(settings={"STATISTICS_SECRET_NAMES": [*SECRET_NAMES, "iban"]})
    any_path(host)
    host.open(f"/x?iban={SECRET}&token={SECRET}")
    assert SECRET not in repr(host.row())


@pytest.mark.parametrize("name", ["monkey", "author", "keyboard", "passage", "codec", "sidebar"])
def test_names_that_only_resemble_secrets(host: Host, name: str) -> None:
    """A word inside another word is no secret."""
    any_path(host)
    host.open(f"/x?{name}=visible")
    assert host.row()["query_string"] == f"{name}=visible"


def test_secrets_are_not_logged(make_host: MakeHost, caplog: pytest.LogCaptureFixture) -> None:
    """A database that refuses rows does not bring their values into the log."""
    host = make_host()
    any_path(host)
    with host.engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE request"))
    host.open(f"/x?token={SECRET}&q=visible-{SECRET[:0]}value")
    with host.app.app_context():
        assert host.statistics.flush(timeout=1.0) is False
    assert caplog.text != ""
    assert SECRET not in caplog.text
    assert "visible-value" not in caplog.text


@pytest.mark.parametrize(
    "text",
    [
        "no answer of https://x.example/a?b=1&token=geheim",
        "no answer of (https://ann:geheim)1@x.example/)",
        "Max retries exceeded with url: /a?b=1&api_key=geheim (Caused by nothing)",
        "<postgresql://ann:geheim@db/shop>",
    ],
)
def test_secrets_in_an_exception(host: Host, text: str) -> None:
    """URLs in the text of an exception are stored without their secrets."""

    @host.app.route("/fail")
    def fail() -> str:
        raise ValueError(text)

    host.open("/fail")
    exception = host.row()["exception"]
    assert "geheim" not in exception
    assert exception.startswith(f"ValueError('{text[:3]}")


@pytest.mark.parametrize("text", ["a", "a://", "?a=", "//@"])
def test_secrets_are_looked_for_in_linear_time(text: str) -> None:
    """Sixteen times as much of what looks like a URL takes sixteen times as long, not 256."""

    def seconds(repeated: int) -> float:
        began = time.thread_time()
        Secrets(["token"]).redact_text(text * repeated + "?token=geheim")
        return time.thread_time() - began

    few = min(seconds(2**14) for _ in range(3))
    assert seconds(2**18) < 80 * few


@pytest.mark.parametrize("kind", ["constraint", "value"])
def test_a_refused_row_is_not_logged(
    make_host: MakeHost, database_url: str, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """Neither the log nor the status shows what a visitor sent, whatever the database says."""

    def model(db: SQLAlchemy) -> Any:
        unique = {"path": db.Column(db.String(64), unique=True), "number": db.Column(Digits())}
        return type("Request", (RequestMixin, db.Model), unique)

    class Digits(sa.types.TypeDecorator[Any]):
        """Hands a text over where the database wants a number."""

        impl = sa.Integer
        cache_ok = True

        def process_bind_param(self, value: Any, dialect: Any) -> Any:
            return int(value) if value and dialect.name == "sqlite" else value

    statistics = Statistics()
    statistics.field("number")(lambda: request.args.get("number"))
    host = make_host(model=model, url=database_url, statistics=statistics)
    host.app.add_url_rule("/<name>", "any", lambda name: "x")
    if kind == "constraint":
        for _ in range(2):
            host.open("/it's_geheim")
    else:
        host.open("/x?number=geheim")
    with host.app.app_context():
        assert host.statistics.flush() is False
    status = host.app.extensions["statistics"].recorder.status()
    assert status["dropped"] == {"refused by the database": 1}
    assert "Error: " in status["last_error"]
    assert "geheim" not in str(status) + caplog.text
    assert "A request was dropped" in caplog.text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/reset//{SECRET}"),
        ("GET", f"/reset/{SECRET}/"),
        ("POST", f"/reset/{SECRET}/"),
        ("POST", f"/slash/{SECRET}"),
        ("GET", f"/a;jsessionid={SECRET}"),
        ("GET", f"/go/https://user:{SECRET}@example.net/x"),
        ("GET", f"/go/http://x/%3Ftoken={SECRET}"),
    ],
)
def test_a_secret_in_a_path_that_is_almost_a_rule(host: Host, method: str, path: str) -> None:
    """What a redirect, a wrong method, a wrong slash or a catch-all rule saw is redacted too."""
    host.app.add_url_rule("/reset/<token>", "reset", lambda token: "x")
    host.app.add_url_rule("/slash/<token>/", "slash", lambda token: "x")
    host.app.add_url_rule("/go/<path:url>", "go", lambda url: "x")
    host.open(path, method=method)
    assert SECRET not in repr(host.row())


@pytest.mark.parametrize(
    "referrer",
    [
        f"http://localhost/app/reset/{SECRET}",
        f"http://localhost/app/reset/{SECRET}/",
        f"http://localhost/reset/{SECRET}",
        f"https://[x/reset/{SECRET}",
    ],
)
def test_a_secret_in_the_referrer_of_a_mounted_app(host: Host, referrer: str) -> None:
    """The rules are looked up below the prefix at which the app is served."""
    host.app.add_url_rule("/reset/<token>", "reset", lambda token: "x")
    host.open("/x", headers={"Referer": referrer}, environ_overrides={"SCRIPT_NAME": "/app"})
    assert SECRET not in repr(host.row())
