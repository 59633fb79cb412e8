"""Ledger of the paid side: intents, attempts, objects, approvals, audit, pins, rate window, leases."""

import sqlalchemy as sa
from alembic import op

from resources.state.metadata import UtcTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables of the ledger."""
    op.create_table(
        "mavera_approvals",
        sa.Column("environment", sa.String(length=40), nullable=False),
        sa.Column("plan_hash", sa.String(length=64), nullable=False),
        sa.Column("approver", sa.String(length=120), nullable=False),
        sa.Column("mode", sa.String(length=16), nullable=False),
        sa.Column("credits", sa.Integer(), nullable=False),
        sa.Column("approved_at", UtcTime, nullable=False),
        sa.PrimaryKeyConstraint("environment", "plan_hash", name=op.f("pk_mavera_approvals")),
    )
    op.create_table(
        "mavera_audit",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", UtcTime, nullable=False),
        sa.Column("event_json", sa.Text(), nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_mavera_audit")),
        sa.UniqueConstraint("hash", name=op.f("uq_mavera_audit_hash")),
    )
    op.create_index(op.f("ix_mavera_audit_at"), "mavera_audit", ["at"], unique=False)
    op.create_table(
        "mavera_audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mavera_audit_head")),
    )
    op.create_table(
        "mavera_intents",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("environment", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("segment_key", sa.String(length=200), nullable=False),
        sa.Column("spec_version", sa.String(length=120), nullable=False),
        sa.Column("token", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("claimed_at", UtcTime, nullable=False),
        sa.Column("run_id", sa.String(length=80), nullable=False),
        sa.Column("plan_hash", sa.String(length=64), nullable=False),
        sa.Column("template_version", sa.String(length=40), nullable=False),
        sa.Column("brief_hash", sa.String(length=64), nullable=False),
        sa.Column("body_hash", sa.String(length=64), nullable=False),
        sa.Column("body_json", sa.Text(), nullable=False),
        sa.Column("content_json", sa.Text(), nullable=False),
        sa.Column("target_id", sa.String(length=200), nullable=True),
        sa.Column("sent_at", UtcTime, nullable=True),
        sa.Column("settle_at", UtcTime, nullable=True),
        sa.Column("resolved_at", UtcTime, nullable=True),
        sa.Column("remote_id", sa.String(length=200), nullable=True),
        sa.Column("answer_hash", sa.String(length=64), nullable=True),
        sa.Column("code", sa.String(length=60), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("next_action", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state IN ('intent', 'sent', 'unknown', 'done', 'failed', 'held')",
            name=op.f("ck_mavera_intents_state"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mavera_intents")),
        sa.UniqueConstraint(
            "environment",
            "kind",
            "segment_key",
            "spec_version",
            name=op.f("uq_mavera_intents_environment_kind_segment_key_spec_version"),
        ),
        sa.UniqueConstraint("environment", "token", name=op.f("uq_mavera_intents_environment_token")),
    )
    op.create_index(
        op.f("ix_mavera_intents_environment_state"), "mavera_intents", ["environment", "state"], unique=False
    )
    op.create_table(
        "mavera_leases",
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("slot", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("holder", sa.String(length=80), nullable=False),
        sa.Column("expires_at", UtcTime, nullable=False),
        sa.PrimaryKeyConstraint("key_hash", "slot", name=op.f("pk_mavera_leases")),
    )
    op.create_table(
        "mavera_objects",
        sa.Column("environment", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("segment_key", sa.String(length=200), nullable=False),
        sa.Column("spec_version", sa.String(length=120), nullable=False),
        sa.Column("token", sa.String(length=16), nullable=False),
        sa.Column("remote_id", sa.String(length=200), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("content_json", sa.Text(), nullable=False),
        sa.Column("body_json", sa.Text(), nullable=False),
        sa.Column("previous_body_json", sa.Text(), nullable=True),
        sa.Column("template_version", sa.String(length=40), nullable=False),
        sa.Column("remote_hash", sa.String(length=64), nullable=True),
        sa.Column("result_json", sa.Text(), nullable=True),
        sa.Column("result_status", sa.String(length=20), nullable=False),
        sa.Column("credits", sa.Integer(), nullable=False),
        sa.Column("successor", sa.String(length=200), nullable=True),
        sa.Column("empty_refreshes", sa.Integer(), nullable=False),
        sa.Column("empty_since", sa.String(length=80), nullable=True),
        sa.Column("since", UtcTime, nullable=False),
        sa.Column("updated_at", UtcTime, nullable=False),
        sa.CheckConstraint(
            "status IN ('active', 'dormant', 'archived', 'superseded')", name=op.f("ck_mavera_objects_status")
        ),
        sa.PrimaryKeyConstraint(
            "environment", "kind", "segment_key", "spec_version", name=op.f("pk_mavera_objects")
        ),
    )
    op.create_table(
        "mavera_pins",
        sa.Column("environment", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("value", sa.String(length=200), nullable=False),
        sa.Column("pinned_at", UtcTime, nullable=False),
        sa.PrimaryKeyConstraint("environment", "name", name=op.f("pk_mavera_pins")),
    )
    op.create_table(
        "mavera_plans",
        sa.Column("environment", sa.String(length=40), nullable=False),
        sa.Column("plan_hash", sa.String(length=64), nullable=False),
        sa.Column("plan_json", sa.Text(), nullable=False),
        sa.Column("built_at", UtcTime, nullable=False),
        sa.PrimaryKeyConstraint("environment", "plan_hash", name=op.f("pk_mavera_plans")),
    )
    op.create_table(
        "mavera_rate_limits",
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("per_window", sa.Integer(), nullable=False),
        sa.Column("paused_until", UtcTime, nullable=True),
        sa.PrimaryKeyConstraint("key_hash", name=op.f("pk_mavera_rate_limits")),
    )
    op.create_table(
        "mavera_rate_stamps",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("at", UtcTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mavera_rate_stamps")),
    )
    op.create_index(
        op.f("ix_mavera_rate_stamps_key_hash_at"), "mavera_rate_stamps", ["key_hash", "at"], unique=False
    )
    op.create_table(
        "mavera_attempts",
        sa.Column("intent_id", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("environment", sa.String(length=40), nullable=False),
        sa.Column("run_id", sa.String(length=80), nullable=False),
        sa.Column("started_at", UtcTime, nullable=False),
        sa.Column("credits", sa.Integer(), nullable=False),
        sa.Column("settled", sa.Boolean(), nullable=False),
        sa.Column("outcome", sa.String(length=40), nullable=False),
        sa.Column("usage_before", sa.Integer(), nullable=True),
        sa.Column("settled_before", sa.Integer(), nullable=True),
        sa.CheckConstraint("credits >= 0", name=op.f("ck_mavera_attempts_credits")),
        sa.ForeignKeyConstraint(
            ["intent_id"],
            ["mavera_intents.id"],
        ),
        sa.PrimaryKeyConstraint("intent_id", "attempt", name=op.f("pk_mavera_attempts")),
    )
    op.create_index(
        op.f("ix_mavera_attempts_environment_started_at"),
        "mavera_attempts",
        ["environment", "started_at"],
        unique=False,
    )
