"""Setting up: two apps, one Statistics, wrong orders, wrong models, wrong settings."""

from __future__ import annotations

import gc
import re
import weakref
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from flask import Blueprint, Flask
from flask_sqlalchemy import SQLAlchemy

from flask_statistics import ConfigurationError, RequestMixin, Statistics

if TYPE_CHECKING:
    from tests.conftest import Host

    MakeHost = Callable[..., Host]


def raises(text: str) -> Any:
    """Expect a ConfigurationError with exactly this text."""
    return pytest.raises(ConfigurationError, match=f"^{re.escape(text)}$")


@pytest.fixture
def app() -> Flask:
    app = Flask("shop")
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
    return app


@pytest.fixture
def db(app: Flask) -> SQLAlchemy:
    db = SQLAlchemy()
    db.init_app(app)
    return db


@pytest.fixture
def model(db: SQLAlchemy) -> Any:
    return type("Request", (RequestMixin, db.Model), {})


# The shape of an extension


def test_the_constructor_with_an_app(app: Flask, db: SQLAlchemy, model: Any) -> None:
    """Statistics(app, db, Request) sets up at once."""
    app.add_url_rule("/x", view_func=lambda: "x")
    statistics = Statistics(app, db, model)
    with app.app_context():
        db.create_all()
    app.test_client().get("/x")
    with app.app_context():
        assert statistics.flush() is True
        assert db.session.query(model).one().path == "/x"
        db.session.remove()
        db.engine.dispose()


def test_callbacks_by_position(app: Flask, db: SQLAlchemy, model: Any) -> None:
    """before_f stands fourth, disable_f and permission_f follow."""

    def before() -> None:
        return None

    def disable() -> bool:
        return False

    def permit(action: str) -> bool:
        return True

    Statistics(app, db, model, before, disable, permit)
    state = app.extensions["statistics"]
    assert (state.before_f, state.disable_f, state.permission_f) == (before, disable, permit)


def test_no_state_on_the_instance(make_host: MakeHost) -> None:
    """What is kept for an app is in app.extensions["statistics"]."""
    statistics = Statistics()
    host = make_host(statistics=statistics)
    assert "statistics" in host.app.extensions
    assert not any(value is host.app for value in vars(statistics).values())
    assert not any(value is host.db for value in vars(statistics).values())


def test_two_apps_with_a_statistics_each(make_host: MakeHost) -> None:
    """Two apps in one process do not mix."""
    first, second = make_host(), make_host()
    for host, name in ((first, "first"), (second, "second")):
        host.app.add_url_rule(f"/{name}", view_func=lambda: "x")
        host.open(f"/{name}")
    assert first.row()["path"] == "/first"
    assert second.row()["path"] == "/second"


def test_one_statistics_for_two_apps(make_host: MakeHost) -> None:
    """One object serves two apps, with settings and callbacks of their own."""
    statistics = Statistics()
    first = make_host(statistics=statistics, settings={"STATISTICS_VERSION": "1"})
    second = make_host(
        statistics=statistics,
        settings={"STATISTICS_VERSION": "2", "STATISTICS_URL_PREFIX": "/numbers"},
        disable_f=lambda: False,
    )
    for host in (first, second):
        host.open("/x")
    assert first.row()["version"] == "1"
    assert second.row()["version"] == "2"
    assert first.app.extensions["statistics"] is not second.app.extensions["statistics"]
    assert second.open("/numbers/").status_code == 403


def test_two_apps_with_one_db(tmp_path: Path) -> None:
    """An app factory that is called twice makes two apps of one db and one model."""
    db, statistics = SQLAlchemy(), Statistics()
    model: Any = type("Request", (RequestMixin, db.Model), {})
    apps = []
    for name in ("first", "second"):
        app = Flask(name)
        app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{tmp_path / name}.sqlite"
        db.init_app(app)
        statistics.init_app(app, db, model)
        with app.app_context():
            db.create_all()
        apps.append(app)
    for app in apps:
        app.test_client().get(f"/{app.name}")
    for app in apps:
        with app.app_context():
            assert statistics.flush() is True
            assert [row.path for row in db.session.query(model)] == [f"/{app.name}"]
            db.session.remove()
            app.extensions["statistics"].recorder.stop()
            db.engine.dispose()


def test_flush_of_several_apps_needs_a_context(make_host: MakeHost) -> None:
    """Outside of a context the only app is meant; of two, none."""
    statistics = Statistics()
    first = make_host(statistics=statistics)
    first.open("/x")
    assert statistics.flush() is True
    assert len(first.stored()) == 1
    second = make_host(statistics=statistics)
    with raises(
        "Which app? This Statistics serves several, or none: call it inside `app.app_context()` "
        "of one that it serves."
    ):
        statistics.flush()
    with second.app.app_context():
        assert statistics.flush() is True


def test_context_of_an_app_that_another_one_serves(make_host: MakeHost) -> None:
    """A Statistics asks its own app, also in the context of another's."""
    host, other = make_host(), make_host()
    host.open("/mine")
    host.rows()
    with other.app.app_context():
        assert [usage["path"] for usage in host.statistics.get_usage()] == ["/mine"]
        assert other.statistics.get_usage() == []
        with raises(
            "Which app? This Statistics serves several, or none: call it inside "
            "`app.app_context()` of one that it serves."
        ):
            Statistics().flush()


def test_an_app_can_be_collected(make_host: MakeHost) -> None:
    """A factory that makes app after app, as tests do, leaves no thread and no app behind."""
    app = Flask("short")
    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
    db = SQLAlchemy()
    db.init_app(app)
    statistics = Statistics()
    statistics.init_app(app, db, type("Request", (RequestMixin, db.Model), {}))
    with app.app_context():
        db.create_all()
    app.test_client().get("/x")
    with app.app_context():
        statistics.flush()
        db.engine.dispose()
    reference = weakref.ref(app)
    del app, db
    gc.collect()
    assert reference() is None


def test_defaults_are_set(host: Host) -> None:
    """Settings that the host did not set have their defaults in app.config."""
    assert host.app.config["STATISTICS_URL_PREFIX"] == "/statistics"
    assert host.app.config["STATISTICS_DEFAULT_DATE_SPAN"] == timedelta(days=7)
    assert host.app.config["STATISTICS_INCLUDE_OR_EXCLUDE_VIEWS"] == "exclude"
    assert host.app.config["STATISTICS_FLUSH_INTERVAL"] <= 1


def test_settings_are_read_once(host: Host) -> None:
    """What changes after init_app has no effect."""
    host.app.config["STATISTICS_ENABLED"] = False
    host.open("/x")
    assert len(host.rows()) == 1


def test_init_app_after_the_first_request(app: Flask, db: SQLAlchemy, model: Any) -> None:
    """Too late is an error of Flask or of ours, never silence."""
    app.add_url_rule("/x", view_func=lambda: "x")
    app.test_client().get("/x")
    with pytest.raises((AssertionError, ConfigurationError)):
        Statistics(app, db, model)


# Wrong order, wrong arguments


def test_init_app_twice(app: Flask, db: SQLAlchemy, model: Any) -> None:
    """A second init_app on one app is an error, of the same or another Statistics."""
    statistics = Statistics(app, db, model)
    text = "Statistics was initialised on shop before: call init_app once for each app."
    with raises(text):
        statistics.init_app(app, db, model)
    with raises(text):
        Statistics(app, db, model)


def test_without_model(app: Flask, db: SQLAlchemy, model: Any) -> None:
    """db and model are needed."""
    text = (
        "Statistics needs your db and your model: "
        "`statistics.init_app(app, db, Request)` with `class Request(RequestMixin, db.Model)`."
    )
    with raises(text):
        Statistics().init_app(app)
    with raises(text):
        Statistics().init_app(app, db)
    with raises(text):
        Statistics().init_app(app, None, model)
    with raises(text):
        Statistics(app)


def test_arguments_without_an_app(db: SQLAlchemy, model: Any) -> None:
    """Statistics(db, Request) forgot the app."""
    with raises(f"Statistics needs a Flask app as first argument, not {db!r}."):
        Statistics(db, model)  # type: ignore[arg-type]
    with raises(
        "Statistics got a db or a model but no app: call `Statistics(app, db, Request)`, "
        "or `Statistics()` and later `statistics.init_app(app, db, Request)`."
    ):
        Statistics(None, db, model)


def test_a_db_that_was_not_initialised(app: Flask) -> None:
    """db.init_app(app) comes first."""
    db = SQLAlchemy()
    model = type("Request", (RequestMixin, db.Model), {})
    with raises(
        "Statistics found no Flask-SQLAlchemy on the app: call `db.init_app(app)` "
        "before `statistics.init_app(app, db, Request)`."
    ):
        Statistics(app, db, model)


def test_a_db_that_is_none_of_the_apps(app: Flask, db: SQLAlchemy) -> None:
    """A db that another app was initialised with is a clear error, Flask-SQLAlchemy's or ours."""
    other = SQLAlchemy()
    model = type("Request", (RequestMixin, other.Model), {})
    with pytest.raises(RuntimeError, match="init_app"):
        Statistics(app, other, model)


def test_a_model_of_another_db(app: Flask, db: SQLAlchemy) -> None:
    """db and the model's db must be one."""
    model = type("Request", (RequestMixin, SQLAlchemy().Model), {})
    with pytest.raises(ConfigurationError, match="Request"):
        Statistics(app, db, model)


@pytest.mark.parametrize("not_a_db", [object(), "sqlite://", 5])
def test_a_db_that_is_none(app: Flask, db: SQLAlchemy, model: Any, not_a_db: Any) -> None:
    """db must be a Flask-SQLAlchemy object."""
    with raises(f"Statistics needs your Flask-SQLAlchemy object as `db`, but got {not_a_db!r}."):
        Statistics(app, not_a_db, model)


@pytest.mark.parametrize("not_a_model", [object, "Request", 5, dict, RequestMixin])
def test_a_model_that_is_none(app: Flask, db: SQLAlchemy, not_a_model: Any) -> None:
    """The model must be a mapped class."""
    with raises(
        "Statistics needs a model of yours as third argument, "
        f"such as `class Request(RequestMixin, db.Model): pass`, but got {not_a_model!r}."
    ):
        Statistics(app, db, not_a_model)


def test_an_instance_of_the_model(app: Flask, db: SQLAlchemy, model: Any) -> None:
    """An instance is no model."""
    with pytest.raises(ConfigurationError, match="needs a model of yours as third argument"):
        Statistics(app, db, model())


def test_an_abstract_model(app: Flask, db: SQLAlchemy) -> None:
    """An abstract class has no table."""
    model = type("Base", (RequestMixin, db.Model), {"__abstract__": True})
    with pytest.raises(ConfigurationError, match="needs a model of yours as third argument"):
        Statistics(app, db, model)


@pytest.mark.parametrize("name", ["before_f", "disable_f", "permission_f"])
def test_a_callback_that_cannot_be_called(
    app: Flask, db: SQLAlchemy, model: Any, name: str
) -> None:
    """Callbacks are functions."""
    with raises(f"{name} must be a function or None, not 'yes'."):
        Statistics(app, db, model, **{name: "yes"})  # type: ignore[arg-type]


def test_a_failed_init_app_can_be_repeated(app: Flask, db: SQLAlchemy, model: Any) -> None:
    """An error leaves nothing behind."""
    app.config["STATISTICS_QUEUE_SIZE"] = -1
    with pytest.raises(ConfigurationError):
        Statistics(app, db, model)
    app.config["STATISTICS_QUEUE_SIZE"] = 10
    Statistics(app, db, model)


def test_a_blueprint_of_the_same_name(app: Flask, db: SQLAlchemy, model: Any) -> None:
    """The error says what to rename, and the app is as it was."""
    blueprint = Blueprint("statistics", __name__, url_prefix="/statistics")
    app.register_blueprint(blueprint)
    before = snapshot(app)
    with raises(
        "shop has a blueprint named 'statistics', which is the name of ours: give yours another, "
        "such as `Blueprint('numbers', …)`. Where it serves `/statistics`, set "
        "STATISTICS_URL_PREFIX to another path, too."
    ):
        Statistics(app, db, model)
    assert snapshot(app) == before
    assert app.blueprints == {"statistics": blueprint}


def snapshot(app: Flask) -> dict[str, Any]:
    """Return all that init_app changes on an app."""
    return {
        "extensions": dict(app.extensions),
        "config": dict(app.config),
        "blueprints": dict(app.blueprints),
        "rules": [str(rule) for rule in app.url_map.iter_rules()],
        "commands": sorted(app.cli.commands),
        "globals": app.app_ctx_globals_class,
        "attributes": {name for name in vars(app) if name.startswith(("wsgi", "full", "handle"))},
    }


def test_a_failed_init_app_changes_nothing(app: Flask, db: SQLAlchemy, model: Any) -> None:
    """Neither a wrong setting nor Flask's refusal after the first request leaves a trace."""
    statistics = Statistics()
    app.config["STATISTICS_QUEUE_SIZE"] = -1
    before = snapshot(app)
    with pytest.raises(ConfigurationError):
        statistics.init_app(app, db, model)
    assert snapshot(app) == before
    app.config["STATISTICS_QUEUE_SIZE"] = 10
    app.test_client().get("/x")
    before = snapshot(app)
    with pytest.raises(AssertionError, match="register_blueprint"):
        statistics.init_app(app, db, model)
    assert snapshot(app) == before


# Models that cannot work


def declare(db: SQLAlchemy, **columns: Any) -> Any:
    return type("Request", (db.Model,), columns)


def test_a_model_without_a_date(app: Flask, db: SQLAlchemy) -> None:
    """`date` is needed."""
    model = declare(db, id=db.Column(db.Integer, primary_key=True), path=db.Column(db.String))
    with raises("Request needs a column `date`, such as `date = db.Column(db.DateTime)`."):
        Statistics(app, db, model)


@pytest.mark.parametrize("type_name", ["String", "Date", "Integer"])
def test_a_date_of_another_type(app: Flask, db: SQLAlchemy, type_name: str) -> None:
    """`date` is a moment."""
    column = db.Column(getattr(db, type_name))
    model = declare(db, id=db.Column(db.Integer, primary_key=True), date=column)
    with pytest.raises(ConfigurationError, match=r"^Request\.date must be a DateTime without"):
        Statistics(app, db, model)


def test_a_date_with_a_time_zone(app: Flask, db: SQLAlchemy) -> None:
    """A time zone in the column would shift what is stored."""
    column = db.Column(db.DateTime(timezone=True))
    model = declare(db, id=db.Column(db.Integer, primary_key=True), date=column)
    with pytest.raises(ConfigurationError, match=r"^Request\.date must be a DateTime without"):
        Statistics(app, db, model)


def test_a_primary_key_that_is_no_number(app: Flask, db: SQLAlchemy) -> None:
    """The database must fill the primary key."""
    model = declare(db, id=db.Column(db.String, primary_key=True), date=db.Column(db.DateTime))
    with raises(
        "Request needs one integer primary key, of any name, that the database fills, "
        "such as `id = db.Column(db.Integer, primary_key=True)`."
    ):
        Statistics(app, db, model)


def test_a_primary_key_that_nothing_fills(app: Flask, db: SQLAlchemy) -> None:
    """autoincrement=False needs a default: the error says what to write."""
    key = db.Column(db.Integer, primary_key=True, autoincrement=False)
    model = declare(db, number=key, date=db.Column(db.DateTime))
    with raises(
        "Request.number is a primary key that nothing fills: write "
        "`number = db.Column(db.Integer, primary_key=True)`, without `autoincrement=False` and "
        "without a foreign key, or give it a default."
    ):
        Statistics(app, db, model)


def test_a_primary_key_that_a_default_fills(make_host: MakeHost) -> None:
    """With a default, autoincrement=False is right."""
    numbers = count(7)

    def model(db: SQLAlchemy) -> Any:
        key = db.Column(
            db.Integer, primary_key=True, autoincrement=False, default=lambda: next(numbers)
        )
        return declare(db, id=key, date=db.Column(db.DateTime))

    host = make_host(model=model)
    host.open("/x")
    assert host.row()["id"] == 7


def test_two_primary_keys(app: Flask, db: SQLAlchemy) -> None:
    """One primary key."""
    model = declare(
        db,
        a=db.Column(db.Integer, primary_key=True),
        b=db.Column(db.Integer, primary_key=True),
        date=db.Column(db.DateTime),
    )
    with pytest.raises(ConfigurationError, match=r"^Request needs one integer primary key"):
        Statistics(app, db, model)


def test_a_not_null_column_that_nothing_fills(app: Flask, db: SQLAlchemy) -> None:
    """A column that would refuse every row is named at start."""
    model = type(
        "Request", (RequestMixin, db.Model), {"tenant": db.Column(db.String, nullable=False)}
    )
    with raises(
        "Request.tenant is NOT NULL without a default, and nothing fills it: "
        "make it nullable, give it a default, or fill it with "
        "@statistics.field('tenant') before init_app."
    ):
        Statistics(app, db, model)


def test_a_not_null_column_that_a_field_fills(make_host: MakeHost) -> None:
    """@statistics.field before init_app fills it."""
    statistics = Statistics()
    statistics.field("tenant")(lambda: "acme")

    def make(db: SQLAlchemy) -> Any:
        column = db.Column(db.String(10), nullable=False)
        return type("Request", (RequestMixin, db.Model), {"tenant": column})

    host = make_host(statistics=statistics, model=make)
    host.open("/x")
    assert host.row()["tenant"] == "acme"


def test_not_null_columns_that_we_fill(make_host: MakeHost) -> None:
    """Recorded columns that are NOT NULL never lose a row for want of a value."""

    def make(db: SQLAlchemy) -> Any:
        names = ("referrer", "username", "utm_source", "query_string", "country", "language")
        columns = {name: db.Column(db.String(100), nullable=False) for name in names}
        numbers = {"size": db.Column(db.Integer, nullable=False)}
        return type("Request", (RequestMixin, db.Model), columns | numbers)

    host = make_host(model=make)
    host.open("/x")
    assert host.row()["path"] == "/x"


def test_a_field_that_the_model_lacks(app: Flask, db: SQLAlchemy, model: Any) -> None:
    """@statistics.field of an unknown column is an error, declared before or after."""
    text = (
        "@statistics.field('tenant'): Request has no column of that name; "
        "add it to the model, or correct the name."
    )
    statistics = Statistics()
    statistics.field("tenant")(lambda: "acme")
    with raises(text):
        statistics.init_app(app, db, model)
    late = Statistics(app, db, model)
    with raises(text):
        late.field("tenant")


# Settings


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("ENABLED", "yes", "True or False"),
        ("ENABLED", 1, "True or False"),
        ("PUBLIC", None, "True or False"),
        ("SYNC", "0", "True or False"),
        ("RECORD_OWN_PAGES", 0, "True or False"),
        (
            "DEFAULT_DATE_SPAN",
            7,
            "a datetime.timedelta that is not negative, such as timedelta(days=7)",
        ),
        (
            "DEFAULT_DATE_SPAN",
            timedelta(days=-1),
            "a datetime.timedelta that is not negative, such as timedelta(days=7)",
        ),
        (
            "DEFAULT_DATE_SPAN",
            timedelta(days=99999),
            "a datetime.timedelta of at most 36500 days",
        ),
        *(
            (
                "URL_PREFIX",
                prefix,
                "a path that starts with a slash and does not end with one, such as '/statistics'",
            )
            for prefix in ("statistics", "/statistics/", "", "/", "/a b", "/a?b", "//a", 5, None)
        ),
        ("INCLUDE_OR_EXCLUDE_VIEWS", "both", "'exclude' or 'include'"),
        ("INCLUDE_OR_EXCLUDE_VIEWS", None, "'exclude' or 'include'"),
        ("EXCLUDE_PATHS", "/health", "a list of strings"),
        ("EXCLUDE_PATHS", [1], "a list of strings"),
        ("EXCLUDE_PATHS", None, "a list of strings"),
        ("SECRET_NAMES", "token", "a list of strings"),
        *(
            (
                "MASK_IP",
                mask,
                "None, 'last-octet', 'full', or the prefix lengths to keep, such as (24, 48)",
            )
            for mask in (True, "yes", 24, (24,), (33, 48), (24, 129), (-1, 0), ("24", "48"))
        ),
        ("USERNAME", "ann", "None or a function without arguments that returns a name or None"),
        ("VERSION", 2, "None or a string"),
        ("VERSION", "", "None or a string"),
        ("SITE", ["shop"], "None or a string"),
        *(
            ("FLUSH_INTERVAL", seconds, "seconds between 0.01 and 60")
            for seconds in (0, -1, "1", None, True, float("nan"), float("inf"), 61)
        ),
        *(
            ("QUEUE_SIZE", size, "a whole number between 1 and 10000000")
            for size in (0, -1, "10", 1.5, None, True, 10**9)
        ),
        *(
            (
                "TIMEZONE",
                zone,
                "an IANA time zone such as 'Europe/Berlin' (pip install tzdata if yours is one)",
            )
            for zone in ("Mars/Olympus", "", None, 1, "../../etc/passwd", "/etc/localtime")
        ),
        ("VISIT_TIMEOUT", 0, "seconds between 1 and 86400"),
        ("VISIT_TIMEOUT", "30m", "seconds between 1 and 86400"),
        ("DURABILITY", "disk", "'memory'"),
        ("RESPECT_DNT", True, "None or 'exclude' or 'anonymise'"),
        *(("ARCHIVE", folder, "None, False, True or the path of a folder") for folder in ("", 1)),
        *(
            ("QUERY_TIMEOUT", seconds, "seconds between 0.1 and 3600")
            for seconds in (0, None, "30", float("inf"))
        ),
        *(
            (name, days, "None or a whole number of days between 1 and 36500")
            for name in ("RETENTION_DAYS", "ARCHIVE_RETENTION_DAYS")
            for days in (0, -1, 1.5, True, "90", 40_000)
        ),
        ("KEEPER", "no", "True or False"),
    ],
)
def test_a_setting_with_a_wrong_value(
    app: Flask, db: SQLAlchemy, model: Any, name: str, value: Any, accepted: str
) -> None:
    """The error names the setting, the value and what is accepted."""
    app.config[f"STATISTICS_{name}"] = value
    with raises(f"STATISTICS_{name} is {value!r}, but must be {accepted}."):
        Statistics(app, db, model)


def test_every_setting_refuses_nonsense(app: Flask, db: SQLAlchemy, model: Any) -> None:
    """No setting takes an object that means nothing."""
    from flask_statistics.config import SETTINGS

    for setting in SETTINGS:
        name = f"STATISTICS_{setting.name}"
        app.config[name] = object()
        with pytest.raises(ConfigurationError, match=f"^{name} is <object object at"):
            Statistics(app, db, model)
        app.config[name] = setting.default


def test_a_timedelta_for_seconds(make_host: MakeHost) -> None:
    """Seconds may be a timedelta."""
    host = make_host(settings={"STATISTICS_FLUSH_INTERVAL": timedelta(seconds=1)})
    assert host.app.extensions["statistics"].config.flush_interval == 1.0


def test_a_misspelled_setting(make_host: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A setting that does not exist would else be silently ignored."""
    make_host(settings={"STATISTICS_TIMZONE": "Europe/Berlin"})
    assert [record.getMessage() for record in caplog.records] == [
        "STATISTICS_TIMZONE is no setting of Flask-Statistics: did you mean STATISTICS_TIMEZONE?"
    ]
