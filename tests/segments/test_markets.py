"""Countries of customers and the markets they form."""

import json
from datetime import date
from fractions import Fraction
from functools import cache
from typing import Any

import pyarrow as pa
import pytest

from segments.evidence import customer_markets
from segments.markets import markets
from segments.regions import region_of, regions
from tests.segments.raw import AS_OF, ENGINES, at, by_key, on, raw, segment

CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], str, str, str]] = {
    "nothing is known": ({}, {}, {}, "unknown", "none", "none"),
    "the tax location goes first": (
        {"tax_country": "FR", "tax_country_source": "billing_address", "country": "DE"},
        {},
        {},
        "FR",
        "tax_location",
        "medium",
    ),
    "a tax location by IP goes last": (
        {"tax_country": "FR", "tax_country_source": "ip_address", "country": "DE"},
        {},
        {},
        "DE",
        "billing_address",
        "medium",
    ),
    "IP alone": ({"tax_country": "FR", "tax_country_source": "ip_address"}, {}, {}, "FR", "tax_ip", "low"),
    "the same address twice is one source": (
        {"tax_country": "DE", "tax_country_source": "billing_address", "country": "DE"},
        {},
        {},
        "DE",
        "tax_location",
        "medium",
    ),
    "two sources agree": ({"country": "DE"}, {"card_country": "DE"}, {}, "DE", "billing_address", "high"),
    "they disagree": ({"country": "DE"}, {"card_country": "US"}, {}, "DE", "billing_address", "medium"),
    "a parcel's destination is not the market": (
        {"shipping_country": "AT"},
        {"billing_country": "DE"},
        {},
        "DE",
        "charge_billing",
        "medium",
    ),
    "a card's issuer alone is weak": ({}, {"card_country": "US"}, {}, "US", "card", "low"),
    "the default method's billing details": (
        {},
        {},
        {"billing_country": "ES", "card_country": "ES"},
        "ES",
        "method_billing",
        "high",
    ),
    "EL is Greece": ({"tax_id_country": "EL"}, {}, {}, "GR", "tax_id", "medium"),
    "XI is Northern Ireland": ({"tax_id_country": "XI"}, {}, {}, "GB", "tax_id", "medium"),
    "spelling is repaired": ({"country": " uk "}, {}, {}, "GB", "billing_address", "medium"),
    "no code": ({"country": "Germany", "shipping_country": "DE"}, {}, {}, "DE", "shipping", "medium"),
    "a currency is no country": ({"currency": "eur"}, {}, {}, "unknown", "none", "none"),
}
"""The customer, its charge, its payment method; the country, its source and its confidence."""


@cache
def _placed(engine: str) -> dict[str, dict[str, Any]]:
    """All cases at once, each as a customer."""
    rows = CASES.items()
    sources = on(
        engine,
        customers=raw(
            "customers", *({"id": name, "default_payment_method": f"pm_{name}", **case[0]} for name, case in rows)
        ),
        charges=raw("charges", *({"customer": name, "paid": True, **case[1]} for name, case in rows if case[1])),
        methods=raw("payment_methods", *({"id": f"pm_{name}", **case[2]} for name, case in rows if case[2])),
    )
    return by_key(customer_markets(sources["customers"], sources["charges"], sources["methods"]), "customer")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", CASES)
def test_the_country_of_a_customer(engine: str, name: str) -> None:
    row, (country, source, confidence) = _placed(engine)[name], CASES[name][3:]
    assert (row["country"], row["source"], row["confidence"]) == (country, source, confidence)
    assert row["region"] == region_of(country)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_latest_paid_charge_counts(engine: str) -> None:
    charges = (
        {"billing_country": "DE", "created": at("2025-01-01")},
        {"billing_country": "AT", "created": at("2026-01-01")},
        {"billing_country": "CH", "created": at("2026-02-01"), "paid": False},
        {"billing_country": None, "created": at("2026-03-01")},
    )
    sources = on(
        engine,
        customers=raw("customers", {"id": "cus_1"}),
        charges=raw("charges", *({"customer": "cus_1", "paid": True, **charge} for charge in charges)),
    )
    (row,) = customer_markets(sources["customers"], sources["charges"], None).to_pylist()
    assert row["country"] == "AT"


def test_every_country_has_a_region() -> None:
    assert len(regions()) == 250
    assert region_of("XK") == "Southern Europe"
    assert region_of("NR") == "Micronesia"
    assert region_of("ZZ") == "unknown"
    assert all(len(code) == 2 and code.isupper() and region for code, region in regions().items())


def _charge(customer: str | None, amount: int, **columns: Any) -> dict[str, Any]:
    return {
        "customer": customer,
        "amount": amount,
        "amount_captured": amount,
        "currency": "eur",
        "paid": True,
        "status": "succeeded",
        "created": at("2026-05-01"),
        "method_type": "card",
        "card_brand": "visa",
        **columns,
    }


def _markets(engine: str, *charges: dict[str, Any], disputes: tuple[dict[str, Any], ...] = ()) -> pa.Table:
    places = segment(
        "customer_markets",
        {"customer": "cus_1", "country": "DE", "currency": "eur", "confidence": "high"},
        {"customer": "cus_2", "country": "DE", "currency": "eur", "confidence": "low"},
        {"customer": "cus_3", "country": "unknown", "currency": "none", "confidence": "none"},
    )
    sources = on(
        engine, charges=raw("charges", *charges), disputes=raw("disputes", *disputes), customer_markets=places
    )
    return markets(
        sources["charges"],
        sources["disputes"],
        sources["customer_markets"],
        rates={"eur": (Fraction(11, 10), date(2026, 5, 14))},
        reporting_currency="usd",
        as_of=AS_OF,
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_a_market_sums_its_payments(engine: str) -> None:
    table = _markets(
        engine,
        _charge("cus_1", 1_000, id="ch_1", invoice="in_1", paid=False, status="failed"),
        _charge("cus_1", 1_000, id="ch_2", invoice="in_1"),
        _charge("cus_1", 500, id="ch_3", amount_refunded=200, method_type="sepa_debit", card_brand=None),
        _charge("cus_2", 700, id="ch_4", paid=False, status="failed", invoice="in_2"),
        _charge("cus_2", 700, id="ch_5", paid=False, status="failed", invoice="in_2"),
        _charge("cus_2", 700, id="ch_6", paid=False, status="pending", invoice="in_3"),
        _charge("cus_1", 900, id="ch_7", created=at("2024-01-01")),
        _charge(None, 300, id="ch_8", billing_country="fr"),
        disputes=(
            {"charge": "ch_2", "status": "lost"},
            {"charge": "ch_2", "status": "won"},
            {"charge": "ch_3", "status": "warning_closed"},
        ),
    )
    found = by_key(table, "country", "currency")
    assert set(found) == {("DE", "eur"), ("FR", "eur"), ("unknown", "none")}
    germany = found["DE", "eur"]
    assert germany["customers"] == 2
    assert germany["paying_customers"] == 1
    assert (germany["paid_charges"], germany["paid_minor"], germany["paid_reporting_minor"]) == (2, 1_300, 1_430)
    assert (germany["attempted"], germany["succeeded"]) == (3, 2)
    assert germany["success_rate"] == pytest.approx(2 / 3), "two invoices paid of three: retries count once"
    assert germany["dispute_rate"] == 0.5, "one charge of two, though it has two disputes; an inquiry is none"
    assert json.loads(germany["method_mix"]) == {"card": 0.5, "sepa_debit": 0.5}
    assert json.loads(germany["card_mix"]) == {"visa": 1.0}
    assert (germany["high_confidence_share"], germany["low_confidence_share"]) == (0.5, 0.5)
    assert (germany["largest_paid_minor"], germany["second_paid_minor"]) == (1_300, None)
    assert found["FR", "eur"]["customers"] == 0
    assert found["FR", "eur"]["paying_customers"] == 0
    assert found["unknown", "none"]["customers"] == 1


def test_a_currency_without_rate_has_no_reporting_amount() -> None:
    found = by_key(_markets("pandas", _charge("cus_1", 100, currency="xaf")), "country", "currency")
    assert found["DE", "xaf"]["paid_reporting_minor"] is None
    assert found["DE", "xaf"]["customers"] == 0
