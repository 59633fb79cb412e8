"""Generations: one retention message a cohort and tier, by an app that is chosen from the account's own list.

The token stands in the title and in one declared input, as unknown inputs may be refused or dropped. Apps and
their inputs are discovered (`app_for`), so that no app id is fixed in code; an app whose required inputs no
brief can fill is not chosen.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from activation.briefs import Brief, Cohort, RetentionBrief
from activation.policy import Identity, Kind
from activation.surfaces.base import Answer, Discovered, Need, Remote, Status, Surface, fit, safe_id
from activation.templates import COHORT_NAMES, TIER_NAMES, retention_text
from activation.untrusted import clean_text, short_text
from resources.mavera import Generation, GenerationApp, MaveraApi, UnreadableAnswerError

__all__ = ["Generations", "NoAppError", "app_for"]


class NoAppError(ValueError):
    """The account offers no app that a retention brief can fill."""


_MEANING = {
    "topic": ("topic", "subject", "brief", "context", "prompt", "description"),
    "audience": ("target_audience", "audience", "recipient", "reader"),
    "tone": ("tone", "tone_of_voice", "style"),
    "points": ("key_points", "points", "message", "details", "instructions", "notes"),
    "goal": ("goal", "objective", "purpose", "call_to_action", "cta"),
    "length": ("length", "size"),
}
_WORDS = {
    Cohort.PAYMENT_RECOVERY: ("retention", "dunning", "payment", "email", "message"),
    Cohort.WIN_BACK: ("win-back", "winback", "win_back", "retention", "email", "message"),
    Cohort.SAVE_OFFER: ("retention", "save", "offer", "email", "message"),
}


def _meaning(name: str) -> str | None:
    return next((meaning for meaning, names in _MEANING.items() if name.lower() in names), None)


def app_for(apps: Sequence[GenerationApp], cohort: Cohort) -> GenerationApp:
    """The app that fits a cohort best, by its name and the inputs it takes; the same list gives the same app.

    Raises: NoAppError.
    """
    ranked: list[tuple[int, str, GenerationApp]] = []
    for app in apps:
        if safe_id(app.id) is None or any(one.required and _meaning(one.name) is None for one in app.inputs):
            continue
        if not any(_meaning(one.name) in ("topic", "points") and not one.options for one in app.inputs):
            continue
        said = f"{app.id} {app.name} {app.category}".lower()
        fits = [rank for rank, word in enumerate(_WORDS[cohort]) if word in said]
        if fits:
            ranked.append((min(fits), app.id, app))
    if not ranked:
        raise NoAppError(f"no app of this account takes a {cohort.value} message: see GET /generation-apps")
    return min(ranked, key=lambda entry: entry[:2])[2]


class Generations(Surface):
    """`POST /generations`."""

    kind = Kind.GENERATION
    operation = "createGeneration"
    path = "generations"

    def body(self, brief: Brief, *, token: str, identity: Identity, known: Discovered) -> dict[str, Any]:
        """The app's inputs filled from the brief, aimed at the tier's persona, in the brand voice if there is one.

        Raises: NoAppError.
        """
        if not isinstance(brief, RetentionBrief):
            raise TypeError(f"a {brief.kind} brief makes no generation")
        app = app_for(known.apps, brief.cohort)
        title = f"{COHORT_NAMES[brief.cohort]} {TIER_NAMES[brief.tier].lower()} {brief.period}"
        body: dict[str, Any] = {
            "app_id": app.id,
            "input_data": _filled(app, retention_text(brief), token),
            "persona_id": Need(kind=Kind.PERSONA, segment_key=f"tier:{brief.tier}").placeholder(),
            "title": fit(title, token),
            "stream": False,
        }
        if known.brand_voice:
            body["brand_voice_id"] = Need(kind=Kind.BRAND_VOICE, segment_key="brand_voice:default").placeholder()
        if known.callback_url:
            body["callback_url"] = known.callback_url
        if identity.workspace != "default":
            body["workspace_id"] = identity.workspace
        return body

    async def listed(self, mavera: MaveraApi, *, search: str | None = None) -> list[Remote]:
        """Generations; a token stands in the title and in one of the inputs."""
        return [
            Remote(
                label=clean_text(item.title, limit=200) or "",
                marks=tuple(text for text in item.input_data.values() if isinstance(text, str)),
                answer=_answer(item),
            )
            for item in await mavera.generations(search=search)
            if safe_id(item.id)
        ]

    def parse(self, body: Mapping[str, Any]) -> Answer:
        """The text, finished or not."""
        item = Generation.parse(body, operation=self.operation)
        if safe_id(item.id) is None:
            raise UnreadableAnswerError(self.operation, seen="no usable id")
        return _answer(item)

    async def refreshed(self, mavera: MaveraApi, remote_id: str) -> Answer | None:
        """The generation as it is now."""
        item = await mavera.generation(remote_id)
        return None if item is None else _answer(item)


def _answer(item: Generation) -> Answer:
    text = clean_text(item.text)
    status: Status = "failed" if item.progress == "failed" else "pending" if text is None else "completed"
    return Answer(
        id=item.id,
        charged=item.charged,
        status=status,
        result={
            "title": clean_text(item.title, limit=200),
            "text": text,
            "content_type": short_text(item.content_type, limit=20) or "markdown",
        },
    )


def _filled(app: GenerationApp, texts: Mapping[str, str], token: str) -> dict[str, str]:
    """Values for the declared inputs that are understood; the token ends the first free text."""
    filled: dict[str, str] = {}
    used: set[str] = set()
    free: list[tuple[int, str]] = []
    for one in sorted(app.inputs, key=lambda one: (not one.required, one.name)):
        meaning = _meaning(one.name)
        if meaning is None or (meaning in used and not one.required):
            continue
        value = texts.get(meaning) or ("short" if meaning == "length" else None)
        if one.options and value not in one.options:
            value = one.options[0] if one.required else None
        if value is None:
            continue
        filled[one.name] = value
        used.add(meaning)
        if meaning in ("topic", "points") and not one.options:
            free.append((("topic", "points").index(meaning), one.name))
    marked = min(free)[1]
    filled[marked] = f"{filled[marked].rstrip('.')}. Reference [{token}]"
    return filled
