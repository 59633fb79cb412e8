"""Load a Data Pipeline delivery: seconds and peak memory of a first load and of the same tables refreshed.

`python -m benchmarks.exports [--rows 10000000]`. The delivery is made of repeated shapes under distinct ids, in
the proportions of a subscription account, with some columns that nobody should read. Targets for 10 M rows on two
cores: at most 60 s and 2 GB for a load.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from ingest.exports import Layout, deliveries_in, list_files, load_delivery
from resources.lake import Lake

_MADE = datetime(2026, 11, 20, 6, tzinfo=UTC)
# Share of the delivery's rows, and the table's columns as SQL over the row number i.
_TABLES = {
    "customers": (
        0.06,
        """'cus_' || lpad(i::VARCHAR, 14, 'A') AS id, t AS created, 'usd' AS currency, i % 40 = 0 AS delinquent,
        ['US', 'DE', 'FR', 'GB', 'JP'][1 + i % 5] AS address_country, 'person' || i || '@example.com' AS email,
        'Person ' || i AS name, '["en"]' AS preferred_locales, 'Street ' || i AS address_line1""",
    ),
    "subscriptions": (
        0.06,
        """'sub_' || lpad(i::VARCHAR, 24, 'B') AS id, t AS created,
        'cus_' || lpad(i::VARCHAR, 14, 'A') AS customer_id,
        ['active', 'active', 'active', 'past_due', 'canceled'][1 + i % 5] AS status, t AS start_date,
        i % 20 = 0 AS cancel_at_period_end, t AS current_period_start, t + INTERVAL 30 DAY AS current_period_end,
        'charge_automatically' AS billing, 'classic' AS billing_mode_type,
        '[]' AS discounts, 'text' AS description""",
    ),
    "subscription_items": (
        0.07,
        """'si_' || lpad(i::VARCHAR, 14, 'C') AS id, epoch(t)::BIGINT AS created,
        'sub_' || lpad((i * 6 // 7)::VARCHAR, 24, 'B') AS subscription_id, 'price_' || i % 200 AS price_id,
        'usd' AS price_currency, 'prod_' || i % 20 AS price_product_id, 'month' AS price_recurring_interval,
        1::BIGINT AS price_recurring_interval_count, (i % 200) * 100 AS price_unit_amount, 1 + i % 9 AS quantity,
        t AS item_current_period_start, t + INTERVAL 30 DAY AS item_current_period_end, '[]' AS discounts""",
    ),
    "invoices": (
        0.24,
        """'in_' || lpad(i::VARCHAR, 24, 'D') AS id, t AS date,
        'cus_' || lpad((i // 4)::VARCHAR, 14, 'A') AS customer_id,
        'sub_' || lpad((i // 4)::VARCHAR, 24, 'B') AS subscription_id,
        'ch_' || lpad(i::VARCHAR, 24, 'F') AS charge_id,
        'paid' AS status, 'usd' AS currency, i % 90000 AS subtotal, i % 90000 AS total, i % 90000 AS amount_due,
        i % 90000 AS amount_paid, 0::BIGINT AS amount_remaining, 1::BIGINT AS attempt_count,
        'subscription_cycle' AS billing_reason, 'charge_automatically' AS collection_method, t AS period_start,
        t AS period_end, t AS status_transitions_finalized_at, t AS status_transitions_paid_at,
        'person@example.com' AS customer_email, 'Person' AS customer_name""",
    ),
    "invoice_line_items": (
        0.31,
        """'il_' || lpad(i::VARCHAR, 24, 'E') AS id, 'in_' || lpad((i * 24 // 31)::VARCHAR, 24, 'D') AS invoice_id,
        'usd' AS currency, 'text of a line' AS description, 'price_' || i % 200 AS price_id, i % 90000 AS amount,
        1 + i % 9 AS quantity, i % 30 = 0 AS proration, t AS period_start, t + INTERVAL 30 DAY AS period_end,
        'sub_' || lpad((i // 5)::VARCHAR, 24, 'B') AS subscription, 0::BIGINT AS total_discount,
        'si_' || lpad((i // 5)::VARCHAR, 14, 'C') AS subscription_item_id""",
    ),
    "charges": (
        0.255,
        """'ch_' || lpad(i::VARCHAR, 24, 'F') AS id, t AS created,
        'cus_' || lpad((i // 4)::VARCHAR, 14, 'A') AS customer_id,
        'in_' || lpad(i::VARCHAR, 24, 'D') AS invoice_id, 'pi_' || lpad(i::VARCHAR, 24, 'G') AS payment_intent,
        'pm_' || lpad((i // 4)::VARCHAR, 24, 'H') AS payment_method_id, 'card' AS payment_method_type,
        i % 90000 AS amount, 0::BIGINT AS amount_refunded, 'usd' AS currency, 'succeeded' AS status, true AS paid,
        true AS captured, false AS refunded, 'Visa' AS card_brand, 'credit' AS card_funding, 'US' AS card_country,
        '4242' AS card_last4, 'authorized' AS outcome_type, 'text of a charge' AS description""",
    ),
    "refunds": (
        0.004,
        """'re_' || lpad(i::VARCHAR, 24, 'I') AS id, t AS created, 'ch_' || lpad(i::VARCHAR, 24, 'F') AS charge_id,
        i % 9000 AS amount, 'usd' AS currency, 'succeeded' AS status, 'requested_by_customer' AS reason""",
    ),
    "disputes": (
        0.001,
        """'dp_' || lpad(i::VARCHAR, 24, 'J') AS id, t AS created, 'ch_' || lpad(i::VARCHAR, 24, 'F') AS charge_id,
        i % 9000 AS amount, 'usd' AS currency, 'lost' AS status, 'fraudulent' AS reason""",
    ),
}


def make_delivery(folder: Path, *, rows: int) -> None:
    """Write a delivery of about `rows` rows, in files of at most a million."""
    base = folder / "livemode" / "r1"
    sql = duckdb.connect()
    sql.execute("SET memory_limit = '1GB'")
    for name, (share, columns) in _TABLES.items():
        (base / name).mkdir(parents=True)
        total = max(1, int(rows * share))
        for part, start in enumerate(range(0, total, 1_000_000)):
            span = f"range({start}, {min(total, start + 1_000_000)})"
            source = f"SELECT i, TIMESTAMP '2023-01-01' + INTERVAL (i * 9) SECOND AS t FROM {span} AS r(i)"
            target = base / name / f"part-{part}.parquet"
            sql.execute(f"COPY (SELECT {columns} FROM ({source})) TO '{target}' (FORMAT parquet)")
    (base / "prices").mkdir()
    sql.execute(
        f"""COPY (SELECT 'price_' || i AS id, TIMESTAMP '2022-01-01' AS created, true AS active, 'usd' AS currency,
        'prod_' || i % 20 AS product_id, 'recurring' AS type, 'per_unit' AS billing_scheme, i * 100 AS unit_amount,
        (i * 100)::VARCHAR AS unit_amount_decimal, 'month' AS recurring_interval,
        1::BIGINT AS recurring_interval_count, 'licensed' AS recurring_usage_type FROM range(200) AS r(i))
        TO '{base}/prices/part-0.parquet' (FORMAT parquet)"""
    )
    (base / "coreapi_SUCCESS").touch()


def load_once(folder: Path, lake: Path, *, made: datetime) -> dict[str, object]:
    """One load in this process; what it cost."""
    layout = Layout(livemode=True, pipeline_lag=timedelta(0))
    (delivery,) = deliveries_in(list_files(str(folder)), layout=layout)
    began = time.perf_counter()
    report = load_delivery(
        str(folder),
        type(delivery)(delivery.id, delivery.kind, delivery.livemode, made, delivery.tables),
        Lake(str(lake)),
        now=made,
        exponents={},
    )
    seconds = time.perf_counter() - began
    usage = resource.getrusage(resource.RUSAGE_SELF)
    peak = usage.ru_maxrss / 1024
    return {
        "rows": report.rows,
        "refused": report.refused,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "rows_per_second": round(report.rows / seconds),
        "peak_mb": round(peak),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--worker", nargs=3, metavar=("FOLDER", "LAKE", "MADE"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.worker:
        folder, lake, made = chosen.worker
        print(json.dumps(load_once(Path(folder), Path(lake), made=datetime.fromisoformat(made))))
        return
    with tempfile.TemporaryDirectory(prefix="bench-exports-") as place:
        folder, lake = Path(place, "exports"), Path(place, "lake")
        make_delivery(folder, rows=chosen.rows)
        for label, made in (("first load", _MADE), ("refresh", _MADE + timedelta(hours=6))):
            # A process of its own for each load, so that its peak memory is its own.
            command = [sys.executable, "-m", "benchmarks.exports", "--worker", folder, lake, made.isoformat()]
            result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            print(f"{label}: {result.stdout.strip()}")


if __name__ == "__main__":
    main()
