"""Real processes for tests: forked, so that they start in milliseconds, and ended with signals.

A child must not return into pytest: it ends with `os._exit`. Nothing here is used inside an event loop.
"""

import asyncio
import os
import signal
import socket
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from pydantic import SecretStr

from activation.account import Account
from activation.apply import apply
from activation.plan import build_plan
from activation.policy import Policy
from activation.rate_window import RateWindow
from resources.mavera import MaveraApi, ReadPolicy
from resources.state import State
from sandbox.mavera.api import BASE_PATH, create_app
from sandbox.mavera.options import MaveraOptions
from tests.activation.kit import IDENTITY, a_source


@dataclass
class Child:
    """A forked process."""

    pid: int

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Its exit code, negative for a signal."""
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)


def fork(work: Callable[[], None]) -> Child:
    """Run `work` in a child; exit code 0 when it returns, 1 when it raises."""
    pid = os.fork()
    if pid:
        return Child(pid)
    code = 1
    try:
        work()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:  # noqa: BLE001 - the child must end here, whatever happened
        traceback.print_exc()
    finally:
        os._exit(code)


def serve_mavera(folder: Path, **options: Any) -> tuple[Child, str]:
    """The pretend Mavera as a process of its own; its objects survive its end. Gives its base URL."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    app = create_app(state_dir=folder, dataset=None, options=MaveraOptions.model_validate(options))

    def work() -> None:
        config = uvicorn.Config(app, log_level="critical", loop="asyncio")
        uvicorn.Server(config).run(sockets=[listener])

    child = fork(work)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}{BASE_PATH}"
    listener.close()
    return child, url


def an_account(
    state: State,
    base_url: str,
    policy: Policy,
    *,
    per_minute: int = 100_000,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Account:
    """An account in real time."""
    key = SecretStr("mvra_test_kills")

    def clock() -> datetime:
        return datetime.now(UTC)

    window = RateWindow(state, api_key=key, clock=clock, per_minute=per_minute)
    mavera = MaveraApi(
        base_url=base_url,
        api_key=key,
        throttle=window,
        transport=transport,
        clock=clock,
        policy=ReadPolicy(backoff_seconds=0.02, attempts=8),
    )
    return Account(state=state, mavera=mavera, window=window, identity=IDENTITY, policy=policy, clock=clock)


def refresh(database: str, base_url: str, policy: Policy, briefs: list[dict[str, Any]], run_id: str) -> None:
    """One whole run in this process."""
    state = State(database)
    account = an_account(state, base_url, policy)

    async def inside() -> None:
        async with account.mavera:
            plan = await build_plan(account, briefs, source=a_source())
            await apply(account, plan, run_id=run_id, actor="test")

    run(inside())
    state.close()


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """In real time, on a plain loop."""
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(work)
