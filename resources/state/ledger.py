"""State tables of the paid side: intents, attempts, objects, approvals, audit, budget marks, rate window, leases.

Here: columns and the constraints that decide races: one intent per thing (environment, kind, segment key, spec
version), one intent per token, one attempt per number. Not here: the transitions (`activation.ledger`).
Credits are whole numbers, rounded up. Texts named `…_json` hold JSON.
"""

import sqlalchemy as sa

from resources.state.metadata import UtcTime, metadata

__all__ = [
    "approvals",
    "attempts",
    "audit",
    "audit_head",
    "intents",
    "leases",
    "objects",
    "pins",
    "plans",
    "rate_limits",
    "rate_stamps",
]

intents = sa.Table(
    "mavera_intents",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("environment", sa.String(40), nullable=False),
    sa.Column("kind", sa.String(40), nullable=False),
    sa.Column("segment_key", sa.String(200), nullable=False),
    sa.Column("spec_version", sa.String(120), nullable=False),
    sa.Column("token", sa.String(16), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("claimed_at", UtcTime, nullable=False),
    sa.Column("run_id", sa.String(80), nullable=False),
    sa.Column("plan_hash", sa.String(64), nullable=False),
    sa.Column("template_version", sa.String(40), nullable=False),
    sa.Column("brief_hash", sa.String(64), nullable=False),
    sa.Column("body_hash", sa.String(64), nullable=False),
    sa.Column("body_json", sa.Text, nullable=False),
    sa.Column("content_json", sa.Text, nullable=False),
    sa.Column("target_id", sa.String(200)),
    sa.Column("sent_at", UtcTime),
    sa.Column("settle_at", UtcTime),
    sa.Column("resolved_at", UtcTime),
    sa.Column("remote_id", sa.String(200)),
    sa.Column("answer_hash", sa.String(64)),
    sa.Column("code", sa.String(60)),
    sa.Column("reason", sa.Text),
    sa.Column("next_action", sa.Text),
    sa.UniqueConstraint("environment", "kind", "segment_key", "spec_version"),
    sa.UniqueConstraint("environment", "token"),
    sa.CheckConstraint("state IN ('intent', 'sent', 'unknown', 'done', 'failed', 'held')", name="state"),
    sa.Index(None, "environment", "state"),
)

attempts = sa.Table(
    "mavera_attempts",
    metadata,
    sa.Column("intent_id", sa.Integer, sa.ForeignKey("mavera_intents.id"), primary_key=True),
    sa.Column("attempt", sa.Integer, primary_key=True),
    sa.Column("environment", sa.String(40), nullable=False),
    sa.Column("run_id", sa.String(80), nullable=False),
    sa.Column("started_at", UtcTime, nullable=False),
    sa.Column("credits", sa.Integer, nullable=False),
    sa.Column("settled", sa.Boolean, nullable=False),
    sa.Column("outcome", sa.String(40), nullable=False),
    sa.Column("usage_before", sa.Integer),
    sa.Column("settled_before", sa.Integer),
    sa.CheckConstraint("credits >= 0", name="credits"),
    sa.Index(None, "environment", "started_at"),
)

objects = sa.Table(
    "mavera_objects",
    metadata,
    sa.Column("environment", sa.String(40), primary_key=True),
    sa.Column("kind", sa.String(40), primary_key=True),
    sa.Column("segment_key", sa.String(200), primary_key=True),
    sa.Column("spec_version", sa.String(120), primary_key=True),
    sa.Column("token", sa.String(16), nullable=False),
    sa.Column("remote_id", sa.String(200), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("content_hash", sa.String(64), nullable=False),
    sa.Column("content_json", sa.Text, nullable=False),
    sa.Column("body_json", sa.Text, nullable=False),
    sa.Column("previous_body_json", sa.Text),
    sa.Column("template_version", sa.String(40), nullable=False),
    sa.Column("remote_hash", sa.String(64)),
    sa.Column("result_json", sa.Text),
    sa.Column("result_status", sa.String(20), nullable=False),
    sa.Column("credits", sa.Integer, nullable=False),
    sa.Column("successor", sa.String(200)),
    sa.Column("empty_refreshes", sa.Integer, nullable=False),
    sa.Column("empty_since", sa.String(80)),
    sa.Column("since", UtcTime, nullable=False),
    sa.Column("updated_at", UtcTime, nullable=False),
    sa.CheckConstraint("status IN ('active', 'dormant', 'archived', 'superseded')", name="status"),
)

approvals = sa.Table(
    "mavera_approvals",
    metadata,
    sa.Column("environment", sa.String(40), primary_key=True),
    sa.Column("plan_hash", sa.String(64), primary_key=True),
    sa.Column("approver", sa.String(120), nullable=False),
    sa.Column("mode", sa.String(16), nullable=False),
    sa.Column("credits", sa.Integer, nullable=False),
    sa.Column("approved_at", UtcTime, nullable=False),
)

plans = sa.Table(
    "mavera_plans",
    metadata,
    sa.Column("environment", sa.String(40), primary_key=True),
    sa.Column("plan_hash", sa.String(64), primary_key=True),
    sa.Column("plan_json", sa.Text, nullable=False),
    sa.Column("built_at", UtcTime, nullable=False),
)

audit = sa.Table(
    "mavera_audit",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", UtcTime, nullable=False),
    sa.Column("event_json", sa.Text, nullable=False),
    sa.Column("previous", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False, unique=True),
    sa.Index(None, "at"),
)

audit_head = sa.Table(
    "mavera_audit_head",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)

pins = sa.Table(
    "mavera_pins",
    metadata,
    sa.Column("environment", sa.String(40), primary_key=True),
    sa.Column("name", sa.String(40), primary_key=True),
    sa.Column("value", sa.String(200), nullable=False),
    sa.Column("pinned_at", UtcTime, nullable=False),
)

rate_stamps = sa.Table(
    "mavera_rate_stamps",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("key_hash", sa.String(64), nullable=False),
    sa.Column("at", UtcTime, nullable=False),
    sa.Index(None, "key_hash", "at"),
)

rate_limits = sa.Table(
    "mavera_rate_limits",
    metadata,
    sa.Column("key_hash", sa.String(64), primary_key=True),
    sa.Column("per_window", sa.Integer, nullable=False),
    sa.Column("paused_until", UtcTime),
)

leases = sa.Table(
    "mavera_leases",
    metadata,
    sa.Column("key_hash", sa.String(64), primary_key=True),
    sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("holder", sa.String(80), nullable=False),
    sa.Column("expires_at", UtcTime, nullable=False),
)
