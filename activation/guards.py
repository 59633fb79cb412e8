"""Which keys may meet which targets: checked before any request, refused with the setting's name.

Here: the matrix as a pure function. Not here: reading settings (`pipelines.settings`) and comparing usage around
sandbox calls (`worker` stops at a charge). "Real" means not on loopback. A Mavera key's prefix is a hint and
never a test.
"""

from dataclasses import dataclass
from typing import Literal

__all__ = ["GuardError", "MaveraTarget", "StripeKeyKind", "Targets", "check_targets", "stripe_key_kind"]

StripeKeyKind = Literal["none", "rk_test", "sk_test", "rk_live", "sk_live", "other"]
MaveraTarget = Literal["stand_in", "real_sandbox", "real"]


class GuardError(ValueError):
    """The combination is refused; the message names the setting to change."""


@dataclass(frozen=True, kw_only=True)
class Targets:
    """What a permitted combination allows; with `compare_usage`, calls only while used credits do not rise."""

    may_apply: bool
    compare_usage: bool = False
    nothing_leaves: bool = False
    warning: str | None = None


def stripe_key_kind(key: str | None) -> StripeKeyKind:
    """The kind of a Stripe key by its prefix."""
    if not key:
        return "none"
    kinds: tuple[StripeKeyKind, ...] = ("rk_test", "sk_test", "rk_live", "sk_live")
    return next((kind for kind in kinds if key.startswith(f"{kind}_")), "other")


def check_targets(
    *,
    stripe_key: StripeKeyKind,
    stripe_is_loopback: bool,
    mavera: MaveraTarget,
    allow_unrestricted_key: bool = False,
    livemode: bool | None = None,
) -> Targets:
    """What a Stripe key and a Mavera target may do together. `livemode` is that of the first object, once read.

    Raises: GuardError.
    """
    live = stripe_key in ("rk_live", "sk_live")
    if stripe_key == "other":
        raise GuardError("STRIPE_API_KEY is neither a restricted nor a secret key (rk_…, sk_…)")
    if live and stripe_is_loopback:
        raise GuardError("STRIPE_API_BASE is on loopback: a live STRIPE_API_KEY is never sent to a stand-in")
    if stripe_key == "sk_live" and not allow_unrestricted_key:
        raise GuardError(
            "STRIPE_API_KEY can write: use a restricted key (rk_live_…), or set STRIPE_ALLOW_UNRESTRICTED_KEY"
        )
    if livemode is not None and stripe_key != "none" and livemode != live:
        raise GuardError(
            f"STRIPE_API_KEY is a {'live' if live else 'test'} key, but Stripe returned "
            f"{'live' if livemode else 'test'} objects"
        )
    if live:
        return _live(mavera)
    warning = (
        "STRIPE_API_KEY is unrestricted: a restricted test key is enough" if stripe_key == "sk_test" else None
    )
    if mavera == "real_sandbox":
        return Targets(may_apply=True, compare_usage=True, warning=warning)
    if mavera == "stand_in":
        return Targets(may_apply=True, warning=warning)
    if stripe_key == "none":
        return Targets(may_apply=False, warning="simulated data is planned for the real Mavera, never applied")
    raise GuardError(
        "MAVERA_API_KEY is real but Stripe's data is test data: set MAVERA_SANDBOX, or a live STRIPE_API_KEY"
    )


def _live(mavera: MaveraTarget) -> Targets:
    if mavera == "real_sandbox":
        raise GuardError("MAVERA_SANDBOX is set with live data of Stripe: the header's effect is not confirmed")
    return Targets(may_apply=True, nothing_leaves=mavera == "stand_in")
