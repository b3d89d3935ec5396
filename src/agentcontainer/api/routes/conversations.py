"""The routes that create, hand off and end conversations."""

from agentcontainer.api.http.access import acts
from agentcontainer.api.http.auth import AccountId, Caller
from agentcontainer.api.http.request import NO_FIELDS, NoFields
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided
from agentcontainer.api.http.trace_context import TraceParent
from agentcontainer.api.schemas.dispatch import (
    MAX_BODY_BYTES,
    NewTask,
    Text,
    check_callback,
    dispatch_of,
    naming_input_files_as_sent,
)
from agentcontainer.api.schemas.ids import AgentId, TaskId
from agentcontainer.api.schemas.messages import TaskAndMessage
from agentcontainer.api.schemas.tasks import Task
from agentcontainer.api.wire import Incoming
from agentcontainer.domain.conversations import service
from agentcontainer.domain.conversations.model import Draft

router = authenticated("Conversations")


class _Opening(Incoming):
    message: Text
    instructions: Text | None = None


class ConversationRequest(NewTask, _Opening):  # in this order the message is the first field
    """A new conversation and its first message, which the files belong to. `instructions` apply to every turn."""

    max_body_bytes = MAX_BODY_BYTES + 3 * 1024 * 1024  # it has instructions and a message of the same size


class HandoffRequest(Incoming):
    """An optional message for the agent when it starts to work alone. Without one it continues the conversation."""

    max_body_bytes = MAX_BODY_BYTES

    message: Text | None = None


_NO_MESSAGE = HandoffRequest()


@router.post("/agents/{agentId}/conversations", status_code=201, responses={402: {}, 409: {}})
@acts
async def create_conversation(
    agent_id: AgentId, account_id: AccountId, caller: Caller, traceparent: TraceParent, services: Provided,
    body: ConversationRequest,
) -> TaskAndMessage:  # fmt: skip
    """Create a conversation with its first message.

    Money is held from the balance until the conversation ends.
    """
    check_callback(services.settings, body.overrides)
    with naming_input_files_as_sent(body):
        task, message = await service.create(
            services.pool, services.settings, services.vault, account_id, agent_id,
            dispatch_of(body, body.instructions or "", caller, traceparent), Draft(body.message),
        )  # fmt: skip
    return TaskAndMessage.of_both(task, message, services.settings, services.vault)


@router.post("/conversations/{taskId}/handoff", status_code=201, responses={402: {}})
@acts
async def hand_off_conversation(
    task_id: TaskId, caller: Caller, traceparent: TraceParent, services: Provided,
    body: HandoffRequest = _NO_MESSAGE,
) -> TaskAndMessage:  # fmt: skip
    """Hand a conversation off to its agent.

    The agent works alone until it calls `finish`. Afterwards only steering messages can be sent to it.
    """
    task, message = await service.hand_off(
        services.pool, services.settings, caller.account_id, task_id, body.message, traceparent, caller
    )
    return TaskAndMessage.of_both(task, message, services.settings, services.vault)


@router.post("/conversations/{taskId}/interrupt", responses={409: {}})
@acts
async def interrupt_conversation(
    task_id: TaskId, account_id: AccountId, services: Provided, _body: NoFields = NO_FIELDS
) -> Task:
    """Stop the turn that runs, or that waits for a container. The conversation goes on.

    The turn fails within seconds, with `interrupted`. The agent keeps what it did and said until then. 409 if there is
    no turn to stop.
    """
    task = await service.interrupt(services.pool, account_id, task_id)
    return Task.of_task(task, services.settings, services.vault)


@router.post("/conversations/{taskId}/end", responses={409: {}})
@acts
async def end_conversation(
    task_id: TaskId, account_id: AccountId, services: Provided, _body: NoFields = NO_FIELDS
) -> Task:
    """End a conversation: its status becomes `finished`. Ending it again changes nothing."""
    task = await service.end(services.pool, services.settings, account_id, task_id)
    return Task.of_task(task, services.settings, services.vault)
