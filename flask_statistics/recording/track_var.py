"""``g.track_var``, which a view may fill."""

from __future__ import annotations

from typing import Any

from flask import Flask, has_request_context, request

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

    def put(self, kept: Any, value: Any) -> None:
        trace = self._trace()
        if trace is None:
            kept.__dict__["track_var"] = value
        else:
            trace.variables = value

    def _trace(self) -> Trace | None:
        return request.environ.get(self._key) if has_request_context() else None


def give_track_var(app: Flask, key: str) -> None:
    """Let ``g.track_var`` exist in every request, recorded or not."""
    variable = TrackVar(key)

    class Globals(app.app_ctx_globals_class):  # type: ignore[misc, name-defined]
        track_var = variable

        def __setattr__(self, name: str, value: Any) -> None:
            if name == "track_var":
                variable.put(self, value)
            else:
                super().__setattr__(name, value)

        def __delattr__(self, name: str) -> None:
            if name == "track_var":
                variable.put(self, None)
            else:
                super().__delattr__(name)

        def get(self, name: str, default: Any = None) -> Any:
            return self.track_var if name == "track_var" else super().get(name, default)

        def __contains__(self, item: str) -> bool:
            return item == "track_var" or super().__contains__(item)

    app.app_ctx_globals_class = Globals
