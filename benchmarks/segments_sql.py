"""The questions of the segments as a skilled hand would write them in DuckDB SQL over the same files, for
comparison.

Here: one query for each segment table, with the same rules for figures and states. Left out, in favour of SQL: the
readable sentences, exact fractions (here floating point), the regions, the interval of a slope. Not here: anything
the product uses.
"""

from typing import Final

__all__ = ["QUERIES"]

_MONTHS: Final = "(year({0}) * 12 + month({0}) - 1)"
_LIVE: Final = "status IN ('active', 'trialing', 'past_due', 'paused')"

QUERIES: Final = {
    "mrr_tiers": """
        WITH rates(currency, rate) AS (VALUES ('usd', 1.0), ('eur', 1.08531), ('gbp', 1.27113)), worth AS (
        SELECT customer, sum(rate * CASE WHEN contains(mrr, '/') THEN split_part(mrr, '/', 1)::DOUBLE /
        split_part(mrr, '/', 2)::DOUBLE ELSE mrr::DOUBLE END) AS mrr, bool_and(complete) AS complete, count(*)
        FILTER (mrr <> '0') AS subscriptions FROM subscription_mrr JOIN rates USING (currency) GROUP BY
        customer) SELECT id, round_even(coalesce(mrr, 0), 0)::BIGINT AS mrr_minor, complete, subscriptions, CASE
        WHEN coalesce(mrr, 0) <= 0 THEN 'none' WHEN mrr >= 1000000 THEN 'enterprise' WHEN mrr >= 100000 THEN
        'mid_market' ELSE 'smb' END AS tier FROM customers LEFT JOIN worth ON worth.customer = customers.id
        ORDER BY id """,
    "customer_mrr_months": f""" WITH lines AS ( SELECT coalesce(i.customer, l.customer) AS
        customer, l.currency, amount, amount - coalesce(discount_amount, 0) - coalesce(inclusive_tax_amount, 0)
        AS net, {_MONTHS.format("period_start")} AS first, {_MONTHS.format("period_end")} AS until, greatest(1,
        (epoch(period_end) - epoch(period_start)) / 86400)::BIGINT AS days FROM invoice_lines l JOIN invoices i
        ON l.invoice = i.id WHERE i.status IN ('paid', 'open') AND subscription_item IS NOT NULL AND NOT
        proration AND period_end > period_start AND l.price NOT IN (SELECT price FROM subscription_items WHERE
        usage_type = 'metered' AND price IS NOT NULL)), valued AS ( SELECT *, CASE WHEN days >= 28 THEN 1 /
        round(days * 12 / 365.0) WHEN days % 7 = 0 THEN 364 / (days * 12.0) ELSE 365 / (days * 12.0) END AS
        factor FROM lines), spread AS ( SELECT customer, currency, unnest(range(first, until)) AS month,
        round(net * factor)::BIGINT AS mrr, round(amount * factor)::BIGINT AS list FROM valued WHERE until -
        first BETWEEN 1 AND 60) SELECT customer, month, currency, sum(mrr)::BIGINT AS mrr_minor,
        sum(list)::BIGINT AS mrr_list_minor FROM spread WHERE month <= 2026 * 12 + 3 GROUP BY ALL ORDER BY
        customer, month, currency """,
    "mrr_movements": """ WITH rates(currency, rate) AS (VALUES ('usd', 1.0),
        ('eur', 1.08531), ('gbp', 1.27113)), worth AS ( SELECT customer, month, sum(round(mrr_minor * rate)) AS
        mrr FROM customer_mrr_months JOIN rates USING (currency) GROUP BY ALL), began AS (SELECT customer,
        min(month) AS began FROM customer_mrr_months GROUP BY customer), both_ends AS ( SELECT customer, month,
        sum(opening) AS opening, sum(closing) AS closing FROM ( SELECT customer, month, 0 AS opening, mrr AS
        closing FROM worth UNION ALL SELECT customer, (month + INTERVAL 1 MONTH)::DATE, mrr, 0 FROM worth) WHERE
        month BETWEEN DATE '2025-07-01' AND DATE '2026-04-01' GROUP BY ALL) SELECT customer, month, opening,
        closing, closing - opening AS movement, CASE WHEN opening = 0 AND began < month THEN 'reactivation' WHEN
        opening = 0 THEN 'new' WHEN closing = 0 THEN 'churn' WHEN closing > opening THEN 'expansion' ELSE
        'contraction' END AS kind FROM both_ends JOIN began USING (customer) WHERE closing <> opening ORDER BY
        customer, month """,
    "churn_risk": f""" WITH now AS (SELECT TIMESTAMPTZ '2026-05-15 00:00:00+00' AS t),
        people AS ( SELECT customer, count(*) FILTER ({_LIVE}) AS live, count(*) FILTER (status = 'past_due') AS
        past_due, count(*) FILTER (status IN ('canceled', 'unpaid')) AS ended, count(*) FILTER ({_LIVE} AND
        (cancel_at_period_end OR cancel_at > t)) AS scheduled, min(coalesce(start_date, created)) AS
        first_start, min(current_period_end) FILTER ({_LIVE}) AS next_renewal, max(epoch(current_period_end) -
        epoch(current_period_start)) FILTER ({_LIVE}) AS cycle, arg_max(cancellation_reason, coalesce(ended_at,
        created)) FILTER (status = 'canceled') AS reason FROM subscriptions, now GROUP BY customer), failed AS (
        SELECT customer, count(*) FILTER (created > t - INTERVAL 30 DAY) AS recent, count(*) AS in_window FROM
        (SELECT customer, coalesce(invoice, payment_intent, id) AS payment, max(created) AS created FROM
        charges, now WHERE status = 'failed' AND created > t - INTERVAL 90 DAY AND created <= t GROUP BY ALL),
        now GROUP BY customer), paid AS ( SELECT customer, max(created) AS last_paid, arg_max(payment_method,
        created) AS method FROM charges, now WHERE paid AND amount > 0 AND created <= t GROUP BY customer), owed
        AS ( SELECT customer, count(*) FILTER (status = 'open' AND attempt_count > 0) AS dunning, count(*)
        FILTER (status = 'uncollectible' AND marked_uncollectible_at > t - INTERVAL 90 DAY) AS given_up FROM
        invoices, now WHERE status IN ('open', 'uncollectible') GROUP BY customer), disputed AS ( SELECT
        c.customer, count(*) AS disputes FROM disputes d JOIN charges c ON d.charge = c.id WHERE d.status IN
        ('needs_response', 'under_review') GROUP BY ALL), expiring AS ( SELECT s.customer, count(*) AS cards
        FROM subscriptions s, now LEFT JOIN customers u ON u.id = s.customer LEFT JOIN paid p ON p.customer =
        s.customer JOIN payment_methods m ON m.id = coalesce(s.default_payment_method, u.default_payment_method,
        p.method) WHERE s.{_LIVE} AND s.current_period_end > t AND s.current_period_end <= t + INTERVAL 60 DAY
        AND {_MONTHS.format("s.current_period_end")} > m.card_exp_year * 12 + m.card_exp_month - 1 AND
        {_MONTHS.format("p.last_paid")} <= m.card_exp_year * 12 + m.card_exp_month - 1 GROUP BY ALL), months AS
        ( SELECT customer, bool_or(now_list > 0 AND now_list < before_list) AS downgrade, bool_or(now_list > 0
        AND now_mrr < 0.9 * quarter) AS contraction, bool_or(now_list > 0 AND quarter > 0 AND now_mrr > 1.1 *
        quarter) AS expansion FROM ( SELECT customer, currency, coalesce(sum(mrr_list_minor) FILTER (month =
        DATE '2026-04-01'), 0) AS now_list, coalesce(sum(mrr_list_minor) FILTER (month = DATE '2026-03-01'), 0)
        AS before_list, coalesce(sum(mrr_minor) FILTER (month = DATE '2026-04-01'), 0) AS now_mrr,
        coalesce(sum(mrr_minor) FILTER (month = DATE '2026-01-01'), 0) AS quarter FROM customer_mrr_months WHERE
        month >= DATE '2026-01-01' GROUP BY ALL) GROUP BY customer) SELECT customer, CASE WHEN live = 0 AND
        ended > 0 THEN 'canceled' WHEN past_due > 0 THEN 'past_due' WHEN scheduled > 0 THEN 'scheduled_cancel'
        WHEN cards > 0 OR disputes > 0 OR given_up > 0 OR dunning > 0 THEN 'at_risk' ELSE 'healthy' END AS
        state, least(100, greatest(0, 10 * (past_due > 0)::INT + CASE WHEN recent >= 3 THEN 12 WHEN recent > 0
        THEN 6 ELSE 0 END + 5 * (coalesce(dunning, 0) > 0)::INT + 10 * coalesce(downgrade, false)::INT + 10 *
        coalesce(contraction, false)::INT - 8 * coalesce(expansion, false)::INT + 10 * (coalesce(cards, 0) >
        0)::INT)) AS score, reason, next_renewal, mrr_minor, concat_ws('; ', CASE WHEN past_due > 0 THEN
        'past_due' END, CASE WHEN recent > 0 THEN 'failed_payment' END, CASE WHEN dunning > 0 THEN 'dunning'
        END, CASE WHEN cards > 0 THEN 'card_expiring' END, CASE WHEN disputes > 0 THEN 'open_dispute' END, CASE
        WHEN downgrade THEN 'downgrade' END, CASE WHEN contraction THEN 'contraction' END) AS signals FROM
        people LEFT JOIN failed USING (customer) LEFT JOIN paid USING (customer) LEFT JOIN owed USING (customer)
        LEFT JOIN disputed USING (customer) LEFT JOIN expiring USING (customer) LEFT JOIN months USING
        (customer) LEFT JOIN mrr_tiers USING (customer) ORDER BY customer """,
    "customer_markets": """ WITH told
        AS ( SELECT customer, arg_max(billing_country, created) FILTER (paid) AS billing, arg_max(card_country,
        created) FILTER (paid) AS card, arg_max(currency, created) AS currency FROM charges GROUP BY customer)
        SELECT u.id, coalesce(upper(u.country), upper(billing), upper(m.billing_country), u.shipping_country,
        u.tax_id_country, upper(card), upper(m.card_country), u.tax_country, 'unknown') AS country,
        coalesce(u.currency, told.currency, 'none') AS currency, (upper(u.country) = upper(billing))::INT +
        (upper(u.country) = upper(card))::INT AS agreement FROM customers u LEFT JOIN told ON told.customer =
        u.id LEFT JOIN payment_methods m ON m.id = u.default_payment_method ORDER BY u.id """,
    "markets": """
        WITH placed AS ( SELECT c.*, coalesce(p.country, upper(c.billing_country), upper(c.card_country),
        'unknown') AS place FROM charges c LEFT JOIN customer_markets p USING (customer) WHERE created >
        TIMESTAMPTZ '2025-05-15 00:00:00+00' AND created <= TIMESTAMPTZ '2026-05-15 00:00:00+00'), attempts AS (
        SELECT place, currency, count(*) AS attempted, sum(ok) AS succeeded FROM ( SELECT place, currency,
        coalesce(invoice, payment_intent, id) AS payment, max(paid::INT) AS ok FROM placed WHERE status <>
        'pending' GROUP BY ALL) GROUP BY ALL), disputed AS (SELECT DISTINCT charge FROM disputes WHERE status
        NOT LIKE 'warning%' AND status <> 'prevented'), by_customer AS ( SELECT place, currency, customer,
        count(*) AS charges, count(d.charge) AS disputed, sum(coalesce(amount_captured, amount) -
        coalesce(amount_refunded, 0)) AS kept FROM placed LEFT JOIN disputed d ON d.charge = placed.id WHERE
        paid GROUP BY ALL), sums AS ( SELECT place, currency, sum(charges) AS charges, sum(kept) AS kept,
        sum(disputed) AS disputed, count(customer) AS paying, max(kept) AS largest, list(kept ORDER BY kept
        DESC)[2] AS second FROM by_customer GROUP BY ALL), methods AS ( SELECT place, currency,
        histogram(method_type) AS methods, histogram(card_brand) AS brands FROM placed WHERE paid GROUP BY ALL)
        SELECT * FROM attempts LEFT JOIN sums USING (place, currency) LEFT JOIN methods USING (place, currency)
        ORDER BY place, currency """,
    "disputes_by_reason": """ WITH products AS ( SELECT invoice,
        arg_max(product, amount) AS product FROM invoice_lines WHERE product IS NOT NULL GROUP BY invoice),
        found AS ( SELECT d.reason, coalesce(p.product, 'unknown') AS product, date_trunc('month',
        d.created)::DATE AS month, d.currency, d.status, d.amount, d.has_evidence, c.customer FROM disputes d
        LEFT JOIN charges c ON c.id = d.charge LEFT JOIN products p ON p.invoice = c.invoice), counted AS (
        SELECT reason, product, month, currency, count(*) FILTER (status NOT LIKE 'warning%') AS disputes,
        count(*) FILTER (status LIKE 'warning%') AS inquiries, count(*) FILTER (status = 'won') AS won, count(*)
        FILTER (status = 'lost') AS lost, sum(amount) AS amount, count(DISTINCT customer) AS customers FROM
        found GROUP BY ALL), payments AS ( SELECT coalesce(p.product, 'unknown') AS product, date_trunc('month',
        c.created)::DATE AS month, c.currency, count(*) AS payments FROM charges c LEFT JOIN products p USING
        (invoice) WHERE paid GROUP BY ALL) SELECT *, disputes / payments AS activity, won / nullif(won + lost,
        0) AS win_rate FROM counted LEFT JOIN payments USING (product, month, currency) ORDER BY reason,
        product, month, currency """,
}
"""By segment table. Views of the raw tables and of the segment tables before it must exist under their names."""
