"""Makes spans and metrics of OpenTelemetry from the work of agents; needs the extra `otel`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags, Tracer

from agentcontainer.telemetry import names
from agentcontainer.telemetry.names import Attributes, Convention, Part
from agentcontainer.telemetry.otel_metrics import Instruments
from agentcontainer.telemetry.tracing import (
    Invocation,
    Invoked,
    ModelCall,
    Result,
    Stopwatch,
    Tokens,
    ToolCall,
    Tracing,
    WebhookCall,
)
from agentcontainer.traceparent import TraceParent

_SURROGATE = re.compile("[\ud800-\udfff]")
T = TypeVar("T")


@dataclass(frozen=True)
class Sender:
    """Makes spans with the names of one convention, and counts in the metrics."""

    tracer: Tracer
    instruments: Instruments
    convention: Convention

    def start(
        self, name: str, context: Context, start_ns: int, kind: SpanKind = SpanKind.INTERNAL,
        links: Sequence[Link] = (),
    ) -> Span:  # fmt: skip
        """Start a span. `context` has its parent, if any."""
        return self.tracer.start_span(sendable(name), context, kind, links=links, start_time=start_ns)

    def end(self, span: Span, attributes: Attributes, error_type: str | None, end_ns: int) -> None:
        """End the span. With an error type it has the status ERROR, without a description: that could be content."""
        if span.is_recording():
            every = {**attributes, names.ERROR_TYPE: error_type}
            spelled = names.spelled(every, self.convention)
            span.set_attributes({name: sendable(value) for name, value in spelled.items()})
            if error_type is not None:
                span.set_status(Status(StatusCode.ERROR))
        span.end(end_ns)


def sendable(value: T) -> T:
    """The value, with U+FFFD for half a surrogate pair: the SDK would lose the whole batch of spans."""
    if isinstance(value, str) and not value.isascii():
        return cast("T", _SURROGATE.sub("\ufffd", value))
    return value


class SpanTracing(Tracing):
    """Reports the work of agents as spans and metrics."""

    is_on = True

    def __init__(self, sender: Sender, *, captures_content: bool) -> None:
        self.captures_content = captures_content
        self._sender = sender

    def begin(self, invoked: Invoked, start_ns: int, links: Sequence[TraceParent]) -> Invocation:
        return SpanInvocation(self._sender, invoked, start_ns, links)

    def webhook(self, call: WebhookCall) -> None:
        span = self._sender.start(names.WEBHOOK, Context(), call.interval.start_ns)
        attributes: Attributes = {
            names.ACCOUNT_ID: call.account_id,
            names.TASK_ID: call.task_id,
            names.ENDPOINT_ID: call.endpoint_id,
            names.DELIVERY_ID: call.delivery_id,
            names.EVENT_TYPE: call.event_type,
            names.HTTP_STATUS: call.status,
            names.OUTCOME: call.outcome,
        }
        is_delivered = call.outcome == "delivered"
        error_type = None if is_delivered else str(call.status or "no_answer")
        self._sender.end(span, attributes, error_type, call.interval.end_ns)


class SpanInvocation(Invocation):
    """A trace: the span `invoke_agent`, and below it those of its parts."""

    def __init__(self, sender: Sender, invoked: Invoked, start_ns: int, links: Sequence[TraceParent]) -> None:
        self._sender = sender
        self._of_agent = _of_agent(invoked)
        name = f"{names.INVOKE_AGENT} {invoked.agent_name}"
        self._span = sender.start(name, Context(), start_ns, links=[_link(link) for link in links])
        self._context = trace.set_span_in_context(self._span, Context())
        self._tokens = Tokens()
        self._model_calls = 0
        self._tool_calls = 0

    def model_call(self, call: ModelCall) -> None:
        self._model_calls += 1
        name = f"{names.CHAT} {call.model}"
        self._child(name, call.interval, _of_model_call(call), call.error_type, SpanKind.CLIENT)
        self._sender.instruments.count_model_call(call)

    def tool_call(self, call: ToolCall) -> None:
        self._tool_calls += 1
        attributes: Attributes = {
            names.OPERATION: names.EXECUTE_TOOL,
            names.TOOL_NAME: call.tool,
            names.TOOL_CALL_ID: call.call_id,
            names.TOOL_TYPE: "function",
            names.TOOL_ARGUMENTS: call.arguments,
            names.TOOL_RESULT: call.result,
        }
        self._child(f"{names.EXECUTE_TOOL} {call.tool}", call.interval, attributes, call.error_type)
        self._sender.instruments.count_tool_call(call)

    def part(self, name: Part, interval: Stopwatch, attributes: Attributes, error_type: str | None) -> None:
        self._child(name, interval, attributes, error_type)

    def count(self, tokens: Tokens) -> None:
        self._tokens += tokens

    def end(self, invoked: Invoked, result: Result, interval: Stopwatch) -> None:
        attributes: Attributes = {
            **self._of_agent,
            names.OPERATION: names.INVOKE_AGENT,
            names.PROVIDER: invoked.provider,
            names.REQUEST_MODEL: invoked.model,
            **_of_tokens(self._tokens),
            names.MODEL_COST_USD: self._tokens.cost_micro_usd / 1_000_000,
            names.STATUS: result.status,
            names.COMPLETION: result.completion,
        }
        self._sender.end(self._span, attributes, result.error_type, interval.end_ns)
        self._sender.instruments.count_invocation(
            invoked.labels, interval.seconds, self._model_calls, self._tool_calls, result.error_type
        )

    def _child(
        self, name: str, interval: Stopwatch, attributes: Attributes, error_type: str | None,
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> None:  # fmt: skip
        span = self._sender.start(name, self._context, interval.start_ns, kind)
        self._sender.end(span, {**self._of_agent, **attributes}, error_type, interval.end_ns)


def _link(parent: TraceParent) -> Link:
    return Link(
        SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=TraceFlags(parent.flags))
    )


def _of_agent(invoked: Invoked) -> Attributes:
    """What all spans of the attempt or turn have."""
    return {
        names.AGENT_NAME: invoked.agent_name,
        names.AGENT_VERSION: invoked.agent_version,
        names.GEN_AI_AGENT_ID: invoked.agent_id,
        names.CONVERSATION_ID: invoked.task_id,
        names.TASK_ID: invoked.task_id,
        names.AGENT_ID: invoked.agent_id,
        names.ACCOUNT_ID: invoked.account_id,
        names.ATTEMPT: invoked.attempt,
        names.TURN: invoked.turn,
        names.MODE: invoked.mode,
    }


def _of_model_call(call: ModelCall) -> Attributes:
    return {
        names.OPERATION: names.CHAT,
        names.PROVIDER: call.provider,
        names.REQUEST_MODEL: call.model,
        names.REQUEST_STREAM: call.is_stream,
        names.REQUEST_MAX_TOKENS: call.max_tokens,
        names.RESPONSE_ID: call.response_id,
        names.RESPONSE_MODEL: call.response_model,
        names.FINISH_REASONS: None if call.finish_reason is None else [call.finish_reason],
        names.TIME_TO_FIRST_CHUNK: call.first_chunk_seconds if call.is_stream else None,
        names.SERVER_ADDRESS: call.server_address,
        names.SERVER_PORT: call.server_port,
        **(_of_tokens(call.tokens) if call.tokens else {}),
        names.MODEL_COST_USD: call.tokens and call.tokens.cost_micro_usd / 1_000_000,
        names.SYSTEM_INSTRUCTIONS: call.content.system_instructions,
        names.INPUT_MESSAGES: call.content.input_messages,
        names.OUTPUT_MESSAGES: call.content.output_messages,
    }


def _of_tokens(tokens: Tokens) -> Attributes:
    return {
        names.INPUT_TOKENS: tokens.input,
        names.OUTPUT_TOKENS: tokens.output,
        names.CACHE_READ_TOKENS: tokens.cache_read,
        names.CACHE_WRITE_TOKENS: tokens.cache_write,
        names.REASONING_TOKENS: tokens.reasoning or None,
    }
