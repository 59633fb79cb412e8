"""What is checked at Stripe, by reading: the account, each list that is kept, the version, the clock.

Here: one request of one object for each stream. Not here: what a stream is (`ingest.streams`).
"""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

from activation.guards import GuardError, check_targets, stripe_key_kind
from ingest.streams import STREAMS, Stream
from pipelines.doctor.finding import Finding, failed, fine, warned
from pipelines.settings import Settings
from resources.limiter import Limiter, key_kind
from resources.stripe_api import (
    API_VERSION,
    BadRequest,
    Page,
    PermissionMissing,
    StripeApi,
    StripeError,
    Unauthorized,
)

__all__ = ["check_stripe"]

_PATIENCE_SECONDS = 10.0
# Stripe's libraries refuse a webhook that is five minutes old by the receiver's clock.
_SKEW_LIMIT, _SKEW_NOTED = 300, 30


async def check_stripe(settings: Settings, *, now: datetime) -> list[Finding]:
    """Every check at Stripe; none where exports are all there is."""
    if settings.exports_only:
        return [fine("stripe", "not asked: there is no key")]
    own = key_kind(settings.stripe_key.get_secret_value()).requests_per_second
    async with StripeApi(
        settings.stripe_key,
        limiter=Limiter(requests_per_second=settings.account_requests_per_second or own),
        base_url=settings.stripe_base,
        unreachable_after=_PATIENCE_SECONDS,
        unavailable_after=_PATIENCE_SECONDS,
        timeout=_PATIENCE_SECONDS,
    ) as api:
        try:
            reached = await _account(api)
        except Unauthorized as error:
            return [failed("stripe", str(error), "set STRIPE_API_KEY to a key that is not revoked or expired")]
        except BadRequest as error:
            return [failed("stripe", str(error), f"see whether Stripe still offers version {API_VERSION}")]
        except StripeError as error:
            return [failed("stripe", str(error), "let this machine reach it: proxy, firewall, STRIPE_API_BASE")]
        pages = await asyncio.gather(*(_first(api, stream) for stream in STREAMS.values()))
        permissions = [_permission(*one) for one in zip(STREAMS.values(), pages, strict=True)]
        return [reached, *_answers(settings, api, pages, now), *permissions]


async def _account(api: StripeApi) -> Finding:
    try:
        account = (await api.account()).data
    except PermissionMissing:
        return warned(
            "stripe",
            f"{api.base_url} answers; the key may not read its account",
            "add Read for the account, or treat every new key as a new account",
        )
    return fine("stripe", f"{api.base_url} answers, account {account.get('id')}")


async def _first(api: StripeApi, stream: Stream) -> Page | StripeError:
    params: dict[str, str | int | list[str]] = {"limit": 1, **stream.params}
    if stream.expand:
        params["expand[]"] = list(stream.expand)
    try:
        return await api.list_page(stream.path, params)
    except StripeError as error:
        return error


def _permission(stream: Stream, page: Page | StripeError) -> Finding:
    name = f"read {stream.table}"
    if isinstance(page, PermissionMissing):
        return failed(name, "not permitted", f"give the key Read for {stream.permission}")
    if isinstance(page, StripeError):
        return failed(name, str(page), "run the doctor again; if it stays, see https://status.stripe.com")
    return fine(name, "permitted" if page.data else "permitted, and empty")


def _answers(
    settings: Settings, api: StripeApi, pages: list[Page | StripeError], now: datetime
) -> Iterator[Finding]:
    """What the answers tell besides their objects."""
    objects = [page.data[0] for page in pages if isinstance(page, Page) and page.data]
    if api.answered_version in (None, API_VERSION):
        yield fine("api version", f"{API_VERSION} is asked for and answered")
    else:
        yield failed(
            "api version",
            f"{API_VERSION} is asked for, {api.answered_version} is answered",
            "ask Stripe's support",
        )
    modes = {bool(one["livemode"]) for one in objects if isinstance(one.get("livemode"), bool)}
    key = None if settings.stripe_api_key is None else settings.stripe_api_key.get_secret_value()
    for livemode in sorted(modes):
        try:
            check_targets(
                stripe_key=stripe_key_kind(key),
                stripe_is_loopback=False,
                mavera="stand_in",
                allow_unrestricted_key=True,
                livemode=livemode,
            )
        except GuardError as error:
            yield failed("mode", str(error), "set STRIPE_API_KEY to a key of the account you mean")
    yield _clock(settings, api, now)


def _clock(settings: Settings, api: StripeApi, now: datetime) -> Finding:
    if api.clock.date is None:
        return warned("clock", "Stripe's answers have no time", "compare this machine's clock yourself")
    if settings.stripe_is_sandbox:
        return fine(
            "clock", f"the simulated account stands at {datetime.fromtimestamp(api.clock.date, UTC):%F %R}"
        )
    skew = int(now.timestamp()) - api.clock.date
    found = f"{abs(skew)} s {'ahead of' if skew > 0 else 'behind'} Stripe" if skew else "as Stripe's"
    if abs(skew) > _SKEW_LIMIT:
        return failed("clock", found, "set this machine's clock by NTP: signed webhooks are refused")
    if abs(skew) > _SKEW_NOTED:
        return warned("clock", found, "set this machine's clock by NTP")
    return fine("clock", found)
