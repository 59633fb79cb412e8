"""Raw tables of a small business with holes and nonsense in every table, for tests that engines agree on them."""

from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from tests.segments.raw import at, raw, segment


def business(seed: int, size: int) -> dict[str, pa.Table]:
    """Customers of all kinds, with holes and nonsense in every table."""
    random = np.random.default_rng(seed)

    def pick(*values: Any) -> Any:
        return values[random.integers(len(values))]

    names = [f"cus_{number}" for number in range(size)]

    def anyone() -> Any:
        return pick(*names, None, "cus_gone")

    def when() -> Any:
        return pick(None, *map(at, ("2026-04-20", "2025-09-01", "2023-02-03", "1970-01-01", "9999-01-01")))

    def amount() -> Any:
        return pick(None, 0, 1, -5, 10_000, 12_345, 2**62, -(2**62))

    rows = range(size * 4)
    points = [
        {
            "customer": name,
            "month": date(2023 + month // 12, month % 12 + 1, 1),
            "currency": pick("usd", "usd", "usd", "eur"),
            "mrr_minor": 5_000 + 1_000 * month * growth + int(random.integers(3)),
            "mrr_list_minor": 8_000 + 1_000 * month * growth,
        }
        for name in names
        for growth in [pick(-1, 0, 1, 2)]
        for month in range(random.integers(40), 40)
    ]
    odd = {"month": date(2026, 2, 1), "currency": "gbp", "mrr_minor": 2**62, "mrr_list_minor": 1}
    points += [{"customer": "cus_0", **odd}, {"customer": None, **odd}]
    return {
        "customer_mrr_months": segment("customer_mrr_months", *points),
        "customers": raw("customers", *({"id": name} for name in (*names, None, "cus_0"))),
        "subscriptions": raw(
            "subscriptions",
            *(
                {
                    "customer": anyone(),
                    "status": pick("active", "active", "canceled", "", None),
                    **{name: when() for name in ("start_date", "ended_at", "cancel_at", "current_period_end")},
                    "cancel_at_period_end": pick(None, False, True),
                    "pause_behavior": pick(None, None, "void"),
                }
                for _ in rows
            ),
        ),
        "invoices": raw(
            "invoices",
            *(
                {
                    "id": f"in_{number}",
                    "customer": anyone(),
                    "status": pick("paid", "paid", "open", "void", None),
                    "total": amount(),
                    "attempt_count": pick(None, 0, 1, 1, 2),
                    "collection_method": pick(None, "send_invoice"),
                    **{name: when() for name in ("created", "due_date", "paid_at")},
                }
                for number in rows
            ),
        ),
        "invoice_lines": raw(
            "invoice_lines",
            *(
                {
                    "invoice": f"in_{number}",
                    "customer": anyone(),
                    "subscription": pick(None, "sub_1"),
                    "product": pick(None, "prod_a", "prod_b"),
                    "currency": pick("usd", "eur", None),
                    **{name: amount() for name in ("amount", "discount_amount")},
                    **{name: when() for name in ("created", "period_start", "period_end")},
                }
                for number in rows
            ),
        ),
        "charges": raw(
            "charges",
            *(
                {
                    "id": f"ch_{number}",
                    "customer": anyone(),
                    "invoice": f"in_{random.integers(size * 4)}",
                    "payment_intent": f"pi_{number}",
                    "currency": pick("usd", "eur", None),
                    "status": pick("succeeded", "failed", "succeeded", "succeeded", None),
                    "paid": pick(True, True, False, None),
                    "created": when(),
                    **{name: amount() for name in ("amount", "amount_captured", "amount_refunded")},
                }
                for number in rows
            ),
        ),
        "disputes": raw(
            "disputes",
            *(
                {"charge": f"ch_{9 * number}", "status": pick("lost", "prevented", None)}
                for number in range(size // 9)
            ),
        ),
        "refunds": raw(
            "refunds",
            *(
                {"payment_intent": f"pi_{7 * number}", "currency": "usd", "amount": amount(), "created": when()}
                for number in range(size // 7)
            ),
        ),
    }
