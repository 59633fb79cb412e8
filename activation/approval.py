"""Approval of a plan: by itself up to a number of credits, else by a person who names its hash; on record.

Here: recording, and asking whether a plan may be carried out. Not here: building it. An approval is for one hash:
whatever changes the plan afterwards (data, remote objects, policy) makes another hash, which is not approved.
"""

import json
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from activation import audit
from activation.account import Account
from activation.plan_model import Plan
from resources.state.ledger import approvals, intents, plans

__all__ = ["ApprovalError", "ApprovalStatus", "approval_status", "approve", "recorded_plan"]


class ApprovalError(RuntimeError):
    """The hash cannot be approved; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class ApprovalStatus:
    """Whether a plan may be carried out, by whose word, and if not, what to do."""

    plan_hash: str
    approved: bool
    approver: str
    mode: Literal["automatic", "person", "none"]
    reason: str


def approval_status(account: Account, plan: Plan) -> ApprovalStatus:
    """Whether `plan` may be carried out. Records the plan, and its own approval if it may approve itself.

    A person's word stands; a plan that approved itself is held to the limit of now, which is not in its hash.
    """
    _record(account, plan)
    found = _approval(account, plan.hash)
    if found is not None and found.mode == "person":
        return ApprovalStatus(
            plan_hash=plan.hash, approved=True, approver=found.approver, mode="person", reason="approved"
        )
    if plan.requires_person:
        return _waits(account, plan, "; ".join(plan.requires_person))
    if plan.credits > account.policy.auto_approve_credits:
        limit = account.policy.auto_approve_credits
        return _waits(account, plan, f"{plan.credits} credits at worst, above the automatic limit of {limit}")
    if found is None:
        _approve(account, plan.hash, approver="automatic", mode="automatic", credits=plan.credits)
    return ApprovalStatus(
        plan_hash=plan.hash, approved=True, approver="automatic", mode="automatic", reason="within the limit"
    )


def approve(account: Account, plan_hash: str, *, approver: str) -> ApprovalStatus:
    """Approve a recorded plan by its hash, or by at least 8 of its first characters.

    Raises: ApprovalError for a hash that no plan has, or that several have.
    """
    if len(plan_hash) < 8:
        raise ApprovalError("give at least the first 8 characters of the plan's hash")
    matches = (plans.c.environment == account.identity.environment) & plans.c.plan_hash.startswith(
        plan_hash, autoescape=True
    )
    with account.state.read() as connection:
        rows = connection.execute(sa.select(plans).where(matches)).all()
    if len(rows) != 1:
        raise ApprovalError(
            f"no plan has the hash {plan_hash}: make a plan first"
            if not rows
            else f"{plan_hash} fits several plans"
        )
    credits = sum(int(operation["credits"]) for operation in json.loads(rows[0].plan_json)["operations"])
    found = _approval(account, rows[0].plan_hash)
    if found is None or found.mode == "automatic":
        _approve(account, rows[0].plan_hash, approver=approver, mode="person", credits=credits)
    return ApprovalStatus(
        plan_hash=rows[0].plan_hash, approved=True, approver=approver, mode="person", reason="approved"
    )


def recorded_plan(account: Account, plan_hash: str) -> dict[str, Any] | None:
    """The document of a plan that was shown for approval."""
    wanted = sa.select(plans.c.plan_json).where(
        plans.c.environment == account.identity.environment, plans.c.plan_hash == plan_hash
    )
    with account.state.read() as connection:
        text = connection.execute(wanted).scalar_one_or_none()
    return None if text is None else json.loads(text)


def _waits(account: Account, plan: Plan, reason: str) -> ApprovalStatus:
    reason = "; ".join(part for part in (_outdated(account), reason) if part)
    return ApprovalStatus(plan_hash=plan.hash, approved=False, approver="", mode="none", reason=reason)


def _outdated(account: Account) -> str:
    """What became of the last approval, where nothing was sent on it: the person who gave it waits for that."""
    mine = approvals.c.environment == account.identity.environment
    begun = sa.select(intents.c.id).where(
        intents.c.environment == approvals.c.environment, intents.c.plan_hash == approvals.c.plan_hash
    )
    newest = (
        sa.select(approvals, ~begun.exists().label("unused"))
        .where(mine)
        .order_by(approvals.c.approved_at.desc())
        .limit(1)
    )
    with account.state.read() as connection:
        last = connection.execute(newest).first()
    if last is None or last.mode != "person" or not last.credits or not last.unused:
        return ""
    return (
        f"plan {last.plan_hash[:12]}, which {last.approver} approved, no longer fits: "
        "the data, Mavera or the settings have changed since"
    )


def _approval(account: Account, plan_hash: str) -> Any:
    wanted = sa.select(approvals).where(
        approvals.c.environment == account.identity.environment, approvals.c.plan_hash == plan_hash
    )
    with account.state.read() as connection:
        return connection.execute(wanted).first()


def _record(account: Account, plan: Plan) -> None:
    row = {
        "environment": account.identity.environment,
        "plan_hash": plan.hash,
        "plan_json": plan.json_text(),
        "built_at": account.clock(),
    }
    dialect = sqlite if account.state.is_sqlite else postgresql
    with account.state.begin() as connection:
        connection.execute(dialect.insert(plans).values(row).on_conflict_do_nothing())


def _approve(
    account: Account, plan_hash: str, *, approver: str, mode: Literal["automatic", "person"], credits: int
) -> None:
    now = account.clock()
    values = {"approver": approver, "mode": mode, "credits": credits, "approved_at": now}
    dialect = sqlite if account.state.is_sqlite else postgresql
    row = {"environment": account.identity.environment, "plan_hash": plan_hash, **values}
    account.probe("approved:before")
    with account.state.begin() as connection:
        key = ["environment", "plan_hash"]
        connection.execute(
            dialect.insert(approvals).values(row).on_conflict_do_update(index_elements=key, set_=values)
        )
        event = {
            "event": "approved",
            "environment": account.identity.environment,
            "account": account.identity.stripe_account,
            "workspace": account.identity.workspace,
            "actor": approver,
            "plan": plan_hash,
            "mode": mode,
            "credits": credits,
            "policy": account.policy.version,
        }
        audit.append(connection, event, at=now)
        account.probe("approved:inside")
    account.probe("approved:after")
