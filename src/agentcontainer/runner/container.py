"""What an attempt's container is started with: its sandbox, and Pi's command in it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from agentcontainer.domain.tasks.model import Task
from agentcontainer.images.starting import Image
from agentcontainer.runner.agent import pi_launch
from agentcontainer.runner.agent.model_access import models_of, weak_model_of
from agentcontainer.runner.agent.prompts import CONVERSATION_PROMPT, SYSTEM_PROMPT
from agentcontainer.runner.services import Services
from agentcontainer.sandbox.contract import Internet, Spec


def spec(
    services: Services,
    root: Path,
    task: Task,
    image: Image | None,
    on_refused: Callable[[dict[str, Any]], None],
) -> Spec:
    """The sandbox in the attempt's folder `root`, which has its name; `on_refused` hears of hosts it may not reach."""
    env = pi_launch.env(weak_model_of(task))
    internet = Internet(task.execution.egress, on_refused) if task.execution.internet_access else None
    return Spec(
        root.name, root, services.runtime, services.limits, env if image is None else image.env(env), pi_launch.HOME,
        internet=internet, image=None if image is None else image.root,
    )  # fmt: skip


def argv(task: Task) -> list[str]:
    """Pi, as this task wants it."""
    conventions = CONVERSATION_PROMPT if task.mode == "conversation" else SYSTEM_PROMPT
    system_prompt = f"{task.base_prompt}\n\n{conventions}".strip()
    return pi_launch.argv(
        task.execution.provider, models_of(task)[0], task.id, system_prompt, weak_model_of(task)
    )
