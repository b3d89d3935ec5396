"""The pipeline from spans to the collector: a bounded queue, the SDK's exporters, and counts of what is lost."""

import logging
import socket
import threading
from collections.abc import Mapping, Sequence

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import NoOpTracerProvider
from opentelemetry.util.re import parse_env_headers

from agentcontainer import __version__
from agentcontainer.ca_bundle import ca_bundle
from agentcontainer.repetition import Repetition
from agentcontainer.settings import Settings
from agentcontainer.telemetry import metrics, names
from agentcontainer.telemetry.otel import CAPTURE_CONTENT, Signal
from agentcontainer.telemetry.otel_metrics import Instruments
from agentcontainer.telemetry.otel_spans import Sender, SpanTracing

logger = logging.getLogger(__name__)

QUEUED_SPANS = 2048
QUEUED_SPANS_WITH_CONTENT = 512  # of at most 96 KiB each
BATCH_SPANS = 128
FLUSH_MILLISECONDS = 2000
PROTOCOL = "http/protobuf"


class Pipeline:
    """What sends traces and metrics of this process. `tracing`: what reports to it."""

    def __init__(
        self, settings: Settings, environment: Mapping[str, str], signals: frozenset[Signal]
    ) -> None:
        _quiet_sdk()
        _warn_of_protocol(environment)
        headers = settings.otel_headers
        own = "" if headers is None else headers.get_secret_value()
        sent: Mapping[str, str] = parse_env_headers(own, liberal=True)
        certificates = _certificates(environment)
        captures_content = environment.get(CAPTURE_CONTENT, "").strip().lower() == "true"
        resource = _resource(environment)
        self._counted: CountedProcessor | None = None
        self._tracers: TracerProvider | NoOpTracerProvider = NoOpTracerProvider()
        self._meters: MeterProvider | NoOpMeterProvider = NoOpMeterProvider()
        if "traces" in signals:
            exporter = OTLPSpanExporter(headers=sent, certificate_file=certificates)
            size = QUEUED_SPANS_WITH_CONTENT if captures_content else QUEUED_SPANS
            self._counted = CountedProcessor(exporter, size)
            self._tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
            self._tracers.add_span_processor(self._counted)
        if "metrics" in signals:
            reader = PeriodicExportingMetricReader(
                OTLPMetricExporter(headers=sent, certificate_file=certificates)
            )
            self._meters = MeterProvider([reader], resource, shutdown_on_exit=False)
        convention = settings.otel_genai
        tracer = self._tracers.get_tracer(names.SCOPE, __version__)
        meter = self._meters.get_meter(names.SCOPE, __version__)
        sender = Sender(tracer, Instruments(meter, convention), convention)
        self.tracing = SpanTracing(sender, captures_content=captures_content)

    def shut_down(self) -> None:
        """Send what is left. May take long; call it in a thread of its own."""
        if isinstance(self._tracers, TracerProvider):
            self._tracers.shutdown()
        if isinstance(self._meters, MeterProvider):
            self._meters.shutdown(timeout_millis=FLUSH_MILLISECONDS)

    def abort(self) -> None:
        """Give up what `shut_down` still sends."""
        if self._counted is not None:
            self._counted.abort()

    def count_rest(self) -> int:
        """Count the spans that were not sent as lost; how many they are."""
        return 0 if self._counted is None else self._counted.count_rest()


class CountedProcessor(BatchSpanProcessor):
    """A batch processor that counts in `agentcontainer_trace_spans_total` what becomes of each span."""

    def __init__(self, exporter: SpanExporter, size: int) -> None:
        self._size = size
        self._waiting = self._in_flight = 0
        self._lock = threading.Lock()
        self._lines = Repetition()
        self._is_closed = False
        self._sending = exporter
        self._reason = _Reason()
        super().__init__(_CountedExporter(exporter, self), size, max_export_batch_size=BATCH_SPANS)

    def on_end(self, span: ReadableSpan) -> None:
        """Queue the span. If the queue is full, the oldest one is lost."""
        if not (span.context and span.context.trace_flags.sampled):
            return
        with self._lock:
            is_lost = self._is_closed or self._waiting >= self._size
            self._waiting += not is_lost
        if is_lost:
            self._count("dropped", 1, "the queue is full, because the collector does not take them in time")
        super().on_end(span)

    def taken(self, count: int) -> None:
        """Record that spans left the queue and are being sent."""
        with self._lock:
            self._waiting = max(0, self._waiting - count)
            self._in_flight += count

    def sent(self, count: int, *, is_success: bool) -> None:
        """Record what became of spans that were sent."""
        with self._lock:
            if self._is_closed:  # `count_rest` has counted them
                return
            self._in_flight -= count
        if is_success:
            metrics.TRACE_SPANS.labels("exported").inc(count)
        else:
            self._count("failed", count, self._reason.text)

    def abort(self) -> None:
        """Let the exporter try no more."""
        self._sending.shutdown()

    def count_rest(self) -> int:
        """Count what is still queued or being sent as dropped; how many spans that are."""
        with self._lock:
            self._is_closed, rest = True, self._waiting + self._in_flight
        metrics.TRACE_SPANS.labels("dropped").inc(rest)
        return rest

    def _count(self, outcome: str, count: int, reason: str) -> None:
        metrics.TRACE_SPANS.labels(outcome).inc(count)
        if (left_out := self._lines.admit(outcome)) is not None:
            logger.warning(
                "%d spans were lost: %s (%d more such losses since the last report)", count, reason, left_out
            )


class _CountedExporter(SpanExporter):
    def __init__(self, exporter: SpanExporter, processor: CountedProcessor) -> None:
        self._exporter = exporter
        self._processor = processor

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._processor.taken(len(spans))
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            self._processor.sent(len(spans), is_success=result is SpanExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class _Reason(logging.Handler):
    """Keeps why the SDK could not send: the status of the answer, or the kind of the error. Its own message could
    contain the path of the endpoint, which may be a secret."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = "the collector cannot be reached"
        exporter = logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        exporter.handlers, exporter.propagate = [self], False

    def emit(self, record: logging.LogRecord) -> None:
        arguments = record.args if isinstance(record.args, tuple) else ()
        status = next((part for part in arguments if isinstance(part, int)), None)
        error = next((part for part in arguments if isinstance(part, Exception)), None)
        if status is not None:
            self.text = f"the collector answered {status}"
        elif error is not None:
            self.text = f"the collector cannot be reached ({type(error).__name__})"


def _quiet_sdk() -> None:
    """Keep the SDK's own lines out of the log: one for each span that it drops, endpoints with their paths, headers."""
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter").setLevel(logging.WARNING)


def _resource(environment: Mapping[str, str]) -> Resource:
    named = "service.name=" in environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    own = {"service.version": __version__, "host.name": socket.gethostname()}
    if not (named or environment.get("OTEL_SERVICE_NAME")):
        own["service.name"] = names.SERVICE
    return Resource.create(own)


def _certificates(environment: Mapping[str, str]) -> str | None:
    """The CA bundle of the platform, unless OpenTelemetry's own variables name another."""
    if any(environment.get(f"OTEL_EXPORTER_OTLP_{kind}CERTIFICATE") for kind in ("", "TRACES_", "METRICS_")):
        return None
    bundle = ca_bundle(environment)
    return None if bundle is None else str(bundle)


def _warn_of_protocol(environment: Mapping[str, str]) -> None:
    variables = ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
    others = [name for name in variables if environment.get(name, PROTOCOL).strip() != PROTOCOL]
    if others:
        logger.warning("%s is ignored: traces are sent by %s", others[0], PROTOCOL)
