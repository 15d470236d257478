"""``flask statistics totals build | drop``."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from ..state import get_state
from .output import clear_errors, write


@click.group("totals")
def command() -> None:
    """Add up the figures of days that are over, so that long ranges are quick.

    The app does so by itself, where STATISTICS_KEEPER is not False and there is no archive.
    """


@command.command("build")
@with_appcontext
def build_command() -> None:
    """Add up the days that are over, the newest first, and those that changed again.

    Each day is read by short questions. If it is interrupted, run it again.
    """
    from ..errors import StatisticsError
    from ..totalling import can_total, total_days

    state = get_state()
    with clear_errors():
        if not can_total(state):
            raise StatisticsError(
                f"The days of {state.model.table.name} cannot be added up: that needs a file or a "
                "server as database, and a column `visitor` with an index that begins with it."
            )
        write(f"Added up {total_days(state):,} days.")


@command.command("drop")
@with_appcontext
def drop_command() -> None:
    """Delete all totals; nothing else is lost, and the pages are slower until they are rebuilt."""
    from ..totalling import drop_totals

    with clear_errors():
        write(f"Deleted the totals of {drop_totals(get_state()):,} days.")
