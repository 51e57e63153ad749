"""Deliveries of webhooks: claimed, settled, replayed, listed, forgotten. Made they are by lua/shared.lua."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from flowscale import logs
from flowscale.jobs import Failure, Output, Target
from flowscale.queues import answers
from flowscale.queues.outbox import CLAIM_MS, ENDS_SHOWN, KEPT_MOST, KEPT_MS, DueTarget, delivery_not_found
from flowscale.queues.redis.operations.ground import Ground
from flowscale.queues.redis.operations.replies import told_by
from flowscale.queues.redis.scripts import Command, Operation, command, run_script
from flowscale.webhooks.deliveries import Claim, Delivery, DeliveryState, Ended, Outcome, delivery_id, target_in

RETIRED_AT_ONCE = 500
"""Settled deliveries that one round of housekeeping forgets at most."""

_log = logs.get("queue")


class Outbox(Ground):
    """See flowscale.queues.outbox."""

    def deliveries(self, job_id: str) -> Operation[Sequence[Delivery]]:
        exists, found = yield (
            command("EXISTS", self.keys.record(job_id)),
            command("HMGET", self.keys.record(job_id), "hooks", "ends", forgiving=True),
        )
        if not exists:
            raise answers.job_not_found(job_id)
        hooks, ends = found or (None, None)
        last = int(ends) if ends is not None and ends.isdigit() else 0
        delivery_ids = [
            delivery_id(job_id, number, target.name)
            for number in range(max(1, last - ENDS_SHOWN + 1), last + 1)
            for target in told_by(hooks)
        ]
        if not delivery_ids:
            return ()
        (texts,) = yield (command("HMGET", self.keys.messages, *delivery_ids),)
        read = (_delivery(name, text) for name, text in zip(delivery_ids, texts, strict=True) if text is not None)
        return tuple(delivery for delivery in read if delivery is not None)

    def replay(self, delivery: str) -> Operation[Delivery]:
        target = target_in(delivery)
        if target is None:
            raise delivery_not_found(delivery)
        (text,) = yield (run_script("webhooks_replay", self.keys.outbox([target]), self._now(), delivery, target),)
        replayed = _delivery(delivery, text) if text else None
        if replayed is None:
            raise delivery_not_found(delivery)
        return replayed

    def due_targets(self, most: int) -> Operation[Sequence[DueTarget]]:
        ((now, *found),) = yield (run_script("webhooks_due", (self.keys.webhook_targets,), self._now(), most),)
        pairs = zip(found[::2], found[1::2], strict=True)
        return tuple(DueTarget(name.decode(errors="replace"), int(float(at)), int(now)) for name, at in pairs)

    def claim(self, target: str, most: int) -> Operation[Sequence[Claim]]:
        token = uuid4().hex
        keys = (self.keys.messages, self.keys.webhook_targets, self.keys.webhooks_due(target), self.keys.counters)
        ((now, *found),) = yield (run_script("webhooks_claim", keys, self._now(), target, most, CLAIM_MS, token),)
        read = (
            _delivery(name.decode(errors="replace"), text) for name, text in zip(found[::2], found[1::2], strict=True)
        )
        return tuple(Claim(delivery, token, int(now)) for delivery in read if delivery is not None)

    def settle(self, claim: Claim, outcome: Outcome) -> Operation[bool]:
        target = claim.delivery.target.name
        keys = (*self.keys.outbox([target]), self.keys.counters)
        status = "" if outcome.status is None else outcome.status
        head = (claim.delivery.id, target, claim.token, outcome.state, outcome.delay_ms, int(outcome.counts))
        words = (status, outcome.fault or "", outcome.answer)
        (settled,) = yield (run_script("webhooks_settle", keys, self._now(), *head, *words),)
        return bool(settled)

    def _retire_deliveries(self) -> Command:
        keys = (self.keys.messages, self.keys.messages_settled)
        return run_script("webhooks_retire", keys, self._now(), KEPT_MS, KEPT_MOST, RETIRED_AT_ONCE)


def _delivery(name: str, text: bytes) -> Delivery | None:
    """Of a message as the scripts keep it; None, and a line in the log, where it is none of ours."""
    try:
        return _read(name, json.loads(text))
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        _log.warning("delivery.unreadable", "A delivery of a webhook cannot be read", reason=repr(error))
        return None


def _read(name: str, message: dict[str, Any]) -> Delivery:
    code = message.get("code")
    return Delivery(
        id=name,
        target=Target(str(message["target"]), str(message.get("url") or "") or None),
        ended=Ended(
            job_id=str(message["job"]),
            at_ms=int(message["at"]),
            project_id=message.get("project"),
            output=Output(**json.loads(message["output"])) if "output" in message else None,
            duration_ms=_number(message, "took"),
            failure=None if code is None else Failure(str(code), str(message.get("message") or "")),
        ),
        since_ms=int(message["since"]),
        state=DeliveryState(message["state"]),
        tries=int(message["tries"]),
        tried_ms=_number(message, "tried"),
        next_ms=_number(message, "next"),
        status=_number(message, "status"),
        fault=message.get("fault"),
        answer=str(message.get("answer") or ""),
    )


def _number(message: dict[str, Any], name: str) -> int | None:
    value = message.get(name)
    return None if value is None else int(value)
