"""Settings of workers, and the budgets of one render."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from flowscale.settings.base import GIB, Bytes, Count, Group, Networks, NotEmpty, PositiveSeconds


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
    download_allow_networks: Networks = Field(
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
