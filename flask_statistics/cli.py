"""The commands: ``flask statistics import | report | status``, and those of ``commands/``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import tzinfo
from importlib import import_module
from time import perf_counter
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from zoneinfo import ZoneInfo

import click
from flask.cli import AppGroup

from .commands import NAMES
from .commands.output import clear_errors, write
from .commands.whom import blaming_where, read_filters
from .errors import ImportRefusedError
from .state import get_state

if TYPE_CHECKING:
    from .importing.importer import Importer, Tally
    from .importing.log_file import LogFile


class _Commands(AppGroup):
    """The commands of this module, and those of :mod:`.commands`, imported when asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *NAMES})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in NAMES:
            return super().get_command(ctx, cmd_name)
        module: Any = import_module(f"{__package__}.commands.{cmd_name}")
        return cast(click.Command, module.command)


statistics_cli = _Commands("statistics", help="Import, show and check the recorded requests.")
_INTERRUPTED = 130  # what shells expect after Ctrl-C
_FORMAT = click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True
)


def _read_zone(context: click.Context, option: click.Parameter, value: str | None) -> tzinfo:
    try:
        return ZoneInfo(value or "UTC")
    except (KeyError, ValueError, OSError):
        raise click.BadParameter(f"{value!r} is no IANA time zone such as Europe/Berlin.") from None


def _check_host(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    if value is not None and (not value.isprintable() or not 0 < len(value) <= 255 or " " in value):
        raise click.BadParameter(f"{value!r} is no host such as example.org.")
    return value


@statistics_cli.command("import")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--tz", "zone", callback=_read_zone, metavar="ZONE",
              help="The time zone of lines whose time has no offset (default: UTC).")  # fmt: skip
@click.option("--host", callback=_check_host, help="The host of lines that name none.")
@click.option("--overlap", is_flag=True,
              help="Import lines of a time that was recorded live, too.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Read and count, but store nothing.")
@click.pass_context
def import_command(context: click.Context, /, files: tuple[str, ...], **options: Any) -> None:
    """Import access logs of Apache or nginx: common or combined, plain, gzip, bz2 or xz.

    FILE is a path, or - for standard input. A line that was imported before is not imported
    again, so that the same file, a file that grew, and files that overlap do no harm.
    """
    from .importing.importer import importing

    failed = False
    with clear_errors(), importing(get_state(), **options) as importer:
        for path in files:
            failed |= not _import_one(context, importer, path, dry_run=options["dry_run"])
    if failed:
        context.exit(1)


def _import_one(context: click.Context, importer: Importer, path: str, *, dry_run: bool) -> bool:
    """Import one log and say what became of it; return whether it went well."""
    from .importing.importer import Tally
    from .report import inert

    tally = Tally()
    name = "standard input" if path == "-" else inert(path)
    trouble = interrupted = None
    try:
        with _open(path) as log, _progress(log, tally, name) as progress:
            importer.read(log, tally, progress)
    except ImportRefusedError as error:
        trouble = f"{name}: {error}"
    except KeyboardInterrupt:
        interrupted = "Interrupted. Run it again to go on: what is stored will be recognised."
    finally:
        _say(name, tally, dry_run=dry_run)
    if interrupted:
        click.echo(interrupted, err=True)
        context.exit(_INTERRUPTED)
    if trouble:
        click.echo(f"Error: {trouble.rstrip('.')}.", err=True)
    return trouble is None


def _open(path: str) -> LogFile:
    from .importing.log_file import LogFile, open_log

    if path == "-":
        if sys.stdin is None:
            raise ImportRefusedError("cannot be read: it is closed")
        return LogFile(cast(BinaryIO, sys.stdin.buffer))
    return open_log(path)


@contextmanager
def _progress(log: LogFile, tally: Tally, name: str) -> Iterator[Any]:
    """Show a bar with the rate and the time left, where somebody looks and the size is known."""
    if log.size is None or not sys.stderr.isatty():
        yield lambda: None
        return
    began = perf_counter()
    progressbar: Any = click.progressbar(
        length=log.size, label=name, file=sys.stderr, show_eta=True,
        item_show_func=lambda _: _rate(tally.read, perf_counter() - began),
    )  # fmt: skip
    with progressbar as bar:
        yield lambda: bar.update(log.position - bar.pos)


def _rate(lines: int, seconds: float) -> str:
    return f"{lines / max(seconds, 1e-6):,.0f} lines/s"


def _say(name: str, tally: Tally, *, dry_run: bool) -> None:
    from .report import inert

    for number, line in tally.shown:
        text = inert(line.decode("utf-8", "backslashreplace"))
        click.echo(f"{name}, line {number} is no line of an access log: {text}", err=True)
    if tally.bad > len(tally.shown):
        more = tally.bad - len(tally.shown)
        click.echo(f"{name}: {more:,} more bad lines are not shown.", err=True)
    if tally.refused_span:
        first, last = tally.refused_span
        click.echo(
            f"{name}: {tally.refused:,} lines from {first} to {last} UTC were refused: requests "
            "of that time were recorded live. --overlap imports them, too.", err=True,
        )  # fmt: skip
    if tally.unfinished:
        click.echo(
            f"{name}: the last line is unfinished; it is imported once it is complete.", err=True
        )
    if tally.read:
        new = "would be new" if dry_run else "new"
        click.echo(
            f"{name}: {tally.read:,} lines read, {tally.new:,} {new}, {tally.known:,} known, "
            f"{tally.bad:,} bad, {tally.refused:,} refused ({_rate(tally.read, tally.seconds)})"
        )


@statistics_cli.command("report")
@click.option("--start", metavar="DATE", help="The first day, such as 2024-01-31.")
@click.option("--end", metavar="DATE", help="The last day, included (default: today).")
@click.option("--compare", metavar="PERIOD", help="previous (default), year, none or START..END.")
@click.option("--bots", help="0 without bots, 1 with bots everywhere, only: bots alone.")
@click.option("--tz", metavar="ZONE", help="The zone of the days (default: STATISTICS_TIMEZONE).")
@click.option("--where", multiple=True, metavar="DIMENSION=VALUE",
              help="A filter of the pages, such as 'path=/blog/*'. May be repeated.")  # fmt: skip
@click.option("--limit", default=10, show_default=True, type=click.IntRange(1, 1000),
              help="Rows of each table.")  # fmt: skip
@_FORMAT
def report_command(form: str, limit: int, where: tuple[str, ...], **options: str | None) -> None:
    """Show the dashboard's numbers in the terminal."""
    from .report import make_report, write_report

    args = [(name, value) for name, value in options.items() if value is not None]
    with clear_errors(), blaming_where(options):
        args += read_filters(where)
        state = get_state()
        write(write_report(make_report(state, args, limit), form))


@statistics_cli.command("status")
@_FORMAT
def status_command(form: str) -> None:
    """Show the recorder's health, and what the table holds."""
    from .status import make_status, write_status

    with clear_errors():
        write(write_status(make_status(get_state()), form))
