"""What is in the wheel and in the sdist, and that the wheel works.

``tests/packaging`` installs them, and the checkout in every editable mode, into fresh
environments; ``.ci/run`` runs it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from email.message import Message
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOT_SOURCE = shutil.ignore_patterns(
    ".git", ".venv*", "build", "dist", "*.egg-info", "__pycache__", "instance", "screenshots",
    ".*_cache", "node_modules",
)  # fmt: skip
BUILD = "import sys; from setuptools import build_meta as b; b.build_{}(sys.argv[1])"
USE = (ROOT / "tests/packaging/show_dashboard.py").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The wheel and the sdist, built from a copy of the checkout."""
    source, out = tmp_path_factory.mktemp("source") / "checkout", tmp_path_factory.mktemp("dist")
    shutil.copytree(ROOT, source, ignore=NOT_SOURCE)
    for kind in ("wheel", "sdist"):
        command = [sys.executable, "-c", BUILD.format(kind), str(out)]
        run = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
    return [next(out.glob("*.whl")), next(out.glob("*.tar.gz"))]


def own_files() -> set[str]:
    """Return the paths that the wheel should hold."""
    package = {p.relative_to(ROOT).as_posix() for p in (ROOT / "flask_statistics").rglob("*.*")}
    pages = {p.relative_to(ROOT).as_posix() for p in (ROOT / "templates").rglob("*.html")}
    licences = {
        p.relative_to(ROOT).as_posix() for p in (ROOT / "flask_statistics").rglob("LICENSE")
    }
    found = package | licences | {f"flask_statistics/{page}" for page in pages}
    return {path for path in found if "__pycache__" not in path}


def test_wheel_holds_every_file(built: list[Path]) -> None:
    """The wheel holds all modules, templates, static and data files, and nothing else."""
    with zipfile.ZipFile(built[0]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == own_files()


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as opened:
        name = next(name for name in opened.namelist() if name.endswith("dist-info/METADATA"))
        return message_from_string(opened.read(name).decode())


def test_metadata(built: list[Path]) -> None:
    """Name, version, licence, Python and the README are in the metadata."""
    found = metadata(built[0])
    assert found["Name"] == "flask-statistics"
    assert re.fullmatch(r"\d+\.\d+\.\d+", str(found["Version"]))
    assert found["License"] == "MIT"
    assert found["Requires-Python"] == ">=3.10"
    assert {"fast", "test", "example"} <= set(found.get_all("Provides-Extra", []))
    assert str(found.get_payload()).startswith("# Flask-Statistics")
    with zipfile.ZipFile(built[0]) as wheel:
        assert any(name.endswith("LICENSE") for name in wheel.namelist())


@pytest.mark.parametrize(
    "path",
    [
        "templates/flask_statistics/dashboard.html",
        "migrations/env.py",
        "migrations/versions",
        "tests/conftest.py",
        "tests/servers",
        "docs/README.md",
        "docs/settings.md",
        "example_app/__init__.py",
        "example_app/templates/shop/base.html",
        "example_app/data/access.log.gz",
        "flask_statistics/pages/static",
        "benchmarks",
        "tools/document_tables.py",
        "README.md",
        "CHANGELOG.md",
        "LICENSE",
    ],
)
def test_sdist_holds_the_checkout(built: list[Path], path: str) -> None:
    """The sdist holds what is needed to build, to test and to read."""
    with tarfile.open(built[1]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert any(name == path or name.startswith(path + "/") for name in names)


def test_installed_wheel_shows_the_dashboard(built: list[Path], tmp_path: Path) -> None:
    """Templates and static files are found where only the wheel was installed."""
    with zipfile.ZipFile(built[0]) as wheel:
        wheel.extractall(tmp_path / "site")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "PYTHONSAFEPATH": "1"}
    run = subprocess.run(
        [sys.executable, "-c", USE],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    where, statuses = run.stdout.splitlines()
    assert where == str(tmp_path / "site" / "flask_statistics" / "__init__.py")
    assert set(statuses.split()) == {"200"}
