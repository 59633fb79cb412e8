"""Errors of steps and sensors: what Dagster stores of them holds no key and no text of a customer."""

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets.mavera import MAVERA_ASSETS
from pipelines.definitions import build_definitions
from pipelines.settings import Settings
from resources import redaction
from resources.redaction import Redactor
from tests.pipelines.test_canaries import _dump

_ROOT = Path(__file__).resolve().parents[2]
_KEY = "rk_live_" + "51LeakedKey0123"
_CUSTOMER = "jane.doe@customer.example"
_ID = "cus_NffrFeUfNV2Hib"
_PASSWORD = "correct-horse"


def _fail(*_: Any) -> None:
    """A door whose error says too much."""
    try:
        raise ValueError(f"{_ID} is {_CUSTOMER}")
    except ValueError as error:
        raise RuntimeError(f"refused for {_KEY} at state:{_PASSWORD}@db, {_CUSTOMER}") from error


@pytest.fixture(autouse=True)
def _fresh_redactor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_redactor", Redactor())


@pytest.fixture
def definitions(settings_for: Callable[..., Settings]) -> dg.Definitions:
    return build_definitions(settings_for(state_database_url=f"postgresql://app:{_PASSWORD}@db/state"))


def _says_nothing(text: str) -> None:
    found = [one for one in (_KEY[8:], "jane", "Nffr", _PASSWORD) if one in text]
    assert found == [], text
    assert "rk_live_[redacted]" in text
    assert "[email]" in text


def test_the_event_log_of_a_failed_step_holds_no_key_and_no_text_of_a_customer(
    definitions: dg.Definitions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("resources.wiring.StateResource.open", _fail)
    doors = definitions.resources
    plan = MAVERA_ASSETS[0]
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        assert not dg.materialize([plan], instance=instance, resources=doors, raise_on_error=False).success
    stored = "\n".join(_dump(path) for path in tmp_path.rglob("*.db"))
    assert "STEP_FAILURE" in stored
    assert "cus_[id] is [email]" in stored  # the cause is still told
    _says_nothing(stored)
    streams = capfd.readouterr()
    _says_nothing(streams.out + streams.err)


_RUN_BY_DAGSTER = re.compile(r"(dg\.(\w*asset|op|\w*sensor|schedule|asset_check)|table_asset)\b")


def test_every_step_and_every_sensor_keeps_its_errors_clean() -> None:
    """The decorator stands next to the function, inside of Dagster's."""
    found, bare = 0, []
    for path in [*(_ROOT / "assets").rglob("*.py"), *(_ROOT / "pipelines").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef) or not node.decorator_list:
                continue
            decorators = [ast.unparse(one) for one in node.decorator_list]
            if any(_RUN_BY_DAGSTER.match(one) for one in decorators):
                found += 1
                bare += [f"{path.name}: {node.name}"] * (decorators[-1] != "redacting_errors")
    assert found >= 10
    assert bare == []
