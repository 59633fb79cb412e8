"""What changed in MRR between two times, so that opening, movements and exchange effect always give closing.

Here: the classification of one change, the totals of a waterfall, and monthly movements from MRR by month. Not
here: the MRR itself. A rate change is never expansion: the opening amounts are valued at the new rates first,
the difference that this makes is `fx`, and only the rest is a movement. The kinds are those of Stripe's own report
(https://docs.stripe.com/billing/subscriptions/analytics), FX adjustment as the sixth.
"""

from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["KINDS", "Movement", "Waterfall", "movement", "waterfall"]

KINDS: Final = ("new", "reactivation", "expansion", "contraction", "churn", "fx", "none")


@dataclass(frozen=True, slots=True)
class Movement:
    """A change: its kind, its amount and the part that exchange rates made; None where an end is unknown."""

    kind: str
    minor: int | None
    fx_minor: int | None


def movement(*, opening: int | None, revalued: int | None, closing: int | None, returns: bool) -> Movement:
    """Classify the change from `opening` to `closing`, all in minor units of the reporting currency.

    `revalued` is the opening amount at the closing rates; `returns` says that there was revenue before the
    opening. opening + minor + fx_minor = closing whenever all are known.
    """
    if opening is None or revalued is None or closing is None:
        return Movement("none", None, None)
    change, exchange = closing - revalued, revalued - opening
    if opening == 0 and closing > 0:
        return Movement("reactivation" if returns else "new", closing, 0)
    if opening > 0 and closing == 0:
        return Movement("churn", change, exchange)
    if change:
        return Movement("expansion" if change > 0 else "contraction", change, exchange)
    return Movement("fx" if exchange else "none", 0, exchange)


@dataclass(frozen=True, slots=True)
class Waterfall:
    """Sums over customers in minor units: `opening` + all `movements` + `fx` + `first_measured` = `closing`.

    `first_measured` is MRR of customers whose opening was never known: all of them on a first run. A customer
    whose MRR is unknown now stands with the amount last known.
    """

    opening: int
    movements: dict[str, int]
    fx: int
    first_measured: int
    closing: int

    @property
    def balanced(self) -> bool:
        """Whether the parts give the closing amount."""
        return self.opening + sum(self.movements.values()) + self.fx + self.first_measured == self.closing


def waterfall(tiers: pa.Table) -> Waterfall:
    """The totals of an `mrr_tiers` table."""

    def total(values: Any) -> int:
        return pc.sum(values).as_py() or 0

    opening, closing = tiers.column("opening_minor"), tiers.column("mrr_minor")
    movements = {
        kind: total(tiers.column("movement_minor").filter(pc.equal(tiers.column("movement"), kind)))
        for kind in KINDS
        if kind not in ("fx", "none")
    }
    return Waterfall(
        opening=total(opening),
        movements=movements,
        fx=total(tiers.column("fx_minor")),
        first_measured=total(closing.filter(pc.is_null(opening))),
        closing=total(pc.coalesce(closing, opening)),
    )
