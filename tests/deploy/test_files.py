"""The deployment's files, as far as no engine is needed: they name what exists, and nothing unsafe."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.dagster_home import prepare_dagster_home
from pipelines.settings import Mode, Settings

_ROOT = Path(__file__).parents[2]
_DEPLOY = _ROOT / "deploy"
_BIN = Path(sys.executable).parent
_PROJECT = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
_SETTINGS = {name.upper() for name in Settings.model_fields}
# Names that others read: Dagster, our workspace file, delta-rs, the PostgreSQL image.
_OTHERS = {
    "DAGSTER_HOME",
    "CODE_LOCATION_HOST",
    "HOME",
    "AWS_REGION",
    "AWS_CONDITIONAL_PUT",
    "POSTGRES_USER",
    "POSTGRES_DB",
    "POSTGRES_PASSWORD",
}


def _yaml(name: str) -> Any:
    return yaml.safe_load((_DEPLOY / name).read_text(encoding="utf-8"))


def _documents(name: str) -> list[Any]:
    return list(yaml.safe_load_all((_DEPLOY / name).read_text(encoding="utf-8")))


_COMPOSE = _yaml("compose.yaml")
_OWN = {name: service for name, service in _COMPOSE["services"].items() if name != "postgres"}
_VALUES = _yaml("kubernetes/values.yaml")
_ON_KUBERNETES = {name: _documents(f"kubernetes/{name}.yaml")[0] for name in ("webhooks", "monitor")}
_UNITS = sorted((_DEPLOY / "systemd").glob("*.service"))


def _commands() -> Iterator[Any]:
    for name, service in _OWN.items():
        yield pytest.param(service["command"], id=f"compose {name}")
        if "healthcheck" in service:
            yield pytest.param(service["healthcheck"]["test"][1:], id=f"compose {name}, its health")
    for name, deployment in _ON_KUBERNETES.items():
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        yield pytest.param(container["args"], id=f"kubernetes {name}")
    for unit in _UNITS:
        for line in re.findall(r"^ExecStart(?:Pre)?=(.+)$", unit.read_text(encoding="utf-8"), re.MULTILINE):
            yield pytest.param(
                shlex.split(line.replace("/opt/stripe-mavera/.venv/bin/", "")), id=f"{unit.stem} {line[-20:]}"
            )


@pytest.mark.parametrize("command", list(_commands()))
def test_a_command_exists_and_knows_its_options(command: list[str]) -> None:
    program, *rest = command
    assert (_BIN / program).exists()
    words = [word for word in rest if re.fullmatch(r"[a-z][a-z-]+", word)]
    subcommands = words[: {"dagster": 2, "stripe-mavera": 1, "dagster-daemon": 1}.get(program, 0)]
    if program == "python":
        compile(rest[1], "healthcheck", "exec")
        return
    told = subprocess.run(
        [_BIN / program, *subcommands, "--help"], capture_output=True, text=True, check=True
    ).stdout
    for option in (word for word in rest if word.startswith("-")):
        assert re.search(rf"(?<![\w-]){option}\b", told), f"{program} has no {option}"
    for path in (word.removeprefix("/opt/stripe-mavera/") for word in rest if word.endswith(".yaml")):
        assert (_ROOT / path).is_file()


def _environments() -> Iterator[tuple[str, set[str]]]:
    for name, service in _COMPOSE["services"].items():
        yield f"compose {name}", set(service.get("environment", {}))
    for name in ("env.example", "database.env.example"):
        yield name, set(re.findall(r"^([A-Z_]+)=", (_DEPLOY / name).read_text(encoding="utf-8"), re.MULTILINE))
    for unit in _UNITS:
        text = unit.read_text(encoding="utf-8")
        yield (
            unit.name,
            {
                name
                for line in re.findall(r"^Environment=(.+)$", text, re.MULTILINE)
                for name in re.findall(r"(\w+)=", line)
            },
        )
    (deployment,) = _VALUES["dagster-user-deployments"]["deployments"]
    yield "kubernetes values", {entry["name"] for entry in deployment["env"]}
    for document in _documents("kubernetes/secrets.example.yaml"):
        if document["kind"] == "Secret" and "postgresql-password" not in document["stringData"]:
            yield document["metadata"]["name"], set(document["stringData"])
    for name, own in _ON_KUBERNETES.items():
        (container,) = own["spec"]["template"]["spec"]["containers"]
        yield f"kubernetes {name}", {entry["name"] for entry in container["env"]}
    image = (_DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    yield "image", set(re.findall(r"(DATA_DIR|DAGSTER_HOME)=", image))


@pytest.mark.parametrize(
    ("place", "names"), [pytest.param(place, names, id=place) for place, names in _environments()]
)
def test_every_variable_is_a_setting_or_known_to_another_program(place: str, names: set[str]) -> None:
    assert names <= _SETTINGS | _OTHERS


def test_the_example_of_settings_is_valid_before_it_is_filled_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in _SETTINGS:
        monkeypatch.delenv(name, raising=False)
    settings = Settings(_env_file=_DEPLOY / "env.example", data_dir=tmp_path)
    assert (settings.mode, settings.mavera_is_sandbox, settings.stripe_webhook_secrets) == (Mode.SANDBOX, True, ())
    assert settings.operator_path.is_file()


def test_the_image_is_built_from_what_exists_and_runs_as_nobody() -> None:
    text = (_DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    copied = [
        source for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE) for source in line.split()[:-1]
    ]
    assert all((_ROOT / source).exists() for source in copied)
    packages = _PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert set(packages) <= set(copied)
    kept = {
        line[1:] for line in (_DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")
    }
    assert set(copied) == kept
    assert not {name for name in kept if name.startswith(".")}

    makefile = (_ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"UV_VERSION=(\S+)", text).group(1) == re.search(r"UV_VERSION := (\S+)", makefile).group(1)  # type: ignore[union-attr]
    groups = re.findall(r"--group (\w+)", text)
    assert set(groups) <= set(_PROJECT["dependency-groups"])
    assert "\nUSER 10001:10001\n" in text
    assert text.index("\nUSER ") < text.index("\nENTRYPOINT ")
    assert (_DEPLOY / "entrypoint.sh").stat().st_mode & 0o111


def test_the_packages_of_dagster_are_of_one_version() -> None:
    """Library packages of Dagster 1.x.y are 0.(x+16).y: a mixture fails in the middle of a run."""
    wanted = [*_PROJECT["project"]["dependencies"], *_PROJECT["dependency-groups"]["kubernetes"]]
    pinned = dict(entry.split("==") for entry in wanted if entry.startswith("dagster"))
    assert pinned["dagster"] == pinned["dagster-webserver"]
    assert pinned["dagster-postgres"] == pinned["dagster-k8s"]
    _, minor, patch = pinned["dagster"].split(".")
    assert pinned["dagster-k8s"] == f"0.{int(minor) + 16}.{patch}"
    assert f"--version {pinned['dagster']}" in (_DEPLOY / "kubernetes" / "values.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", _COMPOSE["services"])
def test_a_service_of_compose_is_safe_and_waits_for_what_it_needs(name: str) -> None:
    service: Mapping[str, Any] = _COMPOSE["services"][name]
    assert "privileged" not in service
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert not service["image"].endswith(":latest")
    for other, condition in service.get("depends_on", {}).items():
        needed = _COMPOSE["services"][other]
        healthy = condition["condition"] == "service_healthy"
        assert ("healthcheck" in needed) if healthy else (needed["restart"] == "no")
    for volume in service.get("volumes", ()):
        assert volume.partition(":")[0] in _COMPOSE["volumes"]
    if name not in ("migrate", "sandbox"):
        assert "healthcheck" in service
    if name != "postgres":
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True


@pytest.mark.parametrize("name", ["webserver", "daemon", "postgres"])
def test_what_needs_no_keys_gets_none(name: str) -> None:
    service = _COMPOSE["services"][name]
    assert "env_file" not in service
    assert not {key for key in service["environment"] if key.endswith(("_API_KEY", "_SECRET", "_SECRETS"))}


def _environment(name: str, given: Mapping[str, str]) -> dict[str, str]:
    """The environment of a service of compose with a `.env`: what compose states itself comes before the file."""

    def value(found: re.Match[str]) -> str:
        variable, default = found.groups()
        return given.get(variable) or (default or "")

    service = _COMPOSE["services"][name]
    stated = dict(service.get("environment", {}))
    while any("${" in text for text in stated.values()):
        stated = {key: re.sub(r"\$\{(\w+)(?::[-?]([^{}]*))?\}", value, text) for key, text in stated.items()}
    return {**(given if "env_file" in service else {}), **stated}


@pytest.mark.parametrize("name", ["migrate", "code", "monitor", "webhooks"])
def test_the_operator_can_give_an_account_a_state_of_its_own(name: str) -> None:
    usual = _environment(name, {"POSTGRES_PASSWORD": "word"})
    assert usual["STATE_DATABASE_URL"] == "postgresql+psycopg2://stripe_mavera:word@postgres:5432/stripe_mavera"
    own = "postgresql+psycopg2://stripe_mavera:word@postgres:5432/live"
    assert _environment(name, {"STATE_DATABASE_URL": own})["STATE_DATABASE_URL"] == own


@pytest.mark.parametrize("name", ["migrate", "code", "webserver", "daemon", "monitor", "webhooks"])
def test_every_service_knows_of_several_accounts(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each writes the instance file that all share: one that knew of one account would bring its pools back."""
    monkeypatch.setenv("DAGSTER_HOME", "")
    for file in ("", "/data/accounts.toml"):
        found = {key.lower(): value for key, value in _environment(name, {"STRIPE_ACCOUNTS_FILE": file}).items()}
        settings = Settings(_env_file=None, **{**found, "data_dir": tmp_path})
        home = prepare_dagster_home(settings.model_copy(update={"dagster_postgres_url": None}))
        concurrency = yaml.safe_load((home / "dagster.yaml").read_text(encoding="utf-8"))["concurrency"]
        assert set(concurrency) == ({"runs"} if file else {"pools"})


def test_the_password_has_no_default() -> None:
    text = (_DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{POSTGRES_PASSWORD([^}]*)\}", text)) == {":?set POSTGRES_PASSWORD in .env"}


@pytest.mark.parametrize("unit", _UNITS, ids=[unit.stem for unit in _UNITS])
def test_a_unit_listens_on_loopback_as_its_own_user_and_keeps_keys_where_they_are_needed(unit: Path) -> None:
    text = unit.read_text(encoding="utf-8")
    assert "0.0.0.0" not in text
    assert re.findall(r"^User=(.+)$", text, re.MULTILINE) == ["stripe-mavera"]
    for line in ("NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes", "CapabilityBoundingSet="):
        assert f"\n{line}\n" in text
    assert ("keys.env" in text) is unit.stem.endswith(("-code", "-webhooks", "-monitor"))


def test_a_command_on_a_plain_machine_has_the_keys_places_and_user_of_the_units(tmp_path: Path) -> None:
    shown = tmp_path / "systemd-run"
    shown.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\nexit 3\n', encoding="utf-8")
    shown.chmod(0o755)
    environment = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "SUDO_USER": "ann"}
    told = subprocess.run(
        [_DEPLOY / "stripe-mavera", "approve", "a b"], env=environment, capture_output=True, text=True, check=False
    )
    *options, program, command, argument = told.stdout.splitlines()
    unit = (_DEPLOY / "systemd" / "stripe-mavera-code.service").read_text(encoding="utf-8")
    files = re.findall(r"^EnvironmentFile=(.+)$", unit, re.MULTILINE)
    assert [f"--property=EnvironmentFile={file}" for file in files] == [
        option for option in options if "EnvironmentFile" in option
    ]
    (line,) = re.findall(r"^Environment=(.+)$", unit, re.MULTILINE)
    assert {f"--setenv={name}" for name in line.split() if name.startswith(("DATA_DIR", "DAGSTER", "HOME"))} <= {
        *options
    }
    assert {"--uid=stripe-mavera", "--wait", "--setenv=LOGNAME=ann"} <= set(options)
    assert f"={program} migrate" in unit
    assert (command, argument, told.returncode) == ("approve", "a b", 3)


def test_the_commands_of_the_documentation_name_what_the_files_make() -> None:
    text = (_ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    (release,) = set(re.findall(r"helm upgrade --install (\w+) dagster/dagster", text))
    (deployment,) = _VALUES["dagster-user-deployments"]["deployments"]
    assert f"kubectl exec deployment/{release}-dagster-user-deployments-{deployment['name']} -- " in text
    secrets = {
        document["metadata"]["name"]: set(document["stringData"])
        for document in _documents("kubernetes/secrets.example.yaml")
        if document["kind"] == "Secret"
    }
    given = set().union(*(secrets[entry["name"]] for entry in deployment["envSecrets"]))
    assert {"STRIPE_API_KEY", "MAVERA_API_KEY", "STATE_DATABASE_URL", "DAGSTER_POSTGRES_URL"} <= given
    for service in re.findall(r" exec (?:--env \S+ )?(\w+) stripe-mavera ", text):
        assert {"env_file", "environment"} <= _COMPOSE["services"][service].keys()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this machine")
def test_systemd_reads_the_units(tmp_path: Path) -> None:
    for source in (_DEPLOY / "systemd").iterdir():
        text = source.read_text(encoding="utf-8").replace("/opt/stripe-mavera", str(_ROOT))
        (tmp_path / source.name).write_text(text.replace(f"{_ROOT}/.venv/bin", str(_BIN)), encoding="utf-8")
    units = sorted(str(path) for path in tmp_path.iterdir())
    told = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )
    ours = [line for line in told.stderr.splitlines() if "stripe-mavera" in line]
    assert (told.returncode, ours) == (0, [])
