WITH uncounted AS (
    SELECT price FROM subscription_items WHERE usage_type = 'metered' AND price IS NOT NULL
    UNION
    SELECT id FROM prices WHERE type = 'one_time' OR (billing LIKE '%metered%'
        AND json_extract_string(billing, '$.recurring.usage_type') = 'metered')
),
lines AS (
    SELECT
        coalesce(i.customer, l.customer) AS customer,
        l.currency,
        coalesce(amount, 0) AS amount,
        coalesce(amount, 0) - coalesce(discount_amount, 0) AS billed,
        coalesce(inclusive_tax_amount, 0) AS tax,
        year(period_start) * 12 + month(period_start) - 1 AS first,
        least(period_end, s.ended_at, min(period_start) OVER (
            PARTITION BY coalesce(subscription_item, l.id) ORDER BY period_start
            RANGE BETWEEN INTERVAL 1 SECOND FOLLOWING AND UNBOUNDED FOLLOWING
        )) AS finish,
        year(finish) * 12 + month(finish) - 1 AS until,
        greatest(1, (epoch_us(period_end) - epoch_us(period_start) + 43200000000) // 86400000000) AS days
    FROM invoice_lines AS l
    JOIN invoices AS i ON l.invoice = i.id
    LEFT JOIN subscriptions AS s ON s.id = l.subscription
    WHERE i.status IN ('paid', 'open') AND l.subscription IS NOT NULL AND proration IS NOT TRUE
        AND l.currency IS NOT NULL AND period_end > period_start
        AND (l.price IS NULL OR l.price NOT IN (SELECT price FROM uncounted))
),
valued AS (
    SELECT
        customer, currency, first, until,
        billed - tax AS net,
        CASE WHEN tax = 0 OR billed = 0 THEN amount ELSE amount * (billed - tax) // billed END AS list,
        CASE WHEN days >= 28 THEN 1 WHEN days % 7 = 0 THEN 364 ELSE 365 END AS top,
        CASE WHEN days >= 28 THEN (days * 12 + 182) // 365 ELSE days * 12 END AS bottom
    FROM lines
    WHERE customer IS NOT NULL AND until - first BETWEEN 1 AND 60
),
monthly AS (
    SELECT
        customer, currency, first, until,
        (2 * net * top + bottom) // (2 * bottom) AS mrr,
        (2 * list * top + bottom) // (2 * bottom) AS list
    FROM valued
),
spread AS (
    SELECT customer, currency, mrr, list, unnest(range(first, until)) AS month FROM monthly WHERE list <> 0
)
SELECT
    customer,
    make_date((month // 12)::BIGINT, (month % 12 + 1)::BIGINT, 1) AS month,
    currency,
    sum(mrr)::BIGINT AS mrr_minor,
    sum(list)::BIGINT AS mrr_list_minor
FROM spread
WHERE month <= 2026 * 12 + 3
GROUP BY ALL
ORDER BY customer, month, currency
