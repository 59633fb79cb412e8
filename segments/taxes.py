"""Tax contained in a price, which is no revenue.

Here: how much an item's amount is divided by. Not here: tax on top of a price, which changes nothing. Order of
evidence: the item's tax rates, else the subscription's, else what the latest invoice's line says; without any,
a price that says it includes tax is reported gross and flagged. Stripe publishes no rule for its own MRR here.
"""

from fractions import Fraction
from typing import Any

from segments.money import exact
from segments.reading import listed
from segments.reasons import UnknownPart

__all__ = ["inclusive_divisor"]


def inclusive_divisor(
    item: dict[str, Any], subscription: dict[str, Any], price: dict[str, Any]
) -> Fraction | None:
    """What to divide a discounted amount by to free it of tax; None when tax is contained but unstated.

    Raises:
        UnknownPart: a tax rate cannot be read.
    """
    rates = listed(item.get("tax_rates"), "tax_rate_invalid")
    if not rates:
        rates = listed(subscription.get("default_tax_rates"), "tax_rate_invalid")
    if rates:
        return 1 + sum((_inclusive_share(rate) for rate in rates), Fraction(0))
    if not _contains_automatic_tax(subscription, price):
        return Fraction(1)
    return _invoiced_divisor(item, subscription)


def _inclusive_share(rate: object) -> Fraction:
    if isinstance(rate, str):
        raise UnknownPart("tax_rate_not_expanded")
    if not isinstance(rate, dict) or not isinstance(rate.get("inclusive"), bool):
        raise UnknownPart("tax_rate_invalid")
    if not rate["inclusive"]:
        return Fraction(0)
    percentage = exact(rate.get("percentage"))
    if percentage is None or not 0 <= percentage <= 1000:
        raise UnknownPart("tax_rate_invalid")
    return percentage / 100


def _contains_automatic_tax(subscription: dict[str, Any], price: dict[str, Any]) -> bool:
    if price.get("tax_behavior") != "inclusive":
        return False
    automatic = subscription.get("automatic_tax")
    return not (isinstance(automatic, dict) and automatic.get("enabled") is False)


def _invoiced_divisor(item: dict[str, Any], subscription: dict[str, Any]) -> Fraction | None:
    """Gross by net of the item's line on the latest invoice, where the invoice is expanded."""
    invoice, item_id = subscription.get("latest_invoice"), item.get("id")
    lines = invoice.get("lines") if isinstance(invoice, dict) else None
    data = lines.get("data") if isinstance(lines, dict) else lines
    for line in data if isinstance(data, list) else []:
        if not isinstance(line, dict) or not isinstance(item_id, str) or _line_item(line) != item_id:
            continue
        gross, tax = _line_gross(line), _line_inclusive_tax(line)
        if gross is not None and tax is not None and 0 <= tax < gross:
            return gross / (gross - tax)
    return None


def _line_item(line: dict[str, Any]) -> object:
    """The subscription item a line bills, in both API shapes; None for prorations."""
    parent = line.get("parent")
    details = parent.get("subscription_item_details") if isinstance(parent, dict) else None
    place = details if isinstance(details, dict) else line
    return None if place.get("proration") else place.get("subscription_item")


def _line_gross(line: dict[str, Any]) -> Fraction | None:
    return _difference(exact(line.get("amount")), _sum_of(line.get("discount_amounts")))


def _difference(first: Fraction | None, second: Fraction | None) -> Fraction | None:
    return None if first is None or second is None else first - second


def _line_inclusive_tax(line: dict[str, Any]) -> Fraction | None:
    taxes = line.get("taxes")
    if isinstance(taxes, list):
        return _sum_of(
            [tax for tax in taxes if not isinstance(tax, dict) or tax.get("tax_behavior") == "inclusive"]
        )
    old = line.get("tax_amounts")
    if isinstance(old, list):
        return _sum_of([tax for tax in old if not isinstance(tax, dict) or tax.get("inclusive") is True])
    return None


def _sum_of(entries: object) -> Fraction | None:
    """Sum of `amount` over entries, or None when one cannot be read; absent is 0."""
    total = Fraction(0)
    for entry in entries if isinstance(entries, list) else []:
        amount = exact(entry.get("amount")) if isinstance(entry, dict) else None
        if amount is None:
            return None
        total += amount
    return total
