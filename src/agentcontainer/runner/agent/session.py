"""Talking with Pi through one attempt: prompts, what Pi reports, reminders, and what its end means."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from agentcontainer import crash
from agentcontainer.child_output import Tail
from agentcontainer.domain.tasks.model import Hibernation, Output, Task
from agentcontainer.domain.tasks.state import EndReason
from agentcontainer.gateway.app import Gateway
from agentcontainer.ids import new_id
from agentcontainer.runner.agent.pi import Pi, PiEndedError
from agentcontainer.runner.agent.pi_frames import (
    MessageCompleted,
    PiError,
    PiEvent,
    RetryStarted,
    Settled,
    TextDelta,
    ToolCompleted,
    ToolStarted,
)
from agentcontainer.runner.agent.prompts import GO_ON, LAST_ANSWER, LAST_CHANCE, NUDGE, steer_prompt, wrap_up
from agentcontainer.runner.log import EventLog
from agentcontainer.runner.resource_limits import Cause, ResourceLimits
from agentcontainer.sandbox.bubblewrap import Sandbox
from agentcontainer.sandbox.contract import Exit

MAX_REMINDERS = 3
BUDGET_EXCEEDED = "The task used up its budget (overrides.budget) before the agent was done."
SHOWN = 1000  # characters by which a message is known again
MAX_REPLY_CHARACTERS = 4 * 1024**2  # held in memory until the turn's end
STDERR_TAIL_BYTES = 4000


@dataclass(frozen=True)
class Ending:
    """What ended the attempt first. `message` is the finish message, or a sentence why."""

    reason: EndReason
    message: str | None = None
    outputs: tuple[Output, ...] = ()
    hibernation: Hibernation | None = None  # instead of an end


@dataclass(frozen=True)
class Reply:
    """How a turn ended: what the agent said in it, or (error code, error) why it could not."""

    text: str
    failure: tuple[str, str] | None = None


class Session:
    """One Pi process, from its first prompt to its end. `labels` go with every event of the turn that runs."""

    def __init__(
        self,
        task: Task,
        sandbox: Sandbox,
        gateway: Gateway,
        log: EventLog,
        on_heard: Callable[[str], Awaitable[None]],
        resource_limits: ResourceLimits,
    ) -> None:
        self.labels: dict[str, Any] = {}
        self.is_begun = asyncio.Event()  # what `work` was told, and a first answer, are in Pi's session file
        self._task = task
        self._sandbox = sandbox
        self._gateway = gateway
        self._log = log
        self._on_heard = on_heard
        self._resource_limits = resource_limits
        self._pi = Pi(sandbox.stdin, sandbox.stdout)
        self._said: list[str] = []  # in this turn, for its reply
        self._sayable = MAX_REPLY_CHARACTERS
        self._steered: list[tuple[str, str]] = []  # (message id, text) that Pi has and the model has not
        self._tool_began: dict[str, float] = {}
        self._provider_error: str | None = None  # of the last assistant message
        self._had_last_chance = False  # to finish although the budget is used up
        self._stderr_tail = Tail(STDERR_TAIL_BYTES)
        self._stderr = asyncio.create_task(self._stderr_tail.read(self._sandbox.stderr))

    async def close(self) -> None:
        """Stop reading."""
        self._stderr.cancel()
        await asyncio.gather(self._stderr, return_exceptions=True)

    async def work(self, prompt: str) -> Ending:
        """Prompt, follow, remind; returns when Pi gives up, breaks, or was reminded often enough."""
        reminders = urged = 0
        self.is_begun.clear()
        try:
            while True:
                await self._run(prompt)
                self.is_begun.set()
                if self._steered and urged < MAX_REMINDERS:  # they reach the model with the next prompt only
                    urged += 1
                    self._log.add("agent.reminded", {"reason": "message", "count": urged} | self.labels)
                    prompt = GO_ON
                    continue
                if (ending := self._given_up(reminders)) is not None:
                    return ending
                if self._gateway.budget.is_exceeded:
                    prompt = self._last_chance(LAST_CHANCE)
                    continue
                reminders += 1
                self._log.add("agent.reminded", {"reason": "no_finish", "count": reminders} | self.labels)
                prompt = NUDGE
        except PiError as error:
            return await self._broken(error)

    async def answer(self, prompt: str) -> Reply | Ending:
        """One turn of a conversation: prompt, and follow until the agent has answered."""
        self._said, self._sayable = [], MAX_REPLY_CHARACTERS
        try:
            await self._run(prompt)
            if self._gateway.budget.is_exceeded and not self._had_last_chance:
                await self._run(self._last_chance(LAST_ANSWER))
        except PiError as error:
            return await self._broken(error)
        text = "\n\n".join(self._said)
        if self._gateway.budget.is_exceeded and not text:
            return Ending(EndReason.BUDGET_EXCEEDED, BUDGET_EXCEEDED)
        if self._provider_error is not None and not self._gateway.budget.is_exceeded:
            reason, message = self._failure()
            return Reply(text, (reason.value, message))
        return Reply(text)

    async def steer(self, message_id: str, content: str) -> None:
        """Give a working agent a message before its next model request; `on_heard` is told when it has it."""
        text = steer_prompt(content)
        given = (message_id, text)
        self._steered.append(given)  # before: Pi may have taken it when its answer is read
        try:
            await self._pi.steer(text)
        except PiError:
            with contextlib.suppress(ValueError):
                self._steered.remove(given)

    async def wrap_up(self, seconds_left: int, *, is_conversation: bool) -> None:
        """Tell the agent, in the middle of its work, to come to an end."""
        self._log.add("agent.reminded", {"reason": "soft_finish"} | self.labels)
        with contextlib.suppress(PiError):
            await self._pi.steer(wrap_up(seconds_left, is_conversation))

    async def _run(self, prompt: str) -> None:
        """One prompt, until Pi has settled.

        Raises:
            PiError: it never does.
        """
        await self._pi.prompt(prompt)
        crash.reach("prompted")
        async with contextlib.aclosing(self._pi.events()) as happenings:
            async for event in happenings:
                await self._record(event)
                if isinstance(event, Settled):
                    return
        raise PiEndedError("Pi has exited")

    async def _broken(self, error: PiError) -> Ending:
        if not isinstance(error, PiEndedError):
            if (cause := self._resource_limits.limit_blocking_progress()) is not None:
                return Ending(*cause)
            return Ending(EndReason.AGENT_CRASHED, f"Pi could not be talked to: {error}.")
        exit_ = await self._sandbox.wait()
        await asyncio.wait([self._stderr], timeout=1)
        return self._crash(exit_)

    def _last_chance(self, prompt: str) -> str:
        self._had_last_chance = True
        self._gateway.budget.allow_last()
        self._log.add("agent.reminded", {"reason": "budget"} | self.labels)
        return prompt

    def _given_up(self, reminders: int) -> Ending | None:
        if self._gateway.budget.is_exceeded:
            return Ending(EndReason.BUDGET_EXCEEDED, BUDGET_EXCEEDED) if self._had_last_chance else None
        if self._provider_error is not None:
            return Ending(*self._failure())
        if reminders < MAX_REMINDERS:
            return None
        if (cause := self._resource_limits.limit_blocking_progress()) is not None:
            return Ending(*cause)
        message = f"The agent stopped without calling finish, and was reminded {MAX_REMINDERS} times."
        return Ending(EndReason.AGENT_STOPPED, message)

    async def _record(self, event: PiEvent) -> None:
        """An event of Pi's becomes one of the task's log."""
        match event:
            case TextDelta():
                self._log.add_delta(event.text, self.labels)
            case MessageCompleted(role="user"):
                for given in self._steered:
                    if event.text[:SHOWN] == given[1][:SHOWN]:
                        self._steered.remove(given)
                        await self._log.flush()  # what happened before is told before
                        await self._on_heard(given[0])
                        break
            case MessageCompleted(role="assistant"):
                is_error = event.stop_reason == "error"  # what was said before it is said again
                self._provider_error = event.error_message if is_error else None
                if event.text and not is_error:
                    self._keep_said(event.text)
                    data = {"role": "assistant", "content": event.text}
                    self._log.add("message.completed", data | self.labels)
            case ToolStarted():
                self.is_begun.set()  # Pi writes an answer down before it runs its tools
                self._tool_began[event.call_id] = time.monotonic()
                data = {
                    "activityId": new_id("act"), "callId": event.call_id, "tool": event.tool,
                    "input": event.input, "inputOmittedReason": event.input_omitted_reason,
                }  # fmt: skip
                self._log.add("tool.started", data | self.labels)
            case ToolCompleted():
                now = time.monotonic()
                data = {
                    "callId": event.call_id, "tool": event.tool, "isError": event.is_error, "output": event.output,
                    "durationMs": round((now - self._tool_began.pop(event.call_id, now)) * 1000),
                }  # fmt: skip
                self._log.add("tool.completed", data | self.labels)
            case RetryStarted():
                data = {"attempt": event.attempt, "error": self._provider_message()}
                self._log.add("model.retried", data | self.labels)
            case _:
                pass
        if self._log.is_full:
            await self._log.flush()

    def _keep_said(self, text: str) -> None:
        if kept := text[: self._sayable]:
            self._said.append(kept)
            self._sayable -= len(kept)

    def _failure(self) -> Cause:
        """Why no model request succeeds any more. A Pi that cannot write its session reports that as a failed one."""
        cause = self._resource_limits.limit_blocking_progress() if self._gateway.last_error is None else None
        return cause or (EndReason.PROVIDER_ERROR, self._provider_message())

    def _provider_message(self) -> str:
        """The provider's own words where the gateway saw them; it scrubbed the key out of them."""
        provider = self._task.execution.provider
        seen = self._gateway.last_error
        if seen is None:
            return f"Pi reported a failed request to {provider}: {self._provider_error or 'without a reason'}"
        return f"{provider} answered {seen.status}: {seen.message}"

    def _crash(self, end: Exit) -> Ending:
        if (cause := self._resource_limits.limit_behind_exit(end)) is not None:
            return Ending(*cause)
        tail = self._stderr_tail.text.strip()
        return Ending(
            EndReason.AGENT_CRASHED, f"Pi ended unexpectedly with exit code {end.code}. {tail}".strip()
        )
