"""The ledger: who may send what, once. Each transition is one transaction with its audit row.

    intent → sent → done | failed | unknown;  unknown → done (adopted) | held;  held → done | failed (by a person)

The claim is an INSERT under a UNIQUE key made of what a thing is (environment, kind, segment key, spec version);
its credits are reserved in the same transaction, or there is no claim. `sent` is committed right before the socket
opens, by compare-and-set on state and attempt: a worker that lost its claim cannot send. Not here: the network
(`dispatch`), look-ups (`reconcile`), and what the plan wants (`plan`). No transaction stays open across a call.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa

from activation import audit, registry
from activation.budget import Spend, breached_cap, spend_of
from activation.canonical import canonical_json, digest
from activation.edges import Probe, nothing
from activation.policy import Caps, Identity, Kind
from activation.registry import StoredObject
from resources.state import State
from resources.state.ledger import attempts, intents

__all__ = ["Balance", "Claim", "ClaimResult", "Entry", "Intent", "Ledger", "Run"]

# A definite failure under one of these codes says nothing against the same request; it is claimed again.
RETRYABLE = frozenset(
    {"not_sent", "no_credits", "unauthorized", "forbidden", "rate_limited", "resend", "released"}
)


@dataclass(frozen=True, kw_only=True)
class Run:
    """Who acts: the run, its plan, and the policy it follows; recorded with every act."""

    run_id: str
    actor: str
    plan_hash: str
    policy_version: str
    approver: str = ""


@dataclass(frozen=True, kw_only=True)
class Balance:
    """The account's used credits, and the credits that our answers had confirmed, at one instant."""

    used: int
    settled: int


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One paid call as the ledger sees it: what it is, what it sends, what it may cost."""

    kind: Kind
    segment_key: str
    spec_version: str
    token: str
    template_version: str
    content: Mapping[str, Any]
    body: Mapping[str, Any]
    credits: int
    target_id: str | None = None

    @property
    def body_hash(self) -> str:
        """Hash of the request as sent."""
        return digest(self.body)


@dataclass(frozen=True, kw_only=True)
class Intent:
    """A ledger row as it stands."""

    id: int
    kind: Kind
    segment_key: str
    spec_version: str
    token: str
    state: str
    attempt: int
    claimed_at: datetime
    run_id: str
    plan_hash: str
    template_version: str
    body_hash: str
    body: Mapping[str, Any]
    content: Mapping[str, Any]
    target_id: str | None
    sent_at: datetime | None
    settle_at: datetime | None
    remote_id: str | None
    code: str | None
    reason: str | None
    next_action: str | None
    credits: int
    before: Balance | None


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The right to send one attempt, until another worker takes it over."""

    intent_id: int
    attempt: int
    entry: Entry
    run: Run


ClaimResult = Claim | Intent | str
"""A claim; or the row that stands against it; or why there is none: a breached cap or a token collision."""


class Ledger:
    """The ledger of one environment; `clock` gives aware UTC times."""

    def __init__(
        self,
        state: State,
        *,
        identity: Identity,
        clock: Callable[[], datetime],
        claim_seconds: float,
        probe: Probe = nothing,
    ) -> None:
        self.state = state
        self.identity = identity
        self._environment = identity.environment
        self._clock = clock
        self._claim_seconds = claim_seconds
        self._probe = probe

    # ---- reading ------------------------------------------------------------------------------------------------
    def objects(self) -> list[StoredObject]:
        """Our objects at Mavera, oldest first."""
        with self.state.read() as connection:
            return registry.read_objects(connection, self._environment)

    def intents(self, *, states: tuple[str, ...] = ()) -> list[Intent]:
        """Rows of the ledger, oldest first; all of them, or those in the given states."""
        wanted = self._rows()
        if states:
            wanted = wanted.where(intents.c.state.in_(states))
        with self.state.read() as connection:
            return [_intent(row) for row in connection.execute(wanted.order_by(intents.c.id))]

    def intent(self, intent_id: int) -> Intent | None:
        """One row."""
        with self.state.read() as connection:
            row = connection.execute(self._rows().where(intents.c.id == intent_id)).first()
        return None if row is None else _intent(row)

    def spend(self, *, run_id: str = "") -> Spend:
        """Credits counted against the caps now."""
        with self.state.read() as connection:
            return spend_of(connection, self._environment, run_id=run_id, now=self._clock())

    def settled_total(self) -> int:
        """Credits that answers have confirmed, ever: to be compared with the account's own figure."""
        wanted = sa.select(sa.func.coalesce(sa.func.sum(attempts.c.credits), 0)).where(
            attempts.c.environment == self._environment, attempts.c.settled
        )
        with self.state.read() as connection:
            return int(connection.execute(wanted).scalar_one())

    def _rows(self) -> sa.Select[Any]:
        same = (attempts.c.intent_id == intents.c.id) & (attempts.c.attempt == intents.c.attempt)
        return (
            sa.select(intents, attempts.c.credits, attempts.c.usage_before, attempts.c.settled_before)
            .join(attempts, same)
            .where(intents.c.environment == self._environment)
        )

    # ---- claim, sent --------------------------------------------------------------------------------------------
    def claim(self, entry: Entry, *, run: Run, caps: Caps) -> ClaimResult:
        """Claim a thing and reserve its worst price, or say what stands against it."""
        now = self._clock()
        with self._transaction("claim") as connection:
            held = connection.execute(
                self._rows()
                .where(
                    intents.c.kind == entry.kind.value,
                    intents.c.segment_key == entry.segment_key,
                    intents.c.spec_version == entry.spec_version,
                )
                .with_for_update(of=intents)
            ).first()
            row = None if held is None else _intent(held)
            if row is not None and not self._claimable(row, entry, now):
                return row
            if row is not None and row.state == "intent":
                self._count(connection, row.id, row.attempt, credits=0, settled=True, outcome="abandoned")
            breach = breached_cap(
                connection, self._environment, credits=entry.credits, caps=caps, run_id=run.run_id, now=now
            )
            if breach is not None:
                return breach
            if row is None and self._token_is_taken(connection, entry.token):
                return f"token {entry.token} stands for another segment: change the scheme version"
            claim = self._write_claim(connection, entry, row, run=run, now=now)
            self._audit(connection, "claim", claim, credits=entry.credits, now=now)
        return claim

    def _claimable(self, row: Intent, entry: Entry, now: datetime) -> bool:
        if row.state == "intent":
            return row.claimed_at + timedelta(seconds=self._claim_seconds) <= now
        return row.state == "failed" and (row.code in RETRYABLE or row.body_hash != entry.body_hash)

    def _token_is_taken(self, connection: sa.Connection, token: str) -> bool:
        wanted = sa.select(intents.c.id).where(
            intents.c.environment == self._environment, intents.c.token == token
        )
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
                    environment=self._environment,
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
            self._set(connection, row.id, row.attempt, (row.state,), **values)
        connection.execute(
            attempts.insert().values(
                intent_id=intent_id,
                attempt=values["attempt"],
                environment=self._environment,
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
        now = self._clock()
        settle_at = now + timedelta(seconds=settle_seconds)
        with self._transaction("sent") as connection:
            mine = self._set(
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
            self._count(
                connection,
                claim.intent_id,
                claim.attempt,
                outcome="sent",
                usage_before=None if before is None else before.used,
                settled_before=None if before is None else before.settled,
            )
            self._audit(connection, "sent", claim, now=now)
        return now

    # ---- outcomes -----------------------------------------------------------------------------------------------
    def not_sent(self, claim: Claim, *, reason: str) -> None:
        """Nothing left this machine: released, and free to be claimed again."""
        self._refused("not_sent", claim, code="not_sent", reason=reason, next_action="the next run tries again")

    def failed(self, claim: Claim, *, code: str, reason: str, next_action: str) -> None:
        """A definite refusal: nothing was made, the reservation is released."""
        self._refused("failed", claim, code=code, reason=reason, next_action=next_action)

    def _refused(self, label: str, claim: Claim, *, code: str, reason: str, next_action: str) -> None:
        now = self._clock()
        with self._transaction(label) as connection:
            changed = self._set(
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
            self._count(connection, claim.intent_id, claim.attempt, credits=0, settled=True, outcome=code)
            self._audit(connection, label, claim, code=code, credits=0, now=now)

    def unknown(self, claim: Claim, *, code: str, reason: str) -> None:
        """No telling whether it was made: the reservation stays, and nobody sends it again unseen."""
        with self._transaction("unknown") as connection:
            changed = self._set(
                connection, claim.intent_id, claim.attempt, ("sent",), state="unknown", code=code, reason=reason
            )
            if changed:
                self._count(connection, claim.intent_id, claim.attempt, outcome="unknown")
                self._audit(connection, "unknown", claim, code=code, now=self._clock())

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
        now = self._clock()
        with self._transaction("done") as connection:
            changed = self._set(
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
            self._count(connection, claim.intent_id, claim.attempt, outcome="done", **settled)
            registry.put(connection, self._environment, made)
            self._audit(connection, "done", claim, target=made.remote_id, credits=charged, now=now)
        return True

    def _late_answer(self, connection: sa.Connection, claim: Claim, made: StoredObject, *, now: datetime) -> bool:
        row = _intent(connection.execute(self._rows().where(intents.c.id == claim.intent_id)).one())
        if row.state == "done" and row.remote_id == made.remote_id:
            return True
        reason = f"an answer to attempt {claim.attempt} came late and names another object ({made.remote_id})"
        self._set(
            connection,
            row.id,
            row.attempt,
            ("intent", "sent", "unknown", "failed", "held", "done"),
            state="held",
            code="conflict",
            reason=reason,
            next_action="compare the objects at Mavera, then adopt one",
        )
        self._audit(connection, "conflict", claim, target=made.remote_id, now=now)
        return False

    # ---- after the settle window --------------------------------------------------------------------------------
    def recover(self, *, run: Run) -> list[Intent]:
        """Turn rows whose process is gone and whose window has passed into unknown ones; all unknown rows."""
        now = self._clock()
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
        now, claim = self._clock(), self.claim_of(row, run=run)
        with self._transaction("adopted") as connection:
            changed = self._set(
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
            self._count(connection, row.id, row.attempt, outcome="adopted", **settled)
            registry.put(connection, self._environment, made)
            self._audit(connection, "adopted", claim, target=made.remote_id, credits=charged, now=now)
        return True

    def hold(self, row: Intent, *, run: Run, code: str, reason: str, next_action: str) -> bool:
        """A person must decide; the reservation stays."""
        with self._transaction("held") as connection:
            changed = self._set(
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
                self._count(connection, row.id, row.attempt, outcome="held")
                self._audit(connection, "held", self.claim_of(row, run=run), code=code, now=self._clock())
        return changed

    def forget(self, one: StoredObject, *, run: Run) -> None:
        """A person says that the object is gone: its row may be claimed again, its credits stay counted."""
        now = self._clock()
        with self._transaction("failed") as connection:
            connection.execute(
                intents.update()
                .where(
                    intents.c.environment == self._environment,
                    intents.c.kind == one.kind.value,
                    intents.c.segment_key == one.segment_key,
                    intents.c.spec_version == one.spec_version,
                    intents.c.state == "done",
                )
                .values(state="failed", code="released", reason="its object is gone", resolved_at=now)
            )
            registry.remove(connection, self._environment, one)
            self._audit_object(connection, "forgotten", one, run=run)

    def free(self, row: Intent, *, run: Run, code: Literal["released", "resend"], keep_credits: bool) -> bool:
        """Let a held or unknown row be claimed again; a resend keeps the first attempt's credits counted."""
        now = self._clock()
        with self._transaction("failed") as connection:
            changed = self._set(
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
                self._count(connection, row.id, row.attempt, outcome=code, **counted)
                self._audit(connection, code, self.claim_of(row, run=run), code=code, now=now)
        return changed

    def register(self, made: StoredObject, *, run: Run, event: str) -> None:
        """Record an object without a paid call: adopted by look-up, or changed in status; free of charge."""
        with self._transaction("adopted") as connection:
            registry.put(connection, self._environment, made)
            self._audit_object(connection, event, made, run=run)

    def refresh_result(self, one: StoredObject, *, status: str, result: Mapping[str, Any]) -> None:
        """Store the later result of an object that was made in the background."""
        with self._transaction("result") as connection:
            registry.change(
                connection,
                self._environment,
                one,
                result_status=status,
                result_json=canonical_json(dict(result)),
                updated_at=self._clock(),
            )

    def claim_of(self, row: Intent, *, run: Run) -> Claim:
        """A handle on a row's present attempt, for transitions that need no claim of one's own."""
        entry = Entry(
            kind=row.kind,
            segment_key=row.segment_key,
            spec_version=row.spec_version,
            token=row.token,
            template_version=row.template_version,
            content=row.content,
            body=row.body,
            credits=row.credits,
            target_id=row.target_id,
        )
        return Claim(intent_id=row.id, attempt=row.attempt, entry=entry, run=replace(run, plan_hash=row.plan_hash))

    # ---- writing ------------------------------------------------------------------------------------------------
    @contextmanager
    def _transaction(self, label: str) -> Iterator[sa.Connection]:
        """One transaction, ordered after all others by the audit head's lock, between labelled instants."""
        self._probe(f"{label}:before")
        with self.state.begin() as connection:
            audit.lock(connection)
            yield connection
            self._probe(f"{label}:inside")
        self._probe(f"{label}:after")

    @staticmethod
    def _set(
        connection: sa.Connection, intent_id: int, at_attempt: int, states: tuple[str, ...], **values: Any
    ) -> bool:
        """Compare-and-set: change the row only if it is still in one of `states` at this attempt."""
        changed = connection.execute(
            intents.update()
            .where(intents.c.id == intent_id, intents.c.attempt == at_attempt, intents.c.state.in_(states))
            .values(**values)
        )
        return changed.rowcount == 1

    @staticmethod
    def _count(connection: sa.Connection, intent_id: int, attempt: int, **values: Any) -> None:
        connection.execute(
            attempts.update()
            .where(attempts.c.intent_id == intent_id, attempts.c.attempt == attempt)
            .values(**values)
        )

    def _audit(
        self,
        connection: sa.Connection,
        event: str,
        claim: Claim,
        *,
        now: datetime,
        code: str = "",
        target: str | None = None,
        credits: int | None = None,
    ) -> None:
        entry = claim.entry
        about = {
            **self._who(event, claim.run),
            "kind": entry.kind.value,
            "segment": entry.segment_key,
            "spec": entry.spec_version,
            "attempt": claim.attempt,
            "target": target or entry.target_id or "",
            "body_hash": entry.body_hash,
            "template": entry.template_version,
            "code": code,
            "credits": credits,
        }
        audit.append(connection, about, at=now)

    def _audit_object(self, connection: sa.Connection, event: str, made: StoredObject, *, run: Run) -> None:
        about = {
            **self._who(event, run),
            "kind": made.kind.value,
            "segment": made.segment_key,
            "spec": made.spec_version,
            "target": made.remote_id,
            "status": made.status,
            "version": made.version,
        }
        audit.append(connection, about, at=self._clock())

    def _who(self, event: str, run: Run) -> dict[str, Any]:
        return {
            "event": event,
            "environment": self._environment,
            "account": self.identity.stripe_account,
            "workspace": self.identity.workspace,
            "actor": run.actor,
            "run": run.run_id,
            "plan": run.plan_hash,
            "approver": run.approver,
            "policy": run.policy_version,
        }


def _intent(row: Any) -> Intent:
    return Intent(
        id=row.id,
        kind=Kind(row.kind),
        segment_key=row.segment_key,
        spec_version=row.spec_version,
        token=row.token,
        state=row.state,
        attempt=row.attempt,
        claimed_at=row.claimed_at,
        run_id=row.run_id,
        plan_hash=row.plan_hash,
        template_version=row.template_version,
        body_hash=row.body_hash,
        body=json.loads(row.body_json),
        content=json.loads(row.content_json),
        target_id=row.target_id,
        sent_at=row.sent_at,
        settle_at=row.settle_at,
        remote_id=row.remote_id,
        code=row.code,
        reason=row.reason,
        next_action=row.next_action,
        credits=row.credits,
        before=None if row.usage_before is None else Balance(used=row.usage_before, settled=row.settled_before),
    )
