"""Settings: one line for one fault, before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowscale.errors import SettingsError
from flowscale.settings import Settings, groups


def test_defaults_need_no_environment() -> None:
    settings = Settings.load({})
    assert (settings.gateway.host, settings.gateway.port) == ("127.0.0.1", 3000)
    assert settings.scratch_dir == Path("data/scratch")


def test_the_names_of_the_old_service_are_read() -> None:
    settings = Settings.load({"HOST": "0.0.0.0", "PORT": "8080", "STORAGE_DIR": "/srv", "WORKER_CONCURRENCY": "3"})
    assert (settings.gateway.host, settings.gateway.port) == ("0.0.0.0", 8080)
    assert (settings.storage.dir, settings.worker.concurrency) == (Path("/srv"), 3)


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"PORT": "http"}, "PORT: must be a valid integer, unable to parse string as an integer (it is 'http')"),
        ({"PORT": "70000"}, "PORT: must be less than or equal to 65535 (it is '70000')"),
        ({"QUEUE_MODE": "kafka"}, "QUEUE_MODE: must be 'memory' (it is 'kafka')"),
        ({"WORKER_CONCURRENCY": "0"}, "WORKER_CONCURRENCY: must be greater than or equal to 1 (it is '0')"),
        (
            {"FLOWSCALE_FFMPEG_THREAD": "2"},
            "FLOWSCALE_FFMPEG_THREAD: no such setting; did you mean FLOWSCALE_FFMPEG_THREADS?",
        ),
        ({"FLOWSCALE_X": "2"}, "FLOWSCALE_X: no such setting"),
        ({"FLOWSCALE_MAX_UPLOAD_BYTES": "10GB"}, "FLOWSCALE_MAX_UPLOAD_BYTES: must be a valid integer"),
    ],
)
def test_a_fault_is_one_line_that_names_it(environment: dict[str, str], line: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load(environment)
    assert caught.value.message.startswith(line)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "environment",
    [
        {"FLOWSCALE_JOB_RETENTION": "inf"},
        {"FLOWSCALE_RENDER_TIMEOUT": "nan"},
        {"FLOWSCALE_RENDER_MEMORY": "1" + "0" * 23},
        {"FLOWSCALE_TRUSTED_PROXIES": "garbage/99"},
        {"FLOWSCALE_CORS_ORIGINS": "localhost:5173"},
        {"FLOWSCALE_DOWNLOAD_ALLOW_NETWORKS": "10.0.0.0/99"},
    ],
)
def test_values_that_would_fail_later_are_refused_at_start(environment: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=next(iter(environment))):
        Settings.load(environment)


def test_what_kubernetes_puts_beside_a_service_of_our_name_is_no_setting() -> None:
    links = {
        "FLOWSCALE_SERVICE_HOST": "10.0.0.1",
        "FLOWSCALE_SERVICE_PORT_HTTP": "80",
        "FLOWSCALE_PORT": "tcp://10.0.0.1:80",
        "FLOWSCALE_PORT_80_TCP_ADDR": "10.0.0.1",
        "FLOWSCALE_API_PORT_80_TCP": "tcp://10.0.0.1:80",
    }
    assert Settings.load(links) == Settings.load({})


def test_an_empty_value_counts_as_unset() -> None:
    assert Settings.load({"PORT": "", "FLOWSCALE_PUBLIC_URL": ""}) == Settings.load({})


def test_other_programs_variables_are_no_concern_of_ours() -> None:
    assert Settings.load({"PATH": "/bin", "REDIS": "x"}) == Settings.load({})


def test_every_setting_is_described_and_named_once() -> None:
    names = [field.alias for group in groups().values() for field in group.model_fields.values()]
    assert len(names) == len(set(names))
    for group in groups().values():
        for name, field in group.model_fields.items():
            assert field.description, f"{group.__name__}.{name} has no description"
            assert field.alias == field.alias.upper() if field.alias else False
