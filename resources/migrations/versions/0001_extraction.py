"""Runs, journal, cursors and shared pace of the extraction."""

import sqlalchemy as sa
from alembic import op

from resources.state.metadata import UtcTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables of the extraction."""
    op.create_table(
        "extraction_runs",
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("account", sa.String(80), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("plan", sa.JSON, nullable=False),
        sa.Column("holder", sa.String(200), nullable=False),
        sa.Column("started_at", UtcTime, nullable=False),
        sa.Column("heartbeat_at", UtcTime, nullable=False),
        sa.Column("ended_at", UtcTime),
        sa.PrimaryKeyConstraint("run_id", name="pk_extraction_runs"),
    )
    op.create_index("ix_extraction_runs_account", "extraction_runs", ["account"])
    op.create_table(
        "extraction_streams",
        sa.Column("run_id", sa.String(64), sa.ForeignKey("extraction_runs.run_id"), nullable=False),
        sa.Column("stream", sa.String(64), nullable=False),
        sa.Column("remaining", sa.JSON, nullable=False),
        sa.Column("part_bytes", sa.BigInteger, nullable=False),
        sa.Column("counts", sa.JSON, nullable=False),
        sa.Column("committed", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "stream", name="pk_extraction_streams"),
    )
    op.create_table(
        "extraction_sublists",
        sa.Column("run_id", sa.String(64), sa.ForeignKey("extraction_runs.run_id"), nullable=False),
        sa.Column("stream", sa.String(64), nullable=False),
        sa.Column("parent", sa.String(255), nullable=False),
        sa.Column("work", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "stream", "parent", name="pk_extraction_sublists"),
    )
    op.create_table(
        "extraction_accounts",
        sa.Column("key_print", sa.String(64), nullable=False),
        sa.Column("account", sa.String(80), nullable=False),
        sa.Column("floor", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key_print", name="pk_extraction_accounts"),
    )
    op.create_table(
        "extraction_cursors",
        sa.Column("account", sa.String(80), nullable=False),
        sa.Column("events_from", sa.BigInteger, nullable=False),
        sa.Column("routed", sa.Boolean, nullable=False),
        sa.Column("newest_read", sa.BigInteger, nullable=False),
        sa.Column("loaded", sa.JSON, nullable=False),
        sa.Column("runs_since_sweep", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("account", name="pk_extraction_cursors"),
    )
    op.create_table(
        "extraction_pace",
        sa.Column("account", sa.String(80), nullable=False),
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("expires_at", UtcTime, nullable=False),
        sa.Column("learned", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("account", "run_id", name="pk_extraction_pace"),
    )


def downgrade() -> None:
    """Drop the tables of the extraction."""
    for name in ("pace", "cursors", "accounts", "sublists", "streams", "runs"):
        op.drop_table(f"extraction_{name}")
