"""Growth: gates, slope, expansions, verdict."""

from datetime import date
from typing import Any

import pytest

from segments.growth import GATES, growth
from tests.segments.nonsense import business
from tests.segments.raw import AS_OF, ENGINES, at, on, raw, segment

LAST = 2026 * 12 + 3  # April 2026, the last month that is closed at AS_OF
STEADY = [10_000, 10_000, 11_000, 11_000, 12_000, 12_000, 13_000, 13_000, 14_000, 14_000, 15_000, 15_000]


def months(*amounts: int | tuple[int, int] | None, **columns: Any) -> list[dict[str, Any]]:
    """Rows of months that end with the last closed one: MRR, or MRR and list MRR, or None for a month without."""
    rows = []
    for month, amount in enumerate(amounts, LAST - len(amounts) + 1):
        if amount is not None:
            mrr, listed = amount if isinstance(amount, tuple) else (amount, amount)
            rows.append(
                {
                    "customer": "cus_1",
                    "month": date(month // 12, month % 12 + 1, 1),
                    "currency": "usd",
                    "mrr_minor": mrr,
                    "mrr_list_minor": listed,
                    **columns,
                }
            )
    return rows


def subscription(**columns: Any) -> dict[str, Any]:
    return {"customer": "cus_1", "status": "active", "start_date": at("2025-01-01"), **columns}


def invoice(number: int = 1, **columns: Any) -> dict[str, Any]:
    return {
        "id": f"in_{number}",
        "customer": "cus_1",
        "status": "paid",
        "currency": "usd",
        "total": 10_000,
        "attempt_count": 1,
        "created": at("2026-04-01"),
        "collection_method": "charge_automatically",
        **columns,
    }


def charge(**columns: Any) -> dict[str, Any]:
    return {
        "id": "ch_1",
        "customer": "cus_1",
        "currency": "usd",
        "status": "succeeded",
        "paid": True,
        "amount": 10_000,
        "amount_captured": 10_000,
        "created": at("2026-04-01"),
        **columns,
    }


def line(**columns: Any) -> dict[str, Any]:
    return {
        "invoice": "in_1",
        "customer": "cus_1",
        "subscription": "sub_1",
        "product": "prod_a",
        "currency": "usd",
        "amount": 1_000,
        "proration": False,
        "created": at("2026-04-01"),
        "period_start": at("2026-04-01"),
        "period_end": at("2026-05-01"),
        **columns,
    }


def measure(engine: str, **given: list[dict[str, Any]]) -> dict[str, Any]:
    """The only row of a customer who passes every gate and grows steadily, but for what is given."""
    tables: dict[str, list[dict[str, Any]]] = {
        "subscriptions": [subscription()],
        "invoices": [invoice()],
        "invoice_lines": [line()],
        "charges": [charge()],
        "disputes": [],
        "refunds": [],
        "customers": [{"id": "cus_1"}],
        **given,
    }
    points = tables.pop("customer_mrr_months", months(*STEADY))
    sources = {name: raw(name, *rows) for name, rows in tables.items()}
    sources["customer_mrr_months"] = segment("customer_mrr_months", *points)
    row: dict[str, Any]
    (row,) = growth(**on(engine, **sources), as_of=AS_OF).to_pylist()
    assert set(filter(None, f"{row['gates_passed']}; {row['gates_failed']}".split("; "))) == set(GATES)
    return row


@pytest.mark.parametrize("engine", ENGINES)
def test_a_customer_that_grows_and_passes_every_gate_is_a_candidate(engine: str) -> None:
    row = measure(engine)
    assert (row["gates_passed"], row["gates_failed"]) == ("; ".join(GATES), "")
    assert row["candidate"]
    assert (row["months"], row["expansions"], row["expansion"]) == (12, 5, 0.5)
    assert (row["first_mrr_minor"], row["last_mrr_minor"], row["currency"]) == (10_000, 15_000, "usd")
    assert row["product"] == "prod_a"
    assert 0.03 < row["growth_low"] < row["monthly_growth"] < row["growth_high"] < 0.05
    assert row["as_of"] == AS_OF


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("given", "failed"),
    [
        pytest.param({"subscriptions": [subscription(status="past_due")]}, "active", id="past due is not active"),
        pytest.param({"subscriptions": [subscription(ended_at=at("2026-05-01"))]}, "active", id="an ended one"),
        pytest.param({"subscriptions": [subscription(pause_behavior="void")]}, "active", id="paused collection"),
        pytest.param(
            {"subscriptions": [subscription(pause_behavior="void", pause_resumes_at=at("2026-05-01"))]},
            "",
            id="a pause that is over is forgotten",
        ),
        pytest.param({"subscriptions": []}, "active; tenure", id="never subscribed"),
        pytest.param(
            {"subscriptions": [subscription(start_date=at("2025-05-16"))]}, "tenure", id="a day less than a year"
        ),
        pytest.param(
            {"subscriptions": [subscription(start_date=at("2025-05-15"))]}, "", id="a year to the day is tenure"
        ),
        pytest.param(
            {
                "subscriptions": [
                    subscription(),
                    {"customer": "cus_1", "status": "canceled", "start_date": at("2020-01-01")},
                ]
            },
            "",
            id="an earlier subscription that ended does no harm",
        ),
        pytest.param(
            {
                "subscriptions": [
                    subscription(start_date=at("2026-01-01")),
                    {"customer": "cus_1", "status": "incomplete_expired", "start_date": at("2020-01-01")},
                ]
            },
            "tenure",
            id="a subscription that never began is no tenure",
        ),
        pytest.param({"invoices": []}, "paid_on_time", id="no invoice says nothing"),
        pytest.param({"invoices": [invoice(attempt_count=2)]}, "paid_on_time", id="paid at the second attempt"),
        pytest.param(
            {"invoices": [invoice(), invoice(2, status="uncollectible")]}, "paid_on_time", id="written off"
        ),
        pytest.param({"invoices": [invoice(), invoice(2, status="void")]}, "", id="voided is not unpaid"),
        pytest.param(
            {"invoices": [invoice(), invoice(2, status="open", attempt_count=1)]},
            "paid_on_time",
            id="failed, open",
        ),
        pytest.param(
            {"invoices": [invoice(), invoice(2, status="open", attempt_count=0)]}, "", id="open, not tried yet"
        ),
        pytest.param(
            {
                "invoices": [
                    invoice(),
                    invoice(
                        2,
                        status="open",
                        collection_method="send_invoice",
                        due_date=at("2026-06-01"),
                        attempt_count=0,
                    ),
                ]
            },
            "",
            id="sent and not due yet",
        ),
        pytest.param(
            {
                "invoices": [
                    invoice(
                        status="open", collection_method="send_invoice", due_date=at("2026-05-01"), attempt_count=0
                    )
                ]
            },
            "paid_on_time",
            id="sent and overdue",
        ),
        pytest.param(
            {"invoices": [invoice(due_date=at("2026-04-15"), paid_at=at("2026-04-16"))]},
            "paid_on_time",
            id="paid a day after it was due",
        ),
        pytest.param(
            {"invoices": [invoice(due_date=at("2026-04-15"), paid_at=at("2026-04-15"))]}, "", id="paid when due"
        ),
        pytest.param(
            {"invoices": [invoice(due_date=at("2026-04-15"))]}, "paid_on_time", id="paid, but nobody knows when"
        ),
        pytest.param(
            {"charges": [charge(), charge(id="ch_2", status="failed", paid=False, invoice="in_1")]},
            "paid_on_time",
            id="a failed charge before the one that worked",
        ),
        pytest.param(
            {
                "invoices": [
                    *(invoice(number, created=at(f"2026-0{number}-01")) for number in (1, 2, 3, 4, 5)),
                    invoice(6, created=at("2025-12-01")),
                    invoice(7, created=at("2025-11-01"), attempt_count=4),
                ]
            },
            "",
            id="the seventh invoice back is forgiven",
        ),
        pytest.param(
            {"disputes": [{"charge": "ch_1", "status": "won", "created": at("2020-01-01")}]},
            "no_dispute",
            id="a dispute long ago, even one won",
        ),
        pytest.param(
            {
                "charges": [charge(payment_intent="pi_1")],
                "disputes": [{"payment_intent": "pi_1", "status": "lost"}],
            },
            "no_dispute",
            id="a dispute known by its payment intent alone",
        ),
        pytest.param(
            {"disputes": [{"charge": "ch_1", "status": "warning_closed"}]}, "", id="an inquiry is no dispute"
        ),
        pytest.param({"disputes": [{"charge": "ch_9", "status": "lost"}]}, "", id="the dispute of a stranger"),
        pytest.param(
            {"refunds": [{"charge": "ch_1", "amount": 2_001, "currency": "usd", "created": at("2026-04-02")}]},
            "no_refund",
            id="over a fifth refunded",
        ),
        pytest.param(
            {"refunds": [{"charge": "ch_1", "amount": 2_000, "currency": "usd", "created": at("2026-04-02")}]},
            "",
            id="a fifth refunded is still in bounds",
        ),
        pytest.param(
            {"refunds": [{"charge": "ch_1", "amount": 9_000, "currency": "usd", "created": at("2025-05-14")}]},
            "",
            id="a refund of more than a year ago",
        ),
        pytest.param(
            {
                "refunds": [
                    {
                        "charge": "ch_1",
                        "amount": 9_000,
                        "currency": "usd",
                        "created": at("2026-04-02"),
                        "status": "failed",
                    }
                ]
            },
            "",
            id="a refund that failed",
        ),
        pytest.param(
            {"charges": [charge(amount_refunded=2_001)]}, "no_refund", id="a refund that only the charge tells of"
        ),
        pytest.param({"subscriptions": [subscription(cancel_at_period_end=True)]}, "no_cancel", id="cancel flag"),
        pytest.param(
            {"subscriptions": [subscription(cancel_at=at("2026-06-01"))]}, "no_cancel", id="an end within a month"
        ),
        pytest.param(
            {"subscriptions": [subscription(cancel_at=at("2027-06-01"))]}, "", id="a fixed term far away"
        ),
        pytest.param(
            {"subscriptions": [subscription(cancel_at=at("2027-06-01"), canceled_at=at("2026-01-01"))]},
            "no_cancel",
            id="an end far away that was asked for",
        ),
        pytest.param({"customer_mrr_months": months(*STEADY[-5:])}, "points", id="five points"),
        pytest.param({"customer_mrr_months": months(*STEADY, None)}, "", id="the last month is not billed yet"),
        pytest.param({"customer_mrr_months": months(*STEADY, None, None)}, "points", id="nothing for two months"),
        pytest.param(
            {"customer_mrr_months": [*months(*STEADY), *months(500, None, None, currency="eur")]},
            "one_currency",
            id="revenue that moved from another currency",
        ),
    ],
)
def test_a_gate_fails_for_its_own_reason_only(engine: str, given: dict[str, Any], failed: str) -> None:
    row = measure(engine, **given)
    assert row["gates_failed"] == failed
    assert row["candidate"] == (failed == "")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("amounts", "expansion", "expansions", "candidate"),
    [
        pytest.param(
            [10_000, 20_000, 40_000, 80_000, 160_000, 320_000], 31.0, 5, True, id="it doubles each month"
        ),
        pytest.param([10_000] * 12, 0.0, 0, False, id="flat"),
        pytest.param([15_000, 14_000, 13_000, 12_000, 11_000, 10_000], -1 / 3, 0, False, id="it shrinks"),
        pytest.param([10_000] * 11 + [15_000], 0.5, 1, False, id="one step at the end is not sure"),
        pytest.param([10_000, *[12_000 + 1 * n for n in range(11)]], 0.201, 11, True, id="a fifth and a little"),
        pytest.param([10_000, *[11_000 + 1 * n for n in range(11)]], 0.101, 11, False, id="sure but too little"),
        pytest.param([500, 600, 700, 800, 900, 1_000], 1.0, 5, False, id="from next to nothing"),
        pytest.param(
            [(5_000 + 1_000 * n, 10_000) for n in range(6)], 0.0, 0, False, id="a discount that fades is no growth"
        ),
        pytest.param(
            [(10_000, 10_000 + 1_000 * n) for n in range(6)], 0.0, 0, False, id="a list price that nobody pays"
        ),
        pytest.param(
            [(5_000, 10_000)] * 4 + [(10_000, 10_000), (11_000, 11_000)],
            0.1,
            1,
            False,
            id="the end of a discount does not count towards the fifth",
        ),
    ],
)
def test_growth_is_judged_by_its_lower_bound_and_by_what_was_gained(
    engine: str,
    amounts: list[int | tuple[int, int]],
    expansion: float,
    expansions: int,
    candidate: bool,
) -> None:
    row = measure(engine, customer_mrr_months=months(*amounts))
    assert row["expansion"] == pytest.approx(expansion, abs=2e-3)
    assert (row["expansions"], row["candidate"]) == (expansions, candidate)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("amounts", "rates"),
    [
        pytest.param([1_000 * 2**n for n in range(6)], (1.0, 1.0, 1.0), id="doubling is 100 % a month"),
        pytest.param([10_000] * 6, (0.0, 0.0, 0.0), id="flat is nothing, surely"),
        # 15 slopes: seven of 1, then 6/5, 5/4, 5/4, 4/3, 4/3, 3/2, 3/2, 2. The bounds are the 2nd and the 14th.
        pytest.param([1_000 * 2**n for n in (0, 1, 3, 4, 5, 6)], (1.0, 2**1.2 - 1, 2**1.5 - 1), id="one leap"),
        pytest.param([1_000, 2_000, None, 8_000, 16_000, 32_000, 64_000], (1.0, 1.0, 1.0), id="a month without"),
        pytest.param([1_000, 0, 4_000, 8_000, 16_000, 32_000, 64_000], (1.0, 1.0, 1.0), id="a month for nothing"),
    ],
)
def test_the_slope_is_a_monthly_rate(
    engine: str, amounts: list[int | None], rates: tuple[float, float, float]
) -> None:
    row = measure(engine, customer_mrr_months=months(*amounts))
    assert (row["growth_low"], row["monthly_growth"], row["growth_high"]) == pytest.approx(rates)


@pytest.mark.parametrize("engine", ENGINES)
def test_growth_is_not_measured_for_customers_who_left(engine: str) -> None:
    row = measure(engine, subscriptions=[subscription(status="canceled")])
    assert (row["monthly_growth"], row["growth_low"], row["growth_high"]) == (None, None, None)
    assert (row["expansion"], row["expansions"], row["months"]) == (0.5, 5, 12)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_customer_without_revenue_has_a_row_without_figures(engine: str) -> None:
    row = measure(engine, customer_mrr_months=[])
    figures = ("monthly_growth", "expansion", "first_mrr_minor", "last_mrr_minor", "currency", "product")
    assert [row[name] for name in figures] == [None] * 6
    assert (row["months"], row["expansions"], row["gates_failed"]) == (0, 0, "points")


@pytest.mark.parametrize("engine", ENGINES)
def test_deleted_customers_and_those_who_never_subscribed_have_no_row(engine: str) -> None:
    sources = {name: raw(name) for name in ("invoices", "invoice_lines", "charges", "disputes", "refunds")}
    table = growth(
        **on(
            engine,
            **sources,
            customers=raw("customers", {"id": "cus_1", "deleted": True}, {"id": "cus_2"}),
            subscriptions=raw("subscriptions", subscription()),
            customer_mrr_months=segment("customer_mrr_months", *months(*STEADY)),
        ),
        as_of=AS_OF,
    )
    assert table.num_rows == 0


def yearly(*amounts: int) -> dict[str, list[dict[str, Any]]]:
    """A customer billed once a year on 1 March: months and invoice lines, the last year being the present one."""
    first = 2026 - len(amounts) + 1
    billed = [
        line(
            invoice=f"in_{number}",
            amount=amount * 12,
            created=at(f"{first + number}-03-01"),
            period_start=at(f"{first + number}-03-01"),
            period_end=at(f"{first + number + 1}-03-01"),
        )
        for number, amount in enumerate(amounts)
    ]
    invoices = [invoice(number, created=row["created"]) for number, row in enumerate(billed)]
    by_month = [amount for amount in amounts[:-1] for _ in range(12)] + [amounts[-1]] * 2
    return {"customer_mrr_months": months(*by_month), "invoices": invoices, "invoice_lines": billed}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("amounts", "failed", "expansions", "candidate"),
    [
        pytest.param((10_000, 12_000, 14_400), "", 2, True, id="a fifth more each year for three years"),
        pytest.param((10_000, 14_400), "points", 1, False, id="two years are no trend"),
        pytest.param((10_000, 10_000, 14_400), "", 1, False, id="one renewal that rose is not sure"),
        pytest.param((5_000, 6_000, 7_200, 8_640, 10_368, 12_442), "", 4, True, id="five years back, no more"),
    ],
)
def test_annual_plans_have_one_point_a_year(
    engine: str, amounts: tuple[int, ...], failed: str, expansions: int, candidate: bool
) -> None:
    row = measure(engine, subscriptions=[subscription(start_date=at("2025-12-01"))], **yearly(*amounts))
    assert (row["gates_failed"], row["expansions"], row["candidate"]) == (failed, expansions, candidate)
    if candidate:
        assert row["monthly_growth"] == pytest.approx(1.2 ** (1 / 12) - 1, rel=1e-3)


@pytest.mark.parametrize("engine", ENGINES)
def test_one_annual_invoice_is_no_tenure(engine: str) -> None:
    row = measure(engine, subscriptions=[subscription(start_date=at("2025-12-01"))], **yearly(10_000))
    assert row["gates_failed"] == "tenure; points"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_monthly_plan_beside_an_annual_one_gives_monthly_points(engine: str) -> None:
    given = yearly(10_000, 12_000, 14_400)
    given["invoice_lines"].append(line(invoice="in_2"))
    row = measure(engine, **given)
    assert (row["months"], row["first_mrr_minor"], row["expansions"]) == (24, 12_000 - 2_000, 2)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("lines", "product"),
    [
        pytest.param([line(), line(product="prod_b", amount=1_001)], "prod_b", id="the larger"),
        pytest.param([line(product="prod_b"), line()], "prod_a", id="the first by name among equals"),
        pytest.param(
            [line(), line(product="prod_b", amount=1_500, discount_amount=400, inclusive_tax_amount=200)],
            "prod_a",
            id="net of discount and tax",
        ),
        pytest.param(
            [line(), line(product="prod_b", amount=9_000, created=at("2023-01-01"))],
            "prod_a",
            id="not of long ago",
        ),
        pytest.param([line(), line(product="prod_b", amount=9_000, invoice="in_9")], "prod_a", id="not unpaid"),
        pytest.param(
            [line(), line(product="prod_b", amount=9_000, currency="eur")], "prod_a", id="in its currency"
        ),
        pytest.param([line(product=None)], None, id="none is named"),
    ],
)
def test_the_product_is_the_one_with_the_most_net_revenue(
    engine: str, lines: list[dict[str, Any]], product: str | None
) -> None:
    assert measure(engine, invoice_lines=lines)["product"] == product


@pytest.mark.parametrize("seed", range(3))
def test_engines_agree_on_hostile_rows(seed: int) -> None:
    sources = business(seed, 120)
    found = [growth(**on(engine, **sources), as_of=AS_OF) for engine in ENGINES]
    assert found[0].equals(found[1])
    assert found[0].num_rows > 100
    assert 0 < found[0]["monthly_growth"].null_count < found[0].num_rows


def test_no_rows_at_all_is_no_growth() -> None:
    assert growth(*[None] * 8, as_of=AS_OF).num_rows == 0
