"""The real Pi in a real sandbox, with a scripted model behind its gateway socket."""

import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from aiohttp import web

from agentcontainer.runner.agent import launch, pi_launch
from agentcontainer.runner.agent.pi import Pi
from agentcontainer.runner.agent.pi_events import PiEvent, Settled
from agentcontainer.runner.agent.prompts import SYSTEM_PROMPT
from agentcontainer.runtime.install import check, runtime_dir
from agentcontainer.sandbox.bubblewrap import Bubblewrap, Sandbox
from agentcontainer.sandbox.contract import Limits, Spec
from tests.uids import UID_BASE

from .pi_model import MODEL, Model

T = TypeVar("T")
LIMITS = Limits(memory_bytes=1024**3, pids=128, cpus=2)
MODELS_JSON = {
    "providers": {
        "anthropic": {
            "baseUrl": "http://127.0.0.1:8090/anthropic",
            "apiKey": "sandbox",
            "models": [{"id": "a-weak-model"}],
        }
    }
}


@dataclass(frozen=True)
class Place:
    """One attempt's folder with its model behind gateway.sock; Pi can be started in it, and again."""

    root: Path
    model: Model

    @property
    def task(self) -> Path:
        return self.root / "workspace/task"

    def write_settings(self) -> None:
        """Write Pi's settings files, as the runner does before each start."""
        for path, text in pi_launch.settings_files(json.dumps(MODELS_JSON)).items():
            (self.root / "workspace" / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / "workspace" / path).write_text(text)

    @contextlib.asynccontextmanager
    async def pi(self, weak_model: str | None = None) -> AsyncIterator[tuple[Pi, Sandbox]]:
        env = pi_launch.env(weak_model)
        spec = Spec(
            f"tsk_{secrets.token_hex(10)}-1",
            self.root,
            runtime_dir(),
            LIMITS,
            env=env,
            cwd=pi_launch.HOME,
            kept_folders=launch.FOLDERS,
        )
        argv = pi_launch.argv("anthropic", MODEL, "tsk_1", SYSTEM_PROMPT)
        sandbox = await Bubblewrap(UID_BASE, self.root.parent).start(spec, argv)
        try:
            yield Pi(sandbox.stdin, sandbox.stdout), sandbox
        finally:
            await sandbox.destroy()


@contextlib.asynccontextmanager
async def place_in(short_dir: Path) -> AsyncIterator[Place]:
    """An attempt's folder below `short_dir`."""
    check()
    root = short_dir / "attempt"
    (root / "workspace/task").mkdir(parents=True)
    (root / "sockets").mkdir()
    model = Model()
    app = web.Application(client_max_size=64 * 1024**2)
    app.router.add_post("/anthropic/v1/messages", model.messages)
    server = web.AppRunner(app, shutdown_timeout=1)
    await server.setup()
    await web.UnixSite(server, str(root / "sockets/gateway.sock")).start()
    place = Place(root, model)
    place.write_settings()
    yield place
    await server.cleanup()


async def settle(pi: Pi, on_event: Callable[[PiEvent], None] = lambda event: None) -> list[PiEvent]:
    """Read events until `Settled`; returns them all."""
    events: list[PiEvent] = []
    async for event in pi.events():
        events.append(event)
        on_event(event)
        if isinstance(event, Settled):
            return events
    raise AssertionError(f"Pi ended after {events}")


def of(kind: type[T], events: list[PiEvent]) -> list[T]:
    return [event for event in events if isinstance(event, kind)]
