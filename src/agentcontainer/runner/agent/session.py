"""Drives one agent process: sends prompts, reminders and steering messages, and turns its end into an ending."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, NoReturn

from agentcontainer import crash
from agentcontainer.child_output import Tail
from agentcontainer.domain.execution.model import Budget
from agentcontainer.domain.tasks.event_data import AgentReminded, ModelRetried
from agentcontainer.domain.tasks.model import Task
from agentcontainer.domain.tasks.state import EndReason
from agentcontainer.gateway.app import Gateway
from agentcontainer.gateway.patience import Patience
from agentcontainer.runner.agent.pi import Pi
from agentcontainer.runner.agent.pi_crash import crash_message
from agentcontainer.runner.agent.pi_events import (
    MessageCompleted,
    PiEndedError,
    PiError,
    PiEvent,
    RetryStarted,
    Settled,
    ToolStarted,
)
from agentcontainer.runner.agent.prompts import GO_ON, LAST_ANSWER, LAST_CHANCE, NUDGE, steer_prompt, wrap_up
from agentcontainer.runner.agent.recorder import Recorder
from agentcontainer.runner.ending import Ended, Ending
from agentcontainer.runner.log import EventLog
from agentcontainer.runner.resource_limits import ResourceLimits
from agentcontainer.runner.trace import AttemptTrace
from agentcontainer.sandbox.bubblewrap import Sandbox
from agentcontainer.sandbox.contract import Exit

MAX_REMINDERS = 3
ECHO_PREFIX = 1000  # characters compared to recognise an echoed steering message
STDERR_TAIL_BYTES = 4000
INTERRUPT_AGAIN_SECONDS = 10.0  # longer than a command may take to end
COMMAND_CHECK_SECONDS = 1.0
COMMAND_SHARE = 0.25  # of the time from the soft limit to the hard one, for each command
BUDGET_EXCEEDED = Ending(
    EndReason.BUDGET_EXCEEDED, "The task used up its budget (overrides.budget) before the agent was done."
)
BUDGET_PAUSE = "The budget of this task (overrides.budget) is used up. It waits until the budget is raised."
INTERRUPTED = Ending(EndReason.INTERRUPTED, "The user stopped the turn.")


@dataclass(frozen=True)
class Reply:
    """The agent's text in a turn. `failure`: why the turn failed; the conversation continues nevertheless."""

    text: str
    failure: Ending | None = None


@dataclass(frozen=True)
class _Steered:
    """A text that Pi has and the model may not have yet: a steering message, or (without an id) that time runs out."""

    message_id: str | None
    text: str


class Session:
    """One Pi process. `on_delivered` is called with the id of each steering message that reaches the model, and
    `on_budget_reached` when the agent gets its last request. A command
    that keeps the model from a steering message for `steering_wait_seconds` is ended."""

    def __init__(
        self,
        task: Task,
        sandbox: Sandbox,
        gateway: Gateway,
        log: EventLog,
        on_delivered: Callable[[str], Awaitable[None]],
        on_budget_reached: Callable[[], Awaitable[None]],
        resource_limits: ResourceLimits,
        steering_wait_seconds: float,
        is_control_busy: Callable[[], bool],
        trace: AttemptTrace,
    ) -> None:
        self.is_begun = asyncio.Event()
        """Set when Pi's session file contains the prompt of `work` and a first answer."""
        self.reached_budget: asyncio.Future[Budget | None] = asyncio.get_running_loop().create_future()
        """The budget that is used up, once an agent that works alone must wait for a larger one."""
        self._task = task
        self._sandbox = sandbox
        self._gateway = gateway
        self._log = log
        self._on_delivered = on_delivered
        self._on_budget_reached = on_budget_reached
        self._resource_limits = resource_limits
        self._pi = Pi(sandbox.stdin, sandbox.stdout)
        self._recorder = Recorder(log, trace)
        self._steered: list[_Steered] = []
        self._steering_wait_seconds = steering_wait_seconds
        self._is_control_busy = is_control_busy
        self._interrupting: set[asyncio.Task[None]] = set()
        self._stderr_tail = Tail(STDERR_TAIL_BYTES)
        self._stderr = asyncio.create_task(self._stderr_tail.read(sandbox.stderr))

    @property
    def patience(self) -> Patience:
        """How long its model requests wait for a provider that is overloaded or unavailable."""
        return self._gateway.patience

    async def close(self) -> None:
        """Stop what runs in the background, and report the tool calls that never ended."""
        self._recorder.close()
        tasks = [self._stderr, *self._interrupting]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def complete_calls(self, ending: Ending) -> None:
        """Log the tool call in which the agent ended the attempt as completed, and those beside it. Pi reports none
        of them: its container is closed before the command returns."""
        if ending.hibernation is not None:
            self._recorder.complete_calls("hibernate was accepted: the task hibernates.")
        elif ending.reason in (EndReason.COMPLETE, EndReason.INCOMPLETE):
            self._recorder.complete_calls("finish was accepted: the task has ended.")

    async def work(self, prompt: str) -> NoReturn:
        """Let the agent work alone: prompt it, and remind it whenever it stops without `finish`.

        Raises:
            Ended: the agent stopped too often, its budget is used up, model requests fail, or Pi failed.
        """
        self._gateway.is_ended_by_outage = True
        reminders = message_reminders = 0
        self.is_begun.clear()
        await self._gateway.budget.begin_prompt()
        while True:
            await self._run(prompt)
            self.is_begun.set()
            is_message_waiting = any(steered.message_id is not None for steered in self._steered)
            if is_message_waiting and message_reminders < MAX_REMINDERS:  # the next prompt delivers it
                message_reminders += 1
                self._log.add(AgentReminded("message", message_reminders))
                prompt = GO_ON
                continue
            if self._gateway.budget.is_raised_after_refusal():
                prompt = GO_ON
                continue
            if self._is_stopped_by_outage:
                self._gateway.report_outage()
                await asyncio.Event().wait()  # the outage ends the attempt
            if self._gateway.budget.is_exceeded and self._gateway.budget.is_pausing:
                self.reached_budget.set_result(self._gateway.budget.limits)
                await asyncio.Event().wait()  # the pause ends the attempt
            if (ending := self._ending_after_stop(reminders)) is not None:
                raise Ended(ending)
            if self._gateway.budget.is_exceeded:
                await self._allow_last_request()
                prompt = LAST_CHANCE
                continue
            reminders += 1
            self._log.add(AgentReminded("no_finish", reminders))
            prompt = NUDGE

    async def answer(self, prompt: str, is_interrupted: Callable[[], bool] = lambda: False) -> Reply:
        """Let the agent answer in a turn of a conversation. `is_interrupted`: whether the user stops the turn.

        Raises:
            Ended: the budget was used up before the agent wrote anything, or Pi failed.
        """
        self._recorder.begin_reply()
        self.patience.start_over()
        await self._gateway.budget.begin_prompt()
        if not is_interrupted():
            await self._run(prompt)
        while self._gateway.budget.is_raised_after_refusal() and not is_interrupted():
            await self._run(GO_ON)
        if is_interrupted():
            return Reply(self._recorder.reply, INTERRUPTED)
        if self._gateway.budget.is_exceeded and self._gateway.budget.is_pausing:
            ending = Ending(EndReason.BUDGET_EXCEEDED, BUDGET_PAUSE, budget=self._gateway.budget.limits)
            return Reply(self._recorder.reply, ending)
        if self._gateway.budget.is_exceeded and not self._gateway.budget.had_last:
            await self._allow_last_request()
            await self._run(LAST_ANSWER)
        text = self._recorder.reply
        if self._gateway.budget.is_exceeded:
            if not text:
                raise Ended(BUDGET_EXCEEDED)
            return Reply(text)
        if self._recorder.provider_error is not None:
            return Reply(text, self._ending_of_requests())
        if not text:
            return Reply(
                text, Ending(EndReason.PROVIDER_ERROR, "The model ended its turn without an answer.")
            )
        return Reply(text)

    async def abort(self) -> None:
        """End the present run, if there is one."""
        with contextlib.suppress(PiError):  # `answer` notices that Pi has exited
            await self._pi.abort()

    async def steer(self, message_id: str, content: str) -> None:
        """Give a message to a working agent, which reads it before its next model request."""
        await self._steer(_Steered(message_id, steer_prompt(content)), self._steering_wait_seconds)

    async def wrap_up(self, seconds_left: int, *, is_conversation: bool) -> None:
        """Ask a working agent to come to an end, and end its running commands."""
        self._log.add(AgentReminded("soft_finish"))
        limit = self._command_limit(seconds_left)
        await self._steer(_Steered(None, wrap_up(seconds_left, round(limit), is_conversation)), 0.0)

    async def limit_commands(self, seconds_left: float) -> NoReturn:
        """End each command that runs too long for an agent which has `seconds_left`, until cancelled."""
        limit = self._command_limit(seconds_left)
        while True:
            await asyncio.sleep(COMMAND_CHECK_SECONDS)
            if self._recorder.longest_call_seconds >= limit:
                await self._end_running_commands("time")

    def _command_limit(self, seconds_left: float) -> float:
        """How long a command may run once time is running out: it must leave time for `finish`."""
        return max(1.0, min(self._steering_wait_seconds, seconds_left * COMMAND_SHARE))

    async def notify(self, text: str) -> None:
        """Give a working agent a text of the platform's."""
        with contextlib.suppress(PiError):
            await self._pi.steer(text)

    async def _steer(self, steered: _Steered, wait_seconds: float) -> None:
        self._steered.append(steered)  # first: Pi may echo the message before it answers this command
        try:
            await self._pi.steer(steered.text)
        except PiError:
            with contextlib.suppress(ValueError):
                self._steered.remove(steered)
            return
        task = asyncio.create_task(self._end_commands(steered, wait_seconds))
        self._interrupting.add(task)
        task.add_done_callback(self._interrupting.discard)

    async def _end_commands(self, steered: _Steered, wait_seconds: float) -> None:
        """After this time, end the running commands, repeatedly until the model has the text: it may start others."""
        await asyncio.sleep(wait_seconds)
        while steered in self._steered:
            await self._end_running_commands("time" if steered.message_id is None else "message")
            await asyncio.sleep(INTERRUPT_AGAIN_SECONDS)

    async def _end_running_commands(self, reason: Literal["message", "time"]) -> None:
        if not self._is_control_busy():  # a `finish` that stores large files must not be ended
            with contextlib.suppress(PiError):
                await self._pi.end_commands(reason)

    async def _run(self, prompt: str) -> None:
        """Prompt Pi and record what it reports until it waits for the next prompt.

        Raises:
            Ended: Pi exits, or breaks the protocol.
        """
        try:
            await self._pi.prompt(prompt)
            crash.reach("prompted")
            async with contextlib.aclosing(self._pi.events()) as events:
                async for event in events:
                    await self._record(event)
                    if isinstance(event, Settled):
                        return
            raise PiEndedError("Pi has exited")
        except PiError as error:
            raise Ended(await self._ending_of_pi(error)) from error

    async def _record(self, event: PiEvent) -> None:
        match event:
            case MessageCompleted(role="user"):
                await self._echoed(event.text)
            case ToolStarted():
                self.is_begun.set()  # Pi writes an answer to its session file before it runs the tools in it
            case RetryStarted():
                self._log.add(ModelRetried(event.attempt, self._provider_message()))
            case _:
                pass
        self._recorder.record(event)
        if self._log.is_full:
            await self._log.flush()

    async def _echoed(self, text: str) -> None:
        """Record that the model got the steering message with this text: Pi echoes each message that it sends to it."""
        for steered in self._steered:
            if text[:ECHO_PREFIX] == steered.text[:ECHO_PREFIX]:
                self._steered.remove(steered)
                if steered.message_id is not None:
                    await (
                        self._log.flush()
                    )  # so that the events before it get lower numbers than its delivery
                    await self._on_delivered(steered.message_id)
                return

    async def _allow_last_request(self) -> None:
        """Let the agent make one more model request although its budget is used up."""
        await self._log.flush()
        await self._on_budget_reached()
        self._gateway.budget.allow_last()
        self._log.add(AgentReminded("budget"))

    @property
    def _is_stopped_by_outage(self) -> bool:
        """Whether the agent stopped because of temporary errors, in answers that had begun: the attempt hibernates."""
        last_error = self._gateway.last_error
        is_transient = last_error is not None and last_error.is_transient
        is_failed = self._recorder.provider_error is not None and not self._gateway.budget.is_exceeded
        return is_failed and is_transient and not self.patience.is_limited_to_none

    def _ending_after_stop(self, reminders: int) -> Ending | None:
        """The ending for an agent that stopped without `finish`; None: prompt it again."""
        if self._gateway.budget.is_exceeded:
            return BUDGET_EXCEEDED if self._gateway.budget.had_last else None
        if self._recorder.provider_error is not None:
            return self._ending_of_requests()
        if reminders < MAX_REMINDERS:
            return None
        message = f"The agent stopped without calling finish, and was reminded {MAX_REMINDERS} times."
        return self._resource_limits.limit_blocking_progress() or Ending(EndReason.AGENT_STOPPED, message)

    def _ending_of_requests(self) -> Ending:
        """The ending for an agent whose model requests fail. If the gateway saw no failure, the cause may be a full
        disk: Pi reports a failed request also if it cannot write its session file."""
        limit = self._resource_limits.limit_blocking_progress() if self._gateway.last_error is None else None
        return limit or Ending(EndReason.PROVIDER_ERROR, self._provider_message())

    def _provider_message(self) -> str:
        """The provider's error, as the gateway saw it (without the key), or else as Pi reported it."""
        provider = self._task.execution.provider
        last_error = self._gateway.last_error
        if last_error is None:
            reason = self._recorder.provider_error or "without a reason"
            return f"Pi reported a failed request to {provider}: {reason}"
        return last_error.clause(provider)

    async def _ending_of_pi(self, error: PiError) -> Ending:
        if not isinstance(error, PiEndedError):
            limit = self._resource_limits.limit_blocking_progress()
            return limit or Ending(EndReason.AGENT_CRASHED, f"The connection to Pi failed: {error}.")
        exit_ = await self._sandbox.wait()
        await asyncio.wait([self._stderr], timeout=1)
        return self._resource_limits.limit_behind_exit(exit_) or self._crash(exit_)

    def _crash(self, exit_: Exit) -> Ending:
        message = crash_message(exit_.code, self._stderr_tail.text, self._recorder.running_command)
        return Ending(EndReason.AGENT_CRASHED, message)
