"""From Data Pipeline's tables to the raw tables: what must be joined, and what MRR needs as JSON in API shape.

Each query gives the columns of one raw table, without provenance, over the views that `warehouse` makes of
`pipeline.PIPELINE_TABLES`. A table that was not delivered is a view without rows; where that would read as "none",
the query says unknown instead.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

__all__ = ["PIPELINE_QUERIES", "PipelineQuery"]


@dataclass(frozen=True, slots=True)
class PipelineQuery:
    """How a raw table is made: its source table, its query given the delivered tables, what else that reads.

    `also` are tables of which some rows become rows here as well. `parent` is the table whose row owns this one,
    by the same name here and there, and the column that names it. `pass_rows` is how many rows the query takes at
    a time, by the variables `pass` and `passes`.
    """

    source: str
    sql: Callable[[Collection[str]], str]
    joins: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    parent: tuple[str, str] | None = None
    pass_rows: int | None = None


def _seconds(column: str) -> str:
    return f"CAST(epoch({column}) AS BIGINT)"


def _with(doc: str, **parts: str) -> str:
    """A document with more members: JSON texts that are taken over as they are, as reading them again is slow."""
    members = "".join(f"""'"{name}":', {part}, ',', """ for name, part in parts.items())
    return f"concat('{{', {members}substr(CAST({doc} AS VARCHAR), 2))"


def _list(doc: str, *, order: str) -> str:
    """The JSON texts of a group as one list."""
    return f"concat('[', string_agg({doc}, ',' ORDER BY {order}), ']')"


def _in_pass(column: str) -> str:
    """Whether a row belongs to the pass under way; its owner and its neighbours do too."""
    return f"hash({column}) % getvariable('passes') = getvariable('pass')"


def _plain(source: str, columns: str) -> PipelineQuery:
    return PipelineQuery(source, lambda _delivered: f"SELECT id, created, deleted, {columns} FROM {source}")


def _whole(items: str, delivered: Collection[str], *, owner: str, of: str) -> str:
    """Whether every row of a nested list was read: the list was delivered, and none of its rows was set aside."""
    if items not in delivered:
        return "false"
    return f"(NOT EXISTS (SELECT 1 FROM {items}__bad AS lost WHERE lost.{owner} = {of}))"


def _ids(column: str) -> str:
    """A list of ids, which comes as JSON text or as words between commas."""
    bare = f"regexp_replace(coalesce({column}, ''), '[\\[\\]\"\\s]', '', 'g')"
    return f"list_filter(string_split({bare}, ','), lambda one: one <> '' AND one <> 'null')"


_COUPON_OF = """json_object('id', {id}, 'object', 'discount', 'customer', {customer},
    'subscription', {subscription}, 'subscription_item', {item}, 'start', {start}, 'end', {end},
    'source', json_object('type', 'coupon', 'coupon', {coupon}))"""


def _inline_discount(owner: str, *, customer: str, subscription: str) -> str:
    """The discount that a row carries in its own columns; older exports have no table of discounts."""
    return _COUPON_OF.format(
        id="NULL",
        customer=customer,
        subscription=subscription,
        item="NULL",
        start=_seconds(f"{owner}.discount_start"),
        end=_seconds(f"{owner}.discount_end"),
        coupon=f"{owner}.discount_coupon",
    )


_DISCOUNT_DOC = _COUPON_OF.format(
    id="d.id",
    customer="d.customer",
    subscription="d.subscription",
    item="d.subscription_item",
    start=_seconds("d.start"),
    end=_seconds('d."end"'),
    coupon="d.coupon",
)


def _discount_lists(owner: str) -> str:
    """Per row of `owner`, the discounts it lists, in its order; one that no table explains stays a bare id."""
    some = f"SELECT id, discounts FROM {owner} WHERE discounts NOT IN ('', '[]')"
    doc = f"CASE WHEN d.id IS NULL THEN to_json(named.one) ELSE {_DISCOUNT_DOC} END"
    return f"""SELECT named.owner, {_list(f"CAST({doc} AS VARCHAR)", order="named.place")} AS docs
    FROM (SELECT id AS owner, unnest({_ids("discounts")}) AS one,
                 unnest(range(len({_ids("discounts")}))) AS place FROM ({some})) AS named
    LEFT JOIN discounts AS d ON d.id = named.one GROUP BY named.owner"""


_PRICES = """SELECT id, created, deleted, product, active, currency, type, unit_amount, unit_amount_decimal,
    billing_scheme, tiers_mode, tax_behavior, divide_by, round, interval, interval_count, usage_type, meter
    FROM prices
UNION ALL BY NAME
SELECT id, created, deleted, product, active, currency, 'recurring' AS type, unit_amount, unit_amount_decimal,
    billing_scheme, tiers_mode, divide_by, round, interval, interval_count, usage_type
    FROM plans WHERE id NOT IN (SELECT id FROM prices)"""

_PRICE_DOC = f"""json_object('id', p.id, 'object', 'price', 'created', {_seconds("p.created")},
    'livemode', getvariable('livemode'), 'active', p.active, 'currency', p.currency,
    'product', p.product, 'type', p.type,
    'unit_amount', p.unit_amount, 'unit_amount_decimal', p.unit_amount_decimal, 'billing_scheme', p.billing_scheme,
    'tiers_mode', p.tiers_mode, 'tax_behavior', p.tax_behavior,
    'transform_quantity', CASE WHEN p.divide_by IS NOT NULL
        THEN json_object('divide_by', p.divide_by, 'round', p.round) END,
    'recurring', CASE WHEN p.interval IS NOT NULL THEN json_object('interval', p.interval,
        'interval_count', p.interval_count, 'usage_type', p.usage_type, 'meter', p.meter) END)"""


def _prices(_delivered: Collection[str]) -> str:
    return f"""WITH tiers AS (
        SELECT id, to_json(list(json_object('up_to', TRY_CAST(up_to AS BIGINT), 'unit_amount', unit_amount,
                'unit_amount_decimal', unit_amount_decimal, 'flat_amount', flat_amount,
                'flat_amount_decimal', flat_amount_decimal)
            ORDER BY TRY_CAST(up_to AS BIGINT) NULLS LAST)) AS docs
        FROM price_tiers GROUP BY id),
    options AS (
        SELECT id, json_group_object(currency, json_object('unit_amount', unit_amount,
                'unit_amount_decimal', unit_amount_decimal)) AS docs
        FROM prices_currency_options GROUP BY id)
    SELECT p.id, p.created, p.deleted, p.product, p.active, p.currency, p.type, p.unit_amount, p.interval,
        p.interval_count,
        CAST(json_merge_patch({_PRICE_DOC}, json_object('tiers', tiers.docs, 'currency_options', options.docs))
            AS VARCHAR) AS billing
    FROM ({_PRICES}) AS p LEFT JOIN tiers ON tiers.id = p.id LEFT JOIN options ON options.id = p.id"""


def _coupons(_delivered: Collection[str]) -> str:
    return f"""WITH options AS (
        SELECT id, json_group_object(currency, json_object('amount_off', amount_off)) AS docs
        FROM coupons_currency_options GROUP BY id)
    SELECT c.id, c.created, c.deleted, c.duration, c.duration_in_months, c.percent_off, c.amount_off, c.currency,
        c.valid, CAST(json_merge_patch(json_object('id', c.id, 'object', 'coupon',
            'created', {_seconds("c.created")},
            'livemode', getvariable('livemode'), 'duration', c.duration,
            'duration_in_months', c.duration_in_months,
            'percent_off', CAST(c.percent_off AS DOUBLE), 'amount_off', c.amount_off, 'currency', c.currency,
            'valid', c.valid, 'redeem_by', {_seconds("c.redeem_by")}),
            json_object('currency_options', options.docs)) AS VARCHAR) AS billing
    FROM coupons AS c LEFT JOIN options ON options.id = c.id"""


def _customers(_delivered: Collection[str]) -> str:
    discount = _inline_discount("c", customer="c.id", subscription="NULL")
    return f"""SELECT c.id, c.created, c.deleted, c.currency, c.delinquent, c.country, c.shipping_country,
        c.tax_country, c.tax_country_source, NULL AS tax_id_country,
        {_ids("c.preferred_locales")}[1] AS preferred_locale, c.default_payment_method,
        CASE WHEN c.discount_coupon IS NOT NULL THEN CAST({discount} AS VARCHAR) END AS discount,
        CASE WHEN getvariable('salt') IS NOT NULL AND c.email IS NOT NULL
            THEN sha256(concat(getvariable('salt'), lower(c.email))) END AS email_hash
    FROM customers AS c"""


def _subscription_items(_delivered: Collection[str]) -> str:
    return _items_of("subscription_items", "subscriptions")


def _items_of(items: str, subscriptions: str) -> str:
    return f"""SELECT i.id, i.created, i.deleted, i.subscription, i.price,
        coalesce(i.product, p.product) AS product, coalesce(i.currency, p.currency) AS currency, i.quantity,
        coalesce(p.unit_amount, i.unit_amount) AS unit_amount,
        coalesce(p.unit_amount_decimal, CAST(i.unit_amount AS VARCHAR)) AS unit_amount_decimal, p.billing_scheme,
        p.usage_type, coalesce(i.interval, p.interval) AS interval,
        coalesce(i.interval_count, p.interval_count) AS interval_count,
        coalesce(i.period_start, s.period_start) AS current_period_start,
        coalesce(i.period_end, s.period_end) AS current_period_end
    FROM {items} AS i LEFT JOIN ({_PRICES}) AS p ON p.id = i.price
    LEFT JOIN {subscriptions} AS s ON s.id = i.subscription"""


# A price that no table explains is taken from the item's own columns, without a scheme: that is all there is.
_OWN_PRICE_DOC = """json_object('id', i.price, 'object', 'price', 'product', i.product, 'currency', i.currency,
    'unit_amount', i.unit_amount,
    'recurring', json_object('interval', i.interval, 'interval_count', i.interval_count))"""
_ITEM_DOC = _with(
    f"""json_object('id', i.id, 'object', 'subscription_item', 'created', {_seconds("i.created")},
        'subscription', i.subscription, 'quantity', i.quantity,
        'current_period_start', {_seconds("i.current_period_start")},
        'current_period_end', {_seconds("i.current_period_end")})""",
    price=f"CASE WHEN p.id IS NOT NULL THEN p.doc ELSE CAST({_OWN_PRICE_DOC} AS VARCHAR) END",
    discounts="coalesce(item_discounts.docs, '[]')",
)


def _subscriptions(delivered: Collection[str]) -> str:
    inline = _inline_discount("s", customer="s.customer", subscription="s.id")
    whole = _whole("subscription_items", delivered, owner="subscription", of="s.id")
    unexplained = "false" if "discounts" in delivered else f"len({_ids('s.discounts')}) <= 1"
    discounts = f"""CASE WHEN own_discounts.docs IS NOT NULL
            AND NOT (s.discount_coupon IS NOT NULL AND {unexplained}) THEN own_discounts.docs
        WHEN s.discount_coupon IS NOT NULL THEN CAST(json_array({inline}) AS VARCHAR) ELSE '[]' END"""
    listed = _with(f"json_object('object', 'list', 'has_more', NOT {whole})", data="coalesce(items.docs, '[]')")
    doc = f"""json_object('id', s.id, 'object', 'subscription', 'status', s.status,
        'currency', coalesce(s.currency, items.currency), 'customer', s.customer,
        'start_date', {_seconds("s.start_date")}, 'trial_start', {_seconds("s.trial_start")},
        'trial_end', {_seconds("s.trial_end")}, 'cancel_at', {_seconds("s.cancel_at")},
        'cancel_at_period_end', s.cancel_at_period_end, 'canceled_at', {_seconds("s.canceled_at")},
        'ended_at', {_seconds("s.ended_at")}, 'latest_invoice', s.latest_invoice,
        'collection_method', s.collection_method, 'created', {_seconds("s.created")},
        'livemode', getvariable('livemode'),
        'pause_collection', CASE WHEN s.pause_behavior IS NOT NULL
            THEN json_object('behavior', s.pause_behavior, 'resumes_at', {_seconds("s.pause_resumes_at")}) END,
        'billing_mode', CASE WHEN s.billing_mode IS NOT NULL THEN json_object('type', s.billing_mode) END)"""
    return f"""WITH priced AS MATERIALIZED (
        SELECT p.id, CAST({_PRICE_DOC} AS VARCHAR) AS doc FROM ({_PRICES}) AS p),
    those AS (SELECT * FROM subscriptions WHERE {_in_pass("id")}),
    their_items AS (SELECT * FROM subscription_items WHERE {_in_pass("subscription")}),
    items_read AS ({_items_of("their_items", "those")}),
    item_discounts AS ({_discount_lists("their_items")}),
    own_discounts AS ({_discount_lists("those")}),
    items AS (
        SELECT i.subscription, min(i.current_period_start) AS period_start,
            max(i.current_period_end) AS period_end, min(i.currency) AS currency,
            {_list(_ITEM_DOC, order="i.created, i.id")} AS docs
        FROM items_read AS i LEFT JOIN priced AS p ON p.id = i.price
        LEFT JOIN item_discounts ON item_discounts.owner = i.id GROUP BY i.subscription)
    SELECT s.id, s.created, s.deleted, s.customer, s.status, coalesce(s.currency, items.currency) AS currency,
        s.start_date, s.ended_at, s.canceled_at, s.cancel_at, s.cancel_at_period_end, s.cancellation_reason,
        s.cancellation_feedback, s.trial_start, s.trial_end,
        coalesce(items.period_start, s.period_start) AS current_period_start,
        coalesce(items.period_end, s.period_end) AS current_period_end, s.pause_behavior, s.pause_resumes_at,
        s.collection_method, s.default_payment_method, s.latest_invoice, {whole} AS items_complete,
        {_with(doc, items=listed, discounts=discounts)} AS billing
    FROM those AS s LEFT JOIN items ON items.subscription = s.id
    LEFT JOIN own_discounts ON own_discounts.owner = s.id"""


def _invoices(delivered: Collection[str]) -> str:
    whole = _whole("invoice_line_items", delivered, owner="invoice", of="invoices.id")
    return f"""SELECT id, created, deleted, customer,
        coalesce(subscription, CASE WHEN parent_type LIKE 'subscription%' THEN parent END) AS subscription, charge,
        payment_intent, status, currency, subtotal, total, amount_due, amount_paid, amount_remaining,
        billing_reason, collection_method, attempt_count, next_payment_attempt, due_date, period_start, period_end,
        finalized_at, paid_at, voided_at, marked_uncollectible_at, {whole} AS lines_complete FROM invoices"""


def _invoice_lines(delivered: Collection[str]) -> str:
    cuts = "invoice_line_item_discount_amounts" in delivered
    discount = "coalesce(l.total_discount, cuts.amount, 0)" if cuts else "l.total_discount"
    tax = "coalesce(taxes.amount, 0)" if "invoice_line_item_tax_amounts" in delivered else "NULL"
    return f"""WITH cuts AS (SELECT id, sum(amount) AS amount FROM invoice_line_item_discount_amounts GROUP BY id),
    taxes AS (SELECT id, sum(amount) AS amount FROM invoice_line_item_tax_amounts WHERE inclusive GROUP BY id)
    SELECT l.id, v.created, l.deleted, l.invoice, v.customer, l.subscription, l.subscription_item, l.price,
        p.product, l.currency, l.amount, CAST({discount} AS BIGINT) AS discount_amount,
        CAST({tax} AS BIGINT) AS inclusive_tax_amount, l.quantity, l.proration, l.period_start, l.period_end
    FROM invoice_line_items AS l LEFT JOIN invoices AS v ON v.id = l.invoice
    LEFT JOIN (SELECT id, product FROM ({_PRICES})) AS p ON p.id = l.price
    LEFT JOIN cuts ON cuts.id = l.id LEFT JOIN taxes ON taxes.id = l.id"""


def _charges(_delivered: Collection[str]) -> str:
    # An inquiry is not yet a dispute of the charge.
    return """SELECT c.id, c.created, c.deleted, c.customer, c.invoice, c.payment_intent, c.payment_method,
        c.amount,
        coalesce(c.amount_captured, CASE WHEN c.captured AND c.paid THEN c.amount ELSE 0 END) AS amount_captured,
        c.amount_refunded, c.currency, c.status, c.paid, c.captured, c.refunded,
        c.dispute IS NOT NULL AND coalesce(d.status, '') NOT LIKE 'warning%' AS disputed, c.failure_code,
        c.outcome_type, c.outcome_reason, c.advice_code, c.network_advice_code, c.method_type, c.card_brand,
        c.card_funding, c.card_country, c.wallet, c.billing_country
    FROM charges AS c LEFT JOIN disputes AS d ON d.id = c.dispute"""


_PAYMENT_METHODS = (
    "customer, type, card_brand, card_funding, card_country, card_exp_month, card_exp_year, billing_country"
)
_INVOICE_PAYMENTS = """invoice, CASE WHEN payment_type = 'charge' THEN payment END AS charge,
    coalesce(payment_intent, CASE WHEN payment_type = 'payment_intent' THEN payment END) AS payment_intent, status,
    amount_paid, currency, is_default"""
_DISPUTES = """charge, payment_intent, amount, currency, reason, status, network_reason_code, has_evidence,
    submission_count, evidence_due_by"""

_PRICED = ("prices", "plans")

PIPELINE_QUERIES: dict[str, PipelineQuery] = {
    "customers": PipelineQuery("customers", _customers),
    "prices": PipelineQuery(
        "prices", _prices, joins=("plans", "price_tiers", "prices_currency_options"), also=("plans",)
    ),
    "coupons": PipelineQuery("coupons", _coupons, joins=("coupons_currency_options",)),
    # Children before parents: a run that dies in between is repeated, and finds the parents still old.
    "subscription_items": PipelineQuery(
        "subscription_items",
        _subscription_items,
        joins=("subscriptions", *_PRICED),
        parent=("subscriptions", "subscription"),
    ),
    "subscriptions": PipelineQuery(
        "subscriptions", _subscriptions, joins=("subscription_items", "discounts", *_PRICED), pass_rows=100_000
    ),
    "invoice_lines": PipelineQuery(
        "invoice_line_items",
        _invoice_lines,
        joins=("invoices", "invoice_line_item_discount_amounts", "invoice_line_item_tax_amounts", *_PRICED),
        parent=("invoices", "invoice"),
    ),
    "invoices": PipelineQuery("invoices", _invoices),
    "charges": PipelineQuery("charges", _charges, joins=("disputes",)),
    "payment_methods": _plain("payment_methods", _PAYMENT_METHODS),
    "invoice_payments": _plain("invoice_payments", _INVOICE_PAYMENTS),
    "disputes": _plain("disputes", _DISPUTES),
    "refunds": _plain("refunds", "charge, payment_intent, amount, currency, status, reason"),
}
