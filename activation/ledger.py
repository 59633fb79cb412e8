"""The ledger: who may send what, once. Each transition is one transaction with its audit row.

    intent → sent → done | failed | unknown;  unknown → done (adopted) | held;  held → done | failed (by a person)

The claim is an INSERT under a UNIQUE key made of what a thing is (environment, kind, segment key, spec version);
its credits are reserved in the same transaction, or there is no claim. `sent` is committed right before the socket
opens, by compare-and-set on state and attempt: a worker that lost its claim cannot send. Not here: the network
(`dispatch`), look-ups (`settling`), and what the plan wants (`plan`). No transaction stays open across a call.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa

from activation import registry
from activation.budget import breached_cap
from activation.canonical import canonical_json, digest
from activation.intents import RETRYABLE, Balance, Claim, Entry, Intent, Run, intent_of
from activation.ledger_rows import LedgerRows
from activation.policy import Caps
from activation.registry import StoredObject
from resources.state.ledger import attempts, intents

__all__ = ["ClaimResult", "Ledger"]

ClaimResult = Claim | Intent | str
"""A claim; or the row that stands against it; or why there is none: a breached cap or a token collision."""


class Ledger(LedgerRows):
    """The ledger of one environment."""

    # ---- claim, sent --------------------------------------------------------------------------------------------
    def claim(self, entry: Entry, *, run: Run, caps: Caps) -> ClaimResult:
        """Claim a thing and reserve its worst price, or say what stands against it."""
        now = self.clock()
        with self.transaction("claim") as connection:
            held = connection.execute(
                self.rows()
                .where(
                    intents.c.kind == entry.kind.value,
                    intents.c.segment_key == entry.segment_key,
                    intents.c.spec_version == entry.spec_version,
                )
                .with_for_update(of=intents)
            ).first()
            row = None if held is None else intent_of(held)
            if row is not None and not self._claimable(row, entry, now):
                return row
            if row is not None and row.state == "intent":
                self.set_attempt(connection, row.id, row.attempt, credits=0, settled=True, outcome="abandoned")
            breach = breached_cap(
                connection, self.environment, credits=entry.credits, caps=caps, run_id=run.run_id, now=now
            )
            if breach is not None:
                return breach
            if row is None and self._token_is_taken(connection, entry.token):
                return f"token {entry.token} stands for another segment: change the scheme version"
            claim = self._write_claim(connection, entry, row, run=run, now=now)
            self.record(connection, "claim", claim, credits=entry.credits, now=now)
        return claim

    def _claimable(self, row: Intent, entry: Entry, now: datetime) -> bool:
        if row.state == "intent":
            return row.claimed_at + timedelta(seconds=self.claim_seconds) <= now
        return row.state == "failed" and (row.code in RETRYABLE or row.body_hash != entry.body_hash)

    def _token_is_taken(self, connection: sa.Connection, token: str) -> bool:
        wanted = sa.select(intents.c.id).where(intents.c.environment == self.environment, intents.c.token == token)
        return connection.execute(wanted).first() is not None

    def _write_claim(
        self, connection: sa.Connection, entry: Entry, row: Intent | None, *, run: Run, now: datetime
    ) -> Claim:
        values = {
            "state": "intent",
            "attempt": 1 if row is None else row.attempt + 1,
            "claimed_at": now,
            "run_id": run.run_id,
            "plan_hash": run.plan_hash,
            "template_version": entry.template_version,
            "brief_hash": digest(entry.content),
            "body_hash": entry.body_hash,
            "body_json": canonical_json(dict(entry.body)),
            "content_json": canonical_json(dict(entry.content)),
            "target_id": entry.target_id,
            **dict.fromkeys(("sent_at", "settle_at", "resolved_at", "code", "reason", "next_action")),
        }
        if row is None:
            inserted = connection.execute(
                intents.insert().values(
                    environment=self.environment,
                    kind=entry.kind.value,
                    segment_key=entry.segment_key,
                    spec_version=entry.spec_version,
                    token=entry.token,
                    **values,
                )
            )
            intent_id = int(inserted.inserted_primary_key[0])  # type: ignore[index]
        else:
            intent_id = row.id
            self.set_row(connection, row.id, row.attempt, (row.state,), **values)
        connection.execute(
            attempts.insert().values(
                intent_id=intent_id,
                attempt=values["attempt"],
                environment=self.environment,
                run_id=run.run_id,
                started_at=now,
                credits=entry.credits,
                settled=False,
                outcome="reserved",
            )
        )
        return Claim(intent_id=intent_id, attempt=int(str(values["attempt"])), entry=entry, run=run)

    def sent(self, claim: Claim, *, settle_seconds: float, before: Balance | None = None) -> datetime | None:
        """Commit that the request goes out now; the time of it, or None when the claim was lost."""
        now = self.clock()
        settle_at = now + timedelta(seconds=settle_seconds)
        with self.transaction("sent") as connection:
            mine = self.set_row(
                connection,
                claim.intent_id,
                claim.attempt,
                ("intent",),
                state="sent",
                sent_at=now,
                settle_at=settle_at,
            )
            if not mine:
                return None
            self.set_attempt(
                connection,
                claim.intent_id,
                claim.attempt,
                outcome="sent",
                usage_before=None if before is None else before.used,
                settled_before=None if before is None else before.settled,
            )
            self.record(connection, "sent", claim, now=now)
        return now

    # ---- outcomes -----------------------------------------------------------------------------------------------
    def not_sent(self, claim: Claim, *, reason: str) -> None:
        """Nothing left this machine: released, and free to be claimed again."""
        self._refused("not_sent", claim, code="not_sent", reason=reason, next_action="the next run tries again")

    def failed(self, claim: Claim, *, code: str, reason: str, next_action: str) -> None:
        """A definite refusal: nothing was made, the reservation is released."""
        self._refused("failed", claim, code=code, reason=reason, next_action=next_action)

    def _refused(self, label: str, claim: Claim, *, code: str, reason: str, next_action: str) -> None:
        now = self.clock()
        with self.transaction(label) as connection:
            changed = self.set_row(
                connection,
                claim.intent_id,
                claim.attempt,
                ("intent", "sent", "unknown"),
                state="failed",
                resolved_at=now,
                code=code,
                reason=reason,
                next_action=next_action,
            )
            if not changed:
                return
            self.set_attempt(connection, claim.intent_id, claim.attempt, credits=0, settled=True, outcome=code)
            self.record(connection, label, claim, code=code, credits=0, now=now)

    def unknown(self, claim: Claim, *, code: str, reason: str) -> None:
        """No telling whether it was made: the reservation stays, and nobody sends it again unseen."""
        with self.transaction("unknown") as connection:
            changed = self.set_row(
                connection, claim.intent_id, claim.attempt, ("sent",), state="unknown", code=code, reason=reason
            )
            if changed:
                self.set_attempt(connection, claim.intent_id, claim.attempt, outcome="unknown")
                self.record(connection, "unknown", claim, code=code, now=self.clock())

    def done(
        self,
        claim: Claim,
        *,
        charged: int | None,
        answer_hash: str,
        made: StoredObject,
    ) -> bool:
        """The answer is here: the object, its charge and its result, at once.

        False when the row was settled differently meanwhile; the difference then waits for a person.
        """
        now = self.clock()
        with self.transaction("done") as connection:
            changed = self.set_row(
                connection,
                claim.intent_id,
                claim.attempt,
                ("sent", "unknown", "held"),
                state="done",
                resolved_at=now,
                remote_id=made.remote_id,
                answer_hash=answer_hash,
                code=None,
                reason=None,
                next_action=None,
            )
            if not changed:
                return self._late_answer(connection, claim, made, now=now)
            settled = {} if charged is None else {"credits": charged, "settled": True}
            self.set_attempt(connection, claim.intent_id, claim.attempt, outcome="done", **settled)
            registry.put(connection, self.environment, made)
            self.record(connection, "done", claim, target=made.remote_id, credits=charged, now=now)
        return True

    def _late_answer(self, connection: sa.Connection, claim: Claim, made: StoredObject, *, now: datetime) -> bool:
        row = intent_of(connection.execute(self.rows().where(intents.c.id == claim.intent_id)).one())
        if row.state == "done" and row.remote_id == made.remote_id:
            return True
        reason = f"an answer to attempt {claim.attempt} came late and names another object ({made.remote_id})"
        self.set_row(
            connection,
            row.id,
            row.attempt,
            ("intent", "sent", "unknown", "failed", "held", "done"),
            state="held",
            code="conflict",
            reason=reason,
            next_action="compare the objects at Mavera, then adopt one",
        )
        self.record(connection, "conflict", claim, target=made.remote_id, now=now)
        return False

    # ---- after the settle window --------------------------------------------------------------------------------
    def recover(self, *, run: Run) -> list[Intent]:
        """Turn rows whose process is gone and whose window has passed into unknown ones; all unknown rows."""
        now = self.clock()
        for row in self.intents(states=("sent",)):
            if row.settle_at is not None and row.settle_at <= now:
                self.unknown(
                    self.claim_of(row, run=run), code="process_gone", reason="the sender ended without a word"
                )
        return self.intents(states=("unknown",))

    def adopt(
        self,
        row: Intent,
        *,
        run: Run,
        made: StoredObject,
        charged: int | None,
        states: tuple[str, ...] = ("sent", "unknown"),
    ) -> bool:
        """The object was found: it is the one that the row stands for. An unknown charge stays reserved."""
        now, claim = self.clock(), self.claim_of(row, run=run)
        with self.transaction("adopted") as connection:
            changed = self.set_row(
                connection,
                row.id,
                row.attempt,
                states,
                state="done",
                resolved_at=now,
                remote_id=made.remote_id,
                code="adopted",
                reason="found at Mavera by its token",
                next_action=None,
            )
            if not changed:
                return False
            settled = {} if charged is None else {"credits": charged, "settled": True}
            self.set_attempt(connection, row.id, row.attempt, outcome="adopted", **settled)
            registry.put(connection, self.environment, made)
            self.record(connection, "adopted", claim, target=made.remote_id, credits=charged, now=now)
        return True

    def hold(self, row: Intent, *, run: Run, code: str, reason: str, next_action: str) -> bool:
        """A person must decide; the reservation stays."""
        with self.transaction("held") as connection:
            changed = self.set_row(
                connection,
                row.id,
                row.attempt,
                ("unknown",),
                state="held",
                code=code,
                reason=reason,
                next_action=next_action,
            )
            if changed:
                self.set_attempt(connection, row.id, row.attempt, outcome="held")
                self.record(connection, "held", self.claim_of(row, run=run), code=code, now=self.clock())
        return changed

    def forget(self, one: StoredObject, *, run: Run) -> None:
        """A person says that the object is gone: its row may be claimed again, its credits stay counted."""
        now = self.clock()
        with self.transaction("failed") as connection:
            connection.execute(
                intents.update()
                .where(
                    intents.c.environment == self.environment,
                    intents.c.kind == one.kind.value,
                    intents.c.segment_key == one.segment_key,
                    intents.c.spec_version == one.spec_version,
                    intents.c.state == "done",
                )
                .values(state="failed", code="released", reason="its object is gone", resolved_at=now)
            )
            registry.remove(connection, self.environment, one)
            self.record_object(connection, "forgotten", one, run=run)

    def free(self, row: Intent, *, run: Run, code: Literal["released", "resend"], keep_credits: bool) -> bool:
        """Let a held or unknown row be claimed again; a resend keeps the first attempt's credits counted."""
        now = self.clock()
        with self.transaction("failed") as connection:
            changed = self.set_row(
                connection,
                row.id,
                row.attempt,
                ("held", "unknown"),
                state="failed",
                resolved_at=now,
                code=code,
                reason="freed after look-up" if code == "resend" else "released by a person",
                next_action="the next approved plan sends it",
            )
            if changed:
                counted = {} if keep_credits else {"credits": 0, "settled": True}
                self.set_attempt(connection, row.id, row.attempt, outcome=code, **counted)
                self.record(connection, code, self.claim_of(row, run=run), code=code, now=now)
        return changed

    def register(self, made: StoredObject, *, run: Run, event: str) -> None:
        """Record an object without a paid call: adopted by look-up, or changed in status; free of charge."""
        with self.transaction("adopted") as connection:
            registry.put(connection, self.environment, made)
            self.record_object(connection, event, made, run=run)

    def refresh_result(self, one: StoredObject, *, status: str, result: Mapping[str, Any]) -> None:
        """Store the later result of an object that was made in the background."""
        with self.transaction("result") as connection:
            registry.change(
                connection,
                self.environment,
                one,
                result_status=status,
                result_json=canonical_json(dict(result)),
                updated_at=self.clock(),
            )
