"""Imports point downward only, and what is written stays small."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "flask_statistics"
#: From top to bottom. A module imports from lower layers, and from its own without a circle.
LAYERS = {
    "what a host imports": {"__init__", "extension"},
    "what people meet": {
        "cli", "commands", "commands.archive", "commands.check", "commands.export",
        "commands.forget", "commands.output", "commands.prune", "commands.totals",
        "commands.visits", "commands.whom", "pages.admin", "pages.dashboard",
    },
    "what an app does": {
        "attending", "checking", "day_rows", "importing", "importing.importer",
        "importing.writing", "owning",
        "owning.exporting", "owning.files", "owning.forgetting", "owning.person", "owning.places",
        "owning.pruning", "owning.pruning_archived", "owning.spreadsheets", "owning.touched_visits",
        "owning.transactions", "pages", "pages.api", "pages.explained", "pages.exporting",
        "pages.failures", "pages.formats", "pages.links", "pages.overview", "pages.panels",
        "pages.permissions", "pages.questions", "pages.rendering", "pages.sections", "recording",
        "recording.capture", "recording.excluding", "recording.host_values", "recording.rebuilding",
        "recording.track_var", "recording.tracking", "report", "status", "totalling", "usage",
    },
    "one app's state": {"state"},
    "storing and asking": {
        "archive.answers", "asking", "asking.answers", "asking.keeping", "asking.prefetching",
        "editing", "recording.batch", "recording.recorder", "recording.storage",
    },
    "parts of these": {
        "archive", "archive.absorbing", "archive.building", "archive.compacting", "archive.counted",
        "archive.covering", "archive.database", "archive.dividing", "archive.erasing",
        "archive.extending", "archive.extracting", "archive.finer_totals", "archive.folder",
        "archive.gathering",
        "archive.lease", "archive.manifest", "archive.opening",
        "archive.partial_visits", "archive.preparing", "archive.reading_rows", "archive.schema",
        "archive.segments", "archive.source", "archive.sources", "archive.totals",
        "archive.verifying", "archive.views", "archive.young", "asking.aggregates", "asking.cells",
        "asking.asked", "asking.columnar", "asking.conditions", "asking.copied",
        "asking.daily_totals", "asking.dimensions", "asking.events", "asking.explaining",
        "asking.limits", "asking.marked_visitors", "asking.percentiles", "asking.ranking",
        "asking.reading", "asking.selection", "asking.sharing", "asking.source",
        "asking.streaming", "asking.totals", "asking.visits", "classic", "importing.access_log",
        "importing.known_lines",
        "importing.lock", "importing.log_file", "keeper", "recording.completeness",
        "recording.connections",
        "recording.enrich", "recording.enrich.bots", "recording.enrich.converting",
        "recording.enrich.keeping", "recording.enrich.own_paths", "recording.enrich.referrers",
        "recording.enrich.user_agents", "recording.event_table", "recording.health",
        "recording.inserting", "recording.known_visits", "recording.lifetime",
        "recording.live_span", "recording.marker",
        "recording.matching", "recording.own_tables", "recording.regrouping", "recording.trace",
        "recording.visit_table", "recording.visitors", "recording.visits", "recording.wishes",
    },
    "what everything stands on": {
        "accepted", "asking.constructs", "asking.duckdb", "asking.figures", "asking.filters",
        "asking.metrics", "asking.period", "asking.properties", "asking.query", "asking.steps",
        "changes", "config",
        "errors", "fields", "importing.media_types", "mixin", "model", "pages._folders", "privacy",
        "recording.event", "recording.plain", "recording.record", "recording.statements",
        "recording.troubles", "tables",
    },
}  # fmt: skip
LEVEL = {module: level for level, modules in enumerate(LAYERS.values()) for module in modules}
#: Modules that know nothing of Flask: values, and what is computed from them.
WITHOUT_FLASK = {
    "asking.aggregates", "asking.answers", "asking.constructs", "asking.explaining",
    "asking.filters", "asking.keeping", "asking.limits", "asking.metrics", "asking.period",
    "asking.query", "asking.selection", "errors", "fields", "privacy", "recording.batch",
    "recording.enrich", "recording.enrich.bots", "recording.enrich.referrers",
    "recording.enrich.user_agents", "recording.health", "recording.inserting", "recording.lifetime",
    "recording.record", "recording.recorder", "recording.visitors",
}  # fmt: skip


def modules() -> dict[str, ast.Module]:
    """Return each module's parsed source."""
    paths = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
        for path in PACKAGE.rglob("*.py")
    }
    return {
        name.removesuffix(".__init__"): ast.parse(path.read_text(encoding="utf-8"))
        for name, path in paths.items()
    }


MODULES = modules()


def imported(name: str) -> Iterator[str]:
    """Yield the modules of ours that a module imports, wherever in it."""
    is_package = (PACKAGE / name.replace(".", "/")).is_dir()
    here = name.split(".") if is_package else name.split(".")[:-1]
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = here[: len(here) - node.level + 1] if name != "__init__" else []
            if node.module:
                yield ".".join([*base, node.module])
            else:
                yield from (".".join([*base, alias.name]) for alias in node.names)


def outside(name: str) -> set[str]:
    """Return the packages of others that a module imports."""
    nodes = list(ast.walk(MODULES[name]))
    plain = {a.name.split(".")[0] for n in nodes if isinstance(n, ast.Import) for a in n.names}
    return plain | {
        (n.module or "").split(".")[0]
        for n in nodes
        if isinstance(n, ast.ImportFrom) and not n.level
    }


def test_each_module_has_a_layer() -> None:
    """A new module is put into one layer."""
    assert set(LEVEL) == set(MODULES)
    assert sum(len(layer) for layer in LAYERS.values()) == len(LEVEL)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_point_downward(name: str) -> None:
    """No module imports from a layer above its own."""
    assert [other for other in imported(name) if LEVEL[other] < LEVEL[name]] == []


def test_imports_have_no_circle() -> None:
    """Modules of one layer do not import each other in a circle."""
    order = TopologicalSorter({name: set(imported(name)) for name in MODULES}).static_order()
    assert set(order) == set(MODULES)


@pytest.mark.parametrize("name", sorted(WITHOUT_FLASK))
def test_core_knows_no_flask(name: str) -> None:
    """What is below the app does not import Flask."""
    assert outside(name) & {"flask", "werkzeug", "jinja2"} == set()


@pytest.mark.parametrize("name", sorted(MODULES))
def test_modules_are_short(name: str) -> None:
    """A module has at most 300 lines, its head and tables included."""
    path = PACKAGE / (name.replace(".", "/") + ".py")
    path = path if path.exists() else PACKAGE / name.replace(".", "/") / "__init__.py"
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= 300


def lengths() -> list[int]:
    """Return the lines of each function's body, without its docstring."""
    found = []
    for module in MODULES.values():
        for node in ast.walk(module):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                found.append((node.end_lineno or 0) - body[0].lineno + 1 if body else 0)
    return found


def test_functions_are_short() -> None:
    """The median function has about seven lines, nine in ten have less than thirty."""
    found = lengths()
    assert statistics.median(found) <= 8
    assert statistics.quantiles(found, n=10)[8] < 30


def test_no_module_is_named_after_nothing() -> None:
    """A name says what a module is for."""
    parts = {part for name in MODULES for part in name.replace(".", "_").split("_")}
    assert parts & {"utils", "util", "helpers", "helper", "manager", "misc", "common"} == set()


@pytest.mark.parametrize("name", sorted(MODULES))
def test_each_module_says_what_it_is(name: str) -> None:
    """Each module has a docstring and `from __future__ import annotations`."""
    module = MODULES[name]
    assert ast.get_docstring(module)
    names = [a.name for n in ast.walk(module) if isinstance(n, ast.ImportFrom) for a in n.names]
    assert "annotations" in names or len(module.body) == 1
