"""Where rows are: in the host's table alone, or, of days that were pruned, in the archive only."""

from __future__ import annotations

from datetime import datetime

from .. import changes
from ..archive.sources import PRUNED
from ..asking.source import Source, table_source
from ..state import State


def pruned_before(state: State) -> datetime | None:
    """Return the moment before which requests are in the archive only; None where none are."""
    if state.archived is None:
        return None
    with state.engine.connect() as connection:
        value = changes.read_state(connection, state.tables, PRUNED)
    return datetime.fromisoformat(value) if value else None


def whole_source(state: State) -> Source:
    """Return what holds every row: the archive where it must be asked, else the host's table."""
    if state.archived is not None and pruned_before(state):
        return state.archived.source
    return table_source(state.engine, state.model, state.tables)
