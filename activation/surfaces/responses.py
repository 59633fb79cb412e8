"""Copy fixes: one model answer through a persona, under a strict JSON schema.

A response has no handle by which it could be found again, so an unknown outcome goes to a person.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from activation.briefs import Brief, CopyFixBrief, DisputeReason
from activation.policy import Identity, Kind
from activation.surfaces.base import Answer, Discovered, Need, Remote, Status, Surface, safe_id
from activation.templates import copy_fix_input, copy_fix_instructions
from activation.untrusted import MAX_TEXT, clean_text
from resources.mavera import MaveraApi, ModelAnswer, UnreadableAnswerError

__all__ = ["COPY_FIX_SCHEMA", "CopyFixes"]

COPY_FIX_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["rewritten", "rationale", "addresses"],
    "properties": {
        "rewritten": {"type": "string"},
        "rationale": {"type": "string"},
        "addresses": {
            "type": "array",
            "items": {"type": "string", "enum": [reason.value for reason in DisputeReason]},
        },
    },
}


class _Rewritten(BaseModel):
    """The answer, checked here again: a server may ignore the schema."""

    model_config = ConfigDict(extra="forbid", strict=True)

    rewritten: str = Field(min_length=1, max_length=5_000)
    rationale: str = Field(max_length=5_000)
    addresses: list[str] = Field(max_length=20)


class CopyFixes(Surface):
    """`POST /responses`."""

    kind = Kind.COPY_FIX
    operation = "createResponse"
    path = "responses"
    has_handle = False

    def body(self, brief: Brief, *, token: str, identity: Identity, known: Discovered) -> dict[str, Any]:
        """Instructions, the copy to rewrite and the schema of the answer, seen by the audience's persona."""
        if not isinstance(brief, CopyFixBrief):
            raise TypeError(f"a {brief.kind} brief makes no copy fix")
        return {
            "model": "mavera-1",
            "persona_id": Need(kind=Kind.PERSONA, segment_key=f"tier:{brief.audience_tier}").placeholder(),
            "instructions": copy_fix_instructions(),
            "input": copy_fix_input(brief),
            "text": {
                "format": {"type": "json_schema", "name": "copy_fix", "strict": True, "schema": COPY_FIX_SCHEMA}
            },
            "stream": False,
        }

    async def listed(self, mavera: MaveraApi, *, search: str | None = None) -> list[Remote]:
        """Nothing: responses cannot be listed."""
        return []

    def parse(self, body: Mapping[str, Any]) -> Answer:
        """The rewritten copy, if the answer is complete and fits the schema."""
        answer = ModelAnswer.parse(body, operation=self.operation)
        if safe_id(answer.id) is None:
            raise UnreadableAnswerError(self.operation, seen="no usable id")
        status: Status
        result: dict[str, Any] = {}
        if answer.refusal is not None:
            status = "refused"
        elif not answer.completed:
            status = "incomplete"
        else:
            status, result = _fix(answer.text)
        return Answer(id=answer.id, charged=answer.charged, status=status, result=result)


def _fix(text: str) -> tuple[Status, dict[str, Any]]:
    try:
        fix = _Rewritten.model_validate(orjson.loads(text[:MAX_TEXT]))
    except (orjson.JSONDecodeError, ValidationError):
        return "invalid", {}
    rewritten = clean_text(fix.rewritten)
    if rewritten is None:
        return "invalid", {}
    known = [reason for reason in fix.addresses if reason in DisputeReason._value2member_map_]
    return "completed", {
        "rewritten": rewritten,
        "rationale": clean_text(fix.rationale),
        "addresses": known,
    }
