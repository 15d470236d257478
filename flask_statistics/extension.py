"""The extension that a host creates."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from datetime import date
from typing import Any, TypeVar

import sqlalchemy as sa
from flask import Blueprint, Flask, current_app
from flask_sqlalchemy import SQLAlchemy

from .attending import attend
from .config import read_config, set_defaults
from .errors import ConfigurationError
from .model import describe_model
from .recording.capture import install
from .recording.excluding import BLUEPRINT
from .recording.matching import OwnRoutes
from .recording.record import Captured
from .recording.recorder import Recorder
from .recording.statements import OWN_STATEMENTS
from .recording.storage import Storage
from .recording.track_var import give_track_var
from .recording.tracking import track
from .state import EXTENSION, Declarations, State, get_state
from .tables import declare_tables

View = TypeVar("View")
FieldFunction = TypeVar("FieldFunction", bound=Callable[[], Any])


class Statistics:
    """Records each request of an app in the host's model and shows them at ``/statistics``.

    Usage::

        statistics = Statistics(app, db, Request)

    or, in an app factory::

        statistics = Statistics()
        statistics.init_app(app, db, Request)

    One object may serve several apps: what it keeps for each is in
    ``app.extensions["statistics"]``.
    """

    def __init__(
        self,
        app: Flask | None = None,
        db: Any = None,
        Request: Any = None,  # noqa: N803 - a class, and the contract's name
        before_f: Callable[[], Any] | None = None,
        disable_f: Callable[[], Any] | None = None,
        permission_f: Callable[[str], Any] | None = None,
    ) -> None:
        self._declarations = Declarations()
        self._states: weakref.WeakSet[State] = weakref.WeakSet()
        if app is not None:
            self.init_app(app, db, Request, before_f, disable_f, permission_f)
        elif db is not None or Request is not None:
            raise ConfigurationError(
                "Statistics got a db or a model but no app: call `Statistics(app, db, Request)`, "
                "or `Statistics()` and later `statistics.init_app(app, db, Request)`."
            )

    def init_app(
        self,
        app: Flask,
        db: Any = None,
        Request: Any = None,  # noqa: N803
        before_f: Callable[[], Any] | None = None,
        disable_f: Callable[[], Any] | None = None,
        permission_f: Callable[[str], Any] | None = None,
    ) -> None:
        """Begin to record ``app``'s requests in ``Request`` and serve the pages.

        :param db: the host's Flask-SQLAlchemy object, after its ``init_app``.
        :param Request: the host's model; the columns that it has are filled.
        :param before_f: called before every request to the pages; None lets it on, anything
            else is the response.
        :param disable_f: called once a request, in its context; true means that nothing of it
            is kept.
        :param permission_f: called with ``"view"``, ``"personal"``, ``"export"`` or
            ``"manage"``; true allows.
        :raises ConfigurationError: with what to change.
        """
        _check_arguments(app, db, Request, before_f=before_f, disable_f=disable_f,
                         permission_f=permission_f)  # fmt: skip
        config, declarations = read_config(app.config), self._declarations
        model = describe_model(db, Request, extra_fields=declarations.fields)
        for name in declarations.fields:
            _check_field(model.attributes, name, model.orm)
        engine = _engine(app, db, model.table)
        tables = declare_tables(model.table.metadata)

        name, own_routes = app.name, OwnRoutes(app)

        def storage() -> Storage:
            return Storage(
                model, tables, engine, config, name, tuple(declarations.fields), own_routes
            )

        captured = Captured(model.columns)
        recorder = Recorder(
            storage, engine, captured.record, queue_size=config.queue_size,
            flush_interval=config.flush_interval, sync=config.sync,
        )  # fmt: skip
        state = State(
            name, config, model, tables, engine, recorder, declarations, captured, storage,
            before_f, disable_f, permission_f,
        )  # fmt: skip
        state.edits.listen()
        if config.enabled:
            _prepare_parser(state)
        # Up to here the app is as it was; what Flask may refuse comes first.
        _register_pages(app, state)
        set_defaults(app)
        app.extensions[EXTENSION] = state
        state.own_paths.add(config.url_prefix)
        attend(app, state)
        self._states.add(state)
        give_track_var(app, state.key)
        if config.enabled:
            install(app, state)

    # ---- what is recorded -----------------------------------------------------------------

    def include(self, view: View) -> View:
        """Record this view: a decorator, above or below ``@app.route``; returns the view."""
        return self._declare(self._declarations.included_views, view)

    def exclude(self, view: View) -> View:
        """Do not record this view: a decorator, above or below ``@app.route``."""
        return self._declare(self._declarations.excluded_views, view)

    def include_blueprint(self, blueprint: Blueprint) -> Blueprint:
        """Record all views of this blueprint and of those nested in it."""
        return self._declare(self._declarations.included_blueprints, blueprint)

    def exclude_blueprint(self, blueprint: Blueprint) -> Blueprint:
        """Record no view of this blueprint nor of those nested in it."""
        return self._declare(self._declarations.excluded_blueprints, blueprint)

    def _declare(self, declared: list[Any], what: View) -> View:
        declared.append(what)
        for state in self._states:
            state.declared()
        return what

    def field(self, name: str) -> Callable[[FieldFunction], FieldFunction]:
        """Fill the column ``name`` with what the decorated function returns.

        The function is called without arguments, once a request, in its context. Where it
        raises, the column stays NULL and the error is logged.

        :raises ConfigurationError: where the model has no such column.
        """
        for state in self._states:
            _check_field(state.model.attributes, name, state.model.orm)

        def declare(function: FieldFunction) -> FieldFunction:
            self._declarations.fields[name] = function
            for state in self._states:
                state.declared()
            return function

        return declare

    def track(self, name: str, **properties: Any) -> None:
        """Record a custom event: in a request as its visitor's, elsewhere as nobody's.

        An event is recorded where its request is. It may be called in every view, also where
        nothing is recorded, and without an app context where one app only is served.

        :param properties: texts, numbers, booleans and None stay, all else becomes text; a number
            ``revenue`` and a ``currency`` of three letters have columns (docs/recording.md).
        :raises TypeError: where ``name`` is no text.
        :raises ConfigurationError: outside of an app, where several are served, or none.
        """
        if not isinstance(name, str) or not name:
            raise TypeError(f"The name of an event must be a text, not {name!r}.")
        track(_current_state(self._states), name, properties)

    # ---- what was recorded ----------------------------------------------------------------

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until all that was recorded before the call is stored.

        :param timeout: seconds.
        :returns: True once it is stored, False where it is not after that time.
        """
        return _current_state(self._states).recorder.flush(timeout)

    def get_usage(
        self,
        start_date: date | None = None,
        end_date: date | None = None,
        limit: int = 500,
        page: int = 1,
    ) -> list[dict[str, Any]]:
        """Return single requests, newest first, in the shape of Flask-Track-Usage.

        :param start_date: the first moment, :class:`datetime.datetime` (UTC) or date.
        :param end_date: the last moment; a date includes its day.
        :param limit: how many at most.
        :param page: counted from 1.
        """
        from .usage import get_usage

        return get_usage(_current_state(self._states), start_date, end_date, limit, page)

    def add_admin_views(self, admin: Any, category: str = "Statistics") -> None:
        """Add the dashboard and a read-only list of requests to a Flask-Admin.

        :raises ConfigurationError: where the admin's app has no Statistics.
        """
        from .pages.admin import add_admin_views

        app = admin.app or current_app
        add_admin_views(get_state(app), admin, category)


def _check_arguments(app: Any, db: Any, model: Any, **callbacks: Any) -> None:
    if not isinstance(app, Flask):
        raise ConfigurationError(f"Statistics needs a Flask app as first argument, not {app!r}.")
    if db is None or model is None:
        raise ConfigurationError(
            "Statistics needs your db and your model: "
            "`statistics.init_app(app, db, Request)` with `class Request(RequestMixin, db.Model)`."
        )
    if EXTENSION in app.extensions:
        raise ConfigurationError(
            f"Statistics was initialised on {app.name} before: call init_app once for each app."
        )
    if BLUEPRINT in app.blueprints:
        raise ConfigurationError(
            f"{app.name} has a blueprint named {BLUEPRINT!r}, which is the name of ours: give "
            "yours another, such as `Blueprint('numbers', …)`. Where it serves `/statistics`, "
            "set STATISTICS_URL_PREFIX to another path, too."
        )
    for name, callback in callbacks.items():
        if callback is not None and not callable(callback):
            raise ConfigurationError(f"{name} must be a function or None, not {callback!r}.")


def _check_field(attributes: dict[str, sa.Column[Any]], name: str, orm: type[Any]) -> None:
    if name not in attributes:
        raise ConfigurationError(
            f"@statistics.field({name!r}): {orm.__name__} has no column of that name; "
            "add it to the model, or correct the name."
        )


def _engine(app: Flask, db: SQLAlchemy, table: sa.Table) -> sa.Engine:
    if "sqlalchemy" not in app.extensions:
        raise ConfigurationError(
            "Statistics found no Flask-SQLAlchemy on the app: call `db.init_app(app)` "
            "before `statistics.init_app(app, db, Request)`."
        )
    bind = table.metadata.info.get("bind_key")
    with app.app_context():
        engines = db.engines
    if bind not in engines:
        raise ConfigurationError(
            f"The model's bind {bind!r} is not among SQLALCHEMY_BINDS or SQLALCHEMY_DATABASE_URI."
        )
    # The same pool; the option tells our statements from those of the host's requests.
    return engines[bind].execution_options(**{OWN_STATEMENTS: True})


def _prepare_parser(state: State) -> None:
    """Build the user-agent parser now: the native one stalls the process for 70 ms, once."""
    if any(state.model.has(name) for name in ("browser", "platform", "device", "bot")):
        from .recording.enrich.user_agents import prepare

        prepare()


def _register_pages(app: Flask, state: State) -> None:
    from .cli import statistics_cli
    from .pages.dashboard import make_blueprint

    app.register_blueprint(make_blueprint(state.config))
    app.cli.add_command(statistics_cli)


def _current_state(states: weakref.WeakSet[State]) -> State:
    """Return the state of the current app, else of the only app that is served."""
    current = current_app.extensions.get(EXTENSION) if current_app else None
    if isinstance(current, State) and current in states:
        return current
    if len(states) == 1:
        return next(iter(states))
    raise ConfigurationError(
        "Which app? This Statistics serves several, or none: call it inside `app.app_context()` "
        "of one that it serves."
    )
