WITH placed AS (
    SELECT
        c.id, c.customer, c.currency, coalesce(p.country, b.country, k.country, 'unknown') AS country,
        coalesce(c.paid, false) AS paid, c.status, coalesce(method_type, 'unknown') AS method,
        coalesce(card_brand, 'unknown') AS brand, coalesce(invoice, payment_intent, c.id) AS payment,
        coalesce(amount_captured, amount, 0) - coalesce(amount_refunded, 0) AS kept
    FROM charges AS c
    LEFT JOIN customer_markets AS p ON p.customer = c.customer
    LEFT JOIN countries AS b ON b.code = upper(trim(c.billing_country))
    LEFT JOIN countries AS k ON k.code = upper(trim(c.card_country))
    WHERE created > TIMESTAMPTZ '2025-05-15 00:00:00+00' AND created <= TIMESTAMPTZ '2026-05-15 00:00:00+00'
        AND c.currency IS NOT NULL
),
attempts AS (
    SELECT country, currency, count(*) AS attempted, sum(ok) AS succeeded
    FROM (
        SELECT country, currency, payment, max(paid::INT) AS ok FROM placed
        WHERE status IS DISTINCT FROM 'pending'
        GROUP BY ALL
    )
    GROUP BY ALL
),
disputed AS (
    SELECT DISTINCT charge FROM disputes
    WHERE charge IS NOT NULL AND coalesce(status, '') NOT IN ('prevented', 'warning_needs_response',
        'warning_under_review', 'warning_closed')
),
by_way AS (
    SELECT
        country, currency, customer, method, brand, count(*) AS charges, sum(kept)::BIGINT AS kept,
        count(d.charge) AS disputed
    FROM placed LEFT JOIN disputed AS d ON d.charge = placed.id
    WHERE paid
    GROUP BY ALL
),
by_customer AS (
    SELECT
        country, currency, customer, sum(charges)::BIGINT AS charges, sum(kept)::BIGINT AS kept,
        sum(disputed)::BIGINT AS disputed
    FROM by_way
    GROUP BY ALL
),
sums AS (
    SELECT
        country, currency, sum(charges)::BIGINT AS paid_charges, sum(kept)::BIGINT AS paid_minor,
        sum(disputed)::BIGINT AS disputed_charges, count(customer) AS paying_customers,
        max(kept, 2)[1] AS largest_paid_minor, max(kept, 2)[2] AS second_paid_minor
    FROM by_customer
    GROUP BY ALL
),
methods AS (
    SELECT country, currency, '{' || string_agg('"' || method || '": ' || round(charges / total, 4)::VARCHAR, ', '
        ORDER BY charges DESC, method) || '}' AS method_mix
    FROM (
        SELECT country, currency, method, sum(charges) AS charges,
            sum(sum(charges)) OVER (PARTITION BY country, currency) AS total
        FROM by_way
        GROUP BY country, currency, method
    )
    GROUP BY ALL
),
brands AS (
    SELECT country, currency, '{' || string_agg('"' || brand || '": ' || round(charges / total, 4)::VARCHAR, ', '
        ORDER BY charges DESC, brand) || '}' AS card_mix
    FROM (
        SELECT country, currency, brand, sum(charges) AS charges,
            sum(sum(charges)) OVER (PARTITION BY country, currency) AS total
        FROM by_way
        WHERE method = 'card'
        GROUP BY country, currency, brand
    )
    GROUP BY ALL
),
people AS (
    SELECT country, currency, count(*) AS customers, count(*) FILTER (confidence = 'high') AS sure,
        count(*) FILTER (confidence = 'low') AS unsure
    FROM customer_markets
    GROUP BY ALL
),
rates(currency, rate) AS (VALUES ('usd', 1.0::DOUBLE), ('eur', 1.08531), ('gbp', 1.27113)),
regions AS (SELECT DISTINCT country, region FROM countries)
SELECT
    country, coalesce(region, 'unknown') AS region, currency, coalesce(customers, 0) AS customers,
    coalesce(paying_customers, 0) AS paying_customers, coalesce(paid_charges, 0) AS paid_charges,
    coalesce(paid_minor, 0) AS paid_minor,
    CASE WHEN coalesce(paid_minor, 0) = 0 THEN 0 ELSE round_even(paid_minor * rate, 0)::BIGINT END
        AS paid_reporting_minor,
    'usd' AS reporting_currency, coalesce(attempted, 0) AS attempted,
    coalesce(succeeded, 0)::BIGINT AS succeeded, succeeded / attempted AS success_rate,
    disputed_charges / paid_charges AS dispute_rate, method_mix, card_mix, largest_paid_minor, second_paid_minor,
    sure / customers AS high_confidence_share, unsure / customers AS low_confidence_share,
    TIMESTAMPTZ '2026-05-15 00:00:00+00' AS as_of
FROM people
FULL JOIN attempts USING (country, currency)
FULL JOIN sums USING (country, currency)
LEFT JOIN methods USING (country, currency)
LEFT JOIN brands USING (country, currency)
LEFT JOIN rates USING (currency)
LEFT JOIN regions USING (country)
ORDER BY country, currency
