"""Disputes with the customer, invoice and charge behind them.

Here: which statuses are disputes at all, and the join that finds the disputed charge. Not here: counting by reason
(`segments.disputes`). Statuses: https://docs.stripe.com/api/disputes/object#dispute_object-status.
"""

from typing import Any, Final

import narwhals as nw

__all__ = ["INQUIRIES", "NOT_DISPUTES", "OPEN", "disputed_charges"]

INQUIRIES: Final = ("warning_needs_response", "warning_under_review", "warning_closed")
"""Questions of the bank before a dispute: no money moved."""
NOT_DISPUTES: Final = (*INQUIRIES, "prevented")
OPEN: Final = ("needs_response", "under_review", "appeal_needs_response", "appeal_under_review")


def disputed_charges(disputes: nw.LazyFrame[Any], charges: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Disputes with `customer` and `invoice` of their charge; one without a charge is found by its payment
    intent."""
    column = nw.col
    behind = charges.select(charge_id="id", charge_intent="payment_intent", customer="customer", invoice="invoice")
    # Few disputes lack a charge, so only their intents are looked for among all charges.
    lost = disputes.filter(column("charge").is_null(), ~column("payment_intent").is_null())
    by_intent = (
        behind.join(
            lost.select(intent="payment_intent").unique(), left_on="charge_intent", right_on="intent", how="inner"
        )
        .group_by("charge_intent")
        .agg(column("customer").max().alias("intent_customer"), column("invoice").max().alias("intent_invoice"))
    )
    return (
        disputes.join(behind.drop("charge_intent"), left_on="charge", right_on="charge_id", how="left")
        .join(by_intent, left_on="payment_intent", right_on="charge_intent", how="left")
        .with_columns(
            customer=nw.coalesce(column("customer"), column("intent_customer")),
            invoice=nw.coalesce(column("invoice"), column("intent_invoice")),
        )
        .drop("intent_customer", "intent_invoice")
    )
