"""Personas: one for each revenue tier and market, found again by the token at the end of the name."""

from collections.abc import Mapping
from typing import Any

from activation.briefs import Brief, MarketBrief, TierBrief
from activation.locales import country_name
from activation.policy import Identity, Kind
from activation.surfaces.base import Answer, Discovered, Remote, Surface, fit, safe_id
from activation.templates import TIER_NAMES, market_persona, tier_persona
from activation.untrusted import clean_text
from resources.mavera import MaveraApi, Persona, UnreadableAnswerError

__all__ = ["Personas", "remote_persona"]


def remote_persona(persona: Persona) -> Remote | None:
    """A custom persona as an object of ours; None for base personas, which are never touched."""
    identity = safe_id(persona.id)
    if identity is None or persona.is_custom is False:
        return None
    label = clean_text(persona.name, limit=200) or ""
    return Remote(
        label=label,
        description=persona.description or "",
        answer=Answer(id=identity, charged=persona.charged, status="completed", result={"name": label}),
    )


class Personas(Surface):
    """`POST /personas`, `PATCH /personas/{id}`."""

    kind = Kind.PERSONA
    operation = "createPersona"
    path = "personas"

    def body(self, brief: Brief, *, token: str, identity: Identity, known: Discovered) -> dict[str, Any]:
        """Typed fields and a name that ends with the token."""
        if isinstance(brief, TierBrief):
            name, fields = f"{TIER_NAMES[brief.tier]} customers ({brief.currency.upper()})", tier_persona(brief)
        elif isinstance(brief, MarketBrief):
            place = country_name(brief.country) if brief.country else f"{brief.region} (region)"
            name, fields = (
                f"Market: {place.removeprefix('the ')} ({brief.currency.upper()})",
                market_persona(brief),
            )
        else:
            raise TypeError(f"a {brief.kind} brief makes no persona")
        return {"name": fit(name, token), **fields}

    async def listed(self, mavera: MaveraApi, *, search: str | None = None) -> list[Remote]:
        """Custom personas."""
        seen = [remote_persona(item) for item in await mavera.personas(search=search)]
        return [remote for remote in seen if remote is not None]

    def parse(self, body: Mapping[str, Any]) -> Answer:
        """The finished persona."""
        remote = remote_persona(Persona.parse(body, operation=self.operation))
        if remote is None:
            raise UnreadableAnswerError(self.operation, seen="no usable id of a custom persona")
        return remote.answer
