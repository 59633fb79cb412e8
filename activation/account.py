"""Everything that belongs to one paid account, gathered once and handed to plan, apply and reconcile.

Here: the gathering, and the facts that are pinned at first use. Not here: settings. `pin` refuses a state database
that has served another Stripe account or Mavera workspace, as its ledger would stand for the wrong objects.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from activation.edges import Probe, nothing
from activation.intents import Run
from activation.ledger import Ledger
from activation.policy import Identity, Policy
from activation.rate_window import RateWindow
from resources.mavera import MaveraApi
from resources.state import State
from resources.state.ledger import pins

__all__ = ["Account", "PinError"]


class PinError(RuntimeError):
    """The state belongs to another account; the message names the setting to correct."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """One Mavera account as one run uses it. `window` is also the throttle of `mavera`; times are aware UTC.

    With `compare_usage` nothing should be charged: paid work stops when the account's own figure says otherwise.
    """

    state: State
    mavera: MaveraApi
    window: RateWindow
    identity: Identity
    policy: Policy
    clock: Callable[[], datetime]
    probe: Probe = nothing
    compare_usage: bool = False

    @property
    def ledger(self) -> Ledger:
        """The ledger of the account's environment."""
        return Ledger(
            self.state,
            identity=self.identity,
            clock=self.clock,
            claim_seconds=self.policy.claim_seconds,
            probe=self.probe,
        )

    def acting(self, run_id: str, actor: str) -> Run:
        """Who acts outside of any plan: a sweep, or a person."""
        return Run(run_id=run_id, actor=actor, plan_hash="", policy_version=self.policy.version)

    def pin(self) -> None:
        """Remember whose state this is, or refuse another. Raises: PinError."""
        for name, value, setting in (
            ("stripe_account", self.identity.stripe_account, "STRIPE_API_KEY"),
            ("workspace", self.identity.workspace, "MAVERA_WORKSPACE"),
        ):
            known = self.fact(name)
            if known is None:
                self.remember(name, value)
            elif known != value:
                raise PinError(
                    f"the state database belongs to {name} {known}, not {value}: "
                    f"correct {setting}, or use another STATE_DATABASE_URL"
                )

    def fact(self, name: str) -> str | None:
        """A remembered fact of the environment."""
        wanted = sa.select(pins.c.value).where(
            pins.c.environment == self.identity.environment, pins.c.name == name
        )
        with self.state.read() as connection:
            return connection.execute(wanted).scalar_one_or_none()

    def remember(self, name: str, value: str) -> None:
        """Remember a fact."""
        row = {"environment": self.identity.environment, "name": name, "value": value, "pinned_at": self.clock()}
        dialect = sqlite if self.state.is_sqlite else postgresql
        with self.state.begin() as connection:
            connection.execute(
                dialect.insert(pins)
                .values(row)
                .on_conflict_do_update(
                    index_elements=["environment", "name"], set_={"value": value, "pinned_at": row["pinned_at"]}
                )
            )
