"""The brand voice: created once, built by Mavera in the background, found again by the token in its label."""

from collections.abc import Mapping
from typing import Any

from activation.briefs import BrandVoiceBrief, Brief
from activation.policy import Identity, Kind
from activation.surfaces.base import Answer, Discovered, Remote, Status, Surface, fit, safe_id
from activation.untrusted import clean_text
from resources.mavera import BrandVoice, MaveraApi, UnreadableAnswerError

__all__ = ["BrandVoices"]


class BrandVoices(Surface):
    """`POST /brand-voices`."""

    kind = Kind.BRAND_VOICE
    operation = "createBrandVoice"
    path = "brand-voices"

    def body(self, brief: Brief, *, token: str, identity: Identity, known: Discovered) -> dict[str, Any]:
        """Label, use and pages of the operator."""
        if not isinstance(brief, BrandVoiceBrief):
            raise TypeError(f"a {brief.kind} brief makes no brand voice")
        body: dict[str, Any] = {"label": fit(brief.label, token), "usage_context": brief.usage_context}
        if brief.urls:
            body["urls"] = list(brief.urls)
        if identity.workspace != "default":
            body["workspace_id"] = identity.workspace
        return body

    async def listed(self, mavera: MaveraApi, *, search: str | None = None) -> list[Remote]:
        """Voices by their labels."""
        return [
            Remote(label=clean_text(voice.label, limit=200) or "", answer=_answer(voice))
            for voice in await mavera.brand_voices()
            if safe_id(voice.id)
        ]

    def parse(self, body: Mapping[str, Any]) -> Answer:
        """The voice and how far it is."""
        voice = BrandVoice.parse(body, operation=self.operation)
        if safe_id(voice.id) is None:
            raise UnreadableAnswerError(self.operation, seen="no usable id")
        return _answer(voice)

    async def refreshed(self, mavera: MaveraApi, remote_id: str) -> Answer | None:
        """The voice as it is now."""
        voice = await mavera.brand_voice(remote_id)
        return None if voice is None else _answer(voice)


_STATUS: dict[str, Status] = {"done": "completed", "failed": "failed", "running": "pending"}


def _answer(voice: BrandVoice) -> Answer:
    return Answer(
        id=voice.id,
        charged=voice.charged,
        status=_STATUS[voice.progress],
        result={"label": clean_text(voice.label, limit=200)},
    )
