"""Assembles the HTTP API: its routes, error handlers and middleware, as one ASGI application."""

from collections.abc import Sequence
from functools import cache

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.responses import Response

from agentcontainer.api.dashboard import Dashboard, built_files
from agentcontainer.api.http import cors, openapi
from agentcontainer.api.http.errors import response_to
from agentcontainer.api.http.middleware import Envelope
from agentcontainer.api.http.rate_limit import RateLimit
from agentcontainer.api.http.services import Services
from agentcontainer.api.hub import Hub
from agentcontainer.api.installation_gauges import InstallationGauges
from agentcontainer.api.routes import (
    accounts,
    activities,
    agent_versions,
    agents,
    api_keys,
    audit,
    batches,
    choices,
    conversations,
    events,
    feed,
    files,
    health,
    installation,
    ledger,
    messages,
    metrics,
    outputs,
    previews,
    provider_keys,
    session,
    sessions,
    tasks,
    uploads,
    usage,
    wake,
    webhook_deliveries,
    webhooks,
)
from agentcontainer.db import Pool
from agentcontainer.domain.accounts.vault import Vault
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.images.lookup import Lookup
from agentcontainer.settings import Settings
from agentcontainer.telemetry.exposition import Exposition
from agentcontainer.telemetry.metrics import OF_API, OF_INSTALLATION, registry_of

ROUTERS: Sequence[APIRouter] = (
    health.router,
    metrics.router,
    openapi.router,
    accounts.router,
    provider_keys.router,
    api_keys.router,
    ledger.router,
    audit.router,
    installation.router,
    usage.router,
    agents.router,
    agent_versions.router,
    choices.router,
    uploads.router,
    uploads.signed_router,
    files.router,
    previews.router,
    previews.link_router,
    tasks.router,
    batches.router,
    events.router,
    feed.router,
    outputs.router,
    conversations.router,
    messages.router,
    activities.router,
    session.router,
    sessions.router,
    sessions.public_router,
    webhooks.router,
    webhook_deliveries.router,
    wake.router,
    wake.link_router,
)
ROUTES = tuple(route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute))
# FastAPI's tracing would record whole URLs, which for uploads hold signatures.
_NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}


def create_app(
    settings: Settings, pool: Pool, vault: Vault, blobs: Blobs, hub: Hub | None = None,
    upload_origins: tuple[str, ...] = (),
) -> FastAPI:  # fmt: skip
    """The application. It starts nothing and closes none of its arguments.

    Event streams get new events only from a `hub` that runs. `upload_origins`: where the dashboard's pages may send
    uploads, besides to their own origin.
    """
    app = FastAPI(
        openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False, telemetry=_NO_TELEMETRY
    )
    rate_limit = RateLimit(settings.rate_limit_per_minute)
    gauges = InstallationGauges(pool, settings.runner_lost_after_seconds)
    exposition = Exposition(registry_of(OF_API, OF_INSTALLATION), gauges.refresh)
    app.state.services = Services(
        settings, pool, vault, blobs, rate_limit, hub or Hub(pool), Lookup(settings), exposition
    )
    app.state.openapi_yaml = cache(lambda: openapi.to_yaml(openapi.document(ROUTES, settings.public_url)))
    app.state.dashboard = None
    if settings.dashboard:
        app.state.dashboard = Dashboard(built_files(), upload_origins, settings.preview_url)
    for router in ROUTERS:
        app.include_router(router)
    app.add_exception_handler(HTTPException, _respond)
    app.add_exception_handler(RequestValidationError, _respond)
    app.add_middleware(Envelope)
    return app


async def _respond(request: Request, error: Exception) -> Response:
    dashboard: Dashboard | None = request.app.state.dashboard
    if isinstance(error, HTTPException) and error.status_code == 404 and dashboard is not None:
        page = dashboard.answer(request)
        if page is not None:
            return page
    if isinstance(error, HTTPException) and error.status_code == 405:
        # Starlette lists only the methods of the first route with this path.
        matching = [route for route in ROUTES if route.path_regex.match(request.scope["path"])]
        methods = {method for route in matching for method in route.methods or ()}
        if (answer := cors.preflight(request, methods)) is not None:
            return answer
        error = HTTPException(405, headers={"Allow": ", ".join(sorted(methods))})
    return response_to(error, request.state.request_id)
