"""Objects that other rows point at: waited for, made ready, and looked for once for all who need them.

Here: the outcomes of a run's rows as futures, and the polling of what Mavera builds in the background. Not here:
what a row does with an id.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from activation.account import Account
from activation.endings import Ended
from activation.plan_model import Operation
from activation.policy import Kind
from activation.registry import StoredObject, newest
from activation.surfaces import SURFACES, Need
from resources.mavera import MaveraError

__all__ = ["MissingError", "Needs", "pointed"]


class MissingError(Exception):
    """An object that a row points at is not there or not ready; the message says which and why."""


def pointed(operation: Operation) -> tuple[Kind, str]:
    """The object that a row is about, as others point at it."""
    kind = Kind.PERSONA if operation.kind is Kind.PERSONA_UPDATE else operation.kind
    return kind, operation.segment_key


class Needs:
    """One run's rows as others see them; made inside the running loop."""

    def __init__(self, account: Account, operations: Iterable[Operation]) -> None:
        self._account = account
        loop = asyncio.get_running_loop()
        self._outcomes: dict[tuple[Kind, str], asyncio.Future[Ended | None]] = {
            pointed(one): loop.create_future() for one in operations if _stays(one)
        }
        self._found: dict[Need, asyncio.Task[str]] = {}

    def tell(self, operation: Operation, ended: Ended | None) -> None:
        """A row has ended, or was cut off (None): those who wait for it go on."""
        outcome = self._outcomes.get(pointed(operation)) if _stays(operation) else None
        if outcome is not None and not outcome.done():
            outcome.set_result(ended)

    async def id_of(self, need: Need) -> str:
        """The id of a needed object. Raises: MissingError."""
        if need not in self._found:
            self._found[need] = asyncio.create_task(self._find(need))
        return await self._found[need]

    async def _find(self, need: Need) -> str:
        key = (need.kind, need.segment_key)
        ended = await self._outcomes[key] if key in self._outcomes else None
        mine = newest(self._account.ledger.objects(), *key)
        if mine is None:
            raise MissingError(f"needs {need.segment_key}: {'it has no brief' if ended is None else ended.reason}")
        if mine.result_status == "pending":
            mine = await self.until_ready(mine)
        if mine.result_status != "completed":
            remedy = f": {mine.remedy}" if mine.no_use else ""
            raise MissingError(f"needs {need.segment_key}: it is {mine.result_status} at Mavera{remedy}")
        return mine.remote_id

    async def until_ready(self, one: StoredObject) -> StoredObject:
        """Poll what Mavera builds in the background, until a deadline; the next run looks again."""
        policy = self._account.policy
        deadline = self._account.clock().timestamp() + policy.await_results_seconds
        while True:
            try:
                answer = await SURFACES[one.kind].refreshed(self._account.mavera, one.remote_id)
            except MaveraError:
                answer = None
            if answer is not None and answer.status != "pending":
                self._account.ledger.refresh_result(one, status=answer.status, result=answer.result)
                return replace(one, result_status=answer.status, result=answer.result)
            if self._account.clock().timestamp() >= deadline:
                return one
            await asyncio.sleep(policy.poll_seconds)


def _stays(operation: Operation) -> bool:
    """Whether the row's object is the one that others may point at."""
    return operation.action != "archive" and operation.status_after == "active"
