"""`unwrap` takes what AgentContainer and other signers of Standard Webhooks sign, and nothing else."""

import base64
import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from agentcontainer.api.webhook_request import body_of
from agentcontainer.domain.feed.model import FeedEntry
from agentcontainer.domain.webhooks import signing
from agentcontainer.domain.webhooks.model import MAX_TRIES, PAUSES, pause_after
from agentcontainer_client import (
    AgentContainer,
    AsyncAgentContainer,
    BadSignature,
    ConfigurationError,
    UnexpectedResponse,
    _webhooks,
    models,
)
from agentcontainer_client._webhooks import unwrap

SECRET = signing.new_secret()
OTHER = signing.new_secret()
BODY = json.dumps(
    {
        "type": "task.finished",
        "timestamp": "2026-03-26T14:00:00.000Z",
        "apiVersion": "v1",
        "data": {"position": 2, "taskId": "tsk_1", "status": "finished", "costUsd": 0.5, "later": "ü"},
    },
    ensure_ascii=False,
).encode()


def signed(
    body: bytes = BODY, secret: str = SECRET, age_seconds: float = 0, message_id: str = "evt_1"
) -> dict[str, str]:
    """Headers as the package of Standard Webhooks makes them."""
    moment = datetime.fromtimestamp(time.time() - age_seconds, UTC)
    return {
        "Webhook-Id": message_id,
        "Webhook-Timestamp": str(int(moment.timestamp())),
        "Webhook-Signature": Webhook(secret).sign(msg_id=message_id, timestamp=moment, data=body.decode()),
    }


def test_a_signed_request_is_a_typed_event() -> None:
    client = AgentContainer("http://127.0.0.1:1", "ac_live_x")
    event = client.webhooks.unwrap(BODY, signed(), SECRET)
    assert (event.id, event.type, event.api_version) == ("evt_1", "task.finished", "v1")
    assert event.timestamp == datetime(2026, 3, 26, 14, tzinfo=UTC)
    assert (event.data.position, event.data.task_id, event.data.cost_usd) == (2, "tsk_1", 0.5)
    assert event.data.extra == {"later": "ü"}
    other = AsyncAgentContainer("http://127.0.0.1:1", "ac_live_x").webhooks.unwrap(
        BODY.decode(), signed(), SECRET
    )
    assert other == event


def test_what_we_sign_is_verified_by_the_package_and_by_the_client() -> None:
    now = int(time.time())
    headers = {
        "webhook-id": "evt_2",
        "webhook-timestamp": str(now),
        "webhook-signature": signing.signature([SECRET, OTHER], "evt_2", now, BODY),
    }
    for secret in (SECRET, OTHER):
        assert Webhook(secret).verify(BODY, headers) == json.loads(BODY)
        assert unwrap(BODY, headers, secret).id == "evt_2"
    assert unwrap(BODY, signed(secret=OTHER), [SECRET, OTHER]).id == "evt_1"


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (BODY.replace(b"0.5", b"0.6"), signed()),
        (BODY + b" ", signed()),
        (BODY, signed(secret=OTHER)),
        (BODY, signed() | {"Webhook-Id": "evt_2"}),
        (BODY, signed() | {"Webhook-Timestamp": str(int(time.time()) - 60)}),
        (BODY, signed(age_seconds=3600)),
        (BODY, signed(age_seconds=-3600)),
        (BODY, signed() | {"Webhook-Timestamp": "soon"}),
        (BODY, signed() | {"Webhook-Timestamp": "9" * 400}),
        (BODY, signed() | {"Webhook-Timestamp": "١٢٣"}),
        (BODY, signed() | {"Webhook-Signature": ""}),
        (BODY, signed() | {"Webhook-Signature": "v1,"}),
        (BODY, signed() | {"Webhook-Signature": "v1a," + signed()["Webhook-Signature"][3:]}),
        (BODY, signed() | {"Webhook-Signature": signed()["Webhook-Signature"][3:]}),
        (BODY, signed() | {"Webhook-Signature": "v1,ü " * 1000}),
        (BODY, {}),
        (b"", signed()),
        (b"\xff\x00", signed()),
    ],
)
def test_what_is_forged_changed_or_replayed_is_refused(body: bytes, headers: dict[str, str]) -> None:
    with pytest.raises(BadSignature) as caught:
        unwrap(body, headers, SECRET)
    assert SECRET[6:] not in str(caught.value)


def test_the_signature_of_a_replayed_request_lasts_five_minutes() -> None:
    headers = signed()
    at = int(headers["Webhook-Timestamp"])
    assert unwrap(BODY, headers, SECRET, now=at + 300).id == "evt_1"
    with pytest.raises(BadSignature):
        unwrap(BODY, headers, SECRET, now=at + 301)


@pytest.mark.parametrize("body", [b"[]", b"no JSON", b'{"timestamp": 5, "data": []}'])
def test_what_is_signed_but_no_event_is_told_apart(body: bytes) -> None:
    with pytest.raises(UnexpectedResponse):
        unwrap(body, signed(body), SECRET)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_***", "a2V5a2V5", "whsec_a2V5a2V5!"])
def test_what_is_no_secret_is_an_error_of_the_caller(secret: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        unwrap(BODY, signed(), secret)
    assert secret == "" or secret not in str(caught.value) or secret == "whsec_"


@pytest.mark.parametrize("size", [24, 32, 64])
def test_secrets_of_the_right_size_are_accepted(size: int) -> None:
    assert signing.secret_fault("whsec_" + base64.b64encode(b"k" * size).decode()) is None


@pytest.mark.parametrize("size", [0, 16, 23, 65])
def test_secrets_of_another_size_are_not(size: int) -> None:
    assert signing.secret_fault("whsec_" + base64.b64encode(b"k" * size).decode()) is not None


def test_what_listen_sends_is_what_a_webhook_gets() -> None:
    entry = FeedEntry(
        7,
        "evt_7",
        "task.finished",
        "tsk_1",
        datetime(2026, 3, 26, 14, tzinfo=UTC),
        {"title": "ü", "position": 7},
    )
    wire = {
        "position": 7, "id": "evt_7", "type": "task.finished", "taskId": "tsk_1",
        "createdAt": "2026-03-26T14:00:00.000Z", "data": entry.data,
    }  # fmt: skip
    body = _webhooks.body_of(models.FeedEntry.from_wire(wire))
    assert json.loads(body) == body_of(entry).model_dump() | {"data": dict(entry.data)}
    assert Webhook(SECRET).verify(body, _webhooks.headers_of("evt_7", body, SECRET)) == json.loads(body)
    assert signing.secret_fault(_webhooks.new_secret()) is None


def test_ten_tries_take_about_three_days() -> None:
    total: Any = sum(pause.total_seconds() for pause in PAUSES)
    assert MAX_TRIES == 10
    assert 3 * 86_400 < total < 3.5 * 86_400
    assert pause_after(MAX_TRIES, None) is None
