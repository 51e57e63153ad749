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
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from flowscale.errors import SettingsError

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


class Group(BaseModel):
    """One part's settings. A field's alias is its environment name."""

    model_config = ConfigDict(frozen=True, validate_by_name=True, validate_by_alias=True, hide_input_in_errors=True)


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
    max_body_bytes: Bytes = Field(
        MIB, alias="FLOWSCALE_MAX_BODY_BYTES", description="Largest JSON body, in bytes; a full plan takes 40 KB."
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

    mode: Literal["memory"] = Field(
        "memory", alias="QUEUE_MODE", description="`memory`: gateway and workers in one process; nothing survives it."
    )
    max_waiting: Count = Field(
        10_000, alias="FLOWSCALE_QUEUE_MAX_WAITING", description="Jobs that may wait; one more is answered QUEUE_FULL."
    )
    job_retention_seconds: PositiveSeconds = Field(
        24 * 3600.0,
        alias="FLOWSCALE_JOB_RETENTION",
        description="Ended jobs younger than this many seconds are kept, beside the last 100 done and 50 failed.",
    )


class StorageSettings(Group):
    """Where uploads and outputs live."""

    type: Literal["local"] = Field("local", alias="STORAGE_TYPE", description="`local`: a folder on this machine.")
    dir: Path = Field(Path("data"), alias="STORAGE_DIR", description="Root folder of the local storage.")


class WorkerSettings(Group):
    """The worker, and the budgets of one render. A source or a run over budget ends with LIMIT_EXCEEDED."""

    concurrency: Count = Field(
        1, alias="WORKER_CONCURRENCY", le=64, description="Renders at once in one worker process group."
    )
    ffmpeg: NotEmpty = Field("ffmpeg", alias="FLOWSCALE_FFMPEG", description="FFmpeg: a name on PATH or a path.")
    ffprobe: NotEmpty = Field("ffprobe", alias="FLOWSCALE_FFPROBE", description="ffprobe, likewise.")
    scratch_dir: Path | None = Field(
        None,
        alias="FLOWSCALE_SCRATCH_DIR",
        description="Folder for files of running renders. Unset: `scratch` in STORAGE_DIR, so that sources and outputs "
        "are linked and moved instead of copied.",
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


class ClientSettings(Group):
    """The command line's `jobs` and `render --url`."""

    url: str = Field(
        "http://127.0.0.1:3000",
        alias="FLOWSCALE_URL",
        pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$",
        description="The server that `flowscale jobs` talks to.",
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
    storage: StorageSettings = StorageSettings()
    worker: WorkerSettings = WorkerSettings()
    logs: LogSettings = LogSettings()
    client: ClientSettings = ClientSettings()

    @property
    def scratch_dir(self) -> Path:
        """Where the worker keeps the files of running renders."""
        if self.worker.scratch_dir is not None:
            return self.worker.scratch_dir
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
        return cls(**{name: _read_group(group, chosen, known) for name, group in groups().items()})


def groups() -> dict[str, type[Group]]:
    """The groups by name, in the order in which people read them."""
    return {
        "gateway": GatewaySettings,
        "queue": QueueSettings,
        "storage": StorageSettings,
        "worker": WorkerSettings,
        "logs": LogSettings,
        "client": ClientSettings,
    }


def _read_group(group: type[Group], chosen: Mapping[str, str], known: set[str]) -> Group:
    names = {str(field.alias) for field in group.model_fields.values()}
    try:
        return group.model_validate({name: value for name, value in chosen.items() if name in names})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
    name = str(first["loc"][0])
    fault = first["msg"].replace("Input should be", "must be").removeprefix("Value error, ")
    shown = "" if any(word in name for word in ("PASSWORD", "SECRET", "KEY")) else f" (it is {chosen[name]!r})"
    raise SettingsError(f"{name}: {fault}{shown}")
