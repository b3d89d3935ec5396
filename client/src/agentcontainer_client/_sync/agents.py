"""Agents and their versions."""

# Written by scripts/render_sync.py from _async. Do not edit.

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentcontainer_client import errors, inputs, models
from agentcontainer_client._calls import Call, body_of, operation, segment
from agentcontainer_client._diff import Difference, differences
from agentcontainer_client._sources import AnyFile
from agentcontainer_client._sync import uploading
from agentcontainer_client._sync.paging import Pager
from agentcontainer_client._sync.transport import Transport

_FIELDS = {"runtime": "image", "referenceFileIds": "reference_files"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Agent(models.Agent):
    """An agent as it was when it was read. Its verbs return new snapshots; nothing changes in place."""

    transport: Transport = field(repr=False, compare=False)

    @operation("changeAgent", agentId="self", **_FIELDS)
    def update(
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
    ) -> "Agent":
        """Change it. A change of more than name or description makes a new version, which becomes current.

        What is not given keeps its value. In `defaults`, None resets a field to the platform's default; `image=""`
        removes the image. With `if_current_version_id`, it raises Conflict if another version is current.
        """
        body = _body(
            self.transport, name=name, description=description, base_prompt=base_prompt, image=image,
            defaults=defaults, reference_files=reference_files, skills=skills,
            if_current_version_id=if_current_version_id,
        )  # fmt: skip
        call = Call(method="PATCH", path=self._path, body=body, idempotency_key=idempotency_key)
        return self.transport.send(call, self._bound)

    @operation("archiveAgent", agentId="self")
    def archive(self, *, idempotency_key: str | None = None) -> "Agent":
        """Let it take no further tasks. It stays listed."""
        return self._post("archive", idempotency_key)

    @operation("unarchiveAgent", agentId="self")
    def unarchive(self, *, idempotency_key: str | None = None) -> "Agent":
        """Let it take tasks again."""
        return self._post("unarchive", idempotency_key)

    @operation("listAgentVersions", agentId="self")
    def versions(
        self, *, limit: int | None = None, cursor: str | None = None, order: models.Order | None = None
    ) -> Pager[models.AgentVersion]:
        """Its versions, the newest first."""
        return Pager(
            self.transport,
            f"{self._path}/versions",
            models.AgentVersion.from_wire,
            limit=limit,
            cursor=cursor,
            order=order,
        )

    @operation("getAgentVersion", agentId="self", versionId="version")
    def version(self, version: str | int) -> models.AgentVersion:
        """One of its versions, by id or number."""
        version_id = self._version_id(version)
        call = Call(method="GET", path=f"{self._path}/versions/{segment(version_id)}")
        return self.transport.send(call, models.AgentVersion.from_wire)

    @operation("activateAgentVersion", agentId="self", versionId="version")
    def activate(
        self, version: str | int | models.AgentVersion, *, idempotency_key: str | None = None
    ) -> "Agent":
        """Make a version current: by id, number, or itself."""
        version_id = self._version_id(version)
        return self._post(f"versions/{segment(version_id)}/activate", idempotency_key)

    def diff(
        self,
        before: str | int | models.AgentVersion,
        after: str | int | models.AgentVersion | None = None,
    ) -> list[Difference]:
        """What differs between two versions, field by field. Without `after`: the current version."""
        older = before if isinstance(before, models.AgentVersion) else self.version(before)
        if after is None:
            after = self.current_version
        newer = after if isinstance(after, models.AgentVersion) else self.version(after)
        return differences(older.to_wire(), newer.to_wire())

    def _version_id(self, version: str | int | models.AgentVersion) -> str:
        if isinstance(version, models.AgentVersion):
            return version.id
        if isinstance(version, str):
            return version
        for candidate in self.versions():
            if candidate.number == version:
                return candidate.id
        raise errors.NotFound(404, "not_found", f"{self.name} has no version {version}.")

    def _post(self, verb: str, idempotency_key: str | None) -> "Agent":
        call = Call(method="POST", path=f"{self._path}/{verb}", body={}, idempotency_key=idempotency_key)
        return self.transport.send(call, self._bound)

    @property
    def _path(self) -> str:
        return f"/agents/{segment(self.id)}"

    def _bound(self, content: object) -> "Agent":
        return Agent.from_wire(content, transport=self.transport)


@dataclass(frozen=True)
class Agents:
    """`client.agents`: named configurations of agents."""

    transport: Transport = field(repr=False)

    @operation("listAgents")
    def list(
        self, *, limit: int | None = None, cursor: str | None = None, order: models.Order | None = None
    ) -> Pager[Agent]:
        """The account's agents and the standard agents, the newest first."""
        return Pager(self.transport, "/agents", self._bound, limit=limit, cursor=cursor, order=order)

    @operation("getAgent", agentId="agent")
    def get(self, agent: str) -> Agent:
        """An agent by its id."""
        return self.transport.send(Call(method="GET", path=f"/agents/{segment(agent)}"), self._bound)

    @operation("createAgent", **_FIELDS)
    def create(
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
    ) -> Agent:
        """Make an agent. `base_prompt` is added to its system prompt, `defaults` apply to its tasks.

        `image`: the container image; `reference_files`: copied into every task; `skills`: ids of skill archives.
        """
        body = _body(
            self.transport, name=name, description=description, base_prompt=base_prompt, image=image,
            defaults=defaults, reference_files=reference_files, skills=skills,
        )  # fmt: skip
        call = Call(method="POST", path="/agents", body=body, idempotency_key=idempotency_key)
        return self.transport.send(call, self._bound)

    def _bound(self, content: object) -> Agent:
        return Agent.from_wire(content, transport=self.transport)


def _body(
    transport: Transport,
    *,
    image: str | None,
    defaults: Mapping[str, Any] | None,
    reference_files: Sequence[AnyFile] | None,
    skills: Sequence[str] | None,
    **texts: str | None,
) -> dict[str, Any]:
    ids = None if reference_files is None else uploading.ids_of(transport, reference_files)
    return body_of(
        **texts,
        runtime=None if image is None else {"containerImage": image or None},
        defaults=None if defaults is None else dict(defaults),
        reference_file_ids=ids,
        skills=None if skills is None else list(skills),
    )
