"""The mixin for hosts that want every column."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import declared_attr, mapped_column

from .fields import FIELDS


class RequestMixin:
    """Declares an integer primary key ``id``, every recorded column, and two indexes.

    Usage: ``class Request(RequestMixin, db.Model): pass``. A host may override any column, or
    ``__table_args__``, and add columns of its own that are nullable or have a default.

    The indexes: ``date`` serves every question about a period, ``(visitor, date)`` finds the
    requests of a visit.
    """

    # SQLite numbers rows by itself only for INTEGER PRIMARY KEY.
    id = mapped_column(
        sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, sort_order=-1
    )

    @declared_attr.directive
    def __table_args__(cls) -> Any:  # noqa: N805
        name = cls.__tablename__  # type: ignore[attr-defined]
        return (
            sa.Index(f"ix_{name}_date", "date"),
            sa.Index(f"ix_{name}_visitor_date", "visitor", "date"),
        )


for _field in FIELDS:
    setattr(RequestMixin, _field.name, mapped_column(_field.type(), nullable=_field.name != "date"))
