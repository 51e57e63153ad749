"""compose.yaml, the Dockerfiles and the units of systemd: they name what exists, agree, and hold no secret.

Whether they work is seen by running them (docs/one-machine.md); this catches what would drift unseen.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

import flowscale
from flowscale.settings import Settings, groups
from flowscale_api.server import STOP_SECONDS
from flowscale_cli.main import app

ROOT = Path(__file__).resolve().parents[2]
SYSTEMD = ROOT / "deploy" / "systemd"
UNITS = ("flowscale-api@.service", "flowscale-worker.service")
DOCKERFILES = ("Dockerfile.api", "Dockerfile.worker", "Dockerfile.operator", "deploy/compose/Dockerfile.proxy")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]

SETTINGS = {str(field.alias) for group in groups().values() for field in group.model_fields.values()}
SECRET = re.compile(r"PASSWORD|SECRET|KEY|TOKEN|REDIS_URL")
INTERPOLATED = re.compile(r"(?<!\$)\$\{([A-Z0-9_]+):-([^}]*)\}")

FIXED_BY_THE_IMAGE = {"FLOWSCALE_FFMPEG", "FLOWSCALE_FFPROBE", "FLOWSCALE_SCRATCH_DIR", "MAX_WORKERS", "POD_NAME"}
"""Settings of a worker that a container of one has no use for: it does not grow, `--scale` does; and a file that all
containers share cannot name each of them."""


def interpolated(text: str) -> str:
    """As Compose does it, where nothing is set."""
    return INTERPOLATED.sub(lambda found: found[2], text).replace("$$", "$")


def environment(service: str) -> dict[str, str]:
    """What the containers of `service` are given where nothing is set."""
    return {name: interpolated(str(value)) for name, value in SERVICES[service]["environment"].items()}


def assignments(path: Path, *, commented: bool) -> dict[str, str]:
    """The lines NAME=value of an environment file, or those with a # before them."""
    found = re.findall(rf"^{'#' if commented else ''}([A-Z][A-Z0-9_]*)=(.*)$", path.read_text(), re.MULTILINE)
    assert len(found) == len(dict(found)), f"{path.name} names a setting twice"
    return dict(found)


def directives(unit: str, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", (SYSTEMD / unit).read_text(), re.MULTILINE)


def unit_environment(unit: str) -> dict[str, str]:
    given = dict(line.split("=", 1) for line in directives(unit, "Environment"))
    return {name: value.replace("%i", "3001") for name, value in given.items()}


def groups_of(service: str) -> tuple[str, ...]:
    return {
        "api": ("gateway", "queue", "webhooks", "logs", "tracing"),
        "worker": ("worker", "queue", "logs", "tracing"),
    }[service]


# --- compose.yaml and .env.example


def test_compose_asks_for_no_variable_that_is_no_setting() -> None:
    asked = {name for name, _ in INTERPOLATED.findall((ROOT / "compose.yaml").read_text())}
    assert asked - SETTINGS == set()


def test_every_variable_in_compose_has_a_default_so_that_up_needs_no_file() -> None:
    text = INTERPOLATED.sub("", (ROOT / "compose.yaml").read_text().replace("$$", ""))
    assert "$" not in text


@pytest.mark.parametrize("service", ["api", "worker"])
def test_containers_are_given_settings_that_load(service: str) -> None:
    given = environment(service)
    assert set(given) - SETTINGS == set()
    settings = Settings.load(given)
    assert (settings.queue.mode, settings.redis.host, str(settings.storage.dir)) == ("redis", "queue", "/data")
    assert "queue" in SERVICES
    assert "files:/data" in SERVICES[service]["volumes"]


@pytest.mark.parametrize("service", ["api", "worker"])
def test_every_setting_of_a_part_can_be_given_in_the_env_file(service: str) -> None:
    names = {str(field.alias) for name in groups_of(service) for field in groups()[name].model_fields.values()}
    missing = names - FIXED_BY_THE_IMAGE - set(SERVICES[service]["environment"])
    assert missing == set(), f"add them to {service} in compose.yaml and to .env.example, or to FIXED_BY_THE_IMAGE"


def test_the_example_names_each_variable_with_the_value_that_holds_without_it() -> None:
    asked = INTERPOLATED.findall((ROOT / "compose.yaml").read_text())
    defaults = dict(asked)
    assert set(asked) == set(defaults.items()), "one variable has two defaults in compose.yaml"
    shown = assignments(ROOT / ".env.example", commented=True)
    assert shown.keys() == defaults.keys()
    for name, value in shown.items():
        assert Settings.load({name: value}) == Settings.load({name: defaults[name]}), name


def test_the_example_sets_nothing() -> None:
    assert assignments(ROOT / ".env.example", commented=False) == {}


def test_the_proxy_alone_is_published_and_on_this_machine_unless_told_otherwise() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert {name: [interpolated(port) for port in ports] for name, ports in published.items()} == {
        "proxy": ["127.0.0.1:3000:8080"]
    }
    nginx = (ROOT / "deploy/compose/nginx.conf").read_text()
    assert "listen 8080;" in nginx
    assert f"http://api:{environment('api')['PORT']}" in nginx


def test_whoever_connects_to_other_hosts_has_a_way_out() -> None:
    assert {name for name, service in SERVICES.items() if "outside" in service["networks"]} == {"api", "worker"}
    assert not (COMPOSE["networks"]["outside"] or {}).get("internal")


def test_containers_may_do_little_and_come_back() -> None:
    for name, service in SERVICES.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "cap_add" not in service, name
        assert "privileged" not in service, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["restart"] == "unless-stopped", name


def test_whoever_is_waited_for_says_whether_it_is_well() -> None:
    awaited = {name for service in SERVICES.values() for name in service.get("depends_on", {})}
    assert awaited == {"api", "queue"}
    assert "healthcheck" in SERVICES["queue"]
    assert "HEALTHCHECK" in (ROOT / SERVICES["api"]["build"]["dockerfile"]).read_text()


def test_the_queue_keeps_its_jobs() -> None:
    words = " ".join(SERVICES["queue"]["command"]).replace("\\\n", " ").split()
    for option, value in (("--appendonly", "yes"), ("--appendfsync", "everysec"), ("--maxmemory-policy", "noeviction")):
        assert words[words.index(option) + 1] == value
    assert SERVICES["queue"]["volumes"] == ["queue:/data"]


# --- the time a stop may take


def test_the_engine_waits_for_renders_as_long_as_the_worker_was_told() -> None:
    worker = SERVICES["worker"]
    assert worker["stop_grace_period"] == f"{worker['environment']['FLOWSCALE_SHUTDOWN_GRACE']}s"


def test_systemd_waits_for_renders_as_long_as_the_worker_was_told() -> None:
    assert directives(UNITS[1], "TimeoutStopSec") == [unit_environment(UNITS[1])["FLOWSCALE_SHUTDOWN_GRACE"]]
    assert directives(UNITS[1], "KillMode") == ["mixed"]


def test_both_ways_give_renders_the_same_time() -> None:
    in_unit = Settings.load(unit_environment(UNITS[1])).worker.shutdown_grace_seconds
    assert Settings.load(environment("worker")).worker.shutdown_grace_seconds == in_unit


def test_a_gateway_is_waited_for_longer_than_its_requests_may_take() -> None:
    assert int(SERVICES["api"]["stop_grace_period"].removesuffix("s")) > STOP_SECONDS
    assert int(directives(UNITS[0], "TimeoutStopSec")[0]) > STOP_SECONDS


# --- systemd


@pytest.mark.parametrize("unit", UNITS)
def test_units_give_settings_that_load_with_those_of_the_example(unit: str) -> None:
    example = assignments(SYSTEMD / "flowscale.env.example", commented=False)
    optional = assignments(SYSTEMD / "flowscale.env.example", commented=True)
    own = unit_environment(unit)
    own.pop("PYTHONSAFEPATH")
    assert (own.keys() | example.keys() | optional.keys()) - SETTINGS == set()
    assert own.keys() & (example.keys() | optional.keys()) == set(), "the file would win over the unit"
    settings = Settings.load(own | example | optional)
    assert directives(unit, "StateDirectory") == [settings.storage.dir.name]
    assert settings.storage.dir.parent == Path("/var/lib")


@pytest.mark.parametrize("unit", UNITS)
def test_units_start_commands_that_exist(unit: str) -> None:
    (line,) = directives(unit, "ExecStart")
    program, command, *options = line.split()
    assert Path(program).name == "flowscale"
    known = typer.main.get_command(app)
    found = known.get_command(typer.Context(known), command)  # type: ignore[attr-defined]  # a group, as it has commands
    assert found is not None
    assert set(options) <= {option for parameter in found.params for option in parameter.opts}


@pytest.mark.parametrize("unit", UNITS)
def test_units_come_back_and_belong_to_the_target(unit: str) -> None:
    assert directives(unit, "Restart") == ["always"]
    assert directives(unit, "PartOf") == directives(unit, "WantedBy") == ["flowscale.target"]
    assert directives(unit, "User") == ["flowscale"]


def test_the_fence_around_ffmpeg_can_be_raised_in_the_worker_unit() -> None:
    (allowed,) = directives(UNITS[1], "RestrictNamespaces")
    assert set(allowed.split()) == {"user", "net"}


# --- images


def test_our_images_bear_our_version() -> None:
    ours = {name: service["image"] for name, service in SERVICES.items() if "build" in service}
    assert ours == {name: f"flowscale-{name}:{flowscale.__version__}" for name in ("proxy", "api", "worker")}


def test_images_of_others_are_pinned_by_version() -> None:
    bases = [re.findall(r"^ARG \w+_IMAGE=(\S+)$", (ROOT / name).read_text(), re.MULTILINE) for name in DOCKERFILES]
    assert all(base == bases[0] for base in bases), "one base for all, so that it is there once"
    others = [service["image"] for service in SERVICES.values() if "build" not in service]
    for image in (*bases[0], *others):
        assert re.fullmatch(r"[a-z0-9./-]+:\d+\.\d+[a-z0-9.-]*", image), image


@pytest.mark.parametrize("name", DOCKERFILES)
def test_images_run_as_a_numbered_user_without_privileges(name: str) -> None:
    text = (ROOT / name).read_text()
    last = text.rindex("\nFROM ")
    (user,) = re.findall(r"^USER (\S+)$", text[last:], re.MULTILINE)
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    assert "WORKDIR /srv" in text[last:]


@pytest.mark.parametrize(
    ("part", "extras", "command"),
    [
        ("api", ["api", "s3", "tracing"], '["flowscale", "api"]'),
        ("worker", ["worker", "s3", "tracing"], '["flowscale", "worker"]'),
        ("operator", ["operator"], '["flowscale-operator"]'),
    ],
)
def test_images_hold_what_their_part_needs(part: str, extras: list[str], command: str) -> None:
    text = (ROOT / f"Dockerfile.{part}").read_text()
    assert re.findall(r"--extra (\w+)", text) == extras
    assert "--frozen" in text
    assert "PYTHONSAFEPATH=1" in text
    assert f'ENTRYPOINT ["tini", "--"]\nCMD {command}' in text
    for label in ("title", "description", "licenses"):
        assert f"org.opencontainers.image.{label}=" in text


def test_what_images_are_built_with_is_pinned_by_hash_and_the_same_uv_as_everywhere() -> None:
    text = (ROOT / "deploy/images/build-requirements.txt").read_text()
    requirements = re.split(r"\n(?=[a-z])", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).strip())
    for requirement in requirements:
        assert re.match(r"[a-z-]+==[\d.]+ \\\n {4}--hash=sha256:[0-9a-f]{64}", requirement), requirement
    (pinned,) = re.findall(r"^UV_PINNED=(\S+)$", (ROOT / "scripts/bootstrap").read_text(), re.MULTILINE)
    assert any(requirement.startswith(f"uv=={pinned} ") for requirement in requirements)


# --- secrets


def test_no_file_holds_a_secret() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            assert not SECRET.search(name) or value == f"${{{name}:-}}"
    for example in (ROOT / ".env.example", SYSTEMD / "flowscale.env.example"):
        for commented in (True, False):
            for name, value in assignments(example, commented=commented).items():
                assert not SECRET.search(name) or value == ""
    for unit in UNITS:
        assert not any(SECRET.search(name) for name in unit_environment(unit))
    assert not any(SECRET.search(word) for name in DOCKERFILES for word in environment_lines(ROOT / name))


def environment_lines(dockerfile: Path) -> list[str]:
    """ARG and ENV, with the lines they go on over."""
    text = re.sub(r"\\\n\s*", "", dockerfile.read_text())
    return re.findall(r"^(?:ARG|ENV) .*$", text, re.MULTILINE)
