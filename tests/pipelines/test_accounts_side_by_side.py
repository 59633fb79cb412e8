"""Two accounts on two sandboxes, run at the same time as partitions: nothing of one reaches the other."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest
from pydantic import SecretStr

import resources.stripe_api
from pipelines.accounts import load_accounts
from pipelines.causes import root_cause
from pipelines.definitions import build_definitions
from pipelines.settings import Settings
from resources.lake import Lake
from resources.progress import Silent
from resources.state import open_state
from resources.state.extraction import cursors
from resources.state.ledger import intents
from sandbox.launch import Sandbox
from tests.pipelines.accounts import KEYS, Deployment, at

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_NAMES = tuple(KEYS)
# As in production: capturing what steps print starts processes, and runs in threads leave theirs behind.
_NO_LOGS = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    return Deployment(tmp_path, monkeypatch)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides={"compute_logs": _NO_LOGS}) as made:
        yield made


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    """Every pair of address and key that a client was made with."""
    pairs: set[tuple[str, str]] = set()

    class Noted(resources.stripe_api.StripeApi):
        def __init__(self, key: SecretStr, *, base_url: str, **given: Any) -> None:
            pairs.add((base_url, key.get_secret_value()))
            super().__init__(key, base_url=base_url, **given)

    monkeypatch.setattr(resources.stripe_api, "StripeApi", Noted)
    return pairs


def _run_at_once(
    settings: Settings, instance: dg.DagsterInstance, job: str, *names: str
) -> dict[str, dg.ExecuteInProcessResult]:
    """A run of each partition, all under way together, in what Dagster loads for all accounts."""
    definitions = build_definitions(settings, progress=Silent())
    instance.add_dynamic_partitions("stripe_account", list(names))

    def run(name: str) -> dg.ExecuteInProcessResult:
        return definitions.resolve_job_def(job).execute_in_process(
            instance=instance, partition_key=name, raise_on_error=False, run_config=_QUIET
        )

    with ThreadPoolExecutor(len(names)) as pool:
        return dict(zip(names, pool.map(run, names), strict=True))


def _of_account(settings: Settings, name: str, column: Any) -> set[Any]:
    own = load_accounts(settings).settings(name)
    with open_state(own.state_url, schema=own.state_schema).read() as connection:
        return set(connection.execute(column.table.select().with_only_columns(column)).scalars())


def _stripe_id(sandbox: Sandbox) -> str:
    headers = {"Authorization": f"Bearer {KEYS[_NAMES[0]]}"}
    return str(httpx.get(f"{sandbox.stripe}/v1/account", headers=headers).json()["id"])


def test_accounts_run_at_once_keep_keys_tables_and_state_apart_and_one_fails_alone(
    deployment: Deployment, instance: dg.DagsterInstance, used: set[tuple[str, str]]
) -> None:
    with Sandbox(customers=12, seed=7) as first, Sandbox(customers=17, seed=8) as second:
        mixed_up = {**at(second), "stripe_account": "acct_ofSomebodyElse"}
        deployment.write(
            {"acme": at(first), "beta-shop": at(second), "mixed-up": mixed_up},
            keys={**KEYS, "mixed-up": "rk_test_mixedmixedmixed"},
        )
        settings = deployment.settings()
        results = _run_at_once(settings, instance, "extract", *_NAMES, "mixed-up")
        ids = {"acme": _stripe_id(first), "beta-shop": _stripe_id(second)}
        addresses = first.stripe, second.stripe

    assert {name: result.success for name, result in results.items()} == {
        "acme": True,
        "beta-shop": True,
        "mixed-up": False,
    }
    (failure,) = [event for event in results["mixed-up"].all_events if event.is_step_failure]
    assert "STRIPE_ACCOUNT names acct_ofSomebodyElse" in root_cause(failure.step_failure_data.error)
    assert used == {
        (addresses[0], KEYS["acme"]),
        (addresses[1], KEYS["beta-shop"]),
        (addresses[1], "rk_test_mixedmixedmixed"),
    }
    accounts = load_accounts(settings)
    rows = {name: Lake(accounts.settings(name).lake).row_count("stripe/customers") for name in _NAMES}
    assert rows == {"acme": 12, "beta-shop": 17}
    assert not Lake(accounts.settings("mixed-up").lake).exists("stripe/customers")
    for name, stripe_id in ids.items():
        assert _of_account(settings, name, cursors.c.account) == {f"{stripe_id}:test"}
    key = dg.AssetKey(["stripe", "customers"])
    assert instance.get_materialized_partitions(key) == set(_NAMES)


@pytest.mark.soak
def test_accounts_run_whole_at_once_and_the_budget_of_one_is_not_the_others(
    deployment: Deployment, instance: dg.DagsterInstance, used: set[tuple[str, str]]
) -> None:
    with Sandbox(customers=300, seed=7) as first, Sandbox(customers=300, seed=8) as second:
        deployment.write({"acme": {**at(first), "mavera_credit_budget": 150}, "beta-shop": at(second)})
        settings = deployment.settings()
        results = _run_at_once(settings, instance, "refresh", *_NAMES)
        assert all(result.success for result in results.values())
        paid = {name: _charged(one) for name, one in (("acme", first), ("beta-shop", second))}
        assert used == {(first.stripe, KEYS["acme"]), (second.stripe, KEYS["beta-shop"])}

    assert paid["acme"] <= 150 < paid["beta-shop"]
    mine, theirs = (_of_account(settings, name, intents.c.token) for name in _NAMES)
    assert theirs
    assert not mine & theirs


def _charged(sandbox: Sandbox) -> int:
    base = sandbox.mavera.removesuffix("/api/v1")
    return sum(charge["credits"] for charge in httpx.get(f"{base}/_sandbox/ledger").json()["charges"])
