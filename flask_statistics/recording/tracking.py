"""Hands custom events over: with their request, else on their own."""

from __future__ import annotations

from collections.abc import Mapping
from time import time
from typing import TYPE_CHECKING, Any

from flask import has_request_context, request

from .event import take_event
from .record import Tracked
from .trace import Trace
from .troubles import Troubles

if TYPE_CHECKING:
    from ..state import State

_troubles = Troubles()


def track(state: State, name: str, properties: Mapping[str, Any]) -> None:
    """Record an event of the current request, or one outside of requests; never fails."""
    if not state.config.enabled:
        return
    try:
        trace = request.environ.get(state.key) if has_request_context() else None
        if trace is not None and trace.full and not trace.kept:
            _too_many(state, trace)
            return
        event = take_event(time(), name, properties)
        if trace is None:
            state.recorder.put((event.moment, None, None, None, Tracked((event,), alone=True)))
        elif not trace.kept:
            _with_request(state, trace, event)
        elif trace.values is not None:  # in a thread, or a callback of the server
            event = event.anonymous() if trace.anonymous else event
            tracked = Tracked((event,), trace.request_id, alone=True)
            state.recorder.put((trace.date, 0.0, trace.values, trace.what_was_said(), tracked))
    except Exception:
        _troubles.exception("An event was not recorded")


def _with_request(state: State, trace: Trace, event: Any) -> None:
    if (trace.values is not None or not trace.noted) and not trace.track(event):
        _too_many(state, trace)


def _too_many(state: State, trace: Trace) -> None:
    if trace.values is not None or not trace.noted:  # else the request is not recorded
        state.recorder.drop("too many events in a request")
