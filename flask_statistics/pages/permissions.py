"""Who may see what.

``before_f`` is asked first, then ``permission_f``. With ``before_f`` alone, whomever it lets
through may do everything. With neither, everything is open under ``app.debug`` and
``app.testing``, ``"view"`` with ``STATISTICS_PUBLIC``, and nothing else.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from flask import current_app, request
from werkzeug.exceptions import HTTPException

from ..state import get_state

Action = Literal["view", "personal", "export", "manage"]
ACTIONS: tuple[Action, ...] = ("view", "personal", "export", "manage")

logger = logging.getLogger("flask_statistics")
_CACHE = "flask_statistics.permissions"


class Refused(Exception):  # noqa: N818 - a decision, not an error
    """Raised when an action is not allowed; the pages answer 403.

    :ivar action: what was to be done.
    """

    def __init__(self, action: str) -> None:
        super().__init__(action)
        self.action = action


class _Entry(NamedTuple):
    """What ``before_f`` answered: nothing, a response, or the exception that it raised."""

    response: Any = None
    exception: HTTPException | None = None
    open: bool = True


def allowed(action: Action) -> bool:
    """Whether the current request may do ``action``. The callbacks are asked once a request."""
    answers = _answers()
    if action not in answers:
        answers[action] = _entry().open and _permitted(action)
    return bool(answers[action])


def require(action: Action) -> None:
    """Go on only where ``action`` is allowed.

    :raises Refused: where it is not.
    """
    if not allowed(action):
        raise Refused(action)


def make_guard(decisions: Mapping[str, Action | None]) -> Callable[[], Any]:
    """Return a function to be called before each request to the pages.

    :param decisions: the action that each endpoint needs; None leaves it open. An endpoint
        without a decision is closed.
    """

    def guard() -> Any:
        endpoint = request.endpoint or ""
        if endpoint in decisions and decisions[endpoint] is None:
            return None
        if (entered := enter()) is not None:
            return entered
        action = decisions.get(endpoint)
        if action is None:
            raise Refused(endpoint)
        return require(action)

    return guard


def enter() -> Any:
    """Ask ``before_f``: return its response, or None to go on.

    :raises HTTPException: that it raised (``abort(401)``).
    :raises Refused: where it failed.
    """
    entry = _entry()
    if entry.exception is not None:
        raise entry.exception
    if not entry.open and entry.response is None:
        raise Refused("view")
    return entry.response


def _answers() -> dict[str, Any]:
    # Not in g: under an app context that a test has pushed, several requests share one.
    answers: dict[str, Any] = request.environ.setdefault(_CACHE, {})
    return answers


def _entry() -> _Entry:
    answers = _answers()
    if "entry" not in answers:
        answers["entry"] = _ask_before_f()
    entry: _Entry = answers["entry"]
    return entry


def _ask_before_f() -> _Entry:
    before_f = get_state().before_f
    if before_f is None:
        return _Entry()
    try:
        response = _awaited(current_app.ensure_sync(before_f)())
    except HTTPException as exception:
        return _Entry(exception=exception, open=False)
    except Exception:
        logger.exception("before_f failed, so the statistics pages stay closed")
        return _Entry(open=False)
    return _Entry(response=response, open=response is None)


def _permitted(action: Action) -> bool:
    state = get_state()
    if state.permission_f is not None:
        return _ask_permission_f(state.permission_f, action)
    if state.before_f is not None or current_app.debug or current_app.testing:
        return True
    return bool(state.config.public) and action == "view"


def _ask_permission_f(permission_f: Callable[[str], Any], action: Action) -> bool:
    try:
        return bool(_awaited(current_app.ensure_sync(permission_f)(action)))
    except HTTPException:
        return False  # abort(403) is a way to say no
    except Exception:
        logger.exception("permission_f(%r) failed, so it is not allowed", action)
        return False


def _awaited(answer: Any) -> Any:
    """Return what a function answers that is not async itself but returns something to await.

    A coroutine is true, so that it would open the pages to everybody.
    """
    if not inspect.isawaitable(answer):
        return answer

    async def wait() -> Any:
        return await answer

    return current_app.ensure_sync(wait)()
