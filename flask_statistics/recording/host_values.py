"""What the host's own code says of a request: user, variables, fields.

Read in the request's context, after the view. Whatever raises here is logged and changes nothing
else.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flask import Flask, g, request, session

from .plain import PLAIN, plain_text
from .record import LONGEST
from .trace import Trace

if TYPE_CHECKING:
    from ..state import State

#: Characters of the JSON of ``g.track_var`` that may wait in memory.
LONGEST_VARIABLES = 65_536

_current_globals = g._get_current_object


class HostValues:
    """Reads what the host's model has columns for.

    :param trouble: called with a message while an exception is handled.
    """

    def __init__(self, app: Flask, state: State, trouble: Callable[[str], None]) -> None:
        self._app = app
        self._trouble = trouble
        self._callback = state.config.username
        self._fields = state.declarations.fields
        self._of_app = vars(app)  # Flask-Login puts itself there, perhaps later
        self._reads_user = state.model.has("username")
        self._reads_variables = state.model.has("track_var")

    def has_user(self, environ: Any) -> bool:
        """Whether somebody may have said who the user is."""
        return (
            "login_manager" in self._of_app
            or "HTTP_AUTHORIZATION" in environ
            or self._callback is not None
        )

    def take(self, trace: Trace) -> None:
        """Put user, variables and fields into the trace."""
        trace.said = True
        if self._reads_variables and trace.variables:
            trace.track_var = self._variables(trace.variables)
        if self._reads_user:
            trace.username = self._username(_current_globals().__dict__)
        trace.fields = tuple(self._field(name, self._fields[name]) for name in self._fields)

    def _username(self, kept: dict[str, Any]) -> str | None:
        try:
            name = self._callback() if self._callback else _known_user(kept)
        except Exception:
            self._trouble("The user's name could not be read")
            return None
        return None if name is None else str(name)[:LONGEST]

    def _variables(self, variables: Any) -> str | None:
        try:
            text = json.dumps(variables, default=plain_text, skipkeys=True)
        except Exception:
            self._trouble("g.track_var could not be stored as JSON")
            return None
        return text if len(text) <= LONGEST_VARIABLES else None

    def _field(self, name: str, function: Callable[[], Any]) -> Any:
        try:
            value = self._app.ensure_sync(function)()
            value = value if isinstance(value, PLAIN) else str(value)
        except Exception:
            self._trouble(f"The function of the field {name} raised")
            return None
        return value[:LONGEST_VARIABLES] if isinstance(value, str) else value


def _known_user(kept: dict[str, Any]) -> Any:
    # Where Flask-Login keeps the user that the host loaded in this request.
    user = kept.get("_login_user")
    if user is not None and user.is_authenticated:
        # Not by attribute access: that may ask the database through the host's session.
        name = getattr(user, "__dict__", {}).get("username")
        return name if name is not None else session.get("_user_id") or user.get_id()
    given = request.authorization
    return given.username if given and given.type == "basic" else None
