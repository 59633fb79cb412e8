"""What activation tests share: virtual time, an account over the pretend Mavera, and briefs.

Time is virtual: a loop whose clock jumps to the next timer, so that settle windows of minutes pass at once and in
order. The pretend Mavera runs in the same process and on the same clock.
"""

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
from pydantic import SecretStr

from activation.account import Account
from activation.apply import ApplyReport, apply
from activation.edges import Probe, nothing
from activation.plan import build_plan
from activation.plan_model import Plan, Source
from activation.policy import Identity, Policy
from activation.rate_window import RateWindow
from resources.mavera import MaveraApi
from resources.state import State, metadata
from sandbox.mavera.api import BASE_PATH, create_app
from sandbox.mavera.options import MaveraOptions

T = TypeVar("T")
START = datetime(2026, 11, 10, 9, 0, tzinfo=UTC)
KEY = SecretStr("mvra_test_activation")
IDENTITY = Identity(environment="test", stripe_account="acct_1", workspace="default")


class _Jumping(selectors.DefaultSelector):
    """Instead of waiting for a timer, moves the loop's clock to it."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> Any:
        events = super().select(0)
        if not events and timeout is None:
            raise RuntimeError("nothing is scheduled any more: the test would wait for ever")
        if not events and timeout:
            self.loop.virtual += timeout
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time."""

    def __init__(self) -> None:
        selector = _Jumping()
        self.virtual = 0.0
        super().__init__(selector)
        selector.loop = self

    def time(self) -> float:
        return self.virtual


class Timeline:
    """One virtual time line that several loops (runs of a killed process) continue."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._loop: VirtualLoop | None = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to the end in virtual time."""
        loop = VirtualLoop()
        loop.virtual = self.seconds
        self._loop = loop
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                return runner.run(work)
        finally:
            self.seconds = loop.virtual
            self._loop = None

    def now(self) -> datetime:
        return START + timedelta(seconds=self._loop.virtual if self._loop else self.seconds)

    def unix(self) -> float:
        return self.now().timestamp()


def memory_state() -> State:
    state = State("sqlite://")
    metadata.create_all(state.engine)
    return state


@dataclass
class Bench:
    """An account whose Mavera is the pretend one, and what crossed the wire."""

    options: dict[str, Any] = field(default_factory=dict)
    policy: Policy = field(default_factory=lambda: quick_policy())
    identity: Identity = field(default_factory=lambda: IDENTITY)
    state: State = field(default_factory=memory_state)
    time: Timeline = field(default_factory=Timeline)
    probe: Probe = nothing
    compare_usage: bool = False
    state_dir: Path | None = None
    wrap: Callable[[httpx.AsyncBaseTransport], httpx.AsyncBaseTransport] = lambda inner: inner
    requests: list[httpx.Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Callbacks and background timers of the stand-in live on the loop of the test.
        self.app = create_app(
            state_dir=self.state_dir,
            dataset=None,
            options=MaveraOptions.model_validate({"requests_per_minute": 600, **self.options}),
            clock=self.time.unix,
            sleep=asyncio.sleep,
        )

    def account(self) -> Account:
        window = RateWindow(self.state, api_key=KEY, clock=self.time.now, per_minute=600)
        mavera = MaveraApi(
            base_url="http://127.0.0.1" + BASE_PATH,
            api_key=KEY,
            sandbox=self.compare_usage,
            throttle=window,
            transport=_Recorded(self.wrap(httpx.ASGITransport(app=self.app)), self.requests),
            clock=self.time.now,
        )
        return Account(
            state=self.state,
            mavera=mavera,
            window=window,
            identity=self.identity,
            policy=self.policy,
            clock=self.time.now,
            probe=self.probe,
            compare_usage=self.compare_usage,
        )

    def run(self, work: Callable[[Account], Awaitable[T]]) -> T:
        """Run something with an open account."""

        async def inside() -> T:
            account = self.account()
            async with account.mavera:
                return await work(account)

        return self.time.run(inside())

    def plan(self, briefs: Sequence[Any], **source: Any) -> Plan:
        return self.run(lambda account: build_plan(account, briefs, source=a_source(**source)))

    def refresh(self, briefs: Sequence[Any], *, run_id: str = "run-1", **source: Any) -> ApplyReport:
        """Plan and apply, as one run of the job."""

        async def both(account: Account) -> ApplyReport:
            plan = await build_plan(account, briefs, source=a_source(**source))
            return await apply(account, plan, run_id=run_id, actor="test")

        return self.run(both)

    def control(self, **wish: Any) -> None:
        self._panel("POST", "control", wish)

    def committed(self) -> dict[str, Any]:
        """Objects and charges at the pretend Mavera."""
        return self._panel("GET", "ledger", None)

    def created(self) -> list[dict[str, Any]]:
        """Objects that calls made (a Mave thread counts, its messages do not)."""
        made = self.committed()["objects"]
        return [one for one in made if one["operation"] != "preload" and one["kind"] != "mave_message"]

    def _panel(self, method: str, path: str, body: Any) -> Any:
        async def ask() -> Any:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app=self.app)) as http:
                answer = await http.request(method, f"http://127.0.0.1/_sandbox/{path}", json=body)
                answer.raise_for_status()
                return answer.json()

        return self.time.run(ask())

    def paid_calls(self) -> list[httpx.Request]:
        return [one for one in self.requests if one.method in ("POST", "PATCH")]


class _Recorded(httpx.AsyncBaseTransport):
    def __init__(self, inner: httpx.AsyncBaseTransport, requests: list[httpx.Request]) -> None:
        self._inner = inner
        self._requests = requests

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._requests.append(request)
        return await self._inner.handle_async_request(request)


def quick_policy(**values: Any) -> Policy:
    return Policy.model_validate(
        {
            "auto_approve_credits": 100_000,
            "case_studies_consented": True,
            "deadline_seconds": 20,
            "settle_seconds": 30,
            "mave_deadline_seconds": 40,
            "mave_settle_seconds": 60,
            **values,
        }
    )


def a_source(**values: Any) -> Source:
    return Source.model_validate({"customers": 1_000, "versions": {"segments/mrr_tiers": 1}, **values})


def tier(name: str = "mid_market", **values: Any) -> dict[str, Any]:
    return {
        "kind": "tier",
        "tier": name,
        "currency": "usd",
        "customers": 200,
        "median_mrr_minor": 210_000,
        **values,
    }


def market(country: str = "DE", **values: Any) -> dict[str, Any]:
    return {"kind": "market", "country": country, "currency": "eur", "customers": 340, **values}


def retention(cohort: str = "payment_recovery", tier: str = "mid_market", **values: Any) -> dict[str, Any]:
    return {
        "kind": "retention",
        "cohort": cohort,
        "tier": tier,
        "period": "2026-11",
        "currency": "usd",
        "customers": 40,
        "signals": ["past_due", "failed_payment"],
        **values,
    }


def case_study(**values: Any) -> dict[str, Any]:
    return {
        "kind": "case_study",
        "tier": "mid_market",
        "product": "team-plan",
        "growth_band": "20 to 50 percent",
        "months": 14,
        "period": "2026-11",
        "customers": 30,
        **values,
    }


def copy_fix(**values: Any) -> dict[str, Any]:
    return {
        "kind": "copy_fix",
        "reason": "subscription_canceled",
        "product": "team-plan",
        "period": "2026-11",
        "disputes": 45,
        "rate_percent": 1,
        "original_copy": "Your plan renews automatically.",
        "audience_tier": "mid_market",
        **values,
    }


def brand_voice(**values: Any) -> dict[str, Any]:
    return {
        "kind": "brand_voice",
        "label": "Plain and calm",
        "usage_context": "Billing messages to existing customers",
        **values,
    }


def all_surfaces() -> list[dict[str, Any]]:
    return [tier(), market(), brand_voice(), retention(), case_study(), copy_fix()]
