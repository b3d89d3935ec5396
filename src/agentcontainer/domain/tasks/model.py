"""What a task is, as the rest of the code holds it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from agentcontainer.db import Record
from agentcontainer.domain.models.catalogue import Provider
from agentcontainer.domain.tasks.repositories import Repository
from agentcontainer.domain.tasks.state import Status

PolicyMode = Literal["any", "none", "at_least_one", "named"]


@dataclass(frozen=True)
class NamedOutput:
    """One output that a `named` policy asks for."""

    name: str
    is_required: bool = True
    content_type: str | None = None
    max_bytes: int | None = None
    json_schema: dict[str, Any] | bool | None = None


@dataclass(frozen=True)
class OutputPolicy:
    """What files a task must, or must not, produce [S]."""

    mode: PolicyMode = "any"
    files: tuple[NamedOutput, ...] = ()

    @classmethod
    def of(cls, data: dict[str, Any]) -> "OutputPolicy":
        """From its wire form, e.g. `{"mode": "named", "files": [{"name": "report"}]}`."""
        files = (
            NamedOutput(
                name=entry["name"],
                is_required=entry.get("required", True),
                content_type=entry.get("contentType"),
                max_bytes=entry.get("maxBytes"),
                json_schema=entry.get("jsonSchema"),
            )
            for entry in data.get("files") or ()
        )
        return cls(data["mode"], tuple(files))


@dataclass(frozen=True)
class Budget:
    """What a task's model requests may use, all attempts together; None: no limit."""

    max_cost_micro_usd: int | None = None
    max_tokens: int | None = None

    @classmethod
    def of(cls, data: dict[str, Any]) -> "Budget":
        """From its wire form, e.g. `{"maxCostUsd": 1.5}`."""
        cost = data.get("maxCostUsd")
        micro_usd = None if cost is None else int(Decimal(str(cost)) * 1_000_000)
        return cls(micro_usd, data.get("maxTokens"))


@dataclass(frozen=True)
class Execution:
    """How a task runs: the version's defaults with the task's overrides on top. Camel-case in the database."""

    provider: Provider
    model: str
    weak_model: str | None
    internet_access: bool
    max_runtime_seconds: int
    soft_finish_after_seconds: int | None
    output_policy: OutputPolicy
    runtime_region: str
    budget: Budget | None = None
    egress: tuple[str, ...] | None = None
    """The only hosts it may reach, as entries of egress.py; None: with internet access, all public ones."""

    @classmethod
    def of(cls, data: dict[str, Any]) -> "Execution":
        return cls(
            provider=data["provider"],
            model=data["model"],
            weak_model=data.get("weakModel"),
            internet_access=data["internetAccess"],
            max_runtime_seconds=data["maxRuntimeSeconds"],
            soft_finish_after_seconds=data.get("softFinishAfterSeconds"),
            output_policy=OutputPolicy.of(data["outputPolicy"]),
            runtime_region=data["runtimeRegion"],
            budget=Budget.of(data["budget"]) if data.get("budget") else None,
            egress=tuple(data["egress"]["allow"]) if data.get("egress") else None,
        )


@dataclass(frozen=True)
class Task:
    """A row of `tasks`, read. Money in micro-dollars, time in microseconds."""

    id: str
    account_id: str
    mode: str
    agent_id: str
    agent_name: str
    agent_version_id: str
    container_image: str | None
    base_prompt: str
    status: Status
    turn_status: str | None
    turn_number: int
    session_ttl_seconds: int | None
    hibernate_until_at: datetime | None
    title: str | None
    instructions: str
    overrides: dict[str, Any]
    execution: Execution
    skills: list[str]
    metadata: dict[str, Any]
    input_repositories: list[dict[str, Any]]
    title_source: str
    attempt: int
    tries: int
    container_micro_seconds: int
    input_tokens: int
    output_tokens: int
    unreported_tokens: int
    model_cost_micro_usd: int
    completion: str | None
    result: str | None
    error: str | None
    error_code: str | None
    cost_micro_usd: int
    last_event_sequence: int
    last_turn_number: int
    hibernation_number: int
    hibernation_message: str | None
    wake_kind: str | None
    is_mid_turn: bool
    turn_base_micro_seconds: int
    checkpoint_id: str | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None

    @classmethod
    def of(cls, row: Record) -> "Task":
        values = {name: row[name] for name in cls.__dataclass_fields__ if name != "container_micro_seconds"}
        values["container_micro_seconds"] = row[
            "used_micro_seconds"
        ]  # with that of a container that is up now
        values["status"] = Status(row["status"])
        values["execution"] = Execution.of(row["execution"])
        return cls(**values)


@dataclass(frozen=True)
class Dispatch:
    """A request for a new task, as the API parsed it. `overrides` is camel-case and holds no key."""

    instructions: str
    version_id: str | None = None
    input_file_ids: Sequence[str] = ()
    input_repositories: Sequence[Repository] = ()
    skills: Sequence[str] = ()  # beside those of the version
    title: str | None = None
    title_source: str = "instructions"
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    overrides: dict[str, Any] = field(default_factory=dict[str, Any])
    provider_api_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Claim:
    """One attempt's right to write on a task: valid while the row is `running` with this attempt number."""

    task_id: str
    attempt: int


@dataclass(frozen=True)
class Hibernation:
    """What an agent asked for, and the checkpoint that its task will go on from."""

    message: str
    until: datetime
    checkpoint_id: str


@dataclass(frozen=True)
class Output:
    """An output file whose bytes are already in the object store."""

    id: str
    filename: str
    content_type: str
    size_bytes: int
    sha256: str
    blob_key: str
    output_name: str | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A saved workspace: a tar of `unpacked_bytes`, compressed to the `size_bytes` whose digest is `sha256`."""

    id: str
    blob_key: str
    size_bytes: int
    sha256: str
    unpacked_bytes: int
