"""The demo's way through the public HTTP API, as any client goes it."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx

from agentcontainer.errors import AgentContainerError

POLL_SECONDS = 0.3
ENDED = frozenset({"finished", "failed", "cancelled", "expired"})
Json = dict[str, Any]


class DemoClient:
    """One account's client. Every answer that is not a success raises, with the API's own message."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def upload(self, path: Path, content_type: str) -> str:
        """The three steps; returns the file's id."""
        content = path.read_bytes()
        wanted = {"filename": path.name, "contentType": content_type, "sizeBytes": len(content)}
        prepared = await self._call("POST", "/uploads/prepare", json=wanted)
        sent = await self._http.request(
            prepared["method"], prepared["uploadUrl"], headers=prepared["headers"], content=content
        )
        _succeeded(sent)
        stored = {"uploadId": prepared["uploadId"]}
        if prepared["method"] == "POST":
            stored["storageId"] = sent.json()["storageId"]
        return (await self._call("POST", "/uploads/complete", json=stored))["fileId"]

    async def dispatch(self, agent_id: str, body: Json) -> Json:
        """A new task."""
        return await self._call("POST", f"/agents/{agent_id}/tasks", json=body)

    async def events(self, task_id: str) -> AsyncGenerator[Json]:
        """Every event of the task as it happens, to the last."""
        after = 0
        while True:
            is_ended = (await self.task(task_id))["status"] in ENDED  # before the events: none comes later
            page = await self._call("GET", f"/tasks/{task_id}/events", params={"after": after, "limit": 100})
            for event in page["data"]:
                after = event["sequence"]
                yield event
            if page["pageInfo"]["hasMore"]:
                continue
            if is_ended:
                return
            await asyncio.sleep(POLL_SECONDS)

    async def task(self, task_id: str) -> Json:
        """The task as it is now."""
        return await self._call("GET", f"/tasks/{task_id}")

    async def download(self, task_id: str, folder: Path) -> list[Path]:
        """Every output file of the task, into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        listed = await self._call("GET", f"/tasks/{task_id}/files", params={"limit": 100, "order": "asc"})
        saved: list[Path] = []
        for file in listed["data"]:
            path = folder / Path(file["filename"]).name
            async with self._http.stream("GET", f"/api/v1/tasks/{task_id}/files/{file['id']}") as answer:
                _succeeded(answer)
                with path.open("wb") as target:
                    async for chunk in answer.aiter_bytes():
                        target.write(chunk)
            saved.append(path)
        return saved

    async def _call(self, method: str, path: str, **request: Any) -> Json:
        answer = await self._http.request(method, f"/api/v1{path}", **request)
        _succeeded(answer)
        return answer.json()


def _succeeded(answer: httpx.Response) -> None:
    if answer.is_success:
        return
    try:
        message = answer.json()["error"]["message"]
    except (ValueError, KeyError, httpx.ResponseNotRead):
        message = "no further explanation"
    request = answer.request
    raise AgentContainerError(f"{request.method} {request.url.path} answered {answer.status_code}: {message}")
