"""Carrying out an approved plan: each row ends as done, unchanged, failed, held or skipped, with a reason.

Here: the order of rows (updates, then what others point at, then the rest, side by side), what stops them, and the
report with the tables for the lake. Not here: one row's steps (`worker`), the ledger, the tables (`results`).
Nothing is paid for a plan that is not approved, for objects that changed since it was made, or over a cap.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from activation.account import Account
from activation.approval import ApprovalStatus, approval_status
from activation.carrier import Carrier
from activation.endings import Ended, unapproved
from activation.intents import Run
from activation.plan_model import Plan
from activation.reconcile import resolve_unknown
from activation.results import tables_of
from resources.loggers import get_logger
from resources.progress import Progress, Silent

__all__ = ["ApplyReport", "apply"]

_log = get_logger("stripe_mavera.plan")


@dataclass(frozen=True, kw_only=True)
class ApplyReport:
    """What a run did."""

    account: Account
    plan: Plan
    run_id: str
    approval: ApprovalStatus
    rows: tuple[Ended, ...]
    credits_counted: int
    credits_settled: int
    alerts: tuple[str, ...] = ()

    @cached_property
    def tables(self) -> Mapping[str, pa.Table]:
        """Whole tables `mavera/<table>` by name, as the ledger stands when first asked for."""
        return tables_of(self.account, self.plan, self.rows, run_id=self.run_id)

    @property
    def plan_hash(self) -> str:
        """Hash of the plan."""
        return self.plan.hash

    @property
    def counts(self) -> dict[str, int]:
        """Rows by their ending."""
        out: dict[str, int] = {}
        for row in self.rows:
            out[row.ending] = out.get(row.ending, 0) + 1
        return out

    @property
    def waits_for_a_person(self) -> bool:
        """Whether anything is left that only a person can decide."""
        return not self.approval.approved or any(row.ending == "held" for row in self.rows)


async def apply(
    account: Account, plan: Plan, *, run_id: str, actor: str, progress: Progress | None = None, seed: int = 0
) -> ApplyReport:
    """Carry out `plan` if it is approved. May be called again, by several runs at once, after any crash.

    Raises: PinError. Failures of single rows are in the report.
    """
    account.pin()
    approval = approval_status(account, plan)
    if not approval.approved:
        rows = tuple(unapproved(operation, approval.reason) for operation in plan.operations)
        return _report(account, plan, run_id, approval, rows)
    run = Run(
        run_id=run_id,
        actor=actor,
        plan_hash=plan.hash,
        policy_version=account.policy.version,
        approver=approval.approver,
    )
    await resolve_unknown(account, run=run)
    carrier = Carrier(account, plan, run=run, progress=progress or Silent(), seed=seed)
    rows = await carrier.carry()
    account.remember("customers", str(plan.source.customers))
    report = _report(account, plan, run_id, approval, rows, alerts=carrier.stops.alerts)
    _tell(report)
    return report


def _tell(report: ApplyReport) -> None:
    """The end of a run for the log; a full budget refuses hundreds of rows for one reason, which is one line."""
    refused = [row for row in report.rows if row.code == "cap"]
    if refused:
        _log.warning("budget refused", rows=len(refused), reason=refused[0].reason)
    say = _log.warning if report.waits_for_a_person else _log.info
    say("plan carried out", plan=report.plan_hash[:12], credits=report.credits_counted, **report.counts)


def _report(
    account: Account,
    plan: Plan,
    run_id: str,
    approval: ApprovalStatus,
    rows: tuple[Ended, ...],
    *,
    alerts: Iterable[str] = (),
) -> ApplyReport:
    spend = account.ledger.spend(run_id=run_id)
    return ApplyReport(
        account=account,
        plan=plan,
        run_id=run_id,
        approval=approval,
        rows=rows,
        credits_counted=spend.run,
        credits_settled=spend.month_settled,
        alerts=(*alerts, *_alerts(account, spend.month)),
    )


def _alerts(account: Account, month: int) -> list[str]:
    """The highest of 50, 75 and 90 percent of the month's cap that is reached."""
    cap = account.policy.caps.per_month
    reached = [level for level in (50, 75, 90) if cap and month * 100 >= cap * level]
    return [f"{reached[-1]} percent of the month's {cap} credits are counted ({month})"] if reached else []
