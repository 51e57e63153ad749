"""All settings together, and the only reader of the environment.

`Settings.load(environment)` reads once, at start; nothing is read at import. Names without FLOWSCALE_ come from
the service FlowScale replaces and stay as they are. A bad value, or a FLOWSCALE_* name nobody knows, stops the
program with one line, and several with a line each (SettingsError).
"""

from __future__ import annotations

import difflib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from flowscale.errors import SettingsError
from flowscale.redis_address import passwords_in
from flowscale.settings.base import Group
from flowscale.settings.client import ClientSettings
from flowscale.settings.gateway import GatewaySettings
from flowscale.settings.queues import QueueSettings, RedisSettings
from flowscale.settings.scaling import OperatorSettings
from flowscale.settings.storage import StorageSettings
from flowscale.settings.telemetry import LogSettings, TracingSettings
from flowscale.settings.webhooks import WebhookSettings
from flowscale.settings.worker import WorkerSettings

_SERVICE_LINK = re.compile(
    r"FLOWSCALE(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_[A-Z0-9_]+)?)$"
)
"""What Kubernetes puts into every pod beside a Service called `flowscale` or `flowscale-...`: no settings of ours."""

_PORT_LINK = re.compile(r"(tcp|udp|sctp)://")
"""How it begins the value of REDIS_PORT beside a Service called `redis`: likewise none of ours."""

_SECRET = re.compile(r"PASSWORD|SECRET|KEY|REDIS_URL|WEBHOOK_URL|HEADERS")
"""Names whose values no error shows; nor does one show a value with an @, which may be a URL with a password."""


_THEIR_WORDS = re.compile(r"^[A-Z][a-z]+ should ")
"""How the validator's own sentences begin."""


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
            for setting, value in dict(getattr(self, name)).items():
                # Of REDIS_URL the password alone is one: the log shall tell which server is meant.
                if isinstance(value, SecretStr) and (name, setting) != ("redis", "url"):
                    yield value.get_secret_value()
        if self.storage.access_key_id is not None:
            yield self.storage.access_key_id
        if self.redis.url is not None:
            yield from passwords_in(self.redis.url.get_secret_value())
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
        faults = list(_unknown(given, known))
        # An empty value counts as unset, as it does for shells and for Compose files.
        chosen = {name: value for name, value in given.items() if name in known and value != ""}
        if _PORT_LINK.match(chosen.get("REDIS_PORT", "")):
            del chosen["REDIS_PORT"]
        read = {}
        for name, group in groups().items():
            try:
                read[name] = _read_group(group, chosen)
            except ValidationError as error:
                faults += _told(error, chosen)
        if faults:
            raise _refused(faults)
        settings = cls.model_validate(read)
        if settings.webhooks.secrets and settings.gateway.public_url is None and not settings.links_to_bucket:
            raise SettingsError(
                "FLOWSCALE_PUBLIC_URL: webhooks (FLOWSCALE_WEBHOOK_SECRET) say where outputs are, and no request is at "
                "hand then that tells it: set the address under which browsers reach the gateway"
            )
        return settings


def groups() -> dict[str, type[Group]]:
    """The groups by name, in the order in which people read them."""
    annotations = {name: field.annotation for name, field in Settings.model_fields.items()}
    return {name: of for name, of in annotations.items() if isinstance(of, type) and issubclass(of, Group)}


def _unknown(given: Mapping[str, str], known: set[str]) -> Iterator[str]:
    """The faults of names of ours that nobody knows."""
    for name in sorted(given):
        if name.startswith("FLOWSCALE_") and name not in known and not _SERVICE_LINK.match(name):
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
            hint = f"; did you mean {nearest[0]}?" if nearest else ""
            yield f"{name}: no such setting{hint}"


def _read_group(group: type[Group], chosen: Mapping[str, str]) -> Group:
    names = {str(field.alias) for field in group.model_fields.values()}
    return group.model_validate({name: value for name, value in chosen.items() if name in names})


def _told(error: ValidationError, chosen: Mapping[str, str]) -> Iterator[str]:
    """A line for each fault of a group."""
    for fault in error.errors(include_url=False, include_input=False):
        if fault["type"] == "missing_setting":
            yield f"{fault['ctx']['name']}: {fault['ctx']['fault']}"
            continue
        name = str(fault["loc"][0])
        said = _THEIR_WORDS.sub("must ", fault["msg"].removeprefix("Value error, ").replace(" after validation", ""))
        shown = "" if _SECRET.search(name) or "@" in chosen[name] else f" (it is {chosen[name]!r})"
        yield f"{name}: {said}{shown}"


def _refused(faults: Sequence[str]) -> SettingsError:
    """One fault is the sentence itself; of several each has a line."""
    if len(faults) == 1:
        return SettingsError(faults[0])
    lines = "".join(f"\n  {fault}" for fault in faults)
    return SettingsError(f"{len(faults)} settings cannot be used:{lines}")


def tell_rq(prefix: str) -> None:
    """Have RQ put its keys under our prefix. It reads its environment when it is imported: call this before."""
    os.environ["RQ_KEY_PREFIX"] = prefix
