"""``flask statistics visits rebuild | verify``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from flask.cli import with_appcontext

from ..state import get_state
from .output import clear_errors, write

if TYPE_CHECKING:
    from ..recording.rebuilding import Difference


@click.group("visits")
def command() -> None:
    """Check and mend the visits that the pages count."""


@command.command("rebuild")
@click.option(
    "--from-start",
    is_flag=True,
    help="Begin anew, also where an interrupted run of the last 24 hours could go on.",
)
@with_appcontext
def rebuild_command(*, from_start: bool) -> None:
    """Work all visits out from the requests and events, and mend what differs.

    In short transactions, so that the app goes on meanwhile. Where all was right, nothing is
    changed. If it is interrupted, run it again: it goes on where it was.
    """
    from ..recording.rebuilding import rebuild

    with clear_errors(), _progress() as progress:
        done = rebuild(get_state(), progress, resume=not from_start)
    write(f"Mended {_counts(done)}. Nothing else had to be changed.")


@command.command("verify")
@click.pass_context
@with_appcontext
def verify_command(context: click.Context) -> None:
    """Count the visits that differ from what the requests and events say; changes nothing.

    Exit code 1 where any does.
    """
    from ..recording.rebuilding import verify

    with clear_errors(), _progress() as progress:
        found = verify(get_state(), progress)
    if found:
        write(f"Wrong: {_counts(found)}. Run `flask statistics visits rebuild`.")
        context.exit(1)
    write(f"All visits of {found.visitors:,} visitors are right.")


def _counts(counted: Difference) -> str:
    return (
        f"the visits of {counted.requests:,} requests and {counted.events:,} events, and "
        f"{counted.visits:,} rows of statistics_visit ({counted.visitors:,} visitors read)"
    )


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """Show how many visitors were read, where somebody looks."""
    if not sys.stderr.isatty():
        yield lambda visitors: None
        return
    try:
        yield lambda visitors: click.echo(f"\r{visitors:,} visitors", err=True, nl=False)
    finally:
        click.echo(err=True)
