"""The Mavera side: the plan, a person's approval, and the tables that carrying it out makes.

Here: the hand-over of released cells to `activation`, and what is shown. Not here: any rule of paid work. Nothing
in this module retries, as running a step again must never pay again (the ledger decides).
"""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, get_args

import dagster as dg
from pydantic import Field

from activation.endings import Ending
from activation.tables import MAVERA_TABLES
from assets.account import PaidWork, open_account
from assets.tables import OWNERS, key_check_spec, stored, table_asset, table_spec
from resources.progress import Progress
from resources.redaction import redacting_errors
from resources.wiring import LakeResource, MaveraResource, StateResource
from segments.tables import SEGMENT_TABLES

if TYPE_CHECKING:
    import pyarrow as pa

    from activation.account import Account
    from activation.apply import ApplyReport
    from activation.plan_model import Plan
    from resources.lake import Lake

__all__ = ["HELD_ALONE", "MAVERA_ASSETS"]

_CELLS: Final = "segments/released_cells"
_COHORTS: Final = "segments/churn_cohorts"
HELD_ALONE: Final = "held_alone"
"""Metadata of a check that warns of held rows and of nothing else."""
# A check says in a line what waits; the table has all.
_MOST_REASONS: Final = 4
_MADE: Final = [name for name in MAVERA_TABLES if name != "plan"]


async def _plan(account: "Account", lake: "Lake", work: PaidWork) -> "Plan":
    """The plan for the cells that are released now. Sends GETs only."""
    from activation.briefs import Suppressed
    from activation.operator import Stake, briefs_of
    from activation.plan import build_plan
    from activation.plan_model import Source

    version = lake.open(_CELLS).version()
    rows = lake.read(_CELLS, version=version).to_pylist()
    customers = lake.row_count("segments/mrr_tiers")
    released = [{"segment_key": row["segment_key"], **json.loads(row["fields"])} for row in rows if row["fields"]]
    stakes = {
        row["segment_key"]: Stake(minor=row["at_stake_minor"], complete=row["unknown_mrr"] == 0)
        for row in lake.read_or_empty(_COHORTS, SEGMENT_TABLES["churn_cohorts"]).to_pylist()
    }
    briefs, silent = briefs_of(released, work.operator(), stakes=stakes)
    hidden = [
        Suppressed(segment_key=row["segment_key"], reason=row["reason"], merged_into=row["merged_into"])
        for row in rows
        if not row["fields"]
    ]
    return await build_plan(
        account,
        briefs,
        source=Source(customers=customers, versions={_CELLS: version}),
        suppressed=[*hidden, *silent],
        callback_url=work.callback_url,
    )


_APPROVED = dg.AssetCheckSpec(
    "approved",
    asset=["mavera", "plan"],
    description="The plan may be carried out: it approved itself, or a person approved its hash.",
)


@table_asset(
    "mavera/plan",
    MAVERA_TABLES["plan"],
    deps=[_CELLS, _COHORTS],
    kinds={"mavera"},
    checks=[_APPROVED],
    pool="mavera",
)
@redacting_errors
def plan(
    context: dg.AssetExecutionContext,
    lake: LakeResource,
    state: StateResource,
    mavera: MaveraResource,
    paid_work: dg.ResourceParam[PaidWork],
) -> dg.MaterializeResult:
    """What would be created, changed and spent, with the reason for each. Writes nothing to Mavera."""
    from activation.approval import approval_status
    from activation.reconcile import resolve_unknown
    from activation.results import plan_table

    async def make() -> Any:
        async with open_account(mavera, state.open(), paid_work) as account:
            await resolve_unknown(account, run=account.acting(context.run.run_id, "dagster"))
            made = await _plan(account, lake.open(), paid_work)
            return made, approval_status(account, made)

    made, status = asyncio.run(make())
    return stored(
        lake.open(),
        "mavera/plan",
        plan_table(made),
        MAVERA_TABLES["plan"],
        read=made.source.versions,
        metadata={
            "plan_hash": made.hash,
            "credits_at_worst": made.credits,
            "operations": dict(made.counts),
            "to_create": made.counts.get("create", 0),
            "to_update": made.counts.get("update", 0),
            "held": made.counts.get("held", 0),
            "suppressed": len(made.suppressed),
            "requires_person": list(made.requires_person),
            "customers": made.source.customers,
            "plan": _plan_markdown(made),
        },
        checks=(
            dg.AssetCheckResult(
                check_name="approved",
                asset_key=["mavera", "plan"],
                passed=status.approved,
                severity=dg.AssetCheckSeverity.WARN,
                description=status.reason if status.approved else f"{status.reason}: approve {made.hash[:12]}",
                metadata={"mode": status.mode, "approver": status.approver or "nobody"},
            ),
        ),
    )


def _plan_markdown(made: "Plan") -> dg.MarkdownMetadataValue:
    lines = ["| action | kind | segment | credits | why |", "|---|---|---|---|---|"]
    lines += [
        f"| {one.action} | {one.kind.value} | {one.segment_key} | {one.credits} | {one.reason} |"
        for one in made.operations
    ]
    return dg.MetadataValue.md("\n".join(lines))


class Approving(dg.Config):
    """A person's word."""

    plan_hash: str = Field("", description="Hash of the plan, whole or at least its first 8 characters.")
    approver: str = Field("", description="Who approves.")


@dg.asset(
    key=["mavera", "approval"],
    group_name="mavera",
    kinds={"python"},
    owners=OWNERS,
    deps=[["mavera", "plan"]],
    description=(
        "A person's approval of a plan. Materialise it from the launchpad (shift and click on *Materialize*) with "
        "`plan_hash` and `approver`; then run the job `activate`."
    ),
    output_required=False,
    pool="mavera",
)
@redacting_errors
def approval(
    context: dg.AssetExecutionContext,
    config: Approving,
    state: StateResource,
    mavera: MaveraResource,
    paid_work: dg.ResourceParam[PaidWork],
) -> Iterator[dg.MaterializeResult]:
    """Record a person's approval; without a hash and a name, as in "materialise all", nothing is approved."""
    from activation.approval import approve

    if not config.plan_hash and not config.approver:
        context.log.warning(
            "nothing is approved: open the launchpad (shift and click) and give plan_hash and approver"
        )
        return
    if not config.plan_hash or not config.approver:
        raise dg.Failure("an approval names the plan's hash and the approver", allow_retries=False)

    async def record() -> Any:
        async with open_account(mavera, state.open(), paid_work) as account:
            return approve(account, config.plan_hash, approver=config.approver)

    status = asyncio.run(record())
    yield dg.MaterializeResult(metadata={"plan_hash": status.plan_hash, "approver": status.approver})


@dg.multi_asset(
    name="carry_out",
    specs=[
        table_spec(f"mavera/{name}", MAVERA_TABLES[name], deps=["mavera/plan"], kinds={"mavera"}, skippable=True)
        for name in _MADE
    ],
    check_specs=[
        *(key_check_spec(f"mavera/{name}") for name in _MADE),
        dg.AssetCheckSpec(
            "nothing_waits",
            asset=["mavera", "outcomes"],
            description="Every planned row is done or unchanged, and of use; none failed or waits for a person.",
        ),
    ],
    pool="mavera",
)
@redacting_errors
def carry_out(
    context: dg.AssetExecutionContext,
    lake: LakeResource,
    state: StateResource,
    mavera: MaveraResource,
    paid_work: dg.ResourceParam[PaidWork],
    progress: dg.ResourceParam[Progress],
) -> Iterator[dg.MaterializeResult]:
    """Carry out the plan if it is approved and still fits; each row ends with a reason."""
    from activation.apply import apply

    async def carry() -> "ApplyReport":
        async with open_account(mavera, state.open(), paid_work) as account:
            made = await _plan(account, lake.open(), paid_work)
            return await apply(account, made, run_id=context.run.run_id, actor="dagster", progress=progress)

    if paid_work.refusal is not None:
        raise dg.Failure(paid_work.refusal, allow_retries=False)
    report = asyncio.run(carry())
    for name, table in report.tables.items():
        yield stored(
            lake.open(),
            f"mavera/{name}",
            table,
            MAVERA_TABLES[name],
            read={},
            facts={"plan_hash": report.plan_hash, "run_id": report.run_id},
            metadata=_figures(report) if name in ("outcomes", "spend") else {},
            checks=(_waiting(report),) if name == "outcomes" else (),
        )


def _figures(report: "ApplyReport") -> dict[str, Any]:
    return {
        "plan_hash": report.plan_hash,
        "approval": f"{report.approval.mode}: {report.approval.reason}",
        "endings": dict(report.counts),
        **{ending: report.counts.get(ending, 0) for ending in get_args(Ending)},
        "credits_counted": report.credits_counted,
        "credits_settled": report.credits_settled,
        "alerts": list(report.alerts),
    }


def _waiting(report: "ApplyReport") -> dg.AssetCheckResult:
    open_rows = Counter(
        f"{row.ending}: {'; '.join(filter(None, (row.reason, row.next_action)))}"
        for row in report.rows
        if row.ending not in ("done", "unchanged") or row.next_action
    )
    told = [f"{count} {what}" for what, count in open_rows.most_common(_MOST_REASONS)]
    if len(open_rows) > _MOST_REASONS:
        told.append(f"{len(open_rows) - _MOST_REASONS} more reasons are in mavera/outcomes")
    if not report.approval.approved:
        told.append(f"stripe-mavera approve {report.plan_hash[:12]}, then stripe-mavera apply")
    return dg.AssetCheckResult(
        check_name="nothing_waits",
        asset_key=["mavera", "outcomes"],
        passed=not open_rows and report.approval.approved,
        severity=dg.AssetCheckSeverity.WARN,
        description=". ".join(told) or report.approval.reason,
        metadata={
            "endings": dict(report.counts),
            HELD_ALONE: report.approval.approved and {one.partition(":")[0] for one in open_rows} == {"held"},
        },
    )


@dg.asset(
    key=["mavera", "reconciliation"],
    group_name="mavera",
    kinds={"mavera"},
    owners=OWNERS,
    deps=[["mavera", "outcomes"]],
    check_specs=[
        dg.AssetCheckSpec(
            "nothing_unknown",
            asset=["mavera", "reconciliation"],
            description="No paid call is without an outcome, and the account charged what the ledger says.",
        )
    ],
    description=(
        "The ledger against Mavera: unknown outcomes resolved, finished texts collected, orphans listed, credits "
        "compared. Reads only."
    ),
    pool="mavera",
)
@redacting_errors
def mavera_reconciliation(
    context: dg.AssetExecutionContext,
    lake: LakeResource,
    state: StateResource,
    mavera: MaveraResource,
    paid_work: dg.ResourceParam[PaidWork],
) -> dg.MaterializeResult:
    """Resolve what is unknown and collect what Mavera has finished, by reading; list what a person must decide."""
    from activation.reconcile import ReconcileReport, reconcile
    from activation.results import objects_tables
    from ingest.drain import callbacks

    async def compare() -> tuple[ReconcileReport, "dict[str, pa.Table]"]:
        async with open_account(mavera, state.open(), paid_work) as account:
            found = await reconcile(account, run_id=context.run.run_id, actor="dagster")
            return found, objects_tables(account) if found.collected else {}

    with callbacks(state.open(), now=lambda: datetime.now(UTC), worker=context.run.run_id) as called:
        report, tables = asyncio.run(compare())
        for name, table in tables.items():
            lake.open().replace(f"mavera/{name}", table, MAVERA_TABLES[name])
            context.log_event(
                dg.AssetMaterialization(["mavera", name], metadata={"dagster/row_count": table.num_rows})
            )
    open_ends = report.held + report.waiting + len(report.orphans) + len(report.unread)
    return dg.MaterializeResult(
        metadata={
            "looked_up": report.looked_up,
            "callbacks": called,
            "collected": report.collected,
            "adopted": report.adopted,
            "held": report.held,
            "waiting": report.waiting,
            "freed": report.freed,
            "orphans": len(report.orphans),
            "unread": list(report.unread),
            "credit_drift": "unknown" if report.drift is None else report.drift,
        },
        check_results=[
            dg.AssetCheckResult(
                check_name="nothing_unknown",
                passed=open_ends == 0 and not report.drift,
                severity=dg.AssetCheckSeverity.WARN,
                description=f"{report.held} held, {report.waiting} waiting, {len(report.orphans)} without a row",
                metadata={HELD_ALONE: report.held == open_ends and not report.drift},
            )
        ],
    )


MAVERA_ASSETS = (plan, approval, carry_out, mavera_reconciliation)
