"""The sandbox as a process: the ready line, the official SDK against it, memory between starts, its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil
import pytest
import stripe

from sandbox.launch import Sandbox, SandboxError

ROOT = Path(__file__).resolve().parents[2]
KEY = "rk_test_51Sandbox"


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with Sandbox(customers=150, seed=7, end="2026-11-01T00:00:00", account_rate=0, operation_rate=0) as running:
        yield running


@pytest.fixture
def sdk(box: Sandbox) -> stripe.StripeClient:
    return stripe.StripeClient(KEY, base_addresses={"api": box.stripe}, max_network_retries=0)


def get(box: Sandbox, path: str, **params: str) -> httpx.Response:
    return httpx.get(f"{box.stripe}{path}", params=params, headers={"Authorization": f"Bearer {KEY}"}, timeout=30)


def test_the_ready_line_says_where_everything_is(box: Sandbox) -> None:
    urls = box.urls
    assert urls.stripe is not None
    assert urls.mavera is not None
    assert urls.fx is not None
    assert urls.stripe.startswith("http://127.0.0.1:")
    assert urls.mavera.startswith("http://127.0.0.1:")
    assert urls.fx == f"{urls.stripe}/fx/eurofxref-hist.csv"
    assert urls.end == datetime(2026, 11, 1, tzinfo=UTC)
    assert httpx.get(urls.fx).text.startswith("Date,USD,")
    assert httpx.get(f"{urls.mavera}/personas").status_code == 401


def test_only_loopback_is_bound(box: Sandbox) -> None:
    listening = [c for c in psutil.Process(box.pid).net_connections("inet") if c.status == psutil.CONN_LISTEN]
    assert {each.laddr.ip for each in listening} == {"127.0.0.1"}
    assert len(listening) == 2


@pytest.mark.parametrize(
    "resource",
    ["customers", "invoices", "charges", "refunds", "disputes", "prices", "products", "coupons", "events"],
)
def test_the_official_sdk_pages_through_lists(box: Sandbox, sdk: stripe.StripeClient, resource: str) -> None:
    seen = [row.id for row in getattr(sdk.v1, resource).list({"limit": 100}).auto_paging_iter()]
    assert seen == [row["id"] for row in box.objects(resource)]


def test_the_official_sdk_filters_expands_and_looks_up(sdk: stripe.StripeClient) -> None:
    params = {"limit": 100, "status": "all", "expand": ["data.latest_invoice", "data.discounts.source.coupon"]}
    rows = list(sdk.v1.subscriptions.list(params).auto_paging_iter())
    assert {"active", "canceled"} <= {row.status for row in rows}
    row = rows[0]
    assert row.latest_invoice.object == "invoice"
    assert sdk.v1.subscriptions.retrieve(row.id).id == row.id
    items = sdk.v1.subscription_items.list({"subscription": row.id})
    assert [item.id for item in items.data] == [item.id for item in row["items"].data][:10]
    moment = rows[10].created
    window = sdk.v1.subscriptions.list(
        {"status": "all", "limit": 100, "created": {"gte": moment, "lt": moment + 1}}
    )
    assert rows[10].id in [each.id for each in window.data]
    prices = sdk.v1.prices.list({"limit": 100, "expand": ["data.tiers"]}).auto_paging_iter()
    assert any(price.to_dict().get("tiers") for price in prices)
    lines = sdk.v1.invoices.line_items.list(row.latest_invoice.id)
    assert all(line.object == "line_item" for line in lines.data)
    assert sdk.v1.accounts.retrieve_current().object == "account"


def test_the_official_sdk_pages_backwards_through_events(sdk: stripe.StripeClient) -> None:
    rows = sdk.v1.events.list({"limit": 30, "types": ["invoice.paid", "charge.succeeded"]}).data
    newer = sdk.v1.events.list(
        {"limit": 100, "types": ["invoice.paid", "charge.succeeded"], "ending_before": rows[-1].id}
    )
    assert [row.id for row in newer.auto_paging_iter()][::-1] == [row.id for row in rows[:-1]]


@pytest.mark.parametrize(
    ("faults", "key", "error"),
    [
        pytest.param({}, "pk_test_51Sandbox", stripe.AuthenticationError, id="wrong kind of key"),
        pytest.param({"forbidden": ["charges"]}, KEY, stripe.PermissionError, id="missing permission"),
        pytest.param({"rate_429": {"endpoint-rate": 1}}, KEY, stripe.RateLimitError, id="too many requests"),
        pytest.param({"rate_500": 1}, KEY, stripe.APIError, id="server error"),
        pytest.param({"rate_drop": 1}, KEY, stripe.APIConnectionError, id="dropped connection"),
    ],
)
def test_the_official_sdk_raises_its_own_errors(
    box: Sandbox, faults: dict[str, object], key: str, error: type[stripe.StripeError]
) -> None:
    client = stripe.StripeClient(key, base_addresses={"api": box.stripe}, max_network_retries=0)
    box.control(reset=True, faults=faults)
    try:
        with pytest.raises(error):
            client.v1.charges.list({"limit": 100})
    finally:
        box.control(reset=True)


def test_a_dropped_connection_ends_in_the_middle_of_the_body(box: Sandbox) -> None:
    box.control(faults={"scripts": [{"operation": "GET /v1/charges", "drop": True}]})
    with pytest.raises(httpx.RemoteProtocolError):
        get(box, "/v1/charges", limit="100")
    assert get(box, "/v1/charges", limit="100").status_code == 200
    assert box.stats()["dropped"] == 1
    box.control(reset=True)


def test_latency_keeps_requests_under_way_together(box: Sandbox) -> None:
    box.control(reset=True, faults={"latency_ms": 300})
    with httpx.Client(base_url=box.stripe, headers={"Authorization": f"Bearer {KEY}"}) as client:
        started = time.monotonic()
        assert client.get("/v1/charges", params={"limit": 1}).elapsed.total_seconds() >= 0.3
        assert time.monotonic() - started >= 0.3
    box.control(reset=True)


def test_a_second_start_serves_the_account_as_it_was_left(tmp_path: Path) -> None:
    with Sandbox(customers=40, seed=3, only="stripe", state_dir=tmp_path) as first:
        first.advance(3)
        kept, end = first.objects("invoices"), first.stats()["end"]
    with Sandbox(only="stripe", state_dir=tmp_path, end="2030-01-01") as second:
        assert second.objects("invoices") == kept
        assert second.stats()["end"] == end
        assert second.urls.mavera is None
        assert f"{second.urls.end:%Y-%m-%dT%H:%M:%SZ}" == end


def test_another_account_in_the_same_state_folder_is_refused(tmp_path: Path) -> None:
    with Sandbox(customers=5, only="stripe", state_dir=tmp_path):
        pass
    with pytest.raises(SandboxError, match="remembers an account with customers 5, not 6"):
        Sandbox(customers=6, only="stripe", state_dir=tmp_path).start()


def test_without_an_end_the_clock_stands_at_the_beginning_of_today() -> None:
    before = datetime.now(UTC).date()
    with Sandbox(customers=5, only="stripe") as box:
        assert box.urls.end.time().isoformat() == "00:00:00"
        assert before <= box.urls.end.date() <= datetime.now(UTC).date()


def test_a_start_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="no such dataset folder"):
        Sandbox(dataset=tmp_path / "nowhere", only="stripe").start()


def test_a_taken_port_is_named_in_one_line(box: Sandbox) -> None:
    port = box.stripe.rpartition(":")[2]
    with pytest.raises(SandboxError, match=r"(?s)exit code 1; it said:\nsandbox: .*in use"):
        Sandbox(customers=1, only="stripe", stripe_port=port).start()


def test_leaving_the_block_ends_the_process() -> None:
    with Sandbox(customers=5, only="stripe") as box:
        pid = box.pid
    assert not psutil.pid_exists(pid)


def test_the_process_ends_when_its_parent_is_gone() -> None:
    program = (
        "from sandbox.launch import Sandbox; import os;"
        "box = Sandbox(customers=5, only='stripe'); box.start(); print(box.pid, flush=True); os._exit(0)"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True, timeout=60)
    orphan = int(ran.stdout)
    try:
        psutil.Process(orphan).wait(timeout=10)
    except psutil.NoSuchProcess:
        return
    except psutil.TimeoutExpired:
        os.kill(orphan, signal.SIGKILL)
        raise


def test_the_ready_line_is_all_that_is_printed() -> None:
    command = [sys.executable, "-m", "sandbox", "--customers", "5", "--only", "stripe", "--livemode"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        headers = {"Authorization": f"Bearer {KEY}"}
        assert httpx.get(f"{ready['stripe']}/v1/balance", headers=headers).json()["livemode"] is True
    finally:
        process.terminate()
        out, err = process.communicate(timeout=20)
    assert (out, err, process.returncode) == (b"", b"", 0)
