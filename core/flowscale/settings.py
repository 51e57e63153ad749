"""Every setting, and the only reader of the environment.

`Settings.load(environment)` reads once, at start; nothing is read at import. Names without FLOWSCALE_ come from
the service FlowScale replaces and stay as they are. A bad value, or a FLOWSCALE_* name nobody knows, stops the
program with one line (SettingsError). docs/configuration.md is generated from these classes by
scripts/generate.py: unit, default and reason of a setting stand in its description, and nowhere else.
"""

from __future__ import annotations

import difflib
import os
import re
import tempfile
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from flowscale.errors import SettingsError
from flowscale.redis_address import RedisAddress, read_redis_url

MIB = 1024**2
GIB = 1024**3

NotEmpty = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Count = Annotated[int, Field(ge=1)]
Bytes = Annotated[int, Field(ge=1, le=2**50)]
PositiveSeconds = Annotated[float, Field(gt=0, le=10 * 365 * 24 * 3600, allow_inf_nan=False)]


_SERVICE_LINK = re.compile(
    r"FLOWSCALE(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_[A-Z0-9_]+)?)$"
)
"""What Kubernetes puts into every pod beside a Service called `flowscale` or `flowscale-...`: no settings of ours."""

_PORT_LINK = re.compile(r"(tcp|udp|sctp)://")
"""How it begins the value of REDIS_PORT beside a Service called `redis`: likewise none of ours."""

_KUBERNETES_NAME = r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"

_SECRET = re.compile(r"PASSWORD|SECRET|KEY|REDIS_URL")
"""Names whose values no error shows; nor does one show a value with an @, which may be a URL with a password."""


class Group(BaseModel):
    """One part's settings. A field's alias is its environment name."""

    model_config = ConfigDict(frozen=True, validate_by_name=True, validate_by_alias=True, hide_input_in_errors=True)


def missing(name: str, fault: str) -> PydanticCustomError:
    """The error of a group that lacks the setting `name`, whatever others say."""
    return PydanticCustomError("missing_setting", "{fault}", {"name": name, "fault": fault})


class GatewaySettings(Group):
    """The HTTP gateway."""

    host: NotEmpty = Field("127.0.0.1", alias="HOST", description="Address to listen on; 0.0.0.0 in the image.")
    port: int = Field(3000, alias="PORT", ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    public_url: str | None = Field(
        None,
        alias="FLOWSCALE_PUBLIC_URL",
        pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$",
        description="Address under which browsers reach the gateway, for the links in its answers. "
        "Unset: the address each request came to.",
    )
    trusted_proxies: tuple[str, ...] = Field(
        ("127.0.0.1",),
        alias="FLOWSCALE_TRUSTED_PROXIES",
        description="Comma-separated addresses or networks whose X-Forwarded-Proto and -For are believed, or `*`.",
    )
    cors_origins: tuple[str, ...] = Field(
        (),
        alias="FLOWSCALE_CORS_ORIGINS",
        description="Comma-separated origins of frontends served from elsewhere, or `*`. None by default: "
        "pages of other origins then cannot read what the gateway answers them.",
    )
    max_upload_bytes: Bytes = Field(
        10 * GIB, alias="FLOWSCALE_MAX_UPLOAD_BYTES", description="Largest upload, in bytes; more is answered 413."
    )
    max_connections: Count = Field(
        1000,
        alias="FLOWSCALE_MAX_CONNECTIONS",
        description="Connections at once; for one more, an idle one is closed, or it is answered 503.",
    )
    admin_read_only: bool = Field(
        False,
        alias="FLOWSCALE_ADMIN_READ_ONLY",
        description="`true`: the admin page and API show everything and steer nothing; actions are answered 403.",
    )
    max_body_bytes: Bytes = Field(
        MIB, alias="FLOWSCALE_MAX_BODY_BYTES", description="Largest JSON body, in bytes; a full plan takes 40 KB."
    )

    auth: Literal["none", "keys"] = Field(
        "none",
        alias="FLOWSCALE_AUTH",
        description="Who may use the render API. `none`: whoever reaches the gateway, which is meant to stand behind "
        "something that asks. `keys`: whoever has a key (`flowscale keys`). /admin always asks for one.",
    )
    admin_key: SecretStr | None = Field(
        None,
        alias="FLOWSCALE_ADMIN_KEY",
        min_length=32,
        description="A key that is always good for everything, of 32 characters at least: make it, do not choose it "
        "(`openssl rand -base64 33`). Unset: keys made by `flowscale keys create --scope admin` alone open /admin.",
    )

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if origin != "*" and not re.fullmatch(r"https?://[A-Za-z0-9.\[\]:-]+", origin):
                raise ValueError(f"{origin!r} is no origin: write http://host:port, as browsers send it, or *")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            if network != "*":
                ip_network(network, strict=False)
        return value

    @field_validator("cors_origins", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


class QueueSettings(Group):
    """The queue."""

    mode: Literal["memory", "redis"] = Field(
        "memory",
        alias="QUEUE_MODE",
        description="`memory`: gateway and workers in one process; nothing survives it. `redis`: on the server "
        "that the REDIS_ settings name, for any number of gateways and workers on any machines.",
    )
    max_waiting: Count = Field(
        10_000, alias="FLOWSCALE_QUEUE_MAX_WAITING", description="Jobs that may wait; one more is answered QUEUE_FULL."
    )
    job_retention_seconds: PositiveSeconds = Field(
        24 * 3600.0,
        alias="FLOWSCALE_JOB_RETENTION",
        description="Ended jobs younger than this many seconds are kept, beside the last 100 done and 50 failed.",
    )


class RedisSettings(Group):
    """The queue's server. Redis 7 or newer, or Valkey; read when QUEUE_MODE is `redis`."""

    url: SecretStr | None = Field(
        None,
        alias="REDIS_URL",
        description="Address with everything in it; wins over the REDIS_ names below. "
        "`redis://[[user]:password@]host[:port][/db]`, `rediss://` likewise for TLS, or "
        "`redis+sentinel://[[user]:password@]host[:port][,host[:port]...]/service[/db]` for sentinels, who are "
        "given the password too (`rediss+sentinel://` for TLS). Special characters are percent-encoded.",
    )
    host: str = Field("localhost", alias="REDIS_HOST", description="Name or address of the server.")
    port: int = Field(
        6379,
        alias="REDIS_PORT",
        ge=1,
        le=65535,
        description="Its port. What Kubernetes sets beside a Service named `redis` (`tcp://...`) counts as unset.",
    )
    username: NotEmpty | None = Field(
        None, alias="REDIS_USERNAME", description="User, where the server has users (ACL). Unset: its default user."
    )
    password: SecretStr | None = Field(None, alias="REDIS_PASSWORD", description="Password of the user.")
    db: int = Field(0, alias="REDIS_DB", ge=0, le=2**31 - 1, description="Number of the database.")
    tls: bool = Field(
        False, alias="REDIS_TLS", description="`true`: over TLS; the server's certificate and name are checked."
    )
    ca_file: Path | None = Field(
        None,
        alias="FLOWSCALE_REDIS_CA_FILE",
        description="File of the authorities (PEM) that may have signed the server's certificate, beside the system's.",
    )
    prefix: str = Field(
        "{flowscale}",
        alias="FLOWSCALE_REDIS_PREFIX",
        description="Begins every key. One hash tag in braces, so that a clustered server keeps all keys in one slot; "
        "two installations on one server need two.",
    )

    @property
    def address(self) -> RedisAddress:
        """What REDIS_URL says, or else the other names."""
        if self.url is not None:
            return read_redis_url(self.url.get_secret_value())
        return RedisAddress(((self.host, self.port),), None, self.username, self.password, self.db, self.tls)

    @field_validator("url")
    @classmethod
    def _is_redis_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            read_redis_url(value.get_secret_value())
        return value

    @field_validator("host")
    @classmethod
    def _is_host(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9._:%-]+", value):
            raise ValueError("must be the name or address of a host; a URL goes into REDIS_URL")
        return value

    @field_validator("ca_file")
    @classmethod
    def _is_file(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError("no such file")
        return value

    @field_validator("prefix")
    @classmethod
    def _is_one_hash_tag(cls, value: str) -> str:
        if not re.fullmatch(r"\{[A-Za-z0-9_.-]{1,64}\}", value):
            raise ValueError("must be 1 to 64 letters, digits, dots, underscores or hyphens in braces, as {flowscale}")
        return value


class StorageSettings(Group):
    """Where uploads and outputs live."""

    type: Literal["local", "nfs", "s3", "r2", "supabase"] = Field(
        "local",
        alias="STORAGE_TYPE",
        description="`local`: a folder on this machine. `nfs`: a folder that all machines have mounted. `s3`, `r2`, "
        "`supabase`: a bucket, by the S3 protocol; with any of these, gateways and workers share no disk.",
    )
    dir: Path = Field(
        Path("data"),
        alias="STORAGE_DIR",
        description="Root folder of `local` and `nfs`; that of `nfs` must exist. With a bucket: of `scratch`.",
    )
    bucket: NotEmpty | None = Field(None, alias="S3_BUCKET", description="The bucket; Supabase's is `videos` if unset.")
    region: NotEmpty | None = Field(
        None, alias="S3_REGION", description="Its region. Unset: AWS_REGION, else `auto` for R2 and `us-east-1`."
    )
    aws_region: NotEmpty | None = Field(None, alias="AWS_REGION", description="Read where S3_REGION is unset.")
    endpoint_url: str | None = Field(
        None,
        alias="S3_ENDPOINT_URL",
        pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$",
        description="Address of the S3 service. Unset: AWS, or what R2_ACCOUNT_ID or SUPABASE_URL say.",
    )
    access_key_id: NotEmpty | None = Field(
        None,
        alias="S3_ACCESS_KEY_ID",
        description="Key for the bucket, with its secret. Both unset: what boto3 finds (environment, files, or the "
        "role of the machine or pod, which may change without a restart).",
    )
    secret_access_key: SecretStr | None = Field(None, alias="S3_SECRET_ACCESS_KEY", description="The key's secret.")
    prefix: str = Field(
        "",
        alias="S3_PREFIX",
        pattern=r"^([A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*/?)?$",
        description="Begins every key in the bucket, so that several installations can share one.",
    )
    public_base_url: str | None = Field(
        None,
        alias="S3_PUBLIC_BASE_URL",
        pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$",
        description="Address under which anyone can GET the bucket's objects (a public bucket, a CDN). Links then lead "
        "there; unset, they lead through the gateway.",
    )
    r2_account_id: str | None = Field(
        None, alias="R2_ACCOUNT_ID", pattern=r"^[A-Za-z0-9]+$", description="Gives the endpoint of `r2`."
    )
    supabase_url: str | None = Field(
        None,
        alias="SUPABASE_URL",
        pattern=r"^https?://[^\s/?#@]+/?$",
        description="Address of the Supabase project; its S3 endpoint is below it.",
    )
    supabase_service_key: SecretStr | None = Field(
        None,
        alias="SUPABASE_SERVICE_KEY",
        description="The project's service key, as a session at its S3 endpoint. S3_ACCESS_KEY_ID and "
        "S3_SECRET_ACCESS_KEY, made on the project's page for storage, win over it.",
    )
    supabase_anon_key: SecretStr | None = Field(
        None,
        alias="SUPABASE_ANON_KEY",
        description="The project's anon key, which signs what the session of SUPABASE_SERVICE_KEY asks for. Unset: "
        "that one signs itself.",
    )
    upload_expiry_seconds: PositiveSeconds = Field(
        24 * 3600.0,
        alias="FLOWSCALE_UPLOAD_EXPIRY",
        description="Seconds after which an upload is given up that was begun and not finished.",
    )
    upload_retention_seconds: PositiveSeconds | None = Field(
        None,
        alias="FLOWSCALE_UPLOAD_RETENTION",
        description="Uploads older than this many seconds are deleted, unless a job that has not ended needs them. "
        "Unset: kept.",
    )
    output_retention_seconds: PositiveSeconds | None = Field(
        None,
        alias="FLOWSCALE_OUTPUT_RETENTION",
        description="Outputs older than this many seconds are deleted; their jobs then name a file that is gone. "
        "Unset: kept.",
    )

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.type in ("local", "nfs"):
            return self
        if self.bucket is None and self.type != "supabase":
            raise missing("S3_BUCKET", f"STORAGE_TYPE {self.type} needs the name of a bucket")
        if self.type == "r2" and self.r2_account_id is None and self.endpoint_url is None:
            raise missing("R2_ACCOUNT_ID", "STORAGE_TYPE r2 needs the account, or S3_ENDPOINT_URL")
        if self.type == "supabase" and self.supabase_url is None and self.endpoint_url is None:
            raise missing("SUPABASE_URL", "STORAGE_TYPE supabase needs the project's address, or S3_ENDPOINT_URL")
        if (self.access_key_id is None) != (self.secret_access_key is None):
            absent = "S3_ACCESS_KEY_ID" if self.access_key_id is None else "S3_SECRET_ACCESS_KEY"
            raise missing(absent, "a key has an id and a secret; set both or neither")
        if self.type == "supabase" and self.access_key_id is None and self.supabase_service_key is None:
            raise missing("S3_ACCESS_KEY_ID", "STORAGE_TYPE supabase needs a key: this, or SUPABASE_SERVICE_KEY")
        return self


class WorkerSettings(Group):
    """The worker, and the budgets of one render. A source or a run over budget ends with LIMIT_EXCEEDED."""

    concurrency: Count = Field(
        1, alias="WORKER_CONCURRENCY", le=64, description="Renders at once in one worker process group."
    )
    max_workers: Count = Field(
        4,
        alias="MAX_WORKERS",
        le=1000,
        description="Upper bound of worker processes of one machine under `flowscale worker --autoscale`, "
        "or of replicas (chart default).",
    )
    group: str = Field(
        "",
        alias="POD_NAME",
        description="Name under which an operator may ask for all workers of this process group to take no more jobs; "
        "Kubernetes' downward API gives the pod's (metadata.name). Unset: the name by which the group reports itself.",
    )
    shutdown_grace_seconds: PositiveSeconds = Field(
        30.0,
        alias="FLOWSCALE_SHUTDOWN_GRACE",
        description="Seconds from SIGTERM until the process is killed by whoever stops it; renders go on until 10 s "
        "before that, and are then given back. The default is Kubernetes' own.",
    )
    ffmpeg: NotEmpty = Field("ffmpeg", alias="FLOWSCALE_FFMPEG", description="FFmpeg: a name on PATH or a path.")
    ffprobe: NotEmpty = Field("ffprobe", alias="FLOWSCALE_FFPROBE", description="ffprobe, likewise.")
    scratch_dir: Path | None = Field(
        None,
        alias="FLOWSCALE_SCRATCH_DIR",
        description="Folder for files of running renders, on a disk of this machine. Unset: `scratch` in STORAGE_DIR, "
        "so that sources and outputs are linked and moved instead of copied; with `nfs`, `flowscale-scratch` in the "
        "system's folder for temporary files.",
    )
    threads: int = Field(
        2,
        alias="FLOWSCALE_FFMPEG_THREADS",
        ge=1,
        le=64,
        description="Threads of each decoder, filter and encoder.",
    )
    render_timeout_seconds: PositiveSeconds = Field(
        3600.0, alias="FLOWSCALE_RENDER_TIMEOUT", description="Wall time of one render in seconds; then TIMEOUT_ERROR."
    )
    probe_timeout_seconds: PositiveSeconds = Field(
        12.0,
        alias="FLOWSCALE_PROBE_TIMEOUT",
        description="Time in seconds to examine one source (plus 1 s for each GiB of it); hostile files end here.",
    )
    memory_bytes: Bytes = Field(
        1_400_000_000,
        alias="FLOWSCALE_RENDER_MEMORY",
        description="Private memory of one FFmpeg process in bytes. The default holds 4K in every quality.",
    )
    max_output_bytes: Bytes = Field(
        10 * GIB, alias="FLOWSCALE_MAX_OUTPUT_BYTES", description="Largest output of one render in bytes."
    )
    max_download_bytes: Bytes = Field(
        10 * GIB, alias="FLOWSCALE_MAX_DOWNLOAD_BYTES", description="Largest source fetched from a URL in bytes."
    )
    download_timeout_seconds: PositiveSeconds = Field(
        3600.0, alias="FLOWSCALE_DOWNLOAD_TIMEOUT", description="Time in seconds to fetch one source from its URL."
    )
    download_allow_networks: tuple[IPv4Network | IPv6Network, ...] = Field(
        (),
        alias="FLOWSCALE_DOWNLOAD_ALLOW_NETWORKS",
        description="Comma-separated networks (such as 10.1.2.0/24) from which sources may be fetched beside the "
        "public internet. None by default: any client's URL could otherwise reach what only the worker can.",
    )
    max_source_seconds: PositiveSeconds = Field(
        6 * 3600.0, alias="FLOWSCALE_MAX_SOURCE_SECONDS", description="Longest source in seconds."
    )
    max_pixels: Count = Field(
        7680 * 4320, alias="FLOWSCALE_MAX_PIXELS", description="Largest picture of a source in pixels (8K UHD)."
    )
    max_frames: Count = Field(
        2_000_000, alias="FLOWSCALE_MAX_FRAMES", description="Most video frames in one source (9 h at 60/s)."
    )
    max_decoded_pixels: Count = Field(
        4_000_000_000_000,
        alias="FLOWSCALE_MAX_DECODED_PIXELS",
        description="Most pixels times frames of one source: a small file may decode to a huge one "
        "(the default is 5 h of 1080p at 100/s).",
    )

    @field_validator("download_allow_networks", mode="before")
    @classmethod
    def _read_networks(cls, value: Any) -> Any:
        return tuple(ip_network(part.strip()) for part in value.split(",")) if isinstance(value, str) else value


class OperatorSettings(Group):
    """The operator, which sizes the workers of a Kubernetes cluster by the queue. It works in one namespace."""

    namespace: str | None = Field(
        None,
        alias="FLOWSCALE_OPERATOR_NAMESPACE",
        pattern=_KUBERNETES_NAME,
        description="Namespace whose WorkerScalers it obeys. Unset: POD_NAMESPACE, else that of its credentials.",
    )
    pod_namespace: str | None = Field(
        None,
        alias="POD_NAMESPACE",
        pattern=_KUBERNETES_NAME,
        description="Its own namespace, which Kubernetes' downward API gives it (metadata.namespace).",
    )
    selector: str = Field(
        "",
        alias="FLOWSCALE_OPERATOR_SELECTOR",
        max_length=1000,
        description="Labels of the WorkerScalers it obeys, as in `app.kubernetes.io/instance=blue`. Unset: all of the "
        "namespace. Two installations with queues of their own in one namespace need it, and two leases.",
    )
    lease: str = Field(
        "flowscale-operator",
        alias="FLOWSCALE_OPERATOR_LEASE",
        pattern=_KUBERNETES_NAME,
        description="Name of the Lease whose holder acts; the others stand by.",
    )
    host: NotEmpty = Field(
        "0.0.0.0",  # noqa: S104 - the kubelet and Prometheus call from outside the pod
        alias="FLOWSCALE_OPERATOR_HOST",
        description="Address on which it answers /healthz, /readyz and /metrics.",
    )
    port: int = Field(
        8080,
        alias="FLOWSCALE_OPERATOR_PORT",
        ge=0,
        le=65535,
        description="Port on which it answers them; 0 takes a free one.",
    )


class ClientSettings(Group):
    """The command line's `jobs` and `render --url`."""

    url: str = Field(
        "http://127.0.0.1:3000",
        alias="FLOWSCALE_URL",
        pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$",
        description="The server that `flowscale jobs` talks to.",
    )
    api_key: SecretStr | None = Field(
        None,
        alias="FLOWSCALE_API_KEY",
        description="Key that is sent to it, and to the server of `render --url`, where that asks for one.",
    )


class LogSettings(Group):
    """Logs and metrics."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", alias="FLOWSCALE_LOG_LEVEL", description="Least level that is logged."
    )
    format: Literal["text", "json"] = Field(
        "json",
        alias="FLOWSCALE_LOG_FORMAT",
        description="`json`: an object a line, for collectors; `text`: for people.",
    )


class Settings(BaseModel):
    """All groups, read once at start."""

    model_config = ConfigDict(frozen=True)

    gateway: GatewaySettings = GatewaySettings()
    queue: QueueSettings = QueueSettings()
    redis: RedisSettings = RedisSettings()
    storage: StorageSettings = StorageSettings()
    worker: WorkerSettings = WorkerSettings()
    operator: OperatorSettings = OperatorSettings()
    logs: LogSettings = LogSettings()
    client: ClientSettings = ClientSettings()

    @property
    def scratch_dir(self) -> Path:
        """Where the worker keeps the files of running renders."""
        if self.worker.scratch_dir is not None:
            return self.worker.scratch_dir
        if self.storage.type == "nfs":
            return Path(tempfile.gettempdir()) / "flowscale-scratch"
        return self.storage.dir / "scratch"

    @classmethod
    def load(cls, environment: Mapping[str, str] | None = None) -> Self:
        """The settings in `environment` (the process's own by default). Raises SettingsError."""
        given = os.environ if environment is None else environment
        known = {str(field.alias) for group in groups().values() for field in group.model_fields.values()}
        for name in sorted(given):
            if name.startswith("FLOWSCALE_") and name not in known and not _SERVICE_LINK.match(name):
                nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
                hint = f"; did you mean {nearest[0]}?" if nearest else ""
                raise SettingsError(f"{name}: no such setting{hint}")
        # An empty value counts as unset, as it does for shells and for Compose files.
        chosen = {name: value for name, value in given.items() if name in known and value != ""}
        if _PORT_LINK.match(chosen.get("REDIS_PORT", "")):
            del chosen["REDIS_PORT"]
        return cls(**{name: _read_group(group, chosen, known) for name, group in groups().items()})


def groups() -> dict[str, type[Group]]:
    """The groups by name, in the order in which people read them."""
    return {
        "gateway": GatewaySettings,
        "queue": QueueSettings,
        "redis": RedisSettings,
        "storage": StorageSettings,
        "worker": WorkerSettings,
        "operator": OperatorSettings,
        "logs": LogSettings,
        "client": ClientSettings,
    }


def _read_group(group: type[Group], chosen: Mapping[str, str], known: set[str]) -> Group:
    names = {str(field.alias) for field in group.model_fields.values()}
    try:
        return group.model_validate({name: value for name, value in chosen.items() if name in names})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "missing_setting":
        raise SettingsError(f"{first['ctx']['name']}: {first['ctx']['fault']}")
    name = str(first["loc"][0])
    fault = first["msg"].replace("Input should be", "must be").removeprefix("Value error, ")
    shown = "" if _SECRET.search(name) or "@" in chosen[name] else f" (it is {chosen[name]!r})"
    raise SettingsError(f"{name}: {fault}{shown}")


def tell_rq(prefix: str) -> None:
    """Have RQ put its keys under our prefix. It reads its environment when it is imported: call this before."""
    os.environ["RQ_KEY_PREFIX"] = prefix
