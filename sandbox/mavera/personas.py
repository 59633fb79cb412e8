"""Personas of the pretend Mavera: one per name by default, custom ones can be changed and removed.

Traits stand under `details`. What happens to a name that exists already is a switch (`duplicate_name`).
"""

from typing import Any

from sandbox.mavera.lists import page
from sandbox.mavera.requests import PersonaCreate, PersonaUpdate
from sandbox.mavera.store import Row
from sandbox.mavera.world import (
    WORKSPACE,
    Answer,
    Call,
    Refusal,
    World,
    accept,
    not_found,
)

__all__ = ["create_persona", "delete_persona", "get_persona", "list_personas", "update_persona"]

_PERSONA_FIELDS = ("name", "description", "pipeline_type", "type")


def list_personas(call: Call, world: World) -> Answer:
    return page(
        call,
        world,
        "persona",
        view=lambda row: {
            name: value for name, value in row.body.items() if name not in ("details", "credits_charged")
        },
        filters={"category": "category", "name": "name"},
        key=world.options.paging.persona_key,
    )


def get_persona(call: Call, world: World) -> Answer:
    return Answer(body=_persona(call, world).body)


def create_persona(call: Call, world: World) -> Answer:
    body, extras = accept(PersonaCreate, call, world.options)
    sent = body.model_dump(exclude_unset=True)
    with world.store.transaction():
        existing = world.store.named("persona", body.name)
        if existing is not None and world.options.duplicate_name != "allow_second":
            return _existing_persona(existing, sent, extras, world)
        now = world.now()
        price = world.options.persona_price
        stored = {
            "object": "custom_persona",
            "category": "Custom",
            "is_custom": True,
            "is_expert": False,
            "workspace_id": WORKSPACE,
            "created_at": int(now),
            "credits_charged": 0 if call.test_mode else price,
        }
        row, _ = world.create(call, "persona", _merged(stored, sent, extras), name=body.name, price=price)
    return Answer(body=row.body, status=world.options.created_status)


def update_persona(call: Call, world: World) -> Answer:
    body, extras = accept(PersonaUpdate, call, world.options)
    with world.store.transaction():
        row = _persona(call, world)
        if not row.custom:
            raise Refusal(403, "forbidden", "A base persona cannot be changed.", type="permission_error")
        other = None if body.name is None else world.store.named("persona", body.name)
        if other is not None and other.id != row.id and world.options.duplicate_name != "allow_second":
            raise _name_taken(world)
        changed = _merged(row.body, body.model_dump(exclude_unset=True), extras)
        world.store.update(row, changed, name=changed["name"])
        if world.options.persona_update_price:
            world.charge(call, row.id, world.options.persona_update_price)
    return Answer(body=changed)


def delete_persona(call: Call, world: World) -> Answer:
    with world.store.transaction():
        row = _persona(call, world)
        if not row.custom:
            raise Refusal(403, "forbidden", "A base persona cannot be removed.", type="permission_error")
        world.store.delete(row, now=world.now())
    return Answer(body={"id": row.id, "object": "custom_persona", "deleted": True})


def _persona(call: Call, world: World) -> Row:
    row = world.store.get("persona", call.path["persona_id"])
    if row is None:
        raise not_found("persona", "persona_id")
    return row


def _existing_persona(row: Row, sent: dict[str, Any], extras: dict[str, Any], world: World) -> Answer:
    if world.options.duplicate_name != "return_existing":
        raise _name_taken(world)
    body = row.body
    if world.options.duplicate_content == "replace":
        body = _merged(body, sent, extras)
        world.store.update(row, body)
    return Answer(body={**body, "credits_charged": 0})


def _name_taken(world: World) -> Refusal:
    if world.options.duplicate_name == "unprocessable_422":
        return Refusal(422, "duplicate_name", "The name is already taken.", type="validation_error", param="name")
    return Refusal(409, "duplicate_name", "A persona with this name exists.", param="name")


def _merged(body: dict[str, Any], sent: dict[str, Any], extras: dict[str, Any]) -> dict[str, Any]:
    """The persona after these fields: arrays are replaced as a whole, traits stand under `details`."""
    top = {name: sent[name] for name in _PERSONA_FIELDS if name in sent}
    traits = {name: value for name, value in sent.items() if name not in _PERSONA_FIELDS}
    details = {"primary_use_case": None, "is_localized": False, **body.get("details", {}), **traits, **extras}
    merged = {**body, **top}
    details |= {"pipeline_type": merged.get("pipeline_type"), "persona_type": merged.get("type")}
    return {**merged, "details": details}
