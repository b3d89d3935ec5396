"""Finds the reply of a turn among the events of a conversation."""

from dataclasses import dataclass, field

from agentcontainer_client import errors, models
from agentcontainer_client._events import Event


@dataclass
class Turn:
    """A turn that is waited for."""

    task_id: str
    number: int
    _replies: dict[str, models.Message] = field(default_factory=dict[str, models.Message])

    def reply_of(self, event: Event) -> models.Message | None:
        """The reply, if the event completes the turn.

        Raises:
            TurnFailed: the event says that the turn ended without a reply.
        """
        data = event.data
        if event.type == "message.created" and data.get("role") == "assistant":
            message = {"sequence": event.sequence, "turnNumber": self.number, "attemptNumber": 1} | dict(data)
            self._replies[str(data.get("id"))] = models.Message.from_wire(message)
        if data.get("turnNumber") != self.number:
            return None
        if event.type == "turn.failed":
            message_text = str(data.get("error") or "The turn failed.")
            raise errors.TurnFailed(self.task_id, self.number, data.get("errorCode"), message_text)
        if event.type == "turn.completed":
            return self._replies.get(str(data.get("messageId")))
        return None
