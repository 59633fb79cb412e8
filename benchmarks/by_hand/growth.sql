WITH t AS (SELECT TIMESTAMPTZ '2026-05-15 00:00:00+00' AS now, 2026 * 12 + 3 AS last),
standing AS (
    SELECT
        customer,
        max((status = 'active' AND NOT ended AND NOT paused AND NOT coalesce(trial_end > now, false))::INT) AS active,
        max((status IN ('active', 'past_due', 'trialing', 'unpaid', 'paused') AND NOT ended AND leaving)::INT)
            AS leaving,
        min(coalesce(start_date, created)) AS since
    FROM (
        SELECT
            *, coalesce(ended_at <= now, false) OR coalesce(cancel_at <= now, false) AS ended,
            pause_behavior IS NOT NULL AND NOT coalesce(pause_resumes_at <= now, false) AS paused,
            coalesce(cancel_at_period_end, false) OR (cancel_at IS NOT NULL AND (
                canceled_at IS NOT NULL OR cancellation_reason IS NOT NULL
                OR coalesce(cancel_at <= current_period_end, false) OR cancel_at <= now + INTERVAL 30 DAY
            )) AS leaving
        FROM subscriptions, t
        WHERE customer IS NOT NULL AND coalesce(status, '') NOT IN ('incomplete', 'incomplete_expired')
    )
    GROUP BY customer
),
bought AS (
    SELECT
        customer, currency, product, min(annual_at) AS first, max(annual_at) AS last, bool_or(shorter) AS shorter,
        bool_or(recent) AS recent, sum(CASE WHEN recent THEN net ELSE 0 END) AS net
    FROM (
        SELECT
            coalesce(i.customer, l.customer) AS customer, l.currency, l.product,
            CASE WHEN l.subscription IS NOT NULL AND proration IS NOT TRUE
                AND epoch(period_end) - epoch(period_start) >= 360 * 86400 THEN l.created END AS annual_at,
            l.subscription IS NOT NULL AND proration IS NOT TRUE
                AND coalesce(epoch(period_end) - epoch(period_start) > 0, false)
                AND NOT epoch(period_end) - epoch(period_start) >= 360 * 86400
                AND coalesce(epoch(l.created) > epoch(now) - 24 * (365 * 86400 // 12), false) AS shorter,
            coalesce(epoch(l.created) > epoch(now) - 24 * (365 * 86400 // 12), false) AS recent,
            coalesce(amount, 0) - coalesce(discount_amount, 0) - coalesce(inclusive_tax_amount, 0) AS net
        FROM invoice_lines AS l JOIN invoices AS i ON i.id = l.invoice, t
        WHERE i.status = 'paid'
    )
    WHERE customer IS NOT NULL
    GROUP BY ALL
),
plans AS (
    SELECT customer, bool_or(shorter) AS shorter, epoch(max(last)) - epoch(min(first)) AS annual_span
    FROM bought
    GROUP BY customer
    HAVING min(first) IS NOT NULL
),
products AS (
    SELECT customer, currency, min({'below': -net, 'product': product}).product AS product
    FROM bought
    WHERE recent AND product IS NOT NULL AND currency IS NOT NULL
    GROUP BY ALL
),
observed AS (
    SELECT
        m.customer, m.currency, year(month) * 12 + month(month) - 1 AS step_at, mrr_minor AS mrr, mrr_list_minor AS list,
        p.customer IS NOT NULL AS annual
    FROM customer_mrr_months AS m CROSS JOIN t
    LEFT JOIN plans AS p ON p.customer = m.customer AND NOT p.shorter
    WHERE mrr_minor > 0 AND mrr_list_minor > 0 AND year(month) * 12 + month(month) - 1 <= last
        AND year(month) * 12 + month(month) - 1 > last - CASE WHEN p.customer IS NOT NULL THEN 60 ELSE 24 END
),
series AS (
    SELECT
        customer, currency, annual, count(*) AS months, max(step_at) AS last_month, min(mrr) AS lowest, max(mrr) AS highest,
        min(mrr) <> max(mrr) OR min(list) <> max(list) OR annual AS moved,
        count(*) OVER (PARTITION BY customer) > 1 AS several
    FROM observed
    GROUP BY customer, currency, annual
    QUALIFY row_number() OVER (PARTITION BY customer ORDER BY max(step_at) DESC, max(mrr) DESC, currency) = 1
),
points AS (
    SELECT s.customer, o.step_at - s.last_month AS step_at, mrr, list, s.annual
    FROM observed AS o JOIN series AS s USING (customer, currency)
    WHERE s.moved AND (NOT s.annual OR (s.last_month - o.step_at) % 12 = 0)
),
stepped AS (
    SELECT
        *, mrr > lag(mrr) OVER w AND list > lag(list) OVER w AS step
    FROM points
    WINDOW w AS (PARTITION BY customer ORDER BY step_at)
),
shape AS (
    SELECT
        customer, count(*) AS points, arg_min(mrr, step_at) AS first_mrr, arg_max(mrr, step_at) AS last_mrr,
        least(arg_max(mrr, step_at) - arg_min(mrr, step_at), arg_max(list, step_at) - arg_min(list, step_at)) AS gain,
        least((arg_max(mrr, step_at) - arg_min(mrr, step_at)) / arg_min(mrr, step_at),
            (arg_max(list, step_at) - arg_min(list, step_at)) / arg_min(list, step_at)) AS expansion,
        count(*) FILTER (step) AS expansions
    FROM stepped
    GROUP BY customer
),
wanted AS (
    SELECT s.customer, shape.points AS n
    FROM shape JOIN series AS s USING (customer) JOIN standing USING (customer)
    WHERE active > 0 AND shape.points > 1 AND shape.points >= CASE WHEN s.annual THEN 3 ELSE 6 END
),
measured AS (
    SELECT customer, n, step_at, 'mrr' AS of, mrr AS value FROM points JOIN wanted USING (customer)
    UNION ALL
    SELECT customer, n, step_at, 'list', list FROM points JOIN wanted USING (customer)
),
ties AS (
    SELECT customer, of, sum(k * (k - 1) * (2 * k + 5)) AS ties
    FROM (SELECT customer, of, value, count(*) AS k FROM measured GROUP BY ALL)
    GROUP BY ALL
),
slopes AS (
    SELECT a.customer, a.of, a.n, list_sort(list((ln(b.value) - ln(a.value)) / (b.step_at - a.step_at))) AS found
    FROM measured AS a JOIN measured AS b ON a.customer = b.customer AND a.of = b.of AND a.step_at < b.step_at
    GROUP BY ALL
),
bounds AS (
    SELECT
        customer, of, found, len(found) AS pairs,
        1.959963984540054 * sqrt((n * (n - 1) * (2 * n + 5) - ties) / 18) AS spread
    FROM slopes JOIN ties USING (customer, of)
),
fitted AS (
    SELECT
        customer, of,
        (found[(pairs - 1) // 2 + 1] + found[pairs // 2 + 1]) / 2 AS slope,
        found[greatest(round_even((pairs - spread) / 2, 0)::BIGINT - 1, 0) + 1] AS low,
        found[least(round_even((pairs + spread) / 2, 0)::BIGINT, pairs - 1) + 1] AS high
    FROM bounds
),
weaker AS (
    SELECT customer, min({'low': low, 'slope': slope, 'high': high}) AS fit FROM fitted GROUP BY customer
),
failed AS (SELECT DISTINCT invoice FROM charges WHERE status = 'failed' AND invoice IS NOT NULL),
payments AS (
    SELECT customer, count(*) AS judged, count(*) FILTER (badly AND place <= 6) AS badly
    FROM (
        SELECT
            i.customer,
            i.status <> 'paid' OR coalesce(attempt_count, 0) > 1 OR f.invoice IS NOT NULL
                OR NOT (due_date IS NULL OR coalesce(paid_at <= due_date, false)) AS badly,
            rank() OVER (PARTITION BY i.customer ORDER BY i.created DESC) AS place
        FROM invoices AS i LEFT JOIN failed AS f ON f.invoice = i.id, t
        WHERE i.customer IS NOT NULL AND i.created <= now AND total > 0 AND (
            i.status IN ('paid', 'uncollectible') OR (i.status = 'open' AND CASE
                WHEN collection_method = 'send_invoice' THEN coalesce(due_date <= now, false)
                ELSE coalesce(attempt_count, 0) > 0
            END)
        )
    )
    GROUP BY customer
),
by_intent AS (
    SELECT payment_intent, max(customer) AS customer
    FROM charges
    WHERE payment_intent IN (
        SELECT payment_intent FROM disputes WHERE charge IS NULL
        UNION SELECT payment_intent FROM refunds WHERE charge IS NULL
    )
    GROUP BY payment_intent
),
marks AS (
    SELECT charge, payment_intent, currency, 1 AS disputes, 0 AS refunded FROM disputes
    WHERE coalesce(status, '') NOT IN ('prevented', 'warning_needs_response', 'warning_under_review',
        'warning_closed')
    UNION ALL
    SELECT charge, payment_intent, currency, 0, coalesce(amount, 0) FROM refunds, t
    WHERE coalesce(status, '') NOT IN ('failed', 'canceled') AND created > now - INTERVAL 365 DAY AND created <= now
),
complaints AS (
    SELECT
        customer, sum(disputes) AS disputes,
        max((greatest(refunded, own) > 0 AND greatest(refunded, own) / CASE WHEN paid > 0 THEN paid ELSE 1 END > 0.2)
            ::INT) AS refunded_much
    FROM (
        SELECT customer, currency, sum(disputes) AS disputes, sum(refunded) AS refunded, sum(paid) AS paid,
            sum(own) AS own
        FROM (
            SELECT coalesce(c.customer, b.customer) AS customer, m.currency, disputes, refunded, 0 AS paid, 0 AS own
            FROM marks AS m
            LEFT JOIN charges AS c ON c.id = m.charge
            LEFT JOIN by_intent AS b ON b.payment_intent = m.payment_intent
            UNION ALL
            SELECT customer, currency, 0, 0, coalesce(amount_captured, amount, 0), coalesce(amount_refunded, 0)
            FROM charges, t
            WHERE paid AND created > now - INTERVAL 365 DAY AND created <= now
        )
        WHERE customer IS NOT NULL
        GROUP BY customer, currency
    )
    GROUP BY customer
),
joined AS (
    SELECT
        u.id AS customer, coalesce(months, 0) AS months, s.currency, products.product, s.customer IS NOT NULL AS seen,
        coalesce(active, 0) AS active, fit,
        coalesce(shape.points, months, 0) AS points, coalesce(expansions, 0) AS expansions,
        CASE WHEN s.customer IS NOT NULL THEN coalesce(shape.expansion, 0) END AS expansion,
        coalesce(first_mrr, lowest) AS first_mrr, coalesce(last_mrr, lowest) AS last_mrr, coalesce(gain, 0) AS gain,
        [
            coalesce(active, 0) > 0,
            coalesce(since, now) <= now - INTERVAL 365 DAY OR coalesce(annual_span >= 300 * 86400, false),
            coalesce(judged, 0) > 0 AND coalesce(badly, 0) = 0,
            coalesce(disputes, 0) = 0,
            coalesce(refunded_much, 0) = 0,
            coalesce(standing.leaving, 0) = 0,
            coalesce(shape.points, months, 0) >= CASE WHEN s.annual THEN 3 ELSE 6 END
                AND coalesce(last_month, 0) >= last - 1,
            NOT coalesce(several, false)
        ] AS passed,
        coalesce(s.annual, false) AS annual, coalesce(s.moved, false) AS moved
    FROM (SELECT DISTINCT id FROM customers WHERE id IS NOT NULL) AS u
    CROSS JOIN t
    LEFT JOIN standing ON standing.customer = u.id
    LEFT JOIN series AS s ON s.customer = u.id
    LEFT JOIN shape ON shape.customer = u.id
    LEFT JOIN weaker ON weaker.customer = u.id
    LEFT JOIN payments ON payments.customer = u.id
    LEFT JOIN complaints ON complaints.customer = u.id
    LEFT JOIN plans ON plans.customer = u.id
    LEFT JOIN products ON products.customer = u.id AND products.currency = s.currency
    WHERE standing.customer IS NOT NULL OR s.customer IS NOT NULL
),
named AS (
    SELECT
        *,
        list_zip(['active', 'tenure', 'paid_on_time', 'no_dispute', 'no_refund', 'no_cancel', 'points',
            'one_currency'], passed) AS gates,
        CASE WHEN seen AND active > 0 AND points >= CASE WHEN annual THEN 3 ELSE 6 END
            THEN coalesce(fit, {'low': 0.0, 'slope': 0.0, 'high': 0.0}) END AS growth
    FROM joined
)
SELECT
    customer, months, exp(growth.slope) - 1 AS monthly_growth, exp(growth.low) - 1 AS growth_low,
    exp(growth.high) - 1 AS growth_high, expansion, expansions, first_mrr AS first_mrr_minor,
    last_mrr AS last_mrr_minor, currency, product,
    array_to_string(list_transform(list_filter(gates, lambda x: x[2]), lambda x: x[1]), '; ') AS gates_passed,
    array_to_string(list_transform(list_filter(gates, lambda x: NOT x[2]), lambda x: x[1]), '; ') AS gates_failed,
    list_bool_and(passed) AND coalesce(growth.low > 0, false) AND coalesce(expansion, 0) >= 0.2 AND gain >= 1000
        AS candidate,
    TIMESTAMPTZ '2026-05-15 00:00:00+00' AS as_of
FROM named
ORDER BY customer
