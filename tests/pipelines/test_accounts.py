"""Several accounts: what each has of its own never comes from another place, and a bad entry stops no other."""

import asyncio
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest
import yaml
from typer.testing import CliRunner

from ingest.webhooks import sign_stripe
from pipelines.accounts import AccountsError, load_accounts
from pipelines.cli import app as command_line
from pipelines.dagster_home import prepare_dagster_home
from pipelines.definitions import build_definitions, resources_of
from pipelines.migration import migrate
from pipelines.monitor import monitor_beside
from pipelines.notify import Message
from pipelines.partitions import ACCOUNTS
from pipelines.receiver import _app_of_accounts
from pipelines.sandboxes import with_sandboxes
from pipelines.sensors import warnings_of_runs
from resources.progress import Silent
from resources.state import open_state
from resources.state.inbox import InboxRow, insert_events
from tests.ingest.webhook_events import event_bytes
from tests.pipelines.accounts import KEYS, Deployment
from tests.pipelines.ledger_rows import held_row

NOW = datetime(2026, 11, 24, 5, tzinfo=UTC)


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    return Deployment(tmp_path, monkeypatch)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as made:
        yield made


def test_each_account_has_its_own_key_places_and_words(deployment: Deployment) -> None:
    deployment.write({"acme": {"stripe_account": "acct_A"}, "beta-shop": {"mavera_credit_budget": 7}})
    accounts = load_accounts(deployment.settings(mavera_credit_budget=50, stripe_account="acct_other"))
    acme, beta = (accounts.settings(name) for name in accounts.names)
    assert [one.stripe_key.get_secret_value() for one in (acme, beta)] == list(KEYS.values())
    assert (acme.stripe_account, beta.stripe_account) == ("acct_A", None)
    assert (acme.mavera_credit_budget, beta.mavera_credit_budget) == (50, 7)
    home = deployment.folder / "data" / "accounts"
    assert acme.lake == str(home / "acme/test/lake")
    assert beta.state_url == f"sqlite:///{home / 'beta-shop/test/state.db'}"
    assert acme.operator_path == Path("operator-acme.toml")
    assert acme.pace_url == beta.pace_url, "one Mavera key has one pace"
    assert {secret.get_secret_value() for secret in accounts.secrets} == set(KEYS.values())


def test_places_of_all_are_divided_among_the_accounts(deployment: Deployment) -> None:
    deployment.write({name: {} for name in KEYS})
    database = "postgresql://user:word@db.example/state"
    accounts = load_accounts(
        deployment.settings(
            lake_uri="s3://bucket/lake/",
            state_database_url=database,
            mavera_callback_url="https://hooks.example/webhooks/mavera",
        )
    )
    beta = accounts.settings("beta-shop")
    assert beta.lake == "s3://bucket/lake/beta-shop"
    assert (beta.state_url, beta.state_schema) == (database, "account_beta_shop")
    assert beta.mavera_callback_url == "https://hooks.example/accounts/beta-shop/webhooks/mavera"
    state = resources_of(beta, Silent())["state"]
    assert state.schema_name == "account_beta_shop"
    local = load_accounts(deployment.settings(state_database_url="sqlite:////var/state.db"))
    assert local.settings("acme").state_url == "sqlite:////var/state-acme.db"


def test_an_own_mavera_key_is_never_sent_to_the_address_of_all(deployment: Deployment) -> None:
    """`ui` sets an address of all for the accounts that have no key: a pretend Mavera, where real work is free."""
    deployment.patch.setenv("ACME_MAVERA", "mvra_own")
    live = {**KEYS, "acme": "rk_live_acmeacmeacme"}
    deployment.write({"acme": {"mavera_api_key_env": "ACME_MAVERA"}, "beta-shop": {}}, keys=live)
    accounts = load_accounts(deployment.settings(mavera_api_base="http://127.0.0.1:9/api/v1"))
    acme, beta = (accounts.settings(name) for name in accounts.names)
    assert (acme.mavera_base, acme.auto_approve_credits) == ("https://app.mavera.io/api/v1", 0)
    assert (acme.mavera_is_stand_in, acme.environment) == (False, "live")
    assert (beta.mavera_base, beta.mavera_is_stand_in) == ("http://127.0.0.1:9/api/v1", True)

    own = {"mavera_api_key_env": "ACME_MAVERA", "mavera_api_base": "https://mavera.example/api/v1"}
    deployment.write({"acme": own}, keys=live)
    acme = load_accounts(deployment.settings(mavera_api_base="http://127.0.0.1:9/api/v1")).settings("acme")
    assert acme.mavera_base == "https://mavera.example/api/v1"


@pytest.mark.parametrize(
    ("entries", "sides"),
    [
        pytest.param({"acme": {"mavera_api_key_env": "OWN"}}, None, id="every account has a key"),
        pytest.param({"acme": {"mavera_api_base": "http://127.0.0.1:9/api/v1"}}, None, id="or an address"),
        pytest.param({"acme": {"mavera_api_key_env": "NOT_SET"}}, None, id="an entry that cannot be used"),
        pytest.param({"acme": {"mavera_api_key_env": "OWN"}, "beta-shop": {}}, "mavera", id="one has neither"),
    ],
)
def test_a_pretend_mavera_is_started_only_for_an_account_that_needs_it(
    deployment: Deployment, entries: dict[str, dict[str, object]], sides: str | None
) -> None:
    deployment.patch.setenv("OWN", "mvra_own")
    deployment.patch.setattr("pipelines.settings.SANDBOX_MAVERA_PORT", 9)
    deployment.write(entries)
    settings, said = deployment.settings(), list[str]()
    with with_sandboxes(settings, note=said.append) as ready:
        assert (ready.mavera_api_base is not None) == (sides is not None)
        assert ready.stripe_api_base is None
    assert len(said) == (sides is not None)


@pytest.mark.parametrize(
    ("text", "name", "problem"),
    [
        pytest.param('[a]\nstripe_api_key_env = "NOT_SET"', "a", "variable NOT_SET is not set", id="no key"),
        pytest.param("[a]\nstripe_api_key_env = 'BLANK'", "a", "variable BLANK is not set", id="a blank key"),
        pytest.param(
            '[a]\nstripe_api_key = "rk_test_1"', "a", "is no setting of an account", id="a key in the file"
        ),
        pytest.param("[a]\nreporting_currency = 'eur'", "a", "set stripe_api_key_env", id="no key named"),
        pytest.param("[a]\ndata_dir = '/x'", "a", "data_dir is no setting", id="a setting of all"),
        pytest.param(
            "[a]\nstripe_api_key_env = 'ONE'\nreporting_currency = 'euro'",
            "a",
            "reporting_currency",
            id="no currency",
        ),
        pytest.param(
            "[a]\nstripe_api_key_env = 'ONE'\n[b]\nstripe_api_key_env = 'ONE'",
            "b",
            "the key of a",
            id="one key twice",
        ),
        pytest.param("[A_b]\n", None, "'A_b' is no account", id="a name that is no folder everywhere"),
        pytest.param("a = 1", None, "'a' is no account", id="no table"),
        pytest.param("[a", None, "is not TOML", id="not TOML"),
        pytest.param("[a]\nstripe_api_key_env = 'ONE'", "z", "has no account 'z'; it has a", id="not in the file"),
    ],
)
def test_what_cannot_be_used_is_named_and_never_a_key(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, text: str, name: str | None, problem: str
) -> None:
    monkeypatch.setenv("ONE", "rk_test_verysecret")
    monkeypatch.setenv("BLANK", " ")
    (deployment.folder / "accounts.toml").write_text(text)
    with pytest.raises(AccountsError, match=problem) as refused:
        load_accounts(deployment.settings()).settings(name)
    assert "verysecret" not in str(refused.value)


def test_a_key_for_all_beside_the_file_is_refused(deployment: Deployment) -> None:
    deployment.write({"acme": {}})
    with pytest.raises(AccountsError, match="STRIPE_API_KEY is set beside STRIPE_ACCOUNTS_FILE"):
        load_accounts(deployment.settings(stripe_api_key="rk_test_1"))


def test_a_command_without_an_account_names_those_there_are(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment.write({name: {} for name in KEYS})
    monkeypatch.setenv("STRIPE_ACCOUNTS_FILE", str(deployment.folder / "accounts.toml"))
    told = CliRunner().invoke(command_line, ["held"])
    assert str(told.exception) == "there are several accounts: name one of acme, beta-shop with --account"


def test_no_key_is_in_what_dagster_stores_and_every_asset_has_the_partitions(deployment: Deployment) -> None:
    deployment.write({name: {} for name in KEYS})
    definitions = build_definitions(deployment.settings())
    repository = definitions.get_repository_def()
    for job in repository.get_all_jobs():
        assert not any(key in str(job.get_job_snapshot()) for key in KEYS.values())
        if not job.name.startswith("__"):
            assert job.partitions_def == ACCOUNTS, job.name
    graph = definitions.resolve_asset_graph()
    assert {graph.get(key).partitions_def for key in graph.get_all_asset_keys()} == {ACCOUNTS}


def test_pools_give_way_to_one_run_at_a_time_of_each_account(deployment: Deployment) -> None:
    deployment.write({"acme": {}})
    several = yaml.safe_load((prepare_dagster_home(deployment.settings()) / "dagster.yaml").read_text())
    assert several["concurrency"] == {
        "runs": {
            "tag_concurrency_limits": [
                {"key": "dagster/partition", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
            ]
        }
    }
    one = prepare_dagster_home(deployment.settings(stripe_accounts_file=None)) / "dagster.yaml"
    assert yaml.safe_load(one.read_text())["concurrency"] == {"pools": {"default_limit": 1}}


def test_partitions_follow_the_file_and_each_schedule_asks_for_each_account(
    deployment: Deployment, instance: dg.DagsterInstance
) -> None:
    deployment.write({name: {} for name in KEYS})
    repository = build_definitions(deployment.settings()).get_repository_def()
    instance.add_dynamic_partitions("stripe_account", ["acme", "left"])

    with dg.build_sensor_context(instance=instance, repository_def=repository) as context:
        tick: Any = repository.get_sensor_def("stripe_accounts")(context)
    (request,) = tick.run_requests or ()
    assert (request.run_key, request.partition_key) == ("beta-shop:first", "beta-shop")
    made = {key.to_user_string() for key in request.asset_selection or ()}
    assert {"stripe/charges", "segments/released_cells", "mavera/plan"} <= made
    assert "mavera/personas" not in made, "the first run pays nothing"
    added, deleted = tick.dynamic_partitions_requests or ()
    assert (added.partition_keys, deleted.partition_keys) == (["beta-shop"], ["left"])

    instance.add_dynamic_partitions("stripe_account", ["beta-shop"])
    for schedule in ("daily_refresh", "weekly_maintenance", "weekly_reconciliation"):
        with dg.build_schedule_context(
            instance=instance, scheduled_execution_time=NOW, repository_def=repository
        ) as due:
            asked = repository.get_schedule_def(schedule).evaluate_tick(due).run_requests or ()
        assert [(one.run_key, one.partition_key) for one in asked] == [
            ("acme:2026-11-24T05:00", "acme"),
            ("beta-shop:2026-11-24T05:00", "beta-shop"),
        ]


def test_an_account_that_cannot_be_looked_at_stops_no_other(
    deployment: Deployment, instance: dg.DagsterInstance
) -> None:
    deployment.write({"broken": {}, **{name: {} for name in KEYS}}, keys=KEYS)
    settings = deployment.settings()
    repository = build_definitions(settings).get_repository_def()
    instance.add_dynamic_partitions("stripe_account", ["broken", *KEYS])
    beta = load_accounts(settings).settings("beta-shop")
    insert_events(open_state(beta.state_url), [_event()])

    def tick(cursor: str | None) -> Any:
        with dg.build_sensor_context(instance=instance, repository_def=repository, cursor=cursor) as context:
            return repository.get_sensor_def("webhook_inbox")(context)

    first = tick(None)
    (request,) = first.run_requests or ()
    assert request.partition_key == "beta-shop"
    assert (request.run_key or "").startswith("beta-shop:")
    assert not tick(first.cursor).run_requests
    assert set(json.loads(first.cursor or "")["of"]) == {"beta-shop"}, "no other has run yet"


def _event() -> InboxRow:
    return InboxRow(
        origin="stripe",
        event_id="evt_1",
        type="customer.updated",
        object_type="customer",
        object_id="cus_1",
        account=None,
        api_version=None,
        livemode=False,
        created=datetime(2026, 11, 20, tzinfo=UTC),
        received_at=datetime(2026, 11, 20, tzinfo=UTC),
        status="pending",
    )


def test_a_webhook_reaches_the_inbox_of_its_account_by_path_or_by_the_account_it_names(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in KEYS:
        monkeypatch.setenv(f"HOOK_{name[:4].upper()}", f"whsec_{name}")
    deployment.write(
        {
            "acme": {"stripe_account": "acct_A", "stripe_webhook_secrets_env": "HOOK_ACME"},
            "beta-shop": {"stripe_account": "acct_B", "stripe_webhook_secrets_env": "HOOK_BETA"},
        }
    )
    settings = deployment.settings(stripe_webhook_secrets="whsec_shared")
    app, paths = _app_of_accounts(settings, note=lambda _line: None)
    assert paths == ["/accounts/<name>/webhooks/…", "/webhooks/stripe"]

    async def talk() -> None:
        transport = httpx.ASGITransport(app=app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://receiver") as client,
        ):

            async def send(path: str, secret: str, event: str, account: str | None = None) -> int:
                body = event_bytes(event_id=event, **({} if account is None else {"account": account}))
                signed = {"Stripe-Signature": sign_stripe(body, secret=secret, at=datetime.now(UTC))}
                return (await client.post(path, content=body, headers=signed)).status_code

            assert await send("/accounts/acme/webhooks/stripe", "whsec_acme", "evt_1") == 200
            assert await send("/accounts/beta-shop/webhooks/stripe", "whsec_acme", "evt_2") == 400, "of another"
            assert await send("/accounts/nobody/webhooks/stripe", "whsec_acme", "evt_3") == 404
            assert await send("/webhooks/stripe", "whsec_shared", "evt_4", "acct_B") == 200
            assert await send("/webhooks/stripe", "whsec_shared", "evt_5", "acct_unknown") == 200, "left alone"
            assert await send("/webhooks/stripe", "whsec_acme", "evt_6", "acct_B") == 400, "not a secret for all"
            assert (await client.get("/healthz")).text == "ok\n"
            assert (await client.get("/accounts/acme/healthz")).text == "ok\n"

    asyncio.run(talk())
    assert {name: _received(deployment, name) for name in KEYS} == {"acme": {"evt_1"}, "beta-shop": {"evt_4"}}


def _received(deployment: Deployment, name: str) -> set[str]:
    state = open_state(load_accounts(deployment.settings()).settings(name).state_url)
    with state.read() as connection:
        return set(connection.exec_driver_sql("SELECT event_id FROM inbox WHERE status = 'pending'").scalars())


def test_what_waits_is_told_once_for_each_account(
    deployment: Deployment, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment.write({name: {} for name in KEYS})
    notifier = (build_definitions(deployment.settings()).resources or {})["notifier"]
    heard: list[str] = []
    monkeypatch.setattr("pipelines.notify.Notifier.send", lambda _self, message: heard.append(message.title))

    @dg.asset(
        partitions_def=dg.StaticPartitionsDefinition(list(KEYS)),
        check_specs=[dg.AssetCheckSpec("nothing_waits", asset="outcomes")],
    )
    def outcomes(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        held = dg.AssetCheckResult(
            passed=False, severity=dg.AssetCheckSeverity.WARN, description=f"{context.partition_key}: 3 held"
        )
        return dg.MaterializeResult(check_results=[held])

    for name in ("acme", "beta-shop", "acme"):
        result = dg.materialize([outcomes], instance=instance, partition_key=name)
        with dg.build_run_status_sensor_context(
            sensor_name="warnings_of_runs",
            dagster_instance=instance,
            dagster_run=result.dagster_run,
            dagster_event=result.get_run_success_event(),
            resources={"notifier": notifier},
        ) as context:
            warnings_of_runs(context)
    assert [title.partition(":")[0] for title in heard] == ["acme", "beta-shop"]


def test_an_alert_names_its_account_in_what_to_type(
    deployment: Deployment, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment.write({name: {} for name in KEYS})
    settings = deployment.settings()
    acme = load_accounts(settings).settings("acme")
    held_row(open_state(acme.state_url), environment=acme.environment, credits=300, at=datetime.now(UTC))
    repository = build_definitions(settings).get_repository_def()
    instance.add_dynamic_partitions("stripe_account", list(KEYS))
    heard: list[tuple[str, ...]] = []
    reached = iter([False, True])

    def send(_self: object, message: Message) -> bool:
        heard.append(message.lines)
        return next(reached)

    monkeypatch.setattr("pipelines.notify.Notifier.send", send)
    cursor = None
    for _ in range(3):
        with dg.build_sensor_context(instance=instance, repository_def=repository, cursor=cursor) as context:
            cursor = repository.get_sensor_def("alerts")(context).cursor  # type: ignore[union-attr]
    (line,), again = heard
    assert "`stripe-mavera held --account acme`" in line
    assert again == (line,), "what reached nobody is told again, and then no more"


def test_the_metrics_of_each_account_are_its_own(deployment: Deployment) -> None:
    deployment.write({name: {} for name in KEYS})
    settings, said = deployment.settings(), list[str]()
    own = load_accounts(settings).settings("acme")
    held_row(open_state(own.state_url), environment=own.environment, credits=300, at=datetime.now(UTC))
    with monitor_beside(settings, port=0, note=said.append):
        address = said[0].split()[1].partition("/accounts/")[0]
        texts = {name: httpx.get(f"{address}/accounts/{name}/metrics").text for name in KEYS}
        assert httpx.get(f"{address}/metrics").status_code == 404
    held = {name: re.findall(r'intents{state="held"} (\S+)', text) for name, text in texts.items()}
    assert held == {"acme": ["1.0"], "beta-shop": ["0.0"]}


def test_every_state_is_migrated_but_that_of_an_entry_that_cannot_be_used(deployment: Deployment) -> None:
    deployment.write({"broken": {}, **{name: {} for name in KEYS}})
    settings, said = deployment.settings(), list[str]()
    migrate(settings, note=said.append)
    assert "the variable KEY_OF_BROKEN is not set" in said[0]
    assert said[1:3] == ["acme: new", "beta-shop: new"]
    for name in KEYS:
        own = load_accounts(settings).settings(name)
        before, newest = open_state(own.state_url).revisions()
        assert before == newest
