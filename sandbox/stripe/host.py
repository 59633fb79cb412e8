"""Which account is served, and how it is remembered between two starts.

Builds the account from the simulation, a folder or a list of histories, and puts it behind the HTTP application.
With a state folder, what decides the account (seed, size, end, days advanced) is written down at the first start
and holds at the next ones; objects themselves are made again, byte for byte.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from sandbox.accounts.account import Account
from sandbox.accounts.dataset import read_dataset
from sandbox.accounts.histories import account_of_histories
from sandbox.simulation.business import Business
from sandbox.stripe.api import StripeApp
from sandbox.stripe.control import Control
from sandbox.stripe.faults import Faults
from sandbox.stripe.limits import Limits

__all__ = ["StripeOptions", "create_stripe_app"]

_STATE_FILE = "stripe_account.json"
# What makes it this account and no other. The end is left out: the clock goes on from where it was left.
_IDENTITY = ("seed", "customers", "months", "livemode", "dataset", "histories", "invoice_months")


@dataclass(frozen=True, slots=True)
class StripeOptions:
    """What is asked for at a start; None leaves it to what is remembered, or else to the default."""

    end: datetime
    seed: int | None = None
    customers: int | None = None
    months: int | None = None
    livemode: bool | None = None
    dataset: Path | None = None
    histories: Path | None = None
    invoice_months: int | None = None
    limits: Limits = field(default_factory=Limits)
    faults: Faults = field(default_factory=Faults)


class _Remembered(BaseModel):
    """The state folder's file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    end: datetime
    seed: int = 7
    customers: int = 1500
    months: int = 24
    livemode: bool = False
    dataset: Path | None = None
    histories: Path | None = None
    invoice_months: int = 6
    advanced: int = 0


def create_stripe_app(options: StripeOptions, *, state_dir: Path | None = None) -> StripeApp:
    """The account behind HTTP; as it was left, if the state folder knows one.

    Raises ValueError if the state folder knows another account than the one that is asked for.
    """
    asked = {name: getattr(options, name) for name in _IDENTITY if getattr(options, name) is not None}
    remembered = _recall(state_dir) or _Remembered(end=options.end, **asked)
    for name, value in asked.items():
        if getattr(remembered, name) != value:
            raise ValueError(
                f"{state_dir} remembers an account with {name} {getattr(remembered, name)}, not {value}; "
                f"leave {name} out, or use another state folder"
            )
    account = _fill(remembered)
    if remembered.advanced:
        account.advance(remembered.advanced)
    note = _keeper(state_dir, remembered)
    control = Control(account, limits=options.limits, faults=options.faults, seed=remembered.seed, on_advance=note)
    # What exists now stays: no later collection has to look at it.
    gc.collect()
    gc.freeze()
    return StripeApp(control)


def _fill(wanted: _Remembered) -> Account:
    if wanted.dataset is not None:
        return read_dataset(wanted.dataset, end=wanted.end, livemode=wanted.livemode)
    if wanted.histories is not None:
        return account_of_histories(wanted.histories, end=wanted.end, months=wanted.invoice_months)
    return Business(
        seed=wanted.seed,
        customers=wanted.customers,
        end=wanted.end,
        months=wanted.months,
        livemode=wanted.livemode,
    )


def _recall(state_dir: Path | None) -> _Remembered | None:
    path = None if state_dir is None else state_dir / _STATE_FILE
    if path is None or not path.exists():
        return None
    return _Remembered.model_validate_json(path.read_bytes())


def _keeper(state_dir: Path | None, remembered: _Remembered) -> Callable[[int], None] | None:
    """Writes the account's identity now, and again with each advance."""
    if state_dir is None:
        return None
    state_dir.mkdir(parents=True, exist_ok=True)
    path, days = state_dir / _STATE_FILE, remembered.advanced

    def write(total: int) -> None:
        partial = path.with_suffix(".partial")
        partial.write_text(remembered.model_copy(update={"advanced": total}).model_dump_json(indent=1))
        partial.replace(path)

    def advanced(more: int) -> None:
        nonlocal days
        days += more
        write(days)

    write(days)
    return advanced
