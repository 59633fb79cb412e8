"""The fast path of the MRR table: subscriptions so plain that their value is a quantity times a price.

Here: telling the plain ones apart, and their arithmetic on whole arrays. Not here: the rules themselves; a price's
monthly value comes from `segments.pricing`, once per distinct price. Plain is what `segments.mrr` would value the
same way without a word to say: one licensed, per-unit item in the subscription's currency, and no discount, tax
rate, trial, pause or end in sight. Whatever is in doubt is not plain and takes the exact path.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from segments.money import exponent_is_disputed, known_currency
from segments.pricing import item_price, price_charge, recurring_kind
from segments.profiles import Profile
from segments.reasons import UnknownPart

__all__ = ["PlainPrices", "PlainRows", "fraction_arrays"]

# Bounds under which quantity × numerator, and twice a remainder, stay inside 64 bits.
_MAX_QUANTITY = 2**20
_MAX_NUMERATOR = 2**42
_MAX_DENOMINATOR = 2**31

_NOT_PLAIN = -1


@dataclass(slots=True)
class PlainPrices:
    """Monthly values of one unit, as fractions, by everything that decides them."""

    prices: Mapping[str, Any]
    profile: Profile
    numerators: list[int] = field(default_factory=list)
    denominators: list[int] = field(default_factory=list)
    currencies: list[str] = field(default_factory=list)
    _index: dict[tuple[Any, ...], int] = field(default_factory=dict)

    def index(self, item: dict[str, Any], currency: str) -> int:
        """Place of the item's price in the arrays, or -1 when the price is not plain."""
        price = item.get("price")
        if type(price) is str:
            if type(self.prices.get(price)) is not dict:
                return _NOT_PLAIN
            key: tuple[Any, ...] = (price, currency)
        elif type(price) is dict:
            recurring = price.get("recurring")
            if type(recurring) is not dict or price.get("transform_quantity") is not None:
                return _NOT_PLAIN
            unit, unit_decimal, count = (
                price.get("unit_amount"),
                price.get("unit_amount_decimal"),
                recurring.get("interval_count"),
            )
            # Exact types, as True and 1.0 would find the entry of 1.
            if type(count) is not int or type(unit) not in (int, type(None)):
                return _NOT_PLAIN
            if type(unit_decimal) not in (str, type(None)) or price.get("currency") != currency:
                return _NOT_PLAIN
            key = (
                price.get("id"),
                currency,
                price.get("type"),
                price.get("billing_scheme"),
                unit,
                unit_decimal,
                recurring.get("interval"),
                count,
                recurring.get("usage_type"),
                recurring.get("meter"),
                price.get("tax_behavior"),
                price.get("tiers_mode"),
                price.get("tiers") is None,
            )
        else:
            return _NOT_PLAIN
        try:
            found = self._index.get(key)
        except TypeError:  # a list or an object where a plain value belongs
            return _NOT_PLAIN
        if found is None:
            found = self._index[key] = self._add(item, currency)
        return found

    def _add(self, item: dict[str, Any], currency: str) -> int:
        try:
            price = item_price(item, self.prices)
            if recurring_kind(price) != "licensed" or price.get("billing_scheme") != "per_unit":
                return _NOT_PLAIN
            if price.get("transform_quantity") is not None or price.get("tax_behavior") == "inclusive":
                return _NOT_PLAIN
            charge = price_charge({"quantity": 1}, price, currency, self.profile)
        except UnknownPart:
            return _NOT_PLAIN
        monthly = charge.amount * charge.factor
        if charge.doubts or exponent_is_disputed(currency):
            return _NOT_PLAIN
        if monthly.numerator > _MAX_NUMERATOR or monthly.denominator > _MAX_DENOMINATOR:
            return _NOT_PLAIN
        self.numerators.append(monthly.numerator)
        self.denominators.append(monthly.denominator)
        self.currencies.append(currency)
        return len(self.numerators) - 1


@dataclass(slots=True)
class PlainRows:
    """The plain rows of a batch: their positions, and the place of the price and the quantity of each."""

    prices: PlainPrices
    as_of: float
    positions: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    quantities: list[int] = field(default_factory=list)
    _statuses: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        profile = self.prices.profile
        self._statuses = profile.statuses - (profile.not_established & {"past_due"})

    def take(self, position: int, billing: Any) -> bool:
        """Keep the row when it is plain; whether it was."""
        if type(billing) is not dict:
            return False
        get = billing.get
        if (
            type(get("status")) is not str
            or get("status") not in self._statuses
            or get("ended_at") is not None
            or get("cancel_at") is not None
            or get("pause_collection") is not None
            or get("discount") is not None
            or not _is_empty(get("discounts"))
            or not _is_empty(get("default_tax_rates"))
            or not (get("cancel_at_period_end") is None or get("cancel_at_period_end") is False)
            or type(get("customer")) is dict
        ):
            return False
        trial_end = get("trial_end")
        if trial_end is not None and (type(trial_end) is not int or not 0 <= trial_end <= self.as_of):
            return False
        items, currency = get("items"), get("currency")
        if type(items) is not dict or items.get("has_more") or type(currency) is not str:
            return False
        data = items.get("data")
        if type(data) is not list or len(data) != 1 or type(data[0]) is not dict:
            return False
        item = data[0]
        get = item.get
        if (
            get("current_trial") is not None
            or get("deleted") is not None
            or get("discount") is not None
            or not _is_empty(get("discounts"))
            or not _is_empty(get("tax_rates"))
        ):
            return False
        quantity = get("quantity")
        if quantity is None:
            quantity = 1
        elif type(quantity) is not int or not 0 <= quantity <= _MAX_QUANTITY:
            return False
        place = self.prices.index(item, currency) if known_currency(currency) == currency else _NOT_PLAIN
        if place == _NOT_PLAIN:
            return False
        self.positions.append(position)
        self.places.append(place)
        self.quantities.append(quantity)
        return True

    def values(self) -> tuple[pa.Array, pa.Array, pa.Array]:
        """Currency, exact text and rounded minor units of the kept rows."""
        places = np.array(self.places, dtype=np.int64)
        numerators = np.array(self.prices.numerators, dtype=np.int64)[places]
        denominators = np.array(self.prices.denominators, dtype=np.int64)[places]
        text, rounded = fraction_arrays(numerators * np.array(self.quantities, dtype=np.int64), denominators)
        currencies = pa.array(self.prices.currencies, pa.string()).take(pa.array(places))
        return currencies, text, rounded


def _is_empty(value: object) -> bool:
    return value is None or (type(value) is list and not value)


def fraction_arrays(numerators: np.ndarray, denominators: np.ndarray) -> tuple[pa.Array, pa.Array]:
    """Exact texts and half-even roundings of non-negative fractions; both parts well inside 64 bits."""
    common = np.gcd(numerators, denominators)
    tops, bottoms = numerators // common, denominators // common
    whole, rest = np.divmod(tops, bottoms)
    up = (2 * rest > bottoms) | ((2 * rest == bottoms) & (whole % 2 == 1))
    texts = pa.array(tops).cast(pa.string())
    ratios = pc.binary_join_element_wise(texts, pa.array(bottoms).cast(pa.string()), "/")
    return pc.if_else(pa.array(bottoms == 1), texts, ratios), pa.array(whole + up)
