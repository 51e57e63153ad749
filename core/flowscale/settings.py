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
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import unquote

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

from flowscale.errors import InvalidPath, SettingsError
from flowscale.redis_address import RedisAddress, read_redis_url
from flowscale.specs import checked_url
from flowscale.webhooks.signing import read_secrets

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

_SECRET = re.compile(r"PASSWORD|SECRET|KEY|REDIS_URL|WEBHOOK_URL|HEADERS")
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


class WebhookSettings(Group):
    """Telling others when a job has ended (docs/webhooks.md)."""

    urls: tuple[str, ...] = Field(
        (),
        alias="FLOWSCALE_WEBHOOK_URL",
        max_length=10,
        description="Comma-separated addresses (at most 10) that are told of every job's end. Needs a secret. No error "
        "and no log shows them, for they may hold a token.",
    )
    secret: SecretStr | None = Field(
        None,
        alias="FLOWSCALE_WEBHOOK_SECRET",
        description="Secret that signs the messages, `whsec_` and 24 to 64 bytes in base64; several, a space apart, "
        "all sign, so that receivers can change from one to the next. With it, jobs may name a `webhookUrl` too. "
        "It needs FLOWSCALE_PUBLIC_URL (or S3_PUBLIC_BASE_URL) too: no request tells under which address outputs are.",
    )
    allow_networks: tuple[IPv4Network | IPv6Network, ...] = Field(
        (),
        alias="FLOWSCALE_WEBHOOK_ALLOW_NETWORKS",
        description="Comma-separated networks (such as 10.1.2.0/24) to which webhooks may go beside the public "
        "internet, and by http:// too. None by default: any client's URL could otherwise reach what only the gateway "
        "can.",
    )

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """None of them: webhooks are off."""
        return () if self.secret is None else read_secrets(self.secret.get_secret_value())

    @field_validator("urls")
    @classmethod
    def _are_urls(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for number, url in enumerate(value, 1):
            try:
                checked_url(url)
            except InvalidPath as error:
                raise ValueError(
                    f"address {number} must be a plain http:// or https:// one, without user name or password"
                ) from error
        if len(set(value)) < len(value):
            raise ValueError("the same address stands there twice")
        return value

    @field_validator("secret")
    @classmethod
    def _are_secrets(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            read_secrets(value.get_secret_value())
        return value

    @field_validator("urls", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("allow_networks", mode="before")
    @classmethod
    def _read_networks(cls, value: Any) -> Any:
        return tuple(ip_network(part.strip()) for part in value.split(",")) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.urls and not self.secrets:
            raise missing("FLOWSCALE_WEBHOOK_SECRET", "FLOWSCALE_WEBHOOK_URL needs a secret to sign what it is sent")
        if not self.allow_networks and any(url.startswith("http:") for url in self.urls):
            raise missing(
                "FLOWSCALE_WEBHOOK_ALLOW_NETWORKS",
                "FLOWSCALE_WEBHOOK_URL has an http:// address, which only a network named here may have",
            )
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


class TracingSettings(Group):
    """Traces (docs/tracing.md). The names are OpenTelemetry's own; its SDK reads these and its others (OTEL_BSP_...,
    OTEL_EXPORTER_OTLP_CERTIFICATE and the like) itself, where an endpoint is named."""

    endpoint: str | None = Field(
        None,
        alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$",
        description="Address of a collector that takes OTLP over HTTP, usually on port 4318; `/v1/traces` is added. "
        "Unset, with the next one: no traces, and nothing of OpenTelemetry is loaded.",
    )
    traces_endpoint: str | None = Field(
        None,
        alias="OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$",
        description="The same in full, with its path; wins over the one above.",
    )
    protocol: str = Field(
        "http/protobuf",
        alias="OTEL_EXPORTER_OTLP_PROTOCOL",
        description="The only one that is spoken; a collector takes it on another port than gRPC.",
    )
    headers: SecretStr | None = Field(
        None,
        alias="OTEL_EXPORTER_OTLP_HEADERS",
        description="What the collector asks for, as `name=value` with commas between; values are percent-encoded.",
    )
    traces_headers: SecretStr | None = Field(
        None,
        alias="OTEL_EXPORTER_OTLP_TRACES_HEADERS",
        description="The same for traces alone; wins over it.",
    )
    service_name: NotEmpty | None = Field(
        None,
        alias="OTEL_SERVICE_NAME",
        description="Name of this process in traces. Unset: `flowscale-gateway`, `flowscale-worker`, or `flowscale` "
        "for both in one process.",
    )
    resource_attributes: str | None = Field(
        None,
        alias="OTEL_RESOURCE_ATTRIBUTES",
        description="What else every span tells of its process, as `name=value` with commas between.",
    )
    sampler: str | None = Field(
        None,
        alias="OTEL_TRACES_SAMPLER",
        description="Which traces are kept: `always_on`, `always_off`, `traceidratio`, or one of these after "
        "`parentbased_`, which obeys a client that says so itself. Unset: `parentbased_always_on`.",
    )
    sampler_argument: str | None = Field(
        None, alias="OTEL_TRACES_SAMPLER_ARG", description="For `traceidratio`: the share that is kept, 0 to 1."
    )

    @model_validator(mode="after")
    def _is_spoken(self) -> Self:
        if self.is_on and self.protocol != "http/protobuf":
            raise missing("OTEL_EXPORTER_OTLP_PROTOCOL", "must be http/protobuf, which collectors take on port 4318")
        return self

    @property
    def is_on(self) -> bool:
        return self.endpoint is not None or self.traces_endpoint is not None


class Settings(BaseModel):
    """All groups, read once at start."""

    model_config = ConfigDict(frozen=True)

    gateway: GatewaySettings = GatewaySettings()
    queue: QueueSettings = QueueSettings()
    redis: RedisSettings = RedisSettings()
    storage: StorageSettings = StorageSettings()
    webhooks: WebhookSettings = WebhookSettings()
    worker: WorkerSettings = WorkerSettings()
    operator: OperatorSettings = OperatorSettings()
    logs: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()
    client: ClientSettings = ClientSettings()

    @property
    def scratch_dir(self) -> Path:
        """Where the worker keeps the files of running renders."""
        if self.worker.scratch_dir is not None:
            return self.worker.scratch_dir
        if self.storage.type == "nfs":
            return Path(tempfile.gettempdir()) / "flowscale-scratch"
        return self.storage.dir / "scratch"

    def secrets(self) -> Iterator[str]:
        """What no log may hold: the value of every secret setting, and what such values are made of."""
        for name in type(self).model_fields:
            for value in dict(getattr(self, name)).values():
                if isinstance(value, SecretStr):
                    yield value.get_secret_value()
        if self.storage.access_key_id is not None:
            yield self.storage.access_key_id
        if (password := self.redis.address.password) is not None:
            yield password.get_secret_value()
        if self.webhooks.secret is not None:
            yield from self.webhooks.secret.get_secret_value().split()
        yield from self.webhooks.urls  # whose paths may hold a token
        for headers in (self.tracing.headers, self.tracing.traces_headers):
            for header in headers.get_secret_value().split(",") if headers else ():
                yield unquote(header.partition("=")[2].strip())

    @property
    def links_to_bucket(self) -> bool:
        """Whether outputs have addresses of their own, that do not lead through the gateway."""
        return self.storage.type not in ("local", "nfs") and self.storage.public_base_url is not None

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
        settings = cls(**{name: _read_group(group, chosen, known) for name, group in groups().items()})
        if settings.webhooks.secrets and settings.gateway.public_url is None and not settings.links_to_bucket:
            raise SettingsError(
                "FLOWSCALE_PUBLIC_URL: webhooks (FLOWSCALE_WEBHOOK_SECRET) say where outputs are, and no request is at "
                "hand then that tells it: set the address under which browsers reach the gateway"
            )
        return settings


def groups() -> dict[str, type[Group]]:
    """The groups by name, in the order in which people read them."""
    return {
        "gateway": GatewaySettings,
        "queue": QueueSettings,
        "redis": RedisSettings,
        "storage": StorageSettings,
        "webhooks": WebhookSettings,
        "worker": WorkerSettings,
        "operator": OperatorSettings,
        "logs": LogSettings,
        "tracing": TracingSettings,
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
