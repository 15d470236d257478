"""``flask seed``, ``flask demo`` and ``flask create-admin``."""

from __future__ import annotations

import secrets
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from time import perf_counter

import click
import sqlalchemy as sa
from flask import Flask, current_app
from flask.cli import with_appcontext
from flask_migrate import upgrade
from werkzeug.serving import run_simple

from flask_statistics.state import get_state

from .catalogue import fill_shelves
from .extensions import db
from .models import Request, User
from .traffic import made_up_traffic

REAL_LOG = Path(__file__).resolve().parent / "data" / "access.log.gz"
_ROWS_A_TRANSACTION = 5000


def _count_requests() -> int:
    count = db.session.scalar(sa.select(sa.func.count()).select_from(Request))
    db.session.rollback()  # holds no lock while another connection writes
    return count or 0


def store_traffic(app: Flask, *, days: int, seed: int) -> int:
    """Store made-up requests, derived and written as real ones are; return their number."""
    storage = get_state().make_storage()
    now = datetime.now(timezone.utc).replace(tzinfo=None)
    records = made_up_traffic(app, days=days, seed=seed, now=now)
    stored = 0
    while batch := list(islice(records, _ROWS_A_TRANSACTION)):
        rows = storage.derive(batch, live=False)
        with storage.transaction() as connection:
            storage.write(connection, rows, live=False)
        stored += len(rows)
    return stored


@click.command()
@click.option("--days", default=30, show_default=True, help="How many days, today included.")
@click.option("--seed", default=1, show_default=True, help="The same seed, the same requests.")
@click.option("--add", is_flag=True, help="Add to the requests that are there already.")
@with_appcontext
def seed(days: int, seed: int, add: bool) -> None:
    """Fill the statistics with MADE-UP traffic."""
    present = _count_requests()
    if present and not add:
        raise click.ClickException(f"there are {present} requests already; --add adds to them.")
    fill_shelves()
    began = perf_counter()
    stored = store_traffic(current_app, days=days, seed=seed)
    click.secho("These numbers are MADE UP: nobody has visited this shop.", bold=True)
    click.echo(f"Stored {stored} requests of {days} days in {perf_counter() - began:.1f} s.")


@click.command("create-admin")
@click.argument("name")
@with_appcontext
def create_admin(name: str) -> None:
    """Give NAME a new, random password, and the right to see the statistics."""
    click.echo(f"{name}'s password: {_new_password(name)}")


def _new_password(name: str) -> str:
    password = secrets.token_urlsafe(12)
    user = db.session.scalar(sa.select(User).filter_by(username=name))
    if user is None:
        user = User(username=name)
    user.is_admin = True
    user.set_password(password)
    db.session.add(user)
    db.session.commit()
    return password


@click.command()
@click.option("--port", default=5000, show_default=True, help="The port to listen on.")
@click.option("--serve/--no-serve", default=True, help="Set up all and serve, or only set up.")
@click.pass_context
@with_appcontext
def demo(context: click.Context, port: int, serve: bool) -> None:
    """Set up all, fill it with data, and serve the shop on this machine only."""
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    upgrade()
    if not _count_requests():
        context.invoke(seed, days=30, seed=1, add=False)
    click.echo("Importing a real access log of May 2015 …")
    statistics = app.cli.commands["statistics"]
    with statistics.make_context("statistics", ["import", str(REAL_LOG)], parent=context) as group:
        statistics.invoke(group)
    password = _new_password("admin")
    home = f"http://127.0.0.1:{port}"
    pages = home + app.config["STATISTICS_URL_PREFIX"]
    click.secho(f"\nThe last week (made up):   {pages}/", bold=True)
    click.echo(f"May 2015 (a real log):     {pages}/?start=2015-05-17&end=2015-05-20")
    click.echo(f"The shop:                  {home}/")
    click.echo(f"Sign in as admin with:     {password}")
    click.echo("In this demo everybody on this machine may see the statistics. Ctrl-C ends it.\n")
    if serve:
        app.config["DEMO"] = True
        run_simple("127.0.0.1", port, app, threaded=True)
