"""What people set when they dispatch a task, and the request that comes of it."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, TypedDict, cast

from agentcontainer_client import inputs, models
from agentcontainer_client._calls import body_of, seconds
from agentcontainer_client._config import Connection
from agentcontainer_client._sources import AnyFile
from agentcontainer_client.errors import ConfigurationError

Outputs = (
    Literal["any", "none", "at_least_one"] | str | Sequence[str | inputs.NamedOutput] | inputs.OutputPolicy
)
Repositories = Sequence[str | inputs.InputRepository]


class OverrideOptions(TypedDict, total=False):
    """Settings of one task that replace its agent's defaults."""

    provider: models.Provider | None
    """`anthropic`, `openai`, `openrouter`, `offline`, or the name of an endpoint of the account's own."""
    model: str | None
    weak_model: str | None
    """A cheaper model, which writes titles."""
    provider_api_key: str | None
    """A key of the provider for this task alone."""
    internet: bool | Sequence[str] | None
    """True: the public internet; a list: these hosts of it only, such as `pypi.org` or `example.com:443`."""
    max_runtime: float | timedelta | None
    """Container time, in seconds, after which the task fails."""
    soft_finish_after: float | timedelta | None
    """Container time, in seconds, after which the agent is asked to finish."""
    outputs: Outputs | None
    """`any`, `none`, `at_least_one`, or the outputs that the agent must deliver, by name."""
    budget_usd: float | None
    """What the task's model requests may cost."""
    budget_tokens: int | None
    """The tokens that the task's model requests may use."""
    on_budget_reached: Literal["fail", "pause"] | None
    """`pause`: when the budget is used up, the task waits until `client.tasks.update` raises it."""
    region: models.Region | None
    priority: int | None
    """-10 to 10: which of the account's own pending tasks run first."""
    callback_url: str | None
    """Gets the events of a new task, as a webhook. `client.webhooks.callback_secret()` signs."""
    overrides: inputs.Overrides | None
    """Further settings, with the names of the API."""


class NewTaskOptions(OverrideOptions, total=False):
    """What a new task or conversation can be given."""

    version: str | None
    """The id of a version of the agent; without it, the current one."""
    files: Sequence[AnyFile] | None
    """Paths, `(name, content)` pairs, open binary files, stored files or their ids."""
    repositories: Repositories | None
    """Git repositories to clone: URLs, or mappings with `url`, `ref`, `path`, `token`."""
    skills: Sequence[str] | None
    """Ids of files: archives of Pi skills."""
    title: str | None
    title_source: models.TitleSource | None
    metadata: Mapping[str, Any] | None


# The arguments that stand for the fields of a new task, for the test that compares them.
FIELDS = {
    "inputFileIds": "files",
    "inputFiles": "files",
    "versionId": "version",
    "inputRepositories": "repositories",
}


def new_task_body(options: Mapping[str, Any], file_ids: Sequence[str]) -> dict[str, Any]:
    """The fields that a new task and a new conversation share."""
    known = NewTaskOptions.__annotations__
    if unknown := options.keys() - known.keys():
        raise TypeError(f"unknown arguments: {', '.join(sorted(unknown))}")
    return body_of(
        version_id=options.get("version"),
        input_file_ids=list(file_ids) or None,
        input_repositories=_repositories(options.get("repositories")),
        skills=_list(options.get("skills")),
        title=options.get("title"),
        title_source=options.get("title_source"),
        metadata=options.get("metadata"),
        overrides=overrides_of(options),
    )


def overrides_of(options: Mapping[str, Any]) -> dict[str, Any] | None:
    """The overrides that the options describe; None: none at all."""
    internet: object = options.get("internet")
    is_list = internet is not None and not isinstance(internet, bool)
    budget = body_of(
        max_cost_usd=options.get("budget_usd"),
        max_tokens=options.get("budget_tokens"),
        on_reached=options.get("on_budget_reached"),
    )
    overrides = body_of(
        provider=options.get("provider"),
        model=options.get("model"),
        weak_model=options.get("weak_model"),
        provider_api_key=options.get("provider_api_key"),
        internet_access=True if is_list else internet,
        egress={"allow": _list(internet)} if is_list else None,
        max_runtime_seconds=seconds(options.get("max_runtime")),
        soft_finish_after_seconds=seconds(options.get("soft_finish_after")),
        output_policy=output_policy(options.get("outputs")),
        budget=budget or None,
        runtime_region=options.get("region"),
        priority=options.get("priority"),
        callback_url=options.get("callback_url"),
    )
    return overrides | dict(options.get("overrides") or {}) or None


def output_policy(outputs: Outputs | None) -> dict[str, Any] | None:
    """The output policy that is meant: a mode, names, or the policy itself."""
    if outputs is None:
        return None
    if isinstance(outputs, str):
        return {"mode": outputs}
    if isinstance(outputs, Mapping):
        return dict(cast("Mapping[str, Any]", outputs))
    files = [{"name": item} if isinstance(item, str) else dict(item) for item in outputs]
    return {"mode": "named", "files": files}


def with_defaults(options: Mapping[str, Any], connection: Connection) -> dict[str, Any]:
    """The options, with the model of the profile where none is set."""
    if connection.model is None or options.get("model") or options.get("provider"):
        return dict(options)
    overrides: Mapping[str, Any] = options.get("overrides") or {}
    if overrides.get("model"):
        return dict(options)
    provider, _, model = connection.model.rpartition(":")
    return {**options, "model": model or None, "provider": provider or None}


def agent_id(agent: str | models.Agent | None, connection: Connection) -> str:
    """The id of the agent that is meant.

    Raises:
        ConfigurationError: none was named, and the profile has none.
    """
    if isinstance(agent, models.Agent):
        return agent.id
    if chosen := agent or connection.agent:
        return chosen
    raise ConfigurationError("Name an agent, for example agent='agt_standard_coding'.")


def _repositories(repositories: Repositories | None) -> list[Any] | None:
    if repositories is None:
        return None
    return [{"url": item} if isinstance(item, str) else dict(item) for item in repositories]


def _list(values: object) -> list[str] | None:
    if values is None:
        return None
    return [values] if isinstance(values, str) else [str(value) for value in cast("Sequence[object]", values)]
