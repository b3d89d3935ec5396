"""Clients that use an installation while it changes, and repeat a request only if its connection broke."""

import asyncio
import secrets
import threading
import time
from contextlib import suppress
from typing import Any, NoReturn

from agentcontainer_client import AgentContainerError, ConnectionFailed
from tests.acceptance.bed import Client, finish, script
from tests.event_stream import Stream

EVERY_SECONDS = 1.0
PATIENCE_SECONDS = 20.0


class Refused(Exception):
    """A request failed otherwise than by a broken connection, or for too long."""


class Load:
    """Until `stop`: a task each second, a conversation, and a follower of a long task's event stream."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.contents: dict[str, str] = {}  # by task
        self.failures: list[str] = []
        self.repeated = 0
        self.turns = 0
        self.streams = 0
        own = Client(client.base_url, client.api_key, client.account_id)
        self._client = own.once.with_options(timeout=60)
        self._is_ending = threading.Event()
        self.long_task = self._dispatch(script({"bash": "until [ -e end ]; do sleep 0.2; done"}, finish()))
        body = {"message": script({"bash": "echo 0 >> notes.txt"}, {"say": "Noted 0."})}
        self.conversation: str = self._post("/agents/agt_standard_data/conversations", body)["task"]["id"]
        self.frames: list[Any] = []
        self._threads = [threading.Thread(target=work) for work in (self._tasks, self._talk, self._follow)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> "Load":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Start nothing more. Idempotent."""
        self._is_ending.set()
        for thread in self._threads:
            thread.join()
        self._client.close()

    def _tasks(self) -> None:
        while not self._is_ending.wait(EVERY_SECONDS):
            content = secrets.token_hex(8)
            steps = script({"bash": f"echo {content} > out.txt; sleep 2"}, finish("out.txt"))
            with suppress(Refused):  # it is one of the failures
                self.contents[self._dispatch(steps)] = content

    def _talk(self) -> None:
        path = f"/conversations/{self.conversation}/messages"
        while not self._is_ending.wait(EVERY_SECONDS):
            with suppress(Refused):
                if self._get(f"/tasks/{self.conversation}")["status"] == "awaiting_input":
                    turn = self.turns + 1
                    steps = script({"bash": f"echo {turn} >> notes.txt"}, {"say": f"Noted {turn}."})
                    self._post(path, {"content": steps})
                    self.turns = turn

    def _follow(self) -> None:
        asyncio.run(self._follow_stream())

    async def _follow_stream(self) -> None:
        """Follow the long task to its end, and continue at the last number whenever the connection ends."""
        base_url, last = self.client.base_url, 0
        path = f"/api/v1/tasks/{self.long_task}/events?stream=true"
        while not (self._is_ending.is_set() or (self.frames and self.frames[-1]["type"] == "task.finished")):
            try:
                async with await Stream.open(base_url, path, self.client.api_key, last) as stream:
                    self.streams += 1
                    if stream.status != 200:
                        self.failures.append(f"GET {path}: {stream.status}")
                    async for frame in stream.events():
                        if frame.id is not None:
                            last = frame.id
                            self.frames.append(frame.data)
            except OSError:
                pass
            except asyncio.IncompleteReadError:
                self.repeated += 1
            await asyncio.sleep(0.2)

    def _dispatch(self, instructions: str) -> str:
        return self._post("/agents/agt_standard_data/tasks", {"instructions": instructions})["id"]

    def _post(self, path: str, body: dict[str, str]) -> Any:
        return self._request("POST", path, body=body, idempotency_key=secrets.token_hex(16))

    def _get(self, path: str) -> Any:
        return self._request("GET", path)

    def _request(self, method: str, path: str, **options: Any) -> Any:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self._client.raw.request(method, path, **options).json()
            except ConnectionFailed as error:
                self.repeated += 1
                if time.monotonic() > deadline:
                    self._refuse(f"{method} {path}: {error!r}")
                time.sleep(0.2)
            except AgentContainerError as error:
                self._refuse(f"{method} {path}: {error!r}")

    def _refuse(self, what: str) -> NoReturn:
        self.failures.append(what)
        raise Refused(what)
