"""A sandbox that serves both sides to the tests of the pipelines, and settings that point at it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.settings import Settings
from sandbox.launch import Sandbox


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A small simulated business, and a fresh Mavera key with 10,000 credits."""
    with Sandbox(customers=80, seed=7) as running:
        yield running


@pytest.fixture
def business() -> Iterator[Sandbox]:
    """A business that is large enough for every kind of segment to pass the release rules."""
    with Sandbox(customers=800, seed=7) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the machine must not reach a test; what a run sets is taken back."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("DAGSTER_HOME", "")


@pytest.fixture
def settings_for(tmp_path: Path) -> Callable[..., Settings]:
    """Settings of the given values, with everything local in the test's folder."""

    def make(sandbox: Sandbox | None = None, **values: Any) -> Settings:
        addresses = (
            {} if sandbox is None else {"stripe_api_base": sandbox.stripe, "mavera_api_base": sandbox.mavera}
        )
        return Settings(_env_file=None, data_dir=tmp_path, **{**addresses, **values})

    return make
