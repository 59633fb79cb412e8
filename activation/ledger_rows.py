"""The ledger's tables: reading rows, and the one way in which any of them is written.

Here: reads, and the pieces every transition is made of: one transaction ordered by the audit head's lock and
labelled for tests, compare-and-set on state and attempt, the audit row, and a log line once it is committed. Not
here: which transitions there are (`ledger`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from activation import audit, registry
from activation.budget import Spend, spend_of
from activation.edges import Probe, nothing
from activation.intents import Claim, Entry, Intent, Run, intent_of
from activation.policy import Identity
from activation.registry import StoredObject
from resources.loggers import get_logger
from resources.state import State
from resources.state.ledger import attempts, intents

__all__ = ["LedgerRows"]

_log = get_logger("stripe_mavera.ledger")
_FOR_A_PERSON = frozenset({"unknown", "held", "conflict"})


class LedgerRows:
    """The rows of one environment; `clock` gives aware UTC times."""

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
        self.environment = identity.environment
        self.clock = clock
        self.claim_seconds = claim_seconds
        self.probe = probe
        self._acts: list[dict[str, Any]] = []

    # ---- reading ------------------------------------------------------------------------------------------------
    def objects(self) -> list[StoredObject]:
        """Our objects at Mavera, oldest first."""
        with self.state.read() as connection:
            return registry.read_objects(connection, self.environment)

    def intents(self, *, states: tuple[str, ...] = ()) -> list[Intent]:
        """Rows of the ledger, oldest first; all of them, or those in the given states."""
        wanted = self.rows()
        if states:
            wanted = wanted.where(intents.c.state.in_(states))
        with self.state.read() as connection:
            return [intent_of(row) for row in connection.execute(wanted.order_by(intents.c.id))]

    def intent(self, intent_id: int) -> Intent | None:
        """One row."""
        with self.state.read() as connection:
            row = connection.execute(self.rows().where(intents.c.id == intent_id)).first()
        return None if row is None else intent_of(row)

    def spend(self, *, run_id: str = "") -> Spend:
        """Credits counted against the caps now."""
        with self.state.read() as connection:
            return spend_of(connection, self.environment, run_id=run_id, now=self.clock())

    def settled_total(self) -> int:
        """Credits that answers have confirmed, ever: to be compared with the account's own figure."""
        wanted = sa.select(sa.func.coalesce(sa.func.sum(attempts.c.credits), 0)).where(
            attempts.c.environment == self.environment, attempts.c.settled
        )
        with self.state.read() as connection:
            return int(connection.execute(wanted).scalar_one())

    def rows(self) -> sa.Select[Any]:
        same = (attempts.c.intent_id == intents.c.id) & (attempts.c.attempt == intents.c.attempt)
        return (
            sa.select(intents, attempts.c.credits, attempts.c.usage_before, attempts.c.settled_before)
            .join(attempts, same)
            .where(intents.c.environment == self.environment)
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
    def transaction(self, label: str) -> Iterator[sa.Connection]:
        """One transaction, ordered after all others by the audit head's lock, between labelled instants."""
        self.probe(f"{label}:before")
        self._acts.clear()
        with self.state.begin() as connection:
            audit.lock(connection)
            yield connection
            self.probe(f"{label}:inside")
        for act in self._acts:
            (_log.warning if act["act"] in _FOR_A_PERSON else _log.info)(f"intent {act['act']}", **act)
        self.probe(f"{label}:after")

    @staticmethod
    def set_row(
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
    def set_attempt(connection: sa.Connection, intent_id: int, attempt: int, **values: Any) -> None:
        connection.execute(
            attempts.update()
            .where(attempts.c.intent_id == intent_id, attempts.c.attempt == attempt)
            .values(**values)
        )

    def record(
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
        self._acts.append(
            {
                "act": event,
                "intent": claim.intent_id,
                "token": entry.token,
                "kind": entry.kind.value,
                "segment": entry.segment_key,
                "attempt": claim.attempt,
                "code": code,
                "credits": credits,
                "actor": claim.run.actor,
                "run_id": claim.run.run_id,
            }
        )

    def record_object(self, connection: sa.Connection, event: str, made: StoredObject, *, run: Run) -> None:
        about = {
            **self._who(event, run),
            "kind": made.kind.value,
            "segment": made.segment_key,
            "spec": made.spec_version,
            "target": made.remote_id,
            "status": made.status,
            "version": made.version,
        }
        audit.append(connection, about, at=self.clock())

    def _who(self, event: str, run: Run) -> dict[str, Any]:
        return {
            "event": event,
            "environment": self.environment,
            "account": self.identity.stripe_account,
            "workspace": self.identity.workspace,
            "actor": run.actor,
            "run": run.run_id,
            "plan": run.plan_hash,
            "approver": run.approver,
            "policy": run.policy_version,
        }
