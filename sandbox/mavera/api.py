"""A pretend Mavera over HTTP: the contract under `/api/v1`, and its control panel under `/_sandbox`.

Assembles the application; no rule of the API is here. The panel needs no key, because the stand-in listens on
loopback only:

- `GET /_sandbox/ledger`: every committed object and every charge.
- `GET /_sandbox/stats`: answers by operation and status, balances, most Mave calls in flight.
- `POST /_sandbox/control`: `{"options": {…}}` changes switches, `{"advance_seconds": n}` moves the clock,
  `{"reset": true}` forgets all objects, charges and windows. Answers with the switches in force.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox.mavera import agent, generations, personas, voices
from sandbox.mavera.callbacks import CallbackPost
from sandbox.mavera.faults import TRANSPORT, error_answer
from sandbox.mavera.gateway import Gateway, Operation
from sandbox.mavera.options import MaveraOptions, Surface
from sandbox.mavera.world import Refusal, World

__all__ = ["BASE_PATH", "MaveraOptions", "create_app"]

BASE_PATH = "/api/v1"

_OPERATIONS: tuple[tuple[str, str, str, Surface, Operation], ...] = (
    ("GET", "/personas", "listPersonas", "personas", personas.list_personas),
    ("POST", "/personas", "createPersona", "personas", personas.create_persona),
    ("GET", "/personas/{persona_id}", "getPersona", "personas", personas.get_persona),
    ("PATCH", "/personas/{persona_id}", "updatePersona", "personas", personas.update_persona),
    ("DELETE", "/personas/{persona_id}", "deletePersona", "personas", personas.delete_persona),
    ("GET", "/generation-apps", "listGenerationApps", "generations", generations.list_generation_apps),
    ("GET", "/generations", "listGenerations", "generations", generations.list_generations),
    ("POST", "/generations", "createGeneration", "generations", generations.create_generation),
    ("GET", "/generations/{generation_id}", "getGeneration", "generations", generations.get_generation),
    ("POST", "/mave/chat", "sendMaveMessage", "mave", agent.send_mave_message),
    ("GET", "/mave/threads", "listMaveThreads", "mave", agent.list_mave_threads),
    ("GET", "/mave/threads/{thread_id}", "getMaveThread", "mave", agent.get_mave_thread),
    ("POST", "/responses", "createResponse", "responses", agent.create_response),
    ("GET", "/brand-voices", "listBrandVoices", "brand_voices", voices.list_brand_voices),
    ("POST", "/brand-voices", "createBrandVoice", "brand_voices", voices.create_brand_voice),
    ("GET", "/brand-voices/{brand_voice_id}", "getBrandVoice", "brand_voices", voices.get_brand_voice),
    ("GET", "/usage", "getUsage", "usage", voices.get_usage),
)


class _Control(BaseModel):
    model_config = ConfigDict(extra="forbid")

    options: dict[str, Any] = Field(default_factory=dict)
    advance_seconds: float = Field(default=0, ge=0)
    reset: bool = False


def create_app(
    *,
    state_dir: Path | None,
    dataset: Path | None,
    options: MaveraOptions,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> ASGIApp:
    """The stand-in as an ASGI application for uvicorn on loopback.

    With `state_dir` its objects and charges survive a kill; without, they live in memory. `dataset` is a
    folder whose `mavera/*.jsonl` files replace the built-in personas, apps and voices. `clock` gives Unix
    seconds.
    """
    world = World(state_dir=state_dir, dataset=dataset, options=options, clock=clock)
    callbacks = CallbackPost(sleep=sleep)
    gateway = Gateway(world, sleep=sleep, callbacks=callbacks)

    async def unknown_path(_: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        code, text = ("method_not_allowed", "This method is not offered here.")
        if status == 404:
            code, text = ("resource_not_found", "There is nothing at this path.")
        return error_answer(Refusal(status, code, text), style=world.options.error_format, headers={})

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await callbacks.close()
        await gateway.close()
        world.store.close()

    paths: dict[str, list[tuple[str, Callable[[Request], Awaitable[Response]]]]] = {}
    for method, path, operation, surface, run in _OPERATIONS:
        paths.setdefault(BASE_PATH + path, []).append((method, gateway.endpoint(operation, surface, run)))
    app = Starlette(
        routes=[
            *[
                Route(path, _by_method(dict(methods)), methods=[m for m, _ in methods])
                for path, methods in paths.items()
            ],
            *_panel(gateway),
        ],
        exception_handlers={HTTPException: unknown_path},
        lifespan=lifespan,
    )

    async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
        # uvicorn's `send` is bound to the object that owns the socket; a fault needs it to cut the connection.
        if scope["type"] == "http":
            scope[TRANSPORT] = getattr(getattr(send, "__self__", None), "transport", None)
        await app(scope, receive, send)

    return with_transport


def _by_method(
    endpoints: dict[str, Callable[[Request], Awaitable[Response]]],
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await endpoints[method](request)

    return endpoint


def _panel(gateway: Gateway) -> list[Route]:
    world = gateway.world

    async def ledger(_: Request) -> Response:
        charges = world.store.charges()
        charged = {
            charge["object_id"]: charge["credits"] for charge in charges if charge["operation"] != "updatePersona"
        }
        objects = [
            {
                "id": row.id,
                "kind": row.kind,
                "name": row.name,
                "operation": row.operation,
                "key": row.key,
                "request": row.request,
                "parent": row.parent or None,
                "created_at": row.created_at,
                "deleted_at": row.deleted_at,
                "credits": charged.get(row.id, 0),
            }
            for row in world.store.committed()
        ]
        total = sum(charge["credits"] for charge in charges)
        return JSONResponse({"objects": objects, "charges": charges, "credits_charged": total})

    async def stats(_: Request) -> Response:
        answers: dict[str, dict[str, int]] = {}
        for (operation, status), count in sorted(gateway.answers.items()):
            answers.setdefault(operation, {})["dropped" if status == 0 else str(status)] = count
        keys = {charge["key"] for charge in world.store.charges()} | world.requests.keys()
        used = {key: world.used(key, now=world.now()) for key in sorted(keys)}
        return JSONResponse(
            {
                "answers": answers,
                "credits": {key: {"included": world.included(key), "used": spent} for key, spent in used.items()},
                "mave_most_in_flight": gateway.most_in_flight,
                "now": world.now(),
            }
        )

    async def control(request: Request) -> Response:
        try:
            wish = _Control.model_validate_json(await request.body())
            options = MaveraOptions.model_validate({**world.options.model_dump(), **wish.options})
        except ValidationError as error:
            return JSONResponse({"error": error.errors(include_url=False, include_context=False)}, 400)
        gateway.configure(options)
        world.advanced += wish.advance_seconds
        if wish.reset:
            world.store.reset()
            gateway.forget()
        return JSONResponse({"options": world.options.model_dump(mode="json"), "now": world.now()})

    return [
        Route("/_sandbox/ledger", ledger, methods=["GET"]),
        Route("/_sandbox/stats", stats, methods=["GET"]),
        Route("/_sandbox/control", control, methods=["POST"]),
    ]
