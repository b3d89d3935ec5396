"""What every route stands behind: the path guard, the query guard, and, below /api/v1, the API key."""

import re

from fastapi import APIRouter, Depends, Request
from fastapi.routing import APIRoute

from agentcontainer.api.http.auth import authenticate
from agentcontainer.api.http.idempotency import IdempotentRoute
from agentcontainer.api.http.query import NoQuery, Query
from agentcontainer.errors import NotFound

V1 = "/api/v1"

SEGMENT = "^[A-Za-z0-9_-]{1,128}$"
_no_query = Query(NoQuery)


async def guard(request: Request) -> None:
    """No path parameter of ours looks like this: 404. A query where the route takes none: 400."""
    if not all(re.fullmatch(SEGMENT, value) for value in request.path_params.values()):
        raise NotFound("There is no such resource.")
    route: APIRoute = request.scope["route"]
    if not any(isinstance(dependency.call, Query) for dependency in route.dependant.dependencies):
        await _no_query(request)


def authenticated() -> APIRouter:
    """A router below /api/v1, behind an API key."""
    return APIRouter(
        prefix=V1, dependencies=[Depends(authenticate), Depends(guard)], route_class=IdempotentRoute
    )


def unauthenticated(route_class: type[APIRoute] = APIRoute) -> APIRouter:
    """A router for what needs no key: health, the OpenAPI document, signed URLs."""
    return APIRouter(dependencies=[Depends(guard)], route_class=route_class)
