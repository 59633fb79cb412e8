"""Opening the paid account: the Mavera key, its ledger and pace, and what the operator allows.

Here: putting together what `activation` needs from the doors. Not here: any rule of paid work.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from activation.policy import Identity, Policy
from resources.wiring import MaveraResource

if TYPE_CHECKING:
    from activation.account import Account
    from activation.operator import Operator
    from resources.state import State

__all__ = ["PaidWork", "open_account"]


@dataclass(frozen=True, kw_only=True)
class PaidWork:
    """What the operator allows. `refusal` says why nothing may be carried out with these keys, if so.

    `compare_usage` stops paid work as soon as Mavera charges for it, which it should not in sandbox mode.
    `shared_pace` opens the state in which several accounts share the pace of their Mavera key.
    """

    environment: str
    policy: Policy
    operator_file: Path
    callback_url: str | None = None
    refusal: str | None = None
    compare_usage: bool = False
    shared_pace: "Callable[[], State] | None" = None

    def operator(self) -> "Operator":
        """What the operator's file says now. Raises: OperatorFileError."""
        from activation.operator import read_operator_file

        return read_operator_file(self.operator_file)


@asynccontextmanager
async def open_account(mavera: MaveraResource, state: "State", work: PaidWork) -> "AsyncIterator[Account]":
    """The account that the state belongs to. Raises: PositionError before the first extraction."""
    from activation.account import Account
    from activation.rate_window import RateWindow
    from ingest.position import position

    def now() -> datetime:
        return datetime.now(UTC)

    consent = work.operator().case_studies.anonymised
    policy = work.policy.model_copy(update={"case_studies_consented": consent})
    window = RateWindow(work.shared_pace() if work.shared_pace else state, api_key=mavera.api_key, clock=now)
    identity = Identity(
        environment=work.environment,
        stripe_account=position(state).account,
        workspace=mavera.workspace or "default",
    )
    async with mavera.open(throttle=window) as api:
        yield Account(
            state=state,
            mavera=api,
            window=window,
            identity=identity,
            policy=policy,
            clock=now,
            compare_usage=work.compare_usage,
        )
