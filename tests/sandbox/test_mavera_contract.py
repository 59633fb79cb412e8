"""Each answer of the pretend Mavera fits the contract, and it takes exactly the requests that this allows."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tests.sandbox.mavera_serving import BASE_PERSONA, StandIn, brand_voice, generation, model_answer, persona

CONTRACT: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[1] / "data" / "mavera" / "openapi.yaml").read_text(encoding="utf-8")
)
REGISTRY: Registry[Any] = Registry().with_resource(
    "urn:contract", Resource.from_contents(CONTRACT, default_specification=DRAFT202012)
)


FORMATS = FormatChecker(formats=())


@FORMATS.checks("uri")
def is_uri(value: object) -> bool:
    return not isinstance(value, str) or bool(httpx.URL(value).scheme)


def validator(pointer: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"urn:contract#{pointer}"}, registry=REGISTRY, format_checker=FORMATS)


def resolved(node: Any) -> Any:
    while isinstance(node, dict) and "$ref" in node:
        target: Any = CONTRACT
        for step in node["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        node = target
    return node


def assert_in_contract(method: str, template: str, answer: httpx.Response) -> None:
    """Status, media type and body are among those that the operation documents."""
    responses = CONTRACT["paths"][template][method.lower()]["responses"]
    documented = responses.get(str(answer.status_code))
    if documented is None and answer.status_code >= 500:
        documented = responses["5XX"]
    assert documented is not None, f"{method} {template} answers {answer.status_code}, which is not documented"
    content = resolved(documented).get("content", {})
    media = answer.headers.get("content-type", "").partition(";")[0]
    if not answer.content:
        return
    assert media in content, f"{method} {template} answers {media}"
    if media == "application/json":
        schema = resolved(content[media])["schema"]
        pointer = schema["$ref"].removeprefix("#")
        errors = [error.message for error in validator(pointer).iter_errors(answer.json())]
        assert not errors, f"{method} {template} {answer.status_code}: {errors}"


WALK: list[tuple[str, str, str, Any]] = [
    ("GET", "/personas", "personas", None),
    ("POST", "/personas", "personas", persona()),
    ("POST", "/personas", "personas", persona()),
    ("POST", "/personas", "personas", {"name": "x"}),
    ("GET", "/personas/{persona_id}", f"personas/{BASE_PERSONA}", None),
    ("GET", "/personas/{persona_id}", "personas/none", None),
    ("PATCH", "/personas/{persona_id}", "personas/{persona}", {"goals": ["One goal"]}),
    ("PATCH", "/personas/{persona_id}", f"personas/{BASE_PERSONA}", {"goals": ["One goal"]}),
    ("GET", "/generation-apps", "generation-apps", None),
    ("GET", "/generations", "generations", None),
    ("POST", "/generations", "generations", generation()),
    ("POST", "/generations", "generations", generation(persona_id="none")),
    ("GET", "/generations", "generations?search=retention&limit=1", None),
    ("GET", "/generations/{generation_id}", "generations/{generation}", None),
    ("POST", "/mave/chat", "mave/chat", {"message": "[k7f3q2m9] Draft it. 18 accounts grew by 40 percent."}),
    ("GET", "/mave/threads", "mave/threads", None),
    ("GET", "/mave/threads/{thread_id}", "mave/threads/{mave_thread}", None),
    ("POST", "/responses", "responses", model_answer()),
    ("POST", "/responses", "responses", model_answer(model="other")),
    ("GET", "/brand-voices", "brand-voices", None),
    ("POST", "/brand-voices", "brand-voices", brand_voice()),
    ("GET", "/brand-voices/{brand_voice_id}", "brand-voices/{brand_voice}", None),
    ("GET", "/usage", "usage", None),
    ("DELETE", "/personas/{persona_id}", "personas/{persona}", None),
    ("DELETE", "/personas/{persona_id}", "personas/{persona}", None),
]

WORLDS: dict[str, dict[str, Any]] = {
    "as it starts": {},
    "creates answer 200": {"created_status": 200},
    "names conflict with 409": {"duplicate_name": "conflict_409"},
    "names conflict with 422": {"duplicate_name": "unprocessable_422"},
    "an existing persona takes the new content": {"duplicate_content": "replace"},
    "cursor paging": {"paging": {"style": "cursor", "default_limit": 1}},
    "no paging fields": {"paging": {"style": "none", "persona_key": "personas"}},
    "asynchronous generations": {"generations": {"timing": "async", "seconds": 1}},
    "generations that fail": {"generations": {"timing": "async", "seconds": 0, "outcome": "failed"}},
    "older generation shape": {"generations": {"shape": "older"}},
    "upper case voices with usage": {"brand_voices": {"vocabulary": "upper", "show_usage": True, "seconds": 0}},
    "voices that fail": {"brand_voices": {"outcome": "failed", "seconds": 0}},
    "Mave asks back": {"mave_answer": "question"},
    "Mave without validation": {"mave_answer": "draft_without_validation"},
    "refusals": {"response_output": "refusal"},
    "answers that are not completed": {"response_output": "not_completed"},
    "no credits": {"credits": 0},
    "lapsed subscription": {"billing": "lapsed"},
    "unknown key": {"scopes": "enforced"},
    "key without scopes": {"scopes": "enforced", "keys": {"key-one": {}}},
    "one call a minute": {"requests_per_minute": 1},
    "no single reads and no removal": {"unsupported": ["getPersona", "deletePersona"]},
    "500": {"faults": [{"kind": "error_before"}]},
    "500 without body": {"faults": [{"kind": "error_after", "error_format": "empty"}]},
    "503": {"faults": [{"kind": "error_after", "status": 503}]},
    "502 as HTML": {"faults": [{"kind": "error_before", "status": 502}], "error_format": "html"},
}


@pytest.mark.parametrize("options", WORLDS.values(), ids=WORLDS.keys())
def test_every_answer_fits_the_contract(options: dict[str, Any]) -> None:
    async def walk() -> int:
        mavera = StandIn(**options)
        ids = dict.fromkeys(("persona", "generation", "mave_thread", "brand_voice"), "none")
        for method, template, path, body in WALK:
            answer = await mavera.http.request(method, path.format(**ids), json=body)
            assert_in_contract(method, template, answer)
            mavera.clock.seconds += 1
            ids |= {row["kind"]: row["id"] for row in (await mavera.ledger())["objects"]}
        return len(WALK)

    assert asyncio.run(walk()) == len(WALK)


# ---- requests ---------------------------------------------------------------------------------------------------
DATASET = {
    "personas.jsonl": [{"id": "clx8m2q4t000108l3c9hd7k2p", "name": "Revenue tier", "is_custom": True}],
    "generation_apps.jsonl": [{"id": "retention-email", "name": "Retention email"}],
    "brand_voices.jsonl": [{"id": "bv_3k9x", "label": "Plain and calm", "status": "completed"}],
}
BODIES = {
    "/personas": "post",
    "/personas/{persona_id}": "patch",
    "/generations": "post",
    "/responses": "post",
    "/brand-voices": "post",
}
# Fields that name other objects: a well-formed value can still be refused.
REFERENCES = {"app_id", "persona_id", "brand_voice_id", "thread_id"}
ODD_VALUES = (5, None, "", [], {}, True, ["", 7], {"price": 9}, "x" * 101)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    (tmp_path / "mavera").mkdir()
    for name, items in DATASET.items():
        (tmp_path / "mavera" / name).write_text("\n".join(map(json.dumps, items)), encoding="utf-8")
    return tmp_path


def examples(template: str) -> Iterator[dict[str, Any]]:
    media = CONTRACT["paths"][template][BODIES[template]]["requestBody"]["content"]["application/json"]
    for example in media["examples"].values():
        yield resolved(example)["value"]


def variants(body: dict[str, Any]) -> Iterator[tuple[str | None, dict[str, Any]]]:
    """The body itself, and everything that is one step away from it."""
    yield None, body
    yield "surprise", {**body, "surprise": 1}
    for field in body:
        yield field, {name: value for name, value in body.items() if name != field}
        for value in ODD_VALUES:
            yield field, {**body, field: value}


@pytest.mark.parametrize("template", BODIES)
def test_a_request_is_taken_exactly_if_the_contract_allows_it(template: str, dataset: Path) -> None:
    schema = CONTRACT["paths"][template][BODIES[template]]["requestBody"]["content"]["application/json"]["schema"]
    allowed = validator(schema["$ref"].removeprefix("#"))

    async def compare() -> tuple[int, int]:
        mavera = StandIn(
            dataset=dataset,
            duplicate_name="allow_second",
            treat_as_unknown=[],
            callbacks={"enabled": True},
            auto_recharge=True,
            requests_per_minute=10_000,
        )
        path = template.format(persona_id="clx8m2q4t000108l3c9hd7k2p")
        taken = refused = 0
        for example in examples(template):
            for field, body in variants(example):
                valid = allowed.is_valid(body)
                if valid and field in REFERENCES:
                    continue
                answer = await mavera.http.request(BODIES[template], path.lstrip("/"), json=body)
                assert answer.is_success == valid, (field, body.get(field or ""), answer.text)
                assert_in_contract(BODIES[template], template, answer)
                taken, refused = taken + valid, refused + (not valid)
                if not valid:
                    assert answer.status_code == 400
                    param = answer.json()["error"]["param"]
                    assert param is None or field is None or param.startswith((field, "description")), (
                        param,
                        body,
                    )
        return taken, refused

    taken, refused = asyncio.run(compare())
    assert taken >= 2
    assert refused >= 10


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("personas", persona(attributes={"a": 1}), "attributes"),
        ("personas", persona(surprise=1), "surprise"),
        ("personas", persona(mcda_weights={"speed": 1}), "mcda_weights.speed"),
        ("generations", generation(callback_url="http://127.0.0.1:9/x"), "callback_url"),
        ("generations", {**generation(), "input_data": {"topic": "a"}}, "input_data.target_audience"),
        ("generations", {**generation(), "input_data": generation()["input_data"] | {"x": "y"}}, "input_data.x"),
        ("mave/chat", {"message": "hello", "surprise": 1}, "surprise"),
        ("mave/chat", {"message": "hello", "stream": True}, "stream"),
        ("responses", model_answer(surprise=1), "surprise"),
        ("responses", model_answer(text={"format": {"type": "json_schema", "name": "x"}}), "text.format.schema"),
        ("brand-voices", brand_voice() | {"urls": ["nowhere"]}, "urls.0"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_refusal_names_the_field_and_costs_nothing(path: str, body: dict[str, Any], param: str) -> None:
    async def call() -> tuple[httpx.Response, dict[str, Any]]:
        mavera = StandIn()
        return await mavera.post(path, body), await mavera.ledger()

    answer, ledger = asyncio.run(call())
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert ledger == {"objects": [], "charges": [], "credits_charged": 0}
