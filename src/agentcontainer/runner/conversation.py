"""Talking with Pi through one attempt: the prompt, what Pi reports, reminders, and what its end means."""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any

from agentcontainer.domain.tasks.model import Output, Task
from agentcontainer.domain.tasks.state import EndReason
from agentcontainer.gateway.app import Gateway
from agentcontainer.runner.log import EventLog
from agentcontainer.runner.pi import Pi, PiEndedError
from agentcontainer.runner.pi_frames import (
    MessageCompleted,
    PiError,
    PiEvent,
    RetryStarted,
    Settled,
    ToolCompleted,
    ToolStarted,
)
from agentcontainer.runtime.harness import LAST_CHANCE, NUDGE, prompt, wrap_up
from agentcontainer.sandbox.bubblewrap import Sandbox

MAX_REMINDERS = 3
BUDGET_EXCEEDED = "The task used up its budget (overrides.budget) before the agent called finish."
KILLED = 128 + 9
STDERR_TAIL_BYTES = 4000
STDERR_CHUNK_BYTES = 65536


@dataclass(frozen=True)
class Ending:
    """What ended the attempt first. `message` is the finish message, or a sentence why."""

    reason: EndReason
    message: str | None = None
    outputs: tuple[Output, ...] = ()


class Conversation:
    """One Pi process, from its first prompt to its end."""

    def __init__(self, task: Task, sandbox: Sandbox, gateway: Gateway, log: EventLog) -> None:
        self._task = task
        self._sandbox = sandbox
        self._gateway = gateway
        self._log = log
        self._pi = Pi(sandbox.stdin, sandbox.stdout)
        self._provider_error: str | None = None  # of the last assistant message
        self._had_last_chance = False  # to finish although the budget is used up
        self._stderr_tail = b""

    async def run(self) -> Ending:
        """Prompt, follow, remind; returns when Pi gives up, breaks, or was reminded often enough."""
        stderr = asyncio.create_task(self._keep_stderr())
        try:
            ending = await self._follow()
            if ending is None:
                exit_ = await self._sandbox.wait()
                await asyncio.wait([stderr], timeout=1)
                ending = self._crash(exit_.code, exit_.is_out_of_memory)
            return ending
        finally:
            stderr.cancel()
            await asyncio.gather(stderr, return_exceptions=True)

    async def wrap_up(self, seconds_left: int) -> None:
        """Tell the agent, in the middle of its work, to come to an end."""
        self._log.add("agent.reminded", {"reason": "soft_finish"})
        with contextlib.suppress(PiError):
            await self._pi.steer(wrap_up(seconds_left))

    async def _follow(self) -> Ending | None:
        """Until Pi has given up (an ending) or its output has ended (None)."""
        reminders = 0
        try:
            await self._pi.prompt(prompt(self._task.instructions, self._task.execution.output_policy))
            async with contextlib.aclosing(self._pi.events()) as happenings:
                async for event in happenings:
                    await self._record(event)
                    if not isinstance(event, Settled):
                        continue
                    if (ending := self._given_up(reminders)) is not None:
                        return ending
                    if self._gateway.budget.is_exceeded:
                        await self._give_last_chance()
                        continue
                    reminders += 1
                    self._log.add("agent.reminded", {"reason": "no_finish", "count": reminders})
                    await self._pi.prompt(NUDGE)
        except PiEndedError:
            return None
        except PiError as error:
            return Ending(EndReason.AGENT_CRASHED, f"Pi could not be talked to: {error}.")
        return None

    async def _give_last_chance(self) -> None:
        self._had_last_chance = True
        self._gateway.budget.allow_last()
        self._log.add("agent.reminded", {"reason": "budget"})
        await self._pi.prompt(LAST_CHANCE)

    def _given_up(self, reminders: int) -> Ending | None:
        if self._gateway.budget.is_exceeded:
            return Ending(EndReason.BUDGET_EXCEEDED, BUDGET_EXCEEDED) if self._had_last_chance else None
        if self._provider_error is not None:
            return Ending(EndReason.PROVIDER_ERROR, self._provider_message())
        if reminders < MAX_REMINDERS:
            return None
        message = f"The agent stopped without calling finish, and was reminded {MAX_REMINDERS} times."
        return Ending(EndReason.AGENT_STOPPED, message)

    async def _record(self, event: PiEvent) -> None:
        """An event of Pi's becomes one of the task's log."""
        data: dict[str, Any]
        match event:
            case MessageCompleted(role="assistant"):
                self._provider_error = event.error_message if event.stop_reason == "error" else None
                if event.text:
                    self._log.add("message.completed", {"role": "assistant", "content": event.text})
            case ToolStarted():
                data = {"callId": event.call_id, "tool": event.tool, "input": event.input}
                self._log.add("tool.started", data)
            case ToolCompleted():
                data = {
                    "callId": event.call_id,
                    "tool": event.tool,
                    "isError": event.is_error,
                    "output": event.output,
                }
                self._log.add("tool.completed", data)
            case RetryStarted():
                self._log.add("model.retried", {"attempt": event.attempt, "error": self._provider_message()})
            case _:
                pass
        if self._log.is_full:
            await self._log.flush()

    def _provider_message(self) -> str:
        """The provider's own words where the gateway saw them; it scrubbed the key out of them."""
        provider = self._task.execution.provider
        seen = self._gateway.last_error
        if seen is None:
            return f"Pi reported a failed request to {provider}: {self._provider_error or 'without a reason'}"
        return f"{provider} answered {seen.status}: {seen.message}"

    def _crash(self, code: int, is_out_of_memory: bool) -> Ending:
        if is_out_of_memory and code == KILLED:  # a command of the agent's that ran out does not end Pi
            return Ending(EndReason.OUT_OF_MEMORY, "The agent used more memory than its container may.")
        tail = self._stderr_tail.decode(errors="replace").strip()
        return Ending(EndReason.AGENT_CRASHED, f"Pi ended unexpectedly with exit code {code}. {tail}".strip())

    async def _keep_stderr(self) -> None:
        while chunk := await self._sandbox.stderr.read(STDERR_CHUNK_BYTES):
            self._stderr_tail = (self._stderr_tail + chunk)[-STDERR_TAIL_BYTES:]
