"""Cells that a spreadsheet takes for texts, whatever visitors sent.

A cell that begins with one of a few characters is a formula to a spreadsheet, and runs when
somebody opens the file (OWASP, CSV Injection). An apostrophe before it makes it a text. A text
that begins with an apostrophe gets one more, so that taking one away gives back what was stored.
"""

from __future__ import annotations

from typing import Any

from ..asking.figures import json_value

#: What formulas begin with; the wide forms too, which East Asian versions take for the others.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001
_MARKED = (*_FORMULA, "'")


def cell(value: Any) -> str | int | float:
    """Return a value as a cell of CSV: moments as ISO 8601 in UTC; nothing for NULL."""
    value = json_value(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return safe(value) if isinstance(value, str) else value


def safe(text: str) -> str:
    """Return a text that is no formula to a spreadsheet; blanks before one do not hide it."""
    return (
        f"'{text}" if text.lstrip(" \xa0").startswith(_MARKED) or text.startswith(_MARKED) else text
    )


def unsafe(text: str) -> str:
    """Return what :func:`safe` was given."""
    return text[1:] if text.startswith("'") else text
