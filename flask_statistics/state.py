"""What the extension keeps for one app, under ``app.extensions["statistics"]``."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from flask import Flask, current_app

from .config import Config
from .errors import ConfigurationError
from .model import Model
from .recording.connections import is_shared_memory
from .recording.record import Captured
from .recording.recorder import Recorder
from .recording.storage import Storage
from .tables import Tables

if TYPE_CHECKING:
    from .asking.answers import Answers

EXTENSION = "statistics"
_HOUR = 3600.0

logger = logging.getLogger("flask_statistics")


@dataclass
class Declarations:
    """What the decorators of one ``Statistics`` declared, for every app that it serves."""

    included_views: list[Any] = field(default_factory=list)
    excluded_views: list[Any] = field(default_factory=list)
    included_blueprints: list[Any] = field(default_factory=list)
    excluded_blueprints: list[Any] = field(default_factory=list)
    fields: dict[str, Callable[[], Any]] = field(default_factory=dict)


@dataclass(eq=False)
class State:
    """One app's configuration, model, recorder and callbacks."""

    app_name: str
    config: Config
    model: Model
    tables: Tables
    engine: sa.Engine
    recorder: Recorder
    declarations: Declarations
    captured: Captured
    make_storage: Callable[[], Storage]
    before_f: Callable[[], Any] | None = None
    disable_f: Callable[[], Any] | None = None
    permission_f: Callable[[str], Any] | None = None
    #: Endpoints of ours outside of our blueprint (Flask-Admin's views).
    own_endpoints: set[str] = field(default_factory=set)
    #: The paths below which all is ours.
    own_paths: set[str] = field(default_factory=set)
    #: Which endpoints are recorded, as far as that was worked out.
    kept: dict[str | None, bool] = field(default_factory=dict)
    #: Until when expired salts are not looked for, by the monotonic clock.
    _salts_kept_until: float = field(default=-math.inf, init=False)

    @property
    def key(self) -> str:
        """Where the trace of a request stands in environ; each mounted app has its own."""
        return f"flask_statistics.{id(self):x}"

    def declared(self) -> None:
        """Work out anew what follows from the declarations."""
        self.kept.clear()
        self.recorder.renew_storage()

    def destroy_expired_salts(self) -> None:
        """Destroy what visitors were computed from, at most once an hour; never fails.

        The recorder does so too, but only where requests are recorded.
        """
        now = monotonic()
        # In memory the salts end with the process, and our commit would be the host's, too.
        if now < self._salts_kept_until or is_shared_memory(self.engine):
            return
        self._salts_kept_until = now + _HOUR
        storage = self.make_storage()
        storage.waits = False  # the host may hold a lock in this very request
        try:
            storage.destroy_expired_salts()
        except (sa.exc.SQLAlchemyError, OSError) as error:
            reason = getattr(error, "orig", None) or error
            logger.warning("The expired salts of visitors could not be destroyed: %s", reason)

    @property
    def answers(self) -> Answers:
        """The asking half of the host's table."""
        from .asking.answers import Answers

        return Answers(lambda: self.engine, self.model)


def get_state(app: Flask | None = None) -> State:
    """Return the state of ``app``, by default of the current one.

    :raises ConfigurationError: where the app has no Statistics.
    """
    app = app or current_app
    state = app.extensions.get(EXTENSION)
    if not isinstance(state, State):
        raise ConfigurationError(
            f"{app.name} has no Statistics: call `Statistics(app, db, Request)` "
            "or `statistics.init_app(app, db, Request)` first."
        )
    return state
