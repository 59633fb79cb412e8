"""Texts of the pretend Mavera: plausible, and a function of the request alone.

No model runs here. A draft repeats the facts of its request, so that a reader sees at once where each
sentence comes from, and two identical requests give identical texts.
"""

import re
from typing import Any

__all__ = ["brand_voice_profile", "case_study", "generation_text", "question", "rewritten_copy"]

_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_MARKER = re.compile(r"^\s*\[[^\]]*\]\s*")
_QUOTED = re.compile(r"[\"“]([^\"“”]{8,400})[\"”]")


def _first(fields: dict[str, Any], *names: str, default: str) -> str:
    for name in names:
        value = fields.get(name)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return default


def generation_text(app_name: str, fields: dict[str, Any], *, audience: str, voice: str) -> str:
    """Markdown of one message, built from the app's inputs."""
    topic = _first(fields, "topic", "subject", "key_points", "goal", default="your subscription").rstrip(".")
    readers = _first(fields, "target_audience", "audience", default=audience or "our customers").rstrip(".")
    tone = _first(fields, "tone", default="plain")
    others = [
        f"- {value.strip()}"
        for name, value in sorted(fields.items())
        if isinstance(value, str) and value.strip() not in ("", topic, readers, tone) and name != "length"
    ]
    lines = [
        f"Subject: {topic.split(';')[0][:70]}",
        "",
        "Hello,",
        "",
        f"we write to {readers[0].lower()}{readers[1:]} about one thing: {topic}.",
        "",
        "You can settle it in two minutes under Settings, Billing. Nothing changes in your plan until you decide.",
    ]
    if others and _first(fields, "length", default="short") != "short":
        lines += ["", "What we took into account:", "", *others]
    if voice:
        lines += ["", f"_Written in the voice “{voice}”._"]
    return "\n".join([*lines, "", "Thank you for your time,", f"The {app_name.lower()} team"])


def case_study(message: str) -> str:
    """A Markdown draft that uses the facts of the message and no others."""
    sentences = [part for part in _SENTENCE.split(_MARKER.sub("", message).strip()) if part]
    facts = [part.rstrip(".") for part in sentences if re.search(r"\d", part)]
    shown = facts[:6] or ["No figures were given"]
    return "\n".join(
        [
            "# How a group of customers grew with the product",
            "",
            "## The situation",
            "",
            "The companies in this group started with a small plan and a narrow use. They are not named here.",
            "",
            "## What happened",
            "",
            *[f"- {fact}." for fact in shown],
            "",
            "## Why it worked",
            "",
            "They widened their use step by step, and each step paid for itself before the next one began.",
            "",
            "## What others can take from it",
            "",
            "Start with one team, measure one figure, and add seats when the figure moves.",
        ]
    )


def question(message: str) -> str:
    """What the agent asks back when it does not want to draft yet."""
    subject = _MARKER.sub("", message).strip()[:60]
    return f"Before I start on “{subject}”: which reader should the text address, finance leads or team managers?"


def rewritten_copy(text: str) -> str:
    """The first quoted sentence of the input, made more explicit."""
    found = _QUOTED.search(text)
    original = found.group(1).strip() if found else "Your plan renews automatically."
    return (
        f"{original.rstrip('.')}. You can cancel at any time in Settings; we remind you 7 days before a renewal."
    )


def brand_voice_profile(label: str, usage_context: str) -> dict[str, Any]:
    """What a finished brand voice tells about itself."""
    return {
        "voice_summary": f"{label}: short sentences, figures before adjectives, no pressure.",
        "tone": {"adjectives": ["plain", "calm"], "dos": ["State the next step"], "donts": ["Use urgency"]},
        "writing_style": {"sentence_structure": "Short main clauses", "jargon_usage": "Only billing terms"},
        "vocabulary": {"preferred_terms": ["renewal", "invoice"], "avoid_terms": ["final notice"]},
        "example_phrases": [
            {"use_case": usage_context, "example": "The last payment did not go through. You can update the card."}
        ],
    }
