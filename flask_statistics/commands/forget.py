"""``flask statistics forget``."""

from __future__ import annotations

from time import sleep
from typing import TYPE_CHECKING

import click
from flask.cli import with_appcontext

from ..state import State, get_state
from .output import clear_errors, write
from .whom import read_person, read_query, whom_options

if TYPE_CHECKING:
    from ..asking.query import Query
    from ..owning.forgetting import Forgotten, Found
    from ..owning.person import Person


@click.command("forget")
@whom_options
@click.option("--anonymise", is_flag=True,
              help="Keep the requests, with every personal column empty.")  # fmt: skip
@click.option("--everybody", is_flag=True, help="Go on where no request of anybody else is left.")
@click.option("--wait", is_flag=True,
              help="Do it again when other processes have stored theirs.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Count what would be erased, and erase nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_appcontext
def command(
    visitor: tuple[str, ...], address: tuple[str, ...], username: tuple[str, ...],
    where: tuple[str, ...], *, anonymise: bool, everybody: bool, wait: bool, dry_run: bool,
    yes: bool,
) -> None:  # fmt: skip
    """Erase one person: their requests, visits and events, here and in the archive.

    Name them by one kind of option. Somebody has another visitor each day: with --address and
    --username, all that the visitors of these requests did is erased, too.
    """
    from ..owning.forgetting import find, forget

    if sum(map(bool, (visitor, address, username, where))) != 1:
        raise click.UsageError("Name whom by one of --visitor, --address, --username or --where.")
    with clear_errors():
        state = get_state()
        person = read_person(visitor, address, username)
        query = read_query(state, where) if where else None
        _explain(state, person, anonymise=anonymise)
        found = find(state, person, query)
        _say_found(found, dry_run=dry_run, anonymise=anonymise)
        if dry_run or not found:
            return
        if found.is_everybody and not everybody:
            raise click.UsageError(
                "These are all requests that there are: --everybody says that you mean it."
            )
        if not yes:
            click.confirm("This cannot be undone. Go on?", abort=True)
        _say_done(forget(state, found, anonymise=anonymise), anonymise=anonymise)
        if wait:
            _again(state, person, query, anonymise=anonymise)
        _say_what_is_left(state, wait=wait)


def _explain(state: State, person: Person, *, anonymise: bool) -> None:
    from ..owning.person import forms_of

    mask = state.config.mask_ip
    for address in person.addresses if mask else ():
        write(
            f"Addresses are stored masked (STATISTICS_MASK_IP): all who share "
            f"{forms_of(address, mask)[-1]} are meant."
        )


def _say_found(found: Found, *, dry_run: bool, anonymise: bool) -> None:
    would = "would be" if dry_run else "are to be"
    what = "anonymised" if anonymise else "erased"
    days, requests = sorted(found.days), len(found.requests) + len(found.archived)
    when = f" of {len(days):,} days from {days[0]} to {days[-1]} (UTC)" if days else ""
    write(
        f"{requests:,} requests by {len(found.visitors):,} visitors{when} "
        f"{would} {what}, with the events in them and {len(found.events):,} events of theirs."
    )


def _say_done(done: Forgotten, *, anonymise: bool) -> None:
    what = "Anonymised" if anonymise else "Erased"
    requests = done.requests + done.archived
    only = f" ({done.archived:,} of them in the archive only)" if done.archived else ""
    write(f"{what}: {requests:,} requests{only} and {done.events:,} events.")
    hits = "as before" if anonymise else f"{requests:,} less"
    write(
        f"Totals of these days now: hits {hits}, visits {done.visits:,} less; "
        f"{done.changed_visits:,} visits were counted anew."
    )


def _again(state: State, person: Person, query: Query | None, *, anonymise: bool) -> None:
    from ..owning.forgetting import find, forget

    seconds = 2 * state.config.flush_interval + 1
    write(f"Waiting {seconds:g} s for what other processes hold in memory.")
    sleep(seconds)
    _say_done(forget(state, find(state, person, query), anonymise=anonymise), anonymise=anonymise)


def _say_what_is_left(state: State, *, wait: bool) -> None:
    if not wait:
        write(
            "Other processes may hold requests of the last "
            f"{state.config.flush_interval:g} s in memory: --wait, or run it again."
        )
    write(
        "Not reached: other people's requests whose referrer or URL names this person, your own "
        "tables, server logs and backups. A log that is imported again does not bring the "
        "requests back: the hashes of its lines are kept."
    )
