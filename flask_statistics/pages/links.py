"""The URLs of our pages: the whole state of a page is in its query string."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from urllib.parse import quote, urlencode

from flask import current_app, request

from ..asking.filters import Filter, read_filter
from ..asking.query import PARAMETERS
from ..errors import QueryError
from ..fields import BY_NAME

#: Parameters of the pages beside those of queries: the table of URLs by ``route`` or ``path``,
#: and whether to show how the page is answered.
OWN_PARAMETERS = frozenset({"by", "explain"})
_SAFE = "/:*!,@"


def endpoint_url(endpoint: str, **values: str) -> str:
    """Return the path of an endpoint, ``SCRIPT_NAME`` included.

    Unlike ``url_for`` it does not ask the host's ``url_defaults``: a default that they add to
    every URL would be an unknown parameter here.
    """
    adapter = current_app.create_url_adapter(request)
    if adapter is None:
        raise RuntimeError("There are links only in a request.")
    url = adapter.build(endpoint, values, force_external=False)
    # Werkzeug quotes the path, but not what the server has put before it.
    return quote(adapter.script_name.rstrip("/"), safe=_SAFE) + url[len(adapter.script_name) - 1 :]


def value_argument(value: object) -> str:
    """Return a dimension's value as a filter writes it; none is the empty text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _can_be_asked(condition: Filter) -> bool:
    try:
        read_filter(condition, BY_NAME)
    except QueryError:  # a value that is too long, or holds what is never stored
        return False
    return True


@dataclass(frozen=True)
class Links:
    """Links from a page to other views of the same data.

    :ivar root: the path of the dashboard, with a slash at its end.
    :ivar here: the path of this page.
    :ivar args: the parameters of this page, without those that are empty.
    """

    root: str
    here: str
    args: tuple[tuple[str, str], ...]

    @classmethod
    def of_request(cls, root: str, here: str | None = None) -> Links:
        """Return the links of the current request; ``here`` stands for its own path."""
        # An empty parameter, as forms send it, is none; an empty filter means "without a value".
        single = PARAMETERS | OWN_PARAMETERS
        args = request.args.items(multi=True)
        here = here or quote(request.script_root + request.path, safe=_SAFE)
        kept = ((n, v) for n, v in args if n != "explain" and (v or n not in single))
        return cls(root, here, tuple(kept))

    def _url(self, path: str, args: Iterable[tuple[str, str]]) -> str:
        query = urlencode(list(args), safe=_SAFE, errors="replace")
        return f"{path}?{query}" if query else path

    def _without(self, *names: str) -> list[tuple[str, str]]:
        return [(name, value) for name, value in self.args if name not in names]

    def set(self, **values: str | None) -> str:
        """Return this page with other parameters; None removes one. Begins at page 1."""
        given = [(name, value) for name, value in values.items() if value is not None]
        return self._url(self.here, self._without("page", *values) + given)

    def explained(self) -> str:
        """Return how this page is answered."""
        return self._url(self.here, [*self.args, ("explain", "1")])

    def page(self, number: int) -> str:
        """Return another page of the list on this page."""
        given = [("page", str(number))] if number > 1 else []
        return self._url(self.here, self._without("page") + given)

    def sort(self, name: str, current: str | None) -> str:
        """Return this page sorted by a column, or the other way round where it is already.

        Numbers begin with the largest, names with the first of the alphabet.
        """
        first, second = (name, f"-{name}") if name == "value" else (f"-{name}", name)
        return self.set(sort=second if current == first else first)

    def days(self, start: date, end: date) -> str:
        """Return this page for other days, both included."""
        return self.set(start=start.isoformat(), end=end.isoformat(), interval=None)

    def filter(self, dimension: str, value: object) -> str | None:
        """Return the dashboard with this filter; None for a value that a filter cannot say."""
        argument = value_argument(value)
        if argument.startswith("!") or not _can_be_asked(Filter(dimension, (argument,))):
            return None
        kept = self._without("page", "sort", "limit", "by", dimension)
        return self._url(self.root, [*kept, (dimension, argument)])

    def unfilter(self, dimension: str, value: str) -> str:
        """Return this page without one value of a filter."""
        kept = [pair for pair in self._without("page") if pair != (dimension, value)]
        return self._url(self.here, kept)

    def unfiltered(self) -> str:
        """Return this page without any filter."""
        kept = [p for p in self._without("page") if p[0] in PARAMETERS or p[0] in OWN_PARAMETERS]
        return self._url(self.here, kept)

    def dashboard(self) -> str:
        """Return the dashboard with these days and filters."""
        return self._url(self.root, self._without("page", "sort", "limit"))

    def breakdown(self, dimension: str) -> str:
        """Return all values of a dimension, with these days and filters."""
        args = self._without("page", "sort", "limit", "by")
        return self._url(f"{self.root}breakdown/{dimension}", args)

    def hidden(self, *names: str) -> list[tuple[str, str]]:
        """Return the parameters that a form keeps: all but the page and these."""
        return self._without("page", *names)
