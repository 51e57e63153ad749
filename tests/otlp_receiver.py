"""A collector of traces: an HTTP server that takes OTLP and keeps the spans, and one that accepts and never answers."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2


@dataclass(frozen=True)
class Span:
    """As it was received; ids in hexadecimal, times in ns."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    failed: bool
    message: str
    attributes: dict[str, Any]
    links: tuple[tuple[str, str], ...]  # trace and span
    resource: dict[str, Any] = field(repr=False)

    @property
    def ms(self) -> float:
        return (self.end_ns - self.start_ns) / 1e6


class OtlpReceiver:
    """Use as a context manager. `bodies` are the requests as they came: what must not be there can be looked for."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self._spans: list[Span] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                receiver._take(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                """Of no use in a test's output."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def environment(self) -> dict[str, Any]:
        """For a program that is to send here, soon after each span."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}

    def spans(self, **attributes: Any) -> list[Span]:
        """All that came, with these attributes (`job_id` stands for flowscale.job.id), by when they began."""
        wanted = {f"flowscale.{name.replace('_', '.')}": value for name, value in attributes.items()}
        return sorted(
            (span for span in list(self._spans) if wanted.items() <= span.attributes.items()),
            key=lambda span: span.start_ns,
        )

    def named(self, name: str, **attributes: Any) -> list[Span]:
        return [span for span in self.spans(**attributes) if span.name == name]

    def trace(self, trace_id: str) -> list[Span]:
        return [span for span in self.spans() if span.trace_id == trace_id]

    def _take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        assert path == "/v1/traces", path
        self.bodies.append(body)
        self.headers.append(headers)
        request = ExportTraceServiceRequest.FromString(body)
        for group in request.resource_spans:
            resource = _attributes(group.resource.attributes)
            for scope in group.scope_spans:
                self._spans += [_span(each, resource) for each in scope.spans]


def tree(spans: list[Span]) -> str:
    """The spans as people read them: a line each, below its parent, with its duration and what is worth telling."""
    known = {span.span_id for span in spans}
    began = min(span.start_ns for span in spans)

    def lines(parent: Span | None, indent: str) -> Iterator[str]:
        inner = [
            span for span in spans if (span.parent_id == parent.span_id if parent else span.parent_id not in known)
        ]
        for number, span in enumerate(inner):
            last = number == len(inner) - 1
            branch, below = ("", "") if parent is None else (("└─ ", "   ") if last else ("├─ ", "│  "))
            title = f"{indent}{branch}{span.name}"
            yield f"{title:<44}{(span.start_ns - began) / 1e6:>9.1f} {span.ms:>9.1f}  {_telling(span)}".rstrip()
            yield from lines(span, indent + below)

    head = f"{'span':<44}{'at ms':>9} {'took ms':>9}"
    return "\n".join((head, *lines(None, "")))


def _telling(span: Span) -> str:
    told = ["service.name", "http.response.status_code", "error.type", "attempt.number", "attempt.outcome", "profile"]
    told += ["media.seconds", "parts", "process.exit.code", "file.size", "source.kind"]
    facts = {**{name.removeprefix("flowscale."): value for name, value in span.attributes.items()}, **span.resource}
    shown = [f"{name.rpartition('.')[2]}={facts[name]}" for name in told if name in facts]
    if span.links:
        shown.append(f"links={','.join(link for _, link in span.links)}")
    return " ".join(shown)


@contextmanager
def silent_receiver() -> Iterator[str]:
    """The address of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def absent_receiver() -> str:
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"http://127.0.0.1:{listening.getsockname()[1]}"


def _span(span: trace_pb2.Span, resource: dict[str, Any]) -> Span:
    return Span(
        name=span.name,
        kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        failed=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        message=span.status.message,
        attributes=_attributes(span.attributes),
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        resource=resource,
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    def value(pair: KeyValue) -> Any:
        return getattr(pair.value, pair.value.WhichOneof("value") or "string_value")

    return {pair.key: value(pair) for pair in pairs}
