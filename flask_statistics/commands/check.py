"""``flask statistics check``."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from ..state import get_state
from .output import clear_errors, write


@click.command("check")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text",
              show_default=True)  # fmt: skip
@with_appcontext
@click.pass_context
def command(context: click.Context, /, form: str) -> None:
    """Say what the database lacks: indexes, tables, visits, time limits. Changes nothing.

    Prints a migration that adds the indexes. Exits with 1 where something is lacking that is not
    optional.
    """
    from ..checking import make_check, write_check

    with clear_errors():
        check = make_check(get_state())
        write(write_check(check, form))
    if not check.is_good:
        context.exit(1)
