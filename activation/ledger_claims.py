"""Claims: who may send, decided before anything is sent.

The claim is an INSERT under a UNIQUE key made of what a thing is (environment, kind, segment key, spec version);
its credits are reserved in the same transaction, or there is no claim. `sent` is committed right before the socket
opens, by compare-and-set on state and attempt: a worker that lost its claim cannot send. Not here: what came of it
(`ledger`).
"""

from dataclasses import replace
from datetime import datetime, timedelta

import sqlalchemy as sa

from activation.budget import breached_cap
from activation.canonical import canonical_json, digest
from activation.intents import RETRYABLE, Balance, Claim, Entry, Intent, Run, intent_of
from activation.ledger_rows import LedgerRows
from activation.policy import Caps
from resources.state.ledger import attempts, intents

__all__ = ["LedgerClaims"]


class LedgerClaims(LedgerRows):
    """The ways from nothing, or from a free row, to a request that goes out."""

    def claim(self, entry: Entry, *, run: Run, caps: Caps) -> Claim | Intent | str:
        """Claim a thing and reserve its worst price.

        Else the row that stands against it, or why there is no claim: a breached cap, a token collision.
        """
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
                row = self._abandoned(connection, row, run=run, now=now)
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

    def _abandoned(self, connection: sa.Connection, row: Intent, *, run: Run, now: datetime) -> Intent:
        """End a claim that ran out, whatever comes next: without its credits its worker must not send."""
        ended = {"state": "failed", "resolved_at": now, "code": "not_sent", "reason": "not sent in time"}
        self.set_row(connection, row.id, row.attempt, ("intent",), **ended, next_action="the next run tries again")
        self.set_attempt(connection, row.id, row.attempt, credits=0, settled=True, outcome="abandoned")
        self.record(connection, "abandoned", self.claim_of(row, run=run), code="not_sent", credits=0, now=now)
        return replace(row, state="failed")

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
