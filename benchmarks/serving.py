"""Serving requests as a WSGI server does, and timing it."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from statistics import mean
from typing import Any

from .traffic import Environ

Application = Callable[[Environ, Any], Any]


def start_response(status: str, headers: list[tuple[str, str]], error: Any = None) -> None:
    """Take what an app answers, and do nothing with it."""


def serve(application: Application, environ: Environ) -> None:
    """Serve one request: call, send the body, close it."""
    body = application(environ, start_response)
    for _ in body:
        pass
    close = getattr(body, "close", None)
    if close is not None:
        close()


def serve_all(application: Application, environs: list[Environ]) -> None:
    """Serve requests back to back; an environ is freed when its request is over."""
    environs.reverse()
    while environs:
        serve(application, environs.pop())


def interleave(
    applications: Mapping[str, Application],
    make_requests: Callable[[], list[Environ]],
    clock: Callable[[], float],
    rounds: int,
    after_block: Callable[[str], None],
    average: Callable[[list[float]], float] = mean,
) -> dict[str, float]:
    """Return the seconds of a request of each application, by default their mean.

    Small blocks take turns in a random order, so that whatever disturbs the machine disturbs
    all alike.

    :param after_block: called with the name, outside of what is timed.
    """
    order, seeded = list(applications), random.Random(5)
    seconds: dict[str, list[float]] = {name: [] for name in order}
    for turn in range(rounds + 1):
        seeded.shuffle(order)
        for name in order:
            environs = make_requests()
            count = len(environs)
            began = clock()
            serve_all(applications[name], environs)
            taken = (clock() - began) / count
            if turn:  # the first round fills caches and starts threads
                seconds[name].append(taken)
            after_block(name)
    return {name: average(taken) for name, taken in seconds.items()}
