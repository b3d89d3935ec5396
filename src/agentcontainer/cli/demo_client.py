"""The demo's client of the public HTTP API.

Each model holds the fields of a response that the demo reads.
"""

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import httpx
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from agentcontainer.errors import AgentContainerError

POLL_SECONDS = 0.3
ENDED = frozenset({"finished", "failed", "cancelled", "expired"})


class Body(BaseModel):
    """A response's body; its names are in camelCase."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, frozen=True
    )


class PreparedUpload(Body):
    upload_id: str
    upload_url: str
    method: str
    headers: dict[str, str]


class Stored(Body):
    storage_id: str


class StoredFile(Body):
    file_id: str


class TokenUsage(BaseModel):
    input_tokens: int
    output_tokens: int


class Task(Body):
    id: str
    status: str
    created_at: datetime
    completion: str | None
    result: str | None
    error: str | None
    error_code: str | None
    container_minutes: float
    token_usage: TokenUsage


class EventData(Body):
    """What the demo shows of an event; each type of event has some of the fields."""

    attempt: int = 1
    content: str = ""
    tool: str = ""
    input: object = None
    is_error: bool = False
    message: str = ""
    completion: str | None = None
    error: str | None = None


class Event(Body):
    sequence: int
    type: str
    created_at: datetime
    data: EventData


class PageInfo(Body):
    has_more: bool


class EventPage(Body):
    data: list[Event]
    page_info: PageInfo


class OutputFile(Body):
    id: str
    filename: str


class OutputPage(Body):
    data: list[OutputFile]


AnyBody = TypeVar("AnyBody", bound=Body)


class DemoClient:
    """The client of one account. A response that is not a success raises an error with the API's message."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def upload(self, path: Path, content_type: str) -> str:
        """Upload a file in the API's three steps; return its id."""
        content = path.read_bytes()
        upload = {"filename": path.name, "contentType": content_type, "sizeBytes": len(content)}
        prepared = await self._post(PreparedUpload, "/uploads/prepare", upload)
        response = await self._http.request(
            prepared.method, prepared.upload_url, headers=prepared.headers, content=content
        )
        _check(response)
        stored = {"uploadId": prepared.upload_id}
        if prepared.method == "POST":
            stored["storageId"] = Stored.model_validate_json(response.content).storage_id
        return (await self._post(StoredFile, "/uploads/complete", stored)).file_id

    async def dispatch(
        self, agent_id: str, instructions: str, input_file_ids: list[str], overrides: dict[str, str]
    ) -> Task:
        """Dispatch a task."""
        body = {"instructions": instructions, "inputFileIds": input_file_ids, "overrides": overrides}
        return await self._post(Task, f"/agents/{agent_id}/tasks", body)

    async def events(self, task_id: str) -> AsyncGenerator[Event]:
        """Each event of the task as it happens, until the task has ended."""
        after = 0
        while True:
            # Read before the events: no event follows the one with which a task ends.
            is_ended = (await self.task(task_id)).status in ENDED
            page = await self._get(EventPage, f"/tasks/{task_id}/events?after={after}&limit=100")
            for event in page.data:
                after = event.sequence
                yield event
            if page.page_info.has_more:
                continue
            if is_ended:
                return
            await asyncio.sleep(POLL_SECONDS)

    async def task(self, task_id: str) -> Task:
        """The task's current state."""
        return await self._get(Task, f"/tasks/{task_id}")

    async def download(self, task_id: str, folder: Path) -> list[Path]:
        """Download every output file of the task into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        listed = await self._get(OutputPage, f"/tasks/{task_id}/files?limit=100&order=asc")
        saved: list[Path] = []
        for file in listed.data:
            path = folder / Path(file.filename).name
            path.unlink(missing_ok=True)  # a file of an earlier demo may be another user's, or a link
            async with self._http.stream("GET", f"/api/v1/tasks/{task_id}/files/{file.id}") as response:
                _check(response)
                with path.open("wb") as target:
                    async for chunk in response.aiter_bytes():
                        target.write(chunk)
            saved.append(path)
        return saved

    async def _get(self, kind: type[AnyBody], path: str) -> AnyBody:
        response = await self._http.get(f"/api/v1{path}")
        _check(response)
        return kind.model_validate_json(response.content)

    async def _post(self, kind: type[AnyBody], path: str, body: object) -> AnyBody:
        response = await self._http.post(f"/api/v1{path}", json=body)
        _check(response)
        return kind.model_validate_json(response.content)


def _check(response: httpx.Response) -> None:
    if response.is_success:
        return
    try:
        message = response.json()["error"]["message"]
    except (ValueError, KeyError, httpx.ResponseNotRead):
        message = "no further explanation"
    request = response.request
    raise AgentContainerError(
        f"{request.method} {request.url.path} answered {response.status_code}: {message}"
    )
