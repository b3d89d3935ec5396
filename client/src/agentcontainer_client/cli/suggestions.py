"""What a shell completes from the installation: the newest tasks and the agents; nothing if it cannot be asked."""

import contextlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

from agentcontainer_client import AgentContainer, AgentContainerError
from agentcontainer_client.cli.text import one_line

MAX_TASKS = 50
KEPT_SECONDS = 5.0
ASKED_SECONDS = 2.0

Suggestions = list[tuple[str, str]]


def tasks(incomplete: str) -> Suggestions:
    """The ids of the newest tasks that begin like this, with their titles."""
    return _matching("tasks", incomplete, _ask_tasks)


def agents(incomplete: str) -> Suggestions:
    """The ids of agents that begin like this, with their names."""
    return _matching("agents", incomplete, _ask_agents)


def _ask_tasks(client: AgentContainer) -> Suggestions:
    listed = client.tasks.list(limit=MAX_TASKS, fields="summary")
    return [(task.id, one_line(f"{task.status} {task.title or ''}", 60)) for task in listed]


def _ask_agents(client: AgentContainer) -> Suggestions:
    return [(agent.id, one_line(agent.name, 60)) for agent in client.agents.list()]


def _matching(name: str, incomplete: str, ask: Callable[[AgentContainer], Suggestions]) -> Suggestions:
    with contextlib.suppress(AgentContainerError, OSError, ValueError):
        with AgentContainer(timeout=ASKED_SECONDS, max_retries=0) as client:
            suggestions = _kept(name, client, ask)
        return [(word, text) for word, text in suggestions if word.startswith(incomplete)]
    return []


def _kept(name: str, client: AgentContainer, ask: Callable[[AgentContainer], Suggestions]) -> Suggestions:
    """What was answered a moment ago, or is answered now."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "agentcontainer"
    file = folder / f"{name}-{abs(hash_of(client.base_url))}.json"
    with contextlib.suppress(OSError, ValueError):
        if time.time() - file.stat().st_mtime < KEPT_SECONDS:
            return [
                (word, text) for word, text in cast("list[list[str]]", json.loads(file.read_text("utf-8")))
            ]
    suggestions = ask(client)
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.write_text(json.dumps(suggestions), "utf-8")
    return suggestions


def hash_of(text: str) -> int:
    """A number for a text, the same in every process."""
    import zlib

    return zlib.crc32(text.encode())
