"""Parts of requests, with the names that the API has for their fields."""

# Written by scripts/render_client.py from the OpenAPI document. Do not edit.

from typing import Any, Required, TypedDict

from agentcontainer_client import models


class NamedOutput(TypedDict, total=False):
    """A file that the policy `named` asks for."""

    name: Required[str]
    """The agent declares the file under this name."""
    required: bool | None
    contentType: str | None
    maxBytes: int | None
    jsonSchema: Any
    """The file must be JSON that this schema accepts."""


class OutputPolicy(TypedDict, total=False):
    """Which files the task must produce, or must not."""

    mode: Required[models.OutputPolicyMode]
    files: list[NamedOutput] | None
    """Required with the mode `named`, refused with any other."""


class Budget(TypedDict, total=False):
    """The most that the task's model requests may use. Set one limit or both."""

    maxCostUsd: float | None
    """US dollars, by the models' token prices. Container time is not included."""
    maxTokens: int | None
    """Input and output tokens together."""
    onReached: models.OnReached | None
    """What happens when the budget is used up: the task fails (`fail`, the default), or waits until the
    budget is raised (`pause`).
    """


class Egress(TypedDict, total=False):
    """The only hosts that the task may connect to, by TCP."""

    allow: Required[list[str]]


class Overrides(TypedDict, total=False):
    """Settings of this task that replace its agent's defaults."""

    provider: models.Provider | None
    model: str | None
    """The provider's id of the model. Required with a changed provider."""
    weakModel: str | None
    """A cheaper model, which writes titles."""
    internetAccess: bool | None
    maxRuntimeSeconds: int | None
    """Container time after which the task fails."""
    softFinishAfterSeconds: int | None
    """Container time after which the agent is asked to finish."""
    outputPolicy: OutputPolicy | None
    runtimeRegion: models.Region | None
    """Where the container must run."""
    providerApiKey: str | None
    runtime: models.AgentRuntime | None
    budget: Budget | None
    egress: Egress | None
    """Restricts internet access to these hosts. Needs `internetAccess: true`."""
    priority: int | None
    """Which of the account's own pending tasks run first: the higher ones. Default: 0."""
    callbackUrl: str | None
    """Gets the events of this task, as a webhook. For new tasks only."""


class AgentDefaultsInput(TypedDict, total=False):
    """Defaults of an agent's tasks. A field that is null or was never set has the platform's default."""

    provider: models.Provider | None
    model: str | None
    """The provider's id of the model. Required with a changed provider."""
    weakModel: str | None
    """A cheaper model, which writes titles."""
    internetAccess: bool | None
    maxRuntimeSeconds: int | None
    """Container time after which the task fails."""
    softFinishAfterSeconds: int | None
    """Container time after which the agent is asked to finish."""
    outputPolicy: OutputPolicy | None
    runtimeRegion: models.Region | None
    """Where the container must run."""
    sessionTtlSeconds: int | None
    """How long a conversation waits for the user's next message."""


class RuntimeInput(TypedDict, total=False):
    """What an agent runs in (its container image) and on (its agent runtime)."""

    containerImage: str | None
    """An OCI image: `python:3.12-slim`, `ghcr.io/owner/name@sha256:…`, `oci:/folder:tag`,
    `docker-archive:/file`. It is pinned to its present digest. Null: the host's own system folders.
    """
    agentRuntime: models.AgentRuntime | None


class InputRepository(TypedDict, total=False):
    """A git repository to clone, one commit deep, into a folder of `task_files/`."""

    url: Required[str]
    """`https://…` or `http://…`, without credentials."""
    ref: str | None
    """A branch, a tag, `refs/…` or a full commit id. Default, and `HEAD`: the default branch."""
    path: str | None
    """The folder's name. Default: the last part of the URL."""
    token: str | None


class InputFile(TypedDict, total=False):
    """A file to copy into `task_files/`."""

    fileId: Required[str]
    snapshot: str | None


class BatchTask(TypedDict, total=False):
    """A task of a batch, or what all of them have in common."""

    instructions: str | None
    inputFileIds: list[str] | None
    inputFiles: list[InputFile] | None
    versionId: str | None
    inputRepositories: list[InputRepository] | None
    skills: list[str] | None
    title: str | None
    titleSource: models.TitleSource | None
    """Where the title comes from if none is given. `model`: the weak model writes it."""
    metadata: dict[str, Any] | None
    overrides: Overrides | None


class AccountLimitsInput(TypedDict, total=False):
    """Changes of the limits. A limit that is not given stays; null removes it."""

    runningTasks: int | None
    queuedTasks: int | None
    costUsdPerDay: float | None
    """What its tasks may cost on a day, in UTC: container time and model requests, and the holds of live
    tasks.
    """
    maxPriority: int | None


class KeyLimitsInput(TypedDict, total=False):
    """What the key may use on a day, in UTC. A limit that is null or not given does not hold."""

    costUsdPerDay: float | None
    """What its tasks may cost: container time and model requests, and the holds of live tasks."""
    tasksPerDay: int | None
    """New tasks, each of a batch, and further turns of conversations."""
    maxPriority: int | None
    """The highest `overrides.priority`."""


class TokenPriceInput(TypedDict, total=False):
    """Prices in US dollars per million tokens, of all models of the endpoint."""

    input: Required[float]
    output: Required[float]
    cacheRead: float | None
    """Default: `input`."""
    cacheWrite: float | None
    """Default: `input`."""
