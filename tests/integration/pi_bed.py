"""The real Pi in a real sandbox, with a scripted model behind its gateway socket."""

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from aiohttp import web

from agentcontainer.runner.agent import launch, pi_launch
from agentcontainer.runner.agent.pi import Pi
from agentcontainer.runner.agent.pi_events import PiEvent, Settled
from agentcontainer.runner.agent.prompts import SYSTEM_PROMPT
from agentcontainer.sandbox.bubblewrap import Sandbox

from .attempt_bed import attempt_folder, sandbox_in
from .pi_model import MODEL, Model

T = TypeVar("T")
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
class PiBed:
    """One attempt's folder with a model behind gateway.sock. Pi can be started in it several times."""

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
        argv = pi_launch.argv("anthropic", MODEL, "tsk_1", SYSTEM_PROMPT)
        async with sandbox_in(
            self.root, argv, memory_bytes=1024**3, env=pi_launch.env(weak_model), kept_folders=launch.FOLDERS
        ) as sandbox:
            yield Pi(sandbox.stdin, sandbox.stdout), sandbox


@contextlib.asynccontextmanager
async def pi_bed_in(short_dir: Path) -> AsyncIterator[PiBed]:
    """A bed in an attempt's folder below `short_dir`."""
    model = Model()
    app = web.Application(client_max_size=64 * 1024**2)
    app.router.add_post("/anthropic/v1/messages", model.messages)
    async with attempt_folder(short_dir, "gateway.sock", app) as root:
        bed = PiBed(root, model)
        bed.write_settings()
        yield bed


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
