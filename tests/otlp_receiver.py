"""An OTLP collector over HTTP: it decodes what is sent with the protobuf classes of OpenTelemetry, and keeps it."""

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.threaded_server import serving


@dataclass(frozen=True)
class Received:
    """One span. `parent` and `links` are ids in hexadecimal; `start` and `end` seconds since 1970."""

    name: str
    trace_id: str
    span_id: str
    parent: str
    links: tuple[str, ...]
    kind: int
    start: float
    end: float
    is_error: bool
    attributes: dict[str, Any]
    resource: dict[str, Any]

    @property
    def task_id(self) -> str | None:
        return self.attributes.get("agentcontainer.task.id")


@dataclass
class Receiver:
    """What arrived. `status`: what it answers; with `hangs`, it does not answer."""

    url: str
    status: int = 200
    hangs: threading.Event | None = None
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    spans: list[Received] = field(default_factory=list)
    metrics: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def of_task(self, task_id: str) -> list[Received]:
        return [span for span in self.spans if span.task_id == task_id]

    def until(self, condition: Callable[[], Any], seconds: float = 30) -> Any:
        """Wait for the condition; returns its value."""
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < deadline, [span.name for span in self.spans]
            time.sleep(0.05)
        return value

    def take(self, path: str, body: bytes) -> None:
        self.bodies.append(body)
        if path.endswith("/v1/traces"):
            self.spans += _spans(ExportTraceServiceRequest.FromString(body))
        else:
            for name, points in _metrics(ExportMetricsServiceRequest.FromString(body)):
                self.metrics.setdefault(name, []).extend(points)


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _spans(request: ExportTraceServiceRequest) -> Iterator[Received]:
    for of_resource in request.resource_spans:
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                yield Received(
                    span.name, span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(),
                    tuple(f"{link.trace_id.hex()}-{link.span_id.hex()}" for link in span.links),
                    span.kind, span.start_time_unix_nano / 1e9, span.end_time_unix_nano / 1e9,
                    span.status.code == 2, _attributes(span.attributes),
                    _attributes(of_resource.resource.attributes),
                )  # fmt: skip


def _metrics(request: ExportMetricsServiceRequest) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for of_resource in request.resource_metrics:
        for of_scope in of_resource.scope_metrics:
            for metric in of_scope.metrics:
                data = getattr(metric, metric.WhichOneof("data"))
                points = [_attributes(point.attributes) | {"": _amount(point)} for point in data.data_points]
                yield metric.name, points


def _amount(point: Any) -> float:
    return point.sum if hasattr(point, "bucket_counts") else point.as_int or point.as_double


@contextmanager
def otlp_receiver() -> Iterator[Receiver]:
    """A collector in threads of this process."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if receiver.hangs is not None:
                receiver.hangs.wait(60)
            receiver.headers.append({name.lower(): value for name, value in self.headers.items()})
            if receiver.status == 200:
                is_packed = self.headers.get("Content-Encoding") == "gzip"
                receiver.take(self.path, gzip.decompress(body) if is_packed else body)
            self.send_response(receiver.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}")
    with serving(server):
        yield receiver
