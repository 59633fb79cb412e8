"""Rows of the ledger as paid work leaves them, for tests of what looks at the ledger."""

from datetime import datetime

from resources.state import State
from resources.state.ledger import attempts, intents

__all__ = ["held_row"]


def held_row(state: State, *, environment: str, credits: int, at: datetime) -> None:
    """A row of the ledger that waits for a person, with its reservation."""
    texts = ("segment_key", "spec_version", "token", "run_id", "plan_hash", "template_version", "brief_hash")
    with state.begin() as connection:
        connection.execute(
            intents.insert().values(
                id=1,
                environment=environment,
                kind="persona",
                state="held",
                attempt=1,
                claimed_at=at,
                body_hash="",
                body_json="{}",
                content_json="{}",
                **dict.fromkeys(texts, "x"),
            )
        )
        connection.execute(
            attempts.insert().values(
                intent_id=1,
                attempt=1,
                environment=environment,
                run_id="x",
                started_at=at,
                credits=credits,
                settled=False,
                outcome="held",
            )
        )
