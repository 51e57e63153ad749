"""Enqueues bursts of jobs, and cancels them: run in a gateway's pod, with its settings, by bench/scaling.py.

A number on standard input enqueues so many jobs at once, and is answered with when that began and when the last was
accepted (Unix seconds); `cancel` cancels all of them, and is answered with how many there were.
"""

from __future__ import annotations

import asyncio
import json
import sys
from uuid import uuid4

from flowscale.clocks import SystemClock
from flowscale.jobs import Job
from flowscale.names import job_id
from flowscale.queues.base import QueuePolicy
from flowscale.queues.redis import open_job_queue
from flowscale.settings import Settings
from flowscale.specs import RenderSpec, Source

SPEC = RenderSpec(sources=(Source(key=f"uploads/{'5' * 32}/clip.mp4"),)).to_record()


async def main() -> None:
    clock = SystemClock()
    queue = open_job_queue(Settings.load().redis, QueuePolicy(), clock)
    jobs: list[str] = []
    await queue.check()  # connects
    print("ready", flush=True)
    while word := (await asyncio.to_thread(sys.stdin.readline)).strip():
        if word == "cancel":
            await asyncio.gather(*(queue.cancel(each) for each in jobs))
            print(json.dumps(len(jobs)), flush=True)
            jobs.clear()
            continue
        began = clock.now_ms()
        new = [Job(id=job_id(began, uuid4().hex), spec=SPEC, created_ms=began) for _ in range(int(word))]
        await asyncio.gather(*(queue.enqueue(job) for job in new))
        print(json.dumps([began / 1000, clock.now_ms() / 1000]), flush=True)
        jobs += [job.id for job in new]
    await queue.close()


asyncio.run(main())
