"""The values for Dagster's Helm chart and the receiver's manifest: keys that the chart knows, and nothing unsafe.

The keys are those of the chart's schema (`helm/dagster/values.schema.json` in dagster-io/dagster), written down by
hand for the parts that are used; Helm itself refuses or ignores others.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.dagster_home import prepare_dagster_home
from pipelines.settings import Settings

_ROOT = Path(__file__).parents[2]
_KUBERNETES = _ROOT / "deploy" / "kubernetes"
_PROJECT = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
_INSTANCE = yaml.safe_load((_ROOT / "deploy" / "dagster.yaml").read_text(encoding="utf-8"))
_VALUES = yaml.safe_load((_KUBERNETES / "values.yaml").read_text(encoding="utf-8"))
# What the chart does not know: a deployment and its service each.
_OWN = {
    name: tuple(yaml.safe_load_all((_KUBERNETES / f"{name}.yaml").read_text(encoding="utf-8")))
    for name in ("webhooks", "monitor")
}
_EXAMPLES: list[Any] = list(yaml.safe_load_all((_KUBERNETES / "secrets.example.yaml").read_text(encoding="utf-8")))

# The chart's keys, where it refuses others or silently ignores them.
_CHART: Mapping[str, set[str]] = {
    "": {
        "global",
        "generatePostgresqlPasswordSecret",
        "postgresql",
        "dagsterWebserver",
        "dagsterDaemon",
        "concurrency",
        "dagster-user-deployments",
        "runLauncher",
        "migrate",
        "pythonLogs",
        "retention",
        "telemetry",
    },
    "global": {"postgresqlSecretName", "dagsterHome"},
    "dagsterWebserver": {
        "replicaCount",
        "image",
        "service",
        "podSecurityContext",
        "securityContext",
        "resources",
        "env",
        "envSecrets",
    },
    "dagsterDaemon": {
        "enabled",
        "image",
        "podSecurityContext",
        "securityContext",
        "resources",
        "runCoordinator",
        "runMonitoring",
        "runRetries",
        "env",
        "envSecrets",
    },
    "dagsterDaemon.runMonitoring": {
        "enabled",
        "startTimeoutSeconds",
        "cancelTimeoutSeconds",
        "maxResumeRunAttempts",
        "pollIntervalSeconds",
        "freeSlotsAfterRunEndSeconds",
    },
    "concurrency": {"enabled", "pools", "runs"},
    "concurrency.pools": {"defaultLimit", "granularity", "opGranularityRunBuffer"},
    "retention.sensor.purgeAfterDays": {"skipped", "success", "failure", "started"},
    "runLauncher.config.k8sRunLauncher": {
        "image",
        "imagePullPolicy",
        "jobNamespace",
        "loadInclusterConfig",
        "kubeconfigFile",
        "envConfigMaps",
        "envSecrets",
        "envVars",
        "volumeMounts",
        "volumes",
        "labels",
        "failPodOnRunFailure",
        "resources",
        "securityContext",
        "runK8sConfig",
    },
    "runLauncher.config.k8sRunLauncher.runK8sConfig": {
        "containerConfig",
        "podSpecConfig",
        "podTemplateSpecMetadata",
        "jobSpecConfig",
        "jobMetadata",
    },
}


@pytest.mark.parametrize("path", _CHART)
def test_the_helm_values_hold_keys_that_the_chart_knows(path: str) -> None:
    place = _VALUES
    for name in filter(None, path.split(".")):
        place = place[name]
    assert set(place) <= _CHART[path]


def test_the_helm_values_say_what_the_instance_file_says() -> None:
    daemon = _VALUES["dagsterDaemon"]
    assert _VALUES["concurrency"]["pools"]["defaultLimit"] == _INSTANCE["concurrency"]["pools"]["default_limit"]
    assert daemon["runMonitoring"]["enabled"] is _INSTANCE["run_monitoring"]["enabled"] is True
    freed = _INSTANCE["run_monitoring"]["free_slots_after_run_end_seconds"]
    assert daemon["runMonitoring"]["freeSlotsAfterRunEndSeconds"] == freed
    assert _VALUES["telemetry"]["enabled"] is _INSTANCE["telemetry"]["enabled"] is False
    assert _VALUES["pythonLogs"]["managedPythonLoggers"] == _INSTANCE["python_logs"]["managed_python_loggers"]
    kept = _INSTANCE["retention"]
    assert _VALUES["retention"]["schedule"]["purgeAfterDays"] == kept["schedule"]["purge_after_days"]
    sensor = kept["sensor"]["purge_after_days"]
    assert _VALUES["retention"]["sensor"]["purgeAfterDays"] == {"started": -1, **sensor}


def test_the_documented_values_for_several_accounts_say_what_their_instance_file_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "")
    text = (_ROOT / "docs" / "accounts.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(concurrency:.+?)```", text, re.DOTALL)
    values = yaml.safe_load(block)["concurrency"]
    home = prepare_dagster_home(Settings(_env_file=None, data_dir=tmp_path, stripe_accounts_file="accounts.toml"))
    instance = yaml.safe_load((home / "dagster.yaml").read_text(encoding="utf-8"))["concurrency"]
    assert set(values) <= _CHART["concurrency"]
    assert values["enabled"] is True
    # The chart spells these keys so (`ConcurrencyRuns` in its schema) and hands the limits on as they stand.
    assert values["runs"] == {"tagConcurrencyLimits": instance["runs"]["tag_concurrency_limits"]}


def test_a_run_on_kubernetes_happens_once() -> None:
    """Neither Kubernetes nor Dagster may start a run again: it would go on beside one that still pays."""
    launcher = _VALUES["runLauncher"]["config"]["k8sRunLauncher"]
    assert launcher["runK8sConfig"]["jobSpecConfig"]["backoffLimit"] == 0
    assert _VALUES["dagsterDaemon"]["runRetries"]["enabled"] is False
    assert _VALUES["dagsterDaemon"]["runMonitoring"]["maxResumeRunAttempts"] == 0


def test_nothing_is_published_on_kubernetes_and_pods_are_confined() -> None:
    assert _VALUES["dagsterWebserver"]["service"]["type"] == "ClusterIP"
    (deployment,) = _VALUES["dagster-user-deployments"]["deployments"]
    for place in (_VALUES["dagsterWebserver"], _VALUES["dagsterDaemon"], deployment):
        assert place["podSecurityContext"]["runAsNonRoot"] is True
        assert place["securityContext"]["allowPrivilegeEscalation"] is False
    assert deployment["image"]["tag"] == _PROJECT["project"]["version"]


@pytest.mark.parametrize("name", _OWN)
def test_our_own_pods_are_confined_and_not_published(name: str) -> None:
    own, service = _OWN[name]
    (deployment,) = _VALUES["dagster-user-deployments"]["deployments"]
    assert service["spec"]["type"] == "ClusterIP"
    assert service["spec"]["selector"] == own["spec"]["template"]["metadata"]["labels"]
    pod = own["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["image"] == f"{deployment['image']['repository']}:{deployment['image']['tag']}"
    # What both read must be the same place.
    runs = {entry["name"]: entry["value"] for entry in deployment["env"]}
    assert {entry["name"]: runs[entry["name"]] for entry in container["env"]} == {
        entry["name"]: entry["value"] for entry in container["env"]
    }


def test_secrets_that_are_referred_to_are_in_the_example_and_empty() -> None:
    secrets = {one["metadata"]["name"]: one["stringData"] for one in _EXAMPLES if one["kind"] == "Secret"}
    (deployment,) = _VALUES["dagster-user-deployments"]["deployments"]
    referred = {entry["name"] for entry in deployment["envSecrets"]}
    for own, _ in _OWN.values():
        (container,) = own["spec"]["template"]["spec"]["containers"]
        referred |= {entry["secretRef"]["name"] for entry in container["envFrom"]}
    referred.add(_VALUES["global"]["postgresqlSecretName"])
    assert referred == secrets.keys()
    assert {value for data in secrets.values() for value in data.values()} == {""}
