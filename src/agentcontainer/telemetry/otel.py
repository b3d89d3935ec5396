"""Starts and stops the sending of traces and metrics to an OTLP collector.

It is off unless an endpoint is set. Tasks never wait for the collector: spans go into a bounded queue, and threads of
the SDK send them. What cannot be sent is counted, and logged once a minute. The providers are not the global ones of
OpenTelemetry, so that no library which looks for those, such as FastAPI, sends spans of its own: they would contain
signed URLs.
"""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

from agentcontainer.settings import Settings
from agentcontainer.telemetry.tracing import NO_TRACING, Tracing

if TYPE_CHECKING:
    from agentcontainer.telemetry.otel_export import Pipeline

logger = logging.getLogger(__name__)

Signal = Literal["traces", "metrics"]
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
CAPTURE_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
FLUSH_SECONDS = 2.0
POLL_SECONDS = 0.02


def signals_of(environment: Mapping[str, str]) -> frozenset[Signal]:
    """What is sent: that which has an endpoint and is not switched off."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return frozenset()
    every: tuple[Signal, ...] = ("traces", "metrics")
    return frozenset(signal for signal in every if _is_wanted(signal.upper(), environment))


def _is_wanted(signal: str, environment: Mapping[str, str]) -> bool:
    endpoint = environment.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT") or environment.get(ENDPOINT)
    return bool(endpoint) and environment.get(f"OTEL_{signal}_EXPORTER", "otlp").strip().lower() != "none"


@asynccontextmanager
async def tracing(settings: Settings, environment: Mapping[str, str]) -> AsyncGenerator[Tracing]:
    """Send traces and metrics during the block, and what is left at its end for at most `FLUSH_SECONDS`.

    Without an endpoint, nothing is sent or imported. A fault of the configuration is logged; it never stops the
    process.
    """
    signals = signals_of(environment)
    pipeline = _pipeline(settings, environment, signals) if signals else None
    if pipeline is None:
        yield NO_TRACING
        return
    try:
        yield pipeline.tracing
    finally:
        await _flush(pipeline)


def _pipeline(
    settings: Settings, environment: Mapping[str, str], signals: frozenset[Signal]
) -> "Pipeline | None":
    try:
        from agentcontainer.telemetry.otel_export import Pipeline
    except ImportError:
        logger.warning(
            "%s is set, but the extra `otel` is not installed, so no traces are sent: "
            "pip install 'agentcontainer[otel]'",
            ENDPOINT,
        )
        return None
    try:
        return Pipeline(settings, environment, signals)
    except Exception as error:  # of an SDK that reads its configuration itself
        logger.error("no traces are sent: the OTEL_ variables are wrong (%s)", type(error).__name__)
        return None


async def _flush(pipeline: "Pipeline") -> None:
    """Send what is left. A thread of its own does it: one of asyncio's pool would be waited for at the exit."""
    began_at = time.monotonic()
    if not await _ended_in_time(pipeline.shut_down, FLUSH_SECONDS):
        pipeline.abort()
    if (lost := pipeline.count_rest()) > 0:
        logger.warning(
            "%d spans were not sent before the exit, %.1f s after its begin",
            lost,
            time.monotonic() - began_at,
        )


async def _ended_in_time(work: Callable[[], None], seconds: float) -> bool:
    thread = threading.Thread(target=work, name="otel-flush", daemon=True)
    thread.start()
    deadline = time.monotonic() + seconds
    while thread.is_alive() and time.monotonic() < deadline:  # noqa: ASYNC110 - a thread sets no asyncio.Event
        await asyncio.sleep(POLL_SECONDS)
    return not thread.is_alive()
