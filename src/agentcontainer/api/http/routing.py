"""The route class of the API, which decides the order in which a request is checked before its endpoint runs."""

import re
from collections.abc import Callable, Coroutine
from functools import cached_property
from typing import Any, cast, get_origin

import asyncpg
from fastapi import APIRouter, Depends, Request
from fastapi.params import Path
from fastapi.routing import APIRoute
from pydantic.alias_generators import to_camel
from starlette.responses import Response

from agentcontainer.api.http import access, idempotency, visibility
from agentcontainer.api.http.auth import authenticate, is_authenticated
from agentcontainer.api.http.errors import Error
from agentcontainer.api.http.request import StrictRequest, query_of
from agentcontainer.api.http.services import Services, provided
from agentcontainer.api.http.strict_json import printable_key
from agentcontainer.api.wire import ID_PATTERN, Incoming
from agentcontainer.errors import NotFound, ValidationError

V1 = "/api/v1"
SEGMENT = "[A-Za-z0-9_-]{1,128}"

Answer = Callable[[Request], Coroutine[Any, Any, Response]]


class StrictRoute(APIRoute):
    """Checks the API key and its rights, the path, the query and the body in this order, then lets FastAPI validate and
    answer.

    FastAPI reads a body before it resolves dependencies. Checking the key first means that nobody without one can
    make the API read or parse a body. The same goes for keys that may not use the route.
    """

    free_path_params: frozenset[str] = frozenset()
    """Path parameters that take any text. The others are ids and tokens."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.access = access.access_of(self)

    def get_route_handler(self) -> Answer:
        answer = super().get_route_handler()

        async def answer_strictly(request: Request) -> Response:
            strict = StrictRequest(request.scope, request.receive)
            services = await provided(strict)
            if is_authenticated(self):
                await authenticate(strict, services)
                # Only of routes that have a trial: elsewhere a parameter may be repeated, which is not known here.
                is_trial = self.access.has_trial and idempotency.is_trial(strict)
                access.check(self.access, strict.state.principal, is_trial=is_trial)
            _check_path(strict, self.free_path_params)
            if is_authenticated(self):
                await visibility.check_path(services.pool, strict.state.principal, strict.path_params)
            self._check_query(strict)
            if (model := body_model(self)) is not None:
                await strict.read_json(model.max_body_bytes, is_required=has_required_body(self))
            try:
                return await self._answer(strict, services, answer)
            except asyncpg.InvalidCachedStatementError:  # a migration changed a table: nothing was committed
                if not is_authenticated(self):  # the body of an upload cannot be read again
                    raise
                return await self._answer(strict, services, answer)

        return answer_strictly

    async def _answer(self, request: StrictRequest, services: Services, answer: Answer) -> Response:
        if idempotency.is_idempotent(self) and idempotency.HEADER in request.headers:
            return await idempotency.answer_once(self, request, services, answer)
        return await answer(request)

    @cached_property
    def _repeatable(self) -> frozenset[str]:
        """The query parameters that may be given several times: lists in the query model."""
        models = [param.field_info.annotation for param in self.dependant.query_params]
        return frozenset(
            field.alias or name
            for model in models
            if isinstance(model, type) and issubclass(model, Incoming)
            for name, field in model.model_fields.items()
            if get_origin(field.annotation) is list
        )

    def _check_query(self, request: Request) -> None:
        """Refuse query parameters that the route does not have. FastAPI does so only for routes with a query model."""
        for name in query_of(request, self._repeatable):
            if not self.dependant.query_params:
                raise ValidationError.at(printable_key(name), "unknown query parameter")


def body_model(route: APIRoute) -> type[Incoming] | None:
    """The model of the route's JSON body; None where it takes none, or reads its body itself."""
    if route.body_field is None:
        return None
    return cast("type[Incoming]", route.body_field.field_info.annotation)


def has_required_body(route: APIRoute) -> bool:
    """Whether a request without a body is refused."""
    return route.body_field is not None and route.body_field.field_info.is_required()


def authenticated(tag: str) -> APIRouter:
    """A router below /api/v1 whose routes need an API key. `tag` groups them in the OpenAPI document."""
    return _router(tag, StrictRoute, prefix=V1, dependencies=[Depends(authenticate)])


def unauthenticated(tag: str, route_class: type[StrictRoute] = StrictRoute) -> APIRouter:
    """A router whose routes need no API key: health, the OpenAPI document, signed URLs, wake links."""
    return _router(tag, route_class)


def id_in_path(name: str) -> Path:
    """A path parameter that holds an id. Its pattern is for the OpenAPI document: other values answer 404."""
    return Path(alias=name, json_schema_extra={"pattern": ID_PATTERN})


def _router(tag: str, route_class: type[StrictRoute], **options: Any) -> APIRouter:
    return APIRouter(
        tags=[tag],
        responses={500: {"model": Error}},
        route_class=route_class,
        generate_unique_id_function=lambda route: to_camel(route.name),
        **options,
    )


def _check_path(request: Request, free: frozenset[str]) -> None:
    checked = [value for name, value in request.path_params.items() if name not in free]
    if not all(re.fullmatch(SEGMENT, value) for value in checked):
        raise NotFound("There is no such resource.")
