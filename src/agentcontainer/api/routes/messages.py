"""The routes of messages: those of conversations, and steering messages to agents that work alone."""

from typing import Annotated

from fastapi import Query

from agentcontainer.api.http import paging
from agentcontainer.api.http.access import acts, reads
from agentcontainer.api.http.auth import AccountId, Caller
from agentcontainer.api.http.paging import PageInfo, TranscriptQuery
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided, Services
from agentcontainer.api.http.trace_context import TraceParent
from agentcontainer.api.schemas.dispatch import (
    MAX_BODY_BYTES,
    InputFiles,
    Overrides,
    Text,
    later_overrides_of,
    naming_input_files_as_sent,
)
from agentcontainer.api.schemas.ids import TaskId
from agentcontainer.api.schemas.messages import Message, TaskAndMessage
from agentcontainer.api.wire import Incoming, Outgoing
from agentcontainer.domain.conversations import model, service

router = authenticated("Messages")


class MessagePage(Outgoing):
    """A page of messages."""

    data: list[Message]
    page_info: PageInfo


class _Content(Incoming):
    content: Text


class MessageRequest(InputFiles, _Content):  # in this order the content is the first field
    """The user's next message.

    Its files are in `task_files/` before its turn starts. Its overrides apply from its turn on.
    """

    max_body_bytes = MAX_BODY_BYTES

    overrides: Overrides | None = None


class SteeringRequest(_Content):
    """A message to an agent that works alone."""

    max_body_bytes = MAX_BODY_BYTES


@router.post("/conversations/{taskId}/messages", status_code=201, responses={402: {}})
@acts
async def send_message(
    task_id: TaskId, caller: Caller, traceparent: TraceParent, services: Provided, body: MessageRequest
) -> TaskAndMessage:
    """Send the next message of a conversation.

    It becomes a turn of its own, which starts after all earlier turns have ended.
    """
    overrides = body.overrides or Overrides()
    draft = model.Draft(
        content=body.content,
        input_file_ids=body.file_ids(),
        overrides=later_overrides_of(overrides),
        provider_api_key=overrides.provider_api_key,
        traceparent=traceparent,
        caller=caller,
    )
    with naming_input_files_as_sent(body):
        task, message = await service.send(
            services.pool, services.settings, services.vault, caller.account_id, task_id, draft
        )
    return TaskAndMessage.of_both(task, message, services.settings, services.vault)


@router.post("/tasks/{taskId}/messages", status_code=201)
@acts
async def steer_task(
    task_id: TaskId, account_id: AccountId, services: Provided, body: SteeringRequest
) -> TaskAndMessage:
    """Send a steering message to an autonomous task.

    The agent gets it before its next model request. A hibernating task is woken by it.
    """
    task, message = await service.steer(services.pool, account_id, task_id, body.content)
    return TaskAndMessage.of_both(task, message, services.settings, services.vault)


@router.get("/conversations/{taskId}/messages", responses={409: {}})
@reads
async def list_messages(
    task_id: TaskId, account_id: AccountId, services: Provided, query: Annotated[TranscriptQuery, Query()]
) -> MessagePage:
    """List the messages of a conversation."""
    return await _page(services, account_id, task_id, query, of_any_mode=False)


@router.get("/tasks/{taskId}/messages")
@reads
async def list_task_messages(
    task_id: TaskId, account_id: AccountId, services: Provided, query: Annotated[TranscriptQuery, Query()]
) -> MessagePage:
    """List the messages of a task: steering messages, or a conversation's transcript."""
    return await _page(services, account_id, task_id, query, of_any_mode=True)


async def _page(
    services: Services, account_id: str, task_id: str, query: TranscriptQuery, *, of_any_mode: bool
) -> MessagePage:
    page = await service.list_messages(
        services.pool,
        account_id,
        task_id,
        after=paging.sequence("messages", query),
        limit=query.limit,
        is_descending=query.order == "desc",
        of_any_mode=of_any_mode,
    )
    info = paging.page_info("messages", page, lambda message: str(message.sequence))
    return MessagePage(data=[Message.of_message(message) for message in page.rows], page_info=info)
