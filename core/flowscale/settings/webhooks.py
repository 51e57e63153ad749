"""Settings of webhooks."""

from __future__ import annotations

from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator

from flowscale.errors import InvalidPath
from flowscale.settings.base import Group, Listed, Networks, missing
from flowscale.specs import checked_url
from flowscale.webhooks.signing import read_secrets


class WebhookSettings(Group):
    """Telling others when a job has ended (docs/webhooks.md)."""

    urls: Listed = Field(
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
    allow_networks: Networks = Field(
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
