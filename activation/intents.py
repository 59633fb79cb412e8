"""Ledger rows and claims as values.

Here: what a paid call is to the ledger (`Entry`), a row as it stands (`Intent`), the right to send one attempt
(`Claim`), and who acts (`Run`). Not here: transitions (`ledger`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from activation.canonical import digest
from activation.policy import Kind

__all__ = ["RETRYABLE", "Balance", "Claim", "Entry", "Intent", "Run", "intent_of"]

# A definite failure under one of these codes says nothing against the same request; it is claimed again.
RETRYABLE = frozenset(
    {"not_sent", "no_credits", "unauthorized", "forbidden", "rate_limited", "resend", "released"}
)


@dataclass(frozen=True, kw_only=True)
class Run:
    """Who acts: the run, its plan, and the policy it follows; recorded with every act."""

    run_id: str
    actor: str
    plan_hash: str
    policy_version: str
    approver: str = ""


@dataclass(frozen=True, kw_only=True)
class Balance:
    """The account's used credits, and the credits that our answers had confirmed, at one instant."""

    used: int
    settled: int


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One paid call as the ledger sees it: what it is, what it sends, what it may cost."""

    kind: Kind
    segment_key: str
    spec_version: str
    token: str
    template_version: str
    content: Mapping[str, Any]
    body: Mapping[str, Any]
    credits: int
    target_id: str | None = None

    @property
    def body_hash(self) -> str:
        """Hash of the request as sent."""
        return digest(self.body)


@dataclass(frozen=True, kw_only=True)
class Intent:
    """A ledger row as it stands."""

    id: int
    kind: Kind
    segment_key: str
    spec_version: str
    token: str
    state: str
    attempt: int
    claimed_at: datetime
    run_id: str
    plan_hash: str
    template_version: str
    body_hash: str
    body: Mapping[str, Any]
    content: Mapping[str, Any]
    target_id: str | None
    sent_at: datetime | None
    settle_at: datetime | None
    remote_id: str | None
    code: str | None
    reason: str | None
    next_action: str | None
    credits: int
    before: Balance | None


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The right to send one attempt, until another worker takes it over."""

    intent_id: int
    attempt: int
    entry: Entry
    run: Run


def intent_of(row: Any) -> Intent:
    """The value of a database row."""
    return Intent(
        id=row.id,
        kind=Kind(row.kind),
        segment_key=row.segment_key,
        spec_version=row.spec_version,
        token=row.token,
        state=row.state,
        attempt=row.attempt,
        claimed_at=row.claimed_at,
        run_id=row.run_id,
        plan_hash=row.plan_hash,
        template_version=row.template_version,
        body_hash=row.body_hash,
        body=json.loads(row.body_json),
        content=json.loads(row.content_json),
        target_id=row.target_id,
        sent_at=row.sent_at,
        settle_at=row.settle_at,
        remote_id=row.remote_id,
        code=row.code,
        reason=row.reason,
        next_action=row.next_action,
        credits=row.credits,
        before=None if row.usage_before is None else Balance(used=row.usage_before, settled=row.settled_before),
    )
