"""What is checked at Mavera, by free reads: credits, the scopes that reading needs, the brand voice.

Scopes for writing cannot be told without writing; the first paid call tells them, and is not charged when refused.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from pipelines.doctor.finding import Finding, failed, fine, warned
from pipelines.doctor.local import operator_of
from pipelines.settings import Settings
from resources.mavera import (
    AuthenticationError,
    MaveraApi,
    MaveraError,
    MissingScopeError,
    ReadPolicy,
    Usage,
    WrongAddressError,
)
from resources.state import State
from resources.state.ledger import objects

__all__ = ["check_mavera", "check_scope"]

_PATIENCE = ReadPolicy(attempts=2, attempt_seconds=10.0, total_seconds=15.0)
_NOBODY = "stripe-mavera doctor"  # a search that finds nothing keeps the answers small


async def check_mavera(settings: Settings) -> list[Finding]:
    """Every check at Mavera."""
    try:
        api = MaveraApi(
            base_url=settings.mavera_base,
            api_key=settings.mavera_key,
            sandbox=settings.mavera_sandbox,
            policy=_PATIENCE,
        )
    except WrongAddressError as error:
        return [failed("mavera", str(error), "correct MAVERA_API_BASE")]
    async with api:
        try:
            usage = await api.usage()
        except AuthenticationError as error:
            return [failed("mavera", str(error), "set MAVERA_API_KEY to a key that is not revoked")]
        except MissingScopeError:
            findings = [
                failed(
                    "mavera", "usage may not be read", "give the key the scope to read usage: it guards the budget"
                )
            ]
        except MaveraError as error:
            return [failed("mavera", str(error), "let this machine reach it, or see Mavera's status page")]
        else:
            findings = [_credits(settings, usage)]
        reads: tuple[tuple[str, Callable[[], Awaitable[Any]]], ...] = (
            ("personas", lambda: api.personas(search=_NOBODY)),
            ("generation apps", api.generation_apps),
            ("generations", lambda: api.generations(search=_NOBODY)),
            ("mave threads", lambda: api.mave_threads(search=_NOBODY, newest=1)),
        )
        findings.extend([await check_scope(name, read) for name, read in reads])
        findings.append(await _brand_voice(settings, api))
    return findings


def _credits(settings: Settings, usage: Usage) -> Finding:
    where = settings.mavera_base
    if usage.remaining is None:
        return warned(
            "mavera",
            f"{where} answers, but does not tell the credits that are left",
            "ask Mavera: paid work stops",
        )
    found = f"{where} answers, {usage.remaining:,} credits left"
    if usage.auto_recharge:
        found += ", recharged automatically"
    if usage.remaining == 0:
        return warned("mavera", found, "add credits, or wait for the next period: paid work stops, tables go on")
    budget = settings.mavera_credit_budget
    if budget is None and not settings.mavera_is_stand_in:
        return warned("mavera", f"{found}; no budget is set", "set MAVERA_CREDIT_BUDGET, credits a month")
    return fine("mavera", found + ("" if budget is None else f", budget {budget:,} a month"))


async def check_scope(name: str, read: Callable[[], Awaitable[Any]]) -> Finding:
    """Whether the key may make a free read."""
    check = f"read {name}"
    try:
        await read()
    except MissingScopeError as error:
        return failed(check, "not permitted", error.remedy)
    except MaveraError as error:
        return failed(check, str(error), "run the doctor again; if it stays, see Mavera's status page")
    return fine(check, "permitted")


async def _brand_voice(settings: Settings, api: MaveraApi) -> Finding:
    """Whether the voice that generations are given is still there."""
    check = "brand voice"
    try:
        voices = {voice.id for voice in await api.brand_voices()}
    except MissingScopeError as error:
        return failed(check, "not permitted", error.remedy)
    except MaveraError as error:
        return failed(check, str(error), "run the doctor again; if it stays, see Mavera's status page")
    ours = _made_voices(settings)
    if ours - voices:
        return warned(check, "the one that was made is gone at Mavera", "stripe-mavera reconcile, then a new plan")
    if ours:
        return fine(check, "made, and there")
    operator = operator_of(settings)
    if operator is None or operator.brand_voice is None:
        return fine(check, "none is wished", "add [brand_voice] to the operator's file for texts in your voice")
    return fine(check, "wished; made by the next plan")


def _made_voices(settings: Settings) -> set[str]:
    """Ids of brand voices that the ledger calls ours and active."""
    url = sa.make_url(settings.state_url)
    if url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists():
        return set()  # opening it would make it
    state = State(settings.state_url, schema=settings.state_schema)
    wanted = sa.select(objects.c.remote_id).where(
        objects.c.environment == settings.environment,
        objects.c.kind == "brand_voice",
        objects.c.status == "active",
    )
    try:
        with state.read() as connection:
            return set(connection.scalars(wanted))
    except sa.exc.SQLAlchemyError:
        return set()  # the state has a finding of its own
    finally:
        state.close()
