"""Every setting of the product, in one typed class read from the environment and `.env`.

Here: names, types, units, defaults and the rules between them. Nobody else reads the environment. The table of
settings in the documentation is generated from the descriptions below (`stripe-mavera settings`).
A side (Stripe, Mavera) whose key is not set falls back to its sandbox on loopback, on its own.
"""

import os
from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from dotenv import dotenv_values
from pydantic import Field, PrivateAttr, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from activation.guards import GuardError, MaveraTarget, StripeKeyKind, Targets, check_targets, stripe_key_kind
from resources.mavera_address import is_loopback

__all__ = [
    "SANDBOX_MAVERA_PORT",
    "SANDBOX_STRIPE_PORT",
    "Mode",
    "Settings",
]

STRIPE_BASE = "https://api.stripe.com"
MAVERA_BASE = "https://app.mavera.io/api/v1"
ECB_RATES = "https://www.ecb.europa.eu/stats/eurofxref/eurofxref-hist.zip"
SANDBOX_STRIPE_PORT = 8787
SANDBOX_MAVERA_PORT = 8790
# Stand-ins accept any key of the right form; these two say in every log what they are.
_SANDBOX_STRIPE_KEY = "rk_test_sandbox"
_SANDBOX_MAVERA_KEY = "mvra_test_sandbox"
_EXAMPLE = Path(__file__).parent.parent / "operator.example.toml"
_LIVE_REQUESTS_PER_SECOND = 100.0
# The sandbox business of `make run` is planned, paid and approved within this many pretend credits.
_SANDBOX_CREDITS = 10_000


class Mode(StrEnum):
    """Whose data the tables hold. Each mode has a folder of its own, so that they never mix."""

    SANDBOX = "sandbox"
    TEST = "test"
    LIVE = "live"


class Settings(BaseSettings):
    """The settings. Durations in seconds, money in minor units, credits in Mavera credits."""

    model_config = SettingsConfigDict(env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True)

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
            f"Default: 0, and {_SANDBOX_CREDITS} against a stand-in on loopback."
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
    spark_options: dict[str, str] = Field(
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

    # Which account of STRIPE_ACCOUNTS_FILE these settings speak for; set by `pipelines.accounts`.
    _account: str | None = PrivateAttr(None)
    _pace_url: str | None = PrivateAttr(None)

    @field_validator("stripe_webhook_secrets", "notify_email_to", mode="before")
    @classmethod
    def _split_secrets(cls, value: Any) -> Any:
        return (
            tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
        )

    @field_validator(
        "stripe_api_key",
        "stripe_api_base",
        "stripe_account",
        "stripe_accounts_file",
        "mavera_api_key",
        "mavera_api_base",
        "lake_uri",
        "state_database_url",
        "dagster_postgres_url",
        "fx_rates_uri",
        "stripe_exports_uri",
        "mavera_webhook_secret",
        "mavera_callback_url",
        "mavera_workspace",
        "notify_slack_webhook_url",
        "notify_smtp_url",
        "notify_email_from",
        mode="before",
    )
    @classmethod
    def _empty_is_unset(cls, value: Any) -> Any:
        return None if isinstance(value, str) and not value.strip() else value

    @model_validator(mode="after")
    def _keys_fit_their_targets(self) -> Self:
        try:
            _ = self.targets
        except GuardError as error:
            raise ValueError(str(error)) from error
        return self

    @model_validator(mode="after")
    def _sandbox_is_on_loopback(self) -> Self:
        for key, base, name in (
            (self.stripe_api_key, self.stripe_api_base, "STRIPE"),
            (self.mavera_api_key, self.mavera_api_base, "MAVERA"),
        ):
            if key is None and base is not None and not _is_loopback(base):
                raise ValueError(f"{name}_API_BASE names {_host(base)} but {name}_API_KEY is not set")
        return self

    @model_validator(mode="after")
    def _mail_has_both_ends(self) -> Self:
        if self.notify_smtp_url is not None and not (self.notify_email_from and self.notify_email_to):
            raise ValueError("NOTIFY_SMTP_URL is set: set NOTIFY_EMAIL_FROM and NOTIFY_EMAIL_TO as well")
        return self

    @property
    def account(self) -> str | None:
        """The account of `STRIPE_ACCOUNTS_FILE` that these settings speak for; None for all, or without a file."""
        return self._account

    @property
    def pace_url(self) -> str | None:
        """SQLAlchemy URL of the state in which accounts share the pace of a Mavera key; None for one account."""
        return self._pace_url

    @classmethod
    def variables(cls) -> Mapping[str, str]:
        """The environment with `.env` below it: for keys whose variables an accounts file names."""
        file = cls.model_config.get("env_file")
        below = dotenv_values(file) if isinstance(file, str) else {}
        return {name: value for name, value in (below | dict(os.environ)).items() if value}

    @property
    def exports_only(self) -> bool:
        """Exports in place of the API: there is no key, but there are files."""
        return self.stripe_api_key is None and self.stripe_exports_uri is not None

    @property
    def stripe_is_sandbox(self) -> bool:
        """Neither key nor exports nor accounts that have them: the pretend Stripe is used."""
        return self.stripe_api_key is None and not self.exports_only and self.stripe_accounts_file is None

    @property
    def mavera_is_sandbox(self) -> bool:
        """No Mavera key: the pretend Mavera is used."""
        return self.mavera_api_key is None

    @cached_property
    def mode(self) -> Mode:
        """Whose data this is, by the Stripe key, or by the tree of exports that is read."""
        if self.stripe_api_key is None:
            return Mode(self.stripe_exports_mode) if self.exports_only else Mode.SANDBOX
        return Mode.LIVE if "_live_" in self.stripe_api_key.get_secret_value() else Mode.TEST

    @property
    def livemode(self) -> bool:
        """The side of Stripe that is read: exports, events and webhooks of the other are left alone."""
        return self.mode is Mode.LIVE

    @property
    def stripe_key(self) -> SecretStr:
        """The key in use; the sandbox has one of its own, exports alone have an empty one."""
        return self.stripe_api_key or SecretStr("" if self.exports_only else _SANDBOX_STRIPE_KEY)

    @property
    def secrets(self) -> tuple[SecretStr, ...]:
        """Every secret value, for redaction; also passwords inside of addresses, as of a database."""
        found = [getattr(self, name) for name in type(self).model_fields]
        flat = [one for value in found for one in (value if isinstance(value, tuple) else (value,))]
        secret = [one for one in flat if isinstance(one, SecretStr)]
        texts = [one.get_secret_value() for one in secret] + [one for one in flat if isinstance(one, str)]
        return (*secret, *(SecretStr(one) for text in texts for one in _passwords(text)))

    @property
    def mavera_key(self) -> SecretStr:
        """The key in use; the sandbox has one of its own."""
        return self.mavera_api_key or SecretStr(_SANDBOX_MAVERA_KEY)

    @property
    def stripe_base(self) -> str:
        """Address of Stripe or of its sandbox."""
        sandbox = f"http://127.0.0.1:{SANDBOX_STRIPE_PORT}"
        return self.stripe_api_base or (sandbox if self.stripe_is_sandbox else STRIPE_BASE)

    @property
    def mavera_base(self) -> str:
        """Address of Mavera or of its sandbox."""
        sandbox = f"http://127.0.0.1:{SANDBOX_MAVERA_PORT}/api/v1"
        return self.mavera_api_base or (sandbox if self.mavera_is_sandbox else MAVERA_BASE)

    @property
    def account_requests_per_second(self) -> float | None:
        """The account's limit; None leaves it to the kind of key. The sandbox bears what a live account does."""
        return self.stripe_requests_per_second or (_LIVE_REQUESTS_PER_SECOND if self.stripe_is_sandbox else None)

    @property
    def mavera_is_stand_in(self) -> bool:
        """Mavera's address is on loopback: nothing real is paid."""
        return _is_loopback(self.mavera_base)

    @property
    def targets(self) -> Targets:
        """What these keys and addresses allow together. Raises: GuardError."""
        key = None if self.stripe_api_key is None else self.stripe_api_key.get_secret_value()
        # Real customers are in real exports, however they were read.
        exports: StripeKeyKind = "rk_live" if self.mode is Mode.LIVE else "rk_test"
        real: MaveraTarget = "real_sandbox" if self.mavera_sandbox else "real"
        return check_targets(
            stripe_key=exports if self.exports_only else stripe_key_kind(key),
            stripe_is_loopback=_is_loopback(self.stripe_base),
            mavera="stand_in" if self.mavera_is_stand_in else real,
            allow_unrestricted_key=self.stripe_allow_unrestricted_key,
        )

    @property
    def fx_source(self) -> str:
        """Where exchange rates come from."""
        sandbox = f"{self.stripe_base}/fx/eurofxref-hist.csv"
        return self.fx_rates_uri or (sandbox if self.stripe_is_sandbox else ECB_RATES)

    @property
    def home(self) -> Path:
        """Folder of this mode's local data; exports alone and each simulated business have one of their own."""
        folder = f"{self.mode.value}-exports" if self.exports_only else self.mode.value
        usual = {name: type(self).model_fields[name].default for name in ("sandbox_customers", "sandbox_seed")}
        if self.stripe_is_sandbox and usual != {name: getattr(self, name) for name in usual}:
            folder = f"{folder}-{self.sandbox_customers}-{self.sandbox_seed}"
        place = self.data_dir.absolute()
        return place / folder if self.account is None else place / "accounts" / self.account / folder

    @property
    def operator_path(self) -> Path:
        """The operator's file; the example speaks for the sandbox business and for no other."""
        usual = Path("operator.toml" if self.account is None else f"operator-{self.account}.toml")
        return self.operator_file or (_EXAMPLE if self.stripe_is_sandbox else usual)

    @property
    def sandbox_home(self) -> Path:
        """Folder in which the sandbox keeps its account between runs."""
        return self.home / "accounts"

    @property
    def dagster_home(self) -> Path:
        """Folder that Dagster uses as DAGSTER_HOME."""
        return self.data_dir.absolute() / "dagster"

    @property
    def lake(self) -> str:
        """Where the Delta tables lie."""
        return self.lake_uri or str(self.home / "lake")

    @property
    def state_url(self) -> str:
        """SQLAlchemy URL of the state database; of several accounts, what they share."""
        shared = self.stripe_accounts_file is not None and self.account is None
        file = self.data_dir.absolute() / "accounts" / "pace.db" if shared else self.home / "state.db"
        return self.state_database_url or f"sqlite:///{file}"

    @property
    def state_schema(self) -> str | None:
        """The PostgreSQL schema of an account's state; None for the usual one, and with SQLite."""
        if self.account is None or self.state_url.startswith("sqlite"):
            return None
        return f"account_{self.account.replace('-', '_')}"

    @property
    def auto_approve_credits(self) -> int:
        """Credits up to which a plan approves itself."""
        if self.mavera_auto_approve_credits is not None:
            return self.mavera_auto_approve_credits
        return _SANDBOX_CREDITS if self.mavera_is_stand_in else 0


def _host(url: str) -> str:
    return urlsplit(url).hostname or url


def _passwords(text: str) -> list[str]:
    """Passwords in an address: before its host, or as a parameter."""
    if "://" not in text:
        return []
    address = urlsplit(text)
    named = [value for name, value in parse_qsl(address.query) if name == "password"]
    return [*named, unquote(address.password)] if address.password else named


def _is_loopback(url: str) -> bool:
    return is_loopback(_host(url))
