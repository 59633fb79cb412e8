"""The webhook receiver as a process of its own: settings in, server until it is told to stop.

Here: what it needs to start, its server, a graceful end. Not here: what a request gets (`ingest.webhooks`), what
becomes of an event (`pipelines.sensors`). One process, as its writer gathers events of all requests into common
commits; it takes more than Stripe sends.
"""

import signal
from collections.abc import Callable
from datetime import UTC, datetime

import uvicorn

from ingest.position import PositionError, position
from ingest.webhooks import create_app
from pipelines.listening import listen
from pipelines.settings import Settings
from resources.redaction import register_secrets
from resources.state import State

__all__ = ["ReceiverError", "serve_webhooks"]

_STOP_SECONDS = 20


class ReceiverError(RuntimeError):
    """The receiver cannot start; the message names the setting."""


def serve_webhooks(settings: Settings, *, host: str, port: int, note: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; requests under way are answered first. Port 0 takes a free one.

    Raises: ReceiverError, StateError, ListenError.
    """
    stripe = tuple(secret.get_secret_value() for secret in settings.stripe_webhook_secrets)
    mavera = settings.mavera_webhook_secret
    if not stripe and mavera is None:
        raise ReceiverError("no webhook secret is set: set STRIPE_WEBHOOK_SECRETS, MAVERA_WEBHOOK_SECRET or both")
    if stripe and settings.exports_only:
        raise ReceiverError("STRIPE_API_KEY is not set: the objects that webhooks speak of are read with it")
    register_secrets(*settings.secrets)
    state = State(settings.state_url)
    state.migrate()
    app = create_app(
        state,
        stripe_secrets=stripe,
        mavera_secret=None if mavera is None else mavera.get_secret_value(),
        livemode=settings.livemode,
        clock=lambda: datetime.now(UTC),
        account=_account(state),
    )
    listening = listen(host, port)
    address, taken = listening.getsockname()[:2]
    paths = [path for path, served in (("/webhooks/stripe", stripe), ("/webhooks/mavera", mavera)) if served]
    note(f"Receiving {settings.mode.value} webhooks: http://{address}:{taken} {' '.join(paths)}")
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http="httptools",
            loop="auto",  # uvloop, where it exists
            log_config=None,  # its lines are written as ours are
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
    )
    # Uvicorn raises the signal again when it has ended: an end that was asked for is no failure.
    for asked in (signal.SIGINT, signal.SIGTERM):
        signal.signal(asked, lambda *_: None)
    server.run(sockets=[listening])
    state.close()
    note("Stopped; every answered event is stored.")


def _account(state: State) -> str | None:
    """Our own account's id, where an extraction has seen it: events of connected accounts are left alone."""
    try:
        account = position(state).account.partition(":")[0]
    except PositionError:
        return None
    return account if account.startswith("acct_") else None
