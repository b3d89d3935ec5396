"""The events that Pi reports, and the exceptions of the connection to Pi."""

from dataclasses import dataclass
from typing import Any, Literal


class PiError(Exception):
    """The connection to Pi failed. The other exceptions here derive from it."""


class PiProtocolError(PiError):
    """Pi broke the protocol: its frame has no end, it does not answer a command, or it sends too many frames."""


class PiRefusedError(PiError):
    """Pi refused a command. The message is Pi's own."""


class PiEndedError(PiError):
    """Pi's streams are closed: it exited, or its sandbox is gone."""


@dataclass(frozen=True)
class TurnStarted:
    """A model request begins. This event comes before the first delta of the model's message."""


@dataclass(frozen=True)
class TextDelta:
    """A piece of the assistant's text, before the `MessageCompleted` that contains all of it.

    `block` is the index of the message's content block that the text belongs to.
    """

    text: str
    block: int = 0


@dataclass(frozen=True)
class MessageCompleted:
    """A whole message. An assistant's `stop_reason` is `stop`, `toolUse`, `length`, `aborted` or `error`."""

    role: Literal["user", "assistant"]
    text: str
    stop_reason: str
    error_message: str


@dataclass(frozen=True)
class ToolStarted:
    """A tool call begins. `input` is None if it is too large, with the reason set."""

    call_id: str
    tool: str
    input: dict[str, Any] | None
    input_omitted_reason: Literal["too_large"] | None = None


@dataclass(frozen=True)
class ToolCompleted:
    """A tool call ended. `output` is its text, cut at a limit."""

    call_id: str
    tool: str
    is_error: bool
    output: str


@dataclass(frozen=True)
class RetryStarted:
    """A model request failed in a way that may be transient; Pi waits, then repeats it."""

    attempt: int


@dataclass(frozen=True)
class CompactionStarted:
    """Pi asks a model for a summary of the conversation, which will replace most of it. Takes up to minutes."""


@dataclass(frozen=True)
class CompactionEnded:
    """The compaction ended. `tokens_before`: the size of what was replaced; None if it failed."""

    tokens_before: int | None


@dataclass(frozen=True)
class Settled:
    """Pi has stopped and waits for a prompt."""


@dataclass(frozen=True)
class CommandFailed:
    """Pi refused a command after the runner had stopped waiting for the answer."""

    command: str
    error: str


PiEvent = (
    TurnStarted
    | TextDelta
    | MessageCompleted
    | ToolStarted
    | ToolCompleted
    | RetryStarted
    | CompactionStarted
    | CompactionEnded
    | Settled
    | CommandFailed
)


@dataclass(frozen=True)
class Response:
    """Pi's answer to the command with this id."""

    id: str
    command: str
    is_success: bool
    error: str
    disposition: str
