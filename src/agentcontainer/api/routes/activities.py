"""Activities: what the agent did in the turns of a conversation."""

from typing import Annotated, Any, Literal

from fastapi import Depends
from pydantic import Field, field_validator
from pydantic_core.core_schema import ValidationInfo

from agentcontainer.api.http import paging
from agentcontainer.api.http.auth import AccountId
from agentcontainer.api.http.paging import PageInfo
from agentcontainer.api.http.query import Query, from_digits
from agentcontainer.api.http.routing import authenticated
from agentcontainer.api.http.services import Provided
from agentcontainer.api.routes.messages import TranscriptQuery
from agentcontainer.api.routes.tasks import TaskId
from agentcontainer.api.wire import Outgoing, Timestamp
from agentcontainer.domain.conversations import model, service

MAX_TURN_NUMBER = 2**31 - 1

router = authenticated()
TurnNumber = Annotated[int, Field(ge=1, le=MAX_TURN_NUMBER), from_digits]


class Activity(Outgoing):
    """A call of a tool. `input` is null where `inputOmittedReason` says why."""

    id: str
    turn_number: int
    attempt_number: int
    started_sequence: int
    completed_sequence: int | None
    kind: Literal["tool"] = "tool"
    call_id: str
    tool_key: str
    input: Any
    input_omitted_reason: str | None
    status: Literal["running", "completed", "failed"]
    error_code: str | None
    started_at: Timestamp
    completed_at: Timestamp | None
    duration_ms: int | None


class ActivityPage(Outgoing):
    """A page of activities."""

    data: list[Activity]
    page_info: PageInfo


class ActivitiesQuery(TranscriptQuery):
    """Which activities: those of the turns from `fromTurn` to `toTurn`, both included."""

    from_turn: Annotated[TurnNumber | None, Field(description="The first turn; default: 1.")] = None
    to_turn: Annotated[TurnNumber | None, Field(description="The last turn; default: the newest.")] = None

    @field_validator("to_turn")
    @classmethod
    def _not_before_the_first(cls, to_turn: int | None, info: ValidationInfo) -> int | None:
        from_turn = info.data.get("from_turn")
        if to_turn is not None and from_turn is not None and to_turn < from_turn:
            raise ValueError("must not be below fromTurn")
        return to_turn


@router.get("/conversations/{taskId}/activities", responses={409: {}})
async def list_activities(
    task_id: TaskId,
    account_id: AccountId,
    services: Provided,
    query: Annotated[ActivitiesQuery, Depends(Query(ActivitiesQuery))],
) -> ActivityPage:
    """What the agent did, by the moment it began."""
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
    return ActivityPage(data=[_wire(activity) for activity in page.rows], page_info=info)


def _wire(activity: model.Activity) -> Activity:
    return Activity.model_validate(
        {name: getattr(activity, name) for name in Activity.model_fields if name != "kind"}
    )
