"""What becomes of requests that ask not to be tracked.

By the headers ``DNT`` (https://www.w3.org/TR/tracking-dnt/) and ``Sec-GPC``, Global Privacy
Control (https://www.w3.org/TR/gpc/); ``STATISTICS_RESPECT_DNT`` says whether they are heard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .record import HEAD, WITHHELD
from .trace import Trace

#: Where in environ stands what can tell about a person, and what takes its place.
_PERSONAL = {"REMOTE_ADDR": "", "HTTP_X_FORWARDED_FOR": "", "HTTP_X_REQUEST_ID": WITHHELD}


def asks_for_privacy(environ: Mapping[str, Any]) -> bool:
    """Whether a request brings one of the headers."""
    # What may follow the 1 of DNT extends the wish.
    return environ.get("HTTP_SEC_GPC") == "1" or environ.get("HTTP_DNT", "")[:1] == "1"


class Withholding:
    """Takes out of a trace what can tell about a person, before it is kept.

    :param keys: where the texts of a record stand in environ.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._places = [
            (HEAD + place, _PERSONAL[key]) for place, key in enumerate(keys) if key in _PERSONAL
        ]

    def withhold(self, trace: Trace) -> None:
        trace.anonymous = True
        trace.username = trace.track_var = None
        for place, blank in self._places:
            trace.replace(place, blank)
