"""Changes of our map that cost nothing: taking an object over, waking it, letting it rest.

Here: what `adopt` and `archive` rows of a plan do. They send nothing but reads. Not here: when they are planned
(`decision`, `lifecycle`).
"""

from dataclasses import replace

from activation.account import Account
from activation.endings import Ended, skipped
from activation.intents import Run
from activation.plan_model import Operation, Plan
from activation.policy import Kind
from activation.registry import StoredObject
from activation.remote import RemoteView
from activation.surfaces import SURFACES, Remote
from resources.mavera import MaveraError

__all__ = ["adopt", "archive"]


async def adopt(account: Account, operation: Operation, view: RemoteView, *, run: Run) -> Ended:
    """Take an object over without paying: found by its token, or ours and asleep or behind a newer text."""
    now, mine = account.clock(), _mine(account, operation)
    if mine is not None and mine.remote_id == operation.remote_id:
        # Of a segment's texts the newest counts; a persona is as old as it is.
        since = mine.since if mine.kind is Kind.PERSONA else now
        awake = replace(mine, status="active", empty_refreshes=0, empty_since=None, since=since, updated_at=now)
        account.ledger.register(awake, run=run, event="woken")
        return Ended(operation=operation, ending="done", reason=operation.reason, remote_id=mine.remote_id)
    remote = view.by_id(operation.kind, operation.remote_id or "")
    if remote is None or remote.hash != operation.remote_hash:
        return skipped(operation, "edited or deleted at Mavera since the plan was made", code="stale")
    answer = remote.answer
    if answer.status == "pending":
        try:
            answer = await SURFACES[operation.kind].refreshed(account.mavera, remote.id) or answer
        except MaveraError as error:
            return skipped(operation, f"cannot be read: {error}", code="unread")
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
    account.ledger.register(made, run=run, event="taken over")
    return Ended(operation=operation, ending="done", reason=operation.reason, remote_id=remote.id)


def archive(account: Account, operation: Operation, plan: Plan, *, run: Run) -> Ended:
    """Let an object rest: a status of ours, which sends nothing."""
    mine = _mine(account, operation)
    assert mine is not None  # the plan archives only what it read from our map
    resting = replace(
        mine,
        status=operation.status_after,
        successor=operation.successor or mine.successor,
        empty_refreshes=mine.empty_refreshes + 1,
        empty_since=plan.source.marker,
        updated_at=account.clock(),
    )
    account.ledger.register(resting, run=run, event=operation.status_after)
    return Ended(operation=operation, ending="done", reason=operation.reason, remote_id=mine.remote_id)


def _mine(account: Account, operation: Operation) -> StoredObject | None:
    wanted = (operation.kind, operation.segment_key, operation.spec_version)
    return next(
        (one for one in account.ledger.objects() if (one.kind, one.segment_key, one.spec_version) == wanted), None
    )


def _shows(remote: Remote, operation: Operation) -> bool:
    """Whether the object shows the description that we would send; one that shows none is taken as it is."""
    wished = operation.full_body.get("description")
    return not isinstance(wished, str) or not remote.description or wished.split() == remote.description.split()
