"""The ledger: who may send what, once. Each transition is one transaction with its audit row.

    intent → sent → done | failed | unknown;  unknown → done (adopted) | held;  held → done | failed (by a person)

Here: all that follows a claim. Not here: claims (`ledger_claims`), reading (`ledger_rows`), the network
(`dispatch`), look-ups (`settling`), and what the plan wants (`plan`). No transaction stays open across a call.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from activation import registry
from activation.canonical import canonical_json
from activation.intents import Claim, Intent, Run, intent_of
from activation.ledger_claims import LedgerClaims
from activation.registry import StoredObject
from resources.state.ledger import intents

__all__ = ["Ledger"]


class Ledger(LedgerClaims):
    """The ledger of one environment."""

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
