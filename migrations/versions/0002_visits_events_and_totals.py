"""visits, events, changes and totals

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "statistics_change",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day"),
    )
    op.create_table(
        "statistics_event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "date",
            sa.DateTime()
            .with_variant(mysql.DATETIME(fsp=6), "mariadb")
            .with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=False,
        ),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("person", sa.Boolean(), nullable=False),
        sa.Column("visitor", sa.String(length=32), nullable=True),
        sa.Column("visit", sa.String(length=32), nullable=True),
        sa.Column(
            "request_date",
            sa.DateTime()
            .with_variant(mysql.DATETIME(fsp=6), "mariadb")
            .with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=True,
        ),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("path", sa.String(length=1024), nullable=True),
        sa.Column("username", sa.String(length=255), nullable=True),
        sa.Column("site", sa.String(length=128), nullable=True),
        sa.Column("properties", sa.Text(), nullable=True),
        sa.Column("revenue", sa.Double(), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("statistics_event", schema=None) as batch_op:
        batch_op.create_index("ix_statistics_event_date", ["date"], unique=False)
        batch_op.create_index("ix_statistics_event_request", ["request_date"], unique=False)
        batch_op.create_index("ix_statistics_event_visit", ["visit"], unique=False)

    op.create_table(
        "statistics_state",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.String(length=255), nullable=False),
        sa.Column(
            "expires",
            sa.DateTime()
            .with_variant(mysql.DATETIME(fsp=6), "mariadb")
            .with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=True,
        ),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "statistics_total",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("dimension", sa.String(length=64), nullable=False),
        sa.Column(
            "first",
            sa.DateTime()
            .with_variant(mysql.DATETIME(fsp=6), "mariadb")
            .with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=False,
        ),
        sa.Column(
            "last",
            sa.DateTime()
            .with_variant(mysql.DATETIME(fsp=6), "mariadb")
            .with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=False,
        ),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.Column("apart", sa.Boolean(), nullable=False),
        sa.Column("person", sa.Boolean(), nullable=False),
        sa.Column(
            "text",
            sa.Text()
            .with_variant(mysql.MEDIUMTEXT(), "mariadb")
            .with_variant(mysql.MEDIUMTEXT(), "mysql"),
            nullable=True,
        ),
        sa.Column("number", sa.BigInteger(), nullable=True),
        sa.Column(
            "last_seen",
            sa.DateTime()
            .with_variant(mysql.DATETIME(fsp=6), "mariadb")
            .with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=True,
        ),
        sa.Column("hits", sa.BigInteger(), nullable=True),
        sa.Column("visitors", sa.BigInteger(), nullable=True),
        sa.Column("page_views", sa.BigInteger(), nullable=True),
        sa.Column("errors", sa.BigInteger(), nullable=True),
        sa.Column("response_time_max", sa.Double(), nullable=True),
        sa.Column("response_time_sum", sa.Double(), nullable=True),
        sa.Column("size_sum", sa.BigInteger(), nullable=True),
        sa.Column("db_queries_sum", sa.BigInteger(), nullable=True),
        sa.Column("db_time_sum", sa.Double(), nullable=True),
        sa.Column("response_time_count", sa.BigInteger(), nullable=True),
        sa.Column("size_count", sa.BigInteger(), nullable=True),
        sa.Column("db_queries_count", sa.BigInteger(), nullable=True),
        sa.Column("db_time_count", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("statistics_total", schema=None) as batch_op:
        batch_op.create_index("ix_statistics_total_dimension", ["dimension", "first"], unique=False)
        batch_op.create_index("ix_statistics_total_first", ["first"], unique=False)

    op.create_table(
        "statistics_visit",
        sa.Column("visit", sa.String(length=32), nullable=False),
        sa.Column("person", sa.Boolean(), nullable=False),
        sa.Column("visitor", sa.String(length=32), nullable=False),
        sa.Column(
            "began",
            sa.DateTime()
            .with_variant(mysql.DATETIME(fsp=6), "mariadb")
            .with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=False,
        ),
        sa.Column(
            "ended",
            sa.DateTime()
            .with_variant(mysql.DATETIME(fsp=6), "mariadb")
            .with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=False,
        ),
        sa.Column(
            "first",
            sa.DateTime()
            .with_variant(mysql.DATETIME(fsp=6), "mariadb")
            .with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=True,
        ),
        sa.Column(
            "last",
            sa.DateTime()
            .with_variant(mysql.DATETIME(fsp=6), "mariadb")
            .with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=True,
        ),
        sa.Column(
            "entry_date",
            sa.DateTime()
            .with_variant(mysql.DATETIME(fsp=6), "mariadb")
            .with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=True,
        ),
        sa.Column(
            "exit_date",
            sa.DateTime()
            .with_variant(mysql.DATETIME(fsp=6), "mariadb")
            .with_variant(mysql.DATETIME(fsp=6), "mysql"),
            nullable=True,
        ),
        sa.Column("entry_path", sa.String(length=1024), nullable=True),
        sa.Column("exit_path", sa.String(length=1024), nullable=True),
        sa.Column("hits", sa.Integer(), nullable=False),
        sa.Column("page_views", sa.Integer(), nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("visit", "person"),
    )
    with op.batch_alter_table("statistics_visit", schema=None) as batch_op:
        batch_op.create_index("ix_statistics_visit_last", ["last", "first"], unique=False)
        batch_op.create_index("ix_statistics_visit_visitor", ["visitor", "ended"], unique=False)


def downgrade():
    with op.batch_alter_table("statistics_visit", schema=None) as batch_op:
        batch_op.drop_index("ix_statistics_visit_visitor")
        batch_op.drop_index("ix_statistics_visit_last")

    op.drop_table("statistics_visit")
    with op.batch_alter_table("statistics_total", schema=None) as batch_op:
        batch_op.drop_index("ix_statistics_total_first")
        batch_op.drop_index("ix_statistics_total_dimension")

    op.drop_table("statistics_total")
    op.drop_table("statistics_state")
    with op.batch_alter_table("statistics_event", schema=None) as batch_op:
        batch_op.drop_index("ix_statistics_event_visit")
        batch_op.drop_index("ix_statistics_event_request")
        batch_op.drop_index("ix_statistics_event_date")

    op.drop_table("statistics_event")
    op.drop_table("statistics_change")
