"""Growing from the classic flask-statistics table to RequestMixin's columns, row by row.

Two functions for the migration of a host that does so; ``docs/model.md`` shows where they go.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from .fields import FIELDS
from .recording.enrich.keeping import REMEMBERED, Limits
from .recording.enrich.user_agents import describe_user_agent

_ROWS_AT_ONCE = 5000
#: The date of a row that has none: RequestMixin wants one, and no row is to be lost.
UNKNOWN_DATE = datetime(1970, 1, 1)


def shorten_texts(connection: sa.Connection, table_name: str) -> int:
    """Make every row fit into RequestMixin's columns; call it before they are changed.

    Texts that are too long are cut, with ``…`` as the last character. Rows without a date get
    1 January 1970.

    :returns: how many values were changed.
    """
    table = sa.Table(table_name, sa.MetaData(), autoload_with=connection)
    changed = 0
    for field in FIELDS:
        length = getattr(field.type(), "length", None)
        if length and field.name in table.c:
            column = table.c[field.name]
            cut = sa.func.substr(column, 1, length - 1) + "…"
            too_long = sa.func.char_length(column) > length
            changed += connection.execute(
                table.update().where(too_long).values({column: cut})
            ).rowcount
    undated = table.update().where(table.c.date.is_(None)).values(date=UNKNOWN_DATE)
    return changed + connection.execute(undated).rowcount


def describe_rows(connection: sa.Connection, table_name: str) -> int:
    """Compute ``browser``, ``platform``, ``device`` and ``bot`` of every row from its user agent.

    Those of the columns, and ``browser_version`` and ``platform_version``, that the table has
    are set, whatever they held; call it when the new columns are there. It reads 5,000 rows at
    a time.

    :returns: how many rows there are.
    """
    table = sa.Table(table_name, sa.MetaData(), autoload_with=connection)
    (key,) = table.primary_key.columns
    describe = _describer(table)
    names = describe("")
    change = (
        table.update()
        .where(key == sa.bindparam("_key"))
        .values({name: sa.bindparam(f"_{name}") for name in names})
    )
    page = sa.select(key, table.c.user_agent).order_by(key).limit(_ROWS_AT_ONCE)
    described = 0
    rows = connection.execute(page).all()
    while rows:
        changes = [
            {"_key": number} | {f"_{name}": value for name, value in describe(text).items()}
            for number, text in rows
        ]
        connection.execute(change, changes)
        described += len(rows)
        rows = connection.execute(page.where(key > rows[-1][0])).all()
    return described


def _describer(table: sa.Table) -> Callable[[str | None], dict[str, str | None]]:
    """Return a function from a user agent to the values of the table's columns."""
    limits = Limits({c.name: n for c in table.c if (n := getattr(c.type, "length", None))})

    def whole(column: str, name: str | None, version: str | None) -> str | None:
        split = f"{column}_version" in table.c
        return name if split or not (name and version) else f"{name} {version}"

    @lru_cache(REMEMBERED)
    def describe(user_agent: str | None) -> dict[str, str | None]:
        agent = describe_user_agent(user_agent)
        found: dict[str, Any] = {
            "browser": whole("browser", agent.browser, agent.browser_version),
            "browser_version": agent.browser_version or None,
            "platform": whole("platform", agent.platform, agent.platform_version),
            "platform_version": agent.platform_version or None,
            "device": agent.device,
            "bot": agent.bot,
        }
        return {name: limits.cut(name, text) for name, text in found.items() if name in table.c}

    return describe
