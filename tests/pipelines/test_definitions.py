"""The assembly: the graph as a snapshot that shows every change in review; it loads without opening a thing."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from pipelines.definitions import build_definitions
from pipelines.settings import Settings

_SNAPSHOT = Path(__file__).parent / "graph.json"


def _graph(definitions: dg.Definitions) -> dict[str, object]:
    graph = definitions.resolve_asset_graph()
    assets = {
        key.to_user_string(): {
            "group": graph.get(key).group_name,
            "kinds": sorted(graph.get(key).kinds),
            "made_from": sorted(parent.to_user_string() for parent in graph.get(key).parent_keys),
            "checks": sorted(check.name for check in graph.get_check_keys_for_assets([key])),
        }
        for key in sorted(graph.get_all_asset_keys())
    }
    jobs = {job.name: sorted(job.asset_layer.selected_asset_keys) for job in definitions.resolve_all_job_defs()}
    return {
        "assets": assets,
        "jobs": {
            name: [key.to_user_string() for key in keys]
            for name, keys in sorted(jobs.items())
            if not name.startswith("__")
        },
        "schedules": sorted(schedule.name for schedule in definitions.schedules or ()),
        "sensors": sorted(sensor.name for sensor in definitions.sensors or ()),
    }


def test_the_graph_is_the_one_on_record(settings_for: Callable[..., Settings]) -> None:
    """`UPDATE_SNAPSHOTS=1 pytest` writes the record anew; the difference belongs into the review."""
    found = json.dumps(_graph(build_definitions(settings_for())), indent=1, sort_keys=True) + "\n"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        _SNAPSHOT.write_text(found, encoding="utf-8")
    assert found == _SNAPSHOT.read_text(encoding="utf-8")


def test_it_loads_without_touching_a_file_or_a_socket(
    settings_for: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr("socket.socket.connect", refuse)
    dg.Definitions.validate_loadable(build_definitions(settings_for(stripe_api_key="rk_test_1234567890")))
    assert list(tmp_path.iterdir()) == []


def test_keys_are_masked_where_the_ui_shows_resources(settings_for: Callable[..., Settings]) -> None:
    definitions = build_definitions(
        settings_for(stripe_api_key="rk_live_verysecret", mavera_api_key="mvra_secret")
    )
    repository = definitions.get_repository_def()
    for name in ("stripe", "mavera"):
        fields = repository.get_top_level_resources()[name].config_schema.config_type.fields
        assert fields["api_key"].is_secret is True
