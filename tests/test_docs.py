"""The documentation is complete, its tables are the code's, its links lead somewhere, it runs."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import flask
import flask_login
import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

import flask_statistics
from flask_statistics import RequestMixin, Statistics
from flask_statistics.asking.filters import VISIT_DIMENSIONS
from flask_statistics.asking.metrics import METRICS
from flask_statistics.cli import statistics_cli
from flask_statistics.config import PREFIX, SETTINGS
from flask_statistics.fields import FIELDS
from flask_statistics.pages.panels import PANELS, Panel
from flask_statistics.state import get_state

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^( *)<!-- test: (\w+) -->\n *```python\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    """The tool that writes the tables."""
    spec = importlib.util.spec_from_file_location("tables", ROOT / "tools/document_tables.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- complete -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["settings.md", "fields.md", "privacy.md"])
def test_tables_are_the_codes(tables: ModuleType, name: str) -> None:
    """Run `python tools/document_tables.py` when this fails."""
    text = read(f"docs/{name}")
    assert "written by tools/document_tables.py" in text
    assert tables.written(text) == text


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_setting_is_documented(setting: Any) -> None:
    """Each setting has a row in docs/settings.md."""
    assert f"| `{PREFIX}{setting.name}` |" in read("docs/settings.md")


def test_settings_in_the_docs_exist() -> None:
    """No document names a setting that there is not."""
    known = {PREFIX + setting.name for setting in SETTINGS}
    tests_own = re.compile(r"STATISTICS_TEST_\w+")
    for document in DOCUMENTS:
        text = tests_own.sub("", document.read_text(encoding="utf-8"))
        assert set(re.findall(r"STATISTICS_[A-Z_]*[A-Z]", text)) <= known, document.name


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_field_is_documented(field: Any) -> None:
    """Each field has a row in docs/fields.md, marked personal if it is."""
    (row,) = re.findall(rf"^\| `{field.name}` \|.*$", read("docs/fields.md"), re.MULTILINE)
    assert ("| yes |" in row) == field.personal


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_metric_is_documented(metric: Any) -> None:
    """Each metric is explained in docs/metrics.md."""
    assert f"`{metric.name}`" in read("docs/metrics.md")


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield each command with its words, as ``archive build``: those imported late, too."""
    context = click.Context(statistics_cli)
    for name in statistics_cli.list_commands(context):
        command = statistics_cli.get_command(context, name)
        assert command
        yield name, command
        for part, inner in getattr(command, "commands", {}).items():
            yield f"{name} {part}", inner


@pytest.mark.parametrize(("name", "command"), list(commands()), ids=str)
def test_command_is_documented(name: str, command: click.Command) -> None:
    """Each command is in docs/commands.md, and with its options there or in its own document."""
    text = read("docs/commands.md")
    assert f"flask statistics {name.partition(' ')[0]}" in text
    text += read("docs/owning.md") + read("docs/archive.md")
    assert f"statistics {name}" in text
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert any(option in text for option in parameter.opts), parameter.name


@pytest.mark.parametrize("dimension", [*VISIT_DIMENSIONS, "event", "prop.<name>"])
def test_dimension_is_documented(dimension: str) -> None:
    """Each dimension that is no recorded column has a row in docs/query.md."""
    assert re.search(rf"^\|[^|]*`{re.escape(dimension)}`", read("docs/query.md"), re.MULTILINE)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.name)
def test_panel_is_documented(panel: Panel) -> None:
    """docs/dashboard.md lists each panel."""
    text = read("docs/dashboard.md")
    (listed,) = re.findall(r"^- \*\*Panels\*\*:(.*?)\. A click", text, re.DOTALL | re.MULTILINE)
    assert panel.label.lower() in " ".join(listed.split())


@pytest.mark.parametrize(
    "name", [name for name in vars(Statistics) if not name.startswith("_") and name != "init_app"]
)
def test_method_is_documented(name: str) -> None:
    """Each public method of Statistics is named in some document."""
    assert any(f"statistics.{name}" in read(str(document)) for document in DOCUMENTS)


@pytest.mark.parametrize("name", flask_statistics.__all__)
def test_public_name_has_a_docstring(name: str) -> None:
    """Each public name says what it is."""
    assert getattr(flask_statistics, name).__doc__


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_links_lead_somewhere(document: Path) -> None:
    """Each link to a file, and to a heading in it, finds it."""
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, heading = target.partition("#")
        if "://" in target:
            continue
        file = document.parent / path if path else document
        assert file.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", t).lower().replace(" ", "-") for t in titles}


def test_index_names_every_document() -> None:
    """docs/README.md links to each document."""
    index = read("docs/README.md")
    names = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert {name for name in names if f"({name})" not in index} == set()


# ---- runs ---------------------------------------------------------------------------------------


def blocks(document: str) -> list[tuple[str, str]]:
    """Return name and code of each Python block that is marked, without its indentation."""
    return [
        (name, re.sub(rf"^{indent}", "", code, flags=re.MULTILINE))
        for indent, name, code in BLOCK.findall(read(document))
    ]


@pytest.fixture
def names() -> Iterator[dict[str, Any]]:
    """What a block may use: an app, a db, a model; and a function that finishes the host."""
    app = Flask(__name__)
    app.secret_key = "a test's"
    app.config.update(SQLALCHEMY_DATABASE_URI="sqlite://", STATISTICS_SYNC=True)
    db = SQLAlchemy(app)
    yield {**vars(flask), "__name__": "host", "app": app, "db": db}
    with app.app_context():
        db.session.remove()
        db.engine.dispose()


def model(names: dict[str, Any]) -> type[Any]:
    db = names["db"]

    class Request(RequestMixin, db.Model):  # type: ignore[name-defined, misc, unused-ignore]
        tenant = db.Column(db.String(50))

    return Request


def rows(names: dict[str, Any], *columns: str) -> list[tuple[Any, ...]]:
    state = get_state(names["app"])
    with names["app"].app_context():
        query = sa.select(*(state.model.attributes[column] for column in columns))
        return [tuple(row) for row in names["db"].session.execute(query)]


def create_tables(names: dict[str, Any]) -> None:
    with names["app"].app_context():
        names["db"].create_all()


def code(document: str, name: str) -> str:
    (found,) = [code for found, code in blocks(document) if found == name]
    return found


def test_readme_app(names: dict[str, Any]) -> None:
    """The three lines of the README record a request."""
    exec(code("README.md", "app"), names)
    create_tables(names)
    names["app"].test_client().get("/nowhere")
    assert rows(names, "path", "status_code") == [("/nowhere", 404)]


def test_readme_before_f(names: dict[str, Any]) -> None:
    """Strangers get 401, users 403, admins the page."""
    app: Flask = names["app"]
    manager = flask_login.LoginManager(app)

    class User(flask_login.UserMixin):  # type: ignore[misc, unused-ignore]
        def __init__(self, name: str) -> None:
            self.id, self.is_admin = name, name == "admin"

    manager.user_loader(User)

    @app.route("/in/<name>")
    def sign_in(name: str) -> str:
        flask_login.login_user(User(name))
        return name

    names["Request"] = model(names)
    names["Statistics"] = Statistics
    exec(code("README.md", "before_f"), names)
    create_tables(names)
    client = app.test_client()
    assert client.get("/statistics/").status_code == 401
    client.get("/in/ann")
    assert client.get("/statistics/").status_code == 403
    client.get("/in/admin")
    assert client.get("/statistics/").status_code == 200


def test_readme_views(names: dict[str, Any]) -> None:
    """The excluded view gives no row, the field and the variable are stored."""
    names["statistics"] = Statistics(names["app"], names["db"], model(names))
    exec(code("README.md", "views"), names)
    create_tables(names)
    app: Flask = names["app"]

    @app.before_request
    def set_tenant() -> None:
        flask.g.tenant = "acme"

    client = names["app"].test_client()
    assert client.get("/ping").text == "pong"
    client.get("/search?q=green+tea")
    assert client.post("/signup").text == "welcome"
    assert rows(names, "path", "tenant", "track_var") == [
        ("/search", "acme", '{"words": 2}'),
        ("/signup", "acme", None),
    ]
    event = get_state(app).tables.event.c
    with app.app_context():
        found = names["db"].session.execute(sa.select(event.name, event.properties, event.revenue))
        assert [tuple(row) for row in found] == [("signup", '{"plan": "pro"}', 9.0)]


def test_readme_settings(names: dict[str, Any]) -> None:
    """The settings of the README are accepted."""
    exec(code("README.md", "settings"), names)
    Statistics(names["app"], names["db"], model(names))
    config = get_state(names["app"]).config
    assert str(config.timezone) == "Europe/Berlin"
    assert config.mask_ip == (24, 48)


def test_readme_archive(names: dict[str, Any]) -> None:
    """The setting of the README switches the archive on."""
    exec(code("README.md", "archive"), names)
    Statistics(names["app"], names["db"], model(names))
    assert str(get_state(names["app"]).config.archive).endswith("statistics-archive")


@pytest.mark.parametrize(
    ("document", "number"),
    [
        (document, number)
        for document in ("README.md", "docs/model.md")
        for number, (name, _) in enumerate(blocks(document))
        if name in {"model", "classic", "grown"}
    ],
)
def test_documented_model_records(names: dict[str, Any], document: str, number: int) -> None:
    """Each documented model is filled, and its dashboard is shown."""
    exec(blocks(document)[number][1], {**names, "RequestMixin": RequestMixin}, names)
    names["app"].testing = True
    Statistics(names["app"], names["db"], names["Request"])
    create_tables(names)
    client = names["app"].test_client()
    client.get("/nowhere")
    assert len(rows(names, "date")) == 1
    assert client.get("/statistics/").status_code == 200


def test_documented_snippets_run(names: dict[str, Any]) -> None:
    """What deployment.md, privacy.md and fields.md show runs as it stands."""
    names["Statistics"], names["Request"] = Statistics, model(names)
    found = {
        name: text
        for document in ("deployment", "privacy", "fields")
        for name, text in blocks(f"docs/{document}.md")
    }
    for name in ("proxy", "secrets", "opted_out", "field"):
        exec(found.pop(name), names)
    assert found == {}
    create_tables(names)
    client = names["app"].test_client()
    client.get("/a?iban=DE00&token=x", headers={"X-Forwarded-For": "203.0.113.9"})
    client.get("/b", headers={"DNT": "1"})
    assert rows(names, "query_string", "remote_address") == [
        ("iban=REDACTED&token=REDACTED", "203.0.113.9")
    ]


def test_documented_exclusions(names: dict[str, Any]) -> None:
    """What recording.md leaves out gives no row."""
    statistics = names["statistics"] = Statistics()
    exec(code("docs/recording.md", "exclude"), names)
    app, internal = names["app"], names["internal"]
    internal.add_url_rule("/a", view_func=lambda: "a")
    app.register_blueprint(internal)
    statistics.init_app(app, names["db"], model(names))
    create_tables(names)
    client = app.test_client()
    for path in ("/ping", "/internal/a", "/health", "/static/x.css", "/kept"):
        client.get(path)
    assert rows(names, "path") == [("/kept",)]


def test_documented_disable_f(names: dict[str, Any]) -> None:
    """What recording.md's disable_f is true for gives no row."""
    names["Statistics"], names["Request"] = Statistics, model(names)
    exec(code("docs/recording.md", "disable_f"), names)
    create_tables(names)
    client = names["app"].test_client()
    client.get("/a", headers={"X-Monitor": "yes"})
    client.get("/b")
    assert rows(names, "path") == [("/b",)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_python_blocks_compile(document: Path) -> None:
    """Every Python block of every document is Python."""
    text = document.read_text(encoding="utf-8")
    for indent, block in re.findall(r"^( *)```python\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE):
        compile(re.sub(rf"^{indent}", "", block, flags=re.MULTILINE), document.name, "exec")


# ---- the commands of the README -----------------------------------------------------------------


def test_readme_commands_are_what_ci_runs() -> None:
    """`.ci/run` takes the README's two commands from the README."""
    first, second = re.findall(r"^python3 -m venv .*$", read("README.md"), re.MULTILINE)
    assert first.endswith("--app example_app demo")
    assert second.endswith("-m pytest -n auto")
    assert "python3 -m venv " in read(".ci/run")
