"""Every known shape of a Mavera object ends in one reading, anything else is refused."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.mavera import (
    BrandVoice,
    Generation,
    GenerationApp,
    MaveReply,
    ModelAnswer,
    Persona,
    UnreadableAnswerError,
    Usage,
)


@pytest.mark.parametrize(
    ("body", "progress", "text", "charged"),
    [
        ({"output": "a", "usage": {"credits_used": 14}}, "done", "a", 14),
        ({"app": "retention_email", "markdown": "a", "content_type": "MARKDOWN"}, "done", "a", None),
        ({"output": "", "content": "a", "status": "READY"}, "done", "a", None),
        ({"output": None, "status": "pending"}, "running", None, None),
        ({"output": None}, "running", None, None),
        ({"output": "half", "status": "generating"}, "running", None, None),
        ({"output": None, "status": "completed"}, "running", None, None),
        ({"output": None, "status": "Failed", "usage": {"credits_used": 0}}, "failed", None, 0),
        ({"output": None, "error": {"code": "generation_failed"}}, "failed", None, None),
        ({"output": "a", "usage": {"credits_used": 12.2}}, "done", "a", 13),
        ({"output": "a", "usage": {"credits_used": True}}, "done", "a", None),
        ({"output": "a", "usage": None}, "done", "a", None),
    ],
    ids=[
        "reference", "older shape", "first text that is not empty", "pending", "no text", "half a text",
        "completed without text", "failed by status", "failed by error", "a fraction costs a whole credit",
        "a flag is no number", "no usage",
    ],
)  # fmt: skip
def test_generations(body: dict[str, Any], progress: str, text: str | None, charged: int | None) -> None:
    found = Generation.parse({"id": "gen_1", **body}, operation="getGeneration")
    assert (found.progress, found.text, found.charged) == (progress, text, charged)


@pytest.mark.parametrize(
    ("declared", "names"),
    [
        (
            {"input_fields": [{"name": "topic"}, {"key": "tone"}, "length", {"x": 1}, 7]},
            ["topic", "tone", "length"],
        ),
        ({"input_schema": {"topic": {"required": True}, "tone": None}}, ["topic", "tone"]),
        ({"input_fields": None, "input_data": ["topic"]}, ["topic"]),
        ({}, []),
    ],
    ids=["list of fields", "object by name", "names only", "nothing"],
)
def test_inputs_of_apps(declared: dict[str, Any], names: list[str]) -> None:
    app = GenerationApp.parse({"id": "a", **declared}, operation="listGenerationApps")
    assert [field.name for field in app.inputs] == names


@pytest.mark.parametrize(
    ("status", "progress"),
    [
        ("completed", "done"),
        ("READY", "done"),
        ("FAILED", "failed"),
        ("PENDING", "running"),
        ("odd", "running"),
        (None, "running"),
    ],
)
def test_brand_voice_status(status: str | None, progress: str) -> None:
    assert BrandVoice.parse({"id": "bv_1", "status": status}, operation="getBrandVoice").progress == progress


def output(*parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"id": "resp_1", "output": [{"type": "message", "content": list(parts)}, {"type": "odd"}], **fields}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (output({"type": "output_text", "text": "a"}, {"type": "output_text", "text": "b"}), (True, "ab", None)),
        (output({"type": "output_text", "text": "a"}, status="incomplete"), (False, "a", None)),
        (output({"type": "refusal", "refusal": "no"}, status="completed"), (True, "", "no")),
        (output({"type": "refusal"}), (True, "", "declined without a reason")),
        (output({"type": "odd"}), (True, "", None)),
    ],
    ids=["joined text", "not completed", "refusal", "refusal without reason", "unknown part"],
)
def test_model_answers(body: dict[str, Any], expected: tuple[bool, str, str | None]) -> None:
    found = ModelAnswer.parse(body, operation="createResponse")
    assert (found.completed, found.text, found.refusal) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1762502400, datetime(2025, 11, 7, 8, 0, tzinfo=UTC)),
        ("2025-11-07T08:00:00Z", datetime(2025, 11, 7, 8, 0, tzinfo=UTC)),
        ("2025-11-07T09:00:00+01:00", datetime(2025, 11, 7, 8, 0, tzinfo=UTC)),
        ("2025-11-07 08:00", datetime(2025, 11, 7, 8, 0, tzinfo=UTC)),
        ("yesterday", None),
        (10**30, None),
        (None, None),
        (True, None),
    ],
)
def test_times(value: object, expected: datetime | None) -> None:
    assert Persona.parse({"id": "p", "name": "n", "created_at": value}, operation="x").created_at == expected


@pytest.mark.parametrize(
    ("parse", "body"),
    [
        (Persona.parse, {"id": "p"}),
        (Persona.parse, {"name": "n"}),
        (Persona.parse, {"id": ["p"], "name": ["n"]}),
        (Generation.parse, {"output": "a"}),
        (MaveReply.parse, {"id": "m"}),
        (MaveReply.parse, {"content": " "}),
        (ModelAnswer.parse, {"id": "r"}),
        (ModelAnswer.parse, {"output": []}),
        (BrandVoice.parse, {"label": "x"}),
        (Usage.parse, {"credits": None}),
    ],
)
def test_an_object_without_its_essence_is_unreadable(parse: Any, body: dict[str, Any]) -> None:
    with pytest.raises(UnreadableAnswerError):
        parse(body, operation="create")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = [
    "id",
    "name",
    "content",
    "output",
    "usage",
    "credits",
    "details",
    "created_at",
    "status",
    "error",
    "messages",
    "input_fields",
    "app",
    "validation",
    "message_count",
    "billing_period",
    "rate_limit",
    "auto_recharge",
]


@given(st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_any_object_is_read_or_refused_but_never_breaks_the_reader(body: dict[str, Any]) -> None:
    for kind in (Persona, Generation, GenerationApp, MaveReply, ModelAnswer, BrandVoice, Usage):
        try:
            kind.parse(body, operation="read")
        except UnreadableAnswerError:
            continue
