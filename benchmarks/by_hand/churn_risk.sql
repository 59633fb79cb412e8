WITH t AS (SELECT TIMESTAMPTZ '2026-05-15 00:00:00+00' AS now),
flagged AS (
    SELECT
        *,
        coalesce(ended_at <= now, false) OR coalesce(cancel_at <= now, false) AS over,
        coalesce(status, '') IN ('active', 'trialing', 'past_due', 'paused') AS runs,
        coalesce(cancel_at_period_end, false) OR (cancel_at IS NOT NULL AND (
            canceled_at IS NOT NULL OR cancellation_reason IS NOT NULL
            OR coalesce(cancel_at <= current_period_end, false) OR cancel_at <= now + INTERVAL 30 DAY
        )) AS leaving,
        coalesce(cancellation_reason, '') AS reason, coalesce(cancellation_feedback, '') AS feedback,
        coalesce(collection_method = 'send_invoice', false) AS sent,
        pause_behavior IS NOT NULL AND NOT coalesce(pause_resumes_at <= now, false) AS pausing,
        coalesce(ended_at, canceled_at, CASE WHEN status = 'unpaid' THEN current_period_start END, created)
            AS finish
    FROM subscriptions, t
    WHERE customer IS NOT NULL
),
subs AS (
    SELECT
        *, runs AND NOT over AS alive,
        coalesce(status, '') IN ('canceled', 'unpaid', 'incomplete_expired')
            OR (over AND coalesce(status, '') <> 'incomplete') AS gone
    FROM flagged
),
people AS (
    SELECT
        customer,
        count(*) FILTER (alive) AS live,
        count(*) FILTER (alive AND status = 'past_due') AS past_due,
        count(*) FILTER (status = 'unpaid') AS unpaid,
        count(*) FILTER (status = 'incomplete') AS incomplete,
        count(*) FILTER (gone) AS ended,
        count(*) FILTER (status = 'incomplete_expired') AS never_started,
        count(*) FILTER (alive AND leaving) AS scheduled,
        count(*) FILTER (alive AND leaving AND (reason IN ('cancellation_requested', 'canceled_by_retention_policy')
            OR feedback <> '')) AS scheduled_voluntary,
        count(*) FILTER (alive AND leaving AND reason = 'payment_failed') AS scheduled_involuntary,
        count(*) FILTER (alive AND (status = 'paused' OR pausing)) AS paused,
        count(*) FILTER (alive AND status = 'trialing') AS trialing,
        count(*) FILTER (alive AND sent) AS sent_invoices,
        min(coalesce(start_date, created)) AS first_start,
        min(current_period_end) FILTER (alive) AS next_renewal,
        min(current_period_end) FILTER (alive AND current_period_end > now AND epoch(current_period_end)
            - epoch(current_period_start) + 43200 >= 86 * 86400) AS long_renewal,
        min(current_period_end) FILTER (alive AND NOT leaving AND status <> 'paused' AND NOT sent) AS next_invoice,
        max(CASE WHEN alive THEN floor((epoch(current_period_end) - epoch(current_period_start) + 43200) / 86400)
            ELSE 0 END)::BIGINT AS cycle_days,
        max(CASE WHEN alive AND leaving THEN feedback ELSE '' END) AS scheduled_feedback,
        max({'finish': finish, 'id': id, 'reason': reason, 'feedback': feedback}) FILTER (gone) AS latest,
        max(finish) FILTER (gone) AS ended_at
    FROM subs
    GROUP BY customer
),
failed AS (
    SELECT
        customer,
        count(*) FILTER (created > now - INTERVAL 30 DAY) AS failed_recent,
        count(*) FILTER (created > now - INTERVAL 30 DAY AND hard) AS hard_recent
    FROM (
        SELECT
            customer, coalesce(invoice, payment_intent, id) AS payment, max(created) AS created,
            bool_or(coalesce(advice_code, '') = 'do_not_try_again' OR (coalesce(advice_code, '') = '' AND (
                coalesce(failure_code, '') IN ('incorrect_number', 'lost_card', 'pickup_card', 'stolen_card',
                    'revocation_of_authorization', 'revocation_of_all_authorizations', 'authentication_required',
                    'highest_risk_level', 'transaction_not_allowed')
                OR coalesce(outcome_reason, '') IN ('incorrect_number', 'lost_card', 'pickup_card', 'stolen_card',
                    'revocation_of_authorization', 'revocation_of_all_authorizations', 'authentication_required',
                    'highest_risk_level', 'transaction_not_allowed')))) AS hard
        FROM charges, t
        WHERE status = 'failed' AND created > now - INTERVAL 90 DAY AND created <= now AND customer IS NOT NULL
        GROUP BY ALL
    ), t
    GROUP BY customer
),
paid AS (
    SELECT
        customer, max(created) AS last_paid,
        max({'created': created, 'method': coalesce(payment_method, '')}).method AS last_method
    FROM charges, t
    WHERE paid AND amount > 0 AND created <= now AND customer IS NOT NULL
    GROUP BY customer
),
owed AS (
    SELECT
        customer,
        count(*) FILTER (tried AND NOT sent) AS dunning,
        count(*) FILTER (tried AND NOT sent AND NOT coalesce(next_payment_attempt > now, false)) AS no_retry_left,
        count(*) FILTER (late) AS overdue_invoices,
        count(*) FILTER (status = 'uncollectible'
            AND coalesce(marked_uncollectible_at, created) > now - INTERVAL 90 DAY) AS uncollectible,
        coalesce(max(attempt_count) FILTER (tried), 0) AS attempts,
        min(coalesce(due_date, finalized_at, created)) FILTER (tried OR late) AS oldest_open
    FROM (
        SELECT
            *, coalesce(collection_method = 'send_invoice', false) AS sent,
            status = 'open' AND coalesce(amount_due, 0) > 0 AND coalesce(attempt_count, 0) > 0 AS tried,
            status = 'open' AND coalesce(amount_due, 0) > 0 AND coalesce(due_date < now, false) AS late
        FROM invoices, t
        WHERE status IN ('open', 'uncollectible') AND customer IS NOT NULL
    )
    GROUP BY customer
),
by_intent AS (
    SELECT payment_intent, max(customer) AS customer
    FROM charges
    WHERE payment_intent IN (SELECT payment_intent FROM disputes WHERE charge IS NULL)
    GROUP BY payment_intent
),
disputed AS (
    SELECT coalesce(c.customer, b.customer) AS customer, count(*) AS open_disputes
    FROM disputes AS d
    LEFT JOIN charges AS c ON c.id = d.charge
    LEFT JOIN by_intent AS b ON b.payment_intent = d.payment_intent
    WHERE d.status IN ('needs_response', 'under_review', 'appeal_needs_response', 'appeal_under_review')
        AND coalesce(c.customer, b.customer) IS NOT NULL
    GROUP BY ALL
),
expiring AS (
    SELECT s.customer, count(*) AS card_expiring
    FROM subs AS s
    LEFT JOIN customers AS u ON u.id = s.customer
    LEFT JOIN paid AS p ON p.customer = s.customer
    JOIN payment_methods AS m
        ON m.id = coalesce(s.default_payment_method, u.default_payment_method, p.last_method)
    WHERE alive AND NOT leaving AND s.status <> 'paused' AND NOT sent
        AND s.current_period_end > now AND s.current_period_end <= now + INTERVAL 60 DAY
        AND card_exp_year BETWEEN 2000 AND 2200 AND card_exp_month BETWEEN 1 AND 12
        AND year(s.current_period_end) * 12 + month(s.current_period_end) > card_exp_year * 12 + card_exp_month
        AND NOT coalesce(m.id = p.last_method
            AND year(last_paid) * 12 + month(last_paid) > card_exp_year * 12 + card_exp_month, false)
    GROUP BY ALL
),
discounts AS (
    SELECT customer, count(*) AS coupon_ending
    FROM (
        SELECT
            customer, epoch(now) AS now, epoch(current_period_end) AS renewal,
            list_concat(
                json_extract(billing, '$.discounts[*].end'), json_extract(billing, '$.items.data[*].discounts[*].end'),
                [json_extract(billing, '$.discount.end')]
            ) AS ends
        FROM subs
        WHERE alive AND current_period_end > now AND current_period_end <= now + INTERVAL 60 DAY
            AND regexp_matches(billing, '"end": ?[0-9]')
    )
    WHERE len(list_filter(ends, lambda x: TRY_CAST(x AS BIGINT) > now AND TRY_CAST(x AS BIGINT) <= renewal)) > 0
    GROUP BY customer
),
moved AS (
    SELECT
        customer, bool_or(now_list > 0 AND now_list < before_list) AS downgrade,
        bool_or(now_list > 0 AND now_mrr < quarter * 0.9::DOUBLE) AS contraction,
        bool_or(now_list > 0 AND quarter > 0 AND now_mrr > quarter * 1.1::DOUBLE) AS expansion
    FROM (
        SELECT
            customer, currency,
            coalesce(sum(mrr_list_minor) FILTER (month = DATE '2026-04-01'), 0) AS now_list,
            coalesce(sum(mrr_list_minor) FILTER (month = DATE '2026-03-01'), 0) AS before_list,
            coalesce(sum(mrr_minor) FILTER (month = DATE '2026-04-01'), 0) AS now_mrr,
            coalesce(sum(mrr_minor) FILTER (month = DATE '2026-01-01'), 0) AS quarter
        FROM customer_mrr_months
        WHERE month IN (DATE '2026-04-01', DATE '2026-03-01', DATE '2026-01-01')
        GROUP BY ALL
    )
    GROUP BY customer
),
joined AS (
    SELECT
        people.* EXCLUDE (latest), latest.reason AS ended_reason, latest.feedback AS ended_feedback, now,
        coalesce(failed_recent, 0) AS failed_recent, coalesce(hard_recent, 0) AS hard_recent, last_paid,
        coalesce(dunning, 0) AS dunning, coalesce(no_retry_left, 0) AS no_retry_left,
        coalesce(overdue_invoices, 0) AS overdue_invoices, coalesce(uncollectible, 0) AS uncollectible,
        coalesce(attempts, 0) AS attempts, oldest_open, coalesce(open_disputes, 0) AS open_disputes,
        coalesce(card_expiring, 0) AS card_expiring, coalesce(coupon_ending, 0) AS coupon_ending,
        coalesce(downgrade, false) AS downgrade, coalesce(contraction, false) AS contraction,
        coalesce(expansion, false) AS expansion, mrr_minor, mrr_committed_minor
    FROM people
    CROSS JOIN t
    LEFT JOIN failed USING (customer)
    LEFT JOIN paid USING (customer)
    LEFT JOIN owed USING (customer)
    LEFT JOIN disputed USING (customer)
    LEFT JOIN expiring USING (customer)
    LEFT JOIN discounts USING (customer)
    LEFT JOIN moved USING (customer)
    LEFT JOIN mrr_tiers USING (customer)
),
signs AS (
    SELECT
        *,
        live > 0 AND past_due > 0 AS is_past_due,
        live > 0 AND failed_recent > 0 AS is_failed_payment,
        live > 0 AND dunning > 0 AS is_dunning,
        live > 0 AND no_retry_left > 0 AS is_no_retry_left,
        live > 0 AND uncollectible > 0 AS is_uncollectible,
        unpaid > 0 AS is_unpaid,
        incomplete > 0 AS is_incomplete,
        live > 0 AND card_expiring > 0 AS is_card_expiring,
        coalesce(live > 0 AND mrr_minor > 0 AND trialing = 0 AND sent_invoices = 0 AND cycle_days > 0
            AND epoch(now) - epoch(last_paid) > greatest(cycle_days * 1.25, cycle_days + 7) * 86400, false)
            AS is_overdue_charge,
        live > 0 AND overdue_invoices > 0 AS is_open_invoices,
        open_disputes > 0 AS is_open_dispute,
        live > 0 AND downgrade AS is_downgrade,
        live > 0 AND contraction AS is_contraction,
        live > 0 AND coupon_ending > 0 AS is_coupon_ending,
        live > 0 AND paused > 0 AS is_paused,
        coalesce(live > 0 AND long_renewal <= now + INTERVAL 30 DAY AND scheduled = 0, false) AS is_renewal_due,
        coalesce(live > 0 AND first_start > now - INTERVAL 90 DAY, false) AS is_new_customer,
        live > 0 AND expansion AS is_expansion,
        live > 0 AND scheduled > 0 AS is_scheduled_cancel,
        coalesce(live = 0 AND ended_reason = 'payment_disputed', false) AS is_payment_disputed,
        live = 0 AND never_started > 0 AND ended = never_started AS is_never_started,
        CASE WHEN said IN ('customer_service', 'low_quality', 'missing_features', 'other', 'switched_service',
            'too_complex', 'too_expensive', 'unused') THEN said ELSE '' END AS feedback
    FROM (
        SELECT *, coalesce(CASE WHEN live > 0 THEN scheduled_feedback ELSE ended_feedback END, '') AS said FROM joined
    )
),
scored AS (
    SELECT
        *,
        CASE WHEN live > 0 THEN least(100, greatest(0,
            10 * is_past_due::INT + 5 * is_dunning::INT + 10 * is_downgrade::INT + 10 * is_contraction::INT
            - 8 * is_expansion::INT + 8 * is_overdue_charge::INT + 10 * is_card_expiring::INT
            + 10 * is_new_customer::INT
            + CASE WHEN NOT is_failed_payment THEN 0 WHEN failed_recent >= 3 THEN 12 ELSE 6 END
        )) ELSE 0 END AS score
    FROM signs
),
stated AS (
    SELECT
        *,
        CASE
            WHEN live = 0 AND ended > 0 THEN 'canceled'
            WHEN past_due > 0 THEN 'past_due'
            WHEN scheduled > 0 THEN 'scheduled_cancel'
            WHEN is_no_retry_left OR is_uncollectible OR is_unpaid OR is_incomplete OR is_card_expiring
                OR is_open_dispute OR score >= 20 THEN 'at_risk'
            ELSE 'healthy'
        END AS state,
        is_past_due OR is_failed_payment OR is_dunning OR is_no_retry_left OR is_uncollectible OR is_unpaid
            OR is_incomplete OR is_card_expiring OR is_overdue_charge OR is_open_invoices AS pays,
        is_open_dispute OR is_downgrade OR is_contraction OR is_coupon_ending OR is_paused AS wants
    FROM scored
),
kinds AS (
    SELECT
        *,
        CASE
            WHEN state = 'canceled' AND ended_reason IN ('cancellation_requested', 'canceled_by_retention_policy')
                THEN 'voluntary'
            WHEN state = 'canceled' AND ended_reason = 'payment_disputed' THEN 'unknown'
            WHEN state = 'canceled' AND (ended_reason = 'payment_failed' OR is_unpaid OR is_never_started)
                THEN 'involuntary'
            WHEN state = 'canceled' AND feedback <> '' THEN 'voluntary'
            WHEN state IN ('past_due', 'scheduled_cancel') AND scheduled_voluntary > 0 THEN 'voluntary'
            WHEN state = 'past_due' OR (state = 'scheduled_cancel' AND scheduled_involuntary > 0) THEN 'involuntary'
            WHEN state = 'at_risk' AND pays AND NOT wants THEN 'involuntary'
            WHEN state = 'at_risk' AND wants AND NOT pays THEN 'voluntary'
            ELSE 'unknown'
        END AS kind,
        concat_ws('; ', CASE WHEN is_past_due THEN 'past_due' END, CASE WHEN is_failed_payment THEN 'failed_payment' END,
            CASE WHEN is_dunning THEN 'dunning' END, CASE WHEN is_no_retry_left THEN 'no_retry_left' END,
            CASE WHEN is_uncollectible THEN 'uncollectible' END, CASE WHEN is_unpaid THEN 'unpaid' END,
            CASE WHEN is_incomplete THEN 'incomplete' END, CASE WHEN is_card_expiring THEN 'card_expiring' END,
            CASE WHEN is_overdue_charge THEN 'overdue_charge' END, CASE WHEN is_open_invoices THEN 'open_invoices' END,
            CASE WHEN is_open_dispute THEN 'open_dispute' END, CASE WHEN is_downgrade THEN 'downgrade' END,
            CASE WHEN is_contraction THEN 'contraction' END, CASE WHEN is_coupon_ending THEN 'coupon_ending' END,
            CASE WHEN is_paused THEN 'paused' END, CASE WHEN is_renewal_due THEN 'renewal_due' END,
            CASE WHEN is_new_customer THEN 'new_customer' END, CASE WHEN is_expansion THEN 'expansion' END,
            CASE WHEN is_scheduled_cancel THEN 'scheduled_cancel' END,
            CASE WHEN is_payment_disputed THEN 'payment_disputed' END,
            CASE WHEN is_never_started THEN 'never_started' END, nullif(feedback, '')) AS signals,
        concat_ws(', ',
            CASE WHEN is_past_due THEN coalesce('past due for '
                || floor((epoch(now) - epoch(oldest_open) + 1) / 86400)::BIGINT || ' days', 'past due') END,
            CASE WHEN is_failed_payment THEN 'failed invoices in 30 days: ' || failed_recent || ' (hard declines: '
                || hard_recent || ')' END,
            CASE WHEN is_dunning THEN 'an open invoice, attempts so far: ' || attempts END,
            CASE WHEN is_no_retry_left THEN 'no further attempt scheduled' END,
            CASE WHEN is_uncollectible THEN 'invoices given up in 90 days: ' || uncollectible END,
            CASE WHEN is_unpaid THEN 'retries ended unpaid' END,
            CASE WHEN is_incomplete THEN 'first payment not completed' END,
            CASE WHEN is_card_expiring AND next_invoice > now THEN 'the card expires before the invoice in '
                || floor((epoch(next_invoice) - epoch(now) + 1) / 86400)::BIGINT || ' days'
                WHEN is_card_expiring THEN 'the card expires before the next invoice' END,
            CASE WHEN is_overdue_charge THEN 'last charge '
                || floor((epoch(now) - epoch(last_paid) + 1) / 86400)::BIGINT || ' days ago on a cycle of '
                || cycle_days || ' days' END,
            CASE WHEN is_open_invoices THEN 'sent invoices past their due date: ' || overdue_invoices END,
            CASE WHEN is_open_dispute THEN 'open disputes: ' || open_disputes END,
            CASE WHEN is_downgrade THEN 'list MRR fell within a month' END,
            CASE WHEN is_contraction THEN 'MRR fell by over a tenth in three months' END,
            CASE WHEN is_coupon_ending THEN 'a discount ends by the next invoice' END,
            CASE WHEN is_paused THEN 'collection is paused' END,
            CASE WHEN is_renewal_due THEN 'renews in '
                || floor((epoch(long_renewal) - epoch(now) + 1) / 86400)::BIGINT || ' days' END,
            CASE WHEN is_new_customer THEN 'customer for '
                || floor((epoch(now) - epoch(first_start) + 1) / 86400)::BIGINT || ' days' END,
            CASE WHEN is_expansion THEN 'MRR rose by over a tenth in three months' END,
            CASE WHEN is_scheduled_cancel THEN 'a cancellation is scheduled' END,
            CASE WHEN is_payment_disputed THEN 'ended by a dispute' END,
            CASE WHEN is_never_started THEN 'never paid' END,
            CASE WHEN feedback <> '' THEN 'customer''s reason: ' || replace(feedback, '_', ' ') END) AS because
    FROM stated
)
SELECT
    customer, state, kind, score::BIGINT AS score, signals,
    CASE state WHEN 'healthy' THEN 'Healthy' WHEN 'at_risk' THEN 'At risk' WHEN 'past_due' THEN 'Past due'
        WHEN 'scheduled_cancel' THEN 'Leaving' ELSE 'Cancelled' END
    || CASE WHEN kind <> 'unknown' THEN ' (' || kind || ')' ELSE '' END || ': '
    || CASE WHEN because <> '' THEN because WHEN live > 0 THEN 'no signal' ELSE 'no reason is recorded' END
    || CASE WHEN live > 0 THEN '; score ' || score ELSE '' END || '.' AS explanation,
    CASE WHEN state = 'canceled' THEN coalesce(ended_at, now) ELSE now END AS since,
    CASE
        WHEN state IN ('at_risk', 'past_due') THEN mrr_minor
        WHEN state = 'scheduled_cancel' THEN mrr_minor - mrr_committed_minor
        ELSE 0
    END AS mrr_at_risk_minor,
    'usd' AS reporting_currency, next_renewal, now AS as_of
FROM kinds
ORDER BY customer
