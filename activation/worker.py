"""One planned paid row, carried to its end: looked up, claimed, sent once, settled.

Here: the order of steps for one row and what each outcome leads to. Not here: which rows there are and when they
start (`apply`), the transitions (`ledger`), the socket (`dispatch`).
"""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from activation.account import Account
from activation.dispatch import Dispatcher
from activation.endings import Ended, Ending
from activation.intents import Balance, Claim, Entry, Intent, Run
from activation.outcomes import Outcome, Verdict
from activation.plan_model import Operation
from activation.policy import Caps, Kind
from activation.registry import StoredObject
from activation.settling import answer_hash, has_handle, made_by, resolve_in_time, updated
from activation.surfaces import SURFACES, Answer
from activation.surfaces.personas import remote_persona
from resources.loggers import get_logger
from resources.mavera import MaveraError, Persona, RateLimitedError

__all__ = ["Stops", "Worker"]

_log = get_logger("stripe_mavera.plan")
_SCOPES = {
    Kind.PERSONA: "personas:write",
    Kind.PERSONA_UPDATE: "personas:write",
    Kind.GENERATION: "generations:write",
    Kind.BRAND_VOICE: "brand-voices:write",
}


@dataclass
class Stops:
    """What no longer makes sense to send in this run: everything paid, or single surfaces."""

    paid: str | None = None
    code: str = ""
    alerts: list[str] = field(default_factory=list)
    kinds: dict[Kind, str] = field(default_factory=dict)

    def reason(self, kind: Kind) -> str | None:
        """Why a kind is not sent any more; None while it is."""
        return self.paid or self.kinds.get(kind)


class Worker:
    """Carries out paid rows of one run."""

    def __init__(
        self,
        account: Account,
        *,
        dispatcher: Dispatcher,
        run: Run,
        caps: Caps,
        before: Balance | None,
        stops: Stops,
        jitter: random.Random,
    ) -> None:
        self._account = account
        self._ledger = account.ledger
        self._dispatcher = dispatcher
        self._run = run
        self._caps = caps
        self._before = before
        self._stops = stops
        self._jitter = jitter
        # Mave calls take minutes and have their own bound: they must not keep the others waiting.
        self._slots = asyncio.Semaphore(account.policy.concurrency)
        self._mave_slots = asyncio.Semaphore(account.policy.mave_in_flight)
        if account.compare_usage:
            # One by one, so that one call at most is charged before it is seen.
            self._slots = self._mave_slots = asyncio.Semaphore(1)

    async def carry_out(self, operation: Operation, body: Mapping[str, Any]) -> Ended:
        """Bring one row to its end; `body` is its request with all ids in place."""
        entry = Entry(
            kind=operation.kind,
            segment_key=operation.segment_key,
            spec_version=operation.spec_version,
            token=operation.token,
            template_version=operation.template_version,
            content=operation.content,
            body=body,
            credits=operation.credits,
            target_id=operation.remote_id,
        )
        pause = 0.0
        for attempt in range(self._account.policy.attempts):
            if pause:
                await asyncio.sleep(pause)
            step = await self._attempt(operation, entry, look_first=attempt > 0)
            if isinstance(step, Ended):
                return step
            backoff = self._account.policy.backoff_seconds * 2**attempt
            pause = max(step, backoff * self._jitter.uniform(1.0, 1.5))
        return self._end(operation, "skipped", "nothing ran so far; tries are used up", "the next run tries again")

    async def _attempt(self, operation: Operation, entry: Entry, *, look_first: bool) -> Ended | float:
        """One claim and one send; or the seconds to wait before another one, when nothing ran."""
        async with self._mave_slots if entry.kind is Kind.CASE_STUDY else self._slots:
            if look_first and (seen := await self._seen(operation)) is not None:
                return seen
            async with self._dispatcher.lease(entry.kind, self._run.run_id):
                step = await self._claim_and_send(operation, entry)
        # A row that waits for its settle window keeps neither a slot nor a lease.
        return await self._unknown(operation, step) if isinstance(step, Intent) else step

    async def _claim_and_send(self, operation: Operation, entry: Entry) -> Ended | float | Intent:
        """An end; seconds to wait; or a row whose outcome is unknown."""
        used = await self._used() if entry.kind is Kind.PERSONA_UPDATE else None
        try:
            await self._dispatcher.place()
        except RateLimitedError as error:
            return self._end(operation, "skipped", str(error), "the next run goes on", code="rate_limited")
        if (stopped := self._stops.reason(entry.kind)) is not None:
            return self._end(operation, "skipped", stopped, "the next run goes on", code=self._stops.code)
        claim = self._ledger.claim(entry, run=self._run, caps=self._caps)
        if isinstance(claim, str):
            return self._end(
                operation, "skipped", claim, "add credits, raise the cap, or wait for its period", code="cap"
            )
        if isinstance(claim, Intent):
            return self._stands(operation, claim)
        outcome = await self._send(claim)
        step: Ended | float | Intent
        if outcome.verdict is Verdict.DONE:
            step = self._done(operation, claim, outcome, await self._charged_since(used, claim))
        else:
            step = self._not_done(operation, claim, outcome)
        self._dispatcher.learn(outcome)
        if self._account.compare_usage and self._stops.paid is None:
            await self._stop_if_charged()
        return step

    async def _stop_if_charged(self) -> None:
        """In sandbox mode: no more calls once used credits have risen, or cannot be read."""
        used = await self._used()
        if used is None or self._before is None:
            seen = "used credits cannot be read, so nothing shows that MAVERA_SANDBOX has an effect"
        elif used > self._before.used:
            seen = f"{used - self._before.used} credits were charged although MAVERA_SANDBOX is set"
        else:
            return
        self._stops.code = "sandbox_charged"
        self._stops.paid = f"{seen}: use a key without credits, or live data without MAVERA_SANDBOX"
        self._stops.alerts.append(self._stops.paid)
        _log.warning("sandbox charged", reason=self._stops.paid)

    async def _used(self) -> int | None:
        try:
            return (await self._account.mavera.usage()).used
        except MaveraError:
            return None

    async def _charged_since(self, used: int | None, claim: Claim) -> int | None:
        """What a PATCH cost, by the account's own figure: its answer repeats the charge of the creation."""
        if used is None or (now := await self._used()) is None:
            return None
        return now - used if 0 <= now - used <= claim.entry.credits else None

    async def _send(self, claim: Claim) -> Outcome:
        entry = claim.entry
        if entry.kind is Kind.PERSONA_UPDATE:
            return await self._dispatcher.send(
                claim,
                method="PATCH",
                path=f"personas/{entry.target_id}",
                operation="updatePersona",
                before=self._before,
            )
        surface = SURFACES[entry.kind]
        return await self._dispatcher.send(
            claim, method="POST", path=surface.path, operation=surface.operation, before=self._before
        )

    # ---- what an outcome leads to -------------------------------------------------------------------------------
    def _not_done(self, operation: Operation, claim: Claim, outcome: Outcome) -> Ended | float | Intent:
        match outcome.verdict:
            case Verdict.NOT_SENT:
                if outcome.code != "lost_claim":
                    self._ledger.not_sent(claim, reason=outcome.reason)
                return 0.0
            case Verdict.RATE_LIMITED:
                self._fail(claim, outcome, "rate_limited", "waits and tries again")
                # How long is learnt from its headers, by all who use the key.
                return 0.0
            case Verdict.NO_CREDITS:
                remedy = "add credits; the next run goes on"
                self._fail(claim, outcome, "no_credits", remedy)
                self._stops.paid, self._stops.code = "no credits are left at Mavera", "no_credits"
                return self._end(operation, "skipped", outcome.reason, remedy, code="no_credits")
            case Verdict.UNAUTHORIZED:
                remedy = "set a valid MAVERA_API_KEY"
                self._fail(claim, outcome, "unauthorized", remedy)
                self._stops.paid, self._stops.code = "Mavera does not accept the key", "unauthorized"
                return self._end(operation, "failed", outcome.reason, remedy, code="unauthorized")
            case Verdict.FORBIDDEN:
                remedy = f"give the key the scope {_SCOPES.get(claim.entry.kind, 'of this surface')}"
                self._fail(claim, outcome, "forbidden", remedy)
                self._stops.kinds[claim.entry.kind] = f"the key may not write here: {remedy}"
                return self._end(operation, "failed", outcome.reason, remedy, code="forbidden")
            case Verdict.REJECTED:
                remedy = "correct the named field; a changed request is sent again"
                self._fail(claim, outcome, outcome.code, remedy)
                return self._end(operation, "failed", outcome.reason, remedy, code=outcome.code)
            case _:
                # Also a taken name: the object is there, and looking it up tells whose it is.
                code = "name_taken" if outcome.verdict is Verdict.NAME_TAKEN else outcome.code
                self._ledger.unknown(claim, code=code, reason=outcome.reason)
                return self._row(claim)

    def _fail(self, claim: Claim, outcome: Outcome, code: str, next_action: str) -> None:
        self._ledger.failed(claim, code=code, reason=outcome.reason, next_action=next_action)

    def _done(
        self, operation: Operation, claim: Claim, outcome: Outcome, patch_charge: int | None
    ) -> Ended | Intent:
        row, now = self._row(claim), self._account.clock()
        try:
            if claim.entry.kind is Kind.PERSONA_UPDATE:
                made, answer = self._patched(row, outcome)
                charged = patch_charge
            else:
                answer = SURFACES[claim.entry.kind].parse(outcome.body)
                charged = answer.charged
                remote = None
                if claim.entry.kind is Kind.PERSONA:
                    remote = remote_persona(Persona.parse(outcome.body, operation="createPersona"))
                made = made_by(row, answer, now=now, remote=remote, credits=charged)
        except MaveraError as error:
            self._ledger.unknown(claim, code="unreadable", reason=str(error))
            return self._row(claim)
        if not self._ledger.done(claim, charged=charged, answer_hash=answer_hash(answer), made=made):
            return self._end(operation, "held", "two answers for one row", "compare the objects at Mavera")
        return self._end(operation, "done", "", "", remote_id=made.remote_id)

    def _patched(self, row: Intent, outcome: Outcome) -> tuple[StoredObject, Answer]:
        answer = SURFACES[Kind.PERSONA].parse(outcome.body)
        remote = remote_persona(Persona.parse(outcome.body, operation="updatePersona"))
        assert remote is not None  # parse has refused it otherwise
        mine = next(
            one for one in self._ledger.objects() if one.kind is Kind.PERSONA and one.remote_id == row.target_id
        )
        return updated(mine, row, remote=remote, now=self._account.clock()), answer

    # ---- rows that stand against a claim, or are unknown --------------------------------------------------------
    def _stands(self, operation: Operation, row: Intent) -> Ended | float | Intent:
        """Another claim came first: its outcome is this row's."""
        match row.state:
            case "done":
                return self._end(operation, "done", "done by another run", "", remote_id=row.remote_id)
            case "unknown" | "sent":
                # Also a run that is sending it now: its outcome is waited for and looked up, never sent again.
                return row
            case "intent":
                # Its claim is free again when the other run does not send in time.
                free_at = row.claimed_at + timedelta(seconds=self._account.policy.claim_seconds)
                return max(0.0, (free_at - self._account.clock()).total_seconds())
            case state:
                ending: Ending = "failed" if state == "failed" else "held"
                return self._end(operation, ending, row.reason or "", row.next_action or "", code=row.code or "")

    async def _unknown(self, operation: Operation, row: Intent) -> Ended | float:
        if not self._account.policy.await_unknown and has_handle(row.kind):
            reason = f"{row.reason}; waits for its settle window"
            return self._end(operation, "held", reason, "reconcile", code="unknown")
        resolution = await resolve_in_time(self._account, row, run=self._run)
        now = self._row_of(row.id)
        if resolution == "resend":
            return 0.0
        if now.state == "done":
            reason = "found after an unclear outcome" if resolution == "adopted" else "done by another run"
            return self._end(operation, "done", reason, "", remote_id=now.remote_id)
        return self._end(operation, "held", now.reason or "", now.next_action or "reconcile", code=now.code or "")

    async def _seen(self, operation: Operation) -> Ended | None:
        """Before a second try: is it there after all?"""
        if operation.kind is Kind.PERSONA_UPDATE or not SURFACES[operation.kind].has_handle:
            return None
        try:
            found = await SURFACES[operation.kind].found(self._account.mavera, operation.token)
        except MaveraError as error:
            return self._end(operation, "skipped", f"cannot look first: {error}", "the next run tries again")
        if not found:
            return None
        return self._end(
            operation, "skipped", "it is at Mavera already", "the next plan takes it over", code="exists"
        )

    def _row(self, claim: Claim) -> Intent:
        return self._row_of(claim.intent_id)

    def _row_of(self, intent_id: int) -> Intent:
        row = self._ledger.intent(intent_id)
        assert row is not None  # rows are never deleted
        return row

    @staticmethod
    def _end(
        operation: Operation,
        ending: Ending,
        reason: str,
        next_action: str,
        *,
        code: str = "",
        remote_id: str | None = None,
    ) -> Ended:
        return Ended(
            operation=operation,
            ending=ending,
            reason=reason,
            next_action=next_action,
            code=code,
            remote_id=remote_id,
        )
