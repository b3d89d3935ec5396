"""Counts model requests, tool calls and agents at work in metrics of OpenTelemetry.

Their attributes have few values, as those of the Prometheus metrics: nothing that a client or an agent can invent.
"""

from collections.abc import Mapping

from opentelemetry.metrics import Counter, Histogram, Meter

from agentcontainer.telemetry import names
from agentcontainer.telemetry.names import Convention, Instrument, Value
from agentcontainer.telemetry.tracing import ModelCall, Tokens, ToolCall


class Instruments:
    """The metrics, in one convention."""

    def __init__(self, meter: Meter, convention: Convention) -> None:
        self._convention: Convention = convention
        has_current, has_legacy = convention != "legacy", convention != "v0.1"
        self._seconds = _histograms(
            meter,
            {names.INFERENCE_SECONDS: has_current, names.LEGACY_SECONDS: has_legacy},
        )
        self._first_chunk = _histograms(
            meter,
            {names.FIRST_CHUNK_SECONDS: has_current, names.LEGACY_FIRST_CHUNK_SECONDS: has_legacy},
        )
        self._input, self._output, self._cache_read, self._cache_write, self._reasoning = (
            _counter(meter, instrument) if has_current else None
            for instrument in (
                names.INPUT_USAGE, names.OUTPUT_USAGE, names.CACHE_READ_USAGE, names.CACHE_WRITE_USAGE,
                names.REASONING_USAGE,
            )
        )  # fmt: skip
        self._legacy_usage = _histogram(meter, names.LEGACY_USAGE) if has_legacy else None
        self._agent_seconds = _histogram(meter, names.AGENT_SECONDS)
        self._inference_calls = _histogram(meter, names.AGENT_INFERENCE_CALLS)
        self._tool_calls = _histogram(meter, names.AGENT_TOOL_CALLS)
        self._tool_seconds = _histogram(meter, names.TOOL_SECONDS)

    def count_model_call(self, call: ModelCall) -> None:
        """Count a model request."""
        common = self._of_model(names.CHAT, call.labels)
        for histogram in self._seconds:
            histogram.record(call.interval.seconds, {**common, **self._of_error(call.error_type)})
        if call.is_stream and call.first_chunk_seconds is not None:
            for histogram in self._first_chunk:
                histogram.record(call.first_chunk_seconds, common)
        if call.tokens is not None:
            self._count_tokens(call.tokens, common)

    def count_tool_call(self, call: ToolCall) -> None:
        """Count a tool call."""
        attributes = names.spelled(
            {names.OPERATION: names.EXECUTE_TOOL, names.TOOL_NAME: call.label}, self._convention
        )
        self._tool_seconds.record(call.interval.seconds, {**attributes, **self._of_error(call.error_type)})

    def count_invocation(
        self, labels: tuple[str, str], seconds: float, model_calls: int, tool_calls: int,
        error_type: str | None,
    ) -> None:  # fmt: skip
        """Count an attempt or turn."""
        common = self._of_model(names.INVOKE_AGENT, labels)
        self._agent_seconds.record(seconds, {**common, **self._of_error(error_type)})
        self._inference_calls.record(model_calls, common)
        self._tool_calls.record(tool_calls, common)

    def _count_tokens(self, tokens: Tokens, common: Mapping[str, Value]) -> None:
        text = {**common, **names.spelled({names.TOKEN_MODALITY: "text"}, self._convention)}
        for counter, amount in (
            (self._input, tokens.input),
            (self._output, tokens.output),
            (self._cache_read, tokens.cache_read),
            (self._cache_write, tokens.cache_write),
            (self._reasoning, tokens.reasoning),
        ):
            if counter is not None and amount:
                counter.add(amount, text)
        if self._legacy_usage is not None:
            for kind, amount in (("input", tokens.input), ("output", tokens.output)):
                attributes = names.spelled({names.TOKEN_TYPE: kind}, self._convention)
                self._legacy_usage.record(amount, {**common, **attributes})

    def _of_model(self, operation: str, labels: tuple[str, str]) -> dict[str, Value]:
        provider, model = labels
        attributes: names.Attributes = {
            names.OPERATION: operation,
            names.PROVIDER: provider,
            names.REQUEST_MODEL: model,
        }
        return names.spelled(attributes, self._convention)

    def _of_error(self, error_type: str | None) -> dict[str, Value]:
        return names.spelled({names.ERROR_TYPE: error_type}, self._convention)


def _counter(meter: Meter, instrument: Instrument) -> Counter:
    return meter.create_counter(instrument.name, instrument.unit, instrument.description)


def _histogram(meter: Meter, instrument: Instrument) -> Histogram:
    return meter.create_histogram(
        instrument.name,
        instrument.unit,
        instrument.description,
        explicit_bucket_boundaries_advisory=instrument.buckets,
    )


def _histograms(meter: Meter, wanted: Mapping[Instrument, bool]) -> list[Histogram]:
    return [_histogram(meter, instrument) for instrument, is_wanted in wanted.items() if is_wanted]
