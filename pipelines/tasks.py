"""What each command does: runs a job or asks the account, and turns what came of it into an answer.

Here: one function a command. Not here: arguments (`pipelines.cli`), printing (`pipelines.answer`), any rule.
"""

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console, JustifyMethod
from rich.table import Table

from pipelines.answer import Answer, Exit, complain
from pipelines.definitions import resources_of
from pipelines.progress import TerminalProgress
from pipelines.report import Edition
from pipelines.report.asset import REPORT
from pipelines.runner import RunOutcome, run_job
from pipelines.settings import Settings
from pipelines.summary import render, summarise
from resources.lake import Lake
from resources.progress import Logged, Silent

if TYPE_CHECKING:
    from activation.account import Account

__all__ = [
    "apply_plan",
    "approve_plan",
    "decide_held",
    "derive_segments",
    "extract_tables",
    "list_held",
    "list_settings",
    "make_plan",
    "reconcile_account",
    "refresh",
    "replay_webhooks",
    "write_report",
]

Decision = Literal["adopt", "release", "resend"]


def refresh(settings: Settings, err: Console) -> Answer:
    """The whole job, and its summary."""
    outcome = _run(settings, err, "refresh")
    return _summary(settings, outcome) if outcome.success else _failed(outcome)


def extract_tables(settings: Settings, err: Console, *, full: bool) -> Answer:
    """The raw tables."""
    config = {"ops": {"stripe_tables": {"config": {"full": full}}}}
    outcome = _run(settings, err, "extract", config=config)
    if not outcome.success:
        return _failed(outcome)
    return _tables(settings, outcome, "stripe")


def derive_segments(settings: Settings, err: Console) -> Answer:
    """The segment tables."""
    outcome = _run(settings, err, "segment")
    if not outcome.success:
        return _failed(outcome)
    return _tables(settings, outcome, "segments")


def make_plan(settings: Settings, err: Console) -> Answer:
    """The plan, and whether it may be carried out."""
    outcome = _run(settings, err, "activate", selection=["mavera/plan"])
    if not outcome.success:
        return _failed(outcome)
    rows = Lake(settings.lake).read("mavera/plan").to_pylist()
    approved = not any(warning.startswith("mavera/plan: approved") for warning in outcome.warnings)
    plan_hash = rows[0]["plan_hash"] if rows else None
    credits = sum(row["credits"] for row in rows)

    def page(console: Console) -> None:
        table = _table("Plan", "action", "kind", "segment", "credits", "why")
        for row in rows:
            table.add_row(row["action"], row["kind"], row["segment_key"], f"{row['credits']:,}", row["reason"])
        console.print(table)
        _warn(console, outcome)
        console.print(f"{credits:,} credits at worst. Plan {plan_hash}", highlight=False, soft_wrap=True)
        console.print("Approved." if approved else f"Waits: stripe-mavera approve {str(plan_hash)[:12]}")

    payload = {
        "plan_hash": plan_hash,
        "credits": credits,
        "approved": approved,
        "operations": [
            {k: row[k] for k in ("action", "kind", "segment_key", "credits", "reason")} for row in rows
        ],
        "warnings": list(outcome.warnings),
    }
    return Answer(payload=payload, exit=Exit.DONE if approved else Exit.WAITS_FOR_PERSON, page=page)


def apply_plan(settings: Settings, err: Console) -> Answer:
    """Carry the plan out."""
    from activation.tables import MAVERA_TABLES

    made = [*(f"mavera/{name}" for name in MAVERA_TABLES if name != "plan"), REPORT]
    outcome = _run(settings, err, "activate", selection=made)
    return _summary(settings, outcome) if outcome.success else _failed(outcome)


def approve_plan(settings: Settings, plan_hash: str, *, by: str) -> Answer:
    """A person's approval."""
    from activation.approval import approve

    async def record(account: "Account") -> Any:
        return approve(account, plan_hash, approver=by)

    status = _with_account(settings, record)
    line = f"{status.plan_hash}: approved by {status.approver}"
    return Answer(
        payload={"plan_hash": status.plan_hash, "approver": status.approver, "approved": status.approved},
        page=lambda console: console.print(line, highlight=False, soft_wrap=True),
    )


def reconcile_account(settings: Settings, err: Console) -> Answer:
    """Both sides compared."""
    outcome = _run(settings, err, "reconcile")
    if not outcome.success:
        return _failed(outcome)
    lines = outcome.warnings or ("Tables and ledger agree with Stripe and Mavera.",)

    def page(console: Console) -> None:
        for line in lines:
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    return Answer(
        payload={"success": True, "run_id": outcome.run_id, "warnings": list(outcome.warnings)},
        exit=Exit.WAITS_FOR_PERSON if outcome.warnings else Exit.DONE,
        page=page,
    )


def write_report(settings: Settings, *, out: Path | None, now: datetime) -> Answer:
    """The report as a file, whole or not at all. Raises: NothingToReportError."""
    edition = Edition.of(settings)
    target = (out or edition.file).absolute()
    facts = edition.written(Lake(settings.lake), now=now, file=target)
    absent = sorted({name for names in facts.missing.values() for name in names})

    def report_lines(console: Console) -> None:
        console.print(f"Report: {target}", markup=False, highlight=False, soft_wrap=True)
        for name in absent:
            console.print(f"Not made yet: {name}", markup=False, highlight=False, soft_wrap=True)

    payload = {
        "report": str(target),
        "missing_tables": absent,
        "reporting_currency": facts.reporting_currency,
        "headline": None if facts.headline is None else facts.headline.model_dump(mode="json"),
        "spend": None if facts.spend is None else facts.spend.model_dump(mode="json"),
    }
    return Answer(payload=payload, page=report_lines)


def replay_webhooks(settings: Settings, event_ids: Sequence[str], *, now: datetime) -> Answer:
    """Events that wait again; of named ones, all must."""
    from ingest.inbox import replay

    database = resources_of(settings, Silent())["state"].open()
    count = replay(database, now=now, event_ids=event_ids)
    database.close()
    missing = len(set(event_ids)) - count if event_ids else 0

    def page(console: Console) -> None:
        console.print(f"Events that wait again: {count}. The next run works them off.")
        if missing > 0:
            console.print(f"Waiting already, or not in the inbox: {missing}")

    payload = {"replayed": count, "not_replayed": max(missing, 0)}
    return Answer(payload=payload, exit=Exit.FAILED if missing > 0 else Exit.DONE, page=page)


def list_held(settings: Settings) -> Answer:
    """What waits for a person."""
    from activation.held import held

    async def ask(account: "Account") -> Any:
        return held(account)

    rows = _with_account(settings, ask)

    def page(console: Console) -> None:
        if not rows:
            console.print("Nothing waits.")
            return
        table = _table("Held", "key", "state", "credits", "since", "reason", "next")
        for row in rows:
            since = row.since.strftime("%Y-%m-%d %H:%M")
            table.add_row(row.key, row.state, f"{row.credits:,}", since, row.reason, row.next_action)
        console.print(table)
        for row in rows:
            # Once more in one piece, to be copied: in the table, a narrow terminal breaks the key.
            console.print(
                f"held adopt, release or retry: {row.key}", soft_wrap=True, markup=False, highlight=False
            )

    names = ("key", "state", "credits", "since", "settles_at", "token", "code", "reason", "next_action")
    return Answer(
        payload={"held": [{name: getattr(row, name) for name in names} for row in rows]},
        exit=Exit.WAITS_FOR_PERSON if rows else Exit.DONE,
        page=page,
    )


def decide_held(
    settings: Settings, key: str, decision: Decision, *, by: str, remote_id: str | None = None
) -> Answer:
    """A person's decision about a held row, on record."""
    from activation.held import resolve_held

    async def decide(account: "Account") -> str:
        return await resolve_held(
            account, key, decision, actor=by, run_id=f"person-{uuid.uuid4().hex[:12]}", remote_id=remote_id
        )

    line = _with_account(settings, decide)
    return Answer(
        payload={"key": key, "decision": decision, "by": by, "result": line},
        page=lambda console: console.print(line, highlight=False, soft_wrap=True),
    )


def list_settings(*, markdown: bool) -> Answer:
    """The settings there are."""
    from pipelines.reference import known_settings, settings_table

    found = known_settings()

    def page(console: Console) -> None:
        if markdown:
            console.print(settings_table(), markup=False, highlight=False, soft_wrap=True)
            return
        table = _table("Settings", "variable", "default", "meaning")
        for one in found:
            table.add_row(one.name, one.default, one.about)
        console.print(table)

    return Answer(payload={"settings": [one.model_dump() for one in found]}, page=page)


def _with_account(settings: Settings, ask: Callable[["Account"], Any]) -> Any:
    from assets.account import open_account

    doors = resources_of(settings, Silent())

    async def go() -> Any:
        async with open_account(doors["mavera"], doors["state"].open(), doors["paid_work"]) as account:
            return await ask(account)

    return asyncio.run(go())


def _run(
    settings: Settings,
    err: Console,
    job: str,
    *,
    selection: Sequence[str] | None = None,
    config: Mapping[str, Any] | None = None,
) -> RunOutcome:
    if settings.log_format == "json":
        return run_job(settings, job, progress=Logged(), selection=selection, config=config)
    with TerminalProgress(err) as progress:
        return run_job(settings, job, progress=progress, selection=selection, config=config)


def _failed(outcome: RunOutcome) -> Answer:
    def page(_console: Console) -> None:
        for line in outcome.failures:
            complain(line)

    return Answer(
        payload={"success": False, "run_id": outcome.run_id, "errors": list(outcome.failures)},
        exit=Exit.FAILED,
        page=page,
    )


def _tables(settings: Settings, outcome: RunOutcome, group: str) -> Answer:
    """Rows of each table of a group."""
    from ingest.tables import RAW_TABLES
    from segments.tables import SEGMENT_TABLES

    lake = Lake(settings.lake)
    names = [*RAW_TABLES, "quarantine"] if group == "stripe" else list(SEGMENT_TABLES)
    rows = {f"{group}/{name}": lake.row_count(f"{group}/{name}") for name in names}

    def page(console: Console) -> None:
        table = _table("Tables", "table", "rows")
        for name, count in rows.items():
            table.add_row(name, f"{count:,}")
        console.print(table)
        _warn(console, outcome)
        console.print(f"Tables: {settings.lake}", highlight=False, soft_wrap=True)

    payload = {
        "success": True,
        "run_id": outcome.run_id,
        "rows": rows,
        "seconds": dict(outcome.seconds),
        "warnings": list(outcome.warnings),
        "lake": settings.lake,
    }
    return Answer(payload=payload, page=page)


def _summary(settings: Settings, outcome: RunOutcome) -> Answer:
    summary = summarise(Lake(settings.lake), reporting_currency=settings.reporting_currency, run_id=outcome.run_id)

    def page(console: Console) -> None:
        render(summary, console)
        console.print(f"Report: {Edition.of(settings).file}", highlight=False, soft_wrap=True)
        _warn(console, outcome)

    payload = {
        "success": not summary.failed,
        "run_id": outcome.run_id,
        **summary.model_dump(mode="json"),
        "seconds": dict(outcome.seconds),
        "warnings": list(outcome.warnings),
    }
    exit_code = Exit.FAILED if summary.failed else Exit.WAITS_FOR_PERSON if summary.waiting else Exit.DONE
    return Answer(payload=payload, exit=exit_code, page=page)


def _warn(console: Console, outcome: RunOutcome) -> None:
    """What a person should know besides, such as why a plan waits."""
    for line in outcome.warnings:
        console.print(f"warning: {line}", style="yellow", markup=False, highlight=False, soft_wrap=True)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim")
    for name in columns:
        # Folded, never cut: what a narrow terminal shows of a key or a reason must still be all of it.
        justify: JustifyMethod = "right" if name in ("credits", "rows") else "left"
        table.add_column(name, justify=justify, overflow="fold", no_wrap=name in ("variable", "credits"))
    return table
