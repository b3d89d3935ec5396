"""The route that lists activities, which are the tool calls of a conversation's agent."""

from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import Field, field_validator
from pydantic_core.core_schema import ValidationInfo
from typing_extensions import TypeAliasType

from agentcontainer.api.event_data import InputOmittedReason
from agentcontainer.api.http import paging
from agentcontainer.api.http.access import reads
from agentcontainer.api.http.auth import AccountId
from agentcontainer.api.http.paging import PageInfo, TranscriptQuery
from agentcontainer.api.http.query import from_digits
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided
from agentcontainer.api.schemas.ids import TaskId
from agentcontainer.api.wire import Outgoing, Timestamp
from agentcontainer.domain.conversations import service

MAX_TURN_NUMBER = 2**31 - 1
ActivityStatus = TypeAliasType("ActivityStatus", Literal["running", "completed", "failed"])
ActivityErrorCode = TypeAliasType("ActivityErrorCode", Literal["tool_error", "interrupted"])
TurnNumber = Annotated[int, Field(ge=1, le=MAX_TURN_NUMBER), from_digits]

router = authenticated("Conversations")


class Activity(Outgoing):
    """A tool call."""

    id: str
    turn_number: int
    attempt_number: int
    started_sequence: Annotated[int, Field(description="The sequence of its `tool.started` event.")]
    completed_sequence: Annotated[
        int | None, Field(description="The sequence of its `tool.completed` event.")
    ]
    kind: Literal["tool"] = "tool"
    call_id: str
    tool_key: str
    input: Any
    input_omitted_reason: Annotated[InputOmittedReason | None, Field(description="Why `input` is null.")]
    status: ActivityStatus
    error_code: Annotated[
        ActivityErrorCode | None,
        Field(
            description="`tool_error`: the tool failed. `interrupted`: the attempt was lost during the call."
        ),
    ]
    started_at: Timestamp
    completed_at: Timestamp | None
    duration_ms: int | None


class ActivityPage(Outgoing):
    """A page of activities."""

    data: list[Activity]
    page_info: PageInfo


class ActivitiesQuery(TranscriptQuery):
    """Which activities to list: those of the turns `fromTurn` to `toTurn`, both included."""

    from_turn: Annotated[TurnNumber | None, Field(description="The first turn. Default: 1.")] = None
    to_turn: Annotated[TurnNumber | None, Field(description="The last turn. Default: the newest.")] = None

    @field_validator("to_turn")
    @classmethod
    def _check_order_of_turns(cls, to_turn: int | None, info: ValidationInfo) -> int | None:
        from_turn = info.data.get("from_turn")
        if to_turn is not None and from_turn is not None and to_turn < from_turn:
            raise ValueError("must not be below fromTurn")
        return to_turn


@router.get("/conversations/{taskId}/activities", responses={409: {}})
@reads
async def list_activities(
    task_id: TaskId, account_id: AccountId, services: Provided, query: Annotated[ActivitiesQuery, Query()]
) -> ActivityPage:
    """List the agent's tool calls in a conversation, by the time they started."""
    page = await service.list_activities(
        services.pool,
        account_id,
        task_id,
        from_turn=query.from_turn,
        to_turn=query.to_turn,
        after=paging.sequence("activities", query),
        limit=query.limit,
        is_descending=query.order == "desc",
    )
    info = paging.page_info("activities", page, lambda activity: str(activity.started_sequence))
    return ActivityPage(data=[Activity.of(activity) for activity in page.rows], page_info=info)
