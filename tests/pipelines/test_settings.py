"""Settings: fallbacks to the sandbox, modes, and what is refused before any request."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipelines.settings import Mode, Settings


def settings(**values: Any) -> Settings:
    """Settings of the given values alone, without environment or file."""
    return Settings(_env_file=None, **values)


def test_without_keys_both_sides_are_the_sandbox_on_loopback() -> None:
    plain = settings()
    assert plain.stripe_is_sandbox
    assert plain.mavera_is_sandbox
    assert plain.stripe_base == "http://127.0.0.1:8787"
    assert plain.mavera_base == "http://127.0.0.1:8790/api/v1"
    assert plain.fx_source == "http://127.0.0.1:8787/fx/eurofxref-hist.csv"


@pytest.mark.parametrize(
    ("key", "mode"),
    [
        pytest.param(None, Mode.SANDBOX, id="no key is the sandbox"),
        pytest.param("rk_test_x", Mode.TEST, id="a restricted test key is test"),
        pytest.param("sk_test_x", Mode.TEST, id="a secret test key is test"),
        pytest.param("rk_live_x", Mode.LIVE, id="a restricted live key is live"),
    ],
)
def test_data_of_different_modes_never_share_a_folder(key: str | None, mode: Mode, tmp_path: Path) -> None:
    chosen = settings(stripe_api_key=key, data_dir=tmp_path)
    assert chosen.mode is mode
    assert chosen.lake == str(tmp_path / mode.value / "lake")
    assert chosen.state_url == f"sqlite:///{tmp_path / mode.value / 'state.db'}"


@pytest.mark.parametrize("side", ["stripe", "mavera"])
def test_a_real_address_without_its_key_is_refused_by_name(side: str) -> None:
    with pytest.raises(ValidationError, match=f"{side.upper()}_API_KEY is not set"):
        settings(**{f"{side}_api_base": "https://api.example.com"})


def test_each_side_falls_back_on_its_own() -> None:
    half = settings(stripe_api_key="rk_test_x")
    assert half.stripe_base == "https://api.stripe.com"
    assert half.mavera_base.startswith("http://127.0.0.1")


@pytest.mark.parametrize(
    ("values", "credits"),
    [
        pytest.param({}, 10_000, id="the sandbox approves its own plan"),
        pytest.param({"mavera_api_key": "k"}, 0, id="with real credits a person approves"),
        pytest.param({"mavera_api_key": "k", "mavera_auto_approve_credits": 500}, 500, id="unless told otherwise"),
        pytest.param(
            {"mavera_api_key": "k", "mavera_api_base": "http://localhost:9/api/v1"},
            10_000,
            id="a stand-in costs nothing",
        ),
    ],
)
def test_automatic_approval_is_off_where_credits_are_real(values: dict[str, Any], credits: int) -> None:
    assert settings(**values).auto_approve_credits == credits


@pytest.mark.parametrize(
    ("values", "environment"),
    [
        pytest.param({}, "sandbox", id="the sandbox on both sides"),
        pytest.param({"stripe_api_key": "rk_live_x", "mavera_api_key": "k"}, "live", id="production"),
        pytest.param(
            {"stripe_api_key": "rk_test_x", "mavera_api_key": "k", "mavera_sandbox": True},
            "test",
            id="test data at Mavera's sandbox",
        ),
        pytest.param({"stripe_api_key": "rk_live_x"}, "live-stand-in", id="live data, a pretend Mavera"),
        pytest.param({"stripe_api_key": "rk_test_x"}, "test-stand-in", id="test data, a pretend Mavera"),
        pytest.param({"stripe_exports_uri": "/exports"}, "live-stand-in", id="live exports, a pretend Mavera"),
        pytest.param(
            {"stripe_api_key": "rk_live_x", "mavera_api_key": "k", "mavera_api_base": "http://localhost:9/api/v1"},
            "live-stand-in",
            id="a key for a stand-in",
        ),
        pytest.param({"mavera_api_key": "k"}, "sandbox-real", id="simulated data planned for the real Mavera"),
        pytest.param(
            {"mavera_api_key": "k", "mavera_sandbox": True},
            "sandbox-real-sandbox",
            id="simulated data at Mavera's sandbox",
        ),
    ],
)
def test_each_target_of_the_same_data_has_a_ledger_of_its_own(values: dict[str, Any], environment: str) -> None:
    assert settings(**values).environment == environment


def test_several_webhook_secrets_are_read_from_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_WEBHOOK_SECRETS", "whsec_b, whsec_a")
    assert [secret.get_secret_value() for secret in settings().stripe_webhook_secrets] == [
        "whsec_b",
        "whsec_a",
    ]


@pytest.mark.parametrize("value", ["", "  "], ids=["empty", "blank"])
@pytest.mark.parametrize("name", Settings.model_fields)
def test_an_empty_variable_counts_as_not_set(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text(f"{name.upper()}=7\n")
    monkeypatch.setenv(name.upper(), value)
    emptied = Settings(_env_file=tmp_path / ".env")
    assert getattr(emptied, name) == Settings.model_fields[name].default, "the environment wins over the file"
    assert name not in emptied.model_fields_set


def test_options_of_spark_are_read_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_OPTIONS", '{"spark.executor.memory": "8g"}')
    assert settings().spark_options == {"spark.executor.memory": "8g"}
    monkeypatch.setenv("SPARK_OPTIONS", "spark.executor.memory=8g")
    with pytest.raises(ValidationError, match="must be a JSON object"):
        settings()


def test_keys_do_not_show_when_settings_are_printed() -> None:
    assert "rk_live_secret" not in repr(settings(stripe_api_key="rk_live_secret", mavera_api_key="mvra_secret"))


@pytest.mark.parametrize(
    "url",
    ["mail.example.com:587", "https://ops:staple@mail.example", "smtp://ops:staple@", "smtp://ops:staple@m:x"],
    ids=["no scheme", "another scheme", "no host", "a port that is none"],
)
def test_a_mail_server_that_cannot_be_used_is_refused_without_its_password(url: str) -> None:
    ends = {"notify_email_from": "a@example.com", "notify_email_to": "b@example.com"}
    with pytest.raises(ValidationError, match="must look like smtp://user:password@host:587") as refused:
        settings(notify_smtp_url=url, **ends)
    assert "staple" not in str(refused.value)
    for good in ("smtp://ops:staple@mail.example:587", "smtps://mail.example", "smtp://localhost"):
        assert settings(notify_smtp_url=good, **ends).notify_smtp_url is not None


def test_a_contradiction_is_told_without_what_was_set() -> None:
    with pytest.raises(ValidationError, match="STRIPE_API_KEY is neither") as refused:
        settings(stripe_api_key="correct-horse")
    assert "correct-horse" not in str(refused.value)


def test_every_setting_says_what_it_is_for() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("values", "password"),
    [
        ({"state_database_url": "postgresql://app:correct%20horse@db/state"}, "correct horse"),
        ({"state_database_url": "postgresql://db/state?user=app&password=battery"}, "battery"),
        ({"dagster_postgres_url": "postgresql://app:staple@db/dagster"}, "staple"),
    ],
    ids=["of the state database", "as a parameter", "of Dagster's storage"],
)
def test_the_password_of_a_database_is_a_secret(values: dict[str, str], password: str) -> None:
    assert password in {one.get_secret_value() for one in settings(**values).secrets}


def test_an_address_without_a_password_is_no_secret() -> None:
    plain = settings(state_database_url="sqlite:////data/state.db", lake_uri="s3://bucket/lake")
    assert plain.secrets == ()
