"""The Dashboard's CSV exports: which columns are read from each, and the raw tables they become.

A person picks the columns, so any may be absent; names are compared without regard to case. Amounts are major
units and become minor ones exactly; status words are the Dashboard's and are mapped word by word, an unknown one
sets the row aside. Never read: names, descriptions, card data, descriptors; e-mail only to be hashed.
Columns: https://docs.stripe.com/reports/reporting-categories and https://docs.stripe.com/dashboard/basics#exports.
"""

from collections.abc import Collection
from dataclasses import dataclass

from ingest.exports.columns import Read

__all__ = ["BILLING_PATCH", "DASHBOARD_TABLES", "DashboardTable"]


@dataclass(frozen=True, slots=True)
class DashboardTable:
    """A CSV export: its columns, its query, and the columns of the raw table that each column of the file decides.

    A column of the raw table that the file does not decide keeps what it had. `skipped` is the condition of rows
    that belong elsewhere: payments of the other mode, attempts that never became a charge.
    """

    fields: dict[str, Read]
    sql: str
    decides: dict[str, tuple[str, ...]]
    skipped: str = "false"

    def decided(self, present: Collection[str]) -> frozenset[str]:
        """Columns of the raw table that a file with these columns decides."""
        return frozenset(column for name in present for column in self.decides.get(name, ()))


def _text(*names: str) -> Read:
    return Read("text", names)


def _moment(*names: str) -> Read:
    return Read("moment", tuple(f"{name}{suffix}" for name in names for suffix in (" (UTC)", "")))


def _amount(*names: str) -> Read:
    return Read("amount", names, currency=("Currency",))


def _words(*names: str, words: str = "", **renamed: str) -> Read:
    """Words that stand for themselves, with or without underscores, and words that stand for another."""
    same = {spelt: word for word in words.split() for spelt in (word, word.replace("_", " "))}
    return Read("words", names, words=same | {word.replace("_", " "): value for word, value in renamed.items()})


def _same(names: str) -> dict[str, tuple[str, ...]]:
    """Columns that decide the column of the same name."""
    return {name: (name,) for name in names.split()}


_SUBSCRIPTION_STATUS = "incomplete incomplete_expired trialing active past_due canceled unpaid paused"
_DISPUTE_STATUS = (
    "warning_needs_response warning_under_review warning_closed needs_response under_review won lost prevented"
)
_DISPUTE_REASON = (
    "bank_cannot_process check_returned credit_not_processed customer_initiated debit_not_authorized duplicate"
    " fraudulent general incorrect_account_details insufficient_funds noncompliant product_not_received"
    " product_unacceptable subscription_canceled unrecognized"
)
_PAID = ("paid", "refunded", "partial refund", "partially refunded", "disputed", "succeeded", "uncaptured")
_PAYMENT_STATUS = dict.fromkeys(_PAID, "succeeded") | {
    "failed": "failed",
    "blocked": "failed",
    "pending": "pending",
    "canceled": "none",
    "incomplete": "none",
    "requires_payment_method": "none",
    "requires_action": "none",
    "requires_confirmation": "none",
    "requires_capture": "succeeded",
}

_CUSTOMERS = DashboardTable(
    fields={
        "id": _text("id", "Customer ID"),
        "created": _moment("Created", "Created date"),
        "delinquent": Read("flag", ("Delinquent",)),
        "currency": _text("Currency"),
        "country": _text("Address Country Code", "Billing Address Country Code"),
        "email": _text("Email"),
    },
    sql="""SELECT id, created, lower(currency) AS currency, delinquent, country,
        CASE WHEN getvariable('salt') IS NOT NULL AND email IS NOT NULL
            THEN sha256(concat(getvariable('salt'), lower(email))) END AS email_hash FROM source""",
    decides={
        "created": ("created",),
        "delinquent": ("delinquent",),
        "currency": ("currency",),
        "country": ("country",),
        "email": ("email_hash",),
    },
)

_SUBSCRIPTIONS = DashboardTable(
    fields={
        "id": _text("id", "Subscription ID"),
        "customer": _text("Customer ID", "Customer"),
        "price": _text("Plan", "Price"),
        "product": _text("Product"),
        "quantity": Read("whole", ("Quantity",)),
        "currency": _text("Currency"),
        "interval": _words("Interval", words="day week month year"),
        "interval_count": Read("whole", ("Interval Count",)),
        "amount": _amount("Amount"),
        "status": _words("Status", words=_SUBSCRIPTION_STATUS, cancelled="canceled"),
        "created": _moment("Created", "Created date"),
        "start_date": _moment("Start Date", "Start"),
        "period_start": _moment("Current Period Start"),
        "period_end": _moment("Current Period End"),
        "trial_start": _moment("Trial Start"),
        "trial_end": _moment("Trial End"),
        "canceled_at": _moment("Canceled At"),
        "cancel_at_period_end": Read("flag", ("Cancel At Period End",)),
        "ended_at": _moment("Ended At"),
        "cancellation_reason": _text("Cancellation Reason"),
    },
    sql="""SELECT id, created, customer, status, lower(currency) AS currency, start_date, ended_at, canceled_at,
        cancel_at_period_end, cancellation_reason, trial_start, trial_end, period_start AS current_period_start,
        period_end AS current_period_end, amount IS NOT NULL AND interval IS NOT NULL AS items_complete,
        CAST(json_object('id', id, 'object', 'subscription', 'status', status, 'currency', lower(currency),
            'customer', customer, 'start_date', CAST(epoch(start_date) AS BIGINT),
            'trial_start', CAST(epoch(trial_start) AS BIGINT), 'trial_end', CAST(epoch(trial_end) AS BIGINT),
            'cancel_at_period_end', cancel_at_period_end, 'canceled_at', CAST(epoch(canceled_at) AS BIGINT),
            'ended_at', CAST(epoch(ended_at) AS BIGINT), 'created', CAST(epoch(created) AS BIGINT),
            'items', json_object('object', 'list', 'has_more', amount IS NULL OR interval IS NULL,
                'data', CASE WHEN amount IS NULL OR interval IS NULL THEN '[]'::JSON ELSE json_array(json_object(
                    'object', 'subscription_item', 'subscription', id, 'quantity', quantity,
                    'price', json_object('id', price, 'object', 'price', 'product', product,
                        'currency', lower(currency), 'unit_amount', amount, 'billing_scheme', 'per_unit',
                        'recurring', json_object('interval', interval,
                            'interval_count', coalesce(interval_count, 1), 'usage_type', 'licensed')))) END),
            -- The export shows no discounts. Unless the operator says that there are none, they are unknown.
            'discounts', CASE WHEN getvariable('no_discounts') THEN '[]'::JSON ELSE json_array('not exported') END
        ) AS VARCHAR) AS billing FROM source""",
    decides={
        "customer": ("customer",),
        "status": ("status",),
        "currency": ("currency",),
        "created": ("created",),
        "start_date": ("start_date",),
        "ended_at": ("ended_at",),
        "canceled_at": ("canceled_at",),
        "cancel_at_period_end": ("cancel_at_period_end",),
        "cancellation_reason": ("cancellation_reason",),
        "trial_start": ("trial_start",),
        "trial_end": ("trial_end",),
        "period_start": ("current_period_start",),
        "period_end": ("current_period_end",),
    },
)

_PAYMENTS = DashboardTable(
    fields={
        "id": _text("id"),
        "created": _moment("Created date", "Created"),
        "amount": _amount("Amount"),
        "amount_refunded": _amount("Amount Refunded"),
        "currency": _text("Currency"),
        "captured": Read("flag", ("Captured",)),
        "decline_reason": _text("Decline Reason"),
        "status": Read("words", ("Status",), words=_PAYMENT_STATUS),
        "mode": Read("words", ("Mode",), words={"live": "true", "test": "false"}),
        "customer": _text("Customer ID"),
        "invoice": _text("Invoice ID"),
        "payment_intent": _text("PaymentIntent ID"),
        "dispute_reason": _text("Dispute Reason"),
        "dispute_status": _text("Dispute Status"),
    },
    sql="""SELECT id, created, customer, invoice, payment_intent, amount,
        CASE WHEN captured AND status = 'succeeded' THEN amount ELSE 0 END AS amount_captured, amount_refunded,
        lower(currency) AS currency, status, status = 'succeeded' AS paid, captured,
        status = 'succeeded' AND amount_refunded >= amount AND amount > 0 AS refunded,
        coalesce(dispute_status, dispute_reason) IS NOT NULL
            AND coalesce(dispute_status, '') NOT ILIKE 'warning%' AS disputed, decline_reason AS outcome_reason
        FROM source""",
    decides={
        "created": ("created",),
        "customer": ("customer",),
        "invoice": ("invoice",),
        "payment_intent": ("payment_intent",),
        "amount": ("amount",),
        "amount_refunded": ("amount_refunded", "refunded"),
        "currency": ("currency",),
        "captured": ("captured", "amount_captured"),
        "status": ("status", "paid"),
        "decline_reason": ("outcome_reason",),
        "dispute_status": ("disputed",),
    },
    skipped="""status = 'none' OR regexp_full_match(id, '(pi|seti)_.*')
        OR coalesce(mode, '') NOT IN ('', CAST(getvariable('livemode') AS VARCHAR))""",
)

_DISPUTES = DashboardTable(
    fields={
        "id": _text("id", "Dispute ID"),
        "charge": _text("Charge ID", "Charge"),
        "payment_intent": _text("PaymentIntent ID"),
        "amount": _amount("Amount", "Disputed Amount"),
        "currency": _text("Currency"),
        "reason": _words("Reason", "Dispute Reason", words=_DISPUTE_REASON),
        "status": _words("Status", "Dispute Status", words=_DISPUTE_STATUS),
        "created": _moment("Created", "Created date", "Dispute Date"),
        "evidence_due_by": _moment("Evidence Due", "Dispute Evidence Due", "Due Date"),
    },
    sql="""SELECT id, created, charge, payment_intent, amount, lower(currency) AS currency, reason, status,
        evidence_due_by FROM source""",
    decides=_same("charge payment_intent amount currency reason status created evidence_due_by"),
)

_INVOICES = DashboardTable(
    fields={
        "id": _text("id", "Invoice ID"),
        "customer": _text("Customer", "Customer ID"),
        "subscription": _text("Subscription", "Subscription ID"),
        "charge": _text("Charge", "Charge ID"),
        "currency": _text("Currency"),
        "status": _words(
            "Status", words="draft open paid uncollectible void", past_due="open", voided="void", failed="open"
        ),
        "subtotal": _amount("Subtotal"),
        "total": _amount("Total"),
        "amount_due": _amount("Amount Due"),
        "amount_paid": _amount("Amount Paid"),
        "amount_remaining": _amount("Amount Remaining"),
        "collection_method": _words("Billing", words="charge_automatically send_invoice"),
        "created": _moment("Created", "Date", "Created date"),
        "due_date": _moment("Due Date"),
        "finalized_at": _moment("Finalized At"),
        "paid_at": _moment("Paid At"),
        "period_start": _moment("Minimum Line Item Period Start", "Period Start"),
        "period_end": _moment("Maximum Line Item Period End", "Period End"),
    },
    sql="""SELECT id, created, customer, subscription, charge, lower(currency) AS currency, status, subtotal,
        total, amount_due, amount_paid, amount_remaining, collection_method, due_date, finalized_at, paid_at,
        period_start, period_end FROM source""",
    decides=_same(
        "customer subscription charge currency status subtotal total amount_due amount_paid amount_remaining"
        " collection_method created due_date finalized_at paid_at period_start period_end"
    ),
)

DASHBOARD_TABLES: dict[str, DashboardTable] = {
    "customers": _CUSTOMERS,
    "subscriptions": _SUBSCRIPTIONS,
    "charges": _PAYMENTS,
    "disputes": _DISPUTES,
    "invoices": _INVOICES,
}

BILLING_PATCH = {
    "status": "n.status",
    "cancel_at_period_end": "n.cancel_at_period_end",
    "trial_start": "CAST(epoch(n.trial_start) AS BIGINT)",
    "trial_end": "CAST(epoch(n.trial_end) AS BIGINT)",
    "canceled_at": "CAST(epoch(n.canceled_at) AS BIGINT)",
    "ended_at": "CAST(epoch(n.ended_at) AS BIGINT)",
}
"""What a file changes in the `billing` of a subscription whose items and discounts are known from elsewhere."""
