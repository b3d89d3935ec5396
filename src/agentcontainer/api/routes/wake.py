"""What wakes a hibernating task: its client, and whoever holds a wake link, for whom there is a page."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Literal

from fastapi import Depends, Path, Request
from fastapi.routing import APIRoute
from pydantic import ConfigDict, Field, field_validator
from pydantic_core.core_schema import ValidationInfo
from starlette.responses import HTMLResponse, JSONResponse, Response

from agentcontainer.api import wake_page
from agentcontainer.api.http.auth import AccountId
from agentcontainer.api.http.body import JsonBody
from agentcontainer.api.http.errors import known_as, validated
from agentcontainer.api.http.query import fields
from agentcontainer.api.http.routing import authenticated, unauthenticated
from agentcontainer.api.http.services import Provided
from agentcontainer.api.routes.tasks import Task, TaskId, wire_task
from agentcontainer.api.schemas.dispatch import MAX_BODY_BYTES, Overrides, Text
from agentcontainer.api.wire import Incoming, Outgoing, without_nulls
from agentcontainer.domain.hibernation import service, wake_links
from agentcontainer.errors import ValidationError

JSON, FORM, HTML = "application/json", "application/x-www-form-urlencoded", "text/html"
MAX_FORM_FIELDS = 10

_HTML: dict[str, Any] = {HTML: {"schema": {"type": "string"}}}
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"content": _HTML} for status in (400, 404, 409, 500, 503)
}
_BODY_ERRORS: dict[int | str, dict[str, Any]] = {status: {"content": _HTML} for status in (413, 415)}
_BODY: dict[str, Any] = {
    "required": False,
    "content": {
        JSON: {"schema": {"$ref": "#/components/schemas/LinkRequest"}},
        FORM: {
            "schema": {
                "type": "object",
                "properties": {"message": {"type": "string"}},
                "additionalProperties": False,
            }
        },
    },
}


class WakeRequest(Incoming):
    """With a message for the agent, or with the news alone that what it waited for has come about."""

    model_config = ConfigDict(
        json_schema_extra={  # what `_goes_with_its_kind` checks
            "oneOf": [
                {
                    "required": ["message"],
                    "properties": {"kind": {"const": "message"}, "message": {"type": "string"}},
                },
                {"properties": {"kind": {"const": "external_wake"}, "message": {"type": "null"}}},
            ]
        }
    )

    kind: Literal["message", "external_wake"]
    message: Annotated[Text | None, Field(validate_default=True)] = None
    overrides: Annotated[Overrides | None, Field(description="From now on, over those the task has.")] = None

    @field_validator("message")
    @classmethod
    def _goes_with_its_kind(cls, message: str | None, info: ValidationInfo) -> str | None:
        kind = info.data.get("kind")
        if kind == "message" and message is None:
            raise ValueError("is required with the kind message")
        if kind == "external_wake" and message is not None:
            raise ValueError("cannot be given with the kind external_wake")
        return message


class LinkRequest(Incoming):
    """What to tell the agent."""

    message: Text | None = None


class Woken(Outgoing):
    """The task is awake."""

    status: Literal["woken"] = "woken"


class LinkRoute(APIRoute):
    """A route whose refusals are pages too, for people with browsers."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def answer_either_way(request: Request) -> Response:
            if _is_for_programs(request):
                return await answer(request)
            try:
                return await answer(request)
            except Exception as error:
                known = known_as(error, request.state.request_id)
                return _page(wake_page.refusal(str(known)), known.status)

        return answer_either_way


class _FormOrJson(JsonBody[LinkRequest]):
    """The body as a form of a page sends it, or as JSON, or none."""

    async def __call__(self, request: Request) -> LinkRequest:
        if _content_type(request) != FORM:
            return await super().__call__(request)
        body = await self.read(request)
        if body.count(b"&") >= MAX_FORM_FIELDS:
            raise ValidationError.at("body", f"must not have more than {MAX_FORM_FIELDS} fields")
        given = {name: value.replace("\r\n", "\n") for name, value in fields(body, "body").items()}
        if not given.get("message", "x").strip():  # the field was left empty
            del given["message"]
        return validated(LinkRequest, given)


router = authenticated()
link_router = unauthenticated(LinkRoute)
Token = Annotated[str, Path()]


async def _link(token: Token, services: Provided) -> wake_links.WakeLink:
    return await wake_links.get(services.pool, services.vault, token)


Link = Annotated[wake_links.WakeLink, Depends(_link)]


@router.post("/tasks/{taskId}/wake")
async def wake_task(
    task_id: TaskId,
    account_id: AccountId,
    services: Provided,
    body: Annotated[WakeRequest, Depends(JsonBody(WakeRequest, max_bytes=MAX_BODY_BYTES))],
) -> Task:
    """Wake a hibernating task before its time: it goes on where it stopped. Of several at once exactly one wins."""
    overrides = body.overrides or Overrides()
    task = await service.wake(
        services.pool, services.settings, services.vault, account_id, task_id, body.message,
        without_nulls(overrides, exclude={"provider_api_key"}), overrides.provider_api_key,
    )  # fmt: skip
    return wire_task(task, services.settings)


@link_router.get(
    "/wake/{token}",
    response_class=HTMLResponse,
    responses={200: {"description": "A page with a button.", "content": _HTML}} | _ERRORS,
)
async def show_wake_link(link: Link) -> Response:
    """The page of a wake link: what it would wake, and a button. Looking at it wakes nothing."""
    return _page(wake_page.question(link))


@link_router.post(
    "/wake/{token}",
    response_model=Woken,
    responses={200: {"description": "The task is awake.", "content": _HTML}} | _ERRORS | _BODY_ERRORS,
    openapi_extra={"requestBody": _BODY},
)
async def use_wake_link(
    request: Request,
    token: Token,
    services: Provided,
    _link: Link,  # before the body is read: it is large only for those who hold a link
    body: Annotated[
        LinkRequest, Depends(_FormOrJson(LinkRequest, max_bytes=MAX_BODY_BYTES, is_optional=True))
    ],
) -> Response:
    """Wake the task of a wake link, once. A form gets a page; JSON, or who accepts only that, gets JSON."""
    await wake_links.use(services.pool, services.vault, token, body.message)
    if _is_for_programs(request):
        return JSONResponse(Woken().model_dump())
    return _page(wake_page.thanks())


def _is_for_programs(request: Request) -> bool:
    accepted = ",".join(request.headers.getlist("accept")).lower()
    return _content_type(request) == JSON or (JSON in accepted and HTML not in accepted)


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _page(html: str, status: int = 200) -> Response:
    return HTMLResponse(html, status, wake_page.HEADERS)
