"""A conversation and an answer to it, whatever the wire protocol."""

import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, cast

_ID_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz123456789"


@dataclass(frozen=True)
class Call:
    """A tool call of the model."""

    tool: str
    input: dict[str, Any]

    @property
    def arguments(self) -> str:
        return json.dumps(self.input, ensure_ascii=False)


@dataclass(frozen=True)
class Turn:
    """One message. An assistant's calls count as text here; tool results are turns of their own."""

    role: Literal["user", "assistant", "tool"]
    text: str


@dataclass(frozen=True)
class Conversation:
    """What the model is shown; the system prompt is not among the turns. `size` is in characters, all included."""

    turns: tuple[Turn, ...]
    tools: frozenset[str]
    size: int
    system: str = ""

    @property
    def last_said(self) -> Turn | None:
        """The user's last message."""
        return next((turn for turn in reversed(self.turns) if turn.role == "user"), None)

    @property
    def replies_since(self) -> int:
        """How many assistant messages came after the user's last message."""
        roles = [turn.role for turn in reversed(self.turns)]
        return (
            roles[: roles.index("user")].count("assistant") if "user" in roles else roles.count("assistant")
        )

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(repr(self.turns).encode()).hexdigest()


@dataclass(frozen=True)
class Reply:
    """An assistant message. `pause` is the time before every delta of its stream."""

    text: str
    calls: tuple[Call, ...] = ()
    pause: float = 0.004

    @property
    def text_deltas(self) -> list[str]:
        return re.findall(r"\S+\s*|\s+", self.text)


@dataclass(frozen=True)
class Tokens:
    """Made up, but plausible and the same each time. `input` is all input, the cached part included."""

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
    """The text in a content that is a string or a list of parts."""
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in dicts(content) if isinstance(part.get("text"), str))


def system_of(messages: Iterable[dict[str, Any]], first: object = None) -> str:
    """The system prompt of a protocol that sends it among the messages."""
    given = [first, *(m.get("content") for m in messages if m.get("role") in ("system", "developer"))]
    return "\n".join(filter(None, map(text_of, given)))


def dicts(value: object) -> Iterator[dict[str, Any]]:
    """The objects in a JSON list; nothing for anything else."""
    if isinstance(value, list):
        for entry in cast(list[object], value):
            if isinstance(entry, dict):
                yield cast(dict[str, Any], entry)


def joined(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """Neighbouring assistant turns made one: a protocol may send one message in several items."""
    result: list[Turn] = []
    for turn in turns:
        if result and turn.role == "assistant" == result[-1].role:
            result[-1] = Turn("assistant", f"{result[-1].text}\n{turn.text}")
        else:
            result.append(turn)
    return tuple(result)


def new_id(prefix: str, length: int = 24) -> str:
    return prefix + "".join(secrets.choice(_ID_LETTERS) for _ in range(length))


def size_of(payload: dict[str, Any]) -> int:
    return len(json.dumps(payload, ensure_ascii=False))
