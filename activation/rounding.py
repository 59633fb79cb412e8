"""The forms in which a number may leave: counts to 5, whole percents, money to two significant digits.

Here: the checks that briefs apply and the texts that templates print. Not here: the rounding itself and the
suppression of small cells, which happen where exact numbers are known.
"""

from typing import Annotated

from pydantic import AfterValidator, Field

from resources.currencies import DECIMALS

__all__ = ["RoundedCount", "RoundedMoney", "WholePercent", "money_text", "percent_text"]


def _count(value: int) -> int:
    if value % 5:
        raise ValueError(f"the count {value} is not rounded to 5")
    return value


def _money(value: int) -> int:
    digits = str(abs(value)).rstrip("0")
    if len(digits) > 2:
        raise ValueError("the amount has more than two significant digits")
    return value


RoundedCount = Annotated[int, Field(ge=0, strict=True), AfterValidator(_count)]
"""A count of customers, payments or disputes, rounded to 5."""
RoundedMoney = Annotated[int, Field(ge=0, strict=True), AfterValidator(_money)]
"""Minor units with at most two significant digits."""
WholePercent = Annotated[int, Field(ge=0, le=100, strict=True)]
"""A share or a rate in whole percent."""


def money_text(minor: int, currency: str) -> str:
    """`2200, "usd"` → `22 USD`."""
    decimals = DECIMALS.get(currency, 2)
    whole, rest = divmod(minor, 10**decimals)
    text = f"{whole:,}" if not rest else f"{whole:,}.{rest:0{decimals}d}"
    return f"{text} {currency.upper()}"


def percent_text(value: int) -> str:
    """`4` → `4 percent`; 0 is printed as less than one, as whole percents round small rates away."""
    return f"{value} percent" if value else "less than 1 percent"
