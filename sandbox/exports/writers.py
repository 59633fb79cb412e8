"""Exports of the pretend account, as Stripe delivers them: Data Pipeline's Parquet and the Dashboard's CSV files.

Columns are Sigma's and the Dashboard's own, those included that nobody should read (names, descriptions, last
digits), as real exports have them. A run folder is written first and its marker last. The rows of the Parquet
tables are found through `tables`. Not here: what a reader makes of them.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from sandbox.exports.links import Links
from sandbox.exports.tables import SIGMA
from sandbox.stripe.store import Store

__all__ = ["write_dashboard_csv", "write_pipeline_run"]

Obj = dict[str, Any]
# Currencies of the pretend account whose amounts have no decimals.
_WHOLE: Final = frozenset({"jpy"})


def write_pipeline_run(
    store: Store,
    folder: Path,
    *,
    run: str,
    livemode: bool,
    tables: Iterable[str] | None = None,
    rows_per_file: int = 50_000,
    marker: bool = True,
) -> Path:
    """Write `folder/<tree>/<run>/<table>/part-N.parquet`, then `coreapi_SUCCESS`; returns the run folder."""
    target = folder / ("livemode" if livemode else "testmode") / run
    links = Links(store)
    for name in tables or SIGMA:
        rows = list(SIGMA[name].rows(links))
        directory = target / name
        directory.mkdir(parents=True, exist_ok=True)
        for part, start in enumerate(range(0, max(1, len(rows)), rows_per_file)):
            chunk = pa.Table.from_pylist(rows[start : start + rows_per_file], schema=SIGMA[name].schema)
            pq.write_table(chunk, directory / f"part-{part:05d}.parquet")
    if marker:
        (target / "coreapi_SUCCESS").touch()
    return target


def write_dashboard_csv(store: Store, folder: Path, *, files: Iterable[str] | None = None) -> tuple[Path, ...]:
    """Write the Dashboard's exports (`customers.csv`, `subscriptions.csv`, …) and return their paths."""
    links = Links(store)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in files or _DASHBOARD:
        rows = list(_DASHBOARD[name](links))
        path = folder / f"{name}.csv"
        with path.open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, fieldnames=list(rows[0]) if rows else ["id"])
            writer.writeheader()
            writer.writerows(rows)
        written.append(path)
    return tuple(written)


def _time(seconds: int | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _major(amount: int | None, currency: str) -> str:
    """An amount as the Dashboard writes it: in major units."""
    if amount is None:
        return ""
    return str(amount) if currency in _WHOLE else f"{Decimal(amount) / 100:.2f}"


def _customers(links: Links) -> Iterator[Mapping[str, Any]]:
    for obj in links.all("customers"):
        yield {
            "id": obj["id"],
            "Description": obj["description"],
            "Email": obj["email"],
            "Name": obj["name"],
            "Created (UTC)": _time(obj["created"]),
            "Delinquent": str(obj["delinquent"]).lower(),
            "Currency": obj["currency"] or "",
            "Card Last4": "4242",
            "plan (metadata)": "canary metadata",
        }


def _subscriptions(links: Links) -> Iterator[Mapping[str, Any]]:
    for obj in links.all("subscriptions"):
        items = obj["items"]["data"]
        only = items[0] if len(items) == 1 else None
        price = only["price"] if only else None
        yield {
            "id": obj["id"],
            "Customer ID": obj["customer"],
            "Customer Description": "canary",
            "Customer Email": "canary@canary-mail.example",
            "Plan": price["id"] if price else "",
            "Product": price["product"] if price else "",
            "Quantity": (only or {}).get("quantity", ""),
            "Currency": obj["currency"],
            "Interval": price["recurring"]["interval"] if price else "",
            "Amount": _major(price["unit_amount"], obj["currency"]) if price else "",
            "Status": obj["status"],
            "Created (UTC)": _time(obj["created"]),
            "Start Date (UTC)": _time(obj["start_date"]),
            "Current Period Start (UTC)": _time(
                min((item["current_period_start"] for item in items), default=None)
            ),
            "Current Period End (UTC)": _time(max((item["current_period_end"] for item in items), default=None)),
            "Trial Start (UTC)": _time(obj["trial_start"]),
            "Trial End (UTC)": _time(obj["trial_end"]),
            "Canceled At (UTC)": _time(obj["canceled_at"]),
            "Cancel At Period End": str(obj["cancel_at_period_end"]).lower(),
            "Ended At (UTC)": _time(obj["ended_at"]),
            "Cancellation Reason": obj["cancellation_details"]["reason"] or "",
        }


def _status_of(charge: Obj) -> str:
    if not charge["paid"]:
        return "Failed" if charge["status"] == "failed" else "Pending"
    if charge["refunded"]:
        return "Refunded"
    return "Partial Refund" if charge["amount_refunded"] else "Paid"


def _unified_payments(links: Links) -> Iterator[Mapping[str, Any]]:
    disputes = {dispute["charge"]: dispute for dispute in links.all("disputes")}
    for obj in links.all("charges"):
        dispute = disputes.get(obj["id"])
        currency = obj["currency"]
        yield {
            "id": obj["id"],
            "Created date (UTC)": _time(obj["created"]),
            "Amount": _major(obj["amount"], currency),
            "Amount Refunded": _major(obj["amount_refunded"], currency),
            "Currency": currency,
            "Captured": str(obj["captured"]).lower(),
            "Decline Reason": (obj["outcome"] or {}).get("reason") or "",
            "Description": obj["description"],
            "Status": _status_of(obj),
            "Mode": "Live" if obj["livemode"] else "Test",
            "Customer ID": obj["customer"],
            "Customer Email": obj["receipt_email"],
            "Invoice ID": links.invoice_of.get(obj["id"], ""),
            "PaymentIntent ID": obj["payment_intent"],
            "Card Brand": "Visa",
            "Card Last4": "4242",
            "Disputed Amount": _major(dispute["amount"], currency) if dispute else "",
            "Dispute Reason": dispute["reason"] if dispute else "",
            "Dispute Status": dispute["status"] if dispute else "",
        }


def _disputes(links: Links) -> Iterator[Mapping[str, Any]]:
    for obj in links.all("disputes"):
        yield {
            "id": obj["id"],
            "Charge ID": obj["charge"],
            "PaymentIntent ID": obj["payment_intent"],
            "Amount": _major(obj["amount"], obj["currency"]),
            "Currency": obj["currency"],
            "Reason": obj["reason"].replace("_", " ").capitalize(),
            "Status": obj["status"].replace("_", " ").capitalize(),
            "Created (UTC)": _time(obj["created"]),
            "Evidence Due (UTC)": _time(obj["evidence_details"]["due_by"]),
        }


def _invoices(links: Links) -> Iterator[Mapping[str, Any]]:
    for obj in links.all("invoices"):
        currency = obj["currency"]
        yield {
            "id": obj["id"],
            "Number": obj["number"],
            "Customer": obj["customer"],
            "Customer Name": obj["customer_name"],
            "Subscription": (obj["parent"] or {}).get("subscription_details", {}).get("subscription") or "",
            "Currency": currency,
            "Status": obj["status"].capitalize(),
            "Subtotal": _major(obj["subtotal"], currency),
            "Total": _major(obj["total"], currency),
            "Amount Due": _major(obj["amount_due"], currency),
            "Amount Paid": _major(obj["amount_paid"], currency),
            "Amount Remaining": _major(obj["amount_remaining"], currency),
            "Billing": obj["collection_method"],
            "Date (UTC)": _time(obj["created"]),
            "Due Date (UTC)": _time(obj["due_date"]),
            "Paid At (UTC)": _time(obj["status_transitions"]["paid_at"]),
        }


_DASHBOARD: Final[dict[str, Callable[[Links], Iterator[Mapping[str, Any]]]]] = {
    "customers": _customers,
    "subscriptions": _subscriptions,
    "unified_payments": _unified_payments,
    "disputes": _disputes,
    "invoices": _invoices,
}
