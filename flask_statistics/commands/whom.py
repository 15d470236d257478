"""The options that say whose requests are meant, or which."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..errors import QueryError

if TYPE_CHECKING:
    from ..asking.query import Query
    from ..owning.person import Person
    from ..state import State

Function = TypeVar("Function", bound=Callable[..., Any])
#: The first and the last day of a period that holds every request.
FIRST, LAST = "1900-01-01", "9998-12-30"


def whom_options(function: Function) -> Function:
    """Add ``--visitor``, ``--address``, ``--username`` and ``--where`` to a command."""
    for option in (
        click.option("--where", multiple=True, metavar="DIMENSION=VALUE",
                     help="Requests that a filter of the pages finds, such as 'path=/private/*'; "
                     "of different dimensions all must hold. May be repeated."),
        click.option("--username", multiple=True, metavar="NAME",
                     help="Requests of a user, and of their visitors. May be repeated."),
        click.option("--address", multiple=True, metavar="ADDRESS",
                     help="Requests from an address, and of its visitors. May be repeated."),
        click.option("--visitor", multiple=True, metavar="ID",
                     help="Requests of a visitor, who is one for a day. May be repeated."),
    ):  # fmt: skip
        function = option(function)
    return function


def read_person(visitor: Iterable[str], address: Iterable[str], username: Iterable[str]) -> Person:
    """Return who is named by the options.

    :raises QueryError: for an empty value, which would mean nobody and everybody.
    """
    from ..owning.person import Person

    found = {"visitor": tuple(visitor), "address": tuple(address), "username": tuple(username)}
    for name, values in found.items():
        if not all(value.strip() for value in values):
            raise QueryError(name, "is empty")
    return Person(found["visitor"], found["address"], found["username"])


def read_filters(where: Iterable[str]) -> list[tuple[str, str]]:
    """Return the filters of ``--where`` as parameters of a URL.

    :raises QueryError: for what is none.
    """
    from ..asking.query import PARAMETERS

    pairs = []
    for text in where:
        name, equals, value = text.partition("=")
        if not equals or name in PARAMETERS:
            raise QueryError("where", f"{text[:60]!r} is no filter such as path=/private/*")
        pairs.append((name, value))
    return pairs


@contextmanager
def blaming_where(options: Container[str]) -> Iterator[None]:
    """Say of what cannot be read that ``--where`` has it, unless it is one of the options."""
    try:
        yield
    except QueryError as error:
        if error.parameter == "where" or error.parameter in options:
            raise
        raise QueryError("where", str(error)) from None


def read_query(state: State, where: Iterable[str], **single: str | None) -> Query:
    """Return the query of ``--where`` and of parameters of the pages; of all time by default.

    :raises QueryError: for what cannot be read.
    """
    from ..asking.query import query_from_args

    args = {"start": FIRST, "end": LAST} | {n: v for n, v in single.items() if v is not None}
    with blaming_where(single):
        query, _ = query_from_args(
            [*args.items(), *read_filters(where), ("compare", "none")],
            model_columns=state.model.columns,
            zone=state.config.timezone,
            default_span=state.config.default_date_span,
            now=datetime.now(timezone.utc),
        )
    return query
