"""What every decision of the plan looks at, and the answers that several of them share.

Here: the knowledge (ledger, remote, policy) and the rules for what already stands in the way: a ledger row that
waits, an object that is there but not in our map. Not here: the decision for a kind (`plan`, `lifecycle`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from activation.canonical import digest, token_of
from activation.intents import RETRYABLE, Intent
from activation.plan_model import Operation
from activation.policy import Identity, Kind, Policy
from activation.registry import StoredObject, newest
from activation.remote import RemoteView
from activation.surfaces import SURFACES, Discovered, Need, resolved

__all__ = ["Known", "held", "refusal", "standing"]


@dataclass(frozen=True, kw_only=True)
class Known:
    """All that a decision may depend on."""

    identity: Identity
    policy: Policy
    objects: Sequence[StoredObject]
    intents: Sequence[Intent]
    view: RemoteView
    discovered: Discovered

    def token(self, kind: Kind, segment_key: str, spec_version: str) -> str:
        """The token of a thing; it follows from configuration alone, so a lost state can be rebuilt by look-up."""
        who = self.identity
        return token_of(who.environment, who.stripe_account, who.workspace, kind.value, segment_key, spec_version)

    def latest(self, kind: Kind, segment_key: str) -> StoredObject | None:
        """The object that stands for a segment."""
        return newest(self.objects, kind, segment_key)

    def current(self, need: Need) -> StoredObject | None:
        """The object that others point at."""
        return self.latest(need.kind, need.segment_key)

    def object(self, kind: Kind, segment_key: str, spec_version: str) -> StoredObject | None:
        """Our object of a thing."""
        for one in self.objects:
            if (one.kind, one.segment_key, one.spec_version) == (kind, segment_key, spec_version):
                return one
        return None

    def intent(self, kind: Kind, segment_key: str, spec_version: str) -> Intent | None:
        """The ledger's row of a thing."""
        for one in self.intents:
            if (one.kind, one.segment_key, one.spec_version) == (kind, segment_key, spec_version):
                return one
        return None


def held(row: Operation, reason: str) -> Operation:
    """The row, waiting for a person."""
    return row.model_copy(update={"action": "held", "credits": 0, "body": {}, "reason": reason})


def standing(known: Known, row: Operation) -> Operation | None:
    """What is decided already: a ledger row under way or held, an object to adopt, a list that cannot be read."""
    intent = known.intent(row.kind, row.segment_key, row.spec_version)
    if intent is not None and intent.state in ("sent", "unknown", "held"):
        waiting = "waits for its settle window" if intent.state != "held" else "waits for a person"
        return held(row, f"{waiting}: {intent.reason or 'sent, no outcome recorded'}")
    if not SURFACES[row.kind].has_handle:
        return None
    if row.kind in known.view.errors:
        return held(row, f"cannot look first, so nothing is made: {known.view.errors[row.kind]}")
    found = known.view.by_token(row.kind, row.token)
    if len(found) > 1:
        return held(row, f"{len(found)} objects at Mavera carry the token {row.token}: keep one")
    if found:
        reason = "found at Mavera by its token: taken over, nothing is paid"
        return row.model_copy(
            update={
                "action": "adopt",
                "remote_id": found[0].id,
                "remote_hash": found[0].hash,
                "reason": reason,
            }
        )
    return None


def refusal(known: Known, row: Operation, body: Mapping[str, Any]) -> str | None:
    """Why Mavera refused this very request before, if it did for good."""
    intent = known.intent(row.kind, row.segment_key, row.spec_version)
    if intent is None or intent.state != "failed" or intent.code in RETRYABLE:
        return None

    def id_of(need: Need) -> str:
        one = known.current(need)
        return "" if one is None else one.remote_id

    if digest(resolved(body, id_of)) != intent.body_hash:
        return None
    return f"Mavera refused the same request before ({intent.reason}): a changed brief makes a new request"
