"""Exact sums of many amounts, quickly: fractions as text, added by customer in one currency, rounded once.

Here: parsing and conversion in bulk, Python fractions only for customers with several amounts. Not here: what
the amounts are (`segments.tiers`). The text form is that of `segments.money.fraction_text`. Numbers that could
leave 64 bits are computed as Python integers by the same code.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from segments.money import round_half_even
from segments.rates import Rates

__all__ = ["Sums", "amounts_text", "read_amounts", "sums_by_group", "value"]

_SAFE: Final = 2**61
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Sums:
    """For each group: the rounded sum in reporting minor units, whether it is known, the exact amounts by currency
    as text, how many amounts were not zero."""

    minor: npt.NDArray[np.int64]
    known: Flags
    text: pa.Array
    count: npt.NDArray[np.int64]


def sums_by_group(
    groups: npt.NDArray[np.int64],
    size: int,
    currencies: pa.Array,
    amounts: pa.Array,
    *,
    rates: Rates,
    reporting_currency: str,
) -> Sums:
    """Add `amounts` by group. A group with an amount in a currency without a rate is not known."""
    counted = pc.not_equal(amounts, "0").to_numpy(zero_copy_only=False)
    groups, currencies, amounts = groups[counted], currencies.filter(counted), amounts.filter(counted)
    numerators, denominators = _parts(amounts)
    factors, divisors, has_rate, codes = _rates(currencies, rates, reporting_currency)
    scaled, scales = _products(numerators, factors[codes]), _products(denominators, divisors[codes])
    count = np.bincount(groups, minlength=size)
    known = np.ones(size, bool)
    known[groups[~has_rate[codes]]] = False
    single = (count[groups] == 1) & has_rate[codes]
    whole = _rounded(scaled[single], scales[single])
    fits = np.abs(whole) < _SAFE
    minor = np.zeros(size, np.int64)
    minor[groups[single][fits]] = whole[fits].astype(np.int64)
    known[groups[single][~fits]] = False
    texts = np.full(size, "", dtype=object)
    alone = count[groups] == 1
    texts[groups[alone]] = pc.binary_join_element_wise(
        currencies.filter(alone), amounts.filter(alone), " "
    ).to_numpy(zero_copy_only=False)
    for group, exact in _several(groups, ~alone, currencies, amounts).items():
        texts[group] = amounts_text(exact)
        total = value(exact, rates, reporting_currency)
        if total is None or abs(total) >= _SAFE:
            known[group] = False
        else:
            minor[group] = total
    return Sums(minor=minor, known=known, text=pa.array(texts, pa.string()), count=count)


def _parts(amounts: pa.Array) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Numerators and denominators."""
    parts = pc.split_pattern(amounts, "/", max_splits=1)
    is_fraction = pc.equal(pc.list_value_length(parts), 2)
    numerators = pc.list_element(parts, 0)
    denominators = pa.array(["1"] * len(amounts), pa.string())
    if pc.any(is_fraction).as_py():
        written = pc.list_element(parts.filter(is_fraction), 1)
        denominators = pc.replace_with_mask(denominators, is_fraction, written)
    return _integers(numerators), _integers(denominators)


def _integers(texts: pa.Array) -> npt.NDArray[Any]:
    try:
        return np.asarray(pc.cast(texts, pa.int64()).to_numpy(zero_copy_only=False), np.int64)
    except pa.ArrowInvalid:
        return np.array([int(text) for text in texts.to_pylist()], dtype=object)


def _rates(
    currencies: pa.Array, rates: Rates, reporting_currency: str
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], Flags, npt.NDArray[np.int64]]:
    """Numerator, denominator and existence of each currency's rate, and the currency of each row as a number."""
    encoded = pc.fill_null(currencies, "").dictionary_encode()
    names = encoded.dictionary.to_pylist()
    exact = {name: rates[name][0] for name in names if name in rates} | {reporting_currency: Fraction(1)}
    factors = np.array([exact.get(name, Fraction(0)).numerator for name in names], dtype=object)
    divisors = np.array([exact.get(name, Fraction(1)).denominator for name in names], dtype=object)
    has_rate = np.array([name in exact for name in names], dtype=bool)
    return factors, divisors, has_rate, np.asarray(encoded.indices.to_numpy(zero_copy_only=False), np.int64)


def _products(left: npt.NDArray[Any], right: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Products, in 64 bits where all are sure to fit."""
    small = left.dtype != object and bool(left.size)
    if small and int(np.abs(left).max()) * max(abs(number) for number in set(right.tolist())) < _SAFE:
        right = right.astype(np.int64)
    else:
        left = left.astype(object)
    product: npt.NDArray[Any] = left * right
    return product


def _rounded(numerators: npt.NDArray[Any], denominators: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Quotients to the nearest integer, ties to the even one."""
    whole = numerators // denominators
    twice = 2 * (numerators - whole * denominators)
    up = (twice > denominators) | ((twice == denominators) & (whole % 2 == 1))
    nearest: npt.NDArray[Any] = whole + up.astype(np.int64)
    return nearest


def _several(
    groups: npt.NDArray[np.int64], wanted: Flags, currencies: pa.Array, amounts: pa.Array
) -> dict[int, dict[str, Fraction]]:
    """Exact amounts by currency of the groups that have several."""
    found: dict[int, dict[str, Fraction]] = {}
    rows = zip(
        groups[wanted].tolist(),
        currencies.filter(wanted).to_pylist(),
        amounts.filter(wanted).to_pylist(),
        strict=True,
    )
    for group, currency, amount in rows:
        sums = found.setdefault(group, {})
        sums[currency] = sums.get(currency, Fraction(0)) + Fraction(amount)
    return found


def value(amounts: dict[str, Fraction], rates: Rates, reporting_currency: str) -> int | None:
    """The sum in the reporting currency, rounded once; None when a rate is missing."""
    total = Fraction(0)
    for currency, amount in amounts.items():
        if currency == reporting_currency:
            total += amount
        elif currency in rates:
            total += amount * rates[currency][0]
        elif amount:
            return None
    return round_half_even(total)


def amounts_text(amounts: dict[str, Fraction]) -> str:
    """Exact amounts as text, "eur 9900; usd 12500/3"."""
    return "; ".join(f"{currency} {amounts[currency]}" for currency in sorted(amounts))


def read_amounts(text: str) -> dict[str, Fraction]:
    """Read what `amounts_text` wrote."""
    pairs = (part.split(" ") for part in text.split("; ") if part)
    return {currency: Fraction(amount) for currency, amount in pairs}
