"""Customers: churn risk, growth, where they are, what they dispute, and how all of it changes by day.

Rules are imported when a step runs, as the code location loads in every run process.
"""

import dagster as dg

from assets.metadata import bar_chart, counted, summed
from assets.step import RATES, Step, segment

__all__ = ["churn_risk", "customer_markets", "disputes_by_reason", "growth", "markets", "segment_history"]


@segment(
    "churn_risk",
    reads=(
        "stripe/subscriptions",
        "segments/mrr_tiers",
        "stripe/invoices",
        "stripe/charges",
        "stripe/payment_methods",
        "stripe/customers",
        "stripe/disputes",
        "segments/customer_mrr_months",
    ),
)
def churn_risk(step: Step) -> dg.MaterializeResult:
    """State, kind and score of each customer, with the signals that fired."""
    from segments.churn import churn_risk as rule

    table = rule(
        **step.tables(),
        previous=step.before(),
        reporting_currency=step.reporting_currency,
        as_of=step.as_of,
    )
    at_risk = summed(table, "state", "mrr_at_risk_minor")
    total = sum(at_risk.values())
    return step.made(
        table,
        chart=bar_chart(counted(table, "state")),
        mrr_at_risk=bar_chart(at_risk),
        mrr_at_risk_minor=round(total, 2 - len(str(total))),  # two digits: it may be that of a few customers
    )


@segment(
    "growth",
    reads=(
        "segments/customer_mrr_months",
        "stripe/subscriptions",
        "stripe/invoices",
        "stripe/invoice_lines",
        "stripe/charges",
        "stripe/disputes",
        "stripe/refunds",
        "stripe/customers",
    ),
)
def growth(step: Step) -> dg.MaterializeResult:
    """Growth of each customer and the gates it passed."""
    from segments.growth import growth as rule

    table = rule(**step.tables(), as_of=step.as_of)
    return step.made(table, candidates=counted(table, "candidate").get("True", 0))


@segment("customer_markets", reads=("stripe/customers", "stripe/charges", "stripe/payment_methods"))
def customer_markets(step: Step) -> dg.MaterializeResult:
    """The country of each customer, its evidence and its confidence."""
    from segments.evidence import customer_markets as rule

    table = rule(**step.tables())
    return step.made(table, chart=bar_chart(counted(table, "confidence")))


@segment("markets", reads=("stripe/charges", "stripe/disputes", "segments/customer_markets", RATES))
def markets(step: Step) -> dg.MaterializeResult:
    """Markets by country and currency over the last year."""
    from segments.markets import markets as rule

    table = rule(**step.tables(), rates=step.rates, reporting_currency=step.reporting_currency, as_of=step.as_of)
    return step.made(table, chart=bar_chart(summed(table, "country", "customers")))


@segment("disputes_by_reason", reads=("stripe/disputes", "stripe/charges", "stripe/invoice_lines"))
def disputes_by_reason(step: Step) -> dg.MaterializeResult:
    """Disputes by reason, product, month and currency."""
    from segments.disputes import disputes_by_reason as rule

    table = rule(**step.tables(), as_of=step.as_of)
    disputes = summed(table, "reason", "disputes")
    return step.made(table, chart=bar_chart(disputes), disputes=sum(disputes.values()))


@segment(
    "segment_history",
    reads=(
        "segments/mrr_tiers",
        "segments/churn_risk",
        "segments/customer_markets",
        "segments/growth",
        "stripe/disputes",
        "stripe/charges",
    ),
)
def segment_history(step: Step) -> dg.MaterializeResult:
    """Customers and MRR of each segment today, added to the days before."""
    from segments.history import segment_history as rule

    table = rule(
        **step.tables(),
        previous=step.before(),
        reporting_currency=step.reporting_currency,
        as_of=step.as_of,
    )
    return step.made(table)
