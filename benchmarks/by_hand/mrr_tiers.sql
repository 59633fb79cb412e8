-- Exact: fractions of one customer are brought to one denominator, converted by exact rates and rounded half to even.
WITH rates(currency, top, bottom, day) AS (
    VALUES ('usd', 1, 1, NULL::DATE), ('eur', 108531, 100000, DATE '2026-05-14'), ('gbp', 127113, 100000, DATE '2026-05-14')
),
amounts AS (
    SELECT
        customer, m.currency, mrr <> '0' AS counts,
        complete AND mrr IS NOT NULL AND mrr_committed IS NOT NULL AND (top IS NOT NULL OR mrr = '0') AS known,
        split_part(mrr, '/', 1)::HUGEINT AS n,
        coalesce(nullif(split_part(mrr, '/', 2), ''), '1')::HUGEINT AS d,
        split_part(mrr_committed, '/', 1)::HUGEINT AS committed_n,
        coalesce(nullif(split_part(mrr_committed, '/', 2), ''), '1')::HUGEINT AS committed_d,
        coalesce(top, 0) AS top, coalesce(bottom, 1) AS bottom, day,
        mrr, count(*) OVER (PARTITION BY customer) AS together
    FROM subscription_mrr AS m LEFT JOIN rates USING (currency)
    WHERE customer IS NOT NULL
),
by_currency AS (
    SELECT
        customer, currency, bool_and(known) AS known, count(*) FILTER (counts OR NOT known) AS subscriptions,
        bool_or(counts) AS counts, any_value(top) AS top, any_value(bottom) AS bottom, min(day) AS day,
        list_reduce(list(d), lambda a, b: lcm(a, b)) AS d,
        list_reduce(list(committed_d), lambda a, b: lcm(a, b)) AS committed_d,
        list({'n': n, 'd': d, 'committed_n': committed_n, 'committed_d': committed_d}) AS parts
    FROM amounts
    WHERE together > 1
    GROUP BY customer, currency
),
added AS (
    SELECT
        *, list_sum(list_transform(parts, lambda x: x.n * (d // x.d)))::HUGEINT AS n,
        list_sum(list_transform(parts, lambda x: x.committed_n * (committed_d // x.committed_d)))::HUGEINT
            AS committed_n
    FROM by_currency
),
converted AS (
    SELECT
        customer, bool_and(known) AS complete, sum(subscriptions)::BIGINT AS subscriptions,
        coalesce(string_agg(currency || ' ' || n // gcd(n, d)
            || CASE WHEN d = gcd(n, d) THEN '' ELSE '/' || d // gcd(n, d) END, '; ' ORDER BY currency)
            FILTER (counts), '') AS amounts,
        min(day) FILTER (counts) AS rate_date,
        list_reduce(list(d * bottom), lambda a, b: lcm(a, b)) AS d,
        list_reduce(list(committed_d * bottom), lambda a, b: lcm(a, b)) AS committed_d,
        list({'n': n * top, 'd': d * bottom, 'committed_n': committed_n * top, 'committed_d': committed_d * bottom})
            AS parts
    FROM added
    GROUP BY customer
),
totals AS (
    SELECT
        customer, known AS complete, (counts OR NOT known)::BIGINT AS subscriptions,
        CASE WHEN counts THEN currency || ' ' || mrr ELSE '' END AS amounts,
        CASE WHEN counts THEN day END AS rate_date, n * top AS n, d * bottom AS d, committed_n * top AS committed_n,
        committed_d * bottom AS committed_d
    FROM amounts
    WHERE together = 1
    UNION ALL
    SELECT
        customer, complete, subscriptions, amounts, rate_date,
        list_sum(list_transform(parts, lambda x: x.n * (d // x.d)))::HUGEINT, d,
        list_sum(list_transform(parts, lambda x: x.committed_n * (committed_d // x.committed_d)))::HUGEINT, committed_d
    FROM converted
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
