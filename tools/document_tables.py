"""Writes the tables of settings and fields into docs/, from the tables in the code.

``python tools/document_tables.py``; a test says when it has to be run.
"""

from __future__ import annotations

import re
import sys
import textwrap
from datetime import timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import sqlalchemy as sa  # noqa: E402 - after the path was set

from flask_statistics.config import PREFIX, SECRET_NAMES, SETTINGS  # noqa: E402
from flask_statistics.fields import FIELDS  # noqa: E402

DOCUMENTS = ("settings.md", "fields.md", "privacy.md")
_PLACE = re.compile(
    r"(<!-- written by tools/document_tables.py: ([\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL
)


def _default(value: Any) -> str:
    if value is SECRET_NAMES:
        return "the list below"
    if isinstance(value, timedelta):
        return f"`timedelta(days={value.days})`"
    return f"`{value!r}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _type(type_: sa.types.TypeEngine[Any]) -> str:
    length = getattr(type_, "length", None)
    return f"{type(type_).__name__}({length})" if length else type(type_).__name__


def _settings() -> str:
    rows = ["| setting | default | what |", "|---|---|---|"]
    rows += [f"| `{PREFIX}{s.name}` | {_default(s.default)} | {_cell(s.help)} |" for s in SETTINGS]
    return "\n".join(rows)


def _fields() -> str:
    rows = [
        "| column | type in RequestMixin | from | personal | what |",
        "|---|---|---|---|---|",
    ]
    rows += [
        f"| `{f.name}` | {_type(f.type())} | {f.read} | {'yes' if f.personal else ''} "
        f"| {_cell(f.help)} |"
        for f in FIELDS
    ]
    return "\n".join(rows)


def _stored() -> str:
    rows = ["| column | what | can tell about one person |", "|---|---|---|"]
    rows += [
        f"| `{f.name}` | {_cell(f.help)} | {'yes: personal' if f.personal else ''} |"
        for f in sorted(FIELDS, key=lambda field: not field.personal)
    ]
    return "\n".join(rows)


def _secret_names() -> str:
    return textwrap.fill(", ".join(f"`{name}`" for name in SECRET_NAMES), 95) + "."


_TABLES = {
    "settings": _settings,
    "fields": _fields,
    "stored": _stored,
    "secret names": _secret_names,
}


def written(document: str) -> str:
    """Return the document with every table written anew."""
    return _PLACE.sub(lambda found: f"{found[1]}{_TABLES[found[2]]()}\n{found[3]}", document)


def main() -> None:
    """Write the documents."""
    for name in DOCUMENTS:
        file = ROOT / "docs" / name
        file.write_text(written(file.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
