"""``flask statistics archive``: build, status, verify, rebuild and drop the columnar archive."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from time import perf_counter
from typing import TYPE_CHECKING, Any

import click
from flask.cli import AppGroup

from ..state import get_state
from .output import clear_errors, write

if TYPE_CHECKING:
    from ..archive.building import Built

command = AppGroup("archive", help="Build, show, check and remove the columnar archive.")
_WAIT = click.option("--wait", is_flag=True, help="Wait for another process that changes it.")


@command.command("build")
@_WAIT
def build_command(wait: bool) -> None:
    """Bring the archive up to date."""
    from ..archive.schema import prefer_little_memory

    prefer_little_memory()
    from ..archive.building import build

    with clear_errors(), _progress("archived") as progress:
        _say(build(get_state(), wait=wait, progress=progress))


@command.command("rebuild")
@_WAIT
@click.option(
    "--begin-anew",
    is_flag=True,
    help="Also where an archive that cannot be read is the only place of requests: lose them.",
)
def rebuild_command(wait: bool, begin_anew: bool) -> None:
    """Make the archive anew from what the table holds."""
    from ..archive.schema import prefer_little_memory

    prefer_little_memory()
    from ..archive.building import rebuild

    with clear_errors(), _progress("archived") as progress:
        _say(rebuild(get_state(), wait=wait, begin_again=begin_anew, progress=progress))


@command.command("verify")
@click.option("--quick", is_flag=True, help="Check the files alone; do not read the table.")
@click.pass_context
def verify_command(context: click.Context, quick: bool) -> None:
    """Check each file, and compare what it says with the table. Exit status 1 if they differ."""
    from ..archive.verifying import verify

    with clear_errors(), _progress("compared") as progress:
        found = verify(get_state(), quick=quick, progress=progress)
    for problem in found:
        write(problem)
    if found:
        context.exit(1)
    write("The archive is as it should be.")


@command.command("status")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text",
              show_default=True)  # fmt: skip
def status_command(form: str) -> None:
    """Show what the archive holds, and who looks after it."""
    from ..archive.building import differing_columns
    from ..archive.lease import read_lease
    from ..archive.opening import archive_of
    from ..archive.verifying import status

    with clear_errors():
        state = get_state()
        found, lease = status(state), read_lease(state.engine, state.tables)
        manifest = archive_of(state).manifest()
        messages = differing_columns(state, manifest) if manifest else []
    values: dict[str, Any] = asdict(found) | {
        "bytes_a_row": round(found.size / found.rows, 1) if found.rows else None,
        "keeper": lease and {"name": lease[0], "until": lease[1]},
        "messages": messages,
    }
    write(json.dumps(values, default=str, indent=2) if form == "json" else _as_text(values))


def _as_text(values: dict[str, Any]) -> str:
    keeper, changed = values["keeper"], values["changed"]
    lines = [
        ("Folder", values["path"]),
        ("Requests", f"{values['rows']:,} in {values['segments']:,} segments"),
        ("Size", f"{values['size']:,} bytes ({values['bytes_a_row']} a request)"),
        ("From", values["begin"] or "nothing"),
        ("To", f"{values['horizon'] or 'nothing'} UTC; later ones are read from the table"),
        ("Pruned", f"before {values['pruned']} only the archive has them"
         if values["pruned"] else "no; the table holds all"),
        ("Changed since", ", ".join(map(str, changed)) or "no day"),
        ("Old files", values["leftovers"]),
        ("Keeper", f"{keeper['name']} until {keeper['until']} UTC" if keeper else "none"),
    ]  # fmt: skip
    return "\n".join([*(f"{name:14}{value}" for name, value in lines), *values["messages"]])


@command.command("drop")
@click.option("--lose", is_flag=True, help="Also requests that are nowhere else.")
@click.confirmation_option(prompt="Remove the archive?")
def drop_command(lose: bool) -> None:
    """Remove the archive; the table keeps what it holds."""
    from ..archive.building import drop

    with clear_errors():
        drop(get_state(), lose=lose)
    write("The archive is removed.")


def _say(built: Built) -> None:
    manifest = built.manifest
    write(
        f"The archive holds {manifest.rows:,} requests in {len(manifest.segments):,} segments, "
        f"all before {manifest.horizon:%Y-%m-%d %H:%M} UTC."
    )
    for message in built.messages:
        click.echo(message, err=True)


@contextmanager
def _progress(verb: str) -> Iterator[Callable[[int], None]]:
    """Count rows where somebody looks."""
    began, total = perf_counter(), 0

    def show(rows: int) -> None:
        nonlocal total
        total += rows
        if sys.stderr.isatty():
            rate = total / max(perf_counter() - began, 1e-6)
            click.echo(f"\r{total:,} requests {verb} ({rate:,.0f}/s)", err=True, nl=False)

    try:
        yield show
    finally:
        if total and sys.stderr.isatty():
            click.echo(err=True)
