"""Agents with their current version: read, made, changed, archived."""

from typing import Annotated, Any, Literal

from fastapi import Depends, Path
from pydantic import AfterValidator, Field

from agentcontainer.api.http import paging
from agentcontainer.api.http.auth import AccountId
from agentcontainer.api.http.body import JsonBody, NoBody
from agentcontainer.api.http.paging import PageInfo, PageQuery
from agentcontainer.api.http.query import Query
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided, Services
from agentcontainer.api.schemas.execution import ExecutionInput
from agentcontainer.api.wire import (
    Id,
    Incoming,
    Line,
    Outgoing,
    Provider,
    Timestamp,
    from_whole_number,
    without_nulls,
)
from agentcontainer.domain.agents import model, service
from agentcontainer.errors import ValidationError
from agentcontainer.images.reference import MAX_CHARACTERS

MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_BASE_PROMPT_BYTES = 100_000  # one argument of Pi's command line holds it: the kernel allows 128 KiB
MAX_DESCRIPTION_CHARACTERS = 4000
MAX_REFERENCE_FILES = 1000
MAX_SKILLS = 100
MAX_SESSION_SECONDS = 30 * 86_400

router = authenticated()
AgentId = Annotated[str, Path(alias="agentId")]


class Runtime(Outgoing):
    """What an agent runs in, and on."""

    container_image: str | None
    agent_runtime: Literal["pi"] = "pi"


class AgentDefaults(Outgoing):
    """What a task of this version runs with where its overrides say nothing."""

    provider: Provider
    model: str
    weak_model: str | None
    internet_access: bool
    max_runtime_seconds: int
    soft_finish_after_seconds: int | None
    session_ttl_seconds: int
    output_policy: dict[str, Any]
    runtime_region: Literal["eu", "any"]


class AgentVersion(Outgoing):
    """One version of an agent. It never changes."""

    id: str
    agent_id: str
    number: int
    runtime: Runtime
    base_prompt: str
    defaults: AgentDefaults
    reference_file_ids: list[str]
    skills: list[str]
    created_at: Timestamp


class Agent(Outgoing):
    """An agent. A standard one ships with the platform: all may read and use it, none may edit it."""

    id: str
    name: str
    description: str
    current_version: AgentVersion
    is_standard: bool
    archived_at: Timestamp | None
    created_at: Timestamp


class AgentPage(Outgoing):
    """A page of agents."""

    data: list[Agent]
    page_info: PageInfo


def _check_base_prompt(value: str) -> str:
    if len(value.encode()) > MAX_BASE_PROMPT_BYTES:
        raise ValueError(f"must have at most {MAX_BASE_PROMPT_BYTES} bytes; put more into a reference file")
    return value


class RuntimeInput(Incoming):
    """What an agent runs in, and on: one runtime, Pi."""

    container_image: Annotated[
        str | None,
        Field(
            min_length=1, max_length=MAX_CHARACTERS,
            description="An OCI image: `python:3.12-slim`, `ghcr.io/owner/name@sha256:…`, `oci:/folder:tag`, "
            "`docker-archive:/file`. Pinned to the digest it has now. Null: the host's own system folders.",
            json_schema_extra={"pattern": "^[!-~]*$"},
        ),
    ] = None  # fmt: skip
    agent_runtime: Literal["pi"] | None = None


class AgentDefaultsInput(ExecutionInput):
    """Defaults of an agent's tasks. Null, or never given: the platform's."""

    session_ttl_seconds: Annotated[int, Field(ge=1, le=MAX_SESSION_SECONDS), from_whole_number] | None = None


class AgentContent(Incoming):
    """What an agent is made of, but for its name."""

    description: Annotated[str, Field(max_length=MAX_DESCRIPTION_CHARACTERS)] | None = None
    runtime: RuntimeInput | None = None
    base_prompt: (
        Annotated[str, AfterValidator(_check_base_prompt), Field(description="Goes into Pi's system prompt.")]
        | None
    ) = None
    defaults: AgentDefaultsInput | None = None
    reference_file_ids: (
        Annotated[
            list[Id], Field(max_length=MAX_REFERENCE_FILES, description="Placed in `reference_files/`.")
        ]
        | None
    ) = None
    skills: (
        Annotated[
            list[Id],
            Field(max_length=MAX_SKILLS, description="Files: zip, tar or tar.gz archives of Pi skills."),
        ]
        | None
    ) = None


class NewAgent(AgentContent):
    """A new agent."""

    name: Line


class AgentChange(AgentContent):
    """What to change; what is not given stays as it is, also within `defaults`, where null resets a field."""

    name: Line | None = None


@router.get("/agents")
async def list_agents(
    account_id: AccountId, services: Provided, query: Annotated[PageQuery, Depends(Query(PageQuery))]
) -> AgentPage:
    """The account's agents, archived ones included, and the standard ones."""
    page = await service.list_page(
        services.pool,
        account_id,
        after_id=paging.position("agents", query),
        limit=query.limit,
        is_descending=query.order == "desc",
    )
    info = paging.page_info("agents", page, lambda agent: agent.id)
    return AgentPage(data=[wire_agent(agent) for agent in page.rows], page_info=info)


@router.post("/agents", status_code=201, responses={409: {}})
async def create_agent(
    account_id: AccountId,
    services: Provided,
    body: Annotated[NewAgent, Depends(JsonBody(NewAgent, max_bytes=MAX_BODY_BYTES))],
) -> Agent:
    """Create an agent with its version 1. Its name is the account's only one among those not archived."""
    change = await _change_of(body, services, None)
    agent = await service.create(services.pool, services.settings, account_id, body.name, change)
    return wire_agent(agent)


@router.get("/agents/{agentId}")
async def get_agent(agent_id: AgentId, account_id: AccountId, services: Provided) -> Agent:
    """An agent with its current version."""
    return wire_agent(await service.get(services.pool, account_id, agent_id))


@router.patch("/agents/{agentId}", responses={403: {}, 409: {}})
async def change_agent(
    agent_id: AgentId,
    account_id: AccountId,
    services: Provided,
    body: Annotated[AgentChange, Depends(JsonBody(AgentChange, max_bytes=MAX_BODY_BYTES))],
) -> Agent:
    """Change an agent. Name and description are edited in place; any other change makes a new version, which
    becomes current. Tasks keep the version they were dispatched with."""
    if not without_nulls(body) and not _names_image(body):
        raise ValidationError.at("body", "must say what to change")
    current = None
    if _names_image(body):
        current = (await service.get(services.pool, account_id, agent_id)).current_version.container_image
    change = await _change_of(body, services, current)
    return wire_agent(await service.change(services.pool, services.settings, account_id, agent_id, change))


@router.post("/agents/{agentId}/archive", responses={403: {}})
async def archive_agent(agent_id: AgentId, account_id: AccountId, services: Provided, _body: NoBody) -> Agent:
    """Archive an agent: it takes no new tasks, and stays listed. Archiving twice is fine."""
    return wire_agent(await service.archive(services.pool, account_id, agent_id))


@router.post("/agents/{agentId}/unarchive", responses={403: {}, 409: {}})
async def unarchive_agent(
    agent_id: AgentId, account_id: AccountId, services: Provided, _body: NoBody
) -> Agent:
    """Let an archived agent take tasks again; 409 when another has its name meanwhile."""
    return wire_agent(await service.unarchive(services.pool, account_id, agent_id))


def _names_image(body: AgentContent) -> bool:
    """Whether it says something of the image; null does: the platform's own."""
    return body.runtime is not None and "container_image" in body.runtime.model_fields_set


async def _image(body: AgentContent, services: Services, current: str | None) -> tuple[str | None] | None:
    """The image pinned, if the body names one; the current one, named by its whole name, is taken as it is."""
    if body.runtime is None or not _names_image(body):
        return None
    named = body.runtime.container_image
    if named is None or named == current:
        return (named,)
    return (await services.images.pin(named, "runtime.containerImage"),)


async def _change_of(
    body: NewAgent | AgentChange, services: Services, current_image: str | None
) -> model.Change:
    """What the domain is asked for.

    Raises:
        ValidationError: the image cannot be used. Unavailable: that cannot be told now.
    """
    return model.Change(
        name=body.name,
        description=body.description,
        container_image=await _image(body, services, current_image),
        base_prompt=body.base_prompt,
        defaults=_given(body.defaults) if body.defaults else {},
        reference_file_ids=body.reference_file_ids,
        skills=body.skills,
    )


def _given(defaults: AgentDefaultsInput) -> dict[str, Any]:
    """The fields that were given, under their wire names, nulls included."""
    aliases = {name: str(field.alias) for name, field in AgentDefaultsInput.model_fields.items()}
    nulls = dict.fromkeys(aliases[name] for name in defaults.model_fields_set)
    return nulls | without_nulls(defaults)


def wire_agent(agent: model.Agent) -> Agent:
    """The agent as it stands on the wire."""
    return Agent(
        id=agent.id,
        name=agent.name,
        description=agent.description,
        current_version=wire_version(agent.current_version),
        is_standard=agent.account_id is None,
        archived_at=agent.archived_at,
        created_at=agent.created_at,
    )


def wire_version(version: model.Version) -> AgentVersion:
    """The version as it stands on the wire."""
    names = {name: str(field.alias) for name, field in AgentDefaults.model_fields.items()}
    return AgentVersion(
        id=version.id,
        agent_id=version.agent_id,
        number=version.number,
        runtime=Runtime(container_image=version.container_image),
        base_prompt=version.base_prompt,
        defaults=AgentDefaults(**{name: version.defaults[alias] for name, alias in names.items()}),
        reference_file_ids=version.reference_file_ids,
        skills=version.skills,
        created_at=version.created_at,
    )
