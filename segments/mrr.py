"""Monthly recurring revenue of one subscription: exact, explained, and unknown where a part is missing.

Here: the order of the rules, the sum, and the result. Not here: which subscriptions count (`segments.lifecycle`),
prices and tiers (`segments.pricing`), discounts (`segments.discounts`), tax (`segments.taxes`), the switches of
other tools' rules (`segments.profiles`), whole tables (`segments.mrr_table`). Rules of `default-v1`, built on
https://docs.stripe.com/billing/subscriptions/analytics:

1. Active and past_due subscriptions count; one in a running trial, ended, or paused with void or uncollectible
   invoices counts 0; items in trial, metered and one-off items count 0.
2. An item is quantity × price (tiers, packages) by its interval; a week is 12/52 of a month, a day 12/365.
3. Permanent discounts in force come off: the item's first, then the subscription's in order, or the customer's
   when the subscription has none. Then contained tax.
4. A missing or ambiguous part makes the figure None with a reason: never 0, never full price.
5. A scheduled cancellation stays in `minor` until it takes effect and is out of `committed` at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from types import MappingProxyType
from typing import Any

from segments.discounts import Discounted, DiscountReader
from segments.lifecycle import Trace, carries_revenue, is_leaving
from segments.money import exponent_is_disputed, known_currency
from segments.pricing import item_price, price_charge, recurring_kind
from segments.profiles import Profile, resolve_profile
from segments.reading import LATEST_TIME, moment
from segments.reasons import Finding, UnknownPart
from segments.taxes import inclusive_divisor

__all__ = ["SubscriptionMrr", "subscription_mrr"]

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_ZERO, _ONE = Fraction(0), Fraction(1)
_LARGEST = 2**63 - 1
_LONGEST_BITS = 8192  # a longer denominator is no money, and could not be printed


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionMrr:
    """What a subscription is worth a month, in minor units of its own currency.

    Attributes:
        minor: exact monthly recurring revenue; None when a needed part is missing.
        currency: lower-case code; None when it is missing or its minor unit unknown.
        reasons: codes of what is unknown, or doubtful about a given figure.
        committed: as `minor`, without what is scheduled to end.
        list_price: as `minor`, before discounts; may be known when `minor` is not.
        profile: name of the rule set.
        notes: codes of the rules that made a known figure what it is (a trial, a pause, a metered item).
        findings: reasons and notes with the places they speak of.
        next_change: unix seconds of the first later time at which the figures may change without new data.
    """

    minor: Fraction | None
    currency: str | None
    reasons: tuple[str, ...] = ()
    committed: Fraction | None
    list_price: Fraction | None
    profile: str
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    next_change: int | None = None

    @property
    def complete(self) -> bool:
        """Whether every part was known."""
        return self.minor is not None

    @property
    def texts(self) -> tuple[str, ...]:
        """Reasons and notes as readable sentences."""
        return tuple(finding.text for finding in self.findings)


def subscription_mrr(
    subscription: Mapping[str, Any],
    *,
    as_of: datetime | float,
    prices: Mapping[str, Any] = _NOTHING,
    coupons: Mapping[str, Any] = _NOTHING,
    customer: Mapping[str, Any] | None = None,
    profile: str | Profile = "default-v1",
) -> SubscriptionMrr:
    """The monthly recurring revenue of a subscription in API shape, of any version since 2022.

    Args:
        subscription: the object; a broken one gives an unknown figure with reasons, never an error.
        as_of: the time to decide trials, pauses and discounts at: unix seconds or an aware datetime.
        prices: prices by id, for what a subscription does not carry (tiers, currency options, bare ids).
        coupons: coupons by id, likewise (source coupons, `applies_to`, currency options).
        customer: the customer's object, for its discount; an expanded `subscription.customer` serves as well.
        profile: name of a rule set, or one.

    Raises:
        UnknownProfileError: no rule set has this name.
        ValueError: `as_of` is a naive datetime or no time.
    """
    trace = Trace(resolve_profile(profile), _seconds(as_of))
    sides = _Sides(
        prices=prices if isinstance(prices, Mapping) else _NOTHING,
        coupons=coupons if isinstance(coupons, Mapping) else _NOTHING,
        customer=customer,
    )
    currency: str | None = None
    minor: Fraction | None = None
    committed: Fraction | None = None
    list_price: Fraction | None = None
    try:
        given = _object(subscription)
        currency = known_currency(given.get("currency"))
        if not carries_revenue(given, trace):
            minor = committed = list_price = _ZERO
        elif currency is None:
            raise UnknownPart("currency_unknown")
        else:
            if exponent_is_disputed(currency):
                trace.reason("currency_exponent_disputed")
            minor, list_price = _value(given, currency, sides, trace)
            committed = _committed(given, minor, trace)
    except UnknownPart as part:
        trace.reason(part.code)
    return SubscriptionMrr(
        minor=minor,
        currency=currency,
        reasons=tuple(dict.fromkeys(finding.code for finding in trace.reasons)),
        committed=committed,
        list_price=list_price,
        profile=trace.profile.name,
        notes=tuple(dict.fromkeys(finding.code for finding in trace.notes)),
        findings=(*trace.reasons, *trace.notes),
        next_change=min(trace.changes, default=None),
    )


def _seconds(as_of: object) -> float:
    if isinstance(as_of, datetime):
        if as_of.tzinfo is None:
            raise ValueError("as_of must be an aware datetime: a naive one names no instant")
        return as_of.astimezone(UTC).timestamp()
    if isinstance(as_of, int | float) and not isinstance(as_of, bool) and 0 <= as_of <= LATEST_TIME:
        return as_of
    raise ValueError(f"as_of must be unix seconds or an aware datetime, not {type(as_of).__name__}")


@dataclass(frozen=True, slots=True)
class _Sides:
    """Side tables and the customer: what a subscription does not carry itself."""

    prices: Mapping[str, Any]
    coupons: Mapping[str, Any]
    customer: object


def _object(subscription: object) -> dict[str, Any]:
    if isinstance(subscription, dict):
        return subscription
    if isinstance(subscription, Mapping):
        return dict(subscription)
    raise UnknownPart("subscription_invalid")


def _value(
    subscription: dict[str, Any], currency: str, sides: _Sides, trace: Trace
) -> tuple[Fraction | None, Fraction | None]:
    """Monthly value after and before discounts; each None when it is unknown."""
    discounts = DiscountReader(currency, sides.coupons, trace)
    lines: list[Discounted] = []
    divisors: list[Fraction] = []
    priced = discounted = True
    for place, item in enumerate(_items(subscription)):
        where = f"items[{place}]"
        try:
            counted = _line(item, subscription, currency, sides, trace, where)
        except UnknownPart as part:
            trace.reason(part.code, where)
            priced = False
            continue
        if counted is not None:
            line, divisor = counted
            lines.append(line)
            divisors.append(divisor)
            if line.left:
                discounted &= discounts.take_off_item(item, line, where)
    if not priced:
        return None, None
    if any(line.left for line in lines):  # else nothing is left that a discount could change
        discounted &= discounts.take_off_subscription(subscription, sides.customer, lines)
    amounts, left = [line.charge.amount for line in lines], [line.left for line in lines]
    list_price = _monthly(amounts, lines, divisors, trace)
    if not discounted:
        return None, list_price
    return (list_price if left == amounts else _monthly(left, lines, divisors, trace)), list_price


def _items(subscription: dict[str, Any]) -> list[Any]:
    items = subscription.get("items")
    if isinstance(items, dict):
        if items.get("has_more"):
            raise UnknownPart("items_incomplete")
        items = items.get("data")
    if not isinstance(items, list | tuple) or not items:
        raise UnknownPart("items_missing")
    return list(items)


def _line(
    item: object, subscription: dict[str, Any], currency: str, sides: _Sides, trace: Trace, where: str
) -> tuple[Discounted, Fraction] | None:
    """An item's charge and the divisor that frees it of tax; None for an item that counts nothing."""
    if not isinstance(item, dict):
        raise UnknownPart("item_invalid")
    if item.get("deleted") is True:
        return None
    price = item_price(item, sides.prices)
    kind = recurring_kind(price)
    if kind != "licensed":
        trace.note("metered" if kind == "metered" else "item_not_recurring", where)
        return None
    if _in_trial(item.get("current_trial"), trace):
        trace.note("item_in_trial", where)
        return None
    charge = price_charge(item, price, currency, trace.profile)
    for doubt in charge.doubts:
        trace.reason(doubt, where)
    divisor: Fraction | None = _ONE
    if charge.amount and trace.profile.exclude_inclusive_tax:
        divisor = inclusive_divisor(item, subscription, price)
        if divisor is None:
            trace.reason("gross_of_inclusive_tax", where)
        elif divisor != 1:
            trace.not_established("inclusive_tax")
    return Discounted(charge, charge.amount), divisor or _ONE


def _in_trial(trial: object, trace: Trace) -> bool:
    if trial is None:
        return False
    if not isinstance(trial, dict):
        raise UnknownPart("trial_invalid")
    start = moment(trial.get("start_date"), "trial_invalid")
    end = moment(trial.get("end_date"), "trial_invalid")
    trace.change_at(start)
    trace.change_at(end)
    return (start is None or start <= trace.as_of) and (end is None or end > trace.as_of)


def _monthly(
    amounts: list[Fraction], lines: list[Discounted], divisors: list[Fraction], trace: Trace
) -> Fraction | None:
    total = _ZERO
    for amount, line, divisor in zip(amounts, lines, divisors, strict=True):
        value = amount * line.charge.factor
        total += value if divisor is _ONE else value / divisor
    if total.numerator > _LARGEST * total.denominator or total.denominator.bit_length() > _LONGEST_BITS:
        trace.reason("amount_out_of_range")
        return None
    return total


def _committed(subscription: dict[str, Any], minor: Fraction | None, trace: Trace) -> Fraction | None:
    if minor is None:
        return None
    try:
        leaving = is_leaving(subscription, trace)
    except UnknownPart as part:
        trace.reason(part.code)
        return None
    if leaving:
        trace.not_established("cancellation")
        trace.note("cancellation_requested")
    return _ZERO if leaving else minor
