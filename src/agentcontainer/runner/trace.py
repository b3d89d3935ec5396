"""What one attempt reports to traces: one invocation of the agent, or one for each turn of a conversation.

The gateway and the recorder of the agent's tool calls are objects of the runner's process, so a parent is handed over
as an object. The sandbox gets no trace id, and could not report a span.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager

from agentcontainer.domain.conversations.model import Turn
from agentcontainer.domain.models import catalogue
from agentcontainer.domain.tasks.model import Claim, Task
from agentcontainer.domain.tasks.state import MEANING, EndReason
from agentcontainer.gateway.request_metrics import labels_of
from agentcontainer.runner.ending import Ending
from agentcontainer.telemetry import names
from agentcontainer.telemetry.names import Name, Part, Value
from agentcontainer.telemetry.tracing import (
    NO_INVOCATION,
    NO_TRACING,
    Invocation,
    Invoked,
    ModelCall,
    Result,
    Stopwatch,
    Tokens,
    ToolCall,
    Tracing,
)
from agentcontainer.traceparent import TraceParent

CLAIM_LOST = Result(None, error_type="claim_lost")
_LOST = frozenset(
    {EndReason.RUNNER_LOST, EndReason.PLATFORM_FAULT, EndReason.HOST_FAULT}
)  # the task runs again


class AttemptTrace:
    """The traces of one attempt. Until `begin`, it reports nothing."""

    def __init__(self, tracing: Tracing = NO_TRACING, claim: Claim | None = None) -> None:
        self._tracing = tracing
        self._claim = claim
        self._interval = Stopwatch()
        self._waited = claim and claim.waited_seconds
        self._invocation: Invocation = NO_INVOCATION
        self._task: Task | None = None
        self._turn: Turn | None = None
        self._is_open = False
        self._result: Result | None = None

    @property
    def on_call(self) -> Callable[[ModelCall], None] | None:
        """What model requests are reported to. None: nothing is reported."""
        return self.model_call if self._tracing.is_on else None

    @property
    def captures_content(self) -> bool:
        """Whether spans contain texts of the agent's work."""
        return self._tracing.captures_content

    def begin(self, task: Task, turn: Turn | None) -> None:
        """Begin to report the work on a task, or on one of its turns. The first one began with the claim."""
        self.close()
        if self._invocation is not NO_INVOCATION:
            self._interval = Stopwatch()
        self._task, self._turn, self._is_open, self._result = task, turn, True, None
        parents = (turn and turn.traceparent, task.traceparent)
        links = [link for text in dict.fromkeys(parents) if text and (link := TraceParent.parse(text))]
        self._invocation = self._tracing.begin(self._invoked(task), self._interval.start_ns, links)
        if self._waited is not None:
            waited, self._waited = self._waited, None
            self._invocation.part(names.QUEUE, Stopwatch.before(self._interval.start_ns, waited), {}, None)

    def use(self, task: Task) -> None:
        """Report the execution of this task, which its turn's message may have changed."""
        self._task = task

    def end(self, ending: Ending) -> None:
        """Record how the attempt ended. It is reported when its container is closed, with what comes until then."""
        meaning = MEANING[ending.reason]
        is_of_agent = ending.reason in (EndReason.COMPLETE, EndReason.INCOMPLETE)
        self._settle(Result(
            meaning.status.value,
            ending.reason.value if is_of_agent else None,
            ending.reason.value if ending.reason in _LOST else meaning.error_code,
        ))  # fmt: skip

    def end_turn(self, error_code: str | None) -> None:
        """Report a turn that has ended. None: it has a reply."""
        self._settle(Result("completed" if error_code is None else "failed", error_type=error_code))
        self.close()

    def close(self) -> None:
        """Report what has not been reported yet."""
        if self._is_open and self._task is not None:
            self._is_open = False
            self._invocation.end(self._invoked(self._task), self._result or CLAIM_LOST, self._interval)

    def model_call(self, call: ModelCall) -> None:
        """Report a model request, below the work that was begun last."""
        self._invocation.model_call(call)

    def count(self, tokens: Tokens) -> None:
        """Add what a model request used."""
        self._invocation.count(tokens)

    def tool_call(self, call: ToolCall) -> None:
        """Report a tool call."""
        self._invocation.tool_call(call)

    @contextmanager
    def measured(self, name: Part) -> Generator[dict[Name, Value | None]]:
        """Report the block as a part of the platform's own work. The block may add attributes."""
        with self._invocation.measured(name) as attributes:
            yield attributes

    def _settle(self, result: Result) -> None:
        self._interval.stop()
        self._result = result

    def _invoked(self, task: Task) -> Invoked:
        assert self._claim is not None
        provider = task.execution.provider
        model = catalogue.wire_id(provider, task.execution.model)
        return Invoked(
            task.id, task.account_id, task.agent_id, task.agent_name, str(task.agent_version_number),
            self._claim.attempt, self._turn.number if self._turn else None, task.mode, provider, model,
            labels_of(provider, model),
        )  # fmt: skip
