"""The visit: all checks, one after the other, and the answer of the command.

Here: order. Not here: any check.
"""

import asyncio
from datetime import UTC, datetime

from pydantic import ValidationError

from pipelines.answer import Answer
from pipelines.doctor.finding import Finding, answer, failed
from pipelines.doctor.local import check_local
from pipelines.doctor.mavera import check_mavera
from pipelines.doctor.stripe import check_stripe
from pipelines.settings import Settings

__all__ = ["examine", "refused_settings"]


def examine(settings: Settings, *, now: datetime | None = None) -> Answer:
    """Check everything that a run of these settings needs. `now` is aware UTC."""
    at = now or datetime.now(UTC)

    async def ask() -> list[Finding]:
        return [*await check_stripe(settings, now=at), *await check_mavera(settings)]

    return answer([*check_local(settings), *asyncio.run(ask())])


def refused_settings(error: ValidationError) -> Answer:
    """The answer when the settings contradict each other: nothing else can be checked."""
    findings = []
    for one in error.errors(include_input=False):
        name = ".".join(str(part) for part in one["loc"]).upper() or "settings"
        found = str(one["msg"]).removeprefix("Value error, ")
        findings.append(failed(name, found, "correct the setting; nothing was asked of anybody"))
    return answer(findings)
