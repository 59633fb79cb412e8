"""What the settings mean together: the one object of settings that the rest of the product is given.

Here: the rules between settings, and what follows from them: whose data it is, keys and addresses in use, folders.
Not here: the settings one by one, and reading them (`pipelines.settings_stated`).
A side (Stripe, Mavera) whose key is not set falls back to its sandbox on loopback, on its own.
"""

from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Final, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import PrivateAttr, SecretStr, model_validator

from activation.guards import GuardError, MaveraTarget, StripeKeyKind, Targets, check_targets, stripe_key_kind
from pipelines.settings_stated import ECB_RATES, MAVERA_BASE, SANDBOX_CREDITS, STRIPE_BASE, StatedSettings
from resources.mavera_address import is_loopback

__all__ = ["SANDBOX_MAVERA_PORT", "SANDBOX_STRIPE_PORT", "Mode", "Settings"]

SANDBOX_STRIPE_PORT = 8787
SANDBOX_MAVERA_PORT = 8790
# Stand-ins accept any key of the right form; these two say in every log what they are.
_SANDBOX_STRIPE_KEY = "rk_test_sandbox"
_SANDBOX_MAVERA_KEY = "mvra_test_sandbox"
_EXAMPLE = Path(__file__).parent.parent / "operator.example.toml"
_LIVE_REQUESTS_PER_SECOND = 100.0


class Mode(StrEnum):
    """Whose data the tables hold. Each mode has a folder of its own, so that they never mix."""

    SANDBOX = "sandbox"
    TEST = "test"
    LIVE = "live"


_USUAL_TARGETS: Final[Mapping[Mode, MaveraTarget]] = {
    Mode.SANDBOX: "stand_in",
    Mode.TEST: "real_sandbox",
    Mode.LIVE: "real",
}


class Settings(StatedSettings):
    """The settings and what they mean together. Raises: ValueError where they contradict each other."""

    # Which account of STRIPE_ACCOUNTS_FILE these settings speak for; set by `pipelines.accounts`.
    _account: str | None = PrivateAttr(None)
    _pace_url: str | None = PrivateAttr(None)

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
    def mavera_target(self) -> MaveraTarget:
        """What stands at Mavera's address, as far as these settings tell."""
        if self.mavera_is_stand_in:
            return "stand_in"
        return "real_sandbox" if self.mavera_sandbox else "real"

    @property
    def environment(self) -> str:
        """Whose ledger this is: the mode, and what stands for Mavera where it is not what this mode usually has.

        What a pretend Mavera was given is nothing that Mavera has, so the two never share rows or budgets.
        """
        other = self.mavera_target != _USUAL_TARGETS[self.mode]
        return f"{self.mode.value}-{self.mavera_target.replace('_', '-')}" if other else self.mode.value

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
        return check_targets(
            stripe_key=exports if self.exports_only else stripe_key_kind(key),
            stripe_is_loopback=_is_loopback(self.stripe_base),
            mavera=self.mavera_target,
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
        return SANDBOX_CREDITS if self.mavera_is_stand_in else 0


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
