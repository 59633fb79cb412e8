"""Several Stripe accounts from one deployment: which there are, and the settings of each.

Here: `STRIPE_ACCOUNTS_FILE`, a TOML file with one table for each account, and how an entry becomes settings. What
is an account's own (key, Stripe id, exports, webhook secrets, operator's file, tables, state) is never taken from
another place; limits and budgets are, unless the entry says otherwise. Keys stand in the environment, and the file
names their variables. Not here: partitions and runs (`pipelines.partitions`).
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr, ValidationError
from sqlalchemy.engine import make_url

from pipelines.settings import Settings

__all__ = ["Accounts", "AccountsError", "load_accounts"]

# No underscore: a name becomes a PostgreSQL schema, where a hyphen is written as one.
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_BY_VARIABLE: Final = {
    f"{name}_env": name
    for name in (
        "stripe_api_key",
        "stripe_webhook_secrets",
        "mavera_api_key",
        "mavera_webhook_secret",
        "state_database_url",
    )
}
_AS_IT_STANDS: Final = frozenset(
    {
        "stripe_account",
        "stripe_api_base",
        "stripe_requests_per_second",
        "stripe_allow_unrestricted_key",
        "stripe_request_budget",
        "stripe_exports_uri",
        "stripe_exports_mode",
        "stripe_exports_lag_hours",
        "stripe_exports_without_discounts",
        "mavera_api_base",
        "mavera_sandbox",
        "mavera_callback_url",
        "mavera_workspace",
        "mavera_auto_approve_credits",
        "mavera_credit_budget",
        "lake_uri",
        "reporting_currency",
        "fx_rates_uri",
        "segment_engine",
        "operator_file",
    }
)
# What would be another account's, if it came from the settings of all.
_NEVER_SHARED: Final[Mapping[str, Any]] = {
    "stripe_api_key": None,
    "stripe_account": None,
    "stripe_exports_uri": None,
    "stripe_webhook_secrets": (),
    "operator_file": None,
}
_CALLBACKS: Final = "/webhooks/mavera"


class AccountsError(ValueError):
    """The accounts file, or one entry of it, cannot be used; the message names both, and never a key."""


@dataclass(frozen=True)
class Accounts:
    """The accounts of a file. An entry is checked when its settings are asked for: a bad one stops no other."""

    base: Settings
    file: Path
    entries: Mapping[str, Mapping[str, Any]]
    variables: Mapping[str, str]
    _made: dict[str, Settings] = field(default_factory=dict, repr=False, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Every account, in the order of the file."""
        return tuple(self.entries)

    def settings(self, name: str | None) -> Settings:
        """The settings of one account. Raises: AccountsError."""
        if name is None:
            raise AccountsError(f"there are several accounts: name one of {', '.join(self.names)} with --account")
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def _make(self, name: str) -> Settings:
        if name not in self.entries:
            raise AccountsError(f"{self.file} has no account {name!r}; it has {', '.join(self.names) or 'none'}")
        entry = self.entries[name]
        unknown = sorted(set(entry) - _AS_IT_STANDS - set(_BY_VARIABLE))
        if unknown:
            raise self._error(name, f"{unknown[0]} is no setting of an account")
        own = {key: value for key, value in entry.items() if key in _AS_IT_STANDS}
        own |= {_BY_VARIABLE[key]: self._variable(name, str(variable)) for key, variable in self._named(name)}
        if "stripe_api_key" not in own and "stripe_exports_uri" not in own:
            raise self._error(name, "set stripe_api_key_env to the name of the variable that holds its key")
        twin = self._first_with.get(str(own.get("stripe_api_key")), name)
        if twin != name:
            raise self._error(name, f"its Stripe key is the key of {twin}")
        shared = {field: getattr(self.base, field) for field in Settings.model_fields}
        if "mavera_api_key" in own:
            # The address of all belongs to the key of all: `ui` lets it be a pretend Mavera.
            shared["mavera_api_base"] = None
        values: dict[str, Any] = {**shared, **_NEVER_SHARED, **self._places(name), **own}
        try:
            made = Settings(_env_file=None, **values)
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            raise self._error(name, f"{field}: {first['msg']}" if field else str(first["msg"])) from None
        made._account = name
        made._pace_url = self.base.state_url
        return made

    @property
    def secrets(self) -> tuple[SecretStr, ...]:
        """Every secret that an entry names and that is set, for redaction."""
        named = {variable for name in self.names for _, variable in self._named(name)}
        texts = [self.variables[variable] for variable in sorted(named) if variable in self.variables]
        return tuple(SecretStr(part.strip()) for text in texts for part in text.split(",") if part.strip())

    @cached_property
    def _first_with(self) -> Mapping[str, str]:
        """By Stripe key: the first account that has it."""
        found: dict[str, str] = {}
        for name in self.names:
            key = self.variables.get(str(self.entries[name].get("stripe_api_key_env")))
            if key is not None:
                found.setdefault(key, name)
        return found

    def _named(self, name: str) -> Iterator[tuple[str, str]]:
        return ((key, value) for key, value in self.entries[name].items() if key in _BY_VARIABLE)

    def _variable(self, name: str, variable: str) -> str:
        if variable not in self.variables:
            raise self._error(name, f"the variable {variable} is not set")
        return self.variables[variable]

    def _places(self, name: str) -> dict[str, Any]:
        """Tables, state and callbacks below the places of all, each in its own."""
        places: dict[str, Any] = {}
        if self.base.lake_uri is not None:
            places["lake_uri"] = f"{self.base.lake_uri.rstrip('/')}/{name}"
        if self.base.state_database_url is not None:
            url = make_url(self.base.state_database_url)
            if url.get_backend_name() == "sqlite" and url.database:
                file = Path(url.database)
                url = url.set(database=str(file.with_name(f"{file.stem}-{name}{file.suffix}")))
            places["state_database_url"] = url.render_as_string(hide_password=False)
        if self.base.mavera_callback_url is not None:
            public = self.base.mavera_callback_url.removesuffix(_CALLBACKS)
            places["mavera_callback_url"] = f"{public}/accounts/{name}{_CALLBACKS}"
        return places

    def _error(self, name: str, problem: str) -> AccountsError:
        return AccountsError(f"{self.file}, {name}: {problem}")


def load_accounts(settings: Settings) -> Accounts:
    """The accounts of `STRIPE_ACCOUNTS_FILE` as it is now. Raises: AccountsError."""
    file = settings.stripe_accounts_file
    if file is None:
        raise AccountsError("STRIPE_ACCOUNTS_FILE is not set: there are no accounts to choose from")
    if settings.account is None and settings.stripe_api_key is not None:
        raise AccountsError("STRIPE_API_KEY is set beside STRIPE_ACCOUNTS_FILE: each account has its key there")
    try:
        entries = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise AccountsError(f"{file} cannot be read: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise AccountsError(f"{file} is not TOML: {error}") from error
    for name, entry in entries.items():
        if _NAME.fullmatch(name) is None or not isinstance(entry, dict):
            raise AccountsError(
                f"{file}: {name!r} is no account; write [name] with up to 40 of a-z, 0-9 and hyphens"
            )
    global _last
    found = Accounts(settings, file, entries, Settings.variables())
    # What was made for a tick serves the next one, as long as nothing has changed.
    if _last is None or _last != found:
        _last = found
    return _last


_last: Accounts | None = None
