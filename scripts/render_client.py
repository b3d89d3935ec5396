"""Write the client's models, events and request bodies from the OpenAPI document (`make docs`)."""

import keyword
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from agentcontainer.api.app import ROUTES
from agentcontainer.api.http import openapi

PACKAGE = Path(__file__).parents[1] / "client/src/agentcontainer_client"
NOTE = "# Written by scripts/render_client.py from the OpenAPI document. Do not edit."
WIDTH = 110
# `Model` compares and shows all of them. Methods of their own would take a third of the time to import the client.
DATACLASS = "@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)"
# What requests may contain, as the caller writes it. Other request bodies are arguments of methods.
INPUTS = ("Overrides", "AgentDefaultsInput", "RuntimeInput", "OutputPolicy", "InputRepository", "BatchTask",
          "AccountLimitsInput", "KeyLimitsInput", "TokenPriceInput")  # fmt: skip
# `message.delta` is live text and not in the union of logged events.
LIVE_EVENTS = ("message.delta",)

Schema = dict[str, Any]


def document() -> Schema:
    """The OpenAPI document as a client reads it."""
    return yaml.load(openapi.to_yaml(openapi.document(ROUTES, None)), Loader=yaml.CSafeLoader)


def files(described: Schema | None = None) -> dict[Path, str]:
    """The generated files and their contents."""
    schemas: Schema = (described or document())["components"]["schemas"]
    return {
        PACKAGE / "models.py": _formatted(_models(schemas)),
        PACKAGE / "events.py": _formatted(_events(schemas)),
        PACKAGE / "inputs.py": _formatted(_inputs(schemas)),
    }


def snake(name: str) -> str:
    """A camelCase name in snake_case."""
    snaked = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return f"{snaked}_" if keyword.iskeyword(snaked) else snaked


def event_mapping(schemas: Schema) -> dict[str, Schema]:
    """The `data` schema of each type of event."""
    mapping: dict[str, str] = schemas["Event"]["discriminator"]["mapping"]
    envelopes = {type_: schemas[_name(ref)] for type_, ref in mapping.items()}
    return {
        type_: schemas[_name(envelope["properties"]["data"]["$ref"])] for type_, envelope in envelopes.items()
    }


def _models(schemas: Schema) -> str:
    """All schemas that responses use. Pages are `Page`, events are in events.py."""
    words = {name: schema for name, schema in schemas.items() if "enum" in schema or "const" in schema}
    words |= {name: schema for name, schema in schemas.items() if schema.get("type") == "string"}
    names = _in_order(schemas, words)
    parts = [
        '"""What the API answers with, as frozen dataclasses."""\n\n' + NOTE,
        "from collections.abc import Mapping\nfrom dataclasses import dataclass\nfrom datetime import datetime\n"
        "from typing import Any, ClassVar, Literal, TypeAlias\n\n"
        "from agentcontainer_client._wire import Model, WireField, each, instant",
    ]
    parts += [_word(name, words[name]) for name in sorted(words)]
    parts += [_class(name, schemas[name], schemas, base="Model") for name in names]
    return "\n\n".join(parts) + "\n"


def _in_order(schemas: Schema, words: Schema) -> list[str]:
    """The names of the response schemas, each after those that it refers to."""
    roots = [
        name
        for name, schema in schemas.items()
        if schema.get("type") == "object"
        and schema.get("additionalProperties") is not False
        and not name.endswith(("Page", "Event"))
        and name not in {"Error", "ErrorContent", "FeedData", "TaskAndMessage", "TaskSummary"}
        and name not in _event_data_names(schemas)
    ]
    ordered: list[str] = []

    def visit(name: str) -> None:
        if name in ordered or name in words:
            return
        for ref in _refs(schemas[name]):
            visit(ref)
        ordered.append(name)

    for name in [*roots, "FeedEntry"]:
        visit(name)
    return ordered


def _event_data_names(schemas: Schema) -> set[str]:
    mapping: dict[str, str] = schemas["Event"]["discriminator"]["mapping"]
    return {_name(schemas[_name(ref)]["properties"]["data"]["$ref"]) for ref in mapping.values()} | {
        "OutputFileInEvent"
    }


def _refs(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        if "$ref" in part:
            yield _name(part["$ref"])
        for name, value in part.items():
            if name != "propertyNames":
                yield from _refs(value)
    elif isinstance(part, list):
        for value in part:
            yield from _refs(value)


def _events(schemas: Schema) -> str:
    types = event_mapping(schemas)
    parts = [
        '"""The events of a task, one class for each type; a type that this version does not know is `Unknown`."""'
        "\n\n" + NOTE,
        "from dataclasses import dataclass\nfrom datetime import datetime\nfrom typing import Any, ClassVar\n\n"
        "from agentcontainer_client import models\n"
        "from agentcontainer_client._events import Event, Unknown, register\n"
        "from agentcontainer_client._wire import Model, WireField, each, instant",
        _class("OutputFileInEvent", schemas["OutputFileInEvent"], schemas, base="Model"),
    ]
    parts += [_event(type_, data, schemas) for type_, data in types.items()]
    parts.append(
        f"@register\n{DATACLASS}\nclass MessageDelta(Event):\n"
        '    """A piece of what the agent is saying. It is live text: not in the log, and pieces may be missing."""\n\n'
        '    TYPE: ClassVar[str] = "message.delta"\n'
        '    WIRE: ClassVar[tuple[WireField, ...]] = (("content", "content", None), '
        '("turnNumber", "turn_number", None), ("attemptNumber", "attempt_number", None))\n\n'
        "    content: str\n    turn_number: int | None = None\n    attempt_number: int | None = None"
    )
    names = sorted(
        [_event_class(type_) for type_ in [*types, *LIVE_EVENTS]] + ["Event", "OutputFileInEvent", "Unknown"]
    )
    parts.append("__all__ = [\n" + "".join(f'    "{name}",\n' for name in names) + "]")
    return "\n\n".join(parts) + "\n"


def _event_class(type_: str) -> str:
    return "".join(part.capitalize() for part in re.split(r"[._]", type_))


def _event(type_: str, data: Schema, schemas: Schema) -> str:
    envelope = {"id", "sequence", "type", "task_id", "created_at", "raw", "is_shortened", "extra"}
    noun = type_.split(".")[0]
    renamed = {
        name: f"{noun}_{snake(name)}" for name in data.get("properties", {}) if snake(name) in envelope
    }
    return _class(
        _event_class(type_), data, schemas, base="Event", type_=type_, renamed=renamed, prefix="models."
    )


def _class(
    name: str,
    schema: Schema,
    schemas: Schema,
    *,
    base: str,
    type_: str | None = None,
    renamed: dict[str, str] | None = None,
    prefix: str = "",
) -> str:
    required = set(schema.get("required", ()))
    fields, wire, optional = [], [], []
    for wire_name, field in schema.get("properties", {}).items():
        python_name = (renamed or {}).get(wire_name, snake(wire_name))
        hint, decoder = _type(field, schemas, prefix)
        is_required = wire_name in required
        is_required = is_required and not (name == "Task" and wire_name in _only_in_full_tasks(schemas))
        if not is_required and not hint.endswith("| None"):
            hint += " | None"
        secret = " = field(repr=False)" if _is_secret(name, wire_name) else ""
        line = f"    {python_name}: {hint}{secret or ('' if is_required else ' = None')}"
        if text := field.get("description"):
            line += f'\n    """{_text(text)}"""'
        (fields if is_required else optional).append(line)
        wire.append(f'("{wire_name}", "{python_name}", {decoder})')
    lines = ["@register"] if type_ else []
    lines += [DATACLASS, f"class {name}({base}):"]
    lines += [f'    """{_text(schema["description"])}"""', ""]
    lines += [f'    TYPE: ClassVar[str] = "{type_}"'] if type_ else []
    if wire:
        lines += [f"    WIRE: ClassVar[tuple[WireField, ...]] = ({', '.join(wire)},)", ""]
    return "\n".join([*lines, *fields, *optional])


def _only_in_full_tasks(schemas: Schema) -> set[str]:
    """A list may hold tasks without these fields."""
    return set(schemas["Task"]["properties"]) - set(schemas["TaskSummary"]["properties"])


def _is_secret(name: str, field: str) -> bool:
    return (name, field) in {
        ("NewApiKey", "key"),
        ("NewLink", "url"),
        ("Task", "wakeUrl"),
        ("PreparedUpload", "uploadUrl"),
    }


def _type(field: Schema, schemas: Schema, prefix: str) -> tuple[str, str]:
    """The Python type of a field, and the decoder of a value that is not null."""
    if "$ref" in field:
        name = _name(field["$ref"])
        if schemas[name].get("type") == "object":
            owner = "" if name == "OutputFileInEvent" else prefix
            return f"{owner}{name}", f"{owner}{name}.from_wire"
        return f"{prefix}{name}", "None"
    if "anyOf" in field:
        choices = [choice for choice in field["anyOf"] if choice.get("type") != "null"]
        hint, decoder = _type(choices[0], schemas, prefix)
        return (hint if hint == "Any" else f"{hint} | None"), decoder
    if "const" in field:
        return "str", "None"
    kind = field.get("type")
    if kind == "string":
        return ("datetime", "instant") if field.get("format") == "date-time" else ("str", "None")
    if kind == "array":
        hint, decoder = _type(field["items"], schemas, prefix)
        return f"list[{hint}]", "None" if decoder == "None" else f"each({decoder})"
    if kind == "object":
        values = field.get("additionalProperties")
        hint = _type(values, schemas, prefix)[0] if isinstance(values, dict) else "Any"
        return f"dict[str, {hint}]", "None"
    simple = {"integer": "int", "number": "float", "boolean": "bool"}
    if isinstance(kind, str) and kind in simple:
        return simple[kind], "None"
    return "Any", "None"


def _word(name: str, schema: Schema) -> str:
    """Literal and str: editors complete the known words, and a word of a later version is no error."""
    values = [schema["const"]] if "const" in schema else schema.get("enum", [])
    hint = f"Literal[{', '.join(repr(value) for value in values)}] | str" if values else "str"
    text = _text(schema.get("description") or "A word of the API; later versions may add others.")
    return f'{name}: TypeAlias = {hint}\n"""{text}"""'


def _inputs(schemas: Schema) -> str:
    """Parts of requests as TypedDicts, with the names of the API."""
    ordered: list[str] = []

    def visit(name: str) -> None:
        if name in ordered or schemas[name].get("type") != "object":
            return
        for ref in _refs(schemas[name].get("properties", {})):
            visit(ref)
        ordered.append(name)

    for name in INPUTS:
        visit(name)
    parts = [
        '"""Parts of requests, with the names that the API has for their fields."""\n\n' + NOTE,
        "from typing import Any, Required, TypedDict\n\nfrom agentcontainer_client import models",
    ]
    parts += [_typed_dict(name, schemas[name], schemas) for name in ordered]
    return "\n\n".join(parts) + "\n"


def _typed_dict(name: str, schema: Schema, schemas: Schema) -> str:
    required = set(schema.get("required", ()))
    lines = [f"class {name}(TypedDict, total=False):", f'    """{_text(schema["description"])}"""', ""]
    for field_name, field in schema["properties"].items():
        hint, _ = _type(field, schemas, "")
        hint = re.sub(r"\b([A-Z]\w+)\b", lambda match: _qualified(match[1], schemas), hint)
        lines.append(f"    {field_name}: {f'Required[{hint}]' if field_name in required else hint}")
        if text := field.get("description"):
            lines.append(f'    """{_text(text)}"""')
    return "\n".join(lines)


def _qualified(name: str, schemas: Schema) -> str:
    return f"models.{name}" if name in schemas and schemas[name].get("type") == "string" else name


def _text(text: str) -> str:
    text = " ".join(text.replace("\\", "\\\\").split())
    return text if text.endswith((".", "…", "?", ":")) else f"{text}."


def _name(ref: str) -> str:
    return ref.rpartition("/")[2]


def _formatted(source: str) -> str:
    """As `ruff` writes it. Long descriptions in docstrings are wrapped first."""
    source = "\n".join(_wrapped(line) for line in source.splitlines()) + "\n"
    if "field(repr=False)" in source:
        source = source.replace("import dataclass\n", "import dataclass, field\n")
    ruff = [Path(sys.executable).with_name("ruff")]
    stdin_name = ["--stdin-filename", str(PACKAGE / "generated.py"), "-"]
    for arguments in (["check", "--fix-only", "--select", "F401,I", "--quiet"], ["format", "--quiet"]):
        done = subprocess.run(
            [*ruff, *arguments, *stdin_name], input=source, capture_output=True, text=True, check=True
        )
        source = done.stdout
    return source


def _wrapped(line: str) -> str:
    match = re.fullmatch(r'( *)"""(.*)"""', line)
    if match is None or len(line) <= WIDTH:
        return line
    indent, text = match.groups()
    lines, current = [], f'{indent}"""'
    for word in text.split():
        if len(current) + len(word) + 1 > WIDTH:
            lines.append(current)
            current = f"{indent}{word}"
        else:
            current += word if current.endswith('"""') else f" {word}"
    return "\n".join([*lines, current, f'{indent}"""'])


if __name__ == "__main__":
    for path, content in files().items():
        path.write_text(content)
