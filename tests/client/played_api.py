"""An HTTP API that plays each way a task can go, without a platform: the agent of a dispatch says which."""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from agentcontainer_client import __version__

KEY = "ac_live_played0123456789"
CREATED = "2026-03-26T14:00:00.000Z"
HOSTILE = "\x1b]0;owned\x07\x1b[2J\x1b[1A\x9b31m\u202eevil\u2028next\rback"
FATES: dict[str, dict[str, Any]] = {
    "complete": {"status": "finished", "completion": "complete", "result": "Done.\nÜnïcode & two lines."},
    "incomplete": {"status": "finished", "completion": "incomplete", "result": "Half of it."},
    "failed": {"status": "failed", "errorCode": "max_runtime", "error": "It took too long."},
    "cancelled": {"status": "cancelled"},
    "expired": {"status": "expired"},
    "hostile": {"status": "finished", "completion": "complete", "result": HOSTILE},
}
REFUSALS = {
    "poor": (402, "insufficient_balance", "The balance is 0."),
    "forbidden": (403, "forbidden", "The key may not dispatch."),
    "unknown": (404, "not_found", "Agent unknown does not exist."),
}
USAGE = {"input_tokens": 6903, "output_tokens": 1265}


@dataclass
class PlayedTask:
    """A task, whose log grows at once to the point where it waits or ends."""

    id: str
    agent: str
    content: dict[str, Any]
    log: list[dict[str, Any]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def add(self, kind: str, **data: Any) -> None:
        with self.changed:
            event = {"id": f"evt_{len(self.log)}", "sequence": len(self.log) + 1, "type": kind, "data": data}
            self.log.append(event | {"taskId": self.id, "createdAt": CREATED})
            self.changed.notify_all()

    def end(self, status: str, **fields: Any) -> None:
        self.content |= {"status": status} | fields
        data = {"status": status, "completion": fields.get("completion"), "message": "", "files": []}
        self.add(f"task.{status}", **data, errorCode=fields.get("errorCode"), error=fields.get("error"))

    def wait_beyond(self, sequence: int, seconds: float) -> None:
        with self.changed:
            self.changed.wait_for(lambda: len(self.log) > sequence, seconds)

    @property
    def has_ended(self) -> bool:
        return bool(self.log) and self.log[-1]["type"] in {
            f"task.{fate['status']}" for fate in FATES.values()
        }


class PlayedApi(ThreadingHTTPServer):
    """The server. `requests` has the method and path of each request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.tasks: dict[str, PlayedTask] = {}
        self.requests: list[str] = []
        self.version = __version__  # in AgentContainer-Version

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def dispatch(self, agent: str, body: dict[str, Any]) -> PlayedTask:
        task_id = f"tsk_{agent.removeprefix('agt_')}{len(self.tasks):020}"
        content = {
            "id": task_id, "mode": "autonomous", "agentId": agent, "agentName": "Played", "status": "running",
            "agentVersionId": "agv_1", "title": body.get("title") or "Played", "metadata": {}, "skills": [],
            "runtime": {"containerImage": None, "agentRuntime": "pi"}, "createdAt": CREATED,
            "execution": {"provider": "offline", "model": "m", "weakModel": None}, "costUsd": 0.0025,
            "containerMinutes": 0.1, "tokenUsage": USAGE, "overrides": body.get("overrides") or {},
            "instructions": body["instructions"], "inputFileIds": body.get("inputFileIds") or [],
            "inputRepositories": body.get("inputRepositories") or [], "turnNumber": 0,
        }  # fmt: skip
        task = self.tasks[task_id] = PlayedTask(task_id, agent, content)
        task.add("task.created", status="pending", agentId=agent, mode="autonomous")
        task.add("task.started", status="running", attempt=1)
        words = HOSTILE if agent == "agt_hostile" else "Now I look at 日本語 and the other files. " * 4
        task.add("message.completed", role="assistant", content=words)
        task.add("tool.started", activityId="a", callId="c", tool="bash", input={"command": f"echo {words}"})
        task.add("tool.completed", callId="c", tool="bash", isError=False, output=words, durationMs=3)
        if fate := FATES.get(agent.removeprefix("agt_")):
            task.end(**fate)
        return task


class _Handler(BaseHTTPRequestHandler):
    server: PlayedApi
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        self._route("GET", parts.path, query, {})

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._route("POST", urlsplit(self.path).path, {}, json.loads(content or b"{}"))

    def do_PUT(self) -> None:
        self.server.requests.append("PUT")
        left = int(self.headers["Content-Length"])
        while left:  # slowly, so that a test can interrupt it
            left -= len(self.rfile.read(min(left, 65536)))
            time.sleep(0.05)
        self._send(200, {})

    def _route(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> None:
        self.server.requests.append(f"{method} {path}")
        if self.headers.get("Authorization") != f"Bearer {KEY}":
            return self._error(401, "unauthorized", "The API key is unknown or revoked.")
        match [method, *path.removeprefix("/api/v1/").split("/")]:
            case ["GET", "account"]:
                account = {"id": "acc_1", "name": "Played", "createdAt": CREATED, "creditBalance": 1.0}
                self._send(200, account | {"billingMode": "prepaid", "settings": {}})
            case ["POST", "agents", agent, "tasks"]:
                self._dispatch(agent, body)
            case ["POST", "uploads", "prepare"]:
                prepared = {"uploadId": "upl_1", "uploadUrl": f"{self.server.url}/bytes", "method": "PUT"}
                self._send(200, prepared | {"headers": {}, "expiresAt": CREATED})
            case ["POST", "uploads", "complete"]:
                self._send(200, {"id": "file_1", "fileId": "file_1", "filename": "a.txt"})
            case [_, "tasks"]:
                self._page([task.content for task in reversed(self.server.tasks.values())], query)
            case [_, "tasks", task_id, *rest] if task := self.server.tasks.get(task_id):
                self._task(task, rest, query)
            case _:
                self._error(404, "not_found", "There is no such route.")
        return None

    def _dispatch(self, agent: str, body: dict[str, Any]) -> None:
        name = agent.removeprefix("agt_")
        if name in REFUSALS:
            return self._error(*REFUSALS[name])
        if name == "slow":
            time.sleep(30)
        budget = (body.get("overrides") or {}).get("budget", {}).get("maxCostUsd", 1)
        if budget <= 0:
            fault = {"path": "overrides.budget.maxCostUsd", "message": "must be greater than 0.0"}
            return self._error(
                400, "validation_error", f"{fault['path']}: {fault['message']}", details=[fault]
            )
        return self._send(201, self.server.dispatch(agent, body).content)

    def _task(self, task: PlayedTask, rest: list[str], query: dict[str, str]) -> None:
        match rest:
            case []:
                self._send(200, task.content)
            case ["cancel"]:
                task.end("cancelled")
                self._send(200, task.content)
            case ["files"]:
                self._page([], query)
            case ["events"] if "stream" in query:
                self._stream(task, int(query["after"]))
            case ["events"]:
                self._events(task, query)
            case _:
                self._error(404, "not_found", "There is no such route.")

    def _events(self, task: PlayedTask, query: dict[str, str]) -> None:
        after = int(query.get("after", 0))
        if not task.has_ended:
            task.wait_beyond(after, int(query.get("wait", 0)))
        log = task.log[after:]
        self._page(log[::-1] if query.get("order") == "desc" else log, query)

    def _stream(self, task: PlayedTask, after: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            while True:
                for event in task.log[after:]:
                    lines = f"id: {event['sequence']}\nevent: {event['type']}\ndata: {json.dumps(event)}\n\n"
                    self.wfile.write(lines.encode())
                    after = event["sequence"]
                self.wfile.flush()
                if task.has_ended:
                    return
                task.wait_beyond(after, 1)
                self.wfile.write(b": alive\n\n")
        except OSError:  # the reader has gone
            return

    def _page(self, data: list[Any], query: dict[str, str]) -> None:
        page = data[: int(query.get("limit", 20))]
        self._send(200, {"data": page, "pageInfo": {"hasMore": False, "nextCursor": None}})

    def _error(self, status: int, code: str, message: str, **fields: Any) -> None:
        error = {"code": code, "message": message, "requestId": "req_played"} | fields
        self._send(status, {"error": error})

    def _send(self, status: int, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("AgentContainer-Version", self.server.version)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        assert not re.search("ac_live", format % args)


@contextmanager
def played_api() -> Iterator[PlayedApi]:
    """A running server."""
    with PlayedApi() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
