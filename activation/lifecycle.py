"""Personas live as long as their segments: one for each key, updated when it is worth it, archived, never deleted.

Here: what a plan does about a persona whose segment has a brief, and about one whose segment has none any more.
Not here: texts (`plan`). Archiving is a state of ours and sends nothing; nobody's base persona is touched. A list
that was not read, a source that is empty or shrank, archives nothing.
"""

from collections.abc import Sequence
from typing import Any, Literal

from activation.briefs import Brief, Suppressed
from activation.canonical import digest
from activation.decision import Known, held, refusal, standing
from activation.difference import changes, is_material, patch
from activation.plan_model import Operation, Source
from activation.policy import Kind, Mode
from activation.registry import StoredObject
from activation.surfaces import SURFACES, Remote, kind_of
from activation.surfaces.personas import remote_persona
from resources.mavera import MaveraApi, MaveraError

__all__ = ["absent_personas", "decide_persona"]


async def decide_persona(mavera: MaveraApi, known: Known, brief: Brief) -> Operation:
    """Create, update, adopt, leave or hold the persona of a segment."""
    surface, spec = SURFACES[Kind.PERSONA], known.policy.scheme
    token = known.token(Kind.PERSONA, brief.segment_key, spec)
    body = surface.body(brief, token=token, identity=known.identity, known=known.discovered)
    row = Operation(
        action="unchanged",
        kind=Kind.PERSONA,
        segment_key=brief.segment_key,
        spec_version=spec,
        token=token,
        content=brief.content(),
        template_version=surface.template_version(brief),
        full_body=body,
        reason="",
    )
    mine = next(
        (one for one in known.objects if one.kind is Kind.PERSONA and _key(one) == (row.segment_key, spec)), None
    )
    if mine is not None:
        return await _existing(mavera, known, row, mine)
    if (stands := standing(known, row)) is not None:
        return stands
    if known.policy.mode(Kind.PERSONA) is Mode.UPDATE_ONLY:
        return held(row, "the policy for personas is update only")
    if (reason := refusal(known, row, body)) is not None:
        return held(row, reason)
    credits = known.policy.prices.persona
    return row.model_copy(update={"action": "create", "credits": credits, "body": body, "reason": "new segment"})


def _key(one: StoredObject) -> tuple[str, str]:
    return one.segment_key, one.spec_version


async def _existing(mavera: MaveraApi, known: Known, row: Operation, mine: StoredObject) -> Operation:
    """A persona that we have: is it still there, and is its brief worth another payment?"""
    row = row.model_copy(update={"remote_id": mine.remote_id})
    found = changes(mine.content, row.content, known.policy.materiality)
    row = row.model_copy(update={"difference": tuple(found)})
    if (waiting := _update_under_way(known, row)) is not None:
        return held(row, waiting)
    if Kind.PERSONA in known.view.errors:
        return held(row, f"cannot be compared: {known.view.errors[Kind.PERSONA]}")
    try:
        remote = await _remote(mavera, known, mine)
    except MaveraError as error:
        return held(row, f"cannot be compared: {error}")
    if remote is None:
        return _lost(known, row)
    rewritten = mine.template_version != row.template_version
    if not is_material(found) and not rewritten:
        if mine.status != "active":
            return row.model_copy(update={"action": "adopt", "reason": "the segment is back, as last paid for"})
        reason = "changed too little to pay for" if found else "as last paid for"
        renamed = row.token not in remote.tokens
        return row.model_copy(
            update={"reason": f"{reason}; renamed by hand, the id counts" if renamed else reason}
        )
    if known.policy.mode(Kind.PERSONA) is Mode.CREATE_ONLY:
        return row.model_copy(update={"reason": "changed, but the policy for personas is create only"})
    wished = row.full_body
    changed = patch(mine.body, wished)
    if row.token not in remote.tokens:
        changed["name"] = wished["name"]
    if not changed:
        return row.model_copy(update={"reason": "no field of the persona depends on the change"})
    return _update(known, row, mine, changed, remote, rewritten=rewritten)


def _update(
    known: Known, row: Operation, mine: StoredObject, changed: dict[str, Any], remote: Remote, *, rewritten: bool
) -> Operation:
    reason = "the wording changed" if rewritten else "the segment changed"
    if mine.status != "active":
        reason = f"the segment is back; {reason}"
    spec = f"{row.spec_version}.u{mine.version + 1}.{digest(changed)[:12]}"
    update = row.model_copy(
        update={
            "action": "update",
            "kind": Kind.PERSONA_UPDATE,
            "spec_version": spec,
            "token": known.token(Kind.PERSONA_UPDATE, row.segment_key, spec),
            "credits": known.policy.prices.persona_update,
            "body": changed,
            "remote_hash": remote.hash,
            "reason": reason,
        }
    )
    refused = refusal(known, update, changed)
    return update if refused is None else held(update, refused)


def _update_under_way(known: Known, row: Operation) -> str | None:
    """An earlier PATCH without an outcome: a later one could be overtaken by it."""
    for one in known.intents:
        same = one.kind is Kind.PERSONA_UPDATE and one.segment_key == row.segment_key
        if same and one.state in ("sent", "unknown", "held"):
            return f"an update waits: {one.reason or 'sent, no outcome recorded'}"
    return None


async def _remote(mavera: MaveraApi, known: Known, mine: StoredObject) -> Remote | None:
    """The persona as Mavera shows it: from the list, or by its id, as a list may lag."""
    listed = known.view.by_id(Kind.PERSONA, mine.remote_id)
    if listed is not None:
        return listed
    single = await mavera.persona(mine.remote_id)
    return None if single is None else remote_persona(single)


def _lost(known: Known, row: Operation) -> Operation:
    """Our id answers 404: the same persona under another id is taken over, else a person must say."""
    found = known.view.by_token(Kind.PERSONA, row.token)
    if len(found) == 1:
        reason = "its id is gone; found again by its token"
        return row.model_copy(
            update={"action": "adopt", "remote_id": found[0].id, "remote_hash": found[0].hash, "reason": reason}
        )
    return held(row, f"persona {row.remote_id} is gone at Mavera: someone deleted it; release it to make it anew")


def absent_personas(
    known: Known, briefs: Sequence[Brief], *, source: Source, suppressed: Sequence[Suppressed], doubtful: bool
) -> list[Operation]:
    """Personas whose segment has no brief: dormant, then archived; those of an older scheme are superseded."""
    wanted = {brief.segment_key for brief in briefs if kind_of(brief) is Kind.PERSONA}
    into = {one.segment_key: one.merged_into for one in suppressed}
    out = []
    for mine in known.objects:
        if mine.kind is not Kind.PERSONA or mine.status in ("archived", "superseded"):
            continue
        old_scheme = mine.spec_version != known.policy.scheme
        if mine.segment_key in wanted and not old_scheme:
            continue
        stays = doubtful or not known.policy.archive_absent_markets
        if stays or Kind.PERSONA in known.view.errors:
            out.append(_absent(mine, "unchanged", "no brief, but the source cannot be trusted with archiving"))
        elif old_scheme:
            successor = mine.segment_key if mine.segment_key in wanted else None
            out.append(_absent(mine, "archive", "the segments were cut anew", "superseded", successor=successor))
        elif mine.empty_since == source.marker:
            out.append(_absent(mine, "unchanged", "no brief; counted for this refresh already"))
        else:
            last = mine.empty_refreshes + 1 >= known.policy.archive_after_refreshes
            count = f"{mine.empty_refreshes + 1} of {known.policy.archive_after_refreshes} refreshes without it"
            out.append(
                _absent(
                    mine,
                    "archive",
                    f"the segment fell away: {count}",
                    "archived" if last else "dormant",
                    successor=into.get(mine.segment_key) if last else None,
                )
            )
    return out


def _absent(
    mine: StoredObject,
    action: Literal["archive", "unchanged"],
    reason: str,
    status: Literal["active", "dormant", "archived", "superseded"] | None = None,
    *,
    successor: str | None = None,
) -> Operation:
    return Operation(
        action=action,
        kind=Kind.PERSONA,
        segment_key=mine.segment_key,
        spec_version=mine.spec_version,
        token=mine.token,
        content=dict(mine.content),
        template_version=mine.template_version,
        remote_id=mine.remote_id,
        status_after=status or mine.status,
        successor=successor,
        reason=reason,
    )
