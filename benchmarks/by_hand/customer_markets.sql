WITH told AS (
    SELECT
        customer,
        arg_max(billing_country, created) FILTER (paid) AS billing,
        arg_max(card_country, created) FILTER (paid) AS card,
        arg_max(currency, created) AS currency
    FROM charges
    WHERE customer IS NOT NULL AND created IS NOT NULL
    GROUP BY customer
),
written AS (
    SELECT
        u.id AS customer, coalesce(u.currency, told.currency) AS currency, u.tax_country_source AS tax_source,
        CASE WHEN tax_country_source IS DISTINCT FROM 'ip_address' THEN tax_country END AS tax_location,
        u.country AS billing_address, told.billing AS charge_billing, m.billing_country AS method_billing,
        u.shipping_country AS shipping, u.tax_id_country AS tax_id, coalesce(told.card, m.card_country) AS card,
        CASE WHEN tax_country_source = 'ip_address' THEN tax_country END AS tax_ip
    FROM customers AS u
    LEFT JOIN told ON told.customer = u.id
    LEFT JOIN payment_methods AS m ON m.id = u.default_payment_method
    WHERE u.id IS NOT NULL
),
evidence AS (
    SELECT
        customer, currency, tax_source, a.country AS tax_location, b.country AS billing_address,
        c.country AS charge_billing, d.country AS method_billing, e.country AS shipping, f.country AS tax_id,
        g.country AS card, h.country AS tax_ip
    FROM written
    LEFT JOIN countries AS a ON a.code = upper(trim(tax_location))
    LEFT JOIN countries AS b ON b.code = upper(trim(billing_address))
    LEFT JOIN countries AS c ON c.code = upper(trim(charge_billing))
    LEFT JOIN countries AS d ON d.code = upper(trim(method_billing))
    LEFT JOIN countries AS e ON e.code = upper(trim(shipping))
    LEFT JOIN countries AS f ON f.code = upper(trim(tax_id))
    LEFT JOIN countries AS g ON g.code = upper(trim(card))
    LEFT JOIN countries AS h ON h.code = upper(trim(tax_ip))
),
placed AS (
    SELECT
        *,
        coalesce(tax_location, billing_address, charge_billing, method_billing, shipping, tax_id, card, tax_ip)
            AS country,
        CASE
            WHEN tax_location IS NOT NULL THEN 'tax_location'
            WHEN billing_address IS NOT NULL THEN 'billing_address'
            WHEN charge_billing IS NOT NULL THEN 'charge_billing'
            WHEN method_billing IS NOT NULL THEN 'method_billing'
            WHEN shipping IS NOT NULL THEN 'shipping'
            WHEN tax_id IS NOT NULL THEN 'tax_id'
            WHEN card IS NOT NULL THEN 'card'
            WHEN tax_ip IS NOT NULL THEN 'tax_ip'
            ELSE 'none'
        END AS source
    FROM evidence
),
agreed AS (
    SELECT
        *,
        coalesce(billing_address = country OR (tax_location = country AND tax_source = 'billing_address'), false)::INT
        + coalesce(charge_billing = country OR method_billing = country
            OR (tax_location = country AND tax_source = 'payment_method'), false)::INT
        + coalesce(shipping = country OR (tax_location = country AND tax_source = 'shipping_destination'), false)::INT
        + coalesce(tax_id = country, false)::INT
        + coalesce(card = country, false)::INT
        + coalesce(tax_ip = country, false)::INT
        + coalesce(tax_location = country AND coalesce(tax_source, '') NOT IN
            ('billing_address', 'payment_method', 'shipping_destination'), false)::INT AS agreement
    FROM placed
)
SELECT
    customer, coalesce(agreed.country, 'unknown') AS country, coalesce(region, 'unknown') AS region,
    coalesce(currency, 'none') AS currency, source, agreement::BIGINT AS agreement,
    CASE
        WHEN agreed.country IS NULL THEN 'none'
        WHEN agreement >= 2 THEN 'high'
        WHEN source IN ('card', 'tax_ip') THEN 'low'
        ELSE 'medium'
    END AS confidence
FROM agreed LEFT JOIN countries ON countries.code = agreed.country
ORDER BY customer
