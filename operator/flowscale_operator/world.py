"""What all WorkerScalers share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flowscale.clocks import Clock
from flowscale.queues.scaling_view import ScalingQueue
from flowscale_operator.api import ApiClient
from flowscale_operator.events import Events
from flowscale_operator.leadership import Leadership
from flowscale_operator.marking import Marker
from flowscale_operator.meters import Meters
from flowscale_operator.pod_store import PodStore
from flowscale_operator.rivals import Rivals


@dataclass(slots=True)
class World:
    """`since_ms` is when this replica began to lead (steady_ms): what was read before counts for nothing."""

    api: ApiClient
    queue: ScalingQueue
    namespace: str
    clock: Clock
    pods: PodStore
    rivals: Rivals
    leadership: Leadership
    marker: Marker
    events: Events
    meters: Meters
    wake: Callable[[], None]  # have another look soon
    since_ms: int = 0
