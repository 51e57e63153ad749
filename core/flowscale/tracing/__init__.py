"""Traces: the one door to OpenTelemetry, which is loaded only where a collector is named (docs/tracing.md).

    with tracing.span("fetch", {"flowscale.source.kind": "upload"}):
        ...
    tracing.fail("DISK_FULL", "...")        # of the span that is open in this thread or task
    origin.traceparent, origin.tracestate = tracing.place()

`start` begins it in this process and `stop` sends what is left, within seconds, whatever the collector does. Threads do
not survive a fork: a process that forks calls `load` alone, and its children `start`. While it is off every call here
is a comparison, and nothing of OpenTelemetry is in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import StrEnum
from typing import TYPE_CHECKING

from flowscale.clocks import Clock
from flowscale.errors import SettingsError
from flowscale.jobs import Job
from flowscale.origins import Origin
from flowscale.redaction import redact
from flowscale.settings import TracingSettings
from flowscale.tracing.patience import Patience

if TYPE_CHECKING:
    from flowscale.tracing.recorder import Recorder

Value = str | int | float | bool
Attributes = Mapping[str, Value]
End = Callable[[], None]
"""Ends a span before its block does; what the block does from there on belongs to none."""


class Kind(StrEnum):
    """OpenTelemetry's kinds of spans: who waits for whom."""

    INTERNAL = "internal"
    SERVER = "server"
    PRODUCER = "producer"


_recorder: Recorder | None = None
_patience: Patience | None = None
_OFF: AbstractContextManager[None] = nullcontext()
_NO_END: AbstractContextManager[End] = nullcontext(lambda: None)


def load(settings: TracingSettings) -> None:
    """Bring what `start` needs into memory, once for all processes that this one forks. It begins no thread.

    Raises SettingsError where a collector is named and the packages are not installed.
    """
    global _patience
    if settings.is_on:
        recorder = _load()
        with _refusals_told():
            recorder.warm_up()
        _patience = Patience()


def start(settings: TracingSettings, service: str) -> None:
    """Record the spans of this process from now on, as those of `service` unless the settings name it otherwise.

    Raises SettingsError as `load` does, and for settings that OpenTelemetry's SDK refuses.
    """
    global _recorder
    if settings.is_on:
        recorder = _load()
        with _refusals_told():
            _recorder = recorder(service)


@contextmanager
def running(settings: TracingSettings, service: str, clock: Clock) -> Iterator[None]:
    """Loaded and started for the block, and stopped after it."""
    load(settings)
    start(settings, service)
    try:
        yield
    finally:
        stop(clock)


def stop(clock: Clock) -> None:
    """Send what is left, as long as patience lasts (patience.py). From here on it is off."""
    global _recorder
    recorder, _recorder = _recorder, None
    if recorder is not None and _patience is not None:
        seconds = _patience.seconds(clock.monotonic())
        _patience.learn(clock.monotonic(), seconds, recorder.stop(seconds))


def is_on() -> bool:
    return _recorder is not None


def span(name: str, attributes: Attributes | None = None, kind: Kind = Kind.INTERNAL) -> AbstractContextManager[None]:
    """A step of the span that is open here, or the first of a trace. What the block raises is the step's failure."""
    return _OFF if _recorder is None else _recorder.span(name, attributes, kind)


def request(headers: Sequence[tuple[bytes, bytes]], name: str, attributes: Attributes) -> AbstractContextManager[End]:
    """The span of a request over HTTP, in its client's trace where `headers` name one."""
    return _NO_END if _recorder is None else _recorder.request(headers, name, attributes)


def attempt(job: Job, joined_ms: int | None, attributes: Attributes) -> AbstractContextManager[None]:
    """The span of an attempt at a job, as it was when the attempt began: in the trace of the request that enqueued it,
    linked to the attempt before. Beside it stands the span of its wait in the line, since `joined_ms`."""
    return _OFF if _recorder is None else _recorder.attempt(job, joined_ms, attributes)


def rename(name: str) -> None:
    """Name the open span anew."""
    if _recorder is not None:
        _recorder.rename(name)


def note(attributes: Attributes) -> None:
    """Add attributes to the open span."""
    if _recorder is not None:
        _recorder.note(attributes)


def fail(code: str, message: str = "") -> None:
    """The open span has failed."""
    if _recorder is not None:
        _recorder.fail(code, message)


def origin(request_id: str | None) -> Origin:
    """Of a job that is enqueued within the open span."""
    if _recorder is None:
        return Origin(request_id)
    return Origin.read(request_id, *_recorder.place())


def ids() -> dict[str, str]:
    """`trace_id` and `span_id` of the open span, for a line of the log; nothing where none is open."""
    return {} if _recorder is None else _recorder.ids()


@contextmanager
def _refusals_told() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the SDK says in no one way what it does not take
        raise SettingsError(
            f"OTEL_EXPORTER_OTLP_ENDPOINT: traces cannot begin with these OTEL_ settings: {redact(str(error))}"
        ) from error


def _load() -> type[Recorder]:
    try:
        from flowscale.tracing.recorder import Recorder
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"OTEL_EXPORTER_OTLP_ENDPOINT: traces need the package {error.name}: install flowscale[tracing], "
            "which brings it, or unset the endpoint"
        ) from error
    return Recorder
