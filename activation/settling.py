"""What an unknown outcome came to: looked up by its token until the settle window has passed.

Here: the look-up and its three answers: one found (adopted), several (a person), none (a person, or another
attempt where the operator chose that and a second signal agrees). Not here: sending. The wait is the guarantee:
an object that Mavera shows only after the window would be missed.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Literal

from activation.account import Account
from activation.canonical import digest
from activation.intents import Intent, Run
from activation.policy import Kind
from activation.registry import StoredObject
from activation.remote import RemoteView
from activation.surfaces import SURFACES, Answer, Remote
from activation.surfaces.personas import remote_persona
from resources.mavera import MaveraError, Persona

__all__ = [
    "Resolution",
    "answer_hash",
    "has_handle",
    "made_by",
    "resolve_by",
    "resolve_in_time",
    "updated",
]

Resolution = Literal["adopted", "held", "resend", "waits"]
_EARLY_SHARE = 0.3
_ADOPT = "compare the objects at Mavera and adopt one, or release the row"


def made_by(
    row: Intent, answer: Answer, *, now: datetime, remote: Remote | None = None, credits: int | None = None
) -> StoredObject:
    """The object that a ledger row made, as our map keeps it.

    An object that shows another description than the one sent is an older one: it was paid for, but not for this
    brief, so the next plan sees a difference.
    """
    older = remote is not None and not _as_wished(remote, row)
    return StoredObject(
        kind=row.kind,
        segment_key=row.segment_key,
        spec_version=row.spec_version,
        token=row.token,
        remote_id=answer.id,
        content={} if older else row.content,
        body={} if older else row.body,
        template_version=row.template_version,
        remote_hash=None if remote is None else remote.hash,
        result=answer.result,
        result_status=answer.status,
        credits=row.credits if credits is None else credits,
        since=now,
        updated_at=now,
    )


def _as_wished(remote: Remote, row: Intent) -> bool:
    wished, seen = row.body.get("description"), remote.description
    return not isinstance(wished, str) or not seen or wished.split() == seen.split()


def has_handle(kind: Kind) -> bool:
    """Whether an unknown outcome of this kind can be looked up."""
    return kind is Kind.PERSONA_UPDATE or SURFACES[kind].has_handle


async def resolve_in_time(account: Account, row: Intent, *, run: Run) -> Resolution:
    """Look up early and again when the window has passed; returns when the row is decided."""
    resolution = await resolve(account, row, run=run)
    if row.sent_at is None or row.settle_at is None:
        return resolution
    for share in (_EARLY_SHARE, 1.0):
        if resolution != "waits":
            break
        wait = (row.sent_at + (row.settle_at - row.sent_at) * share - account.clock()).total_seconds()
        if wait > 0:
            # A little more: the timer's clock and ours do not tick together.
            await asyncio.sleep(wait + 0.05)
        elif share < 1:
            continue
        # Also when the window ended during the look-up before: that one began too early to count.
        resolution = await resolve(account, row, run=run)
    # Still `waits` after a failed read at the window's end: the next reconciliation looks again.
    return resolution


async def resolve(account: Account, row: Intent, *, run: Run) -> Resolution:
    """Look for the row's object now; `waits` while nothing is found and the window, or the reading, is open."""
    if row.state == "sent":
        if row.settle_at is not None and row.settle_at <= account.clock():
            account.ledger.recover(run=run)
            row = account.ledger.intent(row.id) or row
        elif not has_handle(row.kind):
            return "waits"
    if row.state not in ("sent", "unknown"):
        return "adopted" if row.state == "done" else "held"
    if row.kind is Kind.PERSONA_UPDATE:
        return await _resolve_update(account, row, run=run)
    if not has_handle(row.kind):
        return _hold(account, row, run, "no_handle", "sent without an answer, and it cannot be looked up")
    looked_at = account.clock()
    try:
        found = await SURFACES[row.kind].found(account.mavera, row.token)
    except MaveraError:
        return "waits"
    return await _decide(account, row, found, looked_at, run=run)


async def resolve_by(account: Account, row: Intent, view: RemoteView, *, run: Run) -> Resolution:
    """Look in lists that were read already: ten thousand rows cost no more reads than one."""
    if row.state == "unknown" and row.kind in view.lists:
        return await _decide(account, row, view.by_token(row.kind, row.token), view.read_at, run=run)
    return await resolve(account, row, run=run)


async def _decide(
    account: Account, row: Intent, found: list[Remote], looked_at: datetime, *, run: Run
) -> Resolution:
    """Decide by the objects that carried the row's token when the look-up began."""
    answer = found[0].answer if len(found) == 1 else None
    if answer is not None and answer.status == "pending":
        try:
            answer = await SURFACES[row.kind].refreshed(account.mavera, answer.id) or answer
        except MaveraError:
            return "waits"
    if answer is not None:
        # A refusal over a taken name charged nothing; what made the object was charged to its own attempt.
        charged = 0 if row.code == "name_taken" else answer.charged
        made = made_by(row, answer, now=account.clock(), remote=found[0], credits=charged)
        account.ledger.adopt(row, run=run, made=made, charged=charged)
        return "adopted"
    if len(found) > 1 and row.state == "unknown":
        return _hold(account, row, run, "conflict", f"{len(found)} objects at Mavera carry the token {row.token}")
    return await _nothing_found(account, row, looked_at, run)


async def _resolve_update(account: Account, row: Intent, *, run: Run) -> Resolution:
    """A PATCH is recognised by its effect: the persona shows what was sent."""
    looked_at = account.clock()
    try:
        persona = await account.mavera.persona(row.target_id or "")
    except MaveraError:
        return "waits"
    remote = None if persona is None else remote_persona(persona)
    if (persona is None or remote is None) and row.state == "sent":
        return "waits"
    if persona is None or remote is None:
        return _hold(account, row, run, "gone", f"persona {row.target_id} is not there")
    verdict = _shows(persona, row)
    if verdict is True:
        mine = next(
            one for one in account.ledger.objects() if one.kind is Kind.PERSONA and one.remote_id == row.target_id
        )
        made = updated(mine, row, remote=remote, now=account.clock())
        account.ledger.adopt(row, run=run, made=made, charged=None)
        return "adopted"
    if verdict is None and row.state == "unknown":
        return _hold(account, row, run, "not_shown", "Mavera does not show the changed fields")
    return await _nothing_found(account, row, looked_at, run)


def updated(mine: StoredObject, row: Intent, *, remote: Remote, now: datetime) -> StoredObject:
    """The persona after a PATCH: a version later, with the brief and body that it now stands for."""
    return StoredObject(
        kind=Kind.PERSONA,
        segment_key=mine.segment_key,
        spec_version=mine.spec_version,
        token=mine.token,
        remote_id=mine.remote_id,
        status="active",
        version=mine.version + 1,
        content=row.content,
        body={**mine.body, **row.body},
        previous_body=mine.body,
        template_version=row.template_version,
        remote_hash=remote.hash,
        result={"name": remote.label},
        credits=mine.credits,
        since=mine.since,
        updated_at=now,
    )


def _shows(persona: Persona, row: Intent) -> bool | None:
    """Whether the persona has the sent values; None when it shows none of these fields."""
    seen = {name: persona.sent_value(name) for name in row.body}
    shown = {name: value for name, value in seen.items() if value is not None}
    if not shown:
        return None
    return all(value == row.body[name] for name, value in shown.items())


async def _nothing_found(account: Account, row: Intent, looked_at: datetime, run: Run) -> Resolution:
    """Nothing there: too early, or a person's case, or another attempt.

    Only a look-up that began after the window counts: a list that was read before it may end is an older truth.
    """
    if row.state == "sent" or row.settle_at is None or looked_at < row.settle_at:
        return "waits"
    if account.policy.auto_resend_after_settle and await _usage_agrees(account, row):
        return "resend" if account.ledger.free(row, run=run, code="resend", keep_credits=True) else "waits"
    what = f"no object with the token {row.token}"
    if row.kind is Kind.PERSONA_UPDATE:
        what = f"persona {row.target_id} does not show the change"
    return _hold(
        account,
        row,
        run,
        "not_found",
        f"{what} after {_seconds(row)} s",
        next_action="look at Mavera: adopt the object's id, or let it be sent again",
    )


async def _usage_agrees(account: Account, row: Intent) -> bool:
    """The second signal: the account was charged for nothing but what our answers confirmed since the send."""
    if row.before is None:
        return False
    try:
        usage = await account.mavera.usage()
    except MaveraError:
        return False
    if usage.used is None:
        return False
    return usage.used - row.before.used == account.ledger.settled_total() - row.before.settled


def _hold(
    account: Account, row: Intent, run: Run, code: str, reason: str, *, next_action: str = _ADOPT
) -> Resolution:
    account.ledger.hold(row, run=run, code=code, reason=reason, next_action=next_action)
    return "held"


def _seconds(row: Intent) -> int:
    if row.sent_at is None or row.settle_at is None:
        return 0
    return round((row.settle_at - row.sent_at) / timedelta(seconds=1))


def answer_hash(answer: Answer) -> str:
    """Hash of an answer's cleaned content."""
    return digest({"id": answer.id, "status": answer.status, "result": answer.result})
