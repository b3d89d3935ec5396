"""What the API answers with, as frozen dataclasses."""

# Written by scripts/render_client.py from the OpenAPI document. Do not edit.

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal, TypeAlias

from agentcontainer_client._wire import Model, WireField, each, instant

ActivityErrorCode: TypeAlias = Literal["tool_error", "interrupted"] | str
"""A word of the API; later versions may add others."""

ActivityStatus: TypeAlias = Literal["running", "completed", "failed"] | str
"""A word of the API; later versions may add others."""

ActorKind: TypeAlias = Literal["key", "session", "cli", "link", "platform"] | str
"""A word of the API; later versions may add others."""

AgentRuntime: TypeAlias = Literal["pi"] | str
"""A word of the API; later versions may add others."""

ApiErrorCode: TypeAlias = (
    Literal[
        "validation_error",
        "unauthorized",
        "insufficient_balance",
        "forbidden",
        "not_found",
        "conflict",
        "gone",
        "payload_too_large",
        "unsupported_media_type",
        "range_not_satisfiable",
        "misdirected_request",
        "rate_limited",
        "unavailable",
        "method_not_allowed",
        "internal",
        "limit_reached",
    ]
    | str
)
"""A word of the API; later versions may add others."""

BillingMode: TypeAlias = Literal["standard", "unlimited_grant"] | str
"""A word of the API; later versions may add others."""

Completion: TypeAlias = Literal["complete", "incomplete"] | str
"""A word of the API; later versions may add others."""

FeedEventType: TypeAlias = (
    Literal[
        "task.created",
        "task.started",
        "task.titled",
        "task.requeued",
        "task.hibernated",
        "task.woken",
        "task.awaiting_input",
        "budget.warning",
        "budget.reached",
        "task.finished",
        "task.failed",
        "task.cancelled",
        "task.expired",
        "turn.started",
        "turn.completed",
        "turn.failed",
        "balance.low",
        "webhook.disabled",
    ]
    | str
)
"""A word of the API; later versions may add others."""

FileKind: TypeAlias = Literal["upload", "output"] | str
"""A word of the API; later versions may add others."""

HibernationReason: TypeAlias = Literal["agent", "provider", "budget"] | str
"""A word of the API; later versions may add others."""

InputOmittedReason: TypeAlias = Literal["too_large"] | str
"""A word of the API; later versions may add others."""

KeyRole: TypeAlias = Literal["viewer", "member"] | str
"""A word of the API; later versions may add others."""

LedgerEntryKind: TypeAlias = Literal["credit", "hold", "release", "charge", "refund"] | str
"""A word of the API; later versions may add others."""

LoginStatus: TypeAlias = Literal["pending", "approved", "denied"] | str
"""A word of the API; later versions may add others."""

MessageStatus: TypeAlias = Literal["queued", "delivered", "created"] | str
"""A word of the API; later versions may add others."""

OnReached: TypeAlias = Literal["fail", "pause"] | str
"""A word of the API; later versions may add others."""

Order: TypeAlias = Literal["asc", "desc"] | str
"""A word of the API; later versions may add others."""

Origin: TypeAlias = Literal["platform", "version", "task"] | str
"""A word of the API; later versions may add others."""

OutputPolicyMode: TypeAlias = Literal["any", "none", "at_least_one", "named"] | str
"""A word of the API; later versions may add others."""

PreviewKind: TypeAlias = Literal["html", "svg", "image", "pdf", "text", "none"] | str
"""A word of the API; later versions may add others."""

Provider: TypeAlias = str
"""One of anthropic, openai, openrouter, offline, or the name of an endpoint of the account's own."""

ProviderApi: TypeAlias = Literal["anthropic-messages", "openai-responses", "openai-completions"] | str
"""A word of the API; later versions may add others."""

QueueReason: TypeAlias = Literal["no_free_slot", "account_limit", "no_runner", "draining"] | str
"""A word of the API; later versions may add others."""

Region: TypeAlias = Literal["eu", "any"] | str
"""A word of the API; later versions may add others."""

ReminderReason: TypeAlias = Literal["no_finish", "soft_finish", "budget", "message"] | str
"""A word of the API; later versions may add others."""

ResentStatus: TypeAlias = Literal["failed", "all"] | str
"""A word of the API; later versions may add others."""

Role: TypeAlias = Literal["user", "assistant"] | str
"""A word of the API; later versions may add others."""

SessionRole: TypeAlias = Literal["viewer", "member"] | str
"""A word of the API; later versions may add others."""

SwitchedOff: TypeAlias = Literal["internet_access", "offline_model", "images", "own_destinations"] | str
"""A word of the API; later versions may add others."""

TaskErrorCode: TypeAlias = (
    Literal[
        "agent_crashed",
        "agent_stopped",
        "budget_exceeded",
        "checkpoint_corrupt",
        "checkpoint_failed",
        "disk_full",
        "event_log_full",
        "image_unavailable",
        "infrastructure_error",
        "input_unavailable",
        "interrupted",
        "max_runtime_exceeded",
        "out_of_memory",
        "provider_error",
        "provider_key_missing",
        "too_many_processes",
    ]
    | str
)
"""A word of the API; later versions may add others."""

TaskMode: TypeAlias = Literal["autonomous", "conversation"] | str
"""A word of the API; later versions may add others."""

TaskStatus: TypeAlias = (
    Literal[
        "pending", "running", "awaiting_input", "hibernating", "finished", "failed", "cancelled", "expired"
    ]
    | str
)
"""A word of the API; later versions may add others."""

TitleSource: TypeAlias = Literal["instructions", "model"] | str
"""A word of the API; later versions may add others."""

TurnStatus: TypeAlias = Literal["queued", "running", "completed", "failed"] | str
"""A word of the API; later versions may add others."""

UseKind: TypeAlias = Literal["reference_file", "skill", "input", "message"] | str
"""A word of the API; later versions may add others."""

WakeKind: TypeAlias = Literal["message", "external_wake", "deadline", "link", "provider", "budget"] | str
"""A word of the API; later versions may add others."""

WakeRequestKind: TypeAlias = Literal["message", "external_wake"] | str
"""A word of the API; later versions may add others."""

WebhookDeliveryStatus: TypeAlias = Literal["pending", "delivered", "failed"] | str
"""A word of the API; later versions may add others."""

WebhookDisabledReason: TypeAlias = Literal["client", "gone", "failing", "backlog"] | str
"""A word of the API; later versions may add others."""

WebhookEventFilter: TypeAlias = (
    Literal[
        "*",
        "task.created",
        "task.started",
        "task.titled",
        "task.requeued",
        "task.hibernated",
        "task.woken",
        "task.awaiting_input",
        "budget.warning",
        "budget.reached",
        "task.finished",
        "task.failed",
        "task.cancelled",
        "task.expired",
        "turn.started",
        "turn.completed",
        "turn.failed",
        "balance.low",
        "webhook.disabled",
    ]
    | str
)
"""A word of the API; later versions may add others."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Storage(Model):
    """Stored bytes and their quota."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("usedBytes", "used_bytes", None),
        ("quotaBytes", "quota_bytes", None),
        ("isEnforced", "is_enforced", None),
    )

    used_bytes: int
    quota_bytes: int
    is_enforced: bool
    """False: there is no quota."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class AccountLimits(Model):
    """What the operator allows the account. Null: no limit."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("runningTasks", "running_tasks", None),
        ("queuedTasks", "queued_tasks", None),
        ("costUsdPerDay", "cost_usd_per_day", None),
        ("maxPriority", "max_priority", None),
    )

    running_tasks: int | None
    queued_tasks: int | None
    cost_usd_per_day: float | None
    max_priority: int | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Account(Model):
    """The account of the API key."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("id", "id", None),
        ("name", "name", None),
        ("email", "email", None),
        ("creditBalance", "credit_balance", None),
        ("billingMode", "billing_mode", None),
        ("fileStorage", "file_storage", Storage.from_wire),
        ("checkpointStorage", "checkpoint_storage", Storage.from_wire),
        ("createdAt", "created_at", instant),
        ("role", "role", None),
        ("isOperator", "is_operator", None),
        ("heldUsd", "held_usd", None),
        ("lowBalanceUsd", "low_balance_usd", None),
        ("usageMetadataKeys", "usage_metadata_keys", None),
        ("limits", "limits", AccountLimits.from_wire),
    )

    id: str
    name: str
    email: str | None
    credit_balance: float
    """Prepaid US dollars, less what is held for live tasks."""
    billing_mode: BillingMode
    file_storage: Storage
    checkpoint_storage: Storage
    created_at: datetime
    role: KeyRole
    """Of the API key that you use."""
    is_operator: bool
    """Whether the account operates the installation."""
    held_usd: float
    """What is held for live tasks."""
    low_balance_usd: float | None
    """Below this balance the feed gets the event `balance.low`. Null: never."""
    usage_metadata_keys: list[str]
    """Keys of the tasks' metadata by which `GET /usage` can sum."""
    limits: AccountLimits
    """What the operator allows the account."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Activity(Model):
    """A tool call."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("id", "id", None),
        ("turnNumber", "turn_number", None),
        ("attemptNumber", "attempt_number", None),
        ("startedSequence", "started_sequence", None),
        ("completedSequence", "completed_sequence", None),
        ("kind", "kind", None),
        ("callId", "call_id", None),
        ("toolKey", "tool_key", None),
        ("input", "input", None),
        ("inputOmittedReason", "input_omitted_reason", None),
        ("status", "status", None),
        ("errorCode", "error_code", None),
        ("startedAt", "started_at", instant),
        ("completedAt", "completed_at", instant),
        ("durationMs", "duration_ms", None),
    )

    id: str
    turn_number: int
    attempt_number: int
    started_sequence: int
    """The sequence of its `tool.started` event."""
    completed_sequence: int | None
    """The sequence of its `tool.completed` event."""
    kind: str
    call_id: str
    tool_key: str
    input: Any
    input_omitted_reason: InputOmittedReason | None
    """Why `input` is null."""
    status: ActivityStatus
    error_code: ActivityErrorCode | None
    """`tool_error`: the tool failed. `interrupted`: the attempt was lost during the call."""
    started_at: datetime
    completed_at: datetime | None
    duration_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Actor(Model):
    """Who did it."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("kind", "kind", None),
        ("id", "id", None),
        ("accountId", "account_id", None),
    )

    kind: ActorKind
    id: str | None
    """Of the key, session or link. `cli`: a user of the host that ran a command."""
    account_id: str | None
    """The account of the actor: another one if it is an operator."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Runtime(Model):
    """What an agent runs in (its container image) and on (its agent runtime)."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("containerImage", "container_image", None),
        ("agentRuntime", "agent_runtime", None),
    )

    container_image: str | None
    agent_runtime: AgentRuntime


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class AgentDefaults(Model):
    """What tasks of this version run with unless their overrides say otherwise."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("provider", "provider", None),
        ("model", "model", None),
        ("weakModel", "weak_model", None),
        ("internetAccess", "internet_access", None),
        ("maxRuntimeSeconds", "max_runtime_seconds", None),
        ("softFinishAfterSeconds", "soft_finish_after_seconds", None),
        ("sessionTtlSeconds", "session_ttl_seconds", None),
        ("outputPolicy", "output_policy", None),
        ("runtimeRegion", "runtime_region", None),
    )

    provider: Provider
    model: str
    weak_model: str | None
    internet_access: bool
    max_runtime_seconds: int
    soft_finish_after_seconds: int | None
    session_ttl_seconds: int
    output_policy: dict[str, Any]
    """As sent."""
    runtime_region: Region


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class AgentVersion(Model):
    """A version of an agent. It never changes."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("id", "id", None),
        ("agentId", "agent_id", None),
        ("number", "number", None),
        ("runtime", "runtime", Runtime.from_wire),
        ("basePrompt", "base_prompt", None),
        ("defaults", "defaults", AgentDefaults.from_wire),
        ("referenceFileIds", "reference_file_ids", None),
        ("skills", "skills", None),
        ("createdAt", "created_at", instant),
    )

    id: str
    agent_id: str
    number: int
    runtime: Runtime
    base_prompt: str
    defaults: AgentDefaults
    reference_file_ids: list[str]
    skills: list[str]
    """Ids of files: archives of Pi skills."""
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Agent(Model):
    """An agent with its current version."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("id", "id", None),
        ("name", "name", None),
        ("description", "description", None),
        ("currentVersion", "current_version", AgentVersion.from_wire),
        ("isStandard", "is_standard", None),
        ("archivedAt", "archived_at", instant),
        ("createdAt", "created_at", instant),
    )

    id: str
    name: str
    description: str
    current_version: AgentVersion
    is_standard: bool
    """Ships with the platform: every account may use it, none may change it."""
    archived_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class KeyLimits(Model):
    """What the key may use on a day, in UTC. Null: no limit."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("costUsdPerDay", "cost_usd_per_day", None),
        ("tasksPerDay", "tasks_per_day", None),
        ("maxPriority", "max_priority", None),
    )

    cost_usd_per_day: float | None
    tasks_per_day: int | None
    max_priority: int | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class ApiKey(Model):
    """An API key, without the key itself."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("role", "role", None),
        ("agentIds", "agent_ids", None),
        ("limits", "limits", KeyLimits.from_wire),
        ("expiresAt", "expires_at", instant),
        ("last4", "last4", None),
        ("id", "id", None),
        ("name", "name", None),
        ("createdAt", "created_at", instant),
        ("lastUsedAt", "last_used_at", instant),
    )

    role: KeyRole
    agent_ids: list[str] | None
    """The agents that exist for the key. Null: all of the account."""
    limits: KeyLimits
    expires_at: datetime | None
    last4: str | None
    """The key's last four characters. Null for older keys."""
    id: str
    name: str
    created_at: datetime
    last_used_at: datetime | None
    """To the minute."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class ApiProcess(Model):
    """An API process."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("host", "host", None),
        ("port", "port", None),
        ("version", "version", None),
        ("isAlive", "is_alive", None),
        ("silentSeconds", "silent_seconds", None),
    )

    host: str
    port: int
    version: str
    is_alive: bool
    silent_seconds: float
    """Since it was heard of last."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class AuditEntry(Model):
    """One act. Entries never change."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("id", "id", None),
        ("at", "at", instant),
        ("actor", "actor", Actor.from_wire),
        ("action", "action", None),
        ("target", "target", None),
        ("accountId", "account_id", None),
        ("address", "address", None),
        ("requestId", "request_id", None),
    )

    id: str
    at: datetime
    actor: Actor
    action: str
    """Such as `api_key.created`; later versions have more."""
    target: str | None
    """What it was done to: an id or a name, never a value."""
    account_id: str | None
    """The account that it concerns. Null: the installation."""
    address: str | None
    """The IP address of the actor."""
    request_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Balance(Model):
    """The balance of an account."""

    WIRE: ClassVar[tuple[WireField, ...]] = (("creditBalance", "credit_balance", None),)

    credit_balance: float
    """US dollars."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Batch(Model):
    """Tasks that were dispatched together."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("id", "id", None),
        ("agentId", "agent_id", None),
        ("counts", "counts", None),
        ("createdAt", "created_at", instant),
    )

    id: str
    agent_id: str
    counts: dict[str, int]
    """Tasks by status, without deleted ones."""
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class CallbackSecret(Model):
    """The secret that signs requests to `overrides.callbackUrl` of the account's tasks."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("secret", "secret", None),
        ("createdAt", "created_at", instant),
        ("previousSecretUntil", "previous_secret_until", instant),
    )

    secret: str
    """`whsec_…`: signs the requests."""
    created_at: datetime
    previous_secret_until: datetime | None
    """Until then requests are signed with the previous secret, too."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class CancelledTasks(Model):
    """How many tasks were cancelled, and how many have not ended yet."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("cancelled", "cancelled", None),
        ("remaining", "remaining", None),
    )

    cancelled: int
    remaining: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class RegionChoice(Model):
    """A value of `runtimeRegion`."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("region", "region", None),
        ("hasRunner", "has_runner", None),
    )

    region: Region
    has_runner: bool
    """Whether a runner that takes its tasks is running now."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Capabilities(Model):
    """What this installation offers."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("version", "version", None),
        ("providers", "providers", None),
        ("regions", "regions", each(RegionChoice.from_wire)),
        ("registries", "registries", None),
        ("internetAccess", "internet_access", None),
        ("maxUploadBytes", "max_upload_bytes", None),
        ("maxTextBytes", "max_text_bytes", None),
        ("maxRuntimeSeconds", "max_runtime_seconds", None),
        ("maxHibernationDays", "max_hibernation_days", None),
        ("switchedOff", "switched_off", None),
    )

    version: str
    providers: list[Provider]
    """The platform's own."""
    regions: list[RegionChoice]
    registries: list[str]
    """Registries whose images agents may use."""
    internet_access: bool
    """Whether `internetAccess: true` is accepted."""
    max_upload_bytes: int
    max_text_bytes: int
    """Of instructions, and of a message."""
    max_runtime_seconds: int
    max_hibernation_days: int
    switched_off: list[SwitchedOff]
    """What the operator has switched off. `own_destinations`: repositories and model endpoints of the
    client's own.
    """


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class CliLogin(Model):
    """A login of a command line, as the person sees it who is asked to approve it."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("id", "id", None),
        ("status", "status", None),
        ("phrase", "phrase", None),
        ("hostname", "hostname", None),
        ("address", "address", None),
        ("createdAt", "created_at", instant),
        ("expiresAt", "expires_at", instant),
    )

    id: str
    status: LoginStatus
    phrase: str
    hostname: str
    """As the command line says."""
    address: str | None
    """From where it asked."""
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class CliLoginResult(Model):
    """What came of a login."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("status", "status", None),
        ("apiKey", "api_key", None),
        ("accountId", "account_id", None),
    )

    status: LoginStatus
    api_key: str | None
    """Once it is approved."""
    account_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class SessionAccount(Model):
    """The account that the browser is logged in to."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("id", "id", None),
        ("name", "name", None),
    )

    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class CurrentSession(Model):
    """The session of this browser, and what it may do now."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("id", "id", None),
        ("account", "account", SessionAccount.from_wire),
        ("role", "role", None),
        ("isOperator", "is_operator", None),
        ("agentIds", "agent_ids", None),
        ("createdAt", "created_at", instant),
        ("expiresAt", "expires_at", instant),
    )

    id: str
    account: SessionAccount
    role: SessionRole
    is_operator: bool
    agent_ids: list[str] | None
    """The agents that it sees; null: all."""
    created_at: datetime
    expires_at: datetime
    """At the latest; sooner after 7 days without a request."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class DispatchProblem(Model):
    """Why the dispatch would be refused."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("code", "code", None),
        ("path", "path", None),
        ("message", "message", None),
    )

    code: ApiErrorCode
    path: str | None
    """The field of the request; null: it is about none."""
    message: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class EffectiveValue(Model):
    """The value of a setting, and which layer decided it."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("value", "value", None),
        ("from", "from_", None),
    )

    value: Any
    from_: Origin


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class EffectiveExecution(Model):
    """What the task would run with."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("provider", "provider", EffectiveValue.from_wire),
        ("model", "model", EffectiveValue.from_wire),
        ("weakModel", "weak_model", EffectiveValue.from_wire),
        ("internetAccess", "internet_access", EffectiveValue.from_wire),
        ("egress", "egress", EffectiveValue.from_wire),
        ("maxRuntimeSeconds", "max_runtime_seconds", EffectiveValue.from_wire),
        ("softFinishAfterSeconds", "soft_finish_after_seconds", EffectiveValue.from_wire),
        ("outputPolicy", "output_policy", EffectiveValue.from_wire),
        ("runtimeRegion", "runtime_region", EffectiveValue.from_wire),
        ("budget", "budget", EffectiveValue.from_wire),
        ("priority", "priority", EffectiveValue.from_wire),
    )

    provider: EffectiveValue
    model: EffectiveValue
    weak_model: EffectiveValue
    internet_access: EffectiveValue
    egress: EffectiveValue
    max_runtime_seconds: EffectiveValue
    soft_finish_after_seconds: EffectiveValue
    output_policy: EffectiveValue
    runtime_region: EffectiveValue
    budget: EffectiveValue
    priority: EffectiveValue


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class DispatchTrial(Model):
    """What a dispatch would do."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("agentVersionId", "agent_version_id", None),
        ("execution", "execution", EffectiveExecution.from_wire),
        ("holdUsd", "hold_usd", None),
        ("balanceAfterUsd", "balance_after_usd", None),
        ("problems", "problems", each(DispatchProblem.from_wire)),
    )

    agent_version_id: str | None
    execution: EffectiveExecution | None
    """Null: it cannot be told. `problems` says why."""
    hold_usd: float
    """US dollars."""
    balance_after_usd: float
    """US dollars."""
    problems: list[DispatchProblem]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class DispatchedBatch(Model):
    """A new batch, and the ids of its tasks in the order of the request."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("batch", "batch", Batch.from_wire),
        ("taskIds", "task_ids", None),
    )

    batch: Batch
    task_ids: list[str]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Execution(Model):
    """What the task runs with: its version's defaults with its overrides applied."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("provider", "provider", None),
        ("model", "model", None),
        ("weakModel", "weak_model", None),
    )

    provider: Provider
    model: str
    weak_model: str | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class FeedData(Model):
    """A short summary of an event, below 20 kB: the task as it was at the event. Empty once the task is
    deleted.
    """

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("position", "position", None),
        ("taskId", "task_id", None),
        ("sequence", "sequence", None),
        ("url", "url", None),
        ("agentId", "agent_id", None),
        ("mode", "mode", None),
        ("status", "status", None),
        ("title", "title", None),
        ("metadata", "metadata", None),
        ("completion", "completion", None),
        ("errorCode", "error_code", None),
        ("costUsd", "cost_usd", None),
        ("attempt", "attempt", None),
        ("hibernateUntilAt", "hibernate_until_at", instant),
        ("hibernationReason", "hibernation_reason", None),
        ("hasWakeLink", "has_wake_link", None),
        ("kind", "kind", None),
        ("expiresAt", "expires_at", instant),
        ("percent", "percent", None),
        ("usedUsd", "used_usd", None),
        ("usedTokens", "used_tokens", None),
        ("onReached", "on_reached", None),
        ("turnNumber", "turn_number", None),
        ("attemptNumber", "attempt_number", None),
        ("messageId", "message_id", None),
        ("webhookId", "webhook_id", None),
        ("webhookUrl", "webhook_url", None),
        ("disabledReason", "disabled_reason", None),
        ("balanceUsd", "balance_usd", None),
        ("lowBalanceUsd", "low_balance_usd", None),
    )

    position: int | None = None
    """The entry's."""
    task_id: str | None = None
    sequence: int | None = None
    """The event's, in the task's own log."""
    url: str | None = None
    """The task's page in the dashboard, as it was then; null: there is none."""
    agent_id: str | None = None
    mode: TaskMode | None = None
    status: TaskStatus | None = None
    title: str | None = None
    metadata: dict[str, Any] | None = None
    """As sent at dispatch."""
    completion: Completion | None = None
    error_code: TaskErrorCode | None = None
    cost_usd: float | None = None
    """US dollars. Null until the task has ended."""
    attempt: int | None = None
    """Of `task.started`."""
    hibernate_until_at: datetime | None = None
    """Of `task.hibernated`."""
    hibernation_reason: HibernationReason | None = None
    """Of `task.hibernated`."""
    has_wake_link: bool | None = None
    """Of `task.hibernated`."""
    kind: WakeKind | None = None
    """Of `task.woken`."""
    expires_at: datetime | None = None
    """Of `task.awaiting_input`."""
    percent: int | None = None
    """Of `budget.warning`."""
    used_usd: float | None = None
    """Of `budget.…`: by model requests."""
    used_tokens: int | None = None
    """Of `budget.…`."""
    on_reached: OnReached | None = None
    """Of `budget.reached`."""
    turn_number: int | None = None
    """Of `turn.…`."""
    attempt_number: int | None = None
    """Of `turn.…`."""
    message_id: str | None = None
    """Of `turn.started` and `turn.completed`."""
    webhook_id: str | None = None
    """Of `webhook.disabled`."""
    webhook_url: str | None = None
    """Of `webhook.disabled`."""
    disabled_reason: WebhookDisabledReason | None = None
    """Of `webhook.disabled`."""
    balance_usd: float | None = None
    """Of `balance.low`."""
    low_balance_usd: float | None = None
    """Of `balance.low`: the account's threshold."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class FeedEntry(Model):
    """An event of the account, in short."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("position", "position", None),
        ("id", "id", None),
        ("type", "type", None),
        ("taskId", "task_id", None),
        ("createdAt", "created_at", instant),
        ("data", "data", FeedData.from_wire),
    )

    position: int
    """1, 2, 3 … without gaps."""
    id: str
    """The event's."""
    type: FeedEventType
    task_id: str | None
    """Null for an event that is of no task."""
    created_at: datetime
    data: FeedData


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class FieldFault(Model):
    """What is wrong with one field of a request."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("path", "path", None),
        ("message", "message", None),
    )

    path: str
    """For example `overrides.outputPolicy.mode`."""
    message: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class File(Model):
    """A stored file, without its bytes."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("id", "id", None),
        ("fileId", "file_id", None),
        ("filename", "filename", None),
        ("contentType", "content_type", None),
        ("sizeBytes", "size_bytes", None),
        ("sha256", "sha256", None),
        ("taskId", "task_id", None),
        ("path", "path", None),
        ("createdAt", "created_at", instant),
    )

    id: str
    file_id: str
    """The same as `id`."""
    filename: str
    content_type: str
    size_bytes: int
    sha256: str
    task_id: str | None
    """The task that put it out; null for an upload."""
    path: str | None
    """Of an output: where the agent had it, relative to its home folder."""
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class FileUse(Model):
    """One use of a file: by a version of an agent, or by a task. The fields of the other are null."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("kind", "kind", None),
        ("agentId", "agent_id", None),
        ("versionId", "version_id", None),
        ("versionNumber", "version_number", None),
        ("taskId", "task_id", None),
        ("title", "title", None),
        ("status", "status", None),
    )

    kind: UseKind
    agent_id: str
    version_id: str | None
    version_number: int | None
    task_id: str | None
    title: str | None
    status: TaskStatus | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class FileUses(Model):
    """What uses a file: versions of agents, then tasks, those that have not ended first."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("data", "data", each(FileUse.from_wire)),
        ("isComplete", "is_complete", None),
        ("keptBy", "kept_by", None),
    )

    data: list[FileUse]
    """At most 100 versions and 100 tasks."""
    is_complete: bool
    """Whether nothing else uses the file."""
    kept_by: str | None
    """What keeps the file from being deleted, as a phrase; null: nothing does."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class GivenFile(Model):
    """An input file of a task."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("id", "id", None),
        ("filename", "filename", None),
        ("contentType", "content_type", None),
        ("sizeBytes", "size_bytes", None),
        ("isDeleted", "is_deleted", None),
    )

    id: str
    filename: str
    content_type: str
    size_bytes: int
    is_deleted: bool
    """Whether the file was deleted since."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Health(Model):
    """The process runs."""

    WIRE: ClassVar[tuple[WireField, ...]] = (("status", "status", None),)

    status: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class InstallationHealth(Model):
    """The state of the installation. `problems`: what an operator should look at, as sentences."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("version", "version", None),
        ("databaseSchema", "database_schema", None),
        ("postgresVersion", "postgres_version", None),
        ("connections", "connections", None),
        ("maxConnections", "max_connections", None),
        ("isPaused", "is_paused", None),
        ("apiProcesses", "api_processes", each(ApiProcess.from_wire)),
        ("problems", "problems", None),
    )

    version: str
    database_schema: str
    postgres_version: str
    connections: int
    max_connections: int
    is_paused: bool
    api_processes: list[ApiProcess]
    problems: list[str]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class QueueRegion(Model):
    """The tasks of one region that wait for a runner."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("region", "region", None),
        ("waiting", "waiting", None),
        ("oldestSeconds", "oldest_seconds", None),
    )

    region: str
    waiting: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class QueueAccount(Model):
    """The tasks of one account in the queue."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("accountId", "account_id", None),
        ("waiting", "waiting", None),
        ("running", "running", None),
        ("maxRunning", "max_running", None),
    )

    account_id: str
    waiting: int
    running: int
    max_running: int | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class InstallationQueue(Model):
    """The queue. `accounts`: those with most waiting tasks."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("isPaused", "is_paused", None),
        ("tasks", "tasks", None),
        ("regions", "regions", each(QueueRegion.from_wire)),
        ("accounts", "accounts", each(QueueAccount.from_wire)),
    )

    is_paused: bool
    tasks: dict[str, int]
    """Live tasks by status."""
    regions: list[QueueRegion]
    accounts: list[QueueAccount]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class InstalledAccount(Model):
    """An account of the installation."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("id", "id", None),
        ("name", "name", None),
        ("email", "email", None),
        ("billingMode", "billing_mode", None),
        ("creditBalance", "credit_balance", None),
        ("isOperator", "is_operator", None),
        ("suspendedAt", "suspended_at", instant),
        ("limits", "limits", AccountLimits.from_wire),
        ("runningTasks", "running_tasks", None),
        ("queuedTasks", "queued_tasks", None),
        ("apiKeys", "api_keys", None),
        ("createdAt", "created_at", instant),
    )

    id: str
    name: str
    email: str | None
    billing_mode: BillingMode
    credit_balance: float
    """US dollars."""
    is_operator: bool
    suspended_at: datetime | None
    limits: AccountLimits
    running_tasks: int
    queued_tasks: int
    api_keys: int
    """How many keys it has that are not revoked."""
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class LastActivity(Model):
    """The latest tool call of a task."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("tool", "tool", None),
        ("summary", "summary", None),
        ("at", "at", instant),
    )

    tool: str
    summary: str
    """Its command or path, at most 200 characters; empty where it has neither."""
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class LastMessage(Model):
    """The latest message of a conversation, or the latest steering message."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("role", "role", None),
        ("content", "content", None),
        ("at", "at", instant),
    )

    role: Role
    content: str
    """At most 200 characters."""
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class LedgerEntry(Model):
    """One movement of money. Entries never change, and their sum is the balance."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("id", "id", None),
        ("kind", "kind", None),
        ("amountUsd", "amount_usd", None),
        ("taskId", "task_id", None),
        ("balanceAfterUsd", "balance_after_usd", None),
        ("createdAt", "created_at", instant),
    )

    id: str
    kind: LedgerEntryKind
    amount_usd: float
    """Added to the balance; negative for a hold and a charge."""
    task_id: str | None
    balance_after_usd: float
    """The balance after this entry."""
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class LoginCode(Model):
    """A link that logs one browser in, once."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("url", "url", None),
        ("expiresAt", "expires_at", instant),
    )

    url: str
    """Treat it as a password. The code is after the #."""
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class MessageFile(Model):
    """A file that came with a message, or that the agent shared during the turn."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("id", "id", None),
        ("filename", "filename", None),
        ("contentType", "content_type", None),
        ("sizeBytes", "size_bytes", None),
        ("createdAt", "created_at", instant),
    )

    id: str
    filename: str
    content_type: str
    size_bytes: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class TokenUsage(Model):
    """Tokens of model requests. The input includes what the provider had in its cache."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("input_tokens", "input_tokens", None),
        ("output_tokens", "output_tokens", None),
        ("cached_input_tokens", "cached_input_tokens", None),
    )

    input_tokens: int
    output_tokens: int
    cached_input_tokens: int | None = None
    """The part of the input that the provider had in its cache. Older events lack it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Message(Model):
    """A message. A reply holds what the agent said after its last tool call in the turn, and what the turn
    used.
    """

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("id", "id", None),
        ("turnNumber", "turn_number", None),
        ("attemptNumber", "attempt_number", None),
        ("role", "role", None),
        ("status", "status", None),
        ("content", "content", None),
        ("files", "files", each(MessageFile.from_wire)),
        ("tokenUsage", "token_usage", TokenUsage.from_wire),
        ("costUsd", "cost_usd", None),
        ("sequence", "sequence", None),
        ("createdAt", "created_at", instant),
    )

    id: str
    turn_number: int
    attempt_number: int
    role: Role
    status: MessageStatus
    """A user's message is `queued`, then `delivered` to the agent. A reply is `created`."""
    content: str
    files: list[MessageFile]
    token_usage: TokenUsage
    cost_usd: float
    """US dollars."""
    sequence: int
    """That of the message's `message.created` event."""
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class NewApiKey(Model):
    """A new API key, shown in full this once."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("role", "role", None),
        ("agentIds", "agent_ids", None),
        ("limits", "limits", KeyLimits.from_wire),
        ("expiresAt", "expires_at", instant),
        ("last4", "last4", None),
        ("id", "id", None),
        ("name", "name", None),
        ("key", "key", None),
        ("createdAt", "created_at", instant),
    )

    role: KeyRole
    agent_ids: list[str] | None
    """The agents that exist for the key. Null: all of the account."""
    limits: KeyLimits
    expires_at: datetime | None
    last4: str | None
    """The key's last four characters. Null for older keys."""
    id: str
    name: str
    key: str = field(repr=False)
    """`ac_live_…`. Keep it: only its hash is stored."""
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class NewInstalledAccount(Model):
    """A new account, with its first API key, which is shown this once."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("account", "account", InstalledAccount.from_wire),
        ("apiKey", "api_key", None),
    )

    account: InstalledAccount
    api_key: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class NewLink(Model):
    """A wake link. Treat its URL as a password."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("url", "url", None),
        ("expiresAt", "expires_at", instant),
    )

    url: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class TokenPrice(Model):
    """Prices in US dollars per million tokens."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("input", "input", None),
        ("output", "output", None),
        ("cacheRead", "cache_read", None),
        ("cacheWrite", "cache_write", None),
    )

    input: float
    output: float
    cache_read: float
    cache_write: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class OfferedModel(Model):
    """A model that a task can name, with its provider."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("provider", "provider", None),
        ("id", "id", None),
        ("isDefault", "is_default", None),
        ("contextWindow", "context_window", None),
        ("maxOutputTokens", "max_output_tokens", None),
        ("price", "price", TokenPrice.from_wire),
    )

    provider: Provider
    id: str
    is_default: bool
    """Tasks use it if neither the agent nor the task names another."""
    context_window: int | None
    """In tokens. Null: not known."""
    max_output_tokens: int | None
    """Of one answer. Null: not known."""
    price: TokenPrice | None
    """Null: not known, so that `budget.maxCostUsd` cannot be enforced."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class OutputFile(Model):
    """An output file."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("id", "id", None),
        ("filename", "filename", None),
        ("contentType", "content_type", None),
        ("sizeBytes", "size_bytes", None),
        ("createdAt", "created_at", instant),
        ("outputName", "output_name", None),
        ("path", "path", None),
        ("partial", "partial", None),
    )

    id: str
    filename: str
    content_type: str
    size_bytes: int
    created_at: datetime
    output_name: str | None
    """Its name in the task's output policy."""
    path: str | None
    """Where the agent had it: relative to its home folder, or `workspace/…`. Never absolute."""
    partial: bool
    """True: what the task had written when it failed, was cancelled or expired."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class PageInfo(Model):
    """Whether the list goes on, and the cursor of the next page."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("hasMore", "has_more", None),
        ("nextCursor", "next_cursor", None),
    )

    has_more: bool
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class PreparedUpload(Model):
    """Send the bytes to `uploadUrl` with this method and these headers, then complete the upload."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("uploadId", "upload_id", None),
        ("uploadUrl", "upload_url", None),
        ("method", "method", None),
        ("headers", "headers", None),
        ("expiresAt", "expires_at", instant),
    )

    upload_id: str
    upload_url: str = field(repr=False)
    method: str
    headers: dict[str, str]
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Preview(Model):
    """How a browser shows a file, and signed links for it. Treat them as passwords."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("fileId", "file_id", None),
        ("kind", "kind", None),
        ("contentType", "content_type", None),
        ("sizeBytes", "size_bytes", None),
        ("url", "url", None),
        ("scriptsUrl", "scripts_url", None),
        ("expiresAt", "expires_at", instant),
    )

    file_id: str
    kind: PreviewKind
    """`none`: the file can only be downloaded."""
    content_type: str
    """Of the answer to the links. Of `text`: `text/plain`."""
    size_bytes: int
    url: str | None
    """Shows the file without running scripts. Null for `none`."""
    scripts_url: str | None
    """Of `html` only: runs the scripts in the file too, which reach nothing."""
    expires_at: datetime | None
    """When the links stop working. Null for `none`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class ProviderKey(Model):
    """A stored provider key, without the key itself, and where it is sent."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("provider", "provider", None),
        ("last4", "last4", None),
        ("baseUrl", "base_url", None),
        ("api", "api", None),
        ("price", "price", TokenPrice.from_wire),
        ("createdAt", "created_at", instant),
    )

    provider: Provider
    last4: str
    """The key's last four characters; empty for a short key, and if there is no key."""
    base_url: str | None
    """Set for an endpoint of the account's own; otherwise null."""
    api: ProviderApi | None
    price: TokenPrice | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class ProviderTestResult(Model):
    """What the provider answered to one request."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("isWorking", "is_working", None),
        ("status", "status", None),
        ("answer", "answer", None),
        ("error", "error", None),
        ("durationMs", "duration_ms", None),
    )

    is_working: bool
    status: int | None
    """HTTP status; null if it did not answer."""
    answer: str
    """The beginning of what it answered, without the key."""
    error: str | None
    """A sentence that says what is wrong."""
    duration_ms: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class QueueState(Model):
    """Where a pending task is in the queue, and what it waits for."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("position", "position", None),
        ("reason", "reason", None),
        ("message", "message", None),
        ("since", "since", instant),
    )

    position: int
    """How many of the account's own tasks are before it; at most 1000."""
    reason: QueueReason
    message: str
    """The reason as a phrase, such as `2 before you`."""
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Readiness(Model):
    """The process can serve requests."""

    WIRE: ClassVar[tuple[WireField, ...]] = (("status", "status", None),)

    status: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Resent(Model):
    """How many deliveries are pending again."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("count", "count", None),
        ("nextSince", "next_since", instant),
    )

    count: int
    """At most 10000."""
    next_since: datetime | None
    """There are more: repeat with this `since`. Null: that was all."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Runner(Model):
    """A runner that has not stopped."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("id", "id", None),
        ("name", "name", None),
        ("host", "host", None),
        ("version", "version", None),
        ("region", "region", None),
        ("capacity", "capacity", None),
        ("tasks", "tasks", None),
        ("isAlive", "is_alive", None),
        ("isDraining", "is_draining", None),
        ("silentSeconds", "silent_seconds", None),
        ("clockSkewSeconds", "clock_skew_seconds", None),
    )

    id: str
    name: str | None
    host: str
    version: str | None
    region: str
    capacity: int
    tasks: int
    """How many tasks it has."""
    is_alive: bool
    is_draining: bool
    silent_seconds: float
    clock_skew_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class RunnerList(Model):
    """All runners."""

    WIRE: ClassVar[tuple[WireField, ...]] = (("data", "data", each(Runner.from_wire)),)

    data: list[Runner]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Session(Model):
    """A browser that is logged in."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("id", "id", None),
        ("keyId", "key_id", None),
        ("role", "role", None),
        ("isCurrent", "is_current", None),
        ("userAgent", "user_agent", None),
        ("createdAt", "created_at", instant),
        ("lastSeenAt", "last_seen_at", instant),
        ("expiresAt", "expires_at", instant),
    )

    id: str
    key_id: str | None
    """The API key whose rights it has; null: the operator made its link."""
    role: SessionRole
    is_current: bool
    """Whether it sends this request."""
    user_agent: str
    """What the browser says it is."""
    created_at: datetime
    last_seen_at: datetime
    """To the minute."""
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Setting(Model):
    """A setting of the API process that answers. Secrets are not shown."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("name", "name", None),
        ("value", "value", None),
        ("source", "source", None),
    )

    name: str
    value: str | None
    """Null: unset."""
    source: str
    """`environment`, `default`, or the file."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class SettingList(Model):
    """All settings."""

    WIRE: ClassVar[tuple[WireField, ...]] = (("data", "data", each(Setting.from_wire)),)

    data: list[Setting]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class StartedCliLogin(Model):
    """A login of a command line. `url` is for the person, `deviceCode` for the command line alone."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("id", "id", None),
        ("deviceCode", "device_code", None),
        ("phrase", "phrase", None),
        ("url", "url", None),
        ("expiresAt", "expires_at", instant),
    )

    id: str
    device_code: str
    phrase: str
    """To be shown in the terminal: the browser must show the same."""
    url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class StorageReceipt(Model):
    """The response to bytes that were sent by POST."""

    WIRE: ClassVar[tuple[WireField, ...]] = (("storageId", "storage_id", None),)

    storage_id: str
    """Send it when you complete the upload."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class TaskBudget(Model):
    """The budget of a task's model requests, and what they have used."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("maxCostUsd", "max_cost_usd", None),
        ("maxTokens", "max_tokens", None),
        ("onReached", "on_reached", None),
        ("usedUsd", "used_usd", None),
        ("usedTokens", "used_tokens", None),
    )

    max_cost_usd: float | None
    max_tokens: int | None
    on_reached: OnReached
    used_usd: float
    """US dollars."""
    used_tokens: int
    """With those that a provider may have charged and did not report."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class TaskRepository(Model):
    """A git repository that a task was given. Its token is never sent."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("url", "url", None),
        ("ref", "ref", None),
        ("path", "path", None),
    )

    url: str
    ref: str | None
    path: str | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Task(Model):
    """A task."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("id", "id", None),
        ("url", "url", None),
        ("mode", "mode", None),
        ("agentId", "agent_id", None),
        ("agentName", "agent_name", None),
        ("agentVersionId", "agent_version_id", None),
        ("runtime", "runtime", Runtime.from_wire),
        ("status", "status", None),
        ("queue", "queue", QueueState.from_wire),
        ("turnStatus", "turn_status", None),
        ("turnNumber", "turn_number", None),
        ("sessionTtlSeconds", "session_ttl_seconds", None),
        ("hibernateUntilAt", "hibernate_until_at", instant),
        ("hibernationReason", "hibernation_reason", None),
        ("wakeUrl", "wake_url", None),
        ("title", "title", None),
        ("runtimeRegion", "runtime_region", None),
        ("overrides", "overrides", None),
        ("execution", "execution", Execution.from_wire),
        ("skills", "skills", None),
        ("metadata", "metadata", None),
        ("batchId", "batch_id", None),
        ("createdAt", "created_at", instant),
        ("startedAt", "started_at", instant),
        ("completedAt", "completed_at", instant),
        ("eventsPurgedAt", "events_purged_at", instant),
        ("completion", "completion", None),
        ("result", "result", None),
        ("error", "error", None),
        ("errorCode", "error_code", None),
        ("costUsd", "cost_usd", None),
        ("modelCostUsd", "model_cost_usd", None),
        ("budget", "budget", TaskBudget.from_wire),
        ("containerMinutes", "container_minutes", None),
        ("tokenUsage", "token_usage", TokenUsage.from_wire),
        ("outputCount", "output_count", None),
        ("lastActivity", "last_activity", LastActivity.from_wire),
        ("lastMessage", "last_message", LastMessage.from_wire),
        ("instructions", "instructions", None),
        ("inputFileIds", "input_file_ids", None),
        ("inputFiles", "input_files", each(GivenFile.from_wire)),
        ("inputRepositories", "input_repositories", each(TaskRepository.from_wire)),
    )

    id: str
    url: str | None
    """The task's page in the dashboard; null: there is none."""
    mode: TaskMode
    agent_id: str
    agent_name: str
    agent_version_id: str
    runtime: Runtime
    status: TaskStatus
    queue: QueueState | None
    """Of a pending task that is read by its id. Null in lists and in other responses."""
    turn_status: TurnStatus | None
    """Of a conversation: its latest turn."""
    turn_number: int
    session_ttl_seconds: int | None
    """Of a conversation: how long it waits for the next message."""
    hibernate_until_at: datetime | None
    """When a hibernating task wakes at the latest."""
    hibernation_reason: HibernationReason | None
    """Of a hibernating task. `provider`: its provider is overloaded, and is tried again. `budget`: its budget
    is used up, and it waits until that is raised.
    """
    wake_url: str | None = field(repr=False)
    """Of a hibernating task with a wake link: the link, which wakes it without an API key. Treat it as a
    password. Null for a key with the role `viewer`.
    """
    title: str | None
    runtime_region: Region
    overrides: dict[str, Any]
    """As sent, without `providerApiKey`."""
    execution: Execution
    skills: list[str]
    """Ids of files: those of the agent version, then the task's own."""
    metadata: dict[str, Any]
    """As sent."""
    batch_id: str | None
    """The batch with which the task was dispatched."""
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    events_purged_at: datetime | None
    """When the events of the task were removed, because of their age."""
    completion: Completion | None
    result: str | None
    """The message of the agent's `finish`."""
    error: str | None
    """Why the task or its latest turn failed, as a sentence."""
    error_code: TaskErrorCode | None
    """Why the task or its latest turn failed."""
    cost_usd: float
    """US dollars."""
    model_cost_usd: float
    """What the model requests cost by the prices of the catalogue. The provider bills it, not the platform.
    """
    budget: TaskBudget | None
    """Null: no limit."""
    container_minutes: float
    """Billed container time, in whole seconds / 60."""
    token_usage: TokenUsage
    output_count: int | None
    """How many output files it has, at most 1000. In lists with `fields=summary`; elsewhere null."""
    last_activity: LastActivity | None
    """In lists with `fields=summary`; elsewhere null."""
    last_message: LastMessage | None
    """In lists with `fields=summary`; elsewhere null."""
    instructions: str | None = None
    input_file_ids: list[str] | None = None
    """As sent. Of a task that is read by its id: null in lists and in other responses."""
    input_files: list[GivenFile] | None = None
    """Of a conversation: those that came with its first message."""
    input_repositories: list[TaskRepository] | None = None
    """As sent, without tokens."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class TasksUsed(Model):
    """Numbers of tasks."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("finished", "finished", None),
        ("failed", "failed", None),
        ("cancelled", "cancelled", None),
        ("expired", "expired", None),
        ("live", "live", None),
    )

    finished: int
    failed: int
    cancelled: int
    expired: int
    live: int
    """Dispatched in the period, and not ended yet."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class TokensUsed(Model):
    """Tokens of model requests."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("input", "input", None),
        ("cachedInput", "cached_input", None),
        ("output", "output", None),
    )

    input: int
    """Including those from the provider's cache."""
    cached_input: int
    output: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class UsageEntry(Model):
    """What was used together. Fields that `by` does not name are null."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("day", "day", None),
        ("agentId", "agent_id", None),
        ("agentVersionId", "agent_version_id", None),
        ("provider", "provider", None),
        ("model", "model", None),
        ("keyId", "key_id", None),
        ("metadata", "metadata", None),
        ("tasks", "tasks", TasksUsed.from_wire),
        ("containerMinutes", "container_minutes", None),
        ("costUsd", "cost_usd", None),
        ("modelCostUsd", "model_cost_usd", None),
        ("tokens", "tokens", TokensUsed.from_wire),
    )

    day: str | None
    """In UTC, as `2026-03-26`."""
    agent_id: str | None
    agent_version_id: str | None
    provider: str | None
    """With `by=model`."""
    model: str | None
    key_id: str | None
    """Null also for tasks whose API key is not known."""
    metadata: dict[str, str] | None
    """The named keys; a task without one is summed without it."""
    tasks: TasksUsed
    container_minutes: float
    cost_usd: float
    """US dollars."""
    model_cost_usd: float
    """US dollars."""
    tokens: TokensUsed


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class WebhookStats(Model):
    """The attempts of the last 7 days, at most the latest 10,000."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("attempts", "attempts", None),
        ("successShare", "success_share", None),
        ("p95Ms", "p95_ms", None),
    )

    attempts: int
    success_share: float | None
    """From 0 to 1; null without attempts."""
    p95_ms: int | None
    """The duration that 95 of 100 attempts do not exceed; null without attempts."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Webhook(Model):
    """A URL that receives events of the account."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("id", "id", None),
        ("url", "url", None),
        ("events", "events", None),
        ("description", "description", None),
        ("createdAt", "created_at", instant),
        ("disabledAt", "disabled_at", instant),
        ("disabledReason", "disabled_reason", None),
        ("lastSuccessAt", "last_success_at", instant),
        ("failingSince", "failing_since", instant),
        ("previousSecretUntil", "previous_secret_until", instant),
        ("taskId", "task_id", None),
        ("stats7d", "stats7d", WebhookStats.from_wire),
    )

    id: str
    url: str
    events: list[str]
    description: str | None
    created_at: datetime
    disabled_at: datetime | None
    """Since then it gets no events."""
    disabled_reason: WebhookDisabledReason | None
    """`client`: a client disabled it. `gone`: it answered 410. `failing`: nothing succeeded for 5 days.
    `backlog`: more than 100,000 deliveries were pending.
    """
    last_success_at: datetime | None
    failing_since: datetime | None
    """The first failure after the last success; null: the last one succeeded."""
    previous_secret_until: datetime | None
    """Until then requests are signed with the previous secret, too."""
    task_id: str | None
    """The task whose `callbackUrl` it is; null in lists."""
    stats7d: WebhookStats | None
    """Null in lists."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class WebhookAttempt(Model):
    """One request to a receiver."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("startedAt", "started_at", instant),
        ("durationMs", "duration_ms", None),
        ("status", "status", None),
        ("error", "error", None),
        ("answer", "answer", None),
    )

    started_at: datetime
    duration_ms: int
    status: int | None
    """HTTP status; null if no answer came."""
    error: str | None
    """Why it failed; null if it succeeded."""
    answer: str | None
    """The first 4096 bytes of the answer; null for viewers."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class WebhookBody(Model):
    """The body of a request to a webhook."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("type", "type", None),
        ("timestamp", "timestamp", instant),
        ("apiVersion", "api_version", None),
        ("data", "data", FeedData.from_wire),
    )

    type: str
    timestamp: datetime
    """When it happened."""
    api_version: str
    data: FeedData


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class WebhookDelivery(Model):
    """One event for one webhook."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("id", "id", None),
        ("webhookId", "webhook_id", None),
        ("taskId", "task_id", None),
        ("eventId", "event_id", None),
        ("eventType", "event_type", None),
        ("position", "position", None),
        ("status", "status", None),
        ("attemptCount", "attempt_count", None),
        ("nextAttemptAt", "next_attempt_at", instant),
        ("createdAt", "created_at", instant),
        ("deliveredAt", "delivered_at", instant),
    )

    id: str
    webhook_id: str
    task_id: str | None
    event_id: str
    """The `webhook-id` of all its requests."""
    event_type: FeedEventType
    position: int
    """Of the event, in the account's feed."""
    status: WebhookDeliveryStatus
    attempt_count: int
    next_attempt_at: datetime | None
    """Of a pending delivery. While it is sent: when it would be sent again."""
    created_at: datetime
    delivered_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class WebhookDeliveryDetails(Model):
    """One event for one webhook, with the body of its requests and its attempts."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("id", "id", None),
        ("webhookId", "webhook_id", None),
        ("taskId", "task_id", None),
        ("eventId", "event_id", None),
        ("eventType", "event_type", None),
        ("position", "position", None),
        ("status", "status", None),
        ("attemptCount", "attempt_count", None),
        ("nextAttemptAt", "next_attempt_at", instant),
        ("createdAt", "created_at", instant),
        ("deliveredAt", "delivered_at", instant),
        ("body", "body", WebhookBody.from_wire),
        ("attempts", "attempts", each(WebhookAttempt.from_wire)),
    )

    id: str
    webhook_id: str
    task_id: str | None
    event_id: str
    """The `webhook-id` of all its requests."""
    event_type: FeedEventType
    position: int
    """Of the event, in the account's feed."""
    status: WebhookDeliveryStatus
    attempt_count: int
    next_attempt_at: datetime | None
    """Of a pending delivery. While it is sent: when it would be sent again."""
    created_at: datetime
    delivered_at: datetime | None
    body: WebhookBody
    attempts: list[WebhookAttempt]
    """The latest 100, the oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class WebhookTestResult(Model):
    """What the receiver answered to a test event."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("isDelivered", "is_delivered", None),
        ("eventId", "event_id", None),
        ("status", "status", None),
        ("answer", "answer", None),
        ("error", "error", None),
        ("durationMs", "duration_ms", None),
    )

    is_delivered: bool
    event_id: str
    """The `webhook-id` of the request."""
    status: int | None
    """HTTP status; null if it did not answer."""
    answer: str
    """The first 4096 bytes of its body."""
    error: str | None
    """A sentence that says what is wrong."""
    duration_ms: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class WebhookWithSecret(Model):
    """A webhook with its secret, which is shown this once."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("id", "id", None),
        ("url", "url", None),
        ("events", "events", None),
        ("description", "description", None),
        ("createdAt", "created_at", instant),
        ("disabledAt", "disabled_at", instant),
        ("disabledReason", "disabled_reason", None),
        ("lastSuccessAt", "last_success_at", instant),
        ("failingSince", "failing_since", instant),
        ("previousSecretUntil", "previous_secret_until", instant),
        ("taskId", "task_id", None),
        ("stats7d", "stats7d", WebhookStats.from_wire),
        ("secret", "secret", None),
    )

    id: str
    url: str
    events: list[str]
    description: str | None
    created_at: datetime
    disabled_at: datetime | None
    """Since then it gets no events."""
    disabled_reason: WebhookDisabledReason | None
    """`client`: a client disabled it. `gone`: it answered 410. `failing`: nothing succeeded for 5 days.
    `backlog`: more than 100,000 deliveries were pending.
    """
    last_success_at: datetime | None
    failing_since: datetime | None
    """The first failure after the last success; null: the last one succeeded."""
    previous_secret_until: datetime | None
    """Until then requests are signed with the previous secret, too."""
    task_id: str | None
    """The task whose `callbackUrl` it is; null in lists."""
    stats7d: WebhookStats | None
    """Null in lists."""
    secret: str
    """`whsec_…`: signs the requests."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Woken(Model):
    """The task was woken."""

    WIRE: ClassVar[tuple[WireField, ...]] = (("status", "status", None),)

    status: str
