WITH products AS (
    SELECT invoice, min({'below': -coalesce(amount, 0), 'product': product}).product AS product
    FROM invoice_lines
    WHERE product IS NOT NULL AND invoice IS NOT NULL
    GROUP BY invoice
),
by_intent AS (
    SELECT payment_intent, max(customer) AS customer, max(invoice) AS invoice
    FROM charges
    WHERE payment_intent IN (SELECT payment_intent FROM disputes WHERE charge IS NULL)
    GROUP BY payment_intent
),
found AS (
    SELECT
        coalesce(d.reason, 'unknown') AS reason, coalesce(p.product, 'unknown') AS product,
        date_trunc('month', d.created)::DATE AS month, d.currency, coalesce(d.status, '') AS status,
        coalesce(d.amount, 0) AS amount,
        coalesce(d.has_evidence, false) OR coalesce(d.submission_count, 0) > 0 AS contested,
        coalesce(c.customer, b.customer) AS customer,
        coalesce(d.status, '') NOT IN ('prevented', 'warning_needs_response', 'warning_under_review',
            'warning_closed') AS counts,
        d.reason IN ('product_unacceptable', 'subscription_canceled', 'unrecognized', 'credit_not_processed',
            'product_not_received', 'duplicate') AND coalesce(d.network_reason_code, '') <> '13.4' AS fixable
    FROM disputes AS d
    LEFT JOIN charges AS c ON c.id = d.charge
    LEFT JOIN by_intent AS b ON b.payment_intent = d.payment_intent
    LEFT JOIN products AS p ON p.invoice = coalesce(c.invoice, b.invoice)
    WHERE d.created IS NOT NULL AND d.currency IS NOT NULL
),
counted AS (
    SELECT
        reason, product, month, currency, count(*) FILTER (counts) AS disputes,
        count(*) FILTER (status LIKE 'warning%') AS inquiries, count(*) FILTER (status = 'won') AS won,
        count(*) FILTER (status = 'lost') AS lost, count(*) FILTER (status = 'lost' AND NOT contested) AS uncontested,
        count(*) FILTER (counts AND status NOT IN ('won', 'lost')) AS open,
        count(DISTINCT customer) FILTER (counts) AS customers,
        coalesce(sum(amount) FILTER (counts), 0)::BIGINT AS amount_minor,
        count(*) FILTER (counts AND fixable) AS copy_fixable_disputes
    FROM found
    GROUP BY ALL
),
paid AS (
    SELECT coalesce(p.product, 'unknown') AS product, date_trunc('month', c.created)::DATE AS month, c.currency,
        count(*) AS payments
    FROM charges AS c LEFT JOIN products AS p USING (invoice)
    WHERE paid AND c.created IS NOT NULL
    GROUP BY ALL
),
rated AS (
    SELECT counted.*, coalesce(payments, 0) AS n, least(disputes, n) / n AS share, 1.959963984540054 AS z
    FROM counted LEFT JOIN paid USING (product, month, currency)
)
SELECT
    reason, product, month, currency, disputes, inquiries, won, lost, uncontested, open, customers, amount_minor,
    won / nullif(won + lost, 0) AS win_rate, n AS payments, disputes / nullif(n, 0) AS activity,
    CASE WHEN n > 0 THEN greatest(0, (share + z * z / (2 * n)
        - z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))) / (1 + z * z / n)) END AS activity_low,
    CASE WHEN n > 0 THEN least(1, (share + z * z / (2 * n)
        + z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))) / (1 + z * z / n)) END AS activity_high,
    disputes < 5 AS small_number, copy_fixable_disputes > 0 AS copy_fixable, copy_fixable_disputes,
    TIMESTAMPTZ '2026-05-15 00:00:00+00' AS as_of
FROM rated
ORDER BY reason, product, month, currency
