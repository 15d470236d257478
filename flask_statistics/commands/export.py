"""``flask statistics export``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, Any

import click
from flask.cli import with_appcontext

from ..errors import StatisticsError
from ..state import get_state
from .output import clear_errors
from .whom import read_person, read_query, whom_options


@click.command("export")
@whom_options
@click.option("--start", metavar="DATE", help="The first day, such as 2024-01-31 (default: all).")
@click.option("--end", metavar="DATE", help="The last day, included (default: all).")
@click.option("--bots", help="0 without bots, only: bots alone (default: all).")
@click.option("--what", type=click.Choice(["requests", "visits", "events"]), default="requests",
              show_default=True, help="Which rows.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["csv", "jsonl", "parquet"]), default="csv",
              show_default=True, help="CSV, JSON lines or Parquet.")  # fmt: skip
@click.option("--output", default="-", show_default=True, metavar="FILE",
              help="Where to; - is standard output. A file is for its owner only.")  # fmt: skip
@with_appcontext
def command(
    visitor: tuple[str, ...], address: tuple[str, ...], username: tuple[str, ...],
    where: tuple[str, ...], what: Any, form: str, output: str, **period: str | None,
) -> None:  # fmt: skip
    """Write what is stored, of one person or of all, with all its columns.

    In memory that does not grow, the oldest first. Cells of CSV that a spreadsheet would take
    for formulas begin with an apostrophe.
    """
    from ..owning.exporting import make_export
    from ..owning.files import write_rows, written_beside

    with clear_errors():
        state = get_state()
        person = read_person(visitor, address, username)
        export = make_export(state, read_query(state, where, **period), what, person=person)
        if output == "-":
            write_rows(export, form, _standard_output(form))
            return
        with written_beside(Path(output)) as file:
            rows = write_rows(export, form, file)
    click.echo(f"{rows:,} {what} written to {output}.", err=True)


def _standard_output(form: str) -> IO[bytes]:
    if sys.stdout is None:
        raise StatisticsError("Standard output is closed: give --output FILE.")
    if form == "parquet" and sys.stdout.isatty():
        raise StatisticsError("Parquet is nothing to read in a terminal: give --output FILE.")
    return sys.stdout.buffer
