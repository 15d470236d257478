"""What the host's own code says of a request: user, variables, fields.

Read in the request's context, after the view. Whatever raises here is logged and changes nothing
else.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from flask import Flask, g, request, session
from sqlalchemy.orm import InstanceState

from .plain import PLAIN, plain_text
from .record import LONGEST
from .trace import Trace

if TYPE_CHECKING:
    from ..state import State

#: Characters of the JSON of ``g.track_var`` that may wait in memory.
LONGEST_VARIABLES = 65_536
#: Users whose name is remembered for requests in which it would have to be loaded again.
REMEMBERED_USERS = 1024

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
        self._names: dict[tuple[type[Any], Any], str] = {}

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
            if self._callback:
                name = self._app.ensure_sync(self._callback)()
            else:
                name = self._known_user(kept)
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
            if isinstance(value, dict | list):
                value = json.dumps(value, default=plain_text, skipkeys=True)
            elif not isinstance(value, PLAIN):
                value = str(value)
        except Exception:
            self._trouble(f"The function of the field {name} raised")
            return None
        return value[:LONGEST_VARIABLES] if isinstance(value, str | bytes) else value

    def _known_user(self, kept: dict[str, Any]) -> Any:
        # Where Flask-Login keeps the user that the host loaded in this request.
        user = kept.get("_login_user")
        if user is not None:
            mapped = sa.inspect(user, raiseerr=False)
            if isinstance(mapped, InstanceState):
                return self._mapped_user(user, mapped)
            if user.is_authenticated:
                name = getattr(user, "__dict__", {}).get("username")
                return name if name is not None else user.get_id()
        given = request.authorization
        return given.username if given and given.type == "basic" else None

    def _mapped_user(self, user: Any, mapped: InstanceState[Any]) -> Any:
        """Return the name of a user of the host's model, without touching its attributes.

        Each may ask the database through the host's session, as all do after its commit.
        """
        number = session.get("_user_id")
        if number is None and mapped.identity is not None:  # of a request_loader
            number = ", ".join(map(str, mapped.identity))
        key = (type(user), mapped.identity or number)
        name = mapped.dict.get("username")
        if name is None:
            return self._names.get(key, number)
        if self._names.get(key) != name:
            if len(self._names) >= REMEMBERED_USERS:
                self._names.clear()
            self._names[key] = str(name)[:LONGEST]
        return name
