"""What every step of a render is handed: FFmpeg, the budgets, a clock, and how to ask whether to go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from flowscale.clocks import Clock
from flowscale.errors import Cancelled, LeaseLost, RenderTimeout
from flowscale.settings import WorkerSettings
from flowscale_worker.command import Allowance
from flowscale_worker.failures import Stopped
from flowscale_worker.ffmpeg import Ended, Limits, Tools
from flowscale_worker.progress import EncodeProgress
from flowscale_worker.source import SourceInfo, SourceLimits


class ShutDown(Exception):
    """The worker is stopping: the job goes back to the queue, unharmed."""


class Tell(Protocol):
    """Progress of a job for whoever watches: a percentage of the whole (None: unchanged) and log lines."""

    def __call__(self, percent: int | None, lines: Sequence[str] = ()) -> None: ...


@dataclass(frozen=True, slots=True)
class Kit:
    """One worker's tools. `should_stop` is asked about ten times a second while FFmpeg runs."""

    tools: Tools
    settings: WorkerSettings
    clock: Clock
    should_stop: Callable[[], Stopped | None]
    tell: Tell
    watch: Callable[[EncodeProgress], object] = lambda _: None  # hears each of FFmpeg's reports
    examined: Callable[[Sequence[SourceInfo]], object] = lambda _: None  # hears what the sources hold
    ran: Callable[[Sequence[str]], object] = lambda _: None  # hears each command line of FFmpeg, before it is run

    @property
    def allowance(self) -> Allowance:
        return Allowance(self.settings.threads, self.settings.max_pixels, self.settings.max_output_bytes)

    @property
    def source_limits(self) -> SourceLimits:
        return SourceLimits(
            self.settings.max_source_seconds,
            self.settings.max_pixels,
            self.settings.max_frames,
            self.settings.max_decoded_pixels,
        )

    def limits(self, seconds: float) -> Limits:
        """For a process that may take `seconds` of wall time on all its threads."""
        return Limits(
            seconds=seconds,
            cpu_seconds=int(seconds * (self.settings.threads + 2)) + 1,
            memory_bytes=self.settings.memory_bytes,
            file_bytes=self.settings.max_output_bytes,
        )

    def go_on(self) -> None:
        """Between two steps: raises what ends the execution, if anything does."""
        raise_if_stopped(self.should_stop(), "the render", self.settings.render_timeout_seconds)


def raise_if_stopped(reason: Stopped | None, what: str, seconds: float) -> None:
    """A reason to stop as the exception that carries it: Cancelled, RenderTimeout, LeaseLost, ShutDown."""
    match reason:
        case None:
            return
        case Stopped.CANCELLED:
            raise Cancelled("Cancelled on request.")
        case Stopped.TIMEOUT:
            raise RenderTimeout(f"It took longer than the {seconds:.0f} s allowed for {what}.")
        case Stopped.LEASE_LOST:
            raise LeaseLost("Another worker has this job now.")
        case Stopped.SHUTDOWN:
            raise ShutDown


def checked(ended: Ended, what: str, seconds: float) -> Ended:
    """The run, unless we stopped it: then the exception that says why."""
    raise_if_stopped(ended.stopped, what, seconds)
    return ended
