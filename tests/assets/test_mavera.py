"""The plan on tables of a lake: what its hash, which a person approves, follows and what it does not."""

from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa

from assets.mavera import plan
from pipelines.definitions import build_definitions
from pipelines.settings import Settings
from resources.lake import Lake
from resources.state import State
from resources.state.exports import remember_delivery
from sandbox.launch import Sandbox
from segments.release import Release
from segments.tables import SEGMENT_TABLES
from tests.segments.business import Customer, customers, fields_of, release, tables
from tests.segments.raw import AS_OF

_PEOPLE = customers("a", 60) + customers("b", 40, tier="mid_market", mrr=200_000)


def _planned(settings: Settings, people: list[Customer], released: Release) -> dict[str, Any]:
    """The metadata of the plan for a release."""
    lake = Lake(settings.lake)
    everyone = SEGMENT_TABLES["mrr_tiers"]
    counted = pa.schema([everyone.field("customer")], metadata=everyone.metadata)
    lake.replace("segments/mrr_tiers", tables(people)["mrr_tiers"], counted)
    lake.replace("segments/released_cells", released.released_cells, SEGMENT_TABLES["released_cells"])
    result = dg.materialize([plan], resources=build_definitions(settings).resources)
    (event,) = result.get_asset_materialization_events()
    return {name: entry.value for name, entry in event.materialization.metadata.items()}


def test_the_hash_stays_from_release_to_release_until_a_released_field_changes(tmp_path: Path) -> None:
    with Sandbox(only="mavera") as sandbox:
        settings = Settings(_env_file=None, data_dir=tmp_path, mavera_api_base=sandbox.mavera)
        state = State(settings.state_url)
        state.migrate()
        remember_delivery(state, "20260515", livemode=False, version_at=AS_OF, loaded_at=AS_OF)

        first = release(_PEOPLE)
        before = _planned(settings, _PEOPLE, first)
        later = release(_PEOPLE, last=first, days=1)
        assert _planned(settings, _PEOPLE, later)["plan_hash"] == before["plan_hash"]

        joined = [*_PEOPLE, *customers("c", 1)]
        kept = release(joined, last=later, days=2)
        assert fields_of(kept) == fields_of(first)
        shown = _planned(settings, joined, kept)
        assert (shown["plan_hash"], shown["customers"]) == (before["plan_hash"], before["customers"] + 1)
        assert shown["made_from"] != before["made_from"]

        grown = [*_PEOPLE, *customers("d", 30)]
        assert _planned(settings, grown, release(grown, last=kept, days=3))["plan_hash"] != before["plan_hash"]
