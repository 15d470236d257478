"""Which endpoints are recorded, and which requests are not."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from flask import Flask

from .wishes import asks_for_privacy

if TYPE_CHECKING:
    from ..state import State

BLUEPRINT = "statistics"


class Selection(dict["str | None", bool]):
    """Whether requests of an endpoint (None: no rule matched) are recorded.

    Decided once for each endpoint. What was said of a view goes before what was said of its
    blueprint, and an inner blueprint before an outer one.
    """

    def __init__(self, app: Flask, state: State) -> None:
        super().__init__()
        self._app = app
        self._state = state
        state.kept = self

    def __missing__(self, endpoint: str | None) -> bool:
        kept = self[endpoint] = self._decide(endpoint)
        return kept

    def _decide(self, endpoint: str | None) -> bool:
        if self._is_own(endpoint):
            return self._state.config.record_own_pages
        said = None if endpoint is None else self._said(endpoint)
        if said is None:
            return self._state.config.include_or_exclude_views == "exclude"
        return said

    def _is_own(self, endpoint: str | None) -> bool:
        if endpoint is None:
            return False
        own = self._state.own_endpoints
        return (
            endpoint.partition(".")[0] == BLUEPRINT
            or endpoint in own
            or (endpoint.rpartition(".")[0] + ".*" in own)
        )

    def _said(self, endpoint: str) -> bool | None:
        declarations = self._state.declarations
        views = list(_wrapped(self._app.view_functions.get(endpoint)))
        for declared, kept in (
            (declarations.excluded_views, False),
            (declarations.included_views, True),
        ):
            if any(view is one for view in views for one in declared):
                return kept
        name = endpoint.rpartition(".")[0]
        while name:
            blueprint = self._app.blueprints.get(name)
            if blueprint is not None and blueprint in declarations.excluded_blueprints:
                return False
            if blueprint is not None and blueprint in declarations.included_blueprints:
                return True
            name = name.rpartition(".")[0]
        return None


class Exclusion:
    """Which requests are not kept, whatever their endpoint.

    :param trouble: called with a message while an exception is handled.
    :ivar may_hold: whether there is anything to look at.
    """

    def __init__(self, app: Flask, state: State, trouble: Callable[[str], None]) -> None:
        self._app = app
        self._trouble = trouble
        self._disable = state.disable_f
        self._excluded_path = any_glob(state.config.exclude_paths)
        self._heeds_wishes = state.config.respect_dnt == "exclude"
        self.may_hold = bool(self._disable or self._excluded_path or self._heeds_wishes)

    def holds(self, path: str, environ: Mapping[str, Any]) -> bool:
        """Whether nothing of the current request is to be kept."""
        if self._excluded_path and self._excluded_path(path):
            return True
        if self._heeds_wishes and asks_for_privacy(environ):
            return True
        if self._disable is None:
            return False
        try:
            return bool(self._app.ensure_sync(self._disable)())
        except Exception:  # noqa: BLE001 - the host's own; the request is served all the same
            self._trouble("disable_f raised, so the request was not recorded")
            return True


def _wrapped(view: Any) -> Iterator[Any]:
    """Yield a view function, what it wraps, and the class behind it."""
    while view is not None:
        yield view
        view_class = getattr(view, "view_class", None)
        if view_class is not None:
            yield from view_class.__mro__
        view = getattr(view, "__wrapped__", None)


def any_glob(globs: Iterable[str]) -> Callable[[str], object] | None:
    """Return what tells whether a path matches one of the globs; None where there are none."""
    patterns = "|".join(fnmatch.translate(glob) for glob in globs)
    return re.compile(patterns).match if patterns else None
