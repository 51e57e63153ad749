"""Settings of the command line."""

from __future__ import annotations

from pydantic import Field, SecretStr

from flowscale.settings.base import Group


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
