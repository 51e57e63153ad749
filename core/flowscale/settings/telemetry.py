"""Settings of logs and traces."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from flowscale.settings.base import Group, NotEmpty, missing


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
