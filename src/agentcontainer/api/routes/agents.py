"""The routes of agents: create, read, change, archive."""

from typing import Annotated

from fastapi import Query
from pydantic import AfterValidator, Field

from agentcontainer import db
from agentcontainer.api.http import paging
from agentcontainer.api.http.access import Agents, Level, access, administers, reads
from agentcontainer.api.http.auth import AccountId, Caller
from agentcontainer.api.http.paging import PageInfo, PageQuery
from agentcontainer.api.http.request import NO_FIELDS, NoFields
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided, Services
from agentcontainer.api.schemas.agents import Agent
from agentcontainer.api.schemas.execution import AgentRuntime, ExecutionInput, policy_of
from agentcontainer.api.schemas.ids import AgentId
from agentcontainer.api.wire import Id, Incoming, Line, Outgoing, from_whole_number
from agentcontainer.domain.agents import model, service
from agentcontainer.domain.execution.model import DefaultsChange
from agentcontainer.domain.unset import UNSET, Unset
from agentcontainer.errors import ValidationError
from agentcontainer.images import lookup
from agentcontainer.images.reference import MAX_CHARACTERS

MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_BASE_PROMPT_BYTES = 100_000  # it is one argument of Pi's command line, where the kernel allows 128 KiB
MAX_DESCRIPTION_CHARACTERS = 4000
MAX_REFERENCE_FILES = 1000
MAX_SKILLS = 100
MAX_SESSION_SECONDS = 30 * 86_400

router = authenticated("Agents")


class AgentPage(Outgoing):
    """A page of agents."""

    data: list[Agent]
    page_info: PageInfo


def _check_base_prompt(value: str) -> str:
    if len(value.encode()) > MAX_BASE_PROMPT_BYTES:
        raise ValueError(f"must have at most {MAX_BASE_PROMPT_BYTES} bytes; put more into a reference file")
    return value


class RuntimeInput(Incoming):
    """What an agent runs in (its container image) and on (its agent runtime)."""

    container_image: Annotated[
        Annotated[
            str,
            Field(min_length=1, max_length=MAX_CHARACTERS, json_schema_extra={"pattern": "^[!-~]*$"}),
        ]
        | None,
        Field(
            description="An OCI image: `python:3.12-slim`, `ghcr.io/owner/name@sha256:…`, `oci:/folder:tag`, "
            "`docker-archive:/file`. It is pinned to its present digest. Null: the host's own system folders.",
        ),
    ] = None
    agent_runtime: AgentRuntime | None = None


class AgentDefaultsInput(ExecutionInput):
    """Defaults of an agent's tasks. A field that is null or was never set has the platform's default."""

    session_ttl_seconds: Annotated[
        Annotated[int, Field(ge=1, le=MAX_SESSION_SECONDS), from_whole_number] | None,
        Field(description="How long a conversation waits for the user's next message."),
    ] = None


class AgentContent(Incoming):
    """The fields of an agent, except its name."""

    max_body_bytes = MAX_BODY_BYTES

    description: Annotated[str, Field(max_length=MAX_DESCRIPTION_CHARACTERS)] | None = None
    runtime: RuntimeInput | None = None
    base_prompt: (
        Annotated[
            str, AfterValidator(_check_base_prompt), Field(description="Added to the agent's system prompt.")
        ]
        | None
    ) = None
    defaults: AgentDefaultsInput | None = None
    reference_file_ids: (
        Annotated[
            list[Id],
            Field(
                max_length=MAX_REFERENCE_FILES, description="Copied into `reference_files/` of every task."
            ),
        ]
        | None
    ) = None
    skills: (
        Annotated[
            list[Id],
            Field(
                max_length=MAX_SKILLS, description="Ids of files: zip, tar or tar.gz archives of Pi skills."
            ),
        ]
        | None
    ) = None


class NewAgent(AgentContent):
    """A new agent."""

    name: Line


class AgentChange(AgentContent):
    """The changes to an agent. Fields that are not given keep their values. In `defaults`, null resets a field."""

    name: Line | None = None
    if_current_version_id: Annotated[
        Id | None, Field(description="Change nothing, and answer 409, unless this is the current version.")
    ] = None


@router.get("/agents")
@access(Level.READS, Agents.FILTERED)
async def list_agents(caller: Caller, services: Provided, query: Annotated[PageQuery, Query()]) -> AgentPage:
    """List the account's agents, archived ones included, and the standard agents."""
    page = await service.list_page(
        services.pool,
        caller.account_id,
        agent_ids=caller.visible_agents(),
        after_id=paging.position("agents", query),
        limit=query.limit,
        is_descending=query.order == "desc",
    )
    info = paging.page_info("agents", page, lambda agent: agent.id)
    return AgentPage(data=[Agent.of_agent(agent) for agent in page.rows], page_info=info)


@router.post("/agents", status_code=201, responses={409: {}})
@administers
async def create_agent(account_id: AccountId, services: Provided, body: NewAgent) -> Agent:
    """Create an agent with its version 1.

    Its name must be unique among the account's agents that are not archived.
    """
    change = await _change_of(body, services, None)
    agent = await service.create(services.pool, services.settings, account_id, body.name, change)
    return Agent.of_agent(agent)


@router.get("/agents/{agentId}")
@reads
async def get_agent(agent_id: AgentId, account_id: AccountId, services: Provided) -> Agent:
    """Get an agent with its current version."""
    return Agent.of_agent(await service.get(services.pool, account_id, agent_id))


@router.patch("/agents/{agentId}", responses={403: {}, 409: {}})
@administers
async def change_agent(
    agent_id: AgentId, account_id: AccountId, services: Provided, body: AgentChange
) -> Agent:
    """Change an agent.

    Name and description change in place. Any other change creates a new version, which becomes current. Tasks keep
    the version that they were dispatched with.
    """
    if not body.model_dump(exclude_none=True, exclude={"if_current_version_id"}) and not _names_image(body):
        raise ValidationError.at("body", "must say what to change")
    current = None
    if _names_image(body):
        current = (await service.get(services.pool, account_id, agent_id)).current_version.container_image
    change = await _change_of(body, services, current)
    return Agent.of_agent(
        await service.change(
            services.pool, services.settings, account_id, agent_id, change, body.if_current_version_id
        )
    )


@router.post("/agents/{agentId}/archive", responses={403: {}})
@administers
async def archive_agent(
    agent_id: AgentId, account_id: AccountId, services: Provided, _body: NoFields = NO_FIELDS
) -> Agent:
    """Archive an agent: it takes no new tasks and stays in the list. Archiving it again changes nothing."""
    return Agent.of_agent(await service.archive(services.pool, account_id, agent_id))


@router.post("/agents/{agentId}/unarchive", responses={403: {}, 409: {}})
@administers
async def unarchive_agent(
    agent_id: AgentId, account_id: AccountId, services: Provided, _body: NoFields = NO_FIELDS
) -> Agent:
    """Unarchive an agent: it takes tasks again.

    409 if another agent has its name by now.
    """
    return Agent.of_agent(await service.unarchive(services.pool, account_id, agent_id))


def _names_image(body: AgentContent) -> bool:
    """Whether the body has the field `containerImage`. Null counts: it selects the host's system folders."""
    return body.runtime is not None and "container_image" in body.runtime.model_fields_set


async def _image(body: AgentContent, services: Services, current: str | None) -> str | Unset | None:
    """The pinned image. UNSET: the body has no such field. The current image need not be looked up."""
    if body.runtime is None or not _names_image(body):
        return UNSET
    image = body.runtime.container_image
    if image is None or image == current:
        return image
    await db.expect_pause(services.pool, 2 * lookup.SECONDS)
    return await services.images.pin(image, "runtime.containerImage")


async def _change_of(
    body: NewAgent | AgentChange, services: Services, current_image: str | None
) -> model.Change:
    """The request as the domain takes it.

    Raises:
        ValidationError: the image cannot be used.
        Unavailable: the image's registry cannot be reached.
    """
    return model.Change(
        name=body.name,
        description=body.description,
        container_image=await _image(body, services, current_image),
        base_prompt=body.base_prompt,
        defaults=_defaults_change(body.defaults) if body.defaults else DefaultsChange(),
        reference_file_ids=body.reference_file_ids,
        skills=body.skills,
    )


def _defaults_change(body: AgentDefaultsInput) -> DefaultsChange:
    """The fields in the body, nulls included."""
    values = {name: getattr(body, name) for name in body.model_fields_set}
    if body.output_policy is not None:
        values["output_policy"] = policy_of(body.output_policy)
    return DefaultsChange(**values)
