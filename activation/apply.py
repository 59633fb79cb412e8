"""Carrying out an approved plan: each row ends as done, unchanged, failed, held or skipped, with a reason.

Here: the order of rows (updates, then what others point at, then the rest, side by side), what stops them, and the
report with the tables for the lake. Not here: one row's steps (`worker`), the ledger, the tables (`results`).
Nothing is paid for a plan that is not approved, for objects that changed since it was made, or over a cap.
"""

import asyncio
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import pyarrow as pa

from activation.account import Account
from activation.approval import ApprovalStatus, approval_status
from activation.dispatch import Dispatcher
from activation.intents import Balance, Run
from activation.leases import Leases
from activation.plan_model import Operation, Plan
from activation.policy import Caps, Kind
from activation.registry import StoredObject
from activation.remote import RemoteView, read_remote
from activation.results import tables_of
from activation.settling import resolve_by, resolve_in_time
from activation.surfaces import SURFACES, Need, Remote, needs_of, resolved
from activation.surfaces.personas import remote_persona
from activation.worker import Ended, Stops, Worker
from resources.mavera import MaveraError, Usage
from resources.progress import Progress, Silent

__all__ = ["ApplyReport", "apply"]


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
    usage_before: int | None = None
    usage_after: int | None = None
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
        rows = tuple(_waiting(operation, approval.reason) for operation in plan.operations)
        return _report(account, plan, run_id, approval, rows)
    run = Run(
        run_id=run_id,
        actor=actor,
        plan_hash=plan.hash,
        policy_version=account.policy.version,
        approver=approval.approver,
    )
    unknown = account.ledger.recover(run=run)
    if unknown:
        view = await read_remote(account.mavera, [row.kind for row in unknown if row.kind in SURFACES])
        for row in unknown:
            await resolve_by(account, row, view, run=run)
    carried = _Carrier(account, plan, run=run, progress=progress or Silent(), seed=seed)
    rows = await carried.carry()
    if plan.source.complete:
        account.remember("customers", str(plan.source.customers))
    after = await _usage(account) if carried.usage is not None else None
    return _report(account, plan, run_id, approval, rows, before=carried.usage, after=after)


class _Carrier:
    """One run over one plan."""

    def __init__(self, account: Account, plan: Plan, *, run: Run, progress: Progress, seed: int) -> None:
        self.usage: Usage | None = None
        self._account = account
        self._ledger = account.ledger
        self._plan = plan
        self._run = run
        self._progress = progress
        self._jitter = random.Random(seed)
        self._stops = Stops()
        self._ended = 0
        self._outcomes: dict[tuple[Kind, str], asyncio.Future[Ended]] = {}
        self._ready: dict[tuple[Kind, str], asyncio.Task[str | Ended]] = {}

    async def carry(self) -> tuple[Ended, ...]:
        plan, paid = self._plan, [one for one in self._plan.operations if one.is_paid]
        view = RemoteView()
        if any(one.changes_state for one in plan.operations):
            view = await read_remote(self._account.mavera, _kinds(plan.operations))
            self.usage = view.usage
        self._count_balance(paid, view)
        dispatcher = self._dispatcher()
        async with dispatcher:
            worker = Worker(
                self._account,
                dispatcher=dispatcher,
                run=self._run,
                caps=self._caps(),
                before=self._balance(),
                stops=self._stops,
                jitter=self._jitter,
            )
            updates = {
                id(one): await self._update(worker, one) for one in plan.operations if one.action == "update"
            }
            loop = asyncio.get_running_loop()
            self._outcomes = {_key(one): loop.create_future() for one in plan.operations if _stays(one)}
            rows = await asyncio.gather(
                *(self._row(worker, one, view, updates.get(id(one))) for one in plan.operations),
                return_exceptions=True,
            )
        # Rows under way end first, so that a failure of one (the state database is gone, say) loses no answer.
        for row in rows:
            if isinstance(row, BaseException):
                raise row
        await self._finish_results()
        return tuple(row for row in rows if isinstance(row, Ended))

    async def _finish_results(self) -> None:
        """Texts that Mavera makes in the background, of this run and of earlier ones."""
        pending = [one for one in self._ledger.objects() if one.result_status == "pending"]
        await asyncio.gather(*(self._until_ready(one) for one in pending if one.kind is not Kind.BRAND_VOICE))

    # ---- one row ------------------------------------------------------------------------------------------------
    async def _row(self, worker: Worker, operation: Operation, view: RemoteView, ended: Ended | None) -> Ended:
        outcome = self._outcomes.get(_key(operation)) if _stays(operation) else None
        try:
            ended = ended or await self._carry_out(worker, operation, view)
        except BaseException as error:
            if outcome is not None:
                # Those who wait for this row end with it; nobody retrieves the error of a row without dependents.
                outcome.cancel() if isinstance(error, asyncio.CancelledError) else outcome.set_exception(error)
                outcome.exception() if outcome.done() and not outcome.cancelled() else None
            raise
        if outcome is not None:
            outcome.set_result(ended)
        self._ended += 1
        self._progress.report("mavera", self._ended, len(self._plan.operations), operation.segment_key)
        return ended

    async def _carry_out(self, worker: Worker, operation: Operation, view: RemoteView) -> Ended:
        match operation.action:
            case "unchanged":
                return Ended(operation=operation, ending="unchanged", reason=operation.reason)
            case "held":
                return await self._held(operation)
            case "archive":
                return self._archive(operation)
            case "adopt":
                return await self._adopt(operation, view)
            case _:
                return await self._create(worker, operation, view)

    async def _held(self, operation: Operation) -> Ended:
        """A row that waited when the plan was made: perhaps its window has passed by now."""
        for row in self._ledger.intents(states=("sent", "unknown")):
            if (_pointed(row.kind), row.segment_key) != _key(operation):
                continue
            if self._account.policy.await_unknown:
                await resolve_in_time(self._account, row, run=self._run)
            now = self._ledger.intent(row.id) or row
            if now.state == "done":
                reason = "found after an unclear outcome"
                return Ended(operation=operation, ending="done", reason=reason, remote_id=now.remote_id)
            if now.state == "failed" and now.code == "resend":
                return _skipped(operation, now.reason or "", code="resend")
        if self._was_resolved(operation):
            return Ended(operation=operation, ending="done", reason="found after an unclear outcome")
        return Ended(operation=operation, ending="held", reason=operation.reason, next_action="see the held rows")

    def _was_resolved(self, operation: Operation) -> bool:
        """Whether an object came into our map since the plan was made, by the look-up at the start of this run."""
        key = (operation.kind, operation.segment_key, operation.spec_version)
        known = {(one.kind, one.segment_key, one.spec_version) for one in self._ledger.objects()}
        return operation.remote_id is None and key in known

    async def _create(self, worker: Worker, operation: Operation, view: RemoteView) -> Ended:
        if operation.kind in view.errors:
            return _skipped(operation, f"cannot look first: {view.errors[operation.kind]}", code="unread")
        if view.by_token(operation.kind, operation.token):
            return _skipped(operation, "it appeared at Mavera since the plan was made", code="stale")
        ids: dict[str, str] = {}
        for need in needs_of(operation.body):
            found = await self._needed(need)
            if isinstance(found, Ended):
                return _skipped(operation, f"needs {need.segment_key}: {found.reason}", code="dependency")
            ids[need.segment_key] = found
        return await worker.carry_out(operation, resolved(operation.body, lambda need: ids[need.segment_key]))

    async def _needed(self, need: Need) -> str | Ended:
        """The id of an object that others point at, or why there is none; looked for once for all of them."""
        key = (need.kind, need.segment_key)
        if key not in self._ready:
            self._ready[key] = asyncio.create_task(self._find_needed(key))
        return await self._ready[key]

    async def _find_needed(self, key: tuple[Kind, str]) -> str | Ended:
        """Wait for its own row to end and for the object to be ready for use."""
        ended = await self._outcomes[key] if key in self._outcomes else None
        mine = [one for one in self._ledger.objects() if (one.kind, one.segment_key) == key]
        if not mine:
            reason = "it has no brief" if ended is None else ended.reason
            return Ended(operation=self._plan.operations[0], ending="skipped", reason=reason)
        newest = max(mine, key=lambda one: (one.since, one.spec_version))
        if newest.result_status == "pending":
            newest = await self._until_ready(newest)
        if newest.result_status != "completed":
            reason = f"it is {newest.result_status} at Mavera"
            return Ended(operation=self._plan.operations[0], ending="skipped", reason=reason)
        return newest.remote_id

    async def _until_ready(self, one: StoredObject) -> StoredObject:
        """Poll what Mavera builds in the background, until a deadline; the next run looks again."""
        policy = self._account.policy
        deadline = self._account.clock().timestamp() + policy.await_results_seconds
        while True:
            try:
                answer = await SURFACES[one.kind].refreshed(self._account.mavera, one.remote_id)
            except MaveraError:
                answer = None
            if answer is not None and answer.status != "pending":
                self._ledger.refresh_result(one, status=answer.status, result=answer.result)
                return replace(one, result_status=answer.status, result=answer.result)
            if self._account.clock().timestamp() >= deadline:
                return one
            await asyncio.sleep(policy.poll_seconds)

    async def _update(self, worker: Worker, operation: Operation) -> Ended:
        """Updates go one by one before anything else: their price is read from the account's own figure."""
        try:
            persona = await self._account.mavera.persona(operation.remote_id or "")
        except MaveraError as error:
            return _skipped(operation, f"cannot be compared: {error}", code="unread")
        remote = None if persona is None else remote_persona(persona)
        if remote is None or remote.hash != operation.remote_hash:
            return _skipped(operation, "edited or deleted at Mavera since the plan was made", code="stale")
        return await worker.carry_out(operation, operation.body)

    async def _adopt(self, operation: Operation, view: RemoteView) -> Ended:
        """Take an object over without paying: found by its token, or ours and only asleep."""
        now = self._account.clock()
        mine = next(
            (
                one
                for one in self._ledger.objects()
                if (one.kind, one.segment_key, one.spec_version)
                == (operation.kind, operation.segment_key, operation.spec_version)
            ),
            None,
        )
        if mine is not None and mine.remote_id == operation.remote_id:
            awake = replace(mine, status="active", empty_refreshes=0, empty_since=None, updated_at=now)
            self._ledger.register(awake, run=self._run, event="woken")
            return Ended(operation=operation, ending="done", reason=operation.reason, remote_id=mine.remote_id)
        remote = view.by_id(operation.kind, operation.remote_id or "")
        if remote is None or remote.hash != operation.remote_hash:
            return _skipped(operation, "edited or deleted at Mavera since the plan was made", code="stale")
        answer = remote.answer
        if answer.status == "pending":
            try:
                answer = await SURFACES[operation.kind].refreshed(self._account.mavera, remote.id) or answer
            except MaveraError as error:
                return _skipped(operation, f"cannot be read: {error}", code="unread")
        as_wished = _shows(remote, operation)
        made = StoredObject(
            kind=operation.kind,
            segment_key=operation.segment_key,
            spec_version=operation.spec_version,
            token=operation.token,
            remote_id=remote.id,
            content=operation.content if as_wished else {},
            body=operation.full_body if as_wished else {},
            template_version=operation.template_version,
            remote_hash=remote.hash,
            result=answer.result,
            result_status=answer.status,
            since=now,
            updated_at=now,
        )
        self._ledger.register(made, run=self._run, event="taken over")
        return Ended(operation=operation, ending="done", reason=operation.reason, remote_id=remote.id)

    def _archive(self, operation: Operation) -> Ended:
        """A status of ours: sends nothing, costs nothing."""
        mine = next(
            one
            for one in self._ledger.objects()
            if (one.kind, one.segment_key, one.spec_version)
            == (operation.kind, operation.segment_key, operation.spec_version)
        )
        resting = replace(
            mine,
            status=operation.status_after,
            successor=operation.successor or mine.successor,
            empty_refreshes=mine.empty_refreshes + 1,
            empty_since=self._plan.source.marker,
            updated_at=self._account.clock(),
        )
        self._ledger.register(resting, run=self._run, event=operation.status_after)
        return Ended(operation=operation, ending="done", reason=operation.reason, remote_id=mine.remote_id)

    # ---- credits ------------------------------------------------------------------------------------------------
    def _count_balance(self, paid: Iterable[Operation], view: RemoteView) -> None:
        """Learn the rate limit; without a known balance nothing is paid, unless the operator allows it."""
        if not list(paid):
            return
        if view.usage is not None and view.usage.requests_per_minute:
            self._account.window.set_limit(view.usage.requests_per_minute)
        unknown = view.usage is None or view.usage.remaining is None
        if unknown and not self._account.policy.allow_unknown_balance:
            self._stops.code = "balance"
            self._stops.paid = (
                f"the credit balance is unknown ({view.usage_error or 'GET /usage does not tell it'})"
            )

    def _caps(self) -> Caps:
        """The policy's caps, and what the account has left as a cap of this run."""
        caps, remaining = self._account.policy.caps, self.usage.remaining if self.usage else None
        if remaining is None:
            return caps
        counted = self._ledger.spend(run_id=self._run.run_id).run
        left = remaining + counted
        return caps.model_copy(update={"per_run": left if caps.per_run is None else min(left, caps.per_run)})

    def _balance(self) -> Balance | None:
        used = self.usage.used if self.usage else None
        return None if used is None else Balance(used=used, settled=self._ledger.settled_total())

    def _dispatcher(self) -> Dispatcher:
        account = self._account
        leases = Leases(
            account.state,
            key_hash=account.window.key_hash,
            slots=account.policy.mave_in_flight,
            seconds=account.policy.mave_deadline_seconds + 30,
            clock=account.clock,
        )
        return Dispatcher(
            mavera=account.mavera,
            ledger=self._ledger,
            window=account.window,
            leases=leases,
            policy=account.policy,
            clock=account.clock,
            probe=account.probe,
        )


def _kinds(operations: Iterable[Operation]) -> list[Kind]:
    """Lists to look into before anything is made."""
    return [one.kind for one in operations if one.action in ("create", "adopt") and one.kind in SURFACES]


def _pointed(kind: Kind) -> Kind:
    return Kind.PERSONA if kind is Kind.PERSONA_UPDATE else kind


def _key(operation: Operation) -> tuple[Kind, str]:
    return _pointed(operation.kind), operation.segment_key


def _stays(operation: Operation) -> bool:
    """Whether the row's object is the one that others may point at."""
    return operation.action != "archive" and operation.status_after == "active"


def _shows(remote: Remote, operation: Operation) -> bool:
    wished = operation.full_body.get("description")
    return not isinstance(wished, str) or not remote.description or wished.split() == remote.description.split()


def _skipped(operation: Operation, reason: str, *, code: str) -> Ended:
    return Ended(
        operation=operation, ending="skipped", reason=reason, next_action="the next plan decides anew", code=code
    )


def _waiting(operation: Operation, reason: str) -> Ended:
    """A row of a plan that is not approved."""
    if not operation.changes_state:
        ending = "held" if operation.action == "held" else "unchanged"
        return Ended(operation=operation, ending=ending, reason=operation.reason)  # type: ignore[arg-type]
    return Ended(
        operation=operation,
        ending="skipped",
        reason=f"not approved: {reason}",
        next_action="approve the plan's hash",
        code="unapproved",
    )


async def _usage(account: Account) -> Usage | None:
    try:
        return await account.mavera.usage()
    except MaveraError:
        return None


def _report(
    account: Account,
    plan: Plan,
    run_id: str,
    approval: ApprovalStatus,
    rows: tuple[Ended, ...],
    *,
    before: Usage | None = None,
    after: Usage | None = None,
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
        usage_before=None if before is None else before.used,
        usage_after=None if after is None else after.used,
        alerts=tuple(_alerts(account, spend.month)),
    )


def _alerts(account: Account, month: int) -> list[str]:
    """The highest of 50, 75 and 90 percent of the month's cap that is reached."""
    cap = account.policy.caps.per_month
    reached = [level for level in (50, 75, 90) if cap and month * 100 >= cap * level]
    return [f"{reached[-1]} percent of the month's {cap} credits are counted ({month})"] if reached else []
