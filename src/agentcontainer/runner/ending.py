"""How an attempt ends: with an `Ending`, which is committed, or by losing its claim, after which it writes nothing."""

from dataclasses import dataclass

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


class Ended(Exception):
    """The attempt ends with this ending; nothing more is to be done for the task."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.reason)
        self.ending = ending


class ClaimLost(Exception):
    """The task no longer belongs to this attempt, which must stop and write nothing more about it."""
