"""Conversations: the routes that begin one, let it go on alone, and end it."""

from typing import Annotated

from fastapi import Depends, Path

from agentcontainer.api.http.auth import AccountId
from agentcontainer.api.http.body import JsonBody, NoBody
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided
from agentcontainer.api.routes.messages import TaskAndMessage, task_and_message
from agentcontainer.api.routes.tasks import Task, TaskId, wire_task
from agentcontainer.api.schemas.dispatch import MAX_BODY_BYTES, NewTask, Text, as_sent, dispatch_of
from agentcontainer.api.wire import Incoming
from agentcontainer.domain.conversations import service
from agentcontainer.domain.conversations.model import Draft

MAX_CONVERSATION_BYTES = (
    MAX_BODY_BYTES + 3 * 1024 * 1024
)  # the instructions, and a message that may be as long

router = authenticated()


class _Opening(Incoming):
    message: Text
    instructions: Text | None = None


class ConversationRequest(NewTask, _Opening):  # in this order the message is the first field
    """A new conversation and its first message. `instructions` hold for all of it; the files come with the message."""


class HandoffRequest(Incoming):
    """What to go on with; without a message, with what was said so far."""

    message: Text | None = None


@router.post("/agents/{agentId}/conversations", status_code=201, responses={402: {}, 409: {}})
async def create_conversation(
    agent_id: Annotated[str, Path(alias="agentId")],
    account_id: AccountId,
    services: Provided,
    body: Annotated[
        ConversationRequest, Depends(JsonBody(ConversationRequest, max_bytes=MAX_CONVERSATION_BYTES))
    ],
) -> TaskAndMessage:
    """Begin a conversation with its first message. Holds money from the balance until it ends."""
    with as_sent(body):
        made = await service.create(
            services.pool, services.settings, services.vault, account_id, agent_id,
            dispatch_of(body, body.instructions or ""), Draft(body.message),
        )  # fmt: skip
    return task_and_message(made, services)


@router.post("/conversations/{taskId}/handoff", status_code=201)
async def hand_off_conversation(
    task_id: TaskId,
    account_id: AccountId,
    services: Provided,
    body: Annotated[
        HandoffRequest, Depends(JsonBody(HandoffRequest, max_bytes=MAX_BODY_BYTES, is_optional=True))
    ],
) -> TaskAndMessage:
    """Let the agent go on alone until it calls `finish`: no further message but to steer it."""
    made = await service.hand_off(services.pool, account_id, task_id, body.message)
    return task_and_message(made, services)


@router.post("/conversations/{taskId}/end", responses={409: {}})
async def end_conversation(task_id: TaskId, account_id: AccountId, services: Provided, _body: NoBody) -> Task:
    """Close a conversation: `finished`. Ending it twice is fine."""
    task = await service.end(services.pool, services.settings, account_id, task_id)
    return wire_task(task, services.settings)
