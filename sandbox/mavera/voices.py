"""Brand voices of the pretend Mavera, built in timed steps, and the usage of the billing period.

The label is not unique. The list ignores its status filter, as the contract tells clients not to rely on it.
"""

from typing import Any

from sandbox.mavera.content import brand_voice_profile
from sandbox.mavera.lists import page
from sandbox.mavera.requests import BrandVoiceCreate
from sandbox.mavera.store import Row
from sandbox.mavera.world import (
    WORKSPACE,
    Answer,
    Call,
    World,
    accept,
    iso,
    month_end,
    month_start,
    not_found,
)

__all__ = ["create_brand_voice", "get_brand_voice", "get_usage", "list_brand_voices"]


def list_brand_voices(call: Call, world: World) -> Answer:
    return page(
        call,
        world,
        "brand_voice",
        view=lambda row: _brand_voice(row, world),
        filters={"workspace_id": "workspace_id"},
    )


def get_brand_voice(call: Call, world: World) -> Answer:
    row = world.store.get("brand_voice", call.path["brand_voice_id"])
    if row is None:
        raise not_found("brand voice", "brand_voice_id")
    return Answer(body=_brand_voice(row, world))


def create_brand_voice(call: Call, world: World) -> Answer:
    body, extras = accept(BrandVoiceCreate, call, world.options)
    rules, now = world.options.brand_voices, world.now()
    stored = {
        "object": "brand_voice",
        "label": body.label,
        "usage_context": body.usage_context,
        "error": None,
        "sources": {"urls": call.body.get("urls", []), "documents": call.body.get("documents", [])},
        "workspace_id": body.workspace_id or WORKSPACE,
        "created_at": iso(now),
        "updated_at": iso(now),
        **extras,
    }
    if rules.show_usage:
        stored["usage"] = {"credits_used": 0 if call.test_mode else world.options.brand_voice_price}
    with world.store.transaction():
        row, _ = world.create(
            call,
            "brand_voice",
            stored,
            name=body.label,
            price=world.options.brand_voice_price,
            seconds=rules.seconds,
            outcome=rules.outcome,
        )
    return Answer(body=_brand_voice(row, world), status=world.options.created_status)


def _brand_voice(row: Row, world: World) -> dict[str, Any]:
    body = dict(row.body)
    now = world.now()
    if row.due_at is None:
        status = str(body.get("status", row.outcome))
    elif now >= row.due_at and row.outcome != "stuck":
        status = row.outcome
        body["updated_at"] = iso(row.due_at)
    else:
        status = "generating" if now - row.created_at >= (row.due_at - row.created_at) / 3 else "pending"
    if status == "completed" and "voice_summary" not in body:
        body |= brand_voice_profile(row.name, str(body.get("usage_context", "")))
    if status == "failed":
        body["error"] = "None of the pages could be read."
    if world.options.brand_voices.vocabulary == "upper":
        status = {"completed": "READY", "failed": "FAILED"}.get(status, "PENDING")
    return {**body, "status": status}


def get_usage(call: Call, world: World) -> Answer:
    now = world.now()
    used, included = world.used(call.key, now=now), world.included(call.key)
    return Answer(
        body={
            "object": "usage",
            "billing_period": {"start": iso(month_start(now)), "end": iso(month_end(now))},
            "credits": {
                "used": used,
                "included": included,
                "remaining": max(0, included - used),
                "percentage_used": round(100 * used / included, 1) if included else 100.0,
            },
            "transcription": {},
            "storage": {},
            "api_requests": {"total_requests": world.requests[call.key], "credits_used": used},
            "rate_limit": {"requests_per_minute": world.requests_per_minute(call.key)},
            "auto_recharge": {"enabled": world.options.auto_recharge, "threshold": None, "credits_to_add": None},
            "limits": {"budget_alert": None, "usage_limit": None},
        }
    )
