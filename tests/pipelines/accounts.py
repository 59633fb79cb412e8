"""Two accounts on sandboxes of their own, as a deployment for several has them: a file, and keys in variables."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.settings import Settings
from sandbox.launch import Sandbox

__all__ = ["KEYS", "Deployment"]

KEYS: Mapping[str, str] = {"acme": "rk_test_acmeacmeacme", "beta-shop": "rk_test_betabetabeta"}


def variable(name: str) -> str:
    """Where an account's key stands."""
    return f"KEY_OF_{name.upper().replace('-', '_')}"


@dataclass(frozen=True)
class Deployment:
    """The folder of a deployment, and the accounts that its file names."""

    folder: Path
    patch: pytest.MonkeyPatch

    def write(self, entries: Mapping[str, Mapping[str, object]], *, keys: Mapping[str, str] = KEYS) -> None:
        """The accounts file and the variables that it names."""
        for name, key in keys.items():
            self.patch.setenv(variable(name), key)
        lines = []
        for name, entry in entries.items():
            lines += [f"[{name}]", f'stripe_api_key_env = "{variable(name)}"']
            lines += [f"{key} = {_toml(value)}" for key, value in entry.items()]
        (self.folder / "accounts.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def settings(self, **values: object) -> Settings:
        """The settings of all accounts."""
        file = self.folder / "accounts.toml"
        given: dict[str, object] = {"data_dir": self.folder / "data", "stripe_accounts_file": file, **values}
        return Settings(_env_file=None, **given)


def at(sandbox: Sandbox) -> dict[str, object]:
    """An entry's addresses for a sandbox."""
    return {
        "stripe_api_base": sandbox.stripe,
        "fx_rates_uri": f"{sandbox.stripe}/fx/eurofxref-hist.csv",
        "mavera_api_base": sandbox.mavera,
    }


def _toml(value: object) -> str:
    return (
        str(value).lower() if isinstance(value, bool) else str(value) if isinstance(value, int) else f'"{value}"'
    )
