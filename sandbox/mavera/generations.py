"""Generations of the pretend Mavera and the apps that make them, at once or some seconds later.

A failed generation costs nothing; every other one is charged when it is accepted.
"""

import math
from typing import Any

from sandbox.mavera.content import generation_text
from sandbox.mavera.lists import page
from sandbox.mavera.requests import GenerationCreate
from sandbox.mavera.store import Row
from sandbox.mavera.world import (
    WORKSPACE,
    Answer,
    Call,
    World,
    accept,
    invalid,
    iso,
    missing,
    not_found,
    refuse_unknown,
)

__all__ = ["create_generation", "get_generation", "list_generation_apps", "list_generations"]


def list_generation_apps(call: Call, world: World) -> Answer:
    return page(call, world, "generation_app", view=lambda row: row.body)


def list_generations(call: Call, world: World) -> Answer:
    return page(
        call,
        world,
        "generation",
        view=lambda row: _generation(row, world),
        filters={"workspace_id": "workspace_id", "app_id": "app_id"},
    )


def get_generation(call: Call, world: World) -> Answer:
    row = world.store.get("generation", call.path["generation_id"])
    if row is None:
        raise not_found("generation", "generation_id")
    return Answer(body=_generation(row, world))


def create_generation(call: Call, world: World) -> Answer:
    body, extras = accept(GenerationCreate, call, world.options)
    app = world.store.get("generation_app", body.app_id)
    if app is None:
        raise invalid("app_id", "No app has this id.")
    _check_inputs(app.body, body.input_data, world)
    persona = world.store.get("persona", body.persona_id) if body.persona_id else None
    if body.persona_id and persona is None:
        raise invalid("persona_id", "No persona has this id.", code="invalid_persona")
    voice = world.store.get("brand_voice", body.brand_voice_id) if body.brand_voice_id else None
    if body.brand_voice_id and voice is None:
        raise invalid("brand_voice_id", "No brand voice has this id.")
    rules, now = world.options.generations, world.now()
    failed = rules.timing == "async" and rules.outcome == "failed"
    price = 0 if failed else world.price(world.options.generation_price, body.app_id, body.title, body.input_data)
    text = generation_text(
        app.body.get("name") or app.id,
        body.input_data,
        audience="" if persona is None else persona.name,
        voice="" if voice is None else voice.name,
    )
    stored = {
        "object": "generation",
        "title": body.title,
        "app": {"id": app.id, "name": app.body.get("name"), "category": app.body.get("category")},
        "app_id": app.id,
        "persona_id": body.persona_id or None,
        "brand_voice": None if voice is None else {"id": voice.id, "label": voice.name},
        "input_data": body.input_data,
        "output": text,
        "content": text,
        "content_type": "markdown",
        "workspace_id": body.workspace_id or WORKSPACE,
        "usage": _tokens(body.input_data, text, 0 if call.test_mode else price),
        "created_at": iso(now),
        "updated_at": iso(now),
        **extras,
    }
    with world.store.transaction():
        row, _ = world.create(
            call,
            "generation",
            stored,
            name=body.title,
            price=price,
            seconds=rules.seconds if rules.timing == "async" else None,
            outcome=rules.outcome if rules.timing == "async" else "completed",
        )
    pending = row.due_at is not None
    return Answer(body=_generation(row, world), status=202 if pending else world.options.created_status)


def _check_inputs(app: dict[str, Any], sent: dict[str, Any], world: World) -> None:
    declared = app.get("input_fields") or app.get("input_schema") or app.get("input_data") or {}
    if isinstance(declared, list):
        declared = {item["name"]: item for item in declared}
    for name, rule in declared.items():
        if isinstance(rule, dict) and rule.get("required") and not sent.get(name):
            raise missing(f"input_data.{name}")
        if isinstance(rule, dict) and name in sent and rule.get("options") and sent[name] not in rule["options"]:
            raise invalid(f"input_data.{name}", "The value is not one of the options.")
    if declared:
        refuse_unknown({name: 0 for name in sent if name not in declared}, world.options, prefix="input_data.")


def _generation(row: Row, world: World) -> dict[str, Any]:
    """The generation as it looks now: without its text until it is due."""
    body = dict(row.body)
    if row.due_at is not None:
        done = world.now() >= row.due_at and row.outcome != "stuck"
        body["status"] = row.outcome if done else "pending"
        if not done or row.outcome == "failed":
            body |= {"output": None, "content": None, "usage": None}
        if body["status"] == "failed":
            error = {"message": "The app could not finish this input.", "type": "api_error"}
            body |= {"error": {**error, "code": "generation_failed", "param": None}}
            body["usage"] = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "credits_used": 0}
    if world.options.generations.shape == "older":
        older = {
            "id": body["id"],
            "app": row.body["app"]["id"],
            "title": body["title"],
            "markdown": body["output"],
        }
        return {**older, "content_type": "MARKDOWN", "usage": body["usage"]}
    return body


def _tokens(prompt: object, text: str, credits: int) -> dict[str, int]:
    sent, made = math.ceil(len(repr(prompt)) / 4), math.ceil(len(text) / 4)
    return {"prompt_tokens": sent, "completion_tokens": made, "total_tokens": sent + made, "credits_used": credits}
