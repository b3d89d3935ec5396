"""Builds the command, environment and files with which a task's agent process starts."""

from agentcontainer.domain.tasks.model import Task
from agentcontainer.providers import Provider
from agentcontainer.runner.agent import pi_launch
from agentcontainer.runner.agent.model_access import models_of, weak_model_of
from agentcontainer.runner.agent.model_file import models_json, pi_name
from agentcontainer.runner.agent.prompts import CONVERSATION_PROMPT, SYSTEM_PROMPT, harness

HOME = pi_launch.HOME
TASK_FOLDER = pi_launch.TASK_FOLDER
SKILLS_FOLDER = pi_launch.SKILLS_FOLDER
SESSIONS_FOLDER = pi_launch.SESSIONS_FOLDER
FOLDERS = pi_launch.FOLDERS
is_session = pi_launch.is_session


def command(task: Task, provider: Provider) -> list[str]:
    """The command of the task's agent process."""
    conventions = CONVERSATION_PROMPT if task.mode == "conversation" else SYSTEM_PROMPT
    system_prompt = f"{task.base_prompt}\n\n{conventions}".strip()
    return pi_launch.argv(pi_name(provider), models_of(task)[0], task.id, system_prompt)


def environment(task: Task | None = None) -> dict[str, str]:
    """The environment of the task's agent process. Without a task: the variables that are the same for every task."""
    return pi_launch.env(None if task is None else weak_model_of(task))


def files(task: Task, provider: Provider) -> dict[str, str]:
    """The files that are written before the agent process starts: path below the workspace → content."""
    execution = task.execution
    return {
        f"{TASK_FOLDER}/TASK.md": task.instructions,
        f"{TASK_FOLDER}/HARNESS.md": harness(
            execution.output_policy,
            execution.internet_access,
            execution.max_runtime_seconds,
            execution.soft_finish_after_seconds,
            is_conversation=task.mode == "conversation",
            egress=execution.egress,
        ),
        **settings_files(task, provider),
    }


def settings_files(task: Task, provider: Provider) -> dict[str, str]:
    """Those of `files` that are written again when a workspace is restored."""
    return pi_launch.settings_files(models_json(provider, models_of(task)))
