"""Verifies requests of webhooks: Standard Webhooks 1.0.0."""

import base64
import binascii
import hashlib
import hmac
import itertools
import json
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from agentcontainer_client._wire import Model, WireField, instant
from agentcontainer_client.errors import BadSignature, ConfigurationError, UnexpectedResponse
from agentcontainer_client.models import FeedData, FeedEntry

TOLERANCE_SECONDS = 300
MAX_SIGNATURES = 20
PREFIX = "whsec_"
API_VERSION = "v1"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class WebhookEvent(Model):
    """An event that a webhook received. `id` is the same in every attempt: ignore an event whose id you have seen."""

    WIRE: ClassVar[tuple[WireField, ...]] = (
        ("type", "type", None),
        ("timestamp", "timestamp", instant),
        ("apiVersion", "api_version", None),
        ("data", "data", FeedData.from_wire),
    )

    id: str
    type: str
    timestamp: datetime
    """When it happened."""
    api_version: str
    data: FeedData
    raw: Mapping[str, Any] = field(repr=False, compare=False)


def unwrap(
    body: bytes | str, headers: Mapping[str, str], secret: str | Sequence[str], *, now: float | None = None
) -> WebhookEvent:
    """The event of a request, if it is signed with the secret and at most 5 minutes old.

    `body`: exactly as it was received. `secret`: `whsec_…`; several during a rotation. `now`: Unix seconds.

    Raises:
        BadSignature: the request is forged, changed or replayed, or the secret is another one.
        ConfigurationError: the secret is none.
        UnexpectedResponse: it is signed, but no event.
    """
    content = body.encode() if isinstance(body, str) else body
    named = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp = named.get("webhook-id", ""), named.get("webhook-timestamp", "")
    if not message_id or not re.fullmatch(r"[0-9]{1,12}", timestamp):
        raise BadSignature("The request has no webhook-id or no webhook-timestamp.")
    if abs((time.time() if now is None else now) - int(timestamp)) > TOLERANCE_SECONDS:
        raise BadSignature("The request was signed more than 5 minutes ago, or a clock is wrong.")
    keys = [_key(each) for each in ([secret] if isinstance(secret, str) else secret)]
    signed = f"{message_id}.{timestamp}.".encode() + content
    expected = [base64.b64encode(hmac.digest(key, signed, hashlib.sha256)) for key in keys]
    pairs = itertools.product(expected, _signatures(named.get("webhook-signature", "")))
    matches = [hmac.compare_digest(own, sent) for own, sent in pairs]  # all, whichever is the right one
    if not any(matches):
        raise BadSignature("The request is not signed with this secret.")
    return _event(message_id, content)


def new_secret() -> str:
    """A new random secret: `whsec_…`."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def check_secret(secret: str) -> None:
    """Refuse what cannot sign.

    Raises:
        ConfigurationError: it is no secret of a webhook.
    """
    _key(secret)


def body_of(entry: FeedEntry) -> bytes:
    """The body with which a webhook gets an entry of the feed."""
    sent = entry.to_wire()
    content = {
        "type": sent["type"], "timestamp": sent["createdAt"], "apiVersion": API_VERSION, "data": sent["data"]
    }  # fmt: skip
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def headers_of(message_id: str, body: bytes, secret: str) -> dict[str, str]:
    """The headers with which a webhook gets this body now."""
    timestamp = str(int(time.time()))
    digest = hmac.digest(_key(secret), f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def _signatures(header: str) -> Sequence[bytes]:
    versioned = [each.partition(",") for each in header.split(" ")[:MAX_SIGNATURES]]
    return [value.encode("ascii", "replace") for version, _, value in versioned if version == "v1"]


def _event(message_id: str, content: bytes) -> WebhookEvent:
    try:
        raw = json.loads(content)
        return WebhookEvent.from_wire(raw, id=message_id, raw=raw)
    except (ValueError, TypeError) as error:
        raise UnexpectedResponse(f"The request is signed, but is no event: {error}") from None


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key or not secret.startswith(PREFIX):
        raise ConfigurationError("The secret of a webhook begins with whsec_.")
    return key
