"""Follows a task to its end; Ctrl-C never kills it silently, and never leaves it unnoticed."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import typer

from agentcontainer_client import Task, errors
from agentcontainer_client._events import Event
from agentcontainer_client.cli import exits
from agentcontainer_client.cli.state import State, leave
from agentcontainer_client.cli.view import View

ANSWER_SECONDS = 10.0
CANCEL_ON_EXIT = "AGENTCONTAINER_CANCEL_ON_EXIT"


class Follower:
    """Follows one task. `has_events`: print each event as JSON on stdout instead of a view on stderr.

    `is_shown`: whether an event is of interest.
    """

    def __init__(
        self,
        state: State,
        task: Task,
        *,
        timeout: float | None = None,
        is_cancelling: bool = False,
        has_events: bool = False,
        after: int = 0,
        is_shown: Callable[[Event], bool] = lambda _: True,
    ) -> None:
        self._state = state
        self._task = task
        self._ends_at = None if timeout is None else time.monotonic() + timeout
        self._timeout = timeout
        self._is_cancelling = is_cancelling or os.environ.get(CANCEL_ON_EXIT) == "1"
        self._has_events = has_events
        self._after = after
        self._is_shown = is_shown
        self._view = View(state, task.title or task.id, task.created_at, task_id=task.id)

    def run(self) -> Task:
        """The task at its end.

        Raises:
            Exit: the user detached, or the time has passed.
        """
        with interrupted_by_signals():
            while True:
                try:
                    with self._view.shown():
                        return self._follow(self._print if self._has_events else self._view.show)
                except KeyboardInterrupt:
                    self._on_interrupt()

    def _follow(self, show: Callable[[Event], None]) -> Task:
        left = None if self._ends_at is None else max(0.0, self._ends_at - time.monotonic())
        with self._task.stream(after=self._after, deltas=self._state.is_live, timeout=left) as stream:
            for event in stream:
                self._after = max(self._after, event.sequence)
                if self._is_shown(event):
                    show(event)
        left = None if self._ends_at is None else max(0.0, self._ends_at - time.monotonic())
        try:
            return self._task.wait(left, raise_on_failure=False)
        except errors.WaitTimedOut:
            raise errors.WaitTimedOut(self._task.id, self._timeout or 0) from None

    def _print(self, event: Event) -> None:
        if event.sequence:
            self._state.json(event.to_wire(), is_compact=True)
            sys.stdout.flush()

    def _on_interrupt(self) -> None:
        """Ask what to do, where somebody can answer."""
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            self._cancel() if self._is_cancelling else self._detach()
        self._state.err.print(
            "Task goes on. [Enter] detach · [c] cancel · [w] keep watching (then Enter)", style="bold"
        )
        try:
            answer = answer_within(ANSWER_SECONDS)
        except KeyboardInterrupt:
            answer = ""
        if answer.startswith("c"):
            self._cancel()
        if not answer.startswith("w"):
            self._detach()

    def _detach(self) -> NoReturn:
        self._state.err.print(
            f"Detached; the task goes on.\n"
            f"  agentcontainer logs -f {self._task.id}\n"
            f"  agentcontainer cancel {self._task.id}\n"
            f"  agentcontainer open {self._task.id}"
        )
        leave(exits.DETACHED)

    def _cancel(self) -> NoReturn:
        with contextlib.suppress(errors.Conflict):  # it has ended meanwhile
            self._task.cancel()
        ended = self._task.wait(60, raise_on_failure=False)
        self._state.err.print(f"Task {ended.id} is {ended.status}.")
        leave(exits.of_task(ended))


def answer_within(seconds: float) -> str:
    """What the user types before Enter; empty if nothing is typed in time."""
    answers: list[bytes] = []
    # A thread and `os.read`, because Windows cannot wait for a console with a timeout, and the interpreter could not
    # end while a thread holds the lock of `sys.stdin`.
    reader = threading.Thread(target=lambda: answers.append(os.read(sys.stdin.fileno(), 100)), daemon=True)
    reader.start()
    reader.join(seconds)
    return answers[0].decode(errors="replace").strip().lower() if answers else ""


@contextmanager
def interrupted_by_signals(stop: Callable[[], None] = lambda: None) -> Generator[None]:
    """In the block, SIGTERM does the same as Ctrl-C. `stop` is called before KeyboardInterrupt is raised."""

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop()
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:  # as in the background of a shell
                signal.signal(number, on_signal)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def finish(
    state: State, task: Task, *, folder: str | None, is_json: bool, fields: str | None = None
) -> NoReturn:
    """Print the result of an ended task, save its files into `folder`, and end with the exit code for it."""
    try:
        for path in [] if folder is None else task.download_all(folder):
            state.say(f"saved {path}")
    finally:  # a full disk must not lose the result
        if is_json:
            state.json(task.to_wire(), fields)
        elif task.status == "finished" and task.result:
            state.result(task.result)
    if task.status != "finished":
        state.err.print(f"error: {task.error or f'The task was {task.status}.'} ({task.id})", markup=False)
    raise typer.Exit(exits.of_task(task))
