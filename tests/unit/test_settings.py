"""Settings: one line for one fault, before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowscale.errors import SettingsError
from flowscale.redis_address import RedisAddress
from flowscale.settings import RedisSettings, Settings, groups


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
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL: must be http/protobuf, which collectors take on port 4318",
        ),
        ({"PORT": "70000"}, "PORT: must be less than or equal to 65535 (it is '70000')"),
        ({"QUEUE_MODE": "kafka"}, "QUEUE_MODE: must be 'memory' or 'redis' (it is 'kafka')"),
        ({"MAX_WORKERS": "1001"}, "MAX_WORKERS: must be less than or equal to 1000 (it is '1001')"),
        ({"FLOWSCALE_SHUTDOWN_GRACE": "0"}, "FLOWSCALE_SHUTDOWN_GRACE: must be greater than 0 (it is '0')"),
        (
            {"REDIS_HOST": "redis://queue"},
            "REDIS_HOST: must be the name or address of a host; a URL goes into REDIS_URL (it is 'redis://queue')",
        ),
        ({"REDIS_PORT": "0"}, "REDIS_PORT: must be greater than or equal to 1 (it is '0')"),
        ({"REDIS_DB": "-1"}, "REDIS_DB: must be greater than or equal to 0 (it is '-1')"),
        ({"REDIS_TLS": "perhaps"}, "REDIS_TLS: must be a valid boolean, unable to interpret input (it is 'perhaps')"),
        ({"FLOWSCALE_REDIS_CA_FILE": "/no/ca.pem"}, "FLOWSCALE_REDIS_CA_FILE: no such file (it is '/no/ca.pem')"),
        (
            {"FLOWSCALE_REDIS_PREFIX": "flowscale:"},
            "FLOWSCALE_REDIS_PREFIX: must be 1 to 64 letters, digits, dots, underscores or hyphens in braces",
        ),
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


def test_several_faults_are_told_at_once_with_a_line_each() -> None:
    faulty = {
        "PORT": "http",
        "FLOWSCALE_CORS_ORIGINS": "localhost",
        "QUEUE_MODE": "kafka",
        "STORAGE_TYPE": "s3",
        "FLOWSCALE_FFMPEG_THREAD": "2",
    }
    with pytest.raises(SettingsError) as caught:
        Settings.load(faulty)
    head, *lines = caught.value.message.splitlines()
    assert head == "5 settings cannot be used:"
    alone = []
    for name, value in faulty.items():
        with pytest.raises(SettingsError) as caught:
            Settings.load({name: value})
        alone.append(f"  {caught.value.message}")
    assert sorted(lines) == sorted(alone)


def test_a_list_that_is_too_long_is_told_in_our_words() -> None:
    addresses = ",".join(f"https://hooks.example/{number}" for number in range(11))
    with pytest.raises(SettingsError, match=r"^FLOWSCALE_WEBHOOK_URL: must have at most 10 items, not 11$"):
        Settings.load({"FLOWSCALE_WEBHOOK_URL": addresses})


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


def test_nor_is_what_it_puts_beside_a_service_named_redis() -> None:
    assert Settings.load({"REDIS_PORT": "tcp://10.0.0.1:6380"}) == Settings.load({})


def test_the_queues_server_by_its_single_names() -> None:
    names = {"REDIS_HOST": "queue", "REDIS_PORT": "6380", "REDIS_USERNAME": "alice", "REDIS_DB": "2", "REDIS_TLS": "1"}
    address = Settings.load({**names, "REDIS_PASSWORD": "p@ss/word"}).redis.address
    assert address.password is not None
    assert address.password.get_secret_value() == "p@ss/word"
    assert address._replace(password=None) == RedisAddress((("queue", 6380),), None, "alice", None, 2, True)


@pytest.mark.parametrize(
    ("url", "password", "address"),
    [
        ("redis://queue", None, RedisAddress((("queue", 6379),))),
        ("redis://queue/", None, RedisAddress((("queue", 6379),))),
        ("rediss://queue:6380/3", None, RedisAddress((("queue", 6380),), database=3, tls=True)),
        ("redis://:secret@10.0.0.1:1", "secret", RedisAddress((("10.0.0.1", 1),))),
        ("redis://alice:p%40s%2Fs%25@queue", "p@s/s%", RedisAddress((("queue", 6379),), username="alice")),
        ("redis://:a@b:c@queue", "a@b:c", RedisAddress((("queue", 6379),))),
        ("redis://[fd00::1]:6380", None, RedisAddress((("fd00::1", 6380),))),
        ("redis+sentinel://one,two:1/main", None, RedisAddress((("one", 26379), ("two", 1)), "main")),
        ("redis+sentinel://a:b@one/main/4", "b", RedisAddress((("one", 26379),), "main", "a", None, 4)),
        ("rediss+sentinel://one/main", None, RedisAddress((("one", 26379),), "main", tls=True)),
    ],
)
def test_the_queues_server_by_its_url_which_wins(url: str, password: str | None, address: RedisAddress) -> None:
    read = Settings.load({"REDIS_URL": url, "REDIS_HOST": "other", "REDIS_PASSWORD": "other"}).redis.address
    assert read._replace(password=None) == address
    assert (read.password.get_secret_value() if read.password else None) == password


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("http://:hunter2@queue", "must begin with one of redis://, rediss://, redis+sentinel://, rediss+sentinel://"),
        ("hunter2", "must begin with one of"),
        ("redis://hunter2@queue", "must have user:password or :password before its @"),
        ("redis://:hunter2/x@queue", "has a host or port that cannot be read; percent-encode"),
        ("redis://:hunter2@queue:70000", "has a host or port that cannot be read"),
        ("redis://:hunter2@queue:0", "has a host or port that cannot be read"),
        ("redis://:hunter2@", "has a host or port that cannot be read"),
        ("redis://:hunter2@one,two", "must name one server; only redis+sentinel:// takes several"),
        ("redis://:hunter2@queue/main", "must end with the number of a database, or nothing"),
        ("redis://:hunter2@queue/1/2", "must end with the number of a database, or nothing"),
        ("redis://:hunter2@queue?db=1", "takes no options after ? or #"),
        ("redis://:hun ter2@queue", "takes no options after ? or #, and no spaces"),
        ("redis+sentinel://:hunter2@one", "must name the service that the sentinels watch"),
        ("redis+sentinel://:hunter2@one,/main", "has a host or port that cannot be read"),
    ],
)
def test_a_fault_of_the_url_is_told_without_any_part_of_it(url: str, fault: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load({"REDIS_URL": url})
    assert caught.value.message.startswith(f"REDIS_URL: {fault}")
    assert "hun" not in caught.value.message
    assert "queue" not in caught.value.message


def test_passwords_are_shown_nowhere() -> None:
    settings = Settings.load({"REDIS_PASSWORD": "hunter2", "REDIS_URL": "redis://:hunter2@queue"})
    single = RedisSettings(password=settings.redis.password)
    for shown in (settings, settings.redis.address, single.address, settings.model_dump(), settings.model_dump_json()):
        assert "hunter2" not in f"{shown!r} {shown}"
    with pytest.raises(SettingsError) as caught:
        Settings.load({"REDIS_HOST": "redis://:hunter2@queue"})
    assert "hunter2" not in caught.value.message


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
