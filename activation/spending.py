"""What was spent: the caps, what counts against them, and how the account's own figure compares.

Here: the summary that commands and the report show. Not here: the caps themselves (`policy`), single attempts (the
table `mavera/spend`).
"""

from dataclasses import dataclass

from activation.account import Account

__all__ = ["SpendSummary", "spend"]


@dataclass(frozen=True, kw_only=True)
class SpendSummary:
    """Credits counted (charged or reserved) and the caps they count against."""

    day: int
    month: int
    month_settled: int
    per_run: int | None
    per_day: int | None
    per_month: int | None

    @property
    def month_reserved(self) -> int:
        """Counted without an answer that confirms it: under way, unknown or held."""
        return self.month - self.month_settled


def spend(account: Account) -> SpendSummary:
    """What counts against the caps now."""
    counted, caps = account.ledger.spend(), account.policy.caps
    return SpendSummary(
        day=counted.day,
        month=counted.month,
        month_settled=counted.month_settled,
        per_run=caps.per_run,
        per_day=caps.per_day,
        per_month=caps.per_month,
    )
