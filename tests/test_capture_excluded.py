"""No row for what the host excludes, opts out, or switches off."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from flask import Blueprint, Flask, abort, g, has_request_context, request
from flask.sessions import SecureCookieSessionInterface
from flask.views import MethodView, View

from flask_statistics import Statistics

if TYPE_CHECKING:
    from tests.conftest import Host

    MakeHost = Callable[..., Host]


def fail() -> Any:
    raise ValueError("boom")


def paths(host: Host) -> list[str]:
    return [row["path"] for row in host.rows()]


# disable_f


def test_a_request_that_opts_out_has_no_row(make_host: MakeHost) -> None:
    """When disable_f() is true nothing of this request is kept; others are."""
    host = make_host(disable_f=lambda: request.args.get("private") == "1")
    host.app.add_url_rule("/x", view_func=lambda: "x")
    host.open("/x?private=1")
    host.open("/x")
    assert [row["query_string"] or "" for row in host.rows()] == [""]


def test_disable_f_is_called_once_a_request_in_its_context(make_host: MakeHost) -> None:
    """disable_f() sees the request, once, whatever the answer is."""
    seen: list[tuple[bool, str]] = []

    def disable() -> bool:
        seen.append((has_request_context(), request.path))
        return False

    host = make_host(disable_f=disable)
    host.app.add_url_rule("/x", view_func=lambda: "x")
    host.app.add_url_rule("/fail", view_func=fail)
    host.app.add_url_rule("/stream", "stream", lambda: iter(["a", "b"]))
    for path in ("/x", "/fail", "/absent", "/stream"):
        host.open(path)
    assert seen == [(True, "/x"), (True, "/fail"), (True, "/absent"), (True, "/stream")]
    assert paths(host) == ["/x", "/fail", "/absent", "/stream"]


@pytest.mark.parametrize("raises", [False, True])
@pytest.mark.parametrize("propagate", [False, True])
def test_disable_f_knows_the_user(make_host: MakeHost, raises: bool, propagate: bool) -> None:
    """disable_f() is called after the view answered or raised, so it knows what the view set."""
    host = make_host(
        disable_f=lambda: g.get("user") == "secret agent",
        settings={"PROPAGATE_EXCEPTIONS": propagate},
    )

    def view(user: str) -> str:
        g.user = user
        if raises:
            raise ValueError("boom")
        return user

    host.app.add_url_rule("/<user>", view_func=view)
    for path in ("/secret agent", "/visitor"):
        if raises and propagate:
            with pytest.raises(ValueError, match="boom"):
                host.open(path)
        else:
            host.open(path)
    assert paths(host) == ["/visitor"]


def test_disable_f_after_an_early_answer(make_host: MakeHost) -> None:
    """An early response of a before_request can be opted out of."""
    host = make_host(disable_f=lambda: True)
    host.app.before_request(lambda: "closed")
    host.open("/x")
    assert host.rows() == []


def test_disable_f_and_what_ends_the_process(make_host: MakeHost) -> None:
    """A request that ends in SystemExit can be opted out of as well."""
    host = make_host(disable_f=lambda: True)

    def view() -> str:
        raise SystemExit(3)

    host.app.add_url_rule("/x", view_func=view)
    with pytest.raises(SystemExit):
        host.open("/x")
    assert host.rows() == []


def test_a_failing_disable_f(make_host: MakeHost, caplog: pytest.LogCaptureFixture) -> None:
    """If disable_f() raises, the request is served, nothing is recorded, and it is logged."""
    host = make_host(disable_f=fail)
    host.app.add_url_rule("/x", view_func=lambda: "served")
    with caplog.at_level(logging.ERROR):
        assert host.open("/x").data == b"served"
    assert host.rows() == []
    (record,) = caplog.records
    assert "disable_f" in record.getMessage()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ValueError)


def test_a_failing_disable_f_is_logged_once_an_interval(
    make_host: MakeHost, caplog: pytest.LogCaptureFixture
) -> None:
    """A hook that fails at every request does not fill the log."""
    host = make_host(disable_f=fail)
    host.app.add_url_rule("/x", view_func=lambda: "served")
    with caplog.at_level(logging.ERROR):
        for _ in range(10):
            host.open("/x")
    assert len(caplog.records) == 1


# Decorators


def test_exclude_below_the_route(host: Host) -> None:
    """@exclude under @app.route keeps the view out, with HEAD and OPTIONS and errors."""

    @host.app.route("/x")
    @host.statistics.exclude
    def view() -> str:
        if "fail" in request.args:
            raise ValueError("boom")
        if "abort" in request.args:
            abort(403)
        return "x"

    for method in ("GET", "HEAD", "OPTIONS"):
        assert host.open("/x", method=method).status_code == 200
    assert host.open("/x?fail=1").status_code == 500
    assert host.open("/x?abort=1").status_code == 403
    assert host.rows() == []


def test_exclude_above_the_route(host: Host) -> None:
    """@exclude over @app.route works as well."""

    @host.statistics.exclude
    @host.app.route("/x")
    def view() -> str:
        return "x"

    assert host.open("/x").data == b"x"
    assert host.rows() == []


def test_exclude_returns_the_view(host: Host) -> None:
    """The decorators return what they were given."""

    def view() -> str:
        return "x"

    assert host.statistics.exclude(view) is view
    assert host.statistics.include(view) is view


def test_exclude_keeps_only_that_view_out(host: Host) -> None:
    """Other views are recorded."""
    host.app.add_url_rule("/x", view_func=host.statistics.exclude(lambda: "x"), endpoint="x")
    host.app.add_url_rule("/y", view_func=lambda: "y", endpoint="y")
    host.open("/x")
    host.open("/y")
    assert paths(host) == ["/y"]


def test_exclude_before_init_app(make_host: MakeHost) -> None:
    """A Statistics of the module decorates views before any app exists."""
    statistics = Statistics()
    blueprint = Blueprint("health", __name__)

    @blueprint.route("/health")
    @statistics.exclude
    def health() -> str:
        return "up"

    def register(app: Flask) -> None:
        app.register_blueprint(blueprint)

    host = make_host(statistics=statistics, before=register)
    assert host.open("/health").data == b"up"
    assert host.rows() == []


def test_exclude_under_another_decorator(host: Host) -> None:
    """A decorator of the host that wraps the view with functools.wraps changes nothing."""

    def login_required(view: Callable[[], str]) -> Callable[[], str]:
        @functools.wraps(view)
        def wrapper() -> str:
            return view()

        return wrapper

    @host.app.route("/x")
    @login_required
    @host.statistics.exclude
    def view() -> str:
        return "x"

    assert host.open("/x").data == b"x"
    assert host.rows() == []


def test_exclude_an_async_view(host: Host) -> None:
    """Coroutines can be excluded."""

    @host.app.route("/x")
    @host.statistics.exclude
    async def view() -> str:
        return "x"

    assert host.open("/x").data == b"x"
    assert host.rows() == []


def test_exclude_a_view_class(host: Host) -> None:
    """A class is excluded by decorating the class."""

    @host.statistics.exclude
    class Hello(View):
        def dispatch_request(self) -> str:
            return "hello"

    host.app.add_url_rule("/x", view_func=Hello.as_view("x"))
    assert host.open("/x").data == b"hello"
    assert host.rows() == []


def test_exclude_a_method_view(host: Host) -> None:
    """A MethodView is excluded with all its methods."""

    @host.statistics.exclude
    class Item(MethodView):
        def get(self) -> str:
            return "got"

        def post(self) -> str:
            return "made"

    host.app.add_url_rule("/x", view_func=Item.as_view("x"))
    host.open("/x")
    host.open("/x", method="POST")
    assert host.rows() == []


def test_exclude_what_as_view_returns(host: Host) -> None:
    """A class is excluded by its view function too, and then only under that name."""

    class Hello(View):
        def dispatch_request(self) -> str:
            return "hello"

    host.app.add_url_rule("/x", view_func=host.statistics.exclude(Hello.as_view("x")))
    host.app.add_url_rule("/y", view_func=Hello.as_view("y"))
    host.open("/x")
    host.open("/y")
    assert paths(host) == ["/y"]


def test_exclude_in_a_views_decorators(host: Host) -> None:
    """A class may name the decorator in its own list."""

    class Hello(View):
        decorators = [host.statistics.exclude]

        def dispatch_request(self) -> str:
            return "hello"

    host.app.add_url_rule("/x", view_func=Hello.as_view("x"))
    host.open("/x")
    assert host.rows() == []


def test_a_subclass_of_an_excluded_class_is_excluded(host: Host) -> None:
    """What holds for a class of views holds for those derived from it."""

    @host.statistics.exclude
    class Internal(View):
        def dispatch_request(self) -> str:
            return "internal"

    class Health(Internal):
        pass

    host.app.add_url_rule("/x", view_func=Health.as_view("x"))
    host.open("/x")
    assert host.rows() == []


@pytest.mark.parametrize("registered", ["before", "after"])
def test_exclude_a_blueprint(host: Host, registered: str) -> None:
    """A blueprint is excluded as a whole, registered before or after that."""
    blueprint = Blueprint("internal", __name__)
    blueprint.add_url_rule("/x", view_func=lambda: "x")
    if registered == "before":
        host.app.register_blueprint(blueprint)
    host.statistics.exclude_blueprint(blueprint)
    if registered == "after":
        host.app.register_blueprint(blueprint)
    host.app.add_url_rule("/y", view_func=lambda: "y")
    host.open("/x")
    host.open("/y")
    assert paths(host) == ["/y"]


def test_exclude_a_blueprint_with_what_is_nested_in_it(host: Host) -> None:
    """A nested blueprint goes with its parent, not the parent with it."""
    parent, child = Blueprint("parent", __name__), Blueprint("child", __name__)
    other, inner = Blueprint("other", __name__), Blueprint("inner", __name__)
    child.add_url_rule("/child", "x", lambda: "child")
    other.add_url_rule("/other", "x", lambda: "other")
    inner.add_url_rule("/inner", "x", lambda: "inner")
    parent.register_blueprint(child)
    other.register_blueprint(inner)
    host.app.register_blueprint(parent)
    host.app.register_blueprint(other)
    host.statistics.exclude_blueprint(parent)
    host.statistics.exclude_blueprint(inner)
    for path in ("/child", "/other", "/inner"):
        assert host.open(path).status_code == 200
    assert paths(host) == ["/other"]


def test_exclude_a_blueprint_under_another_name(host: Host) -> None:
    """A blueprint registered twice is excluded under both names."""
    blueprint = Blueprint("internal", __name__)
    blueprint.add_url_rule("/x", "x", lambda: "x")
    host.app.register_blueprint(blueprint, url_prefix="/a")
    host.app.register_blueprint(blueprint, url_prefix="/b", name="again")
    host.statistics.exclude_blueprint(blueprint)
    host.open("/a/x")
    host.open("/b/x")
    assert host.rows() == []


def test_another_blueprint_of_the_same_name_in_another_app(make_host: MakeHost) -> None:
    """One Statistics for two apps excludes views, not names: a namesake is recorded."""
    statistics = Statistics()
    first, second = make_host(statistics=statistics), make_host(statistics=statistics)
    internal, public = Blueprint("shop", __name__), Blueprint("shop", __name__)
    internal.add_url_rule("/x", "x", lambda: "internal")
    public.add_url_rule("/x", "x", lambda: "public")
    first.app.register_blueprint(internal)
    second.app.register_blueprint(public)
    statistics.exclude_blueprint(internal)
    first.open("/x")
    second.open("/x")
    assert (paths(first), paths(second)) == ([], ["/x"])


# The mode "include"


def test_the_mode_include(make_host: MakeHost) -> None:
    """Only what is included is recorded; what no rule matches is not."""
    host = make_host(settings={"STATISTICS_INCLUDE_OR_EXCLUDE_VIEWS": "include"})

    @host.app.route("/below")
    @host.statistics.include
    def below() -> str:
        return "below"

    @host.statistics.include
    @host.app.route("/above")
    def above() -> str:
        return "above"

    host.app.add_url_rule("/other", view_func=lambda: "other")
    for path in ("/below", "/above", "/other", "/absent"):
        host.open(path)
    assert paths(host) == ["/below", "/above"]


def test_include_a_blueprint_and_a_class(make_host: MakeHost) -> None:
    """Blueprints and classes are included like views."""
    host = make_host(settings={"STATISTICS_INCLUDE_OR_EXCLUDE_VIEWS": "include"})

    @host.statistics.include
    class Hello(View):
        def dispatch_request(self) -> str:
            return "hello"

    blueprint, child = Blueprint("shop", __name__), Blueprint("child", __name__)
    blueprint.add_url_rule("/shop", "x", lambda: "shop")
    child.add_url_rule("/child", "x", lambda: "child")
    blueprint.register_blueprint(child)
    host.app.register_blueprint(blueprint)
    host.app.add_url_rule("/class", view_func=Hello.as_view("hello"))
    host.app.add_url_rule("/other", view_func=lambda: "other")
    host.statistics.include_blueprint(blueprint)
    for path in ("/shop", "/child", "/class", "/other"):
        assert host.open(path).status_code == 200
    assert paths(host) == ["/shop", "/child", "/class"]


def test_include_without_the_mode_changes_nothing(host: Host) -> None:
    """In the mode "exclude" an included view and the others are recorded."""
    host.app.add_url_rule("/x", view_func=host.statistics.include(lambda: "x"), endpoint="x")
    host.app.add_url_rule("/y", view_func=lambda: "y", endpoint="y")
    host.open("/x")
    host.open("/y")
    assert paths(host) == ["/x", "/y"]


def test_an_error_in_an_included_view(make_host: MakeHost) -> None:
    """An included view's errors are recorded."""
    host = make_host(settings={"STATISTICS_INCLUDE_OR_EXCLUDE_VIEWS": "include"})
    host.app.add_url_rule("/x", view_func=host.statistics.include(fail))
    host.open("/x")
    assert host.row()["exception"] == "ValueError('boom')"


# STATISTICS_EXCLUDE_PATHS


def test_an_excluded_view_whose_session_fails(host: Host) -> None:
    """A session backend that is down fails before the rule is matched: excluded as well."""

    class Broken(SecureCookieSessionInterface):
        def open_session(self, app: Flask, request: Any) -> Any:
            raise ValueError("boom")

    host.app.session_interface = Broken()
    host.app.add_url_rule("/x", view_func=host.statistics.exclude(lambda: "x"))
    assert host.open("/x").status_code == 500
    assert host.rows() == []


def test_excluded_paths(make_host: MakeHost) -> None:
    """Globs exclude paths with or without a rule; case counts."""
    host = make_host(
        settings={"STATISTICS_EXCLUDE_PATHS": ["/health", "/assets/*", "*.ico", "/v?/ping"]}
    )
    for path in (
        "/health",
        "/health/",
        "/Health",
        "/assets/a/b.css",
        "/assets",
        "/favicon.ico",
        "/v1/ping",
        "/v10/ping",
        "/x?path=/health",
    ):
        host.open(path)
    assert paths(host) == ["/health/", "/Health", "/assets", "/v10/ping", "/x"]


def test_excluded_paths_hold_for_exceptions(make_host: MakeHost) -> None:
    """An excluded path that fails has no row, re-raised or not."""
    for propagate in (True, False):
        host = make_host(
            settings={"STATISTICS_EXCLUDE_PATHS": ["/x"], "PROPAGATE_EXCEPTIONS": propagate}
        )
        host.app.add_url_rule("/x", view_func=fail)
        if propagate:
            with pytest.raises(ValueError, match="boom"):
                host.open("/x")
        else:
            host.open("/x")
        assert host.rows() == []


# Nothing is done for what is not recorded


@pytest.mark.parametrize("way", ["decorator", "path", "disable_f", "switched off"])
def test_g_track_var_exists_where_nothing_is_recorded(make_host: MakeHost, way: str) -> None:
    """No view of the host breaks because recording is off."""
    settings: dict[str, Any] = {}
    if way == "path":
        settings["STATISTICS_EXCLUDE_PATHS"] = ["/x"]
    if way == "switched off":
        settings["STATISTICS_ENABLED"] = False
    host = make_host(settings=settings, disable_f=(lambda: True) if way == "disable_f" else None)

    def view() -> str:
        g.track_var["color"] = "red"
        host.statistics.track("signup", plan="free")
        return str(g.track_var["color"])

    if way == "decorator":
        host.statistics.exclude(view)
    host.app.add_url_rule("/x", view_func=view)
    assert host.open("/x").data == b"red"
    assert host.rows() == []


@pytest.mark.parametrize("enabled", [True, False])
def test_g_track_var_exists_before_every_hook_of_the_host(
    make_host: MakeHost, enabled: bool
) -> None:
    """A before_request registered before us may fill it, and teardown may read it."""
    seen: list[Any] = []

    def before(app: Flask) -> None:
        @app.before_request
        def fill() -> None:
            g.track_var["early"] = True

        @app.teardown_request
        def read(error: BaseException | None) -> None:
            seen.append(dict(g.track_var))

    host = make_host(before=before, settings={"STATISTICS_ENABLED": enabled})
    host.app.add_url_rule("/x", view_func=lambda: "x")
    assert host.open("/x").status_code == 200
    assert seen == [{"early": True}]


def test_switched_off_there_is_no_thread(make_host: MakeHost) -> None:
    """STATISTICS_ENABLED = False: no row, no thread, flush() has nothing to wait for."""
    before = set(threading.enumerate())
    host = make_host(settings={"STATISTICS_ENABLED": False})
    host.app.add_url_rule("/x", view_func=lambda: "x")
    host.open("/x")
    host.open("/absent")
    assert host.rows() == []
    assert set(threading.enumerate()) <= before


def test_switched_off_the_pages_still_show_old_rows(make_host: MakeHost) -> None:
    """Old rows stay readable."""
    host = make_host(settings={"STATISTICS_ENABLED": False, "TESTING": True})
    assert host.open("/statistics/").status_code == 200


def test_an_excluded_stream_is_not_touched(host: Host) -> None:
    """The body of an excluded view goes to the server as it is."""
    host.app.add_url_rule("/x", view_func=host.statistics.exclude(lambda: iter(["a", "b"])))
    assert host.open("/x").data == b"ab"
    assert host.rows() == []
