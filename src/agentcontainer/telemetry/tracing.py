"""What the platform reports in traces: agents at work, their model requests and tool calls, and its own parts.

This module knows nothing of OpenTelemetry. `NO_TRACING` does nothing; otel.py has the `Tracing` that sends spans.
Parents are objects of this process. Nothing of a trace enters a sandbox or a request to a model provider.
"""

import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from agentcontainer.telemetry.names import Attributes, Name, Part, Value
from agentcontainer.traceparent import TraceParent

MAX_CONTENT_CHARACTERS = 32 * 1024  # of each attribute with content


class Stopwatch:
    """Measures an interval. Its length is right also if the clock of the host is set meanwhile."""

    def __init__(self, start_ns: int | None = None) -> None:
        self.start_ns = time.time_ns() if start_ns is None else start_ns
        self._began = time.perf_counter_ns()
        self._stopped: int | None = None

    @classmethod
    def before(cls, end_ns: int, seconds: float) -> "Stopwatch":
        """The interval of this length that ended then."""
        length = round(seconds * 1e9)
        interval = cls(end_ns - length)
        interval._stopped = interval._began + length
        return interval

    def stop(self) -> None:
        """End the interval; idempotent."""
        if self._stopped is None:
            self._stopped = time.perf_counter_ns()

    @property
    def end_ns(self) -> int:
        """Its end; now, if it has not ended."""
        return self.start_ns + (self._stopped or time.perf_counter_ns()) - self._began

    @property
    def seconds(self) -> float:
        return (self.end_ns - self.start_ns) / 1e9


@dataclass(frozen=True)
class Tokens:
    """What a model request used. `input` includes what was read from and written to a cache, `output` the reasoning."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    cost_micro_usd: int = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(
            self.input + other.input, self.output + other.output, self.cache_read + other.cache_read,
            self.cache_write + other.cache_write, self.reasoning + other.reasoning,
            self.cost_micro_usd + other.cost_micro_usd,
        )  # fmt: skip


@dataclass(frozen=True)
class Content:
    """The texts of a model request, as JSON without secrets. None: unknown, or empty."""

    system_instructions: str | None = None
    input_messages: str | None = None
    output_messages: str | None = None


@dataclass(frozen=True)
class ModelCall:
    """A request to a model provider that has ended. `labels`: provider and model as metrics have them, which clients
    and agents cannot invent. `error_type` None: the provider answered."""

    interval: Stopwatch
    provider: str
    model: str
    labels: tuple[str, str]
    server_address: str | None
    server_port: int | None
    is_stream: bool
    max_tokens: int | None
    tokens: Tokens | None
    first_chunk_seconds: float | None
    response_id: str | None
    response_model: str | None
    finish_reason: str | None
    error_type: str | None
    content: Content = field(default=Content(), repr=False)


@dataclass(frozen=True)
class ToolCall:
    """A tool call that has ended. `label`: the tool's name if the platform knows it, else `other`."""

    interval: Stopwatch
    call_id: str
    tool: str
    label: str
    error_type: str | None
    arguments: str | None = field(default=None, repr=False)
    result: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Invoked:
    """The agent of an attempt or turn, with its task."""

    task_id: str
    account_id: str
    agent_id: str
    agent_name: str
    agent_version: str
    attempt: int
    turn: int | None
    mode: str
    provider: str
    model: str
    labels: tuple[str, str]


@dataclass(frozen=True)
class Result:
    """How an attempt or turn ended. `error_type`: an error code of the API; None: it did not fail."""

    status: str | None
    completion: str | None = None
    error_type: str | None = None


@dataclass(frozen=True)
class WebhookCall:
    """A request to the receiver of a webhook that has ended. `status` None: no answer came."""

    interval: Stopwatch
    account_id: str
    task_id: str | None
    endpoint_id: str
    delivery_id: str
    event_type: str
    status: int | None
    outcome: str


class Invocation:
    """An agent at work: an attempt, or a turn of a conversation. This one reports nothing."""

    def model_call(self, call: ModelCall) -> None:
        """Report a model request."""

    def tool_call(self, call: ToolCall) -> None:
        """Report a tool call."""

    def part(self, name: Part, interval: Stopwatch, attributes: Attributes, error_type: str | None) -> None:
        """Report a part of the platform's own work."""

    def count(self, tokens: Tokens) -> None:
        """Add what a model request used."""

    def end(self, invoked: Invoked, result: Result, interval: Stopwatch) -> None:
        """Report the whole."""

    @contextmanager
    def measured(self, name: Part) -> Generator[dict[Name, Value | None]]:
        """Report the block as a part. The block may add attributes. An exception gives the part its error type."""
        interval, error_type, attributes = Stopwatch(), None, dict[Name, Value | None]()
        try:
            yield attributes
        except BaseException as error:
            error_type = type(error).__name__
            raise
        finally:
            interval.stop()
            self.part(name, interval, attributes, error_type)


class Tracing:
    """Reports the work of agents. This one reports nothing."""

    is_on = False
    """Whether anything is reported."""
    captures_content = False
    """Whether spans have prompts, answers, and arguments and results of tools."""

    def begin(
        self,
        invoked: Invoked,  # noqa: ARG002
        start_ns: int,  # noqa: ARG002
        links: Sequence[TraceParent],  # noqa: ARG002
    ) -> Invocation:
        """Begin a trace. `links`: the spans of clients that led to it."""
        return NO_INVOCATION

    def webhook(self, call: WebhookCall) -> None:
        """Report a request to the receiver of a webhook: a trace of its own."""


NO_INVOCATION = Invocation()
NO_TRACING = Tracing()
