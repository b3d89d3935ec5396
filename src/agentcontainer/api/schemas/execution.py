"""The JSON of how tasks run: the fields that an agent's `defaults` and a task's `overrides` share."""

import json
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema, field_validator
from pydantic_core.core_schema import ValidationInfo
from typing_extensions import TypeAliasType

from agentcontainer.api.wire import (
    MODEL_PATTERN,
    OUTPUT_NAME_PATTERN,
    Incoming,
    MediaType,
    Provider,
    Region,
    from_whole_number,
)
from agentcontainer.domain.execution import model as execution

MAX_SCHEMA_BYTES = 64 * 1024
MAX_SCHEMAS_BYTES = 256 * 1024  # of one policy, which is stored twice in its task and in every agent version
MAX_NAMED_OUTPUTS = 100
MAX_TASK_SECONDS = 86_400


def json_size(value: object) -> int:
    """The size of `value` as compact JSON, in bytes."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def _check_schema(value: object) -> object:
    if not isinstance(value, dict | bool):
        raise ValueError("must be a JSON Schema: an object or a boolean")
    if json_size(cast("object", value)) > MAX_SCHEMA_BYTES:
        raise ValueError(f"must have at most {MAX_SCHEMA_BYTES} bytes as JSON")
    return cast("object", value)


AgentRuntime = TypeAliasType("AgentRuntime", Literal["pi"])
OutputPolicyMode = TypeAliasType("OutputPolicyMode", Literal["any", "none", "at_least_one", "named"])
Model = Annotated[str, Field(min_length=1, max_length=200, pattern=MODEL_PATTERN)]
Seconds = Annotated[int, Field(ge=1, le=MAX_TASK_SECONDS), from_whole_number]
JsonSchema = Annotated[Any, AfterValidator(_check_schema), WithJsonSchema({"type": ["object", "boolean"]})]


class NamedOutput(Incoming):
    """A file that the policy `named` asks for."""

    name: Annotated[
        str, Field(pattern=OUTPUT_NAME_PATTERN, description="The agent declares the file under this name.")
    ]
    required: Annotated[bool, Field(description="Default: true.")] | None = None
    content_type: MediaType | None = None
    max_bytes: Annotated[int, Field(ge=1), from_whole_number] | None = None
    json_schema: Annotated[
        JsonSchema | None, Field(description="The file must be JSON that this schema accepts.")
    ] = None


class OutputPolicy(Incoming):
    """Which files the task must produce, or must not."""

    model_config = ConfigDict(
        json_schema_extra={  # what `_check_files` checks
            "if": {"properties": {"mode": {"const": "named"}}, "required": ["mode"]},
            "then": {
                "properties": {"files": {"type": "array", "items": {}, "minItems": 1}},
                "required": ["files"],
            },
            "else": {"properties": {"files": {"type": "null"}}},
        }
    )

    mode: OutputPolicyMode
    files: Annotated[
        list[NamedOutput] | None,
        Field(
            max_length=MAX_NAMED_OUTPUTS,
            validate_default=True,
            description="Required with the mode `named`, refused with any other.",
        ),
    ] = None

    @field_validator("files")
    @classmethod
    def _check_files(cls, files: list[NamedOutput] | None, info: ValidationInfo) -> list[NamedOutput] | None:
        mode = info.data.get("mode")
        if mode == "named" and not files:
            raise ValueError("must name at least one file when the mode is named")
        if mode is not None and mode != "named" and files is not None:
            raise ValueError(f"is allowed only with the mode named, not with {mode}")
        names = [output.name for output in files or ()]
        if len(set(names)) < len(names):
            raise ValueError("must not give a name twice")
        schemas = [output.json_schema for output in files or () if output.json_schema is not None]
        if sum(json_size(schema) for schema in schemas) > MAX_SCHEMAS_BYTES:
            raise ValueError(f"must have at most {MAX_SCHEMAS_BYTES} bytes of jsonSchema together")
        return files


def policy_of(policy: OutputPolicy) -> execution.OutputPolicy:
    """The policy as the domain holds it."""
    files = (
        execution.NamedOutput(
            output.name, output.required, output.content_type, output.max_bytes, output.json_schema
        )
        for output in policy.files or ()
    )
    return execution.OutputPolicy(policy.mode, tuple(files))


class ExecutionInput(Incoming):
    """The fields that an agent's defaults and a task's overrides share."""

    provider: Provider | None = None
    model: Annotated[
        Model | None, Field(description="The provider's id of the model. Required with a changed provider.")
    ] = None
    weak_model: Annotated[Model | None, Field(description="A cheaper model, which writes titles.")] = None
    internet_access: bool | None = None
    max_runtime_seconds: Annotated[
        Seconds | None, Field(description="Container time after which the task fails.")
    ] = None
    soft_finish_after_seconds: Annotated[
        Seconds | None, Field(description="Container time after which the agent is asked to finish.")
    ] = None
    output_policy: OutputPolicy | None = None
    runtime_region: Annotated[Region | None, Field(description="Where the container must run.")] = None
