"""Every setting: a module for each part's group, and `environment`, which reads them.

docs/configuration.md is generated from these classes by scripts/generate.py: unit, default and reason of a setting
stand in its description, and nowhere else.
"""

from __future__ import annotations

from flowscale.settings.base import Group
from flowscale.settings.environment import Settings, groups, tell_rq
from flowscale.settings.gateway import GatewaySettings
from flowscale.settings.queues import RedisSettings
from flowscale.settings.scaling import OperatorSettings
from flowscale.settings.storage import StorageSettings
from flowscale.settings.telemetry import TracingSettings
from flowscale.settings.webhooks import WebhookSettings
from flowscale.settings.worker import WorkerSettings

__all__ = [
    "GatewaySettings",
    "Group",
    "OperatorSettings",
    "RedisSettings",
    "Settings",
    "StorageSettings",
    "TracingSettings",
    "WebhookSettings",
    "WorkerSettings",
    "groups",
    "tell_rq",
]
