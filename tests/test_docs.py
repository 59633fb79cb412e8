"""The documentation says what the code does: generated parts, commands, links, figures, and examples that run."""

import dataclasses
import json
import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
import typer.main
from pydantic import SecretStr
from typer.testing import CliRunner

from activation.operator import Operator
from activation.policy import Policy, Prices
from activation.tables import MAVERA_TABLES
from ingest.tables import QUARANTINE
from pipelines.cli import app
from pipelines.definitions import build_definitions
from pipelines.reference import filled_in, settings_table
from pipelines.settings import Settings
from resources.lake import Lake
from resources.limiter import Limiter
from resources.state import State
from resources.state.extraction import ExtractionState
from resources.stripe_api import StripeApi
from segments.tables import SEGMENT_TABLES
from segments.thresholds import Thresholds

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
NOW = datetime(2026, 11, 24, tzinfo=UTC)

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _blocks(page: Path, language: str) -> Iterator[tuple[int, str]]:
    """Fenced blocks of a language with the line at which they begin."""
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        yield text[: found.start(1)].count("\n") + 1, found[1]


def _cells(page: str) -> list[list[str]]:
    """Rows of all tables of a page."""
    lines = [line for line in _text(page).splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


# ---- generated parts --------------------------------------------------------------------------------------------
@pages
def test_generated_parts_are_up_to_date(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text == filled_in(text), "run `make docs`"


def test_every_setting_is_in_the_readme() -> None:
    assert settings_table() in _text("README.md")
    assert [name.upper() for name in Settings.model_fields if f"`{name.upper()}`" not in _text("README.md")] == []


def test_the_command_prints_the_table_of_the_readme_and_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAVERA_API_KEY", "mvra_live_canary")
    printed = CliRunner().invoke(app, ["settings", "--markdown"])
    assert printed.stdout.strip() == settings_table()
    told = CliRunner().invoke(app, ["settings", "--json"]).stdout
    assert {one["name"] for one in json.loads(told)["settings"]} == {
        name.upper() for name in Settings.model_fields
    }
    assert "canary" not in printed.stdout + told


# ---- what pages name --------------------------------------------------------------------------------------------
@pages
def test_every_command_exists(page: Path) -> None:
    group: Any = typer.main.get_command(app)
    for name, part in re.findall(r"stripe-mavera ([a-z]+)(?: ([a-z]+))?", page.read_text(encoding="utf-8")):
        assert name in group.commands, f"stripe-mavera {name}"
        known = getattr(group.commands[name], "commands", {})
        assert not known or not part or part in known, f"stripe-mavera {name} {part}"


@pages
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", _text("Makefile"), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", page.read_text(encoding="utf-8"), re.MULTILINE))
    assert named <= targets


@pages
def test_every_relative_link_resolves(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)\s]+)\)", page.read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        there = page if not name else page.parent / name
        assert there.exists(), target
        assert not anchor or anchor in _anchors(there), target


def _anchors(page: Path) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pages
def test_every_file_that_is_named_exists(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    named = re.findall(r"`((?:[a-z_]+/)+[\w*]+\.(?:py|toml|yaml|yml|json|csv|md))`", text)
    assert [name for name in named if not list(ROOT.glob(name))] == []


# ---- figures ----------------------------------------------------------------------------------------------------
def _bounds(value: Any) -> set[tuple[str, float]]:
    """Names and defaults of all bounds, through the groups that hold them."""
    found: set[tuple[str, float]] = set()
    for field in dataclasses.fields(value):
        inner = getattr(value, field.name)
        found |= _bounds(inner) if dataclasses.is_dataclass(inner) else {(field.name, float(inner))}
    return found


def test_every_bound_of_the_segments_is_told_as_it_is() -> None:
    numbers = re.compile(r"-?[\d,]+(\.\d+)?")
    told = {
        (row[0].strip("`"), float(row[1].replace(",", "")))
        for row in _cells("docs/segments.md")
        if re.fullmatch(r"`[a-z_]+`", row[0]) and numbers.fullmatch(row[1])
    }
    assert told == _bounds(Thresholds())


def test_the_worked_cases_of_revenue_are_those_of_the_vectors() -> None:
    vectors = {case["name"]: case for case in json.loads(_text("tests/data/metrics/mrr_vectors.json"))}
    told = {row[0].strip("`"): row[2] for row in _cells("docs/revenue.md") if row[0].strip("`") in vectors}
    assert len(told) == 17
    assert told == {name: vectors[name]["expected_mrr_minor"] or "unknown" for name in told}
    assert f"({len(vectors)} cases" in _text("docs/revenue.md")


def test_prices_and_waits_are_those_of_the_policy(tmp_path: Path) -> None:
    told = {row[0]: row for row in _cells("docs/activation.md")}
    prices = Prices()
    assert told["brand voice"][3] == str(prices.brand_voice)
    assert told["tier, market"][3] == f"{prices.persona} each"
    assert prices.persona == prices.persona_update
    assert told["retention"][3] == str(prices.generation)
    assert told["case study"][3] == str(prices.case_study)
    assert told["copy fix"][3] == str(prices.copy_fix)
    real = Policy()
    pretend = build_definitions(Settings(_env_file=None, data_dir=tmp_path)).resources["paid_work"]
    stand_in: Policy = getattr(pretend, "policy", None) or pretend.wrapped_resource.policy
    for label, name in (
        ("deadline of a call", "deadline_seconds"),
        ("deadline of a case study", "mave_deadline_seconds"),
        ("settle window", "settle_seconds"),
        ("settle window of a case study", "mave_settle_seconds"),
        ("texts made in the background are awaited", "await_results_seconds"),
    ):
        assert told[label][1:] == [f"{getattr(real, name):g} s", f"{getattr(stand_in, name):g} s"], label


def test_the_operators_example_is_a_valid_file() -> None:
    ((_, text),) = _blocks(ROOT / "docs/configuration.md", "toml")
    operator = Operator.model_validate(tomllib.loads(text))
    assert operator.brand_voice is not None
    assert operator.products == {"prod_NffrFeUfNV2Hib": "team-plan"}
    assert operator.case_studies.anonymised


# ---- examples ---------------------------------------------------------------------------------------------------
EXAMPLES = [
    pytest.param(page, line, code, id=f"{page.name}, line {line}")
    for page in PAGES
    for line, code in _blocks(page, "python")
]


def _sample(schema: pa.Schema) -> pa.Table:
    """A table of one row with something of the right type in each column."""
    values = {"string": "x", "bool": False, "date32[day]": date(2026, 11, 1), "double": 0.5, "int64": 7}
    row = {field.name: values.get(str(field.type), NOW) for field in schema}
    return pa.Table.from_pylist([row], schema=schema)


@pytest.fixture
def sandbox_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks as if the sandbox had run in it."""
    lake = Lake(str(tmp_path / ".data/sandbox/lake"))
    schemas = {f"segments/{name}": schema for name, schema in SEGMENT_TABLES.items()}
    schemas |= {f"mavera/{name}": schema for name, schema in MAVERA_TABLES.items()}
    for name, schema in {**schemas, "stripe/quarantine": QUARANTINE}.items():
        lake.replace(name, _sample(schema), schema)
    state = State(f"sqlite:///{tmp_path / '.data/sandbox/state.db'}")
    state.migrate()
    state.close()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("page", "line", "code"), EXAMPLES)
@pytest.mark.usefixtures("sandbox_folder")
def test_the_example_runs(page: Path, line: int, code: str) -> None:
    exec(compile("\n" * (line - 1) + code, str(page), "exec"), {"__name__": "example"})


def test_a_new_stripe_key_can_stand_for_the_account_of_the_old_one(tmp_path: Path) -> None:
    code = next(code for _, code in _blocks(ROOT / "docs/operations.md", "python") if "carry_over" in code)
    example: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, "docs/operations.md", "exec"), example)
    state = State(f"sqlite:///{tmp_path / 'state.db'}")
    state.migrate()
    known = ExtractionState(state, lambda: NOW)
    old, new = (
        SimpleNamespace(key=key, api=StripeApi(SecretStr(key), limiter=Limiter(requests_per_second=1)))
        for key in ("rk_live_old", "rk_live_new")
    )
    known.remember_account(old.api.fingerprint, "key_1:live", 5)

    example["carry_over"](state, old.key, new.key)

    assert known.account_of(new.api.fingerprint) == ("key_1:live", 5)
