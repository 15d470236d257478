"""Line plots as SVG, without a library."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 640, 360, 60, 40, 110, 50
_COLOURS = ("#1f6feb", "#b35900", "#2e7d32", "#8e24aa")


class Line(NamedTuple):
    """One line: its label, and its points from left to right."""

    label: str
    points: Sequence[tuple[float, float]]


def draw(title: str, across: str, up: str, lines: Sequence[Line]) -> str:
    """Return a plot whose axes begin at 0."""
    most_x = max(x for line in lines for x, _ in line.points)
    most_y = max(y for line in lines for _, y in line.points) * 1.1
    wide, high = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def at(x: float, y: float) -> tuple[float, float]:
        return _LEFT + wide * x / most_x, _TOP + high * (1 - y / most_y)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'font-family="sans-serif" font-size="13"><title>{escape(title)}</title>',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        _text(_LEFT, 22, title), _text(_LEFT + wide / 2, _HEIGHT - 10, across, "middle"),
        _text(8, _TOP - 6, up),
    ]  # fmt: skip
    for number in range(5):
        y = most_y * number / 4
        left, level = at(0, y)
        parts.append(f'<path d="M{left:.0f} {level:.1f}h{wide}" stroke="#ddd"/>')
        parts.append(_text(left - 6, level + 4, f"{y:.2g}", "end"))
    for x in sorted({x for line in lines for x, _ in line.points}):
        parts.append(_text(at(x, 0)[0], _TOP + high + 18, f"{x:g}", "middle"))
    for colour, line in zip(_COLOURS, lines, strict=False):
        places = [at(*point) for point in line.points]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        parts.append(_text(places[-1][0] + 8, places[-1][1] + 4, line.label))
    return "\n".join([*parts, "</svg>", ""])


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
