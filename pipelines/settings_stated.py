"""Every setting that an operator may state, in one typed class read from the environment and `.env`.

Here: names, types, units and defaults; a value left empty counts as not set. Nobody else reads the environment.
Not here: what follows from the settings, and the rules between them (`pipelines.settings`). The table of settings
in the documentation is generated from the descriptions below (`stripe-mavera settings`).
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

__all__ = ["ECB_RATES", "MAVERA_BASE", "SANDBOX_CREDITS", "STRIPE_BASE", "StatedSettings"]

STRIPE_BASE: Final = "https://api.stripe.com"
MAVERA_BASE: Final = "https://app.mavera.io/api/v1"
ECB_RATES: Final = "https://www.ecb.europa.eu/stats/eurofxref/eurofxref-hist.zip"
SANDBOX_CREDITS: Final = 10_000
"""The sandbox business of `make run` is planned, paid and approved within this many pretend credits."""


class StatedSettings(BaseSettings):
    """What an operator states. Durations in seconds, money in minor units, credits in Mavera credits."""

    # The code location that cannot load shows its error: what was set may be a key.
    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    stripe_api_key: SecretStr | None = Field(
        None, description="Restricted Stripe key (`rk_live_…`, `rk_test_…`) with read permissions. Unset: sandbox."
    )
    stripe_api_base: str | None = Field(
        None, description=f"Stripe's address. Default `{STRIPE_BASE}`, or the sandbox on loopback without a key."
    )
    stripe_account: str | None = Field(
        None,
        pattern="^acct_[A-Za-z0-9]+$",
        description="Id of the Stripe account that the key must belong to; a key of another one is refused.",
    )
    stripe_accounts_file: Path | None = Field(
        None,
        description="TOML file of several Stripe accounts, each with keys, limits, budget and tables of its own.",
    )
    stripe_webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (), description="Signing secrets of the webhook endpoint, separated by commas; two while one is rolled."
    )
    stripe_requests_per_second: float | None = Field(
        None, gt=0, description="Limit of the whole account. Default: Stripe's own, 100 live and 25 test."
    )
    stripe_allow_unrestricted_key: bool = Field(
        False, description="Accept `sk_live_…`, which can also write. A restricted key is the better answer."
    )
    stripe_request_budget: int | None = Field(
        None, gt=0, description="Most Stripe requests a run may send; optional look-ups stop first. Default: none."
    )
    stripe_exports_uri: str | None = Field(
        None,
        description=(
            "Folder or bucket with Stripe Data Pipeline or Dashboard exports: read beside the API, or in its "
            "place when no `STRIPE_API_KEY` is set."
        ),
    )
    stripe_exports_mode: Literal["live", "test"] = Field(
        "live", description="Which tree of the exports is read without a key; with one, the key's mode decides."
    )
    stripe_exports_lag_hours: float = Field(
        12, ge=0, description="Age of what a Data Pipeline run shows when its marker appears. Stripe states 12 h."
    )
    stripe_exports_without_discounts: bool = Field(
        False,
        description=(
            "Your word that no subscription has a discount: the Dashboard's CSV does not show them, and MRR from "
            "that file alone is incomplete without it."
        ),
    )
    mavera_api_key: SecretStr | None = Field(None, description="Mavera key. Unset: sandbox.")
    mavera_api_base: str | None = Field(
        None, description=f"Mavera's address. Default `{MAVERA_BASE}`, or the sandbox on loopback without a key."
    )
    mavera_sandbox: bool = Field(False, description="Send `X-Mavera-Sandbox: true` with every Mavera request.")
    mavera_webhook_secret: SecretStr | None = Field(
        None, description="Secret that signs Mavera's generation callbacks. Unset: callbacks are refused."
    )
    mavera_callback_url: str | None = Field(
        None, description="Public https address of `/webhooks/mavera`, given to Mavera with each generation."
    )
    mavera_workspace: str | None = Field(
        None, description="Mavera workspace id for generations. Default: the key's."
    )
    mavera_auto_approve_credits: int | None = Field(
        None,
        ge=0,
        description=(
            "A plan up to this many credits approves itself; above, a person approves its hash. "
            f"Default: 0, and {SANDBOX_CREDITS} against a stand-in on loopback."
        ),
    )
    mavera_credit_budget: int | None = Field(
        None,
        ge=0,
        description="Most credits to spend in a calendar month (UTC). Default: what the account has left.",
    )
    lake_uri: str | None = Field(
        None, description="Folder or bucket of the Delta tables. Default `<data_dir>/<mode>/lake`."
    )
    state_database_url: str | None = Field(
        None, description="SQLAlchemy URL of the state. Default: SQLite at `<data_dir>/<mode>/state.db`."
    )
    dagster_postgres_url: SecretStr | None = Field(
        None,
        description="PostgreSQL URL for Dagster's own storage. Default: its SQLite under `<data_dir>/dagster`.",
    )
    data_dir: Path = Field(Path(".data"), description="Where everything local lies when no other place is named.")
    reporting_currency: str = Field("usd", pattern="^[a-z]{3}$", description="Currency of tiers and totals.")
    fx_rates_uri: str | None = Field(
        None,
        description=(
            "Exchange rates: a CSV file with `date,currency,rate` per euro, or a feed in the layout of the "
            f"European Central Bank. Default `{ECB_RATES}`; the sandbox has its own."
        ),
    )
    segment_engine: Literal["pandas", "duckdb", "pyspark"] = Field(
        "pandas",
        description=(
            "What runs the segment functions: `duckdb` for more rows than memory holds, `pyspark` for more than "
            "one machine should read (docs/scale.md)."
        ),
    )
    spark_master: str = Field(
        "local[2]", description="Where Spark runs: `local[N]`, `spark://HOST:PORT` or `k8s://https://HOST:PORT`."
    )
    spark_options: Annotated[dict[str, str], NoDecode] = Field(
        {},
        repr=False,
        description='Options of Spark as a JSON object, such as `{"spark.executor.memory": "8g"}`. No keys in it.',
    )
    operator_file: Path | None = Field(
        None,
        description=(
            "What only an operator may say: product names for briefs, tone, product copy, consent. Default: "
            "`operator.toml`; the sandbox business uses `operator.example.toml`."
        ),
    )
    notify_slack_webhook_url: SecretStr | None = Field(
        None, description="Incoming webhook of the Slack channel that hears of failed runs and of what waits."
    )
    notify_smtp_url: SecretStr | None = Field(
        None,
        description="Mail server for the same: `smtp://user:password@host:587`, or `smtps://` for TLS at once.",
    )
    notify_email_from: str | None = Field(None, description="Sender of these mails.")
    notify_email_to: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Receivers of these mails, separated by commas."
    )
    dagster_ui_url: str = Field("http://127.0.0.1:3000", description="Address of the Dagster UI in messages.")
    monitor_url: str = Field(
        "http://127.0.0.1:3001",
        description="Address at which people reach the monitor: the UI links to its report.",
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="Lines on stderr: `text` for people, `json` for one object a line."
    )
    log_level: Literal["debug", "info", "warning", "error"] | None = Field(
        None, description="Least level of these lines. Default: `warning` as text, `info` as JSON."
    )
    sandbox_customers: int = Field(1_500, gt=0, description="Size of the simulated business.")
    sandbox_seed: int = Field(7, description="Seed of the simulated business.")

    @model_validator(mode="before")
    @classmethod
    def _empty_is_unset(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Not by `env_ignore_empty`: an emptied variable is to hide what `.env` says."""
        return {
            name: value for name, value in values.items() if not (isinstance(value, str) and not value.strip())
        }

    @field_validator("stripe_webhook_secrets", "notify_email_to", mode="before")
    @classmethod
    def _parts_of_a_list(cls, value: Any) -> Any:
        return (
            tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
        )

    @field_validator("spark_options", mode="before")
    @classmethod
    def _object_of_json(cls, value: Any) -> Any:
        try:
            return json.loads(value) if isinstance(value, str) else value
        except json.JSONDecodeError as error:
            raise ValueError("it must be a JSON object") from error

    @field_validator("notify_smtp_url")
    @classmethod
    def _names_a_mail_server(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _is_mail_server(value.get_secret_value()):
            raise ValueError("it must look like smtp://user:password@host:587 or smtps://…")
        return value

    @classmethod
    def variables(cls) -> Mapping[str, str]:
        """The environment with `.env` below it: for keys whose variables an accounts file names."""
        file = cls.model_config.get("env_file")
        below = dotenv_values(file) if isinstance(file, str) else {}
        return {name: value for name, value in (below | dict(os.environ)).items() if value and value.strip()}


def _is_mail_server(url: str) -> bool:
    try:
        address = urlsplit(url)
        _ = address.port
    except ValueError:
        return False
    return address.scheme in ("smtp", "smtps") and bool(address.hostname)
