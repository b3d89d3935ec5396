"""A conversation and a reply to it, independent of the wire protocol."""

import hashlib
import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from agentcontainer.gateway.json_object import JsonObject, objects_in

_ID_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz123456789"


@dataclass(frozen=True)
class Call:
    """A tool call of the model; `input` holds the tool's arguments."""

    tool: str
    input: JsonObject

    @property
    def arguments(self) -> str:
        return encoded(self.input.fields)


@dataclass(frozen=True)
class Turn:
    """One message. An assistant's tool calls are part of its text; tool results are turns of their own."""

    role: Literal["user", "assistant", "tool"]
    text: str


@dataclass(frozen=True)
class Conversation:
    """What the model gets. The system prompt is not among the turns; `size` is the whole request's in characters."""

    turns: tuple[Turn, ...]
    tools: frozenset[str]
    size: int
    system: str = ""

    @property
    def last_user_turn(self) -> Turn | None:
        """The user's latest message."""
        return next((turn for turn in reversed(self.turns) if turn.role == "user"), None)

    @property
    def replies_since(self) -> int:
        """How many assistant messages follow the user's latest message."""
        roles = [turn.role for turn in reversed(self.turns)]
        return (
            roles[: roles.index("user")].count("assistant") if "user" in roles else roles.count("assistant")
        )

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(repr(self.turns).encode()).hexdigest()


@dataclass(frozen=True)
class Reply:
    """An assistant message. `pause` is the time before each delta of its stream, in seconds."""

    text: str
    calls: tuple[Call, ...] = ()
    pause: float = 0.004

    @property
    def text_deltas(self) -> list[str]:
        return re.findall(r"\S+\s*|\s+", self.text)


@dataclass(frozen=True)
class Tokens:
    """Invented token counts: plausible, and the same for the same conversation. `input` includes the cached part."""

    input: int
    output: int
    cached: int
    written: int


def tokens_of(conversation: Conversation, reply: Reply) -> Tokens:
    total = max(1, conversation.size // 4)
    last = len(conversation.turns[-1].text) // 4 if conversation.turns else 0
    is_first = all(turn.role != "assistant" for turn in conversation.turns)
    cached = 0 if is_first else max(0, total - last - 1)
    written = total // 2 if is_first else 0
    output = max(1, (len(reply.text) + sum(len(call.arguments) for call in reply.calls)) // 4)
    return Tokens(total, output, cached, written)


def argument_deltas(call: Call) -> list[str]:
    text = call.arguments
    return [text[start : start + 24] for start in range(0, len(text), 24)]


def text_of(content: object) -> str:
    """The text of a message's content, which is a string or a list of parts."""
    if isinstance(content, str):
        return content
    return "\n".join(text for part in objects_in(content) if (text := part.text("text")) is not None)


def system_prompt_of(messages: Iterable[JsonObject], instructions: object = None) -> str:
    """The system prompt of a protocol that sends it among the messages, beside `instructions`."""
    system = (m.get("content") for m in messages if m.get("role") in ("system", "developer"))
    return "\n".join(filter(None, map(text_of, [instructions, *system])))


def names_of(tools: Iterable[JsonObject]) -> frozenset[str]:
    return frozenset(str(tool.get("name")) for tool in tools)


def merged(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """The turns, neighbouring assistant turns merged: a protocol may send one message as several items."""
    result: list[Turn] = []
    for turn in turns:
        if result and turn.role == "assistant" == result[-1].role:
            result[-1] = Turn("assistant", f"{result[-1].text}\n{turn.text}")
        else:
            result.append(turn)
    return tuple(result)


def new_id(prefix: str, length: int = 24) -> str:
    return prefix + "".join(secrets.choice(_ID_LETTERS) for _ in range(length))


def size_of(request: JsonObject) -> int:
    """The request's length in characters."""
    return len(encoded(request.fields))


def encoded(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
