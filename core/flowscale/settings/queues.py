"""Settings of the queue, and of its server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator

from flowscale.redis_address import RedisAddress, read_redis_url
from flowscale.settings.base import Count, Group, NotEmpty, PositiveSeconds


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
