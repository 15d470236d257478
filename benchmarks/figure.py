"""One measured figure, and the table of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

HEAD = ("figure", "measured", "must reach", "baseline of the same run")


@dataclass(frozen=True)
class Figure:
    """What was measured and what it must reach.

    :ivar unit: stands behind the numbers.
    :ivar limit: the most it may be, or the least if :attr:`at_least`.
    :ivar baseline: what was measured beside it, as text.
    """

    name: str
    measured: float
    unit: str
    limit: float
    baseline: str
    at_least: bool = False

    @property
    def is_reached(self) -> bool:
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    def cells(self) -> tuple[str, str, str, str]:
        """Return the texts of its row."""
        sign = "≥" if self.at_least else "≤"
        measured = _number(self.measured, self.unit) + ("" if self.is_reached else " (missed)")
        return self.name, measured, f"{sign} {_number(self.limit, self.unit)}", self.baseline


def _number(value: float, unit: str) -> str:
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 5 else 2
    text = f"{value:,.{digits}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return f"{text} {unit}"


def as_text(figures: Sequence[Figure]) -> str:
    """Return an aligned table for a terminal."""
    rows = [HEAD, *(figure.cells() for figure in figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    lines.insert(1, "  ".join("─" * width for width in widths))
    return "\n".join(lines)


def as_markdown(figures: Sequence[Figure]) -> str:
    """Return the table for ``docs/performance.md``."""
    rows = [HEAD, ("---", "--:", "--:", "---"), *(figure.cells() for figure in figures)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
