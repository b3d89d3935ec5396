"""How tasks run, as clients say it: the same fields in an agent's `defaults` and in a task's `overrides`."""

import json
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema, field_validator
from pydantic_core.core_schema import ValidationInfo

from agentcontainer.api.wire import (
    MODEL_PATTERN,
    OUTPUT_NAME_PATTERN,
    Incoming,
    MediaType,
    Provider,
    from_whole_number,
)

MAX_SCHEMA_BYTES = 64 * 1024
MAX_SCHEMAS_BYTES = 256 * 1024  # of one policy: it stands in its task twice, and in every version of an agent
MAX_NAMED_OUTPUTS = 100
MAX_TASK_SECONDS = 86_400


def json_size(value: Any) -> int:
    """Its bytes as compact JSON."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def _check_schema(value: Any) -> dict[str, Any] | bool:
    if not isinstance(value, dict | bool):
        raise ValueError("must be a JSON Schema: an object or a boolean")
    if json_size(value) > MAX_SCHEMA_BYTES:
        raise ValueError(f"must have at most {MAX_SCHEMA_BYTES} bytes as JSON")
    return cast("dict[str, Any] | bool", value)


Model = Annotated[str, Field(min_length=1, max_length=200, pattern=MODEL_PATTERN)]
Seconds = Annotated[int, Field(ge=1, le=MAX_TASK_SECONDS), from_whole_number]
JsonSchema = Annotated[Any, AfterValidator(_check_schema), WithJsonSchema({"type": ["object", "boolean"]})]


class NamedOutput(Incoming):
    """One file that the `named` policy asks for."""

    name: Annotated[str, Field(pattern=OUTPUT_NAME_PATTERN)]
    required: Annotated[bool, Field(description="Default: true.")] | None = None
    content_type: MediaType | None = None
    max_bytes: Annotated[int, Field(ge=1), from_whole_number] | None = None
    json_schema: JsonSchema | None = None


class OutputPolicy(Incoming):
    """What files the task must, or must not, produce. `files` goes with `named` only."""

    model_config = ConfigDict(
        json_schema_extra={  # what `_fit_the_mode` checks
            "if": {"properties": {"mode": {"const": "named"}}, "required": ["mode"]},
            "then": {"properties": {"files": {"type": "array", "minItems": 1}}, "required": ["files"]},
            "else": {"properties": {"files": {"type": "null"}}},
        }
    )

    mode: Literal["any", "none", "at_least_one", "named"]
    files: Annotated[list[NamedOutput] | None, Field(max_length=MAX_NAMED_OUTPUTS, validate_default=True)] = (
        None
    )

    @field_validator("files")
    @classmethod
    def _fit_the_mode(cls, files: list[NamedOutput] | None, info: ValidationInfo) -> list[NamedOutput] | None:
        mode = info.data.get("mode")
        if mode == "named" and not files:
            raise ValueError("must name at least one file when the mode is named")
        if mode is not None and mode != "named" and files is not None:
            raise ValueError(f"goes with the mode named only, not with {mode}")
        names = [output.name for output in files or ()]
        if len(set(names)) < len(names):
            raise ValueError("must not give a name twice")
        schemas = [output.json_schema for output in files or () if output.json_schema is not None]
        if sum(json_size(schema) for schema in schemas) > MAX_SCHEMAS_BYTES:
            raise ValueError(f"must have at most {MAX_SCHEMAS_BYTES} bytes of jsonSchema together")
        return files


class ExecutionInput(Incoming):
    """What an agent's defaults and a task's overrides can both say."""

    provider: Provider | None = None
    model: Model | None = None
    weak_model: Model | None = None
    internet_access: bool | None = None
    max_runtime_seconds: Seconds | None = None
    soft_finish_after_seconds: Seconds | None = None
    output_policy: OutputPolicy | None = None
    runtime_region: Literal["eu", "any"] | None = None
