"""Delivers webhooks, as any gateway does: claims what is due, sends it from threads, and says what came of it.

No endpoint holds up another. Each of the installation has threads of its own; the hosts that jobs name share some, of
which one host gets a few. A gateway that is killed leaves its claims to lapse; one that stops gives them back.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from random import random, sample

from flowscale import logs
from flowscale.clocks import Clock
from flowscale.errors import ServiceError
from flowscale.outbound.dialling import Resolve, system_resolve
from flowscale.queues.outbox import DueTarget, Outbox
from flowscale.settings import WebhookSettings
from flowscale.webhooks.deliveries import Claim, DeliveryState, Outcome, is_own, own_target
from flowscale.webhooks.payload import body_of
from flowscale.webhooks.retrying import Answer, judge
from flowscale.webhooks.sending import post
from flowscale.webhooks.signing import signed_headers
from flowscale_api.housekeeping import Routine

ROUND_SECONDS = 1.0
"""A message goes out at most this late, while its endpoint is not behind."""

OWN_AT_ONCE = 4
"""Tries at once for one endpoint of the installation, by one gateway."""

HOSTS_AT_ONCE = 16
"""Tries at once for all hosts that jobs name."""

HOST_AT_ONCE = 2
"""Of these, for one host."""

IN_A_ROW = 8
"""Messages for one such host that one try leads to, before another host's turn comes."""

TARGETS_AT_ONCE = 256
"""Endpoints with something due that one look gives, those longest due first."""

UNKNOWN_MS = 24 * 3600 * 1000
"""What is due for so long to an endpoint that no settings name is given up."""

_log = logs.get("webhook")


class _Stopped(Exception):
    """The gateway stops: the try is not made to its end."""


class Courier:
    """`address` gives the URL of an output by its key; `chance` draws the jitter of waits, in [0, 1)."""

    def __init__(
        self,
        outbox: Outbox,
        settings: WebhookSettings,
        address: Callable[[str], Awaitable[str]],
        clock: Clock,
        *,
        chance: Callable[[], float] = random,
        resolve: Resolve = system_resolve,
    ) -> None:
        self._outbox = outbox
        self._secrets = settings.secrets
        self._networks = settings.allow_networks
        self._own = {own_target(url).name: url for url in settings.urls}
        self._address = address
        self._clock = clock
        self._chance = chance
        self._resolve = resolve
        self._stopping = threading.Event()
        self._busy: Counter[str] = Counter()  # tries that go on, by endpoint
        self._tasks: set[asyncio.Task[None]] = set()
        self._pool = ThreadPoolExecutor(HOSTS_AT_ONCE + OWN_AT_ONCE * len(self._own), "webhook")

    def routine(self) -> Routine:
        """For the gateway's housekeeping."""
        return Routine("webhooks", ROUND_SECONDS, self.round)

    async def round(self) -> None:
        """Begin to deliver what is due. Raises QueueUnavailable."""
        if not self._secrets or self._stopping.is_set():
            return
        # The installation's own are not looked for: however many hosts that jobs name are due, their turn comes.
        for name in self._own:
            await self._begin_due(name)
        found = await self._outbox.due_targets(TARGETS_AT_ONCE)
        for due in sample(found, len(found)):  # in no order: hosts that hang must not always come first
            if not is_own(due.name):
                await self._begin_due(due.name)
            elif due.name not in self._own:
                await self._give_up(due)

    async def _begin_due(self, target: str) -> None:
        if (room := self._room(target)) > 0:
            for claim in await self._outbox.claim(target, room):
                self._begin(claim)

    async def settled(self) -> None:
        """Wait until nothing is on its way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """End what is on its way, and give it back. The queue must still be open."""
        self._stopping.set()
        await self.settled()
        self._pool.shutdown(wait=False)

    def _room(self, target: str) -> int:
        if is_own(target):
            return OWN_AT_ONCE - self._busy[target]
        all_hosts = sum(count for name, count in self._busy.items() if not is_own(name))
        return min(HOST_AT_ONCE - self._busy[target], HOSTS_AT_ONCE - all_hosts)

    def _begin(self, claim: Claim) -> None:
        target = claim.delivery.target.name
        self._busy[target] += 1
        task = asyncio.create_task(self._deliver(claim), name=f"webhook-{claim.delivery.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: self._busy.subtract([target]))

    async def _deliver(self, claim: Claim) -> None:
        """This one, and while the endpoint answers the next ones that are due to it."""
        target = claim.delivery.target.name
        try:
            for left in reversed(range(IN_A_ROW)):
                answered = await self._try(claim)
                if not answered or not left or self._stopping.is_set():
                    return
                following = await self._outbox.claim(target, 1)
                if not following:
                    return
                (claim,) = following
        except ServiceError as error:
            _log.warning("webhook.unsettled", f"A webhook will be tried again: {error.message}", id=claim.delivery.id)
        except Exception as error:  # noqa: BLE001 - the claim lapses; others go on
            _log.exception("webhook.fault", "A fault in delivering a webhook; it is tried again", error)

    async def _try(self, claim: Claim) -> bool:
        """Whether the endpoint answered."""
        delivery = claim.delivery
        url = delivery.target.url or self._own[delivery.target.name]
        output = delivery.ended.output
        body = body_of(delivery.ended, await self._address(output.key) if output else None)
        headers = signed_headers(self._secrets, delivery.id, self._clock.now_ms(), body)
        send = partial(
            post, url, headers, body, self._networks, self._clock, self._require_running, resolve=self._resolve
        )
        try:
            answer = await asyncio.get_running_loop().run_in_executor(self._pool, send)
        except _Stopped:
            await self._outbox.settle(claim, Outcome(DeliveryState.PENDING, counts=False))
            return False
        outcome = judge(answer, claim, self._chance())
        await self._outbox.settle(claim, outcome)
        _tell(claim, outcome, answer)
        return answer.status is not None

    def _require_running(self) -> None:
        if self._stopping.is_set():
            raise _Stopped

    async def _give_up(self, due: DueTarget) -> None:
        """A gateway with other settings may know the endpoint; once that is out of the question, nobody does."""
        if due.now_ms - due.due_ms < UNKNOWN_MS:
            return
        for claim in await self._outbox.claim(due.name, OWN_AT_ONCE):
            outcome = Outcome(DeliveryState.FAILED, fault="the settings name its endpoint no longer")
            await self._outbox.settle(claim, outcome)
            _tell(claim, outcome, Answer(None))


def _tell(claim: Claim, outcome: Outcome, answer: Answer) -> None:
    delivery = claim.delivery
    facts = {"id": delivery.id, "job_id": delivery.ended.job_id, "tries": delivery.tries, "status": answer.status}
    match outcome.state:
        case DeliveryState.DELIVERED:
            _log.info("webhook.delivered", "A webhook was delivered", **facts)
        case DeliveryState.FAILED:
            _log.error("webhook.failed", f"A webhook was given up: {outcome.fault}", **facts)
        case DeliveryState.PENDING:
            wait_s = outcome.delay_ms // 1000
            _log.warning("webhook.retried", f"A webhook was not delivered: {outcome.fault}", wait_s=wait_s, **facts)
