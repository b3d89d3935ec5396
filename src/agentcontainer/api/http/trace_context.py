"""The header `traceparent` of a request, which links the traces of a task to the trace of the client."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.openapi.models import Parameter
from fastapi.routing import APIRoute

from agentcontainer import traceparent

PARAMETER = Parameter.model_validate(
    {
        "name": traceparent.HEADER,
        "in": "header",
        "required": False,
        "description": "W3C Trace Context. The platform's traces of what this request starts link to this span. "
        "A malformed value is ignored.",
        "schema": {"type": "string"},
    }
)


async def _trace_parent(request: Request) -> str | None:
    """The header in its normal form. None: there is none, several, or a malformed one. That is no error: proxies and
    libraries add the header without the client's knowledge, and W3C Trace Context has a malformed one ignored."""
    values = request.headers.getlist(traceparent.HEADER)
    parsed = traceparent.TraceParent.parse(values[0].strip()) if len(values) == 1 else None
    return None if parsed is None else str(parsed)


TraceParent = Annotated[str | None, Depends(_trace_parent)]


def takes_trace_parent(route: APIRoute) -> bool:
    """Whether the route reads the header."""
    return any(part.call is _trace_parent for part in route.dependant.dependencies)
