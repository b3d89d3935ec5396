"""`GET /api/v1/openapi.yaml`: the document that FastAPI generates, completed with what holds for every route."""

from collections.abc import Iterable, Sequence

import yaml
from fastapi import Request
from fastapi.openapi.models import (
    Header,
    MediaType,
    OpenAPI,
    Operation,
    Parameter,
    PathItem,
    Reference,
    RequestBody,
    Schema,
)
from fastapi.openapi.models import Response as Described
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.responses import Response

from agentcontainer import __version__
from agentcontainer.api.http.access import public
from agentcontainer.api.http.auth import is_authenticated
from agentcontainer.api.http.errors import CODES, MORE_CODES
from agentcontainer.api.http.idempotency import HEADER, PATTERN, REPLAYED, is_idempotent
from agentcontainer.api.http.routing import V1, body_model, unauthenticated
from agentcontainer.api.http.trace_context import PARAMETER as TRACE_PARENT
from agentcontainer.api.http.trace_context import takes_trace_parent

TAGS = {
    "Tasks": "Dispatch, read, list, wake and cancel tasks.",
    "Batches": "Tasks that are dispatched together.",
    "Conversations": "Conversations with an agent, one turn at a time, and its tool calls.",
    "Messages": "The messages of conversations, and steering messages to agents that work alone.",
    "Events": "The event log of a task, and the feed of an account: as lists or as event streams.",
    "Webhooks": "URLs that receive events, their secrets, and what was delivered to them.",
    "Agents": "Named configurations of agents, and their versions.",
    "Choices": "What a task can name: models, regions, registries; and what this installation lacks.",
    "Files": "Uploads and output files.",
    "Account": "The account, its balance and ledger, its API keys and its keys for model providers.",
    "Sessions": "Browsers that are logged in, links that log them in, and logins of command lines.",
    "Installation": "The state of the installation and its accounts, for operators.",
    "Links": "Wake links, for people and programs without an API key.",
    "System": "Health, and this document.",
}
DESCRIPTION = """Run AI agents in sandboxed containers.

Requests and responses are JSON with camelCase keys. Times are ISO 8601 in UTC with milliseconds. Money is US dollars.
A request is refused if it has an unknown field or query parameter, a key that occurs twice, a NUL character, half a
surrogate pair, or a number beyond 64 bits. Every response carries `X-Request-Id`."""

# FastAPI adds its own errors, which no route answers with, and the enum that `TaskStatus` describes.
_UNUSED_SCHEMAS = ("HTTPValidationError", "ValidationError", "Status")
_ERROR = "#/components/schemas/Error"
_IDEMPOTENCY_KEY = Parameter.model_validate(
    {
        "name": HEADER,
        "in": "header",
        "required": False,
        "description": "Repeats of a request with the same key have one effect and get the first response. "
        "Kept 24 hours.",
        "schema": {"type": "string", "pattern": PATTERN},
    }
)
_REPLAYED = Header.model_validate(
    {"description": "`true` on the response to a repeat.", "schema": {"type": "string", "enum": ["true"]}}
)

router = unauthenticated("System")


@router.get(
    f"{V1}/openapi.yaml",
    response_class=Response,
    responses={
        200: {
            "description": "This document.",
            "content": {"application/yaml": {"schema": {"type": "object"}}},
        }
    },
)
@public
async def get_openapi_document(request: Request) -> Response:
    """Describe this API, for people and code generators."""
    return Response(request.app.state.openapi_yaml(), media_type="application/yaml")


def to_yaml(document: OpenAPI) -> bytes:
    """The document as YAML, with its keys in order."""
    content = document.model_dump(mode="json", by_alias=True, exclude_none=True)
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110).encode()


def document(routes: Sequence[APIRoute], public_url: str | None) -> OpenAPI:
    """The description of these routes."""
    generated = get_openapi(
        title="AgentContainer",
        version=__version__,
        openapi_version="3.1.0",
        description=DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        contact={"name": "The operator of this installation"},
        routes=routes,
        tags=[{"name": name, "description": text} for name, text in TAGS.items()],
        servers=[{"url": public_url or "/"}],
    )
    described = OpenAPI.model_validate(generated)
    assert described.paths is not None
    assert described.components is not None
    schemas = described.components.schemas
    assert schemas is not None
    described.security = [{"apiKey": []}]
    described.components.responses = {
        str(status): _error_response(status) for status in CODES if status != 405
    }
    for name in _UNUSED_SCHEMAS:
        schemas.pop(name, None)
    paths = {path: PathItem.model_validate(item) for path, item in described.paths.items()}
    for route in routes:
        for method in (route.methods or ()) if route.include_in_schema else ():
            operation: Operation = getattr(paths[route.path], method.lower())
            _complete(operation, route)
            schemas |= _extract_body(operation)
    described.paths = {**paths}
    described.components.schemas = dict(sorted(schemas.items()))
    return described


class _Dumper(yaml.SafeDumper):
    """Writes repeated parts out, because many generators do not read YAML anchors, and 100.0 as 100."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True

    def represent_float(self, data: float) -> yaml.ScalarNode:
        return self.represent_int(int(data)) if data.is_integer() else super().represent_float(data)


_Dumper.add_representer(float, _Dumper.represent_float)


def _complete(operation: Operation, route: APIRoute) -> None:
    summary, _, description = route.description.partition("\n")
    operation.summary = summary
    operation.description = description.strip() or summary
    if not is_authenticated(route):
        operation.security = []
    parameters = [part for part in operation.parameters or () if isinstance(part, Parameter)]
    for parameter in parameters:
        _simplify(parameter)
    if is_idempotent(route):
        parameters.append(_IDEMPOTENCY_KEY)
    if takes_trace_parent(route):
        parameters.append(TRACE_PARENT)
    operation.parameters = [*parameters] or None
    _complete_responses(operation, route)


def _extract_body(operation: Operation) -> dict[str, Schema]:
    """Replace the body schema of a route that reads its body itself by a reference, as FastAPI does for others."""
    if not isinstance(operation.requestBody, RequestBody):
        return {}
    extracted: dict[str, Schema] = {}
    for media in operation.requestBody.content.values():
        schema = media.schema_
        if isinstance(schema, Schema) and schema.title is not None:
            extracted[schema.title] = schema
            media.schema_ = Reference.model_validate({"$ref": f"#/components/schemas/{schema.title}"})
    return extracted


def _simplify(parameter: Parameter) -> None:
    """Remove what says nothing in a query: a title that repeats the name, a second description, null."""
    schema = parameter.schema_
    if not isinstance(schema, Schema):
        return
    for choice in schema.anyOf or ():
        if isinstance(choice, Schema) and choice.type != "null":
            schema = choice
    schema.title = schema.description = None
    parameter.schema_ = schema
    if parameter.name == "metadata":  # each `metadata.<key>` is a parameter of its own
        schema.propertyNames = Schema(pattern=r"^metadata\..+$")
        parameter.style, parameter.explode = "form", True


def _complete_responses(operation: Operation, route: APIRoute) -> None:
    declared = {code: Described.model_validate(text) for code, text in (operation.responses or {}).items()}
    responses: dict[str, Described | Reference] = {
        code: response for code, response in declared.items() if code < "400"
    }
    for response in declared.values():
        if response.description == "Successful Response":  # FastAPI's default
            response.description = "Success."
    if is_idempotent(route):
        declared[str(route.status_code or 200)].headers = {REPLAYED: _REPLAYED}
    for status in sorted({*_errors(route), *(int(code) for code in declared if code >= "400")} - {422}):
        responses[str(status)] = Reference.model_validate({"$ref": f"#/components/responses/{status}"})
        pages = declared[str(status)].content if str(status) in declared else None
        if pages and "text/html" in pages:
            both = _error_response(status)
            both.content = {**pages, **(both.content or {})}
            responses[str(status)] = both
    operation.responses = {**responses}


def _errors(route: APIRoute) -> Iterable[int]:
    """The errors that follow from what kind of route it is. A route declares only those of its own."""
    yield from (400, 500, 503)
    if is_authenticated(route):
        yield from (401, 403, 429)
    if is_idempotent(route):
        yield 409
    if body_model(route) is not None:
        yield from (413, 415)
    if route.param_convertors:
        yield 404


def _error_response(status: int) -> Described:
    code, meaning = CODES[status]
    error = MediaType.model_validate({"schema": {"$ref": _ERROR}})
    described = [f"`{code}`: {meaning}"]
    described += [
        f"`{code}`: {text}" for code, (of_status, text) in MORE_CODES.items() if of_status == status
    ]
    return Described(description=" ".join(described), content={"application/json": error})
