"""Messages: what was said in a conversation, the next thing said to it, and a word to a task at work."""

from typing import Annotated, Literal

from fastapi import Depends
from pydantic import Field

from agentcontainer.api.http import paging
from agentcontainer.api.http.auth import AccountId
from agentcontainer.api.http.body import JsonBody
from agentcontainer.api.http.paging import Order, PageInfo, PageQuery
from agentcontainer.api.http.query import Query
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided, Services
from agentcontainer.api.routes.tasks import Task, TaskId, TokenUsage, wire_task
from agentcontainer.api.schemas.dispatch import MAX_BODY_BYTES, InputFiles, Overrides, Text, as_sent
from agentcontainer.api.wire import Incoming, Outgoing, Timestamp, Usd, usd, without_nulls
from agentcontainer.domain.conversations import model, service
from agentcontainer.domain.tasks import model as tasks

router = authenticated()


class MessageFile(Outgoing):
    """A file that came with a message, or that the agent shared in the turn."""

    id: str
    filename: str
    content_type: str
    size_bytes: int
    created_at: Timestamp


class Message(Outgoing):
    """One entry of the transcript. The assistant's is what it said in the whole turn, with what the turn used.

    A user's is `queued` until the agent is given it, then `delivered`; an assistant's is `created`.
    """

    id: str
    turn_number: int
    attempt_number: int
    role: Literal["user", "assistant"]
    status: Literal["queued", "delivered", "created"]
    content: str
    files: list[MessageFile]
    token_usage: TokenUsage
    cost_usd: Usd
    sequence: int
    created_at: Timestamp


class TaskAndMessage(Outgoing):
    """The message, and the task as it stands with it."""

    task: Task
    message: Message


class MessagePage(Outgoing):
    """A page of messages."""

    data: list[Message]
    page_info: PageInfo


class TranscriptQuery(PageQuery):
    """Which entries; oldest first unless asked otherwise."""

    order: Annotated[Order, Field(description="Oldest or newest first.")] = "asc"


class _Content(Incoming):
    content: Text


class MessageRequest(InputFiles, _Content):  # in this order the content is the first field
    """The user's next message. Its files are in `task_files/` before its turn; its overrides hold from its turn on."""

    overrides: Overrides | None = None


class SteeringRequest(_Content):
    """A word to an agent at work."""


@router.post("/conversations/{taskId}/messages", status_code=201)
async def send_message(
    task_id: TaskId,
    account_id: AccountId,
    services: Provided,
    body: Annotated[MessageRequest, Depends(JsonBody(MessageRequest, max_bytes=MAX_BODY_BYTES))],
) -> TaskAndMessage:
    """Send the next message: a turn of its own, which waits for the turns before it."""
    overrides = body.overrides or Overrides()
    draft = model.Draft(
        content=body.content,
        input_file_ids=body.file_ids(),
        overrides=without_nulls(overrides, exclude={"provider_api_key"}),
        provider_api_key=overrides.provider_api_key,
    )
    with as_sent(body):
        made = await service.send(
            services.pool, services.settings, services.vault, account_id, task_id, draft
        )
    return task_and_message(made, services)


@router.post("/tasks/{taskId}/messages", status_code=201)
async def steer_task(
    task_id: TaskId,
    account_id: AccountId,
    services: Provided,
    body: Annotated[SteeringRequest, Depends(JsonBody(SteeringRequest, max_bytes=MAX_BODY_BYTES))],
) -> TaskAndMessage:
    """Tell an autonomous task something; its agent is given it before its next model call."""
    made = await service.steer(services.pool, account_id, task_id, body.content)
    return task_and_message(made, services)


@router.get("/conversations/{taskId}/messages", responses={409: {}})
async def list_messages(
    task_id: TaskId,
    account_id: AccountId,
    services: Provided,
    query: Annotated[TranscriptQuery, Depends(Query(TranscriptQuery))],
) -> MessagePage:
    """The conversation's transcript."""
    return await _page(services, account_id, task_id, query, of_any_mode=False)


@router.get("/tasks/{taskId}/messages")
async def list_task_messages(
    task_id: TaskId,
    account_id: AccountId,
    services: Provided,
    query: Annotated[TranscriptQuery, Depends(Query(TranscriptQuery))],
) -> MessagePage:
    """What was sent to the task; of a conversation, its transcript."""
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
    return MessagePage(data=[_wire(message) for message in page.rows], page_info=info)


def task_and_message(made: tuple[tasks.Task, model.Message], services: Services) -> TaskAndMessage:
    """What sending a message answers."""
    task, message = made
    return TaskAndMessage(task=wire_task(task, services.settings), message=_wire(message))


def _wire(message: model.Message) -> Message:
    values = {name: getattr(message, name) for name in Message.model_fields if hasattr(message, name)}
    return Message.model_validate(
        values
        | {
            "files": [
                MessageFile.model_validate({name: getattr(file, name) for name in MessageFile.model_fields})
                for file in message.files
            ],
            "token_usage": TokenUsage(input_tokens=message.input_tokens, output_tokens=message.output_tokens),
            "cost_usd": usd(message.cost_micro_usd),
        }
    )
