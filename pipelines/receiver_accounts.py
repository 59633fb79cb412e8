"""One receiver for several accounts: each has paths, secrets and an inbox of its own, and one path is shared.

`/accounts/<name>/webhooks/stripe` and `…/mavera` belong to an account. `/webhooks/stripe` takes what Stripe
Connect sends for connected accounts, signed with the `STRIPE_WEBHOOK_SECRETS` of all: the `account` that the event
names says whose it is. Here: the paths. Not here: what a request gets (`ingest.webhooks`).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import Message, Receive, Scope, Send

from ingest.strict_json import StrictJsonError, strict_loads
from ingest.webhooks import HARD_BODY_LIMIT, SignatureRefusedError, verify_stripe

__all__ = ["Receiver", "create_accounts_app"]

_BODY_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Receiver:
    """The receiver of one account; `stripe_account` is its id at Stripe, where it is known."""

    app: Starlette
    stripe_account: str | None


def create_accounts_app(
    receivers: Mapping[str, Receiver], *, shared_secrets: Sequence[str], clock: Callable[[], datetime]
) -> Starlette:
    """All receivers under their names; without shared secrets there is no shared path."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as running:
            for one in receivers.values():
                await running.enter_async_context(one.app.router.lifespan_context(one.app))
            yield

    async def healthz(_request: Request) -> Response:
        return Response("ok\n")

    routes: list[Mount | Route] = [Mount(f"/accounts/{name}", app=one.app) for name, one in receivers.items()]
    routes.append(Route("/healthz", healthz, methods=["GET"]))
    if shared_secrets:
        by_id = {one.stripe_account: one.app for one in receivers.values() if one.stripe_account is not None}
        routes.append(Route("/webhooks/stripe", _Shared(by_id, shared_secrets, clock), methods=["POST"]))
    return Starlette(routes=routes, lifespan=lifespan)


@dataclass(frozen=True)
class _Shared:
    """The path of all accounts. An object and no function, so that Starlette hands it the request untouched."""

    by_id: Mapping[str, Starlette]
    secrets: Sequence[str]
    clock: Callable[[], datetime]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Believe the signature, then hand the same request to the account's own receiver."""
        request = Request(scope, receive)
        body = await _body(request)
        try:
            if body is None:
                raise SignatureRefusedError("no body")
            verify_stripe(body, request.headers.get("stripe-signature"), secrets=self.secrets, now=self.clock())
            named = strict_loads(body)
        except (SignatureRefusedError, StrictJsonError):
            await Response(status_code=400)(scope, receive, send)
            return
        app = self.by_id.get(str(named.get("account"))) if isinstance(named, dict) else None
        if app is None:
            # Of an account that nobody reads here: taken and left alone, as Stripe would send it again.
            await Response(status_code=200)(scope, receive, send)
            return

        async def again() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        await app(dict(scope), again, send)


async def _body(request: Request) -> bytes | None:
    """The body; None when it is too long or too slow, or nobody is there any more."""
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > HARD_BODY_LIMIT:
                    return None
    except (TimeoutError, ClientDisconnect):
        return None
    return bytes(body)
