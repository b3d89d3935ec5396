"""What `run` and `rerun` share: upload, dispatch, follow, print."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from agentcontainer_client import Task
from agentcontainer_client._sources import AnyFile
from agentcontainer_client.cli import exits
from agentcontainer_client.cli.following import Follower, finish, interrupted_by_signals
from agentcontainer_client.cli.meter import used
from agentcontainer_client.cli.state import State
from agentcontainer_client.cli.view import View


@dataclass(frozen=True)
class Follow:
    """What happens after the dispatch. `folder`: where the outputs are saved; `timeout`: seconds to wait."""

    folder: str | None = None
    timeout: float | None = None
    is_cancelling: bool = False
    is_json: bool = False
    fields: str | None = None
    has_events: bool = False
    is_detached: bool = False


def run_to_end(
    state: State, prompt: str, agent: str, files: Sequence[AnyFile], options: dict[str, Any], follow: Follow
) -> None:
    """Upload the files, dispatch the task, and follow it to its end, unless the user detaches.

    Raises:
        Exit: always, but for a detached task; with the exit code of the task.
    """
    if follow.folder is not None and not follow.is_detached:
        Path(follow.folder).mkdir(
            parents=True, exist_ok=True
        )  # a wrong one is found before the task is paid for
    task = _dispatch(state, prompt, agent, _upload(state, files), options)
    if follow.is_detached:
        state.json(task.to_wire(), follow.fields) if follow.is_json else state.line(task.id)
        return
    state.say(f"{task.id} dispatched to {task.agent_name}", "dim")
    ended = Follower(
        state, task, timeout=follow.timeout, is_cancelling=follow.is_cancelling, has_events=follow.has_events
    ).run()
    state.say(used(ended), "dim")
    is_json = follow.is_json or follow.has_events
    finish(state, ended, folder=follow.folder, is_json=is_json, fields=follow.fields)


class Uploads:
    """Shows the progress of uploads. After `stop` the next report of progress ends the upload that makes it."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._is_stopped = False

    def stop(self) -> None:
        """End the uploads: those in other threads do not see the signal."""
        self._is_stopped = True

    def progress(self, sent: int, total: int) -> None:
        """Show how much has been sent."""
        if self._is_stopped:
            raise InterruptedError("The upload was interrupted.")
        self._view.progress(sent, total)


def _upload(state: State, files: Sequence[AnyFile]) -> list[str]:
    if not files:
        return []
    view = View(state, "uploading")
    uploads = Uploads(view)
    try:
        with view.shown(), interrupted_by_signals(uploads.stop):
            return state.client.files.upload_all(files, on_progress=uploads.progress)
    except (KeyboardInterrupt, InterruptedError):
        state.err.print("Interrupted while files were uploaded: no task was dispatched.")
        raise typer.Exit(exits.DETACHED) from None


def _dispatch(state: State, prompt: str, agent: str, file_ids: list[str], options: dict[str, Any]) -> Task:
    try:
        with interrupted_by_signals():
            return state.client.tasks.create(prompt, agent=agent, files=file_ids, **options)
    except KeyboardInterrupt:
        state.err.print(
            "Interrupted during the dispatch. If there is a task, it goes on: agentcontainer list -n 1"
        )
        raise typer.Exit(exits.DETACHED) from None
