"""The monitor: the report and the metrics over HTTP, for people and programs inside.

Here: `/report`, `/metrics` and `/healthz`, which read the lake, the state and Dagster's storage when asked, and
their server. Like the Dagster UI it has no authentication, and belongs on loopback or behind the same proxy. It is
apart from the webhook receiver, as that one meets the internet. Not here: what is in the report
(`pipelines.report`), which metrics there are (`pipelines.metrics`).
"""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache

import uvicorn
from dagster import DagsterInstance
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route

from pipelines.accounts import load_accounts
from pipelines.dagster_home import prepare_dagster_home
from pipelines.figures import Figures, Instruments
from pipelines.listening import ListenError, listen
from pipelines.metrics import FiguresCollector
from pipelines.report import Edition
from pipelines.report.facts import NothingToReportError
from pipelines.settings import Settings
from resources.lake import Lake, LakeError
from resources.redaction import register_secrets
from resources.state import StateError, open_state

__all__ = ["create_monitor", "monitor_beside", "serve_monitor"]

_NOTHING_YET = "There is no report yet: no table has been made. Run `make run`, or the job `refresh` in the UI.\n"
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


def create_monitor(
    settings: Settings, *, instance: Callable[[], DagsterInstance], clock: Callable[[], datetime]
) -> Starlette:
    """The app of one account. It opens what it reads at its first request, and answers one request at a time."""
    lake, edition = Lake(settings.lake), Edition.of(settings)
    instruments = cache(lambda: _instruments(settings, lake, instance))
    registry = CollectorRegistry()
    registry.register(
        FiguresCollector(lambda: _figures(instruments, clock()), reporting_currency=settings.reporting_currency)
    )
    turn = asyncio.Lock()

    async def report(_request: Request) -> Response:
        try:
            async with turn:
                _, html = await asyncio.to_thread(lambda: edition.made(lake, now=clock()))
        except NothingToReportError:
            return PlainTextResponse(_NOTHING_YET, status_code=404, headers=_HEADERS)
        except LakeError as error:
            return PlainTextResponse(f"{error}\n", status_code=503, headers=_HEADERS)
        return HTMLResponse(html, headers=_HEADERS)

    async def metrics(_request: Request) -> Response:
        async with turn:
            text = await asyncio.to_thread(generate_latest, registry)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    async def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def front(_request: Request) -> Response:
        return RedirectResponse("report")

    served = {"/": front, "/report": report, "/metrics": metrics, "/healthz": healthz}
    return Starlette(routes=[Route(path, serve, methods=["GET"]) for path, serve in served.items()])


def serve_monitor(settings: Settings, *, host: str, port: int, note: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM. Port 0 takes a free one. Raises: ListenError."""
    listening = listen(host, port)
    address, taken = listening.getsockname()[:2]
    paths = [f"{path}{what}" for path in _paths(settings) for what in ("report", "metrics")]
    note(f"Monitor: http://{address}:{taken} {' '.join(paths)}")
    # Uvicorn raises the signal again when it has ended: an end that was asked for is no failure.
    for asked in (signal.SIGINT, signal.SIGTERM):
        signal.signal(asked, lambda *_: None)
    _server(settings).run(sockets=[listening])


@contextmanager
def monitor_beside(settings: Settings, *, port: int, note: Callable[[str], None]) -> Iterator[None]:
    """Serve on loopback in a thread while inside; without it, when the port is taken."""
    try:
        listening = listen("127.0.0.1", port)
    except ListenError as error:
        note(f"The report is not served: {error}")
        yield
        return
    taken = listening.getsockname()[1]
    note("Report: " + " ".join(f"http://127.0.0.1:{taken}{path}report" for path in _paths(settings)))
    server = _server(settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True, name="monitor")
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


def _server(settings: Settings) -> uvicorn.Server:
    register_secrets(*settings.secrets)
    prepare_dagster_home(settings)
    monitors = {
        path: create_monitor(one, instance=cache(DagsterInstance.get), clock=lambda: datetime.now(UTC))
        for path, one in _paths(settings).items()
    }
    return uvicorn.Server(
        uvicorn.Config(
            Starlette(routes=[Mount(path.rstrip("/"), app) for path, app in monitors.items()]),
            log_config=None,  # its lines are written as ours are
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
    )


def _paths(settings: Settings) -> dict[str, Settings]:
    """The settings of each account by the path below which it is served; a single one is at the root."""
    if settings.stripe_accounts_file is None or settings.account:
        return {"/": settings}
    accounts = load_accounts(settings)
    register_secrets(*accounts.secrets)
    return {f"/accounts/{name}/": accounts.settings(name) for name in accounts.names}


def _figures(instruments: Callable[[], Instruments], now: datetime) -> Figures:
    try:
        return instruments().figures(now=now)
    except StateError:
        return Figures(at=now, unread=("state",))


def _instruments(settings: Settings, lake: Lake, instance: Callable[[], DagsterInstance]) -> Instruments:
    return Instruments(
        state=open_state(settings.state_url, schema=settings.state_schema),
        lake=lake,
        instance=instance,
        environment=settings.environment,
        month_cap=settings.mavera_credit_budget,
        account=settings.account,
    )
