"""Whether a subscription is about to end, over whole columns.

Here: the rule of `segments.lifecycle.is_leaving` for frames, so that risk and growth agree with committed revenue.
Not here: what follows from it.
"""

from typing import Final

import narwhals as nw

from segments.frames import DAY

__all__ = ["is_leaving"]

_NOTICE: Final = 30 * DAY
"""A fixed term that ends within a month is a pending end."""


def is_leaving(now: int) -> nw.Expr:
    """True where an end is asked for, or set before the next renewal or within a month; never null.

    Both forms count: the flag of classic billing and the `cancel_at` of flexible billing. A later `cancel_at` that
    nobody asked for is a fixed term, not a cancellation.
    """
    column = nw.col
    asked = ~column("canceled_at").is_null() | ~column("cancellation_reason").is_null()
    near = (column("cancel_at") <= column("current_period_end")).fill_null(False)
    soon = (column("cancel_at") <= now + _NOTICE).fill_null(False)
    by_date = ~column("cancel_at").is_null() & (asked | near | soon)
    return column("cancel_at_period_end").fill_null(False) | by_date
