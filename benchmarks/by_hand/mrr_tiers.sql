-- Exact: a customer's fractions are brought to one denominator, converted by exact rates, rounded half to even.
WITH rates(currency, top, bottom, day) AS (
    VALUES ('usd', 1, 1, NULL::DATE), ('eur', 108531, 100000, DATE '2026-05-14'), ('gbp', 127113, 100000, DATE '2026-05-14')
),
amounts AS (
    SELECT
        customer, currency, mrr <> '0' AS counts, complete AND mrr IS NOT NULL AND mrr_committed IS NOT NULL AS known,
        split_part(mrr, '/', 1)::HUGEINT AS n,
        coalesce(nullif(split_part(mrr, '/', 2), ''), '1')::HUGEINT AS d,
        split_part(mrr_committed, '/', 1)::HUGEINT AS committed_n,
        coalesce(nullif(split_part(mrr_committed, '/', 2), ''), '1')::HUGEINT AS committed_d
    FROM subscription_mrr
    WHERE customer IS NOT NULL
),
by_currency AS (
    SELECT
        customer, currency, bool_and(known) AS known, count(*) FILTER (counts OR NOT known) AS subscriptions,
        bool_or(counts) AS counts, list(n) AS ns, list(d) AS ds, list(committed_n) AS committed_ns,
        list(committed_d) AS committed_ds
    FROM amounts
    GROUP BY customer, currency
),
common AS (
    SELECT
        *,
        CASE WHEN len(ds) = 1 THEN ds[1] ELSE list_reduce(ds, lambda a, b: lcm(a, b)) END AS d,
        CASE WHEN len(ds) = 1 THEN committed_ds[1]
            ELSE list_reduce(committed_ds, lambda a, b: lcm(a, b)) END AS committed_d
    FROM by_currency
),
added AS (
    SELECT
        customer, currency, known, subscriptions, counts, d, committed_d,
        CASE WHEN len(ns) = 1 THEN ns[1]
            ELSE list_sum(list_transform(list_zip(ns, ds), lambda x: x[1] * (d // x[2])))::HUGEINT END AS n,
        CASE WHEN len(ns) = 1 THEN committed_ns[1]
            ELSE list_sum(list_transform(list_zip(committed_ns, committed_ds),
                lambda x: x[1] * (committed_d // x[2])))::HUGEINT END AS committed_n
    FROM common
),
worth AS (
    SELECT
        customer,
        bool_and(known AND (rates.currency IS NOT NULL OR NOT counts)) AS complete,
        sum(subscriptions)::BIGINT AS subscriptions,
        coalesce(string_agg(
            a.currency || ' ' || n // gcd(n, d) || CASE WHEN d = gcd(n, d) THEN '' ELSE '/' || d // gcd(n, d) END,
            '; ' ORDER BY a.currency) FILTER (counts), '') AS amounts,
        min(day) FILTER (counts) AS rate_date,
        list(n * top) AS ns, list(d * bottom) AS ds,
        list(committed_n * top) AS committed_ns, list(committed_d * bottom) AS committed_ds
    FROM added AS a LEFT JOIN rates USING (currency)
    GROUP BY customer
),
totals AS (
    SELECT
        customer, complete, subscriptions, amounts, rate_date,
        CASE WHEN len(ds) = 1 THEN ds[1] ELSE list_reduce(ds, lambda a, b: lcm(a, b)) END AS d,
        CASE WHEN len(ds) = 1 THEN ns[1]
            ELSE list_sum(list_transform(list_zip(ns, ds), lambda x: x[1] * (d // x[2])))::HUGEINT END AS n,
        CASE WHEN len(ds) = 1 THEN committed_ds[1]
            ELSE list_reduce(committed_ds, lambda a, b: lcm(a, b)) END AS committed_d,
        CASE WHEN len(ds) = 1 THEN committed_ns[1]
            ELSE list_sum(list_transform(list_zip(committed_ns, committed_ds),
                lambda x: x[1] * (committed_d // x[2])))::HUGEINT END AS committed_n
    FROM worth
),
rounded AS (
    SELECT
        customer, complete, subscriptions, amounts, rate_date,
        n // d + (2 * (n % d) > d OR (2 * (n % d) = d AND (n // d) % 2 = 1))::INT AS mrr_minor,
        committed_n // committed_d + (
            2 * (committed_n % committed_d) > committed_d
            OR (2 * (committed_n % committed_d) = committed_d AND (committed_n // committed_d) % 2 = 1)
        )::INT AS mrr_committed_minor
    FROM totals
),
people AS (SELECT id AS customer FROM customers WHERE id IS NOT NULL UNION SELECT customer FROM rounded),
found AS (
    SELECT
        customer, coalesce(complete, true) AS complete, coalesce(subscriptions, 0) AS subscriptions,
        CASE WHEN coalesce(complete, true) THEN coalesce(mrr_minor, 0)::BIGINT END AS mrr_minor,
        CASE WHEN coalesce(complete, true) THEN coalesce(mrr_committed_minor, 0)::BIGINT END AS mrr_committed_minor,
        CASE WHEN coalesce(complete, true) THEN coalesce(amounts, '') ELSE '' END AS amounts,
        CASE WHEN coalesce(complete, true) THEN rate_date END AS rate_date
    FROM people LEFT JOIN rounded USING (customer)
)
SELECT
    customer,
    CASE
        WHEN mrr_minor IS NULL THEN 'unknown'
        WHEN mrr_minor <= 0 THEN 'none'
        WHEN mrr_minor >= 1000000 THEN 'enterprise'
        WHEN mrr_minor >= 100000 THEN 'mid_market'
        ELSE 'smb'
    END AS tier,
    mrr_minor, mrr_committed_minor, 'usd' AS reporting_currency, rate_date, subscriptions, complete,
    NULL::VARCHAR AS previous_tier, TIMESTAMPTZ '2026-05-15 00:00:00+00' AS since, 'none' AS movement,
    NULL::BIGINT AS opening_minor, NULL::BIGINT AS movement_minor, NULL::BIGINT AS fx_minor, amounts,
    TIMESTAMPTZ '2026-05-15 00:00:00+00' AS as_of
FROM found
ORDER BY customer
