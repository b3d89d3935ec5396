"""Agents and their versions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentcontainer_client import errors, inputs, models
from agentcontainer_client._async import uploading
from agentcontainer_client._async.paging import AsyncPager
from agentcontainer_client._async.transport import AsyncTransport
from agentcontainer_client._calls import Call, body_of, operation, segment
from agentcontainer_client._diff import Difference, differences
from agentcontainer_client._sources import AnyFile

_FIELDS = {"runtime": "image", "referenceFileIds": "reference_files"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class AsyncAgent(models.Agent):
    """An agent as it was when it was read. Its verbs return new snapshots; nothing changes in place."""

    transport: AsyncTransport = field(repr=False, compare=False)

    @operation("changeAgent", agentId="self", **_FIELDS)
    async def update(
        self,
        *,
        name: str | None = None,
        description: str | None = None,
        base_prompt: str | None = None,
        image: str | None = None,
        defaults: inputs.AgentDefaultsInput | None = None,
        reference_files: Sequence[AnyFile] | None = None,
        skills: Sequence[str] | None = None,
        if_current_version_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> "AsyncAgent":
        """Change it. A change of more than name or description makes a new version, which becomes current.

        What is not given keeps its value. In `defaults`, None resets a field to the platform's default; `image=""`
        removes the image. With `if_current_version_id`, it raises Conflict if another version is current.
        """
        body = await _body(
            self.transport, name=name, description=description, base_prompt=base_prompt, image=image,
            defaults=defaults, reference_files=reference_files, skills=skills,
            if_current_version_id=if_current_version_id,
        )  # fmt: skip
        call = Call(method="PATCH", path=self._path, body=body, idempotency_key=idempotency_key)
        return await self.transport.send(call, self._bound)

    @operation("archiveAgent", agentId="self")
    async def archive(self, *, idempotency_key: str | None = None) -> "AsyncAgent":
        """Let it take no further tasks. It stays listed."""
        return await self._post("archive", idempotency_key)

    @operation("unarchiveAgent", agentId="self")
    async def unarchive(self, *, idempotency_key: str | None = None) -> "AsyncAgent":
        """Let it take tasks again."""
        return await self._post("unarchive", idempotency_key)

    @operation("listAgentVersions", agentId="self")
    def versions(
        self, *, limit: int | None = None, cursor: str | None = None, order: models.Order | None = None
    ) -> AsyncPager[models.AgentVersion]:
        """Its versions, the newest first."""
        return AsyncPager(
            self.transport,
            f"{self._path}/versions",
            models.AgentVersion.from_wire,
            limit=limit,
            cursor=cursor,
            order=order,
        )

    @operation("getAgentVersion", agentId="self", versionId="version")
    async def version(self, version: str | int) -> models.AgentVersion:
        """One of its versions, by id or number."""
        version_id = await self._version_id(version)
        call = Call(method="GET", path=f"{self._path}/versions/{segment(version_id)}")
        return await self.transport.send(call, models.AgentVersion.from_wire)

    @operation("activateAgentVersion", agentId="self", versionId="version")
    async def activate(
        self, version: str | int | models.AgentVersion, *, idempotency_key: str | None = None
    ) -> "AsyncAgent":
        """Make a version current: by id, number, or itself."""
        version_id = await self._version_id(version)
        return await self._post(f"versions/{segment(version_id)}/activate", idempotency_key)

    async def diff(
        self,
        before: str | int | models.AgentVersion,
        after: str | int | models.AgentVersion | None = None,
    ) -> list[Difference]:
        """What differs between two versions, field by field. Without `after`: the current version."""
        older = before if isinstance(before, models.AgentVersion) else await self.version(before)
        if after is None:
            after = self.current_version
        newer = after if isinstance(after, models.AgentVersion) else await self.version(after)
        return differences(older.to_wire(), newer.to_wire())

    async def _version_id(self, version: str | int | models.AgentVersion) -> str:
        if isinstance(version, models.AgentVersion):
            return version.id
        if isinstance(version, str):
            return version
        async for candidate in self.versions():
            if candidate.number == version:
                return candidate.id
        raise errors.NotFound(404, "not_found", f"{self.name} has no version {version}.")

    async def _post(self, verb: str, idempotency_key: str | None) -> "AsyncAgent":
        call = Call(method="POST", path=f"{self._path}/{verb}", body={}, idempotency_key=idempotency_key)
        return await self.transport.send(call, self._bound)

    @property
    def _path(self) -> str:
        return f"/agents/{segment(self.id)}"

    def _bound(self, content: object) -> "AsyncAgent":
        return AsyncAgent.from_wire(content, transport=self.transport)


@dataclass(frozen=True)
class AsyncAgents:
    """`client.agents`: named configurations of agents."""

    transport: AsyncTransport = field(repr=False)

    @operation("listAgents")
    def list(
        self, *, limit: int | None = None, cursor: str | None = None, order: models.Order | None = None
    ) -> AsyncPager[AsyncAgent]:
        """The account's agents and the standard agents, the newest first."""
        return AsyncPager(self.transport, "/agents", self._bound, limit=limit, cursor=cursor, order=order)

    @operation("getAgent", agentId="agent")
    async def get(self, agent: str) -> AsyncAgent:
        """An agent by its id."""
        return await self.transport.send(Call(method="GET", path=f"/agents/{segment(agent)}"), self._bound)

    @operation("createAgent", **_FIELDS)
    async def create(
        self,
        name: str,
        *,
        description: str | None = None,
        base_prompt: str | None = None,
        image: str | None = None,
        defaults: inputs.AgentDefaultsInput | None = None,
        reference_files: Sequence[AnyFile] | None = None,
        skills: Sequence[str] | None = None,
        idempotency_key: str | None = None,
    ) -> AsyncAgent:
        """Make an agent. `base_prompt` is added to its system prompt, `defaults` apply to its tasks.

        `image`: the container image; `reference_files`: copied into every task; `skills`: ids of skill archives.
        """
        body = await _body(
            self.transport, name=name, description=description, base_prompt=base_prompt, image=image,
            defaults=defaults, reference_files=reference_files, skills=skills,
        )  # fmt: skip
        call = Call(method="POST", path="/agents", body=body, idempotency_key=idempotency_key)
        return await self.transport.send(call, self._bound)

    def _bound(self, content: object) -> AsyncAgent:
        return AsyncAgent.from_wire(content, transport=self.transport)


async def _body(
    transport: AsyncTransport,
    *,
    image: str | None,
    defaults: Mapping[str, Any] | None,
    reference_files: Sequence[AnyFile] | None,
    skills: Sequence[str] | None,
    **texts: str | None,
) -> dict[str, Any]:
    ids = None if reference_files is None else await uploading.ids_of(transport, reference_files)
    return body_of(
        **texts,
        runtime=None if image is None else {"containerImage": image or None},
        defaults=None if defaults is None else dict(defaults),
        reference_file_ids=ids,
        skills=None if skills is None else list(skills),
    )
