"""Commands in modules of their own: ``flask statistics <name>`` is ``commands/<name>.py``.

To add one, write its module and put its name into :data:`NAMES`. The module has a ``command``: a
``click.command`` below ``flask.cli.with_appcontext``, or a ``flask.cli.AppGroup`` of several. It is
imported when it is asked for, so that an app's start does not pay for it; what it prints goes
through :func:`.output.write`, and its body stands in ``with clear_errors():``.
"""

from __future__ import annotations

#: The commands, each in the module of its name.
NAMES = ("archive", "check", "export", "forget", "prune", "totals", "visits")
