"""`g.track_var` is the current request's, however it is reached."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, g
from flask.ctx import _AppCtxGlobals

if TYPE_CHECKING:
    from tests.conftest import Host

    MakeHost = Callable[..., Host]


def tracked(host: Host, view: Callable[[], Any]) -> Any:
    """Return what is stored of a request that runs ``view``."""
    before = len(host.rows())

    def answer() -> str:
        view()
        return "x"

    host.app.add_url_rule(f"/{before}", str(before), answer)
    assert host.open(f"/{before}").status_code == 200
    (row,) = host.rows()[before:]
    return row["track_var"] and json.loads(row["track_var"])


def test_setdefault(host: Host) -> None:
    """g.setdefault() gives the dict that is stored."""
    assert tracked(host, lambda: g.setdefault("track_var", {}).update(a=1)) == {"a": 1}


def test_get_and_in(host: Host) -> None:
    """It is there from the beginning."""

    def view() -> None:
        assert "track_var" in g
        g.get("track_var")["a"] = 1

    assert tracked(host, view) == {"a": 1}


def test_assigned_and_read(host: Host) -> None:
    """What was assigned is read, and what is put into it is stored."""

    def view() -> None:
        g.track_var = {"a": 1}
        g.track_var["b"] = 2
        assert g.get("track_var") == {"a": 1, "b": 2}

    assert tracked(host, view) == {"a": 1, "b": 2}


def test_pop(host: Host) -> None:
    """g.pop() gives what was there and leaves nothing."""

    def view() -> None:
        g.track_var["a"] = 1
        assert g.pop("track_var") == {"a": 1}
        assert g.pop("track_var", None) == {}

    assert tracked(host, view) is None


def test_deleted_after_assignment(host: Host) -> None:
    """del takes away what was assigned."""

    def view() -> None:
        g.track_var = {"a": 1}
        del g.track_var

    assert tracked(host, view) is None


def test_other_names_are_flasks(host: Host) -> None:
    """Everything else of g is as without us."""

    def view() -> None:
        g.a = 1
        assert (g.a, g.pop("a"), g.pop("a", 5), "a" in g) == (1, 1, 5, False)
        assert (g.setdefault("b", 2), g.get("b"), g.get("c", 3), list(g)) == (2, 2, 3, ["b"])
        del g.b
        for take in (lambda: g.b, lambda: delattr(g, "b")):
            with pytest.raises(AttributeError):
                take()
        with pytest.raises(KeyError):
            g.pop("b")

    assert tracked(host, view) is None


def test_setting_attributes_of_g_is_not_slower(host: Host) -> None:
    """Nothing of ours runs where the host sets an attribute of g."""
    assert host.app.app_ctx_globals_class.__setattr__ is object.__setattr__


def test_globals_of_the_host(make_host: MakeHost) -> None:
    """A class of the host for g keeps what it does to attributes."""

    class Loud(_AppCtxGlobals):
        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, f"{value}!")

        def __delattr__(self, name: str) -> None:
            super().__setattr__(name, "deleted")

    def before(app: Flask) -> None:
        app.app_ctx_globals_class = Loud

    def view() -> None:
        g.track_var = {"a": 1}
        g.b = g.c = "x"
        del g.c
        assert (g.b, g.c) == ("x!", "deleted")
        del g.track_var
        g.track_var["d"] = 4

    assert tracked(make_host(before=before), view) == {"d": 4}


def test_requests_inside_an_outer_context(host: Host) -> None:
    """Requests that share g neither see nor lose variables, assigned or filled."""
    views: dict[str, Callable[[], Any]] = {
        "assign": lambda: setattr(g, "track_var", {"a": 1}),
        "fill": lambda: g.track_var.update(b=2),
        "nothing": lambda: None,
    }
    host.app.add_url_rule("/<name>", "any", lambda name: views[name]() or "x")
    with host.app.app_context():
        g.track_var["outer"] = 0
        for name in views:
            host.open(f"/{name}")
        assert g.track_var == {"outer": 0}
    assert [row["track_var"] for row in host.rows()] == ['{"a": 1}', '{"b": 2}', None]


def test_a_secret_of_a_url_in_a_variable(host: Host) -> None:
    """URLs in the strings of variables are stored without their secrets, and stay JSON."""

    def view() -> None:
        g.track_var["next"] = 'a "quoted" https://ann:geheim@x.example/?token=gehéim\\&a=1'
        g.track_var["list"] = [{"https://x.example/?token=geheim": "plain"}]

    found = tracked(host, view)
    assert "geh" not in str(found)
    assert found["next"].startswith('a "quoted" https://REDACTED@x.example/?token=REDACTED')
    assert found["list"] == [{"https://x.example/?token=REDACTED": "plain"}]
