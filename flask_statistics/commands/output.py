"""How commands say what they did, and what went wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from ..errors import QueryError, StatisticsError


def write(text: str) -> None:
    """Write text; what the terminal's encoding lacks is escaped, never an error."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding))


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turn errors that a user can mend into messages."""
    import sqlalchemy as sa

    try:
        yield
    except QueryError as error:
        _, _, message = str(error).partition(": ")
        hint = f"--{error.parameter}"
        raise click.BadParameter(message, param_hint=hint) from None
    except StatisticsError as error:
        raise click.ClickException(str(error)) from None
    except BrokenPipeError:
        raise  # whoever read what we write has gone; click ends quietly
    except (sa.exc.SQLAlchemyError, OSError) as error:
        raise click.ClickException(_database_message(error)) from None


def _database_message(error: Exception) -> str:
    from ..report import inert

    reason = inert(str(getattr(error, "orig", None) or error))
    return f"The database failed: {reason} (Is it there, and did `flask db upgrade` run?)"
