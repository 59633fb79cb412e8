"""The plan: what each brief needs done at Mavera, what it costs at worst, and why. Reads only.

Here: gathering (own ledger, free GETs) and the decision for texts, which are new objects for each content. The
decision for personas, which live as long as their segments, is in `lifecycle`. Not here: approval, carrying out.
The same briefs, versions, policy, ledger and remote objects give the same plan and hash.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from activation.account import Account
from activation.briefs import BrandVoiceBrief, Brief, Suppressed
from activation.decision import Known, held, refusal, standing
from activation.difference import changes, is_material
from activation.lifecycle import absent_personas, decide_persona
from activation.plan_model import Operation, Plan, Source
from activation.policy import Kind, Mode
from activation.registry import StoredObject
from activation.remote import read_remote
from activation.surfaces import SURFACES, Discovered, kind_of
from activation.surfaces.generations import NoAppError

__all__ = ["build_plan"]

_BRIEF: TypeAdapter[Brief] = TypeAdapter(Brief)
_AGAIN = ".again"
_ORDER = {kind: place for place, kind in enumerate(SURFACES)} | {Kind.PERSONA_UPDATE: 1}


async def build_plan(
    account: Account,
    briefs: Iterable[Brief | Mapping[str, Any]],
    *,
    source: Source,
    suppressed: Sequence[Suppressed] = (),
    callback_url: str | None = None,
) -> Plan:
    """What to do about `briefs`. Sends GETs only.

    Raises: PinError; pydantic.ValidationError for a brief that is not in the closed form; ValueError for two
    briefs of one segment.
    """
    account.pin()
    wanted = [_BRIEF.validate_python(brief) for brief in briefs]
    _one_brief_each(wanted)
    kinds = {kind_of(brief) for brief in wanted} | {Kind.PERSONA}
    view = await read_remote(account.mavera, kinds, now=account.clock(), apps=Kind.GENERATION in kinds)
    ledger = account.ledger
    known = Known(
        identity=account.identity,
        policy=account.policy,
        objects=ledger.objects(),
        intents=ledger.intents(),
        view=view,
        discovered=Discovered(
            apps=view.apps,
            brand_voice=any(isinstance(brief, BrandVoiceBrief) for brief in wanted),
            callback_url=callback_url,
        ),
    )
    reasons = _reasons_for_a_person(account, source, wanted)
    operations = [
        await decide_persona(account.mavera, known, brief)
        if kind_of(brief) is Kind.PERSONA
        else _decide_text(known, brief)
        for brief in wanted
    ]
    operations += absent_personas(known, wanted, source=source, suppressed=suppressed, doubtful=bool(reasons))
    operations.sort(key=lambda one: (_ORDER[one.kind], one.segment_key, one.spec_version))
    usage = view.usage
    return Plan(
        identity=account.identity,
        operations=tuple(operations),
        suppressed=tuple(sorted(suppressed, key=lambda one: one.segment_key)),
        source=source,
        policy=_policy(account),
        requires_person=tuple(reasons),
        auto_recharge=None if usage is None else usage.auto_recharge,
        notes={
            "credits_remaining": None if usage is None else usage.remaining,
            "usage_error": view.usage_error,
            "unread": {kind.value: error for kind, error in view.errors.items()},
        },
    )


def _one_brief_each(briefs: Sequence[Brief]) -> None:
    seen: set[tuple[Kind, str]] = set()
    for brief in briefs:
        key = (kind_of(brief), brief.segment_key)
        if key in seen:
            raise ValueError(f"two briefs for the segment {brief.segment_key}")
        seen.add(key)


def _reasons_for_a_person(account: Account, source: Source, briefs: Sequence[Brief]) -> list[str]:
    """Why the plan may not approve itself: a source that is empty or suddenly shrunken.

    The brand voice comes from the operator's file and is there whatever became of the source.
    """
    reasons = []
    if all(isinstance(brief, BrandVoiceBrief) for brief in briefs):
        reasons.append("no brief of any segment: nothing is archived")
    before = int(account.fact("customers") or 0)
    if before and source.customers * 100 < before * (100 - account.policy.shrink_percent):
        reasons.append(
            f"the source shrank by more than {account.policy.shrink_percent} percent since the last run: "
            "nothing is archived"
        )
    return reasons


def _policy(account: Account) -> dict[str, Any]:
    """The choices that decide what is sent and what it may cost."""
    return account.policy.model_dump(
        mode="json",
        include={"version", "scheme", "k", "prices", "caps", "materiality", "case_studies_consented", "modes"},
    )


def _decide_text(known: Known, brief: Brief) -> Operation:
    """A text, or the brand voice: unchanged while its content is, else a new object."""
    kind, surface = kind_of(brief), SURFACES[kind_of(brief)]
    spec = _spec_version(known, brief)
    row = Operation(
        action="unchanged",
        kind=kind,
        segment_key=brief.segment_key,
        spec_version=spec,
        token=known.token(kind, brief.segment_key, spec),
        content=brief.content(),
        template_version=surface.template_version(brief),
        reason="",
    )
    latest = known.latest(kind, brief.segment_key)
    if latest is not None:
        same = latest.template_version == row.template_version
        found = changes(latest.content, row.content, known.policy.materiality)
        row = row.model_copy(update={"difference": tuple(found)})
        if latest.spec_version == spec or (same and not is_material(found)) or kind is Kind.BRAND_VOICE:
            return _unchanged(row, latest, bool(found))
    earlier = known.object(kind, brief.segment_key, spec)
    if earlier is not None:
        back = "the brief is what it was: its text counts again, nothing is paid"
        return row.model_copy(update={"action": "adopt", "remote_id": earlier.remote_id, "reason": back})
    if (reason := _may_not(known, kind)) is not None:
        return held(row, reason)
    if (stands := standing(known, row)) is not None:
        return stands
    try:
        body = surface.body(brief, token=row.token, identity=known.identity, known=known.discovered)
    except NoAppError as error:
        return held(row, known.view.apps_error or str(error))
    if (reason := refusal(known, row, body)) is not None:
        return held(row, reason)
    reason = "new" if latest is None else "the brief changed" if row.difference else "the wording changed"
    return row.model_copy(
        update={"action": "create", "credits": known.policy.prices.of(kind), "body": body, "reason": reason}
    )


def _spec_version(known: Known, brief: Brief) -> str:
    """The thing that is wanted; another one after each release, whose token finds none of the old objects."""
    kind = kind_of(brief)
    spec = SURFACES[kind].spec_version(brief, scheme=known.policy.scheme)
    released = sum(
        (one.kind, one.segment_key, one.status) == (kind, brief.segment_key, "superseded")
        and one.spec_version.partition(_AGAIN)[0] == spec
        for one in known.objects
    )
    return f"{spec}{_AGAIN}{released}" if released else spec


def _unchanged(row: Operation, latest: StoredObject, differs: bool) -> Operation:
    reason = "changed too little to pay for" if differs else "as last paid for"
    if differs and row.kind is Kind.BRAND_VOICE:
        reason = f"changed, but a voice is made once: {latest.remedy}"
    return row.model_copy(
        update={
            "spec_version": latest.spec_version,
            "token": latest.token,
            "remote_id": latest.remote_id,
            "reason": latest.no_use or reason,
        }
    )


def _may_not(known: Known, kind: Kind) -> str | None:
    if kind is Kind.CASE_STUDY and not known.policy.case_studies_consented:
        return "case studies need the customers' consent: the operator has not given it"
    if known.policy.mode(kind) is Mode.UPDATE_ONLY:
        return "the policy for this kind is update only"
    return None
