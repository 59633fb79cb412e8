"""What the pretend Mavera makes over time and of a request: generations, voices, drafts, structured answers."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from sandbox.mavera.structured import instance
from tests.sandbox.mavera_serving import BASE_PERSONA, StandIn, brand_voice, generation, model_answer


def test_an_asynchronous_generation_answers_202_and_gets_its_text_when_it_is_due() -> None:
    async def scenario() -> None:
        mavera = StandIn(generations={"timing": "async", "seconds": 20})
        accepted = await mavera.post("generations", generation())
        path = f"generations/{accepted.json()['id']}"
        assert (accepted.status_code, accepted.json()["status"], accepted.json()["output"]) == (
            202,
            "pending",
            None,
        )
        mavera.clock.seconds += 19
        assert (await mavera.get(path)).json()["output"] is None
        mavera.clock.seconds += 1
        done = (await mavera.get(path)).json()
        assert done["status"] == "completed"
        assert "Renewal payment failed" in done["output"]
        assert done["usage"]["credits_used"] == await mavera.used() > 0

    asyncio.run(scenario())


@pytest.mark.parametrize(("outcome", "status", "free"), [("failed", "failed", True), ("stuck", "pending", False)])
def test_a_generation_that_fails_is_free_and_one_that_is_stuck_is_not(
    outcome: str, status: str, free: bool
) -> None:
    async def scenario() -> None:
        mavera = StandIn(generations={"timing": "async", "outcome": outcome})
        made = (await mavera.post("generations", generation())).json()
        mavera.clock.seconds += 10_000
        later = (await mavera.get(f"generations/{made['id']}")).json()
        assert (later["status"], later["output"]) == (status, None)
        assert ((await mavera.used()) == 0) is free

    asyncio.run(scenario())


def test_a_generation_uses_its_inputs_and_its_voice_and_is_found_by_its_title() -> None:
    async def scenario() -> None:
        mavera = StandIn()
        voice = (await mavera.post("brand-voices", brand_voice())).json()["id"]
        body = generation(title="retention k7f3q2m9", persona_id=BASE_PERSONA, brand_voice_id=voice)
        made = (await mavera.post("generations", body)).json()
        assert "finance leads" in made["output"].lower()
        assert "Plain and calm" in made["output"]
        assert made["input_data"] == body["input_data"]
        found = (await mavera.get("generations", search="K7F3Q2M9")).json()["data"]
        assert [item["id"] for item in found] == [made["id"]]
        assert (await mavera.get("generations", app_id="landing_page_copy")).json()["data"] == []

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({"seconds": 30}, ["pending", "generating", "completed"]),
        ({"seconds": 30, "outcome": "failed"}, ["pending", "generating", "failed"]),
        ({"seconds": 30, "outcome": "stuck"}, ["pending", "generating", "generating"]),
        ({"seconds": 30, "vocabulary": "upper"}, ["PENDING", "PENDING", "READY"]),
    ],
    ids=["it is completed", "it fails", "it never ends", "second vocabulary"],
)
def test_a_brand_voice_is_built_in_timed_steps(options: dict[str, Any], steps: list[str]) -> None:
    async def scenario() -> None:
        mavera = StandIn(brand_voices=options)
        made = (await mavera.post("brand-voices", brand_voice())).json()
        seen = [made["status"]]
        for moment in (10, 20):
            mavera.clock.seconds += moment
            seen.append((await mavera.get(f"brand-voices/{made['id']}")).json()["status"])
        assert seen == steps
        final = (await mavera.get(f"brand-voices/{made['id']}")).json()
        assert ("voice_summary" in final) is (steps[-1] in ("completed", "READY"))
        assert (final["error"] is not None) is (steps[-1] == "failed")

    asyncio.run(scenario())


def test_a_draft_repeats_the_facts_and_can_be_read_from_its_thread() -> None:
    async def scenario() -> None:
        mavera = StandIn()
        message = "[k7f3q2m9] Draft a case study. 18 accounts grew from 640 to 1,980 USD. Do not name companies."
        reply = (await mavera.post("mave/chat", {"message": message})).json()
        assert "18 accounts grew from 640 to 1,980 USD" in reply["content"]
        assert "k7f3q2m9" not in reply["content"]
        threads = (await mavera.get("mave/threads", search="k7f3q2m9")).json()["data"]
        assert [(item["id"], item["credits_used"], item["message_count"]) for item in threads] == [
            (reply["thread_id"], reply["usage"]["credits_used"], 2)
        ]
        follow_up = {"thread_id": reply["thread_id"], "message": "Shorten it."}
        assert (await mavera.post("mave/chat", follow_up)).json()["thread_id"] == reply["thread_id"]
        thread = (await mavera.get(f"mave/threads/{reply['thread_id']}")).json()
        assert [item["role"] for item in thread["messages"]] == ["user", "assistant"] * 2
        assert thread["messages"][1]["content"] == reply["content"]
        assert thread["credits_used"] == await mavera.used()
        assert (await mavera.post("mave/chat", {"thread_id": "none", "message": "x"})).status_code == 404

    asyncio.run(scenario())


COPY_FIX = {
    "type": "object",
    "additionalProperties": False,
    "required": ["rewritten", "addresses"],
    "properties": {"rewritten": {"type": "string"}, "addresses": {"type": "array", "items": {"type": "string"}}},
}
QUESTION = (
    "Disputes by reason: subscription_canceled 22, product_not_received 14. "
    'Rewrite this checkout sentence: "Your plan renews automatically."'
)


def test_a_structured_answer_rewrites_the_quoted_copy_and_names_the_reasons() -> None:
    async def scenario() -> None:
        text = {"format": {"type": "json_schema", "name": "copy_fix", "strict": True, "schema": COPY_FIX}}
        answer = (await StandIn().post("responses", model_answer(input=QUESTION, text=text))).json()
        fix = json.loads(answer["output"][0]["content"][0]["text"])
        assert fix["rewritten"].startswith("Your plan renews automatically. You can cancel")
        assert fix["addresses"] == ["subscription_canceled", "product_not_received"]

    asyncio.run(scenario())


@pytest.mark.parametrize("mode", ["refusal", "broken_json", "not_completed"])
def test_answers_that_cannot_be_used_come_under_200_and_are_charged(mode: str) -> None:
    async def scenario() -> None:
        mavera = StandIn(response_output=mode)
        text = {"format": {"type": "json_schema", "name": "copy_fix", "schema": COPY_FIX}}
        answer = await mavera.post("responses", model_answer(input=QUESTION, text=text))
        body = answer.json()
        content = body["output"][0]["content"][0]
        assert answer.status_code == 200
        assert body["status"] == ("incomplete" if mode == "not_completed" else "completed")
        assert content["type"] == ("refusal" if mode == "refusal" else "output_text")
        if mode != "refusal":
            with pytest.raises(json.JSONDecodeError):
                json.loads(content["text"])
        assert await mavera.used() == body["usage"]["credits_used"] > 0

    asyncio.run(scenario())


def leaf_schemas() -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(
        st.just({"type": "boolean"}),
        st.just({"type": ["string", "null"]}),
        st.sampled_from([{"enum": ["a", "b"]}, {"const": 7}, {"type": "null"}, {}]),
        st.builds(
            lambda low, more: {"type": "string", "minLength": low, "maxLength": low + more},
            st.integers(1, 30),
            st.integers(0, 30),
        ),
        st.builds(
            lambda low, more: {"type": "integer", "minimum": low, "maximum": low + more}, *[st.integers(0, 9)] * 2
        ),
        st.builds(
            lambda low: {"type": "number", "exclusiveMinimum": low, "exclusiveMaximum": low + 1}, st.integers(0, 9)
        ),
        st.builds(lambda step: {"type": "integer", "minimum": 1, "multipleOf": step}, st.integers(2, 9)),
    )


def nested(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    names = st.sampled_from(["rewritten", "title", "reason", "notes", "score", "tags"])
    objects = st.dictionaries(names, inner, max_size=4).map(
        lambda fields: {
            "type": "object",
            "properties": fields,
            "required": list(fields),
            "additionalProperties": False,
        }
    )
    arrays = st.builds(
        lambda items, low, more: {"type": "array", "items": items, "minItems": low, "maxItems": low + more},
        inner,
        st.integers(0, 3),
        st.integers(0, 3),
    )
    return st.one_of(objects, arrays, inner.map(lambda one: {"anyOf": [one, {"type": "null"}]}))


@settings(max_examples=150, deadline=None)
@given(st.recursive(leaf_schemas(), nested, max_leaves=8))
def test_a_structured_answer_matches_the_schema_that_was_asked_for(schema: dict[str, Any]) -> None:
    Draft202012Validator(schema).validate(instance(schema, source=QUESTION))


def test_references_and_combinations_are_followed() -> None:
    schema = {
        "$defs": {"fix": {"type": "object", "properties": {"copy": {"type": "string"}}, "required": ["copy"]}},
        "type": "object",
        "properties": {
            "best": {
                "allOf": [
                    {"$ref": "#/$defs/fix"},
                    {"properties": {"rank": {"type": "integer"}}, "required": ["rank"]},
                ]
            },
            "others": {"type": "array", "items": {"$ref": "#/$defs/fix"}, "minItems": 2},
            "kinds": {"type": "array", "items": {"enum": ["x", "subscription_canceled"]}, "uniqueItems": True},
        },
        "required": ["best", "others", "kinds"],
    }
    made = instance(schema, source=QUESTION)
    Draft202012Validator(schema).validate(made)
    assert made["best"].keys() == {"copy", "rank"}
    assert made["kinds"] == ["subscription_canceled"]
