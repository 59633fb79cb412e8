"""The exports that have been loaded."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "export_deliveries",
        sa.Column("delivery", sa.Text, nullable=False),
        sa.Column("account", sa.String(80), nullable=False),
        sa.Column("livemode", sa.Boolean, nullable=False),
        sa.Column("version_at", sa.BigInteger, nullable=False),
        sa.Column("loaded_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("delivery", name="pk_export_deliveries"),
    )
