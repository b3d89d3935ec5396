"""The dataclasses of tasks: a task, a claim of it, its endings, outputs and checkpoints."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from agentcontainer.db import JsonObject
from agentcontainer.domain.accounts.principal import Principal
from agentcontainer.domain.execution.model import Budget, Execution, OnReached, Overrides, RuntimeRegion
from agentcontainer.domain.tasks.repositories import Repository, StoredRepository
from agentcontainer.domain.tasks.state import Status

Mode = Literal["autonomous", "conversation"]
HibernationReason = Literal["agent", "provider", "budget"]
USED_UP = 100  # `budget_reported` of a budget that is used up
TitleSource = Literal["instructions", "model"]


@dataclass(frozen=True)
class InputFile:
    """A file that a task was given. `is_deleted`: its bytes are gone."""

    id: str
    filename: str
    content_type: str
    size_bytes: int
    is_deleted: bool


@dataclass(frozen=True)
class Task:
    """A row of `tasks`, with the names of its agent and the content of its version.

    Money is in micro-dollars. `container_micro_seconds` includes the time of a container that is up now.
    """

    id: str
    account_id: str
    mode: Mode
    agent_id: str
    agent_name: str
    agent_version_id: str
    agent_version_number: int
    container_image: str | None
    base_prompt: str
    status: Status
    turn_status: str | None
    turn_number: int
    session_ttl_seconds: int | None
    hibernate_until_at: datetime | None
    title: str | None
    instructions: str
    overrides: Overrides
    execution: Execution
    skills: list[str]
    metadata: JsonObject
    input_files: Sequence[InputFile]
    input_repositories: Sequence[StoredRepository]
    title_source: TitleSource
    attempt: int
    tries: int
    container_micro_seconds: int
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    unreported_tokens: int
    model_cost_micro_usd: int
    completion: str | None
    result: str | None
    error: str | None
    error_code: str | None
    cost_micro_usd: int
    last_event_sequence: int
    events_purged_to: int
    """The sequence of the last event that retention has removed; 0: none."""
    events_purged_at: datetime | None
    last_turn_number: int
    hibernation_number: int
    hibernation_message: str | None
    hibernation_reason: HibernationReason | None
    wake_link_id: str | None
    """The newest wake link that ends the current hibernation."""
    provider_failures: int
    provider_outage_since: datetime | None
    wake_kind: str | None
    budget_reported: int
    """The part of the present budget, in percent, of which an event was written last: 0, 50, 80, or 100: used up."""
    is_mid_turn: bool
    turn_base_micro_seconds: int
    checkpoint_id: str | None
    batch_id: str | None
    traceparent: str | None
    """The client's span from which the task came, as the header of that name."""
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None


@dataclass(frozen=True)
class Dispatch:
    """A request for a new task, as the API parsed it."""

    instructions: str
    version_id: str | None = None
    input_file_ids: Sequence[str] = ()
    input_repositories: Sequence[Repository] = ()
    skills: Sequence[str] = ()
    """File ids, in addition to those of the version."""
    title: str | None = None
    title_source: TitleSource = "instructions"
    metadata: JsonObject = field(default_factory=lambda: {})
    overrides: Overrides = field(default_factory=Overrides)
    provider_api_key: str | None = field(default=None, repr=False)
    api_key_id: str | None = None
    """The API key of the request."""
    traceparent: str | None = None
    """The client's span, as the header of that name."""
    caller: Principal | None = None
    """Who dispatches it. None: the platform itself."""


@dataclass(frozen=True)
class NewTask:
    """A task about to be inserted, `pending`."""

    id: str
    agent_id: str
    agent_version_id: str
    mode: Mode
    title: str
    instructions: str
    metadata: JsonObject
    overrides: Overrides
    execution: Execution
    skills: Sequence[str]
    provider_key_ciphertext: bytes | None
    title_source: TitleSource
    input_file_ids: Sequence[str]
    input_repositories: Sequence[StoredRepository]
    session_ttl_seconds: int | None
    api_key_id: str | None
    traceparent: str | None
    batch_id: str | None = None


@dataclass(frozen=True)
class TaskChange:
    """What changes in a task; None: unchanged. Of `budget`, the limits that it has; `on_reached` is apart."""

    title: str | None = None
    metadata: JsonObject | None = None
    budget: Budget | None = None
    on_reached: OnReached | None = None


@dataclass(frozen=True)
class TaskFilter:
    """Which tasks a list shows; None or nothing in a field: any. `metadata`: top-level keys that hold these strings.
    `text`: an id or its beginning, or beginnings of words of the title. `is_summary`: without instructions."""

    statuses: Collection[Status] = ()
    error_code: str | None = None
    agent_id: str | None = None
    agent_ids: Collection[str] | None = None
    """Only tasks of these agents, beside the other filters."""
    agent_version_id: str | None = None
    mode: Mode | None = None
    batch_id: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    completed_after: datetime | None = None
    completed_before: datetime | None = None
    text: str | None = None
    is_summary: bool = False
    metadata: dict[str, str] | None = None


@dataclass(frozen=True)
class Claim:
    """One attempt's right to write to a task: valid while the row is `running` with this attempt number."""

    task_id: str
    attempt: int
    waited_seconds: float | None = field(default=None, compare=False)
    """How long the task had waited for a runner. None: not known."""


@dataclass(frozen=True)
class ClosedContainer:
    """The columns that a task's end or requeue needs after its container was closed."""

    account_id: str
    attempt: int
    tries: int
    hold_micro_usd: int
    container_micro_seconds: int
    runtime_region: RuntimeRegion


@dataclass(frozen=True)
class TaskEnd:
    """The columns of a task's row that describe its end."""

    completion: str | None = None
    result: str | None = None
    error: str | None = None
    error_code: str | None = None


@dataclass(frozen=True)
class TaskUsage:
    """What a task's model requests have used. `cached_input_tokens`: the part of the input that the provider had in its
    cache. `unreported_tokens`: an upper bound of what was not reported."""

    input_tokens: int
    output_tokens: int
    unreported_tokens: int
    cost_micro_usd: int
    cached_input_tokens: int = 0


@dataclass(frozen=True)
class Spent:
    """What a task has used of its budget. `budget_reported` as in `Task`."""

    status: Status
    budget: Budget | None
    budget_reported: int
    tokens: int
    micro_usd: int


@dataclass(frozen=True)
class Hibernation:
    """A hibernation: why, until when at the latest, and the checkpoint that the next container starts from.

    Without a checkpoint, the next container starts from the one that this container started from.
    """

    message: str
    until: datetime
    checkpoint_id: str | None
    reason: HibernationReason = "agent"
    budget: Budget | None = None
    """With the reason `budget`: the one that is used up."""


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
    path: str | None = None
    """Where the agent had the file; see `File.path`."""
