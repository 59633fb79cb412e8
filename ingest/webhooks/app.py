"""The receiver: a small Starlette app that answers 2xx only for what survives a `kill -9`.

`POST /webhooks/stripe`, `POST /webhooks/mavera`, `GET /healthz`, `GET /metrics`. It checks the size while reading,
the signature on the raw bytes, then the content, and waits for the commit. A refusal carries no detail; the
reason is counted. It starts no work and pays for nothing: what follows is decided by whoever drains the inbox.
Rules: https://docs.stripe.com/webhooks#best-practices.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from ingest.strict_json import StrictJsonError
from ingest.webhooks.events import MalformedEventError, mavera_row, stripe_row
from ingest.webhooks.metrics import ReceiverMetrics
from ingest.webhooks.signature import SignatureRefusedError, verify_mavera, verify_stripe
from ingest.webhooks.writer import InboxWriter, NotStoredError
from resources.state import State
from resources.state.inbox import InboxRow

__all__ = ["HARD_BODY_LIMIT", "create_app"]

HARD_BODY_LIMIT = 1024 * 1024
_RETRY_AFTER_SECONDS = 5


class _RefusedError(Exception):
    """The request ends here, with a status for the sender and a reason for the counter."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def create_app(
    state: State,
    *,
    stripe_secrets: Sequence[str],
    mavera_secret: str | None,
    livemode: bool,
    clock: Callable[[], datetime],
    account: str | None = None,
    backlog_bound: int = 100_000,
    body_limit: int = 256 * 1024,
    body_seconds: float = 10.0,
    in_flight_bound: int = 512,
    commit_seconds: float = 8.0,
) -> Starlette:
    """The receiver over a state database that has been migrated.

    A path is served only if it has a secret. `livemode` is the side of Stripe that is accepted; events of the
    other side are quarantined. `backlog_bound` is in events, times in seconds. Raises: ValueError for settings
    that would accept nothing or anything.
    """
    if not any(stripe_secrets) and not mavera_secret:
        raise ValueError("no webhook secret is set: set STRIPE_WEBHOOK_SECRETS")
    if any(not secret for secret in stripe_secrets):
        raise ValueError("an empty webhook secret would let anybody in: check STRIPE_WEBHOOK_SECRETS")
    if not 0 < body_limit <= HARD_BODY_LIMIT:
        raise ValueError(f"body_limit is {body_limit}: it must lie within 1 and {HARD_BODY_LIMIT} bytes")
    secrets = tuple(stripe_secrets)
    writer = InboxWriter(state, backlog_bound=backlog_bound, commit_seconds=commit_seconds)
    metrics = ReceiverMetrics(writer)

    def read_stripe(request: Request, body: bytes) -> InboxRow:
        now = clock()
        verify_stripe(body, request.headers.get("stripe-signature"), secrets=secrets, now=now)
        return stripe_row(body, livemode=livemode, account=account, now=now)

    def read_mavera(request: Request, body: bytes) -> InboxRow:
        assert mavera_secret is not None
        verify_mavera(body, request.headers.get("x-mavera-signature"), secret=mavera_secret)
        return mavera_row(body, now=clock())

    async def receive(request: Request, read: Callable[[Request, bytes], InboxRow]) -> str:
        """Take one event; returns what became of it."""
        if metrics.in_flight > in_flight_bound:
            raise _RefusedError(503, "busy")
        body = await _read_body(request, limit=body_limit, seconds=body_seconds)
        try:
            row = read(request, body)
        except StrictJsonError as error:
            raise _RefusedError(400, f"json: {error.reason}") from error
        except MalformedEventError as error:
            raise _RefusedError(400, "malformed") from error
        try:
            is_new = await writer.store(row)
        except NotStoredError as error:
            raise _RefusedError(503, error.reason) from error
        return row.status if is_new else "duplicate"

    def endpoint(
        origin: str, read: Callable[[Request, bytes], InboxRow], *, noted: int, unsigned: int
    ) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            with metrics.timed(origin):
                try:
                    outcome, status = await receive(request, read), noted
                except SignatureRefusedError as refused:
                    outcome, status = f"signature: {refused.reason}", unsigned
                except _RefusedError as refused:
                    outcome, status = refused.reason, refused.status
                except ClientDisconnect:
                    outcome, status = "disconnected", 400
                metrics.count(origin, outcome, status)
            retry = {"Retry-After": str(_RETRY_AFTER_SECONDS)} if status == 503 else None
            return Response(status_code=status, headers=retry)

        return serve

    async def healthz(_request: Request) -> Response:
        return Response("ok\n" if writer.healthy else "database\n", status_code=200 if writer.healthy else 503)

    async def show_metrics(_request: Request) -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await writer.start()
        try:
            yield
        finally:
            await writer.stop()

    routes = [Route("/healthz", healthz, methods=["GET"]), Route("/metrics", show_metrics, methods=["GET"])]
    if secrets:
        serve = endpoint("stripe", read_stripe, noted=200, unsigned=400)
        routes.append(Route("/webhooks/stripe", serve, methods=["POST"]))
    if mavera_secret:
        serve = endpoint("mavera", read_mavera, noted=204, unsigned=401)
        routes.append(Route("/webhooks/mavera", serve, methods=["POST"]))
    return Starlette(routes=routes, lifespan=lifespan)


async def _read_body(request: Request, *, limit: int, seconds: float) -> bytes:
    """The body, never holding more than the limit plus one chunk."""
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced) > limit:
        raise _RefusedError(413, "too large")
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise _RefusedError(413, "too large")
    except TimeoutError as error:
        raise _RefusedError(408, "slow body") from error
    return bytes(body)
