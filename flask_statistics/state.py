"""What the extension keeps for one app, under ``app.extensions["statistics"]``."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from flask import Flask, current_app

from .config import Config
from .editing import Edits
from .errors import ConfigurationError
from .model import Model
from .recording.connections import is_shared_memory
from .recording.record import Captured
from .recording.recorder import Recorder
from .recording.storage import Storage
from .tables import Tables

if TYPE_CHECKING:
    from .archive.source import ArchivedRequests
    from .asking.answers import Answers
    from .asking.keeping import Kept
    from .asking.source import Source
    from .keeper import Keeper

EXTENSION = "statistics"

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
    #: Who looks after the archive and the retention.
    keeper: Keeper | None = field(default=None, init=False)

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
        # In memory the salts end with the process, and our commit would be the host's, too.
        if is_shared_memory(self.engine):
            return
        try:
            self._storage.destroy_expired_salts()
        except (sa.exc.SQLAlchemyError, OSError) as error:
            reason = getattr(error, "orig", None) or error
            logger.warning("The expired salts of visitors could not be destroyed: %s", reason)

    @cached_property
    def _storage(self) -> Storage:
        storage = self.make_storage()
        storage.waits = False  # the host may hold a lock in this very request
        return storage

    @property
    def answers(self) -> Answers:
        """The asking half of the host's table."""
        from .asking.answers import Answers
        from .asking.daily_totals import source_with_totals

        edits = self.edits
        if not is_shared_memory(self.engine):  # there our commit would be the host's, too
            edits.say(self._storage.transaction)
            if edits.pending:  # what is kept may be of before
                self.kept_answers.clear()

        def table() -> Source:
            source = source_with_totals(self.engine, self.model, self.tables)
            if is_shared_memory(self.engine) or edits.pending:  # what follows from rows may be old
                return replace(source, visits=None, totals=lambda *_: None)
            return source

        share = self.kept_answers.share
        if self.archived is None:
            return Answers(table, self.model, share)
        from .archive.answers import ArchivedAnswers

        return ArchivedAnswers(self.archived, table, share)

    @cached_property
    def edits(self) -> Edits:
        """What the host does to its requests through its model."""
        return Edits(self.model, self.tables)

    @cached_property
    def archived(self) -> ArchivedRequests | None:
        """The requests of the archive; None where the app has none."""
        if not self.config.archive or is_shared_memory(self.engine):
            return None
        from .archive.opening import archive_of
        from .archive.source import ArchivedRequests

        return ArchivedRequests(archive_of(self), self.engine, self.model, self.tables)

    @cached_property
    def kept_answers(self) -> Kept:
        """What the threads of a process know already, and how long they may ask."""
        from .asking.keeping import Kept

        return Kept(self.engine, self.model, self.tables, self.config.query_timeout)


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
