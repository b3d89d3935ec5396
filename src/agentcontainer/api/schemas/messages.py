"""The JSON of messages."""

from typing import Annotated, Self

from pydantic import Field

from agentcontainer.api.event_data import MessageFile, MessageStatus, Role, TokenUsage
from agentcontainer.api.schemas.tasks import Task
from agentcontainer.api.wire import Outgoing, Timestamp, Usd, usd
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.conversations import model
from agentcontainer.domain.tasks import model as tasks
from agentcontainer.settings import Settings


class Message(Outgoing):
    """A message. A reply holds what the agent said after its last tool call in the turn, and what the turn used."""

    id: str
    turn_number: int
    attempt_number: int
    role: Role
    status: Annotated[
        MessageStatus,
        Field(
            description="A user's message is `queued`, then `delivered` to the agent. A reply is `created`."
        ),
    ]
    content: str
    files: list[MessageFile]
    token_usage: TokenUsage
    cost_usd: Usd
    sequence: Annotated[int, Field(description="That of the message's `message.created` event.")]
    created_at: Timestamp

    @classmethod
    def of_message(cls, message: model.Message) -> Self:
        """The message as it is sent."""
        return cls.of(message, token_usage=TokenUsage.of(message), cost_usd=usd(message.cost_micro_usd))


class TaskAndMessage(Outgoing):
    """A message, and its task after the message was added."""

    task: Task
    message: Message

    @classmethod
    def of_both(cls, task: tasks.Task, message: model.Message, settings: Settings, vault: Vault) -> Self:
        """Both as they are sent."""
        return cls(task=Task.of_task(task, settings, vault), message=Message.of_message(message))
