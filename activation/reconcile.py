"""Reconciling the ledger with what is at Mavera: unknown outcomes, texts made in the background, orphans, drift.

Here: the sweep, and what it found. Not here: decisions of a person (`held`). Reads only at Mavera; adopting an
object is a change of our ledger alone.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from activation.account import Account
from activation.intents import Intent, Run
from activation.policy import Kind
from activation.remote import read_remote
from activation.settling import resolve_by
from activation.surfaces import SURFACES
from resources.mavera import MaveraError

__all__ = ["Orphan", "ReconcileReport", "reconcile", "resolve_unknown"]


@dataclass(frozen=True, kw_only=True)
class Orphan:
    """An object at Mavera with a token of our form that no row of our ledger stands for."""

    kind: Kind
    remote_id: str
    label: str


@dataclass(frozen=True, kw_only=True)
class ReconcileReport:
    """What the sweep came to.

    `collected` are texts that Mavera had finished since. `drift` is what the account charged more (or less) than
    our answers confirmed since the last sweep; None when it cannot be told.
    """

    looked_up: int
    adopted: int
    held: int
    freed: int
    waiting: int
    collected: int
    orphans: tuple[Orphan, ...]
    unread: tuple[str, ...]
    drift: int | None


async def reconcile(account: Account, *, run_id: str, actor: str, wait: bool = False) -> ReconcileReport:
    """Look up what is unknown; with `wait`, stay until each settle window has passed.

    Raises: PinError.
    """
    account.pin()
    ledger = account.ledger
    run = account.acting(run_id, actor)
    ledger.recover(run=run)
    rows = ledger.intents(states=("sent", "unknown"))
    if wait:
        await _until_settled(account, rows)
        ledger.recover(run=run)
    view = await read_remote(account.mavera, SURFACES, now=account.clock())
    collected = await _collect(account)
    found = [await resolve_by(account, row, view, run=run) for row in ledger.intents(states=("sent", "unknown"))]
    ours = {one.token for one in ledger.objects()} | {row.token for row in ledger.intents()}
    orphans = tuple(
        Orphan(kind=kind, remote_id=remote.id, label=remote.label)
        for kind, remotes in view.lists.items()
        for remote in remotes
        if remote.tokens and not remote.tokens & ours
    )
    return ReconcileReport(
        looked_up=len(rows),
        adopted=found.count("adopted"),
        held=found.count("held"),
        freed=found.count("resend"),
        waiting=found.count("waits"),
        collected=collected,
        orphans=orphans,
        unread=tuple(f"{kind}: {error}" for kind, error in view.errors.items()),
        drift=_drift(account, None if view.usage is None else view.usage.used),
    )


async def resolve_unknown(account: Account, *, run: Run) -> None:
    """Decide the rows whose sender is gone and whose window has passed; reads nothing while there are none.

    Before a plan is made, so that it shows what was found, not what waits; and before one is carried out, as a run
    may have died since. The plan that is carried out is built in between: its hash must be the approved one.
    """
    unknown = account.ledger.recover(run=run)
    if not unknown:
        return
    kinds = [row.kind for row in unknown if row.kind in SURFACES]
    view = await read_remote(account.mavera, kinds, now=account.clock())
    for row in unknown:
        await resolve_by(account, row, view, run=run)


async def _collect(account: Account) -> int:
    """Read once each object whose text was not finished; returns how many are finished now."""
    collected = 0
    for one in account.ledger.objects():
        if one.result_status != "pending":
            continue
        try:
            answer = await SURFACES[one.kind].refreshed(account.mavera, one.remote_id)
        except MaveraError:
            continue  # it stays pending, and the next sweep asks again
        if answer is not None and answer.status != "pending":
            account.ledger.refresh_result(one, status=answer.status, result=answer.result)
            collected += 1
    return collected


async def _until_settled(account: Account, rows: Sequence[Intent]) -> None:
    last = max((row.settle_at for row in rows if row.settle_at is not None), default=account.clock())
    await asyncio.sleep(max(0.0, (last - account.clock()).total_seconds()))


def _drift(account: Account, used: int | None) -> int | None:
    """Change of the account's figure since the last sweep, less the change of what our ledger confirmed."""
    if used is None:
        return None
    settled = account.ledger.settled_total()
    before = account.fact("usage_seen")
    account.remember("usage_seen", f"{used}/{settled}")
    if before is None:
        return None
    used_before, settled_before = (int(part) for part in before.split("/"))
    # A new billing period starts the account's figure anew.
    return None if used < used_before else (used - used_before) - (settled - settled_before)
