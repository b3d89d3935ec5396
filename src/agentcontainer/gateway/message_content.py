"""The texts of a model request and its answer, in the form of OpenTelemetry's GenAI conventions.

Read only if the operator has spans contain them. The latest messages are kept, up to a limit of characters.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

from agentcontainer.gateway.json_object import JsonObject, objects_in
from agentcontainer.gateway.upstreams import Wire

MAX_TEXT_CHARACTERS = 8 * 1024  # of one part of a message
MAX_ARGUMENTS_CHARACTERS = 32 * 1024  # of all tool calls of an answer
MAX_LINE_BYTES = 8 * 1024**2


@dataclass(frozen=True)
class Part:
    """A part of a message: a text, a call of a tool, its response, or something of which only the type is kept."""

    type: str
    content: str | None = None
    id: object = None
    name: object = None
    arguments: object = None
    response: str | None = None


@dataclass(frozen=True)
class Message:
    """A message of a request, or an answer."""

    role: str
    parts: Sequence[Part]
    finish_reason: str | None = None


def system_instructions(wire: Wire, request: JsonObject, limit: int) -> str | None:
    """The system's instructions, as JSON."""
    if wire == "openai-completions":
        systems = [message for message in request.objects("messages") if _is_system(message)]
        parts = [part for message in systems for part in _parts(wire, message)]
    else:
        parts = list(_texts(request.get("instructions" if wire == "openai-responses" else "system")))
    return _limited(parts, limit)


def input_messages(wire: Wire, request: JsonObject, limit: int) -> str | None:
    """The messages of the request, as JSON."""
    if wire == "openai-responses":
        given = request.get("input")
        items = (
            [JsonObject({"role": "user", "content": given})] if isinstance(given, str) else objects_in(given)
        )
    else:
        items = (message for message in request.objects("messages") if not _is_system(message))
    messages = [Message(_role(item, parts), parts) for item in items if (parts := list(_parts(wire, item)))]
    return _limited(messages, limit)


class AnswerContent:
    """Collects the text and the tool calls of an answer, from the bytes that the agent gets."""

    def __init__(self, wire: Wire, *, is_stream: bool, limit: int) -> None:
        self._wire: Wire = wire
        self._is_stream = is_stream
        self._limit = limit
        self._buffer = bytearray()
        self._texts: list[str] = []
        self._calls: dict[object, Part] = {}
        self._arguments: dict[object, list[str]] = {}
        self._length = self._arguments_length = 0

    def feed(self, chunk: bytes) -> None:
        """Read the next chunk."""
        if len(self._buffer) + len(chunk) > MAX_LINE_BYTES:
            self._buffer.clear()
            return
        self._buffer += chunk
        if self._is_stream:
            *lines, rest = self._buffer.split(b"\n")
            self._buffer = bytearray(rest)
            for line in lines:
                self._line(bytes(line))

    def messages(self, finish_reason: str | None) -> str | None:
        """The answer, as JSON; None: it has neither text nor tool calls."""
        if not self._is_stream and (body := JsonObject.parse(bytes(self._buffer))) is not None:
            self._whole(body)
        parts = [Part("text", text) for text in ("".join(self._texts),) if text]
        for key, call in self._calls.items():
            arguments = "".join(self._arguments.get(key, ()))
            parts.append(replace(call, arguments=_parsed(arguments)) if arguments else call)
        if not parts:
            return None
        return _limited([Message("assistant", parts, finish_reason or "")], self._limit)

    def _line(self, line: bytes) -> None:
        if line.startswith(b"data:") and (event := JsonObject.parse(line[5:])) is not None:
            match self._wire:
                case "anthropic-messages":
                    self._anthropic(event)
                case "openai-responses":
                    if event.text("type") in ("response.completed", "response.incomplete"):
                        self._whole(event.inner("response") or JsonObject({}))
                case "openai-completions":
                    for choice in event.objects("choices"):
                        self._completion(choice.inner("delta") or JsonObject({}))

    def _anthropic(self, event: JsonObject) -> None:
        index, block, delta = event.get("index"), event.inner("content_block"), event.inner("delta")
        if block is not None and block.text("type") == "tool_use":
            self._calls[index] = Part("tool_call", id=block.get("id"), name=block.get("name"))
        if delta is not None:
            self._text(delta.text("text"))
            self._argument(index, delta.text("partial_json"))

    def _completion(self, message: JsonObject) -> None:
        self._text(message.text("content"))
        for call in message.objects("tool_calls"):
            function, index = call.inner("function") or JsonObject({}), call.get("index")
            if call.get("id") is not None:
                self._calls[index] = Part("tool_call", id=call.get("id"), name=function.get("name"))
            self._argument(index, function.text("arguments"))

    def _whole(self, body: JsonObject) -> None:
        """Read an answer that came in one piece."""
        items = list(body.objects("output")) if self._wire == "openai-responses" else [body]
        if self._wire == "openai-completions":
            items = [message for choice in body.objects("choices") if (message := choice.inner("message"))]
        for part in (part for item in items for part in _parts(self._wire, item)):
            if part.type == "text":
                self._text(part.content)
            else:
                self._calls[len(self._calls)] = part

    def _text(self, text: str | None) -> None:
        if text and self._length < MAX_TEXT_CHARACTERS:
            self._length += len(text)
            self._texts.append(text[:MAX_TEXT_CHARACTERS])

    def _argument(self, index: object, text: str | None) -> None:
        pieces = self._arguments.setdefault(index, [])
        if text and self._arguments_length < MAX_ARGUMENTS_CHARACTERS:
            self._arguments_length += len(text)
            pieces.append(text)


def _is_system(message: JsonObject) -> bool:
    return message.text("role") in ("system", "developer")


def _role(message: JsonObject, parts: Sequence[Part]) -> str:
    if all(part.type == "tool_call_response" for part in parts):  # for Anthropic, the user sends them
        return "tool"
    return message.text("role") or "assistant"


def _parts(wire: Wire, message: JsonObject) -> Iterator[Part]:
    """The parts of one message, or of one item of the Responses API."""
    kind = message.text("type")
    if wire == "openai-responses" and kind == "function_call":
        yield _call(message.get("call_id"), message.get("name"), message.text("arguments"))
    elif wire == "openai-responses" and kind == "function_call_output":
        yield _response(message.get("call_id"), message.get("output"))
    elif message.text("role") == "tool":
        yield _response(message.get("tool_call_id"), message.get("content"))
    else:
        yield from _texts(message.get("content"))
        for call in message.objects("tool_calls"):
            function = call.inner("function") or JsonObject({})
            yield _call(call.get("id"), function.get("name"), function.text("arguments"))


def _texts(content: object) -> Iterator[Part]:
    """The parts of a text, or of a list of content blocks. Images have only their type."""
    if isinstance(content, str):
        yield Part("text", _cut(content))
    for block in objects_in(content):
        match block.text("type"):
            case "text" | "input_text" | "output_text":
                yield Part("text", _cut(block.text("text") or ""))
            case "tool_use":
                yield _call(block.get("id"), block.get("name"), json.dumps(block.get("input")))
            case "tool_result":
                yield _response(block.get("tool_use_id"), block.get("content"))
            case "thinking" | "redacted_thinking" | None:
                pass
            case kind:
                yield Part(kind)


def _call(call_id: object, name: object, arguments: str | None) -> Part:
    return Part("tool_call", id=call_id, name=name, arguments=_parsed(arguments or ""))


def _response(call_id: object, content: object) -> Part:
    texts = (part.content or "" for part in _texts(content) if part.type == "text")
    return Part("tool_call_response", id=call_id, response=_cut("\n".join(texts)))


def _parsed(arguments: str) -> object:
    """The arguments as JSON; a part of them as text if they are long or malformed."""
    if len(arguments) <= MAX_TEXT_CHARACTERS and (parsed := JsonObject.parse(arguments)) is not None:
        return parsed.fields
    return _cut(arguments)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT_CHARACTERS else text[: MAX_TEXT_CHARACTERS - 1] + "…"


def _limited(entries: Sequence[Part | Message], limit: int) -> str | None:
    """The last entries as a JSON list of at most `limit` characters."""
    kept: list[str] = []
    length = 2
    for entry in reversed(entries):
        fields = asdict(
            entry, dict_factory=lambda pairs: {name: value for name, value in pairs if value is not None}
        )
        text = json.dumps(fields, ensure_ascii=False)
        length += len(text) + 1
        if length > limit:
            break
        kept.append(text)
    return f"[{','.join(reversed(kept))}]" if kept else None
