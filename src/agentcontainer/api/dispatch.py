"""Dispatch: what a client may ask for when it creates a task."""

import json
import unicodedata
from typing import Annotated, Any, Literal, cast

from fastapi import Depends, Path
from pydantic import AfterValidator, Field, WithJsonSchema, field_validator
from pydantic_core.core_schema import ValidationInfo

from agentcontainer.api.auth import AccountId
from agentcontainer.api.body import JsonBody
from agentcontainer.api.routing import authenticated
from agentcontainer.api.services import Provided
from agentcontainer.api.tasks import Task, wire_task
from agentcontainer.api.wire import Id, Incoming, MediaType, Provider, ProviderApiKey, without_nulls
from agentcontainer.domain.tasks import service
from agentcontainer.domain.tasks.model import Dispatch
from agentcontainer.errors import Detail, ValidationError

MAX_BODY_BYTES = 4 * 1024 * 1024  # JSON may spell one character of the instructions in six bytes
MAX_INSTRUCTIONS_BYTES = 512 * 1024
MAX_METADATA_BYTES = 16 * 1024
MAX_SCHEMA_BYTES = 64 * 1024
MAX_INPUT_FILES = 1000
MAX_NAMED_OUTPUTS = 100
MAX_TASK_SECONDS = 86_400

router = authenticated()


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def _check_instructions(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    if len(value.encode()) > MAX_INSTRUCTIONS_BYTES:
        raise ValueError(f"must have at most {MAX_INSTRUCTIONS_BYTES} bytes; send more as an input file")
    return value


def _check_title(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    if any(unicodedata.category(character) == "Cc" for character in value):
        raise ValueError("must not hold control characters")
    return value


def _check_metadata(value: dict[str, Any]) -> dict[str, Any]:
    if _size(value) > MAX_METADATA_BYTES:
        raise ValueError(f"must have at most {MAX_METADATA_BYTES} bytes as JSON")
    return value


def _check_schema(value: Any) -> dict[str, Any] | bool:
    if not isinstance(value, dict | bool):
        raise ValueError("must be a JSON Schema: an object or a boolean")
    if _size(value) > MAX_SCHEMA_BYTES:
        raise ValueError(f"must have at most {MAX_SCHEMA_BYTES} bytes as JSON")
    return cast("dict[str, Any] | bool", value)


Model = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9._:/@+~-]*$")]
Seconds = Annotated[int, Field(ge=1, le=MAX_TASK_SECONDS)]
Metadata = Annotated[dict[str, Any], AfterValidator(_check_metadata)]
JsonSchema = Annotated[Any, AfterValidator(_check_schema), WithJsonSchema({"type": ["object", "boolean"]})]


class NamedOutput(Incoming):
    """One file that the `named` policy asks for."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    required: Annotated[bool, Field(description="Default: true.")] | None = None
    content_type: MediaType | None = None
    max_bytes: Annotated[int, Field(ge=1)] | None = None
    json_schema: JsonSchema | None = None


class OutputPolicy(Incoming):
    """What files the task must, or must not, produce. `files` goes with `named` only."""

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
        return files


class Overrides(Incoming):
    """What this task runs with instead of its agent's defaults."""

    provider: Provider | None = None
    provider_api_key: Annotated[ProviderApiKey | None, Field(repr=False)] = None
    runtime: Literal["pi"] | None = None
    model: Model | None = None
    weak_model: Model | None = None
    internet_access: bool | None = None
    max_runtime_seconds: Seconds | None = None
    soft_finish_after_seconds: Seconds | None = None
    output_policy: OutputPolicy | None = None
    runtime_region: Literal["eu", "any"] | None = None


class InputFile(Incoming):
    """A file to place in `task_files/`."""

    file_id: Id
    snapshot: Literal["include"] | None = None


class DispatchRequest(Incoming):
    """A new task. Name its input files in `inputFileIds` or in `inputFiles`."""

    instructions: Annotated[str, Field(min_length=1), AfterValidator(_check_instructions)]
    version_id: Id | None = None
    input_file_ids: Annotated[list[Id], Field(max_length=MAX_INPUT_FILES)] | None = None
    input_files: Annotated[list[InputFile], Field(max_length=MAX_INPUT_FILES)] | None = None
    title: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_check_title)] | None = None
    metadata: Metadata | None = None
    overrides: Overrides | None = None

    @field_validator("input_files")
    @classmethod
    def _only_one_spelling(
        cls, files: list[InputFile] | None, info: ValidationInfo
    ) -> list[InputFile] | None:
        if files is not None and info.data.get("input_file_ids") is not None:
            raise ValueError("cannot be given together with inputFileIds")
        return files


@router.post("/agents/{agentId}/tasks", status_code=201, responses={402: {}, 409: {}})
async def dispatch_task(
    agent_id: Annotated[str, Path(alias="agentId")],
    account_id: AccountId,
    services: Provided,
    body: Annotated[DispatchRequest, Depends(JsonBody(DispatchRequest, max_bytes=MAX_BODY_BYTES))],
) -> Task:
    """Create a task, which runs as soon as a container is free. Holds money from the balance until it ends."""
    try:
        task = await service.dispatch(
            services.pool, services.settings, services.vault, account_id, agent_id, _dispatch_of(body)
        )
    except ValidationError as error:
        raise _as_spelt(error, body) from None
    return wire_task(task, services.settings)


def _dispatch_of(body: DispatchRequest) -> Dispatch:
    overrides = body.overrides or Overrides()
    return Dispatch(
        instructions=body.instructions,
        version_id=body.version_id,
        input_file_ids=body.input_file_ids or [file.file_id for file in body.input_files or ()],
        title=body.title,
        metadata=body.metadata or {},
        overrides=without_nulls(overrides, exclude={"provider_api_key"}),
        provider_api_key=overrides.provider_api_key,
    )


def _as_spelt(error: ValidationError, body: DispatchRequest) -> ValidationError:
    """The domain knows input files as `inputFileIds`; name the field that the client sent."""
    detail = error.details[0]
    name, _, position = detail.path.partition(".")
    if body.input_files is None or name != "inputFileIds":
        return error
    spelt = Detail(f"inputFiles.{position}.fileId", detail.message)
    return ValidationError.at(spelt.path, spelt.message)
