"""Standing in for the sides that have no key: the sandbox, for the length of a command or until interrupted.

Here: which sides need one, and reuse of one that already listens on the usual ports (`stripe-mavera sandbox`,
`make ui`). Not here: what the sandbox does.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from pipelines.accounts import AccountsError, load_accounts
from pipelines.settings import Settings
from sandbox.launch import Sandbox

__all__ = ["serve_sandbox", "with_sandboxes"]


@contextmanager
def with_sandboxes(settings: Settings, *, note: Callable[[str], None]) -> Iterator[Settings]:
    """The settings with an address for each side; what was started is ended again on leaving."""
    stripe = settings.stripe_is_sandbox and settings.stripe_api_base is None and not _listens(settings.stripe_base)
    needed = any(one.mavera_is_sandbox and one.mavera_api_base is None for one in _served(settings))
    mavera = needed and not _listens(settings.mavera_base)
    if not stripe and not mavera:
        yield settings
        return
    only = None if stripe and mavera else "stripe" if stripe else "mavera"
    sides = " and ".join(name for name, used in (("Stripe", stripe), ("Mavera", mavera)) if used)
    note(f"No key for {sides}: starting the sandbox.")
    with Sandbox(**_options(settings), only=only) as sandbox:
        changes: dict[str, Any] = {}
        if stripe:
            changes["stripe_api_base"] = sandbox.stripe
        if mavera:
            changes["mavera_api_base"] = sandbox.mavera
        yield settings.model_copy(update=changes)


def _served(settings: Settings) -> Iterator[Settings]:
    """The settings of each account that a command serves; an entry that cannot be used needs nothing."""
    if settings.stripe_accounts_file is None or settings.account is not None:
        yield settings
        return
    accounts = load_accounts(settings)
    for name in accounts.names:
        with suppress(AccountsError):
            yield accounts.settings(name)


def serve_sandbox(
    settings: Settings,
    *,
    stripe_port: int,
    mavera_port: int,
    customers: int | None,
    dataset: Path | None,
    histories: Path | None,
    note: Callable[[str], None],
) -> None:
    """Serve both sides until interrupted."""
    options = {
        **_options(settings),
        "stripe_port": stripe_port,
        "mavera_port": mavera_port,
        "dataset": dataset,
        "histories": histories,
    }
    if customers is not None:
        options["customers"] = customers
    with Sandbox(**options) as sandbox:
        note(f"STRIPE_API_BASE={sandbox.stripe}")
        note(f"MAVERA_API_BASE={sandbox.mavera}")
        note(f"The account's clock stands at {sandbox.urls.end:%Y-%m-%d %H:%M} UTC. Interrupt to stop.")
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            note("Stopped.")


def _options(settings: Settings) -> dict[str, Any]:
    return {
        "customers": settings.sandbox_customers,
        "seed": settings.sandbox_seed,
        "state_dir": settings.sandbox_home,
    }


def _listens(base: str) -> bool:
    """Whether a sandbox answers at an address."""
    try:
        return httpx.get(httpx.URL(base).join("/_sandbox/stats"), timeout=0.5, trust_env=False).is_success
    except httpx.HTTPError:
        return False
