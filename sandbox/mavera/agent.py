"""The two answering surfaces of the pretend Mavera: the Mave agent with its threads, and single model answers.

The texts follow from the request (`mavera_content`, `mavera_structured`). A thread and its messages are
stored before the answer is sent, as the contract says, so that a lost answer can be read from the thread.
"""

from typing import Any

import orjson

from sandbox.mavera.content import case_study, question
from sandbox.mavera.lists import page
from sandbox.mavera.requests import MaveChat, ResponseCreate
from sandbox.mavera.store import Row
from sandbox.mavera.structured import instance
from sandbox.mavera.world import WORKSPACE, Answer, Call, World, accept, invalid, iso, not_found

__all__ = ["create_response", "get_mave_thread", "list_mave_threads", "send_mave_message"]

_SOURCES = [
    {
        "id": "src_1",
        "title": "Seat-based pricing in 2025",
        "url": "https://example.org/seat-pricing",
        "snippet": "Overview of seat prices.",
        "source_type": "web",
        "domain": "example.org",
    }
]


def list_mave_threads(call: Call, world: World) -> Answer:
    return page(call, world, "mave_thread", view=lambda row: row.body, filters={"workspace_id": "workspace_id"})


def get_mave_thread(call: Call, world: World) -> Answer:
    row = _thread(call.path["thread_id"], world)
    messages = [
        {name: message.body[name] for name in ("id", "role", "content", "persona", "created_at")}
        for message in world.store.children("mave_message", row.id)
    ]
    return Answer(body={**row.body, "messages": messages, "sources": _SOURCES, "personas_used": _personas(world)})


def send_mave_message(call: Call, world: World) -> Answer:
    body, extras = accept(MaveChat, call, world.options)
    asks = world.options.mave_answer == "question"
    text = question(body.message) if asks else case_study(body.message)
    price = round(world.options.mave_price.low) if asks else world.price(world.options.mave_price, body.message)
    now = world.now()
    with world.store.transaction():
        thread = _thread(body.thread_id, world) if body.thread_id else _new_thread(call, body, extras, world)
        _say(call, thread, "user", body.message, world)
        answer = _say(call, thread, "assistant", text, world)
        charged = world.charge(call, answer.id, price)
        messages = world.store.children("mave_message", thread.id)
        world.store.update(
            thread,
            {
                **thread.body,
                "credits_used": thread.body["credits_used"] + charged,
                "message_count": len(messages),
                "current_phase": "TRIAGE" if asks else "VALIDATION",
                "updated_at": iso(now),
            },
        )
    reply = {
        "id": answer.id,
        "object": "mave_message",
        "thread_id": thread.id,
        "role": "assistant",
        "content": text,
        "sources": [] if asks else _SOURCES,
        "personas_used": [] if asks else _personas(world),
        "usage": {"credits_used": charged},
        "created_at": iso(now),
    }
    if world.options.mave_answer == "draft":
        reply["validation"] = {"confidence_score": 0.86, "hallucination_risk": "low", "unsupported_claims": []}
    return Answer(body=reply)


def _thread(thread_id: str, world: World) -> Row:
    row = world.store.get("mave_thread", thread_id)
    if row is None:
        raise not_found("thread", "thread_id")
    return row


def _new_thread(call: Call, body: MaveChat, extras: dict[str, Any], world: World) -> Row:
    now = world.now()
    title = " ".join(body.message.split())[:80]
    return world.store.insert(
        "mave_thread",
        {
            "object": "mave_thread",
            "title": title,
            "current_phase": "TRIAGE",
            "complexity": "MODERATE",
            "credits_used": 0,
            "workspace_id": body.workspace_id or WORKSPACE,
            "message_count": 0,
            "created_at": iso(now),
            "updated_at": iso(now),
            **extras,
        },
        name=title,
        operation=call.operation,
        now=now,
        key=call.key,
        request=call.body,
        lag=world.options.list_lag_seconds,
    )


def _say(call: Call, thread: Row, role: str, text: str, world: World) -> Row:
    now = world.now()
    return world.store.insert(
        "mave_message",
        {"role": role, "content": text, "persona": None, "created_at": iso(now)},
        name="",
        operation=call.operation,
        now=now,
        key=call.key,
        parent=thread.id,
    )


def _personas(world: World) -> list[dict[str, Any]]:
    rows, _ = world.store.listed("persona", now=world.now(), custom=False, limit=1)
    return [{name: row.body.get(name) for name in ("id", "name", "category")} for row in rows]


# ---- responses --------------------------------------------------------------------------------------------------
def create_response(call: Call, world: World) -> Answer:
    body, extras = accept(ResponseCreate, call, world.options)
    if world.store.get("persona", body.persona_id) is None:
        raise invalid("persona_id", "No persona has this id.", code="invalid_persona")
    source = body.input if isinstance(body.input, str) else orjson.dumps(body.input).decode()
    content, status = _content(body, source, world)
    price = world.price(world.options.response_price, source, body.persona_id)
    text = content.get("text") or content.get("refusal") or ""
    sent, made = len(source) // 4 + 1, len(text) // 4 + 1
    stored = {
        "object": "response",
        "created_at": int(world.now()),
        "status": status,
        "model": body.model,
        "output": [
            {"id": "msg_1", "type": "message", "role": "assistant", "status": status, "content": [content]}
        ],
        "usage": {
            "input_tokens": sent,
            "output_tokens": made,
            "total_tokens": sent + made,
            "credits_used": 0 if call.test_mode else price,
        },
        **extras,
    }
    with world.store.transaction():
        row, _ = world.create(call, "response", stored, name="", price=price)
    return Answer(body=row.body)


def _content(body: ResponseCreate, source: str, world: World) -> tuple[dict[str, str], str]:
    mode = world.options.response_output
    if mode == "refusal":
        return {"type": "refusal", "refusal": "I cannot rewrite this text."}, "completed"
    wanted = body.text.format
    if wanted.type == "text":
        text = "Say before each renewal when it happens, what it costs and how to stop it."
    elif wanted.type == "json_object":
        text = orjson.dumps({"answer": "Say before each renewal when it happens, and how to stop it."}).decode()
    else:
        text = orjson.dumps(instance(wanted.schema_ or {}, source=source)).decode()
    if mode == "broken_json":
        text = text[: max(1, len(text) * 2 // 3)]
    if mode == "not_completed":
        return {"type": "output_text", "text": text[: len(text) // 2]}, "incomplete"
    return {"type": "output_text", "text": text}, "completed"
