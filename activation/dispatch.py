"""The one module that sends requests Mavera may charge for.

Here: one request for one claim, after `sent` is committed, under one total deadline, without redirects and without
any retry. Not here: whether to send (`ledger`, `apply`) and what to do about the outcome. No RetryPolicy, tenacity
or run retry may be put around it: a step that is run again after a kill would pay again
(https://github.com/dagster-io/dagster/pull/24517).
"""

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Self

import httpx

from activation.edges import Probe, nothing
from activation.intents import Balance, Claim
from activation.leases import Leases
from activation.ledger import Ledger
from activation.outcomes import Outcome, Verdict, outcome_of
from activation.policy import Kind, Policy
from activation.rate_window import RateWindow
from resources.mavera import MaveraApi, MaveraError, RateState, exchange

__all__ = ["Dispatcher"]


class Dispatcher:
    """Sends claimed requests; use as an async context manager."""

    def __init__(
        self,
        *,
        mavera: MaveraApi,
        ledger: Ledger,
        window: RateWindow,
        leases: Leases,
        policy: Policy,
        clock: Callable[[], datetime],
        probe: Probe = nothing,
    ) -> None:
        self._mavera = mavera
        self._ledger = ledger
        self._window = window
        self._leases = leases
        self._policy = policy
        self._clock = clock
        self._probe = probe
        self._http: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        longest = max(self._policy.deadline_seconds, self._policy.mave_deadline_seconds)
        self._http = self._mavera.write_client(timeout_seconds=longest)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    async def place(self) -> None:
        """Wait for a place in the rate window; taken before the claim, so that a claim never waits.

        Raises: RateLimitedError, when the wait is too long for a run.
        """
        await self._window.acquire()

    def learn(self, outcome: Outcome) -> None:
        """Learn the pace from the headers of a call whose outcome is recorded; nothing may come before that."""
        self._window.observe(outcome.rate)

    def lease(self, kind: Kind, holder: str) -> Any:
        """A place among the Mave calls in flight; nothing for other kinds."""
        return self._leases.held(holder) if kind is Kind.CASE_STUDY else nullcontext()

    async def send(
        self,
        claim: Claim,
        *,
        method: Literal["POST", "PATCH"],
        path: str,
        operation: str,
        before: Balance | None,
    ) -> Outcome:
        """Send the claimed request once and classify what came of it.

        Raises: asyncio.CancelledError, after the row was made unknown.
        """
        if self._http is None:
            raise RuntimeError("Dispatcher is used outside of its context manager")
        kind = claim.entry.kind
        request = self._http.build_request(method, path, json=dict(claim.entry.body))
        sent_at = self._ledger.sent(claim, settle_seconds=self._policy.settle(kind), before=before)
        if sent_at is None:
            return Outcome(
                verdict=Verdict.NOT_SENT, code="lost_claim", reason="another worker took the claim over"
            )
        if (self._clock() - sent_at).total_seconds() > self._policy.send_within_seconds:
            # A machine that slept here may find its row settled by others: what it would send now is late.
            return Outcome(verdict=Verdict.NOT_SENT, code="not_sent", reason="the machine was suspended")
        self._probe("call:before")
        rate = RateState()
        try:
            async with asyncio.timeout(self._policy.deadline(kind)):
                answer = await exchange(self._http, request, operation=operation, clock=self._clock)
            self._probe("call:after")
            rate = answer.rate
            return Outcome(verdict=Verdict.DONE, body=answer.object_or_raise(operation), rate=rate)
        except MaveraError as error:
            return replace(outcome_of(error), rate=rate)
        except TimeoutError:
            seconds = self._policy.deadline(kind)
            return Outcome(
                verdict=Verdict.AMBIGUOUS,
                code="deadline",
                reason=f"Mavera {operation}: no answer in {seconds:g} s",
            )
        except OSError as error:
            # Not wrapped by httpx, so nothing says how far it came.
            seen = f"Mavera {operation}: {type(error).__name__}"
            return Outcome(verdict=Verdict.AMBIGUOUS, code="no_answer", reason=seen)
        except asyncio.CancelledError:
            self._ledger.unknown(claim, code="cancelled", reason="the run was cancelled during the call")
            raise
