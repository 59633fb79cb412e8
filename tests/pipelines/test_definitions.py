"""The assembly: the graph as a snapshot that shows every change in review; it loads without opening a thing."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from pipelines.definitions import build_definitions, resources_of
from pipelines.settings import Settings
from resources.progress import Silent

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


@pytest.mark.parametrize(
    ("base", "compares"), [("https://app.mavera.io/api/v1", True), ("http://127.0.0.1:9/api/v1", False)]
)
def test_usage_is_compared_where_the_real_mavera_gets_the_sandbox_header(
    settings_for: Callable[..., Settings], base: str, compares: bool
) -> None:
    keys = {"stripe_api_key": "rk_test_1234567890", "mavera_api_key": "mvra_test_1234567890"}
    found = resources_of(settings_for(**keys, mavera_sandbox=True, mavera_api_base=base), Silent())
    assert (found["mavera"].sandbox, found["paid_work"].compare_usage) == (True, compares)


def test_no_secret_is_in_what_dagster_stores_and_shows_of_a_job(settings_for: Callable[..., Settings]) -> None:
    """A job's configuration is kept in clear with its default values, also those of fields marked secret."""
    definitions = build_definitions(
        settings_for(
            stripe_api_key="rk_live_verysecret",
            mavera_api_key="mvra_verysecret",
            state_database_url="postgresql://user:verysecret@database/state",
            notify_slack_webhook_url="https://hooks.slack.com/services/verysecret",
            notify_smtp_url="smtp://user:verysecret@mail.example",
            notify_email_from="a@mail.example",
            notify_email_to="b@mail.example",
        )
    )
    for job in definitions.get_repository_def().get_all_jobs():
        assert "verysecret" not in str(job.get_job_snapshot())
    for resource in (definitions.resources or {}).values():
        assert "verysecret" not in repr(resource)
