"""Rows that wait for a person, and the three things a person can decide: adopt, release, resend.

Here: the list with all that is needed to decide, and the audited decision. Not here: look-ups (`reconcile`). Each
decision names its row by `kind/segment_key`, with `@` and its token where several versions of it wait, and is
refused when the row has moved on.
"""

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from activation.account import Account
from activation.intents import Intent, Run
from activation.policy import Kind
from activation.registry import StoredObject, newest
from activation.settling import made_by, updated
from activation.surfaces import SURFACES, Answer
from activation.surfaces.base import safe_id
from activation.surfaces.personas import remote_persona

__all__ = ["HeldError", "HeldRow", "held", "resolve_held"]


class HeldError(RuntimeError):
    """The decision cannot be carried out; the message says why."""


@dataclass(frozen=True, kw_only=True)
class HeldRow:
    """One waiting row: what it is, since when, what it may have cost, what was looked for.

    `key` names it alone: `kind/segment_key`, and its token too where several rows have that.
    """

    key: str
    kind: Kind
    segment_key: str
    spec_version: str
    state: str
    credits: int
    since: datetime
    settles_at: datetime | None
    token: str
    code: str
    reason: str
    next_action: str


def held(account: Account) -> list[HeldRow]:
    """All rows that are held, or whose outcome is not known yet; oldest first."""
    rows = account.ledger.intents(states=("held", "unknown", "sent"))
    shared = Counter(_key(row) for row in rows)
    return [
        HeldRow(
            key=_key(row) if shared[_key(row)] == 1 else _own_key(row),
            kind=row.kind,
            segment_key=row.segment_key,
            spec_version=row.spec_version,
            state=row.state,
            credits=row.credits,
            since=row.sent_at or row.claimed_at,
            settles_at=row.settle_at,
            token=row.token,
            code=row.code or "",
            reason=row.reason or "sent, no outcome recorded yet",
            next_action=row.next_action or "reconcile",
        )
        for row in rows
    ]


async def resolve_held(
    account: Account,
    key: str,
    decision: Literal["adopt", "release", "resend"],
    *,
    actor: str,
    run_id: str,
    remote_id: str | None = None,
) -> str:
    """Carry out a person's decision about one row, named as `held` does or by its token alone; what was done.

    `adopt` takes the object `remote_id` as the row's; `release` says that nothing was made and gives the credits
    back; `resend` lets it be sent again with both attempts counted. An object that is gone at Mavera, or whose
    result is of no use, is released by its key too. Raises: HeldError; MaveraError when it cannot be read.
    """
    run = account.acting(run_id, actor)
    waiting = account.ledger.intents(states=("held", "unknown"))
    rows = [row for row in waiting if key in (_key(row), _own_key(row), row.token)]
    if not rows:
        return _forget(account, key, decision, run)
    if len(rows) > 1:
        raise HeldError(f"{len(rows)} rows have the key {key}: name one, {' or '.join(map(_own_key, rows))}")
    row = rows[0]
    if decision == "adopt":
        return await _adopt(account, row, run, remote_id)
    keep = decision == "resend"
    code: Literal["released", "resend"] = "resend" if keep else "released"
    if not account.ledger.free(row, run=run, code=code, keep_credits=keep):
        raise HeldError(f"{key} has moved on meanwhile: list the held rows again")
    return f"{key}: the next approved plan sends it" + (f"; {row.credits} credits stay counted" if keep else "")


async def _adopt(account: Account, row: Intent, run: Run, remote_id: str | None) -> str:
    identity = safe_id(remote_id)
    if identity is None:
        raise HeldError("adopting needs the id of the object at Mavera")
    now, remote = account.clock(), None
    answer: Answer | None
    if row.kind in (Kind.PERSONA, Kind.PERSONA_UPDATE):
        persona = await account.mavera.persona(identity)
        remote = None if persona is None else remote_persona(persona)
        answer = None if remote is None else remote.answer
    elif row.kind is Kind.COPY_FIX:
        # A response cannot be read again: its text is lost, its charge stays reserved.
        answer = Answer(id=identity, charged=None, status="incomplete")
    else:
        answer = await SURFACES[row.kind].refreshed(account.mavera, identity)
    if answer is None:
        raise HeldError(f"there is no object {identity} at Mavera")
    if row.kind is Kind.PERSONA_UPDATE:
        assert remote is not None  # its answer came from it
        made = updated(_persona(account, identity), row, remote=remote, now=now)
    else:
        made = made_by(row, answer, now=now, remote=remote, credits=answer.charged)
    charged = None if row.kind is Kind.PERSONA_UPDATE else answer.charged
    if not account.ledger.adopt(row, run=run, made=made, charged=charged, states=("held", "unknown")):
        raise HeldError(f"{_key(row)} has moved on meanwhile: list the held rows again")
    return f"{_key(row)}: stands for {identity} now"


def _persona(account: Account, remote_id: str) -> StoredObject:
    for one in account.ledger.objects():
        if one.kind is Kind.PERSONA and one.remote_id == remote_id:
            return one
    raise HeldError(f"no persona of ours has the id {remote_id}")


def _forget(account: Account, key: str, decision: str, run: Run) -> str:
    kind, _, segment_key = key.partition("/")
    known = kind in set(Kind)
    mine = newest(account.ledger.objects(), Kind(kind), segment_key) if known else None
    if decision != "release" or mine is None:
        raise HeldError(f"no held row has the key {key}: list the held rows")
    if mine.kind is Kind.PERSONA:
        account.ledger.forget(mine, run=run)
    else:
        # It stays in our map: the next one is another thing, which no look-up takes for this one.
        aside = replace(mine, status="superseded", updated_at=account.clock())
        account.ledger.register(aside, run=run, event="forgotten")
    return f"{key}: forgotten; the next approved plan makes it anew"


def _key(row: Intent) -> str:
    return f"{row.kind.value}/{row.segment_key}"


def _own_key(row: Intent) -> str:
    """A key that no other version of the same thing has."""
    return f"{_key(row)}@{row.token}"
