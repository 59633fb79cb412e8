"""The state of payment of each subscription on any past day: what has failed, what is expiring, what is disputed.

Here: the signs and how they are read back in time from raw tables. Not here: what they do to the chance
(`payment_effects`). An invoice is unpaid on a day when a charge for it had failed and it was neither paid nor
voided by then, so that nothing later than the day is looked at; invoices that are sent by e-mail are left out, as
Stripe doesn't collect them (https://docs.stripe.com/invoicing/overview). The expiry of a card is the exception:
the raw tables hold the present one alone, and a card that its network has renewed since looks as if it had never
been about to expire.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import narwhals as nw
import numpy as np
import numpy.typing as npt
import pandas as pd

from segments.frames import frames
from segments.prediction.histories import Days

__all__ = ["SIGNS", "SIGN_WORDS", "Payments", "payments_from_stripe"]

SIGNS: Final = ("unpaid", "retries_running_out", "failed_recently", "card_expiring", "open_dispute")
SIGN_WORDS: Final = MappingProxyType(
    {
        "unpaid": "an invoice is unpaid after a failed charge",
        "retries_running_out": "it has failed three times or more",
        "failed_recently": "a charge failed in the last 30 days and was made good",
        "card_expiring": "every card has expired or does within 30 days",
        "open_dispute": "a payment was disputed in the last 90 days",
    }
)
_MANY_ATTEMPTS, _RECENT_DAYS, _EXPIRY_DAYS, _DISPUTE_DAYS = 3, 30, 30, 90
_DAY: Final = 86_400
_NEVER: Final = np.iinfo(np.int64).max
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Payments:
    """Failed charges, cards and disputes by subscription; all times in seconds since 1970."""

    subscriptions: pd.Index
    failed_of: Days  # position of the subscription
    failed_invoice: Days
    failed_at: Days
    closed_at: Days  # when the invoice of the failed charge was paid or voided
    card_of: Days
    card_since: Days
    card_until: Days
    dispute_of: Days
    dispute_at: Days

    def at(self, rows: npt.NDArray[Any], day: int) -> pd.DataFrame:
        """The signs of `SIGNS` for these subscriptions as known at the end of the day; unknown ones show none."""
        now = (day + 1) * _DAY
        number = len(self.subscriptions)
        failed = self.failed_at < now
        open_ = failed & (self.closed_at >= now)
        _, first, attempts = np.unique(self.failed_invoice[open_], return_index=True, return_counts=True)
        many = self.failed_of[open_][first[attempts >= _MANY_ATTEMPTS]]
        since = self.card_since < now
        last = np.full(number, -1, dtype=np.int64)
        np.maximum.at(last, self.card_of[since], self.card_until[since])
        disputed = (self.dispute_at < now) & (self.dispute_at >= now - _DISPUTE_DAYS * _DAY)
        unpaid = _marked(number, self.failed_of[open_])
        good = failed & ~open_ & (self.failed_at >= now - _RECENT_DAYS * _DAY)
        signs = {
            "unpaid": unpaid,
            "retries_running_out": _marked(number, many),
            "failed_recently": _marked(number, self.failed_of[good]) & ~unpaid,
            "card_expiring": (last >= 0) & (last < now + _EXPIRY_DAYS * _DAY),
            "open_dispute": _marked(number, self.dispute_of[disputed]),
        }
        place = self.subscriptions.get_indexer(pd.Index(rows))
        return pd.DataFrame({name: np.append(signs[name], False)[place] for name in SIGNS})


def payments_from_stripe(
    subscriptions: Any, invoices: Any, charges: Any, payment_methods: Any, disputes: Any
) -> Payments:
    """Payments from the raw tables of these names; of the charges only those that failed or are disputed."""
    tables = frames(
        subscriptions=subscriptions,
        invoices=invoices,
        charges=charges,
        payment_methods=payment_methods,
        disputes=disputes,
    )
    column = nw.col
    owners = _collected(tables["subscriptions"].select("id", "customer"))
    places = pd.Index(owners["id"])
    billed = tables["invoices"].filter(
        ~column("subscription").is_null(), column("collection_method").fill_null("") != "send_invoice"
    )
    billed = billed.select(
        "subscription",
        invoice="id",
        closed=nw.min_horizontal(column("paid_at").fill_null(_NEVER), column("voided_at").fill_null(_NEVER)),
    )
    asked = tables["charges"].select("id", "status", "invoice", at=column("created").fill_null(_NEVER))
    failed = _collected(asked.filter(column("status") == "failed").join(billed, on="invoice", how="inner"))
    fought = tables["disputes"].select(id="charge", disputed_at=column("created").fill_null(_NEVER))
    disputed = _collected(asked.join(fought, on="id", how="inner").join(billed, on="invoice", how="inner"))
    cards = _collected(
        tables["payment_methods"]
        .filter(
            column("type") == "card",
            ~column("customer").is_null(),
            column("card_exp_year").is_between(1990, 2200),
            column("card_exp_month").is_between(1, 12),
        )
        .select("customer", "card_exp_year", "card_exp_month", since=column("created").fill_null(0))
    )
    people = pd.DataFrame({"customer": owners["customer"], "of": np.arange(len(owners))}).dropna()
    cards = cards.merge(people, on="customer")
    # A card is good until the end of its month.
    year, month = (cards[f"card_exp_{part}"].to_numpy(dtype=np.int64) for part in ("year", "month"))
    failed_of = places.get_indexer(pd.Index(failed["subscription"]))
    dispute_of = places.get_indexer(pd.Index(disputed["subscription"]))
    ours, told = failed_of >= 0, dispute_of >= 0
    return Payments(
        subscriptions=places,
        failed_of=failed_of[ours],
        failed_invoice=np.unique(failed["invoice"].to_numpy(dtype=object).astype(str), return_inverse=True)[1][
            ours
        ],
        failed_at=failed["at"].to_numpy(dtype=np.int64)[ours],
        closed_at=failed["closed"].to_numpy(dtype=np.int64)[ours],
        card_of=cards["of"].to_numpy(dtype=np.int64),
        card_since=cards["since"].to_numpy(dtype=np.int64),
        card_until=(12 * (year - 1970) + month).astype("datetime64[M]").astype("datetime64[s]").astype(np.int64),
        dispute_of=dispute_of[told],
        dispute_at=disputed["disputed_at"].to_numpy(dtype=np.int64)[told],
    )


def _collected(frame: nw.LazyFrame[Any]) -> pd.DataFrame:
    """The rows in one order, whichever engine made them, so that equal payments are equal."""
    table: pd.DataFrame = frame.collect("pandas").to_native()
    return table.sort_values(list(table.columns), ignore_index=True)


def _marked(number: int, places: Days) -> Flags:
    marks = np.zeros(number, dtype=np.bool_)
    marks[places] = True
    return marks
