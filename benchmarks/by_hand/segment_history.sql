WITH worth AS (SELECT customer, tier, coalesce(mrr_minor, 0) AS mrr FROM mrr_tiers),
by_intent AS (
    SELECT payment_intent, max(customer) AS customer
    FROM charges
    WHERE payment_intent IN (SELECT payment_intent FROM disputes WHERE charge IS NULL)
    GROUP BY payment_intent
),
disputers AS (
    SELECT DISTINCT coalesce(c.customer, b.customer) AS customer, coalesce(d.reason, 'unknown') AS segment
    FROM disputes AS d
    LEFT JOIN charges AS c ON c.id = d.charge
    LEFT JOIN by_intent AS b ON b.payment_intent = d.payment_intent
    WHERE coalesce(d.status, '') NOT IN ('prevented', 'warning_needs_response', 'warning_under_review',
        'warning_closed')
        AND d.created > TIMESTAMPTZ '2025-05-15 00:00:00+00' AND coalesce(c.customer, b.customer) IS NOT NULL
),
members AS (
    SELECT 'tier' AS family, customer, tier AS segment FROM worth
    UNION ALL SELECT 'risk', customer, state FROM churn_risk
    UNION ALL SELECT 'market', customer, country FROM customer_markets
    UNION ALL SELECT 'growth', customer, CASE WHEN candidate THEN 'candidate' ELSE 'other' END FROM growth
    UNION ALL SELECT 'dispute', customer, segment FROM disputers
)
SELECT
    DATE '2026-05-15' AS day, family, segment, count(*) AS customers, coalesce(sum(mrr), 0)::BIGINT AS mrr_minor,
    'usd' AS reporting_currency
FROM members LEFT JOIN worth USING (customer)
GROUP BY ALL
ORDER BY day, family, segment
