"""The route of the metrics, for a Prometheus server that reaches the API's port only."""

import hmac

from fastapi import Request
from starlette.responses import Response

from agentcontainer.api.http.access import public
from agentcontainer.api.http.routing import unauthenticated
from agentcontainer.api.http.services import Provided
from agentcontainer.errors import NotFound, Unauthorized
from agentcontainer.telemetry.exposition import CONTENT_TYPE

router = unauthenticated("System")


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {"description": "The metrics.", "content": {"text/plain": {"schema": {"type": "string"}}}},
        401: {},
        404: {},
    },
)
@public
async def get_metrics(request: Request, services: Provided) -> Response:
    """Read the metrics of this process and of the installation, in Prometheus' text format.

    Send the operator's metrics token as `Authorization: Bearer …`; an API key is not accepted. Without such a token in
    the settings, the route answers 404.
    """
    token = services.settings.metrics_token
    if token is None:
        raise NotFound("There is no such resource.")
    expected = f"Bearer {token.get_secret_value()}".encode()
    if not hmac.compare_digest(request.headers.get("authorization", "").encode(), expected):
        raise Unauthorized("The metrics need the token of AGENTCONTAINER_METRICS_TOKEN, as a Bearer token.")
    return Response(await services.exposition.text(), media_type=CONTENT_TYPE)
