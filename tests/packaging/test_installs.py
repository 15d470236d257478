"""The wheel, the sdist, three kinds of editable installs and the bare checkout, each for real.

Needs a package index. ``STATISTICS_TEST_SETUPTOOLS="64.0.0 69.0.0 …"`` runs all with each of these
releases; by default with the one that pip chooses.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
NOT_SOURCE = shutil.ignore_patterns(
    ".git", ".venv*", "build", "dist", "*.egg-info", "__pycache__", "instance", "screenshots",
    ".*_cache", "node_modules",
)  # fmt: skip
SETUPTOOLS = os.environ.get("STATISTICS_TEST_SETUPTOOLS", "").split() or [""]
USE = (Path(__file__).parent / "show_dashboard.py").read_text(encoding="utf-8")
EDITABLE = "--config-settings=editable_mode="


class Environment:
    """A virtual environment with a copy of the checkout beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkout = folder / "checkout"
        self.python = folder / "venv" / "bin" / "python"
        self.options: list[str] = []
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
        shutil.copytree(ROOT, self.checkout, ignore=NOT_SOURCE)

    def pip(self, *arguments: str) -> None:
        command = [str(self.python), "-m", "pip", "--disable-pip-version-check", "-q", *arguments]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr

    def build(self, hook: str) -> str:
        """Build with PEP 517's hook; return the file."""
        out = self.folder / hook
        out.mkdir(exist_ok=True)
        code = f"from setuptools import build_meta as b; print(b.{hook}({str(out)!r}))"
        command = [str(self.python), "-c", code]
        ran = subprocess.run(
            command, cwd=self.checkout, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return str(next(out.iterdir()))

    def use(self, folder: Path) -> list[str]:
        """Run an app in ``folder``; return where the package was found, and the statuses."""
        ran = subprocess.run(
            [str(self.python), "-c", USE], cwd=folder, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.splitlines()


@pytest.fixture(scope="module", params=SETUPTOOLS, ids=lambda version: version or "newest")
def environment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    """An environment with everything that the package needs, but not the package."""
    found = Environment(tmp_path_factory.mktemp("environment"))
    found.pip("install", f"setuptools=={request.param}" if request.param else "setuptools", "wheel")
    found.pip("install", str(found.checkout))
    return found


@pytest.mark.parametrize("kind", ["wheel", "sdist", "editable", "compat", "strict", "bare"])
def test_dashboard_and_assets_are_found(
    environment: Environment, kind: str, tmp_path: Path
) -> None:
    """However it was installed, the dashboard and each asset that it names answer 200."""
    checkout, folder = str(environment.checkout), tmp_path
    environment.pip("uninstall", "-y", "flask-statistics")
    install = ["install", "--no-deps", "--no-build-isolation"]
    if kind == "wheel":
        environment.pip(*install, environment.build("build_wheel"))
    elif kind == "sdist":
        environment.pip(*install, environment.build("build_sdist"))
    elif kind == "editable":
        environment.pip(*install, "-e", checkout)
    elif kind in {"compat", "strict"}:
        environment.pip(*install, "-e", checkout, EDITABLE + kind)
    else:
        folder = environment.checkout
    where, statuses = environment.use(folder)
    in_checkout = Path(where).is_relative_to(environment.checkout)
    assert in_checkout == (kind in {"editable", "compat", "strict", "bare"})
    assert set(statuses.split()) == {"200"}
