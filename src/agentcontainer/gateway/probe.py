"""Tests a model provider with one cheap request: the list of its models, or with a model's name a few tokens of it."""

import asyncio
import json
import os
import time
from dataclasses import dataclass

import aiohttp
from yarl import URL

from agentcontainer.domain.accounts.model import OpenProviderKey
from agentcontainer.gateway.app import provider_client
from agentcontainer.gateway.judged_client import judged_client
from agentcontainer.gateway.provider_response import beginning, error_message, unreachable
from agentcontainer.gateway.route import Route
from agentcontainer.gateway.upstreams import (
    main_endpoint,
    request_headers,
    response_fault,
    unexpected_type,
    url,
)
from agentcontainer.printable import without_controls
from agentcontainer.providers import WireProtocol
from agentcontainer.proxies import Proxies
from agentcontainer.redaction import encodings_of, redact, redact_text
from agentcontainer.sandbox.destinations import Destinations
from agentcontainer.settings import Settings

SECONDS = 20
ANSWER_BYTES = 64 * 1024
ANSWER_CHARACTERS = 2000
OUTPUT_TOKENS = 16


@dataclass(frozen=True)
class Outcome:
    """What the provider answered, redacted. `status` None: it did not. `fault` None: it works."""

    status: int | None
    answer: str
    fault: str | None
    duration_ms: int


async def probe_stored(
    settings: Settings, provider: str, stored: OpenProviderKey, model: str | None
) -> Outcome:
    """Test a provider with what an account has stored for it."""
    endpoint = stored.endpoint
    if endpoint is None:
        base_url = settings.base_urls[provider]
        proxy = Proxies.of(os.environ).for_url(base_url)
        route = Route(provider, base_url, frozenset(), stored.key, proxy)
        async with provider_client() as client:
            return await probe(client, route, model)
    destinations = Destinations.of(settings)
    if fault := destinations.url_fault(endpoint.base_url):
        return Outcome(None, "", f"The baseUrl of {provider} {fault}.", 0)
    route = Route(provider, endpoint.base_url, frozenset(), stored.key, protocol=endpoint.protocol)
    async with judged_client(destinations) as client:
        return await probe(client, route, model)


async def probe(client: aiohttp.ClientSession, route: Route, model: str | None) -> Outcome:
    """Send one request over the route, with its key, as the gateway would."""
    began = time.monotonic()
    status, body, fault = await _ask(client, route, model)
    secrets = encodings_of(route.api_key or "")
    text = without_controls(redact(body, secrets).decode("utf-8", "replace"), keep="\n")
    return Outcome(
        status,
        text[:ANSWER_CHARACTERS],
        None if fault is None else redact_text(fault, secrets),
        round((time.monotonic() - began) * 1000),
    )


async def _ask(
    client: aiohttp.ClientSession, route: Route, model: str | None
) -> tuple[int | None, bytes, str | None]:
    name = route.entry.title
    endpoint = main_endpoint(route.entry)
    key = route.api_key or ""
    headers = request_headers(route.entry, endpoint, {"anthropic-version": "2023-06-01"}, key)
    if model is None:
        method, target, body = "GET", route.base_url.rstrip("/") + route.entry.key_check_path, None
    else:
        method, target, body = "POST", url(endpoint, route.base_url, ""), _request(endpoint.wire, model)
    try:
        async with (
            asyncio.timeout(SECONDS),
            client.request(
                method, URL(target, encoded=True), data=body, headers=headers, proxy=route.proxy,
                allow_redirects=False,  # a redirect would send the key to another server
            ) as response,
        ):  # fmt: skip
            answer = await beginning(response, ANSWER_BYTES)
            return response.status, answer[:ANSWER_BYTES], _fault(name, response, answer)
    except TimeoutError:
        return None, b"", f"{name} did not answer within {SECONDS} seconds."
    except (aiohttp.ClientError, ValueError) as error:
        return None, b"", f"{name} {unreachable(error)}."


def _fault(name: str, response: aiohttp.ClientResponse, answer: bytes) -> str | None:
    if fault := response_fault(response.status, response.headers):
        return f"{name} {fault}."
    if response.status >= 300:
        return f"{name} answered {response.status}: {error_message(answer, name, response.status)}"
    if (kind := unexpected_type(response.headers)) is not None:
        return f"{name} answered with {kind} instead of a model's answer."
    return None


def _request(wire: WireProtocol, model: str) -> bytes:
    messages = [{"role": "user", "content": "Answer with the word ok."}]
    if wire == "openai-responses":
        return json.dumps({"model": model, "input": messages, "max_output_tokens": OUTPUT_TOKENS}).encode()
    return json.dumps({"model": model, "messages": messages, "max_tokens": OUTPUT_TOKENS}).encode()
