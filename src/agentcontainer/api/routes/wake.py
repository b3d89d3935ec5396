"""The routes that wake a hibernating task: one for its client, and a page for the holder of a wake link."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Literal

from fastapi import Depends, Path, Request
from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core.core_schema import ValidationInfo
from starlette.responses import HTMLResponse, JSONResponse, Response
from typing_extensions import TypeAliasType

from agentcontainer.api import wake_page
from agentcontainer.api.http.access import acts, public
from agentcontainer.api.http.auth import AccountId, Caller
from agentcontainer.api.http.errors import public_error, validated
from agentcontainer.api.http.idempotency import replayed_unless
from agentcontainer.api.http.request import NO_FIELDS, NoFields, StrictRequest, parse_form
from agentcontainer.api.http.routing import SEGMENT, StrictRoute, authenticated, unauthenticated
from agentcontainer.api.http.services import Provided, Services
from agentcontainer.api.schemas.dispatch import MAX_BODY_BYTES, Overrides, Text, later_overrides_of
from agentcontainer.api.schemas.ids import TaskId
from agentcontainer.api.schemas.tasks import Task
from agentcontainer.api.wire import Incoming, Outgoing, Timestamp
from agentcontainer.db import Pool
from agentcontainer.domain.hibernation import service, wake_links
from agentcontainer.domain.hibernation.model import WakeLink
from agentcontainer.errors import ValidationError

JSON, FORM, HTML = "application/json", "application/x-www-form-urlencoded", "text/html"
MAX_FORM_FIELDS = 10

_PAGE = {"content": {HTML: {"schema": {"type": "string"}}}}
WakeRequestKind = TypeAliasType("WakeRequestKind", Literal["message", "external_wake"])


class WakeRequest(Incoming):
    """Why the task is woken: a message for the agent, or that what it waited for has happened."""

    model_config = ConfigDict(
        json_schema_extra={  # what `_check_kind` checks
            "if": {"properties": {"kind": {"const": "message"}}, "required": ["kind"]},
            "then": {"properties": {"message": {"type": "string"}}, "required": ["message"]},
            "else": {"properties": {"message": {"type": "null"}}},
        }
    )
    max_body_bytes = MAX_BODY_BYTES

    kind: WakeRequestKind
    message: Annotated[Text | None, Field(validate_default=True)] = None
    overrides: Annotated[
        Overrides | None,
        Field(description="Apply from now on. They replace the task's overrides of the same name."),
    ] = None

    @field_validator("message")
    @classmethod
    def _check_kind(cls, message: str | None, info: ValidationInfo) -> str | None:
        kind = info.data.get("kind")
        if kind == "message" and message is None:
            raise ValueError("is required with the kind message")
        if kind == "external_wake" and message is not None:
            raise ValueError("cannot be given with the kind external_wake")
        return message


class NewLink(Outgoing):
    """A wake link. Treat its URL as a password."""

    url: str
    expires_at: Timestamp

    @staticmethod
    def url_in(response: str) -> str:
        """The URL in a response that was sent."""
        return _Linked.model_validate_json(response).url


class _Linked(BaseModel):
    url: str


class LinkRequest(Incoming):
    """An optional message for the agent."""

    message: Text | None = None


class Woken(Outgoing):
    """The task was woken."""

    status: Literal["woken"] = "woken"


class LinkRoute(StrictRoute):
    """A route that answers browsers with HTML pages, also when it refuses."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def answer_with_page(request: Request) -> Response:
            if _wants_json(request):
                return await answer(request)
            try:
                return await answer(request)
            except Exception as error:
                data_dir = request.app.state.services.settings.data_dir
                public = public_error(error, request.state.request_id, data_dir)
                return _page(wake_page.refusal(str(public)), public.status)

        return answer_with_page


router = authenticated("Tasks")
link_router = unauthenticated("Links", LinkRoute)
Token = Annotated[str, Path(json_schema_extra={"pattern": f"^{SEGMENT}$"})]


async def _link(token: Token, services: Provided) -> WakeLink:
    return await wake_links.get(services.pool, services.vault, token)


Link = Annotated[WakeLink, Depends(_link)]


async def _message(request: StrictRequest, _link: Link) -> str | None:
    """The message in the body, which is read only for those who hold a link."""
    if _content_type(request) != FORM:
        await request.read_json(MAX_BODY_BYTES, is_required=False)
        return validated(LinkRequest, await request.json() or {}).message
    body = await request.read(MAX_BODY_BYTES)
    if body.count(b"&") >= MAX_FORM_FIELDS:
        raise ValidationError.at("body", f"must not have more than {MAX_FORM_FIELDS} fields")
    fields = {name: value.replace("\r\n", "\n") for name, value in parse_form(body, "body").items()}
    if not fields.get("message", "x").strip():  # the form's field was left empty
        del fields["message"]
    return validated(LinkRequest, fields).message


@router.post("/tasks/{taskId}/wake")
@acts
async def wake_task(task_id: TaskId, caller: Caller, services: Provided, body: WakeRequest) -> Task:
    """Wake a hibernating task before its time.

    It continues where it stopped. If several requests wake it at once, one succeeds and the others get 409.
    """
    overrides = body.overrides or Overrides()
    task = await service.wake(
        services.pool, services.settings, services.vault, caller.account_id, task_id, body.message,
        later_overrides_of(overrides), overrides.provider_api_key, caller,
    )  # fmt: skip
    return Task.of_task(task, services.settings, services.vault)


async def _is_gone(_services: Services, pool: Pool, _account_id: str, response: str) -> bool:
    """Whether the link in a stored response does not work any more."""
    return await wake_links.is_used_up(pool, NewLink.url_in(response))


@router.post("/tasks/{taskId}/wake-links", status_code=201, responses={409: {}, 410: {}})
@acts
@replayed_unless(_is_gone)
async def create_wake_link(
    task_id: TaskId, account_id: AccountId, services: Provided, _body: NoFields = NO_FIELDS
) -> NewLink:
    """Create a wake link: a URL that wakes the task once, for people and programs without an API key.

    It ends the current hibernation, or else the next one.
    """
    link_id, expires_at = await wake_links.create_for_client(services.pool, account_id, task_id)
    return NewLink(url=wake_links.url_of(services.settings, services.vault, link_id), expires_at=expires_at)


@link_router.get(
    "/wake/{token}",
    response_class=HTMLResponse,
    responses={
        200: {"description": "A page with a button."},
        400: _PAGE, 403: _PAGE, 404: _PAGE, 409: _PAGE, 500: _PAGE, 503: _PAGE,
    },
)  # fmt: skip
@public
async def show_wake_link(link: Link) -> Response:
    """Show the page of a wake link: which task it would wake, and a button. Showing it wakes nothing."""
    return _page(wake_page.question(link))


@link_router.post(
    "/wake/{token}",
    response_model=Woken,
    responses={
        200: {"description": "The task was woken.", **_PAGE},
        400: _PAGE, 403: _PAGE, 404: _PAGE, 409: _PAGE, 413: _PAGE, 415: _PAGE, 500: _PAGE, 503: _PAGE,
    },
    openapi_extra={
        "requestBody": {
            "required": False,
            "content": {
                JSON: {"schema": LinkRequest.model_json_schema()},
                FORM: {
                    "schema": {
                        "type": "object",
                        "properties": {"message": {"type": "string"}},
                        "additionalProperties": False,
                    }
                },
            },
        }
    },
)  # fmt: skip
@public
async def use_wake_link(
    request: Request, token: Token, services: Provided, message: Annotated[str | None, Depends(_message)]
) -> Response:
    """Wake the task of a wake link. The link works once.

    A form is answered with a page. JSON, or a client that accepts only JSON, is answered with JSON.
    """
    await wake_links.use(services.pool, services.vault, token, message)
    if _wants_json(request):
        return JSONResponse(Woken().model_dump())
    return _page(wake_page.thanks())


def _wants_json(request: Request) -> bool:
    accepted = ",".join(request.headers.getlist("accept")).lower()
    return _content_type(request) == JSON or (JSON in accepted and HTML not in accepted)


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _page(html: str, status: int = 200) -> Response:
    return HTMLResponse(html, status, wake_page.HEADERS)
