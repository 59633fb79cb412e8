"""Serving both pretend services in one process, on loopback only.

Sockets are bound before anything is announced, so the printed addresses answer. The process ends on SIGTERM,
SIGINT, or when its parent is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any, Final

import uvicorn

__all__ = ["HOST", "loopback_socket", "serve"]

HOST: Final = "127.0.0.1"
_PARENT_CHECK_SECONDS: Final = 0.5


class _Server(uvicorn.Server):
    """Signals are handled once for all servers of the process, not by each."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def loopback_socket(port: int) -> socket.socket:
    """A bound socket; port 0 takes a free one."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((HOST, port))
    return bound


async def serve(
    apps: list[tuple[Any, socket.socket]], *, parent_pid: int | None, on_ready: Callable[[], None]
) -> None:
    """Serve until told to stop; `on_ready` is called once when all servers answer."""
    servers = [
        _Server(
            uvicorn.Config(
                app,
                http="httptools",
                loop="uvloop",
                lifespan="on",
                log_level="critical",
                access_log=False,
                date_header=False,
                server_header=False,
                backlog=2048,
                timeout_graceful_shutdown=2,
            )
        )
        for app, _ in apps
    ]

    def stop() -> None:
        for server in servers:
            server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    running = [
        asyncio.create_task(server.serve(sockets=[bound]))
        for server, (_, bound) in zip(servers, apps, strict=True)
    ]
    while not all(server.started for server in servers):
        for task in running:
            if task.done():
                stop()
                task.result()
                raise RuntimeError("a server ended before it had started")
        await asyncio.sleep(0.01)
    on_ready()
    watch = asyncio.create_task(_watch_parent(parent_pid, stop)) if parent_pid else None
    await asyncio.gather(*running)
    if watch is not None:
        watch.cancel()


async def _watch_parent(parent_pid: int, stop: Callable[[], None]) -> None:
    while os.getppid() == parent_pid:
        await asyncio.sleep(_PARENT_CHECK_SECONDS)
    stop()
