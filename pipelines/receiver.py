"""The webhook receiver as a process of its own: settings in, server until it is told to stop.

Here: what it needs to start, its server, a graceful end. Not here: what a request gets (`ingest.webhooks`), what
becomes of an event (`pipelines.sensors`). One process, as its writer gathers events of all requests into common
commits; it takes more than Stripe sends.
"""

import resource
import signal
from collections.abc import Callable
from datetime import UTC, datetime

import uvicorn
from starlette.applications import Starlette

from ingest.position import PositionError, position
from ingest.webhooks import create_app
from pipelines.accounts import AccountsError, load_accounts
from pipelines.listening import listen
from pipelines.receiver_accounts import Receiver, create_accounts_app
from pipelines.settings import Settings
from resources.redaction import register_secrets
from resources.state import State, StateError, open_state

__all__ = ["ReceiverError", "serve_webhooks"]

_STOP_SECONDS = 20
# A SQLite database is three files.
_FILES_OF_AN_ACCOUNT = 4


class ReceiverError(RuntimeError):
    """The receiver cannot start; the message names the setting."""


def serve_webhooks(settings: Settings, *, host: str, port: int, note: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; requests under way are answered first. Port 0 takes a free one.

    Raises: ReceiverError, AccountsError, StateError, ListenError.
    """
    register_secrets(*settings.secrets)
    if settings.stripe_accounts_file is None:
        receiver, paths = _receiver(settings)
        app, whose = receiver.app, settings.mode.value
    else:
        app, paths = _app_of_accounts(settings, note)
        whose = "several accounts'"
    listening = listen(host, port)
    address, taken = listening.getsockname()[:2]
    note(f"Receiving {whose} webhooks: http://{address}:{taken} {' '.join(paths)}")
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
    note("Stopped; every answered event is stored.")


def _receiver(settings: Settings, *, shared: tuple[str, ...] = ()) -> tuple[Receiver, list[str]]:
    """The receiver of one account and its paths; `shared` are secrets of a path of several accounts."""
    stripe = tuple(secret.get_secret_value() for secret in settings.stripe_webhook_secrets) + shared
    mavera = settings.mavera_webhook_secret
    if not stripe and mavera is None:
        raise ReceiverError("no webhook secret is set: set STRIPE_WEBHOOK_SECRETS, MAVERA_WEBHOOK_SECRET or both")
    if stripe and settings.exports_only:
        raise ReceiverError("STRIPE_API_KEY is not set: the objects that webhooks speak of are read with it")
    state = open_state(settings.state_url, schema=settings.state_schema)
    account = settings.stripe_account or _account(state)
    app = create_app(
        state,
        stripe_secrets=stripe,
        mavera_secret=None if mavera is None else mavera.get_secret_value(),
        livemode=settings.livemode,
        clock=_now,
        account=account,
    )
    paths = [path for path, served in (("/webhooks/stripe", stripe), ("/webhooks/mavera", mavera)) if served]
    return Receiver(app=app, stripe_account=account), paths


def _app_of_accounts(settings: Settings, note: Callable[[str], None]) -> tuple[Starlette, list[str]]:
    """The receivers of all accounts that can have one; why one has none is noted and stops no other."""
    accounts = load_accounts(settings)
    register_secrets(*accounts.secrets)
    shared = tuple(secret.get_secret_value() for secret in settings.stripe_webhook_secrets)
    receivers: dict[str, Receiver] = {}
    for name in accounts.names:
        try:
            receivers[name], _ = _receiver(accounts.settings(name), shared=shared)
        except (AccountsError, ReceiverError, StateError) as error:
            note(f"{name} has no receiver: {error}")
    if not receivers:
        raise ReceiverError("no account has a webhook secret")
    _allow_files(_FILES_OF_AN_ACCOUNT * len(receivers))
    app = create_accounts_app(receivers, shared_secrets=shared, clock=_now)
    return app, ["/accounts/<name>/webhooks/…", *(["/webhooks/stripe"] if shared else [])]


def _allow_files(wanted: int) -> None:
    """Let this process have files and connections for its accounts, as far as the system does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(soft + wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def _now() -> datetime:
    return datetime.now(UTC)


def _account(state: State) -> str | None:
    """Our own account's id, where an extraction has seen it: events of connected accounts are left alone."""
    try:
        account = position(state).account.partition(":")[0]
    except PositionError:
        return None
    return account if account.startswith("acct_") else None
