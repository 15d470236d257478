"""``flask statistics prune``."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click
from flask.cli import with_appcontext

from ..state import get_state
from .output import clear_errors, write

if TYPE_CHECKING:
    from ..owning.pruning_archived import Pruned


@click.command("prune")
@click.option("--days", type=click.IntRange(1, 36_500), metavar="N",
              help="Days that are kept (default: STATISTICS_RETENTION_DAYS).")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Count what would be deleted, and delete nothing.")
@with_appcontext
def command(days: int | None, *, dry_run: bool) -> None:
    """Delete requests, visits and events that are older than STATISTICS_RETENTION_DAYS.

    In short transactions, so that the app goes on meanwhile. Days are those of UTC.
    """
    from ..owning.pruning import prune

    with clear_errors():
        pruned = prune(get_state(), days=days, dry_run=dry_run)
    if pruned.before == datetime.min:
        write("Nothing was deleted: the archive holds nothing yet.")
    else:
        write(_said(pruned, dry_run=dry_run))
    if pruned.before < pruned.wanted:
        write(
            "What came from then on stays until the archive holds it: run "
            "`flask statistics archive build`, and this again."
        )


def _said(pruned: Pruned, *, dry_run: bool) -> str:
    said = "Would delete" if dry_run else "Deleted"
    return (
        f"{said} {pruned.requests:,} requests, {pruned.visits:,} visits and "
        f"{pruned.events:,} events from before {pruned.before:%Y-%m-%d} (UTC)."
    )
