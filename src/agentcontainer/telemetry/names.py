"""The names of spans, attributes and OpenTelemetry metrics, in both conventions.

No other file has such a name. `v0.1` is the first release of OpenTelemetry's GenAI conventions, and `legacy` what most
tools read: the names before them. Both may change with a version of the platform. Only the names that begin with
`agentcontainer.` are a promise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Convention = Literal["v0.1", "legacy", "both"]
Value = str | bool | int | float | Sequence[str]

SCOPE = "agentcontainer"
SERVICE = "agentcontainer"

# ---- spans

INVOKE_AGENT = "invoke_agent"
CHAT = "chat"
EXECUTE_TOOL = "execute_tool"
Part = Literal[
    "agentcontainer.queue",
    "agentcontainer.prepare",
    "agentcontainer.restore",
    "agentcontainer.checkpoint",
    "agentcontainer.collect",
]
QUEUE: Part = "agentcontainer.queue"
PREPARE: Part = "agentcontainer.prepare"
RESTORE: Part = "agentcontainer.restore"
CHECKPOINT: Part = "agentcontainer.checkpoint"
COLLECT: Part = "agentcontainer.collect"
WEBHOOK = "agentcontainer.webhook"

# ---- attributes


@dataclass(frozen=True)
class Name:
    """An attribute's name in each convention. None: the convention does not have it."""

    current: str | None
    legacy: str | None

    def spelled(self, convention: Convention) -> Sequence[str]:
        """The names that are sent."""
        wanted = {"v0.1": (self.current,), "legacy": (self.legacy,), "both": (self.current, self.legacy)}
        return [name for name in dict.fromkeys(wanted[convention]) if name is not None]


def _same(name: str) -> Name:
    return Name(name, name)


def _own(name: str) -> Name:
    return _same(f"agentcontainer.{name}")


OPERATION = _same("gen_ai.operation.name")
PROVIDER = Name("gen_ai.provider.name", "gen_ai.system")
AGENT_NAME = _same("gen_ai.agent.name")
AGENT_VERSION = _same("gen_ai.agent.version")
GEN_AI_AGENT_ID = Name(None, "gen_ai.agent.id")
CONVERSATION_ID = _same("gen_ai.conversation.id")
REQUEST_MODEL = _same("gen_ai.request.model")
REQUEST_STREAM = _same("gen_ai.request.stream")
REQUEST_MAX_TOKENS = _same("gen_ai.request.max_tokens")
RESPONSE_MODEL = _same("gen_ai.response.model")
RESPONSE_ID = _same("gen_ai.response.id")
FINISH_REASONS = _same("gen_ai.response.finish_reasons")
TIME_TO_FIRST_CHUNK = _same("gen_ai.response.time_to_first_chunk")
INPUT_TOKENS = _same("gen_ai.usage.input_tokens")
OUTPUT_TOKENS = _same("gen_ai.usage.output_tokens")
CACHE_READ_TOKENS = _same("gen_ai.usage.cache_read.input_tokens")
CACHE_WRITE_TOKENS = Name("gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens")
REASONING_TOKENS = Name("gen_ai.usage.reasoning.output_tokens", None)
TOOL_NAME = _same("gen_ai.tool.name")
TOOL_CALL_ID = _same("gen_ai.tool.call.id")
TOOL_TYPE = _same("gen_ai.tool.type")
TOKEN_TYPE = _same("gen_ai.token.type")
TOKEN_MODALITY = _same("gen_ai.token.modality")
SERVER_ADDRESS = _same("server.address")
SERVER_PORT = _same("server.port")
ERROR_TYPE = _same("error.type")

INPUT_MESSAGES = _same("gen_ai.input.messages")
OUTPUT_MESSAGES = _same("gen_ai.output.messages")
SYSTEM_INSTRUCTIONS = _same("gen_ai.system_instructions")
TOOL_ARGUMENTS = _same("gen_ai.tool.call.arguments")
TOOL_RESULT = _same("gen_ai.tool.call.result")

TASK_ID = _own("task.id")
AGENT_ID = _own("agent.id")
ACCOUNT_ID = _own("account.id")
ATTEMPT = _own("attempt")
TURN = _own("turn")
MODE = _own("mode")
STATUS = _own("status")
COMPLETION = _own("completion")
MODEL_COST_USD = _own("model_cost_usd")
SIZE_BYTES = _own("size_bytes")
PAUSED_MS = _own("paused_ms")
FILES = _own("files")
ENDPOINT_ID = _own("webhook.endpoint.id")
DELIVERY_ID = _own("webhook.delivery.id")
EVENT_TYPE = _own("webhook.event.type")
OUTCOME = _own("webhook.outcome")
HTTP_STATUS = _same("http.response.status_code")

Attributes = Mapping[Name, Value | None]


def spelled(attributes: Attributes, convention: Convention) -> dict[str, Value]:
    """The attributes as they are sent, without those that have no value."""
    return {
        sent: value
        for name, value in attributes.items()
        if value is not None
        for sent in name.spelled(convention)
    }


# ---- metrics


@dataclass(frozen=True)
class Instrument:
    """A metric. `buckets` None: it is a counter."""

    name: str
    unit: str
    description: str
    buckets: tuple[float, ...] | None = None


_SECONDS = tuple(0.01 * 2**exponent for exponent in range(14))  # 0.01 to 81.92
_AGENT_SECONDS = tuple(0.1 * 2**exponent for exponent in range(16))  # 0.1 to 3276.8
_CALLS = tuple(float(2**exponent) for exponent in range(8))
_TOKENS = tuple(float(4**exponent) for exponent in range(14))

INFERENCE_SECONDS = Instrument(
    "gen_ai.client.inference.duration", "s", "Requests to model providers.", _SECONDS
)
FIRST_CHUNK_SECONDS = Instrument(
    "gen_ai.client.inference.time_to_first_chunk", "s", "From a model request to its first chunk.", _SECONDS
)
INPUT_USAGE = Instrument("gen_ai.client.inference.usage.input_tokens", "{token}", "Input tokens.")
OUTPUT_USAGE = Instrument("gen_ai.client.inference.usage.output_tokens", "{token}", "Output tokens.")
CACHE_READ_USAGE = Instrument(
    "gen_ai.client.inference.usage.cache_read.input_tokens",
    "{token}",
    "Input tokens that were read from a cache.",
)
CACHE_WRITE_USAGE = Instrument(
    "gen_ai.client.inference.usage.cache_write.input_tokens",
    "{token}",
    "Input tokens that were written to a cache.",
)
REASONING_USAGE = Instrument(
    "gen_ai.client.inference.usage.reasoning.output_tokens", "{token}", "Output tokens used for reasoning."
)
LEGACY_SECONDS = Instrument("gen_ai.client.operation.duration", "s", "Requests to model providers.", _SECONDS)
LEGACY_FIRST_CHUNK_SECONDS = Instrument(
    "gen_ai.client.operation.time_to_first_chunk", "s", "From a model request to its first chunk.", _SECONDS
)
LEGACY_USAGE = Instrument("gen_ai.client.token.usage", "{token}", "Tokens of model requests.", _TOKENS)
AGENT_SECONDS = Instrument(
    "gen_ai.invoke_agent.duration", "s", "Attempts, and turns of conversations.", _AGENT_SECONDS
)
AGENT_INFERENCE_CALLS = Instrument(
    "gen_ai.invoke_agent.inference_calls",
    "{inference_call}",
    "Model requests of an attempt or turn.",
    _CALLS,
)
AGENT_TOOL_CALLS = Instrument(
    "gen_ai.invoke_agent.tool_calls", "{tool_call}", "Tool calls of an attempt or turn.", _CALLS
)
TOOL_SECONDS = Instrument("gen_ai.execute_tool.duration", "s", "Tool calls of agents.", _SECONDS)
