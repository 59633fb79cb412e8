"""The inbox of webhook events."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "inbox",
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("event_id", sa.String(255), nullable=False),
        sa.Column("type", sa.String(255), nullable=False),
        sa.Column("object_type", sa.String(255)),
        sa.Column("object_id", sa.String(255)),
        sa.Column("account", sa.String(255)),
        sa.Column("api_version", sa.String(64)),
        sa.Column("livemode", sa.Boolean),
        sa.Column("created", sa.BigInteger),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("replays", sa.Integer, nullable=False, server_default="0"),
        sa.Column("claimed_by", sa.String(64)),
        sa.Column("available_at", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("origin", "event_id", name="pk_inbox"),
        sa.CheckConstraint(
            "status IN ('pending', 'done', 'ignored', 'quarantined', 'poison')", name="ck_inbox_status"
        ),
    )
    op.create_index("ix_inbox_status", "inbox", ["status", "received_at"])
    op.create_index("ix_inbox_object", "inbox", ["origin", "object_type", "object_id", "status"])
