"""Spans by OpenTelemetry's SDK, sent by its OTLP/HTTP exporter. The only module that imports it.

The SDK reads its own environment: endpoint, headers, certificates, sampler, sizes of batches and queue. A span that
ends is put into a bounded queue, and a thread sends it; a full queue drops spans. So nobody ever waits for a collector
but `stop`, and that for as long as it is told.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from flowscale import __version__
from flowscale.jobs import Job
from flowscale.origins import Origin, attempt_span_id, job_trace_id
from flowscale.redaction import redact
from flowscale.tracing import Attributes, End, Kind

_KINDS = {
    Kind.INTERNAL: trace.SpanKind.INTERNAL,
    Kind.SERVER: trace.SpanKind.SERVER,
    Kind.PRODUCER: trace.SpanKind.PRODUCER,
}
_propagator = TraceContextTextMapPropagator()


class Recorder:
    """The spans of one process. It begins a thread, so each process makes its own after it was forked."""

    def __init__(self, service: str) -> None:
        self._exporter = _Watched(OTLPSpanExporter())
        self._processor = BatchSpanProcessor(self._exporter)
        self._ids = _Ids()
        known = Resource({"service.name": service, "service.version": __version__})
        # At the process's end the SDK would wait for 30 s: `stop` is called instead.
        provider = TracerProvider(
            resource=Resource.create().merge(known).merge(OTELResourceDetector().detect()),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        provider.add_span_processor(self._processor)
        self._tracer = provider.get_tracer("flowscale", __version__)

    @staticmethod
    def warm_up() -> None:
        """The exporter imports its client when it is first made, which would cost each forked process 0.1 s."""
        OTLPSpanExporter()

    def stop(self, seconds: float) -> bool:
        """The SDK's own flush has no limit: it is waited for from here, and left alone then."""
        flush = threading.Thread(target=self._processor.force_flush, name="trace-flush", daemon=True)
        flush.start()
        flush.join(seconds)
        return not flush.is_alive() and self._exporter.took_the_last

    @contextmanager
    def span(self, name: str, attributes: Attributes | None, kind: Kind = Kind.INTERNAL) -> Iterator[None]:
        with self._opened(self._tracer.start_span(name, kind=_KINDS[kind], attributes=_harmless(attributes))):
            yield

    @contextmanager
    def request(self, headers: Sequence[tuple[bytes, bytes]], name: str, attributes: Attributes) -> Iterator[End]:
        carrier = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in headers}
        began = self._tracer.start_span(
            name, _propagator.extract(carrier, contexts.Context()), trace.SpanKind.SERVER, _harmless(attributes)
        )
        with self._opened(began):
            yield began.end

    @contextmanager
    def attempt(self, job: Job, joined_ms: int | None, attributes: Attributes) -> Iterator[None]:
        parent = _place_of(job.origin)
        if not trace.get_current_span(parent).get_span_context().is_valid:
            self._ids.trace_id.set(job_trace_id(job.id))
        began_ms = job.execution_started_ms
        if began_ms is not None:
            self._ids.span_id.set(attempt_span_id(job.id, job.attempt_number, began_ms))
        span = self._tracer.start_span(
            "attempt", parent, trace.SpanKind.CONSUMER, _harmless(attributes), links=_link_to_last(job, parent)
        )
        self._ids.forget()
        if joined_ms is not None and began_ms is not None:
            waited = self._tracer.start_span(
                "wait", parent or trace.set_span_in_context(span), start_time=joined_ms * 1_000_000
            )
            waited.end(max(joined_ms, began_ms) * 1_000_000)
        with self._opened(span):
            yield

    @contextmanager
    def _opened(self, span: trace.Span) -> Iterator[None]:
        """Exceptions are told by code and sentence alone: a traceback is for the log."""
        with trace.use_span(span, record_exception=False, set_status_on_exception=False):
            try:
                yield
            except BaseException as error:
                self.fail(str(getattr(error, "code", type(error).__name__)), str(getattr(error, "message", "")))
                raise
            finally:
                if span.is_recording():  # its block may have ended it
                    span.end()

    def rename(self, name: str) -> None:
        trace.get_current_span().update_name(name)

    def note(self, attributes: Attributes) -> None:
        if (span := trace.get_current_span()).is_recording():
            span.set_attributes(_harmless(attributes))

    def fail(self, code: str, message: str) -> None:
        if (span := trace.get_current_span()).is_recording():
            span.set_attribute("error.type", code)
            span.set_status(trace.StatusCode.ERROR, redact(message) or None)

    def place(self) -> tuple[str | None, str | None]:
        carrier: dict[str, str] = {}
        _propagator.inject(carrier)
        return carrier.get("traceparent"), carrier.get("tracestate")

    def ids(self) -> dict[str, str]:
        place = trace.get_current_span().get_span_context()
        if not place.is_valid:
            return {}
        return {"trace_id": trace.format_trace_id(place.trace_id), "span_id": trace.format_span_id(place.span_id)}


class _Ids(RandomIdGenerator):
    """At random, but for a span whose id others must be able to tell from its job's record."""

    def __init__(self) -> None:
        self.trace_id: ContextVar[int | None] = ContextVar("trace_id", default=None)
        self.span_id: ContextVar[int | None] = ContextVar("span_id", default=None)

    def generate_trace_id(self) -> int:
        return self.trace_id.get() or super().generate_trace_id()

    def generate_span_id(self) -> int:
        return self.span_id.get() or super().generate_span_id()

    def forget(self) -> None:
        self.trace_id.set(None)
        self.span_id.set(None)


class _Watched(SpanExporter):
    """Remembers whether the collector took what was sent last."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.took_the_last = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        self.took_the_last = result is SpanExportResult.SUCCESS
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


def _harmless(attributes: Attributes | None) -> Attributes:
    """What clients sent may be among them: a key that was put into a path, say."""
    return {name: redact(value) if isinstance(value, str) else value for name, value in (attributes or {}).items()}


def _place_of(origin: Origin) -> contexts.Context:
    """The place of the span that enqueued the job; an empty context where it was none."""
    carrier = {"traceparent": origin.traceparent or "", "tracestate": origin.tracestate or ""}
    return _propagator.extract({name: text for name, text in carrier.items() if text}, contexts.Context())


def _link_to_last(job: Job, parent: contexts.Context) -> list[trace.Link]:
    """To the attempt before, whose span may have been lost with its worker."""
    if not job.attempts:
        return []
    enqueued = trace.get_current_span(parent).get_span_context()
    last = job.attempts[-1]
    place = trace.SpanContext(
        trace_id=enqueued.trace_id or job_trace_id(job.id),
        span_id=attempt_span_id(job.id, last.number, last.started_ms),
        is_remote=True,
        trace_flags=enqueued.trace_flags,
    )
    return [trace.Link(place, {"flowscale.attempt.code": last.code or "", "flowscale.worker": last.worker})]
