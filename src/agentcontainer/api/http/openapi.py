"""`GET /api/v1/openapi.yaml`: OpenAPI 3.1, generated from the routes, their dependencies and the wire models."""

from collections.abc import Iterable, Sequence
from typing import Any, get_args

import yaml
from fastapi import Request
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter
from pydantic.alias_generators import to_camel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema
from starlette.responses import Response

from agentcontainer import __version__
from agentcontainer.api.http.auth import KEY_IN_QUERY, is_authenticated
from agentcontainer.api.http.body import JsonBody
from agentcontainer.api.http.errors import CODES, Error
from agentcontainer.api.http.idempotency import HEADER, PATTERN, REPLAYED, is_idempotent
from agentcontainer.api.http.query import Query
from agentcontainer.api.http.routing import SEGMENT, V1, unauthenticated
from agentcontainer.api.wire import Id, Provider

Json = dict[str, Any]
REF = "#/components/schemas/{model}"
PATH_PARAMETERS: dict[str, Json] = {
    "provider": {"type": "string", "enum": list(get_args(Provider))},
    "token": {"type": "string", "pattern": SEGMENT},
}
ID_SCHEMA: Json = TypeAdapter(Id).json_schema()
DESCRIPTION = """Run AI agents in sandboxed containers.

JSON with camelCase keys; times are ISO 8601 UTC with milliseconds, money is US dollars. Unknown fields and query
parameters are refused, and so are NUL, half surrogate pairs, numbers beyond 64 bits and a key given twice. Every
response carries `X-Request-Id`."""

# Each `metadata.<key>` is a query parameter of its own.
_METADATA: Json = {
    "style": "form",
    "explode": True,
    "schema": {
        "type": "object",
        "propertyNames": {"pattern": r"^metadata\..+$"},
        "additionalProperties": {"type": "string"},
    },
}

_IDEMPOTENCY_KEY: Json = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "Repeats of a request with the same key have one effect, and its first response; kept 24 hours.",
    "schema": {"type": "string", "pattern": PATTERN},
}
_REPLAYED: Json = {
    "description": "`true` on the response to a repeat.",
    "schema": {"type": "string", "enum": ["true"]},
}

router = unauthenticated()


@router.get(
    f"{V1}/openapi.yaml",
    responses={
        200: {
            "description": "This document.",
            "content": {"application/yaml": {"schema": {"type": "object"}}},
        }
    },
)
async def openapi(request: Request) -> Response:
    """The description of this API, for people and generators."""
    return Response(request.app.state.openapi_yaml(), media_type="application/yaml")


def to_yaml(document: Json) -> bytes:
    """As text; the order of keys is kept."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110).encode()


def document(routes: Sequence[APIRoute], public_url: str | None) -> Json:
    """The whole document."""
    schemas = _schemas(routes)
    paths: Json = {}
    for route in routes:
        for method in sorted(route.methods or ()):
            paths.setdefault(route.path, {})[method.lower()] = _operation(route, schemas)
    for model in _queries(routes):  # spelt out as parameters
        del schemas[model.__name__]
    return {
        "openapi": "3.1.0",
        "info": {"title": "AgentContainer", "version": __version__, "description": DESCRIPTION},
        "servers": [{"url": public_url or "/"}],
        "security": [{"apiKey": []}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "responses": {str(status): _error_response(status) for status in CODES},
            "securitySchemes": {
                "apiKey": {"type": "http", "scheme": "bearer", "description": "`ac_live_…`"},
                "apiKeyInQuery": {
                    "type": "apiKey",
                    "in": "query",
                    "name": KEY_IN_QUERY,
                    "description": "Of event streams only.",
                },
            },
        },
    }


class _Schemas(GenerateJsonSchema):
    """Without a title on every field, which only repeats its name."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False


class _Dumper(yaml.SafeDumper):
    """Writes repeated parts out: anchors are no part of what generators read well."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _operation(route: APIRoute, schemas: Json) -> Json:
    summary, _, description = route.description.partition("\n")
    operation: Json = {"operationId": to_camel(route.name), "summary": summary}
    if description.strip():
        operation["description"] = description.strip()
    if not is_authenticated(route):
        operation["security"] = []
    parameters = [*_path_parameters(route), *_query_parameters(route, schemas)]
    if is_idempotent(route):
        parameters.append(_IDEMPOTENCY_KEY)
    extra: Json = dict(route.openapi_extra or {})
    if parameters := [*parameters, *extra.pop("parameters", ())]:
        operation["parameters"] = parameters
    if body := _body(route):
        content = {"application/json": {"schema": {"$ref": REF.format(model=body.model.__name__)}}}
        operation["requestBody"] = {"required": not body.is_optional, "content": content}
    operation["responses"] = _responses(route)
    return operation | extra


def _responses(route: APIRoute) -> Json:
    status = route.status_code or 200
    success: Json = {"description": "Done."}
    if route.response_model is not None:
        schema = {"$ref": REF.format(model=route.response_model.__name__)}
        success = {"description": "The result.", "content": {"application/json": {"schema": schema}}}
    if is_idempotent(route):
        success["headers"] = {REPLAYED: _REPLAYED}
    declared: Json = {str(code): response for code, response in route.responses.items()}
    described = declared.get(str(status), {})
    content = success.get("content", {}) | described.get("content", {})
    responses: Json = {str(status): success | described | ({"content": content} if content else {})}
    responses |= {
        code: response for code, response in declared.items() if code != str(status) and code < "400"
    }
    errors = {400, 500, 503} | {int(code) for code in declared if code >= "400"}
    errors |= {401, 429} if is_authenticated(route) else set[int]()
    errors |= {409} if is_idempotent(route) else set[int]()
    errors |= {413, 415} if _body(route) else set[int]()
    errors |= {404} if route.param_convertors else set[int]()
    return responses | {str(code): _error(code, declared.get(str(code), {})) for code in sorted(errors)}


def _error(status: int, declared: Json) -> Json:
    if "content" not in declared:
        return {"$ref": f"#/components/responses/{status}"}
    described = _error_response(status)
    return described | {"content": described["content"] | declared["content"]}


def _error_response(status: int) -> Json:
    code, meaning = CODES[status]
    schema = {"$ref": REF.format(model=Error.__name__)}
    return {"description": f"`{code}`: {meaning}", "content": {"application/json": {"schema": schema}}}


def _path_parameters(route: APIRoute) -> Iterable[Json]:
    for name in route.param_convertors:
        yield {"name": name, "in": "path", "required": True, "schema": PATH_PARAMETERS.get(name, ID_SCHEMA)}


def _query_parameters(route: APIRoute, schemas: Json) -> Iterable[Json]:
    for query in _dependencies(route, Query):
        model: Json = schemas[query.model.__name__]
        for name, schema in model["properties"].items():
            parameter: Json = {"name": name, "in": "query", "required": name in model.get("required", ())}
            if "description" in schema:
                parameter["description"] = schema["description"]
            yield parameter | (_METADATA if name == "metadata" else {"schema": _query_schema(schema)})


def _query_schema(schema: Json) -> Json:
    """Without what a query cannot say: null, and so a default of null."""
    shape = {key: value for key, value in schema.items() if key != "description"}
    for choice in shape.pop("anyOf", ()):
        if choice != {"type": "null"}:
            shape |= choice
    return {key: value for key, value in shape.items() if value is not None}


def _schemas(routes: Sequence[APIRoute]) -> Json:
    models: dict[type[BaseModel], JsonSchemaMode] = {Error: "serialization"}
    for route in routes:
        models |= {body.model: "validation" for body in _dependencies(route, JsonBody)}
        if route.response_model is not None:
            models[route.response_model] = "serialization"
    models |= dict.fromkeys(_queries(routes), "validation")
    _, definitions = models_json_schema(
        list(models.items()), by_alias=True, ref_template=REF, schema_generator=_Schemas
    )
    return definitions["$defs"]


def _queries(routes: Sequence[APIRoute]) -> list[type[BaseModel]]:
    return list({query.model: None for route in routes for query in _dependencies(route, Query)})


def _body(route: APIRoute) -> JsonBody[Any] | None:
    return next(iter(_dependencies(route, JsonBody)), None)


def _dependencies(route: APIRoute, kind: type[Any]) -> list[Any]:
    return [part.call for part in route.dependant.dependencies if isinstance(part.call, kind)]
