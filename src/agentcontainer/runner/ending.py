"""The two ways in which an attempt ends: with an `Ending`, which is committed, or because it lost its claim."""

from dataclasses import dataclass

from agentcontainer.domain.execution.model import Budget
from agentcontainer.domain.tasks.model import Hibernation, Output
from agentcontainer.domain.tasks.state import EndReason


@dataclass(frozen=True)
class Ending:
    """Why an attempt ends. `message` is the agent's finish message, or a sentence that explains a failure."""

    reason: EndReason
    message: str | None = None
    outputs: tuple[Output, ...] = ()
    hibernation: Hibernation | None = None
    """Set if the task hibernates instead of ending."""
    budget: Budget | None = None
    """Of a turn after which the conversation waits for a larger budget: the one that is used up."""


class Ended(Exception):
    """Raised to end the attempt with this ending."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.reason)
        self.ending = ending


class ClaimLost(Exception):
    """The task does not belong to this attempt any more. The attempt must stop and write nothing more about it."""
