"""Finds the folders that are packaged with, but lie beside, this package in its repository."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def packaged_folder(name: str) -> Path:
    """Return the folder in the installed package, else its twin at the root of the checkout.

    An editable install and a bare checkout have only the twin.
    """
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name
