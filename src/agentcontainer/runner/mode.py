"""Decides whether the agent talks with a user or works alone, and which commands it may use.

The agent of a conversation talks with its user until a turn hands the work over to it. From that turn on it works
alone, like the agent of an autonomous task: it may `finish` and `hibernate`, and no longer `share`.
"""

from agentcontainer.domain.conversations.model import Turn
from agentcontainer.runner.control_requests import Command
from agentcontainer.runner.log import EventLog

_NO_FINISH = (
    "This is a conversation: your answer is what you say at the end of your turn. Use share FILE… to hand over "
    "files. The user ends the conversation."
)
_NO_HIBERNATE = (
    "Conversations cannot hibernate: end your turn instead; "
    "the user's next message finds everything as it is."
)
_NO_SHARE = "share works in conversations; here files are handed over with finish."


def refusal(command: Command, *, is_conversation: bool) -> str | None:
    """Why an agent that talks with a user, or works alone, may not use this command; None if it may."""
    match command:
        case "finish":
            return _NO_FINISH if is_conversation else None
        case "hibernate":
            return _NO_HIBERNATE if is_conversation else None
        case "share":
            return None if is_conversation else _NO_SHARE


class Mode:
    """The mode of one attempt's agent. Events that the attempt logs carry the number of the turn."""

    def __init__(self, *, is_conversation: bool, log: EventLog) -> None:
        self.is_conversation = is_conversation
        """Whether the agent talks with a user now."""
        self.turn: Turn | None = None
        """The turn that runs; None in an autonomous task and between turns."""
        self.shared_file_ids: list[str] = []
        """The files that the agent shared in this turn."""
        self._log = log

    def begin_turn(self, turn: Turn) -> None:
        """Record that a turn begins. If it is a handoff, the agent works alone from now on."""
        self.turn = turn
        self.shared_file_ids = []
        self.is_conversation = not turn.is_handoff
        self._log.turn = turn.label

    def end_turn(self) -> None:
        """Record that no turn runs until the user's next message."""
        self.turn = None
        self._log.turn = None

    def refusal(self, command: Command) -> str | None:
        """Why the agent may not use this command now; None if it may."""
        return refusal(command, is_conversation=self.is_conversation)
