"""Sends one event to one receiver, and reads what it answers: within 15 s and 4 KiB, without redirects."""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import aiohttp
from yarl import URL

from agentcontainer.api.feed_entries import WebhookBody
from agentcontainer.db import storable
from agentcontainer.domain.feed.model import FeedEntry
from agentcontainer.domain.webhooks import signing
from agentcontainer.domain.webhooks.model import MAX_ANSWER_BYTES, Answered
from agentcontainer.gateway.judged_client import judged_client
from agentcontainer.gateway.provider_response import unreachable
from agentcontainer.printable import without_controls
from agentcontainer.sandbox.destinations import Destinations
from agentcontainer.settings import Settings

API_VERSION = "v1"
USER_AGENT = "AgentContainer/1.0 webhooks"
TIMEOUT_SECONDS = 15.0
ANSWER_SECONDS = 2.0  # for the body of an answer, which decides nothing
OBEYED_RETRY_AFTER = (429, 502, 503, 504)


def body_of(entry: FeedEntry) -> WebhookBody:
    """What a receiver gets of an entry of the feed. That of a deleted task has no data."""
    identity = {"position": entry.position or None, "taskId": entry.task_id}
    named = {name: value for name, value in identity.items() if value is not None}
    return WebhookBody(
        type=entry.type,
        timestamp=entry.created_at,
        api_version=API_VERSION,
        data=named | dict(entry.data),
    )


def webhook_url_fault(settings: Settings, url: str) -> str | None:
    """Why nothing can be sent to this URL, as the end of a sentence; None: it can, as far as the URL tells."""
    return Destinations.of(settings).for_webhooks(settings).url_fault(url, is_base=False)


class WebhookClient:
    """Sends events to the destinations that the settings allow. `open` and `close` it in one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._destinations = Destinations.of(settings).for_webhooks(settings)
        self._client: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.close()

    async def send(self, url: str, entry: FeedEntry, secrets: Sequence[str], now: datetime) -> Answered:
        """Send an entry of the feed, signed with each of the secrets at the time `now`."""
        if fault := self._destinations.url_fault(
            url, is_base=False
        ):  # the settings may have changed since the URL was stored
            return Answered(0, None, f"The URL {fault}.")
        content = body_of(entry).model_dump()
        body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        timestamp = int(now.timestamp())
        headers = {
            "content-type": "application/json",
            "user-agent": USER_AGENT,
            "webhook-id": entry.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signing.signature(secrets, entry.id, timestamp, body),
        }
        began = time.monotonic()
        status, error, answer, retry_after = await self._post(url, body, headers)
        return Answered(round((time.monotonic() - began) * 1000), status, error, answer, retry_after)

    async def _post(
        self, url: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int | None, str | None, str, timedelta | None]:
        if self._client is None:
            self._client = judged_client(self._destinations, force_close=True)
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                response = await self._client.post(
                    URL(url, encoded=True), data=body, headers=headers, allow_redirects=False
                )
        except TimeoutError:
            return None, f"It did not answer within {TIMEOUT_SECONDS:g} seconds.", "", None
        except (aiohttp.ClientError, OSError, ValueError) as failure:
            return None, f"It {unreachable(failure)}.", "", None
        answer = await _beginning(response)
        return response.status, _fault(response.status), answer, _retry_after(response)


async def _beginning(response: aiohttp.ClientResponse) -> str:
    """The beginning of the answer's body, as far as it arrives in time. Then the connection is closed."""
    body = bytearray()
    try:
        with suppress(aiohttp.ClientError, OSError, ValueError):  # TimeoutError is an OSError
            async with asyncio.timeout(ANSWER_SECONDS):
                while len(body) < MAX_ANSWER_BYTES and (chunk := await response.content.readany()):
                    body += chunk
    finally:
        response.close()
    text = bytes(body[:MAX_ANSWER_BYTES]).decode("utf-8", "replace")
    return str(storable(without_controls(text, keep="\n\t")))


def _fault(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    return (
        f"It answered {status}; redirects are not followed."
        if 300 <= status < 400
        else f"It answered {status}."
    )


def _retry_after(response: aiohttp.ClientResponse) -> timedelta | None:
    """How long the receiver asks to wait, where its status makes that binding."""
    value = response.headers.get("Retry-After", "").strip()
    if response.status not in OBEYED_RETRY_AFTER or not value:
        return None
    if value.isascii() and value.isdigit():
        return timedelta(seconds=min(int(value[:9]), 10**8))
    with suppress(ValueError, TypeError, OverflowError):
        moment = parsedate_to_datetime(value)
        if moment.tzinfo is not None:
            return max(timedelta(0), moment - datetime.now(UTC))
    return None
