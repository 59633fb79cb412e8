WITH months AS (
    SELECT unnest(generate_series(DATE '2025-06-01', DATE '2026-04-01', INTERVAL 1 MONTH))::DATE AS month
),
rates AS (
    SELECT month, currency, rate
    FROM months, (VALUES ('usd', 1.0::DOUBLE), ('eur', 1.08531), ('gbp', 1.27113)) AS given(currency, rate)
),
began AS (SELECT customer, min(month) AS began FROM customer_mrr_months WHERE mrr_minor > 0 GROUP BY customer),
ends AS (
    SELECT customer, currency, month, sum(opening) AS opening, sum(closing) AS closing
    FROM (
        SELECT customer, currency, month, 0 AS opening, mrr_minor AS closing FROM customer_mrr_months
        WHERE month > DATE '2025-06-01'
        UNION ALL
        SELECT customer, currency, (month + INTERVAL 1 MONTH)::DATE, mrr_minor, 0 FROM customer_mrr_months
        WHERE month >= DATE '2025-06-01'
    )
    WHERE month <= DATE '2026-04-01'
    GROUP BY ALL
),
changes AS (
    SELECT
        customer, e.month,
        sum(round(opening * old.rate))::BIGINT AS opening,
        sum(round(opening * new.rate))::BIGINT AS revalued,
        sum(round(closing * new.rate))::BIGINT AS closing
    FROM ends AS e
    JOIN rates AS new ON new.currency = e.currency AND new.month = e.month
    JOIN rates AS old ON old.currency = e.currency AND old.month = e.month - INTERVAL 1 MONTH
    GROUP BY customer, e.month
)
SELECT
    customer, month,
    CASE
        WHEN opening <= 0 AND closing > 0 AND began < month THEN 'reactivation'
        WHEN opening <= 0 AND closing > 0 THEN 'new'
        WHEN opening > 0 AND closing <= 0 THEN 'churn'
        WHEN closing > revalued THEN 'expansion'
        WHEN closing < revalued THEN 'contraction'
        ELSE 'fx'
    END AS movement,
    opening AS opening_minor, closing - revalued AS movement_minor, revalued - opening AS fx_minor,
    closing AS closing_minor, 'usd' AS reporting_currency
FROM changes LEFT JOIN began USING (customer)
WHERE closing <> revalued OR revalued <> opening
ORDER BY customer, month
