"""One run over one plan: which rows start when, and what stops them.

Here: the order (updates one by one, then all others side by side, waiting for what they point at), the balance as
a cap, and the rows that need no paid call. Not here: one paid row's steps (`worker`), approval, report (`apply`).
"""

import asyncio
import random
from collections.abc import Iterable, Mapping
from dataclasses import replace

from activation.account import Account
from activation.dispatch import Dispatcher
from activation.endings import Ended, skipped
from activation.free import adopt, archive
from activation.intents import Balance, Intent, Run
from activation.leases import Leases
from activation.needs import MissingError, Needs, pointed
from activation.plan_model import Operation, Plan
from activation.policy import Caps, Kind
from activation.registry import StoredObject
from activation.remote import RemoteView, read_remote
from activation.settling import resolve_in_time
from activation.surfaces import SURFACES, needs_of, resolved
from activation.surfaces.personas import remote_persona
from activation.worker import Stops, Worker
from resources.mavera import MaveraError, Usage
from resources.progress import Progress

__all__ = ["Carrier"]


class Carrier:
    """One run over one plan."""

    def __init__(self, account: Account, plan: Plan, *, run: Run, progress: Progress, seed: int) -> None:
        self.stops = Stops()
        self._usage: Usage | None = None
        self._account = account
        self._ledger = account.ledger
        self._plan = plan
        self._run = run
        self._progress = progress
        self._jitter = random.Random(seed)
        self._ended = 0

    async def carry(self) -> tuple[Ended, ...]:
        plan, paid = self._plan, [one for one in self._plan.operations if one.is_paid]
        view = RemoteView(read_at=self._account.clock())
        if any(one.changes_state for one in plan.operations):
            view = await read_remote(self._account.mavera, _kinds(plan.operations), now=view.read_at)
            self._usage = view.usage
        self._count_balance(paid, view)
        dispatcher = self._dispatcher()
        async with dispatcher:
            worker = Worker(
                self._account,
                dispatcher=dispatcher,
                run=self._run,
                caps=self._caps(),
                before=self._balance(),
                stops=self.stops,
                jitter=self._jitter,
            )
            needs = Needs(self._account, plan.operations)
            updates = {
                id(one): await self._update(worker, one) for one in plan.operations if one.action == "update"
            }
            rows = await asyncio.gather(
                *(self._row(worker, needs, one, view, updates.get(id(one))) for one in plan.operations),
                return_exceptions=True,
            )
        # Rows under way end first, so that a failure of one (the state database is gone, say) loses no answer.
        for row in rows:
            if isinstance(row, BaseException):
                raise row
        await self._finish_results(needs)
        useless = {(one.kind, one.remote_id): one for one in self._ledger.objects() if one.no_use}
        return tuple(_told(row, useless) for row in rows if isinstance(row, Ended))

    async def _finish_results(self, needs: Needs) -> None:
        """Texts that Mavera makes in the background, of this run and of earlier ones."""
        made = [one for one in self._ledger.objects() if one.status != "superseded"]
        pending = [one for one in made if one.result_status == "pending"]
        await asyncio.gather(*(needs.until_ready(one) for one in pending if one.kind is not Kind.BRAND_VOICE))

    # ---- one row ------------------------------------------------------------------------------------------------
    async def _row(
        self, worker: Worker, needs: Needs, operation: Operation, view: RemoteView, ended: Ended | None
    ) -> Ended:
        try:
            ended = ended or await self._carry_out(worker, needs, operation, view)
        finally:
            needs.tell(operation, ended)
        self._ended += 1
        self._progress.report("mavera", self._ended, len(self._plan.operations), operation.segment_key)
        return ended

    async def _carry_out(self, worker: Worker, needs: Needs, operation: Operation, view: RemoteView) -> Ended:
        match operation.action:
            case "unchanged":
                return Ended(operation=operation, ending="unchanged", reason=operation.reason)
            case "held":
                return await self._held(operation)
            case "archive":
                return archive(self._account, operation, self._plan, run=self._run)
            case "adopt":
                return await adopt(self._account, operation, view, run=self._run)
            case _:
                return await self._create(worker, needs, operation, view)

    async def _held(self, operation: Operation) -> Ended:
        """A row that waited when the plan was made: perhaps its window has passed by now."""
        for row in self._ledger.intents(states=("sent", "unknown")):
            if not _about(row, operation):
                continue
            if self._account.policy.await_unknown:
                await resolve_in_time(self._account, row, run=self._run)
            now = self._ledger.intent(row.id) or row
            if now.state == "done":
                reason = "found after an unclear outcome"
                return Ended(operation=operation, ending="done", reason=reason, remote_id=now.remote_id)
            if now.state == "failed" and now.code == "resend":
                return skipped(operation, now.reason or "", code="resend")
        if self._was_resolved(operation):
            return Ended(operation=operation, ending="done", reason="found after an unclear outcome")
        return Ended(operation=operation, ending="held", reason=operation.reason, next_action="see the held rows")

    def _was_resolved(self, operation: Operation) -> bool:
        """Whether an object came into our map since the plan was made, by the look-up at the start of this run."""
        key = (operation.kind, operation.segment_key, operation.spec_version)
        known = {(one.kind, one.segment_key, one.spec_version) for one in self._ledger.objects()}
        return operation.remote_id is None and key in known

    async def _create(self, worker: Worker, needs: Needs, operation: Operation, view: RemoteView) -> Ended:
        if operation.kind in view.errors:
            return skipped(operation, f"cannot look first: {view.errors[operation.kind]}", code="unread")
        if view.by_token(operation.kind, operation.token):
            return skipped(operation, "it appeared at Mavera since the plan was made", code="stale")
        try:
            ids = {need: await needs.id_of(need) for need in needs_of(operation.body)}
        except MissingError as error:
            return skipped(operation, str(error), code="dependency")
        return await worker.carry_out(operation, resolved(operation.body, lambda need: ids[need]))

    async def _update(self, worker: Worker, operation: Operation) -> Ended:
        """Updates go one by one before anything else: their price is read from the account's own figure."""
        try:
            persona = await self._account.mavera.persona(operation.remote_id or "")
        except MaveraError as error:
            return skipped(operation, f"cannot be compared: {error}", code="unread")
        remote = None if persona is None else remote_persona(persona)
        if remote is None or remote.hash != operation.remote_hash:
            return skipped(operation, "edited or deleted at Mavera since the plan was made", code="stale")
        return await worker.carry_out(operation, operation.body)

    # ---- credits ------------------------------------------------------------------------------------------------
    def _count_balance(self, paid: Iterable[Operation], view: RemoteView) -> None:
        """Learn the rate limit; without a known balance nothing is paid, unless the operator allows it."""
        if not list(paid):
            return
        if view.usage is not None and view.usage.requests_per_minute:
            self._account.window.set_limit(view.usage.requests_per_minute)
        unknown = view.usage is None or view.usage.remaining is None
        if unknown and not self._account.policy.allow_unknown_balance:
            self.stops.code = "balance"
            self.stops.paid = (
                f"the credit balance is unknown ({view.usage_error or 'GET /usage does not tell it'})"
            )

    def _caps(self) -> Caps:
        """The policy's caps, and what the account has left as a cap of this run."""
        caps, remaining = self._account.policy.caps, self._usage.remaining if self._usage else None
        if remaining is None:
            return caps
        counted = self._ledger.spend(run_id=self._run.run_id).run
        return caps.model_copy(update={"left": remaining + counted})

    def _balance(self) -> Balance | None:
        used = self._usage.used if self._usage else None
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


def _told(row: Ended, useless: Mapping[tuple[Kind, str], StoredObject]) -> Ended:
    """The row, with what a person can do where it was paid for a result of no use."""
    one = useless.get((row.operation.kind, row.remote_id or row.operation.remote_id or ""))
    if one is None or row.ending not in ("done", "unchanged"):
        return row
    return replace(row, reason=one.no_use or "", next_action=one.remedy)


def _about(row: Intent, operation: Operation) -> bool:
    """Whether a ledger row is about the same object as a planned row."""
    kind = Kind.PERSONA if row.kind is Kind.PERSONA_UPDATE else row.kind
    return (kind, row.segment_key) == pointed(operation)
