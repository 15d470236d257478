"""What only the host's table holds yet: young rows and those of changed days, in memory."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from ..asking.conditions import boundary
from ..asking.source import Span
from ..errors import ArchiveError
from .extracting import Extractor
from .schema import ID, arrow

if TYPE_CHECKING:
    import pyarrow as pa

    from ..model import Model
    from ..tables import Tables

#: Requests that are read into memory for one answer; of more the host's table answers by itself.
MOST_ROWS = 200_000


class Absorbed(NamedTuple):
    """The primary keys of rows that the archive holds, too; all are from before ``until``, and a
    key may have been given again to a later row."""

    requests: Collection[int] = ()
    events: Collection[int] = ()
    until: datetime = datetime.min


class Young(NamedTuple):
    """Requests and events of the host's database."""

    requests: pa.Table
    events: pa.Table


def read_young(
    connection: sa.Connection,
    model: Model,
    tables: Tables,
    spans: Sequence[Span],
    absorbed: Absorbed,
) -> Young:
    """Return the requests and events of these spans, but those that were absorbed.

    :raises ArchiveError: where there are more than :data:`MOST_ROWS`.
    """
    spans = [(begins, _whole_seconds(ends)) for begins, ends in spans]
    _check_amount(connection, model.columns["date"], spans)
    extractor = Extractor(connection, model, tables)
    concat = arrow().concat_tables
    nothing = [(datetime.min, datetime.min)]
    requests = concat([extractor.requests(*span) for span in spans or nothing])
    events = concat([extractor.events(*span) for span in spans or nothing])
    until = absorbed.until
    return Young(
        _without(requests, absorbed.requests, until), _without(events, absorbed.events, until)
    )


def _whole_seconds(moment: datetime) -> datetime:
    whole = moment.replace(microsecond=0)
    return whole if whole == moment or moment > datetime.max - timedelta(seconds=1) else (
        whole + timedelta(seconds=1)
    )  # fmt: skip


def _check_amount(
    connection: sa.Connection, date: sa.ColumnElement[datetime], spans: Sequence[Span]
) -> None:
    amount = 0
    for begins, ends in spans:
        within = sa.select(date).where(date >= boundary(begins), date < boundary(ends))
        counted = sa.select(sa.func.count()).select_from(within.limit(MOST_ROWS + 1).subquery())
        amount += connection.execute(counted).scalar_one()
    if amount > MOST_ROWS:
        raise ArchiveError(
            f"More than {MOST_ROWS} of the requests that are asked for are not in the archive "
            "as they are now: run `flask statistics archive build`."
        )


def _without(rows: pa.Table, keys: Collection[int], until: datetime) -> pa.Table:
    if not keys:
        return rows
    pa = arrow()
    known = pa.compute.is_in(rows[ID], value_set=pa.array(keys, pa.int64()))
    later = pa.compute.greater_equal(rows["date"], pa.scalar(until, pa.timestamp("us")))
    return rows.filter(pa.compute.or_(later, pa.compute.invert(known)))
