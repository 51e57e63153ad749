"""What groups of settings are made of."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

MIB = 1024**2
GIB = 1024**3

NotEmpty = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Count = Annotated[int, Field(ge=1)]
Bytes = Annotated[int, Field(ge=1, le=2**50)]
PositiveSeconds = Annotated[float, Field(gt=0, le=10 * 365 * 24 * 3600, allow_inf_nan=False)]


def _split(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _networks(value: Any) -> Any:
    return tuple(ip_network(part.strip()) for part in value.split(",")) if isinstance(value, str) else value


Listed = Annotated[tuple[str, ...], BeforeValidator(_split)]
"""Given with commas between; empty parts count for nothing."""

Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], BeforeValidator(_networks)]
"""Likewise, and each a network."""


class Group(BaseModel):
    """One part's settings. A field's alias is its environment name."""

    model_config = ConfigDict(frozen=True, validate_by_name=True, validate_by_alias=True, hide_input_in_errors=True)


def missing(name: str, fault: str) -> PydanticCustomError:
    """The error of a group that lacks the setting `name`, whatever others say."""
    return PydanticCustomError("missing_setting", "{fault}", {"name": name, "fault": fault})
