"""Settings of the HTTP gateway."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Literal

from pydantic import Field, SecretStr, field_validator

from flowscale.settings.base import GIB, MIB, Bytes, Count, Group, Listed, NotEmpty

ADMIN_KEY_CHARACTERS = 32
"""At least, of FLOWSCALE_ADMIN_KEY: 192 bits, where base64 writes down chance."""


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
    trusted_proxies: Listed = Field(
        ("127.0.0.1",),
        alias="FLOWSCALE_TRUSTED_PROXIES",
        description="Comma-separated addresses or networks whose X-Forwarded-Proto and -For are believed, or `*`.",
    )
    cors_origins: Listed = Field(
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
        description="A key that is always good for everything, of 32 characters at least: make it, do not choose it "
        "(`openssl rand -base64 33`). Unset: keys made by `flowscale keys create --scope admin` alone open /admin.",
    )

    @field_validator("admin_key")
    @classmethod
    def _is_long(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value) < ADMIN_KEY_CHARACTERS:
            raise ValueError(
                f"must have at least {ADMIN_KEY_CHARACTERS} characters, not {len(value)}; do not choose it, make it: "
                "openssl rand -base64 33"
            )
        return value

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
