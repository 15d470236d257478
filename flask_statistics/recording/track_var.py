"""``g.track_var``, which a view may fill."""

from __future__ import annotations

from typing import Any

from flask import Flask, has_request_context, request
from flask.ctx import _AppCtxGlobals

from .trace import Trace


class TrackVar:
    """``g.track_var``: a dict of the current request, made when it is asked for first.

    It is kept with the request rather than in ``g``, since requests of one app share ``g`` where
    one is made inside the other, or all inside an outer app context, as in tests.
    """

    def __init__(self, key: str) -> None:
        self._key = key

    def __get__(self, kept: Any, owner: type[Any] | None = None) -> Any:
        trace = self._trace()
        if trace is None:  # no request, or none that is recorded
            if kept.__dict__.get("track_var") is None:
                kept.__dict__["track_var"] = {}
            return kept.__dict__["track_var"]
        if trace.variables is None:
            trace.variables = {}
        return trace.variables

    def __set__(self, kept: Any, value: Any) -> None:
        trace = self._trace()
        if trace is None:
            kept.__dict__["track_var"] = value
        else:
            trace.variables = value

    def __delete__(self, kept: Any) -> None:
        self.__set__(kept, None)

    def _trace(self) -> Trace | None:
        return request.environ.get(self._key) if has_request_context() else None


def give_track_var(app: Flask, key: str) -> None:
    """Let ``g.track_var`` exist in every request, recorded or not."""
    base: type[Any] = app.app_ctx_globals_class

    class Globals(base):  # type: ignore[misc]
        track_var = TrackVar(key)

        def get(self, name: str, default: Any = None) -> Any:
            return self.track_var if name == "track_var" else super().get(name, default)

        def setdefault(self, name: str, default: Any = None) -> Any:
            return self.track_var if name == "track_var" else super().setdefault(name, default)

        def pop(self, name: str, *default: Any) -> Any:
            if name != "track_var":
                return super().pop(name, *default)
            value = self.track_var
            del self.track_var
            return value

        def __contains__(self, item: str) -> bool:
            return item == "track_var" or super().__contains__(item)

    set_attribute, delete_attribute = _attribute_setters(base)
    # To a type checker these are methods that Globals must not replace.
    changed: Any = Globals
    changed.__setattr__, changed.__delattr__ = set_attribute, delete_attribute
    app.app_ctx_globals_class = Globals


def _attribute_setters(base: type[Any]) -> tuple[Any, Any]:
    """Return what sets and deletes attributes, descriptors included.

    Flask's own write into ``__dict__`` past all descriptors; Python's do what they do, and
    faster. Those of a host's class are called for all but ours.
    """
    # To a type checker they are bound to the class.
    set_others: Any = base.__setattr__
    delete_others: Any = base.__delattr__
    flasks: tuple[Any, Any] = (_AppCtxGlobals.__setattr__, _AppCtxGlobals.__delattr__)
    if (set_others, delete_others) == flasks:
        return object.__setattr__, object.__delattr__

    def set_attribute(self: Any, name: str, value: Any) -> None:
        (object.__setattr__ if name == "track_var" else set_others)(self, name, value)

    def delete_attribute(self: Any, name: str) -> None:
        (object.__delattr__ if name == "track_var" else delete_others)(self, name)

    return set_attribute, delete_attribute
