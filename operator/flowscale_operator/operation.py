"""The operator, composed: what it reads, how often, and who gets to know.

queue ──wakes, demand──> Source ─┐
pods ──list, watch──> PodStore ──┼──> Scaler (one for each WorkerScaler) ──> Deployment, pods, status, Events
WorkerScalers ──> Catalogue ─────┘
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from secrets import token_hex

import kopf

from flowscale import logs
from flowscale.clocks import Clock, steady_ms
from flowscale.queues.scaling_view import ScalingQueue
from flowscale.settings import OperatorSettings
from flowscale_operator.answering import Answering
from flowscale_operator.api import ApiClient
from flowscale_operator.api_errors import ApiError
from flowscale_operator.catalogue import Catalogue
from flowscale_operator.events import Events
from flowscale_operator.health import ROUND_SECONDS, Health
from flowscale_operator.hosting import Host
from flowscale_operator.leadership import Leadership
from flowscale_operator.loops import keep
from flowscale_operator.marking import Marker
from flowscale_operator.meters import Meters
from flowscale_operator.pod_store import PodStore
from flowscale_operator.pod_watch import PodWatch
from flowscale_operator.rivals import Rivals
from flowscale_operator.scaler import Scaler
from flowscale_operator.source import Reading, Source
from flowscale_operator.world import World

LOOK_SECONDS = 1.0
"""A look at least this often: what a lost wake-up call costs."""

APART_SECONDS = 0.15
"""Between two looks at most this often, however many jobs come and go."""

WATCH_LIMIT_SECONDS = 300.0
"""A watch of pods says something about every minute, and ends after two."""

STOP_SECONDS = 3.0
"""For each thing that is stopped: a pod has 30 s."""

_log = logs.get("operator")


class Operation:
    """One operator process, in the `pod` of that name. Made in the loop it runs in."""

    def __init__(
        self,
        settings: OperatorSettings,
        queue: ScalingQueue,
        log_in: Callable[[], kopf.ConnectionInfo],
        namespace: str,
        pod: str,
        clock: Clock,
    ) -> None:
        identity = f"{pod}/{token_hex(4)}"
        self._clock = clock
        self._health = health = Health(clock)
        self._meters = meters = Meters(health)
        self._api = api = ApiClient(log_in, clock, meters.request, f"flowscale-operator/{pod}")
        self._source = Source(queue, clock)
        self._pods = PodStore()
        self._watch = PodWatch(api, namespace, self._pods, clock, lambda: health.done("pods"))
        self._rivals = Rivals(api, namespace, clock)
        self._catalogue = Catalogue(api, namespace, settings.selector, clock, self._scalers_changed)
        self._leadership = Leadership(api, namespace, settings.lease, identity, clock, self._lead_changed)
        self._world = World(
            api,
            queue,
            namespace,
            clock,
            self._pods,
            self._rivals,
            self._leadership,
            Marker(api, namespace, self._pods),
            Events(api, namespace, identity, clock),
            meters,
            self._source.woken.set,
        )
        self._scalers: dict[tuple[str, str], Scaler] = {}
        self._ending: dict[Scaler, asyncio.Task[None]] = {}  # whose WorkerScalers are gone
        self._strangers: set[str] = set()
        self._taken_over = asyncio.Event()
        self._looked_at = float("-inf")
        self._answering = Answering(settings.host, settings.port, health, meters)
        self._host = Host(namespace, self._touched, lambda: health.done("kopf"))
        self._namespace = namespace

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. Raises OSError when its port is taken."""
        port = await self._answering.start()
        _log.info("operator.started", f"Looks after namespace {self._namespace}; answers on port {port}", port=port)
        works: dict[str, tuple[Callable[[], Awaitable[None]], float]] = {
            "lease": (self._leadership.round, ROUND_SECONDS),
            "scalers": (self._catalogue.round, ROUND_SECONDS),
            "pods": (self._watch.round, WATCH_LIMIT_SECONDS),
            "autoscalers": (self._rivals.round, ROUND_SECONDS),
            "look": (self._look, ROUND_SECONDS),
            "takeover": (self._read_anew, float("inf")),
            "wakes": (self._source.listen, float("inf")),
            "kopf": (self._host_kopf, float("inf")),
        }
        for name, (_, limit) in works.items():
            self._health.expect(name, limit)
        loops = [
            asyncio.create_task(keep(name, work, self._health, self._clock), name=name)
            for name, (work, _) in works.items()
        ]
        try:
            await stop.wait()
        finally:
            _log.info("operator.stopping", "Gives its Lease back and ends")
            await self._end(loops)

    async def _end(self, loops: Sequence[asyncio.Task[None]]) -> None:
        for task in loops:
            task.cancel()
        await asyncio.wait(loops, timeout=STOP_SECONDS)
        ends = [*self._ending.values(), *(asyncio.create_task(each.stop()) for each in self._scalers.values())]
        if ends:
            await asyncio.wait(ends, timeout=STOP_SECONDS * 3)
        try:
            if any(scaler.in_doubt for scaler in [*self._scalers.values(), *self._ending]):
                _log.warning("lease.kept", "The Lease is left to run out: a patch may still arrive at the API")
            else:
                await self._leadership.resign()
        except ApiError as error:
            _log.warning("lease.kept", f"The Lease could not be given back; it runs out: {error.message}")
        await self._host.stop(STOP_SECONDS)
        await self._answering.stop()
        await self._api.close()

    # --- rounds

    async def _look(self) -> None:
        """Wait for a wake-up call or the time of the next look, and look."""
        source = self._source
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await source.woken.wait()
        except TimeoutError:
            pass  # nobody called; it looks all the same
        await asyncio.sleep(max(0.0, self._looked_at + APART_SECONDS - self._clock.monotonic()))
        woken_at, source.woken_at = source.woken_at, None
        source.woken.clear()
        if not self._leadership.leading:
            return
        reading = await source.settled(self._enough)
        self._looked_at = self._clock.monotonic()
        self._meters.source_up.set(0 if reading.demand is None else 1)
        if not self._leadership.leading or reading.asked_ms < self._world.since_ms:
            return
        for scaler in self._scalers.values():
            owner = self._catalogue.owners.get(scaler.spec.target, scaler.spec)
            try:
                scaler.look(reading, owner, self._alone(scaler), woken_at)
            except Exception as error:  # noqa: BLE001 - logged; the others are looked at all the same
                _log.exception("look.defect", f"{scaler.spec.name} was not looked at, by a defect", error)
        await self._look_for_strangers(reading)

    def _alone(self, scaler: Scaler) -> bool:
        """Whether no other acts on its target, or has begun what may still arrive there."""
        others = [other for other in self._scalers.values() if other is not scaler and other.acting]
        return all(other.spec.target != scaler.spec.target for other in [*others, *self._ending])

    def _enough(self, jobs: int) -> bool:
        """Whether every WorkerScaler is at its most with so many jobs."""
        policies = [scaler.spec.policy for scaler in self._scalers.values()]
        return all(
            policy.jobs_per_worker is not None and jobs >= policy.maximum * policy.jobs_per_worker
            for policy in policies
        )

    async def _look_for_strangers(self, reading: Reading) -> None:
        """Workers that render and whose pods nobody has seen: the watch of pods may be deaf."""
        demand = reading.demand
        if demand is None:
            return
        strangers = {name for name, group in demand.groups.items() if group.busy and not self._pods.knows(name)}
        if strangers - self._strangers:
            await self._watch.list()
        self._strangers = strangers

    async def _read_anew(self) -> None:
        """After a takeover: read at once what is otherwise read now and then."""
        await self._taken_over.wait()
        await asyncio.gather(self._watch.list(), self._rivals.read())
        self._taken_over.clear()
        self._source.woken.set()

    async def _host_kopf(self) -> None:
        """Begin it once the CRD is there: without scanning, it would never see one that comes later."""
        await self._catalogue.known.wait()
        self._health.expect("kopf")
        self._host.start()
        await asyncio.Event().wait()

    # --- what changed

    def _touched(self, name: str, generation: int, gone: bool) -> None:
        self._catalogue.touch(name, generation, gone=gone)

    def _scalers_changed(self) -> None:
        specs = {spec.key: spec for spec in self._catalogue.specs}
        for key in self._scalers.keys() - specs.keys():
            self._drop(key)
        for key, spec in specs.items():
            known = self._scalers.get(key)
            if known is not None and known.spec.target != spec.target:
                self._drop(key)
                known = None
            if known is None:
                self._scalers[key] = Scaler(spec, self._world)
            else:
                known.respec(spec)
        self._source.woken.set()

    def _drop(self, key: tuple[str, str]) -> None:
        gone = self._scalers.pop(key)
        self._pods.forget(gone.spec.target)
        self._world.events.forget(gone.spec.uid)
        self._meters.forget(gone.spec.name)
        ending = self._ending[gone] = asyncio.create_task(self._see_off(gone), name="scaler-end")
        ending.add_done_callback(lambda _: self._ending.pop(gone))

    async def _see_off(self, gone: Scaler) -> None:
        await asyncio.sleep(0)  # until all that changed with it is known
        targets = {scaler.spec.target for scaler in self._scalers.values()}
        await gone.leave(last=gone.spec.target not in targets)

    def _lead_changed(self, leads: bool) -> None:
        self._meters.leader.set(int(leads))
        self._world.since_ms = steady_ms(self._clock)
        for scaler in self._scalers.values():
            scaler.reset()
        if leads:
            self._taken_over.set()
