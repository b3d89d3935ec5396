"""`/webhooks`: endpoints, their secrets and tests, and what is refused."""

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from tests import certificates
from tests.webhook_receiver import answering, receiver

from .conftest import Account, Bed, error_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATH = "/api/v1/webhooks"
URL = "https://hooks.example.com/ac?token=1"
OWN_SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()


async def created(account: Account, **body: Any) -> dict[str, Any]:
    answer = await account.post(PATH, {"url": URL} | body)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_webhook_is_created_read_changed_and_deleted(alice: Account) -> None:
    webhook = await created(alice, events=["task.finished", "task.failed"], description="CI")
    assert webhook["id"].startswith("whk_")
    assert webhook["secret"].startswith("whsec_")
    assert len(base64.b64decode(webhook.pop("secret").removeprefix("whsec_"))) == 32
    assert (webhook["url"], webhook["events"], webhook["description"]) == (
        URL, ["task.failed", "task.finished"], "CI",
    )  # fmt: skip
    path = f"{PATH}/{webhook['id']}"
    got = (await alice.get(path)).json()
    assert got == webhook | {"stats7d": {"attempts": 0, "successShare": None, "p95Ms": None}}
    assert (await alice.get(PATH)).json()["data"] == [webhook]

    changed = await alice.send("PATCH", path, json={"events": ["task.failed", "*"], "description": None})
    assert changed.status_code == 200, changed.text
    assert (changed.json()["events"], changed.json()["description"], changed.json()["url"]) == (
        ["*"],
        None,
        URL,
    )
    disabled = (await alice.send("PATCH", path, json={"isEnabled": False})).json()
    assert disabled["disabledReason"] == "client"
    assert disabled["disabledAt"]
    enabled = (await alice.send("PATCH", path, json={"isEnabled": True})).json()
    assert (enabled["disabledAt"], enabled["disabledReason"]) == (None, None)

    assert (await alice.send("DELETE", path)).status_code == 204
    for answer in (
        await alice.get(path),
        await alice.send("DELETE", path),
        await alice.get(f"{path}/deliveries"),
    ):
        assert error_of(answer)["code"] == "not_found"
    assert (await alice.get(PATH)).json()["data"] == []


async def test_no_other_account_sees_a_webhook(alice: Account, bob: Account) -> None:
    path = f"{PATH}/{(await created(alice))['id']}"
    answers = [
        await bob.get(path),
        await bob.send("PATCH", path, json={"url": URL}),
        await bob.send("DELETE", path),
        await bob.post(f"{path}/rotate-secret", {}),
        await bob.post(f"{path}/test"),
        await bob.get(f"{path}/deliveries"),
        await bob.post(f"{path}/resend", {"since": "2026-01-01T00:00:00Z"}),
        await bob.get(f"{path}/deliveries/whd_1"),
        await bob.post(f"{path}/deliveries/whd_1/resend"),
    ]
    assert [error_of(answer)["code"] for answer in answers] == ["not_found"] * len(answers)
    assert (await bob.get(PATH)).json()["data"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"),
        ({"url": "http://hooks.example.com/"}, "url"),
        ({"url": "ftp://hooks.example.com/"}, "url"),
        ({"url": "https://user:key@hooks.example.com/"}, "url"),
        ({"url": "https://hooks.example.com/#a"}, "url"),
        ({"url": "https://10.0.0.1/"}, "url"),
        ({"url": "https://169.254.169.254/latest/meta-data"}, "url"),
        ({"url": "https://localhost/"}, "url"),
        ({"url": "https://0x7f000001/"}, "url"),
        ({"url": "https://hooks.example.com/" + "a" * 2048}, "url"),
        ({"url": "https://hööks.example.com/"}, "url"),
        ({"url": URL, "events": []}, "events"),
        ({"url": URL, "events": ["task.checkpointed"]}, "events"),
        ({"url": URL, "events": "*"}, "events"),
        ({"url": URL, "description": ""}, "description"),
        ({"url": URL, "secret": "whsec_short"}, "secret"),
        ({"url": URL, "secret": OWN_SECRET.removeprefix("whsec_")}, "secret"),
        ({"url": URL, "taskId": "tsk_1"}, "taskId"),
    ],
)
async def test_what_is_no_webhook_is_refused(alice: Account, body: dict[str, Any], field: str) -> None:
    answer = await alice.post(PATH, body)
    assert answer.status_code == 400, answer.text
    assert error_of(answer)["details"][0]["path"] == field
    assert OWN_SECRET.removeprefix("whsec_") not in answer.text
    assert (await alice.get(PATH)).json()["data"] == []


async def test_an_account_has_at_most_20_webhooks_also_when_they_are_created_at_once(alice: Account) -> None:
    answers = await asyncio.gather(*[alice.post(PATH, {"url": URL}) for _ in range(25)])
    assert sorted(answer.status_code for answer in answers) == [201] * 20 + [409] * 5
    first = (await alice.get(PATH)).json()["data"][0]["id"]
    await alice.send("DELETE", f"{PATH}/{first}")
    await created(alice)


async def test_secrets_are_stored_encrypted_and_shown_once(bed: Bed, alice: Account) -> None:
    webhook = await created(alice, secret=OWN_SECRET)
    assert webhook["secret"] == OWN_SECRET
    row = await bed.pool.fetchrow("SELECT * FROM webhook_endpoints WHERE id = $1", webhook["id"])
    assert row is not None
    assert b"s" * 8 not in row["secret"]
    assert OWN_SECRET[6:30].encode() not in row["secret"]
    for path in (PATH, f"{PATH}/{webhook['id']}"):
        assert "whsec_" not in (await alice.get(path)).text


async def test_a_test_event_is_signed_during_a_rotation_with_both_secrets(alice: Account) -> None:
    async with receiver(answering(202, "queued\0\x1b[2J")) as hooks:
        webhook = await created(alice, url=hooks.url)
        path = f"{PATH}/{webhook['id']}"
        tested = (await alice.post(f"{path}/test")).json()
        assert (tested["isDelivered"], tested["status"], tested["error"]) == (True, 202, None)
        assert tested["answer"] == "queued  [2J"
        rotated = (await alice.post(f"{path}/rotate-secret", {"overlapSeconds": 60})).json()
        until = datetime.fromisoformat(rotated["previousSecretUntil"])
        assert timedelta(seconds=30) < until - datetime.now(UTC) < timedelta(seconds=90)
        await alice.post(f"{path}/test")
        replaced = (await alice.post(f"{path}/rotate-secret", {"overlapSeconds": 0})).json()
        assert replaced["previousSecretUntil"] is None
        await alice.post(f"{path}/test")
    first, second, third = hooks.received
    assert first.content["type"] == "webhook.test"
    assert first.content["data"] == {"webhookId": webhook["id"]}
    assert first.headers["user-agent"] == "AgentContainer/1.0 webhooks"
    assert first.headers["content-type"] == "application/json"
    assert first.id == tested["eventId"]
    for received, secrets in (
        (first, [webhook["secret"]]),
        (second, [webhook["secret"], rotated["secret"]]),
        (third, [replaced["secret"]]),
    ):
        assert len(received.headers["webhook-signature"].split()) == len(secrets)
        for secret in secrets:
            assert Webhook(secret).verify(received.body, received.headers) == received.content
    assert (await alice.get("/api/v1/events?limit=1")).json()["data"] == []


async def test_a_test_says_what_is_wrong(bed: Bed, alice: Account) -> None:
    async with receiver(answering(302, Location="http://127.0.0.1:1/")) as hooks:
        webhook = await created(alice, url=hooks.url)
        path = f"{PATH}/{webhook['id']}/test"
        assert (await alice.post(path)).json()["error"] == "It answered 302; redirects are not followed."
        assert len(hooks.received) == 1
        hooks.answer = answering(500, "x" * 100_000)
        failed = (await alice.post(path)).json()
        assert (failed["isDelivered"], failed["error"], failed["answer"]) == (
            False,
            "It answered 500.",
            "x" * 4096,
        )
    closed = (await alice.post(path)).json()
    assert (closed["isDelivered"], closed["status"], closed["error"]) == (
        False,
        None,
        "It cannot be reached.",
    )
    # A URL that was allowed when it was stored.
    await bed.pool.execute(
        "UPDATE webhook_endpoints SET url = 'http://10.0.0.1/' WHERE id = $1", webhook["id"]
    )
    refused = (await alice.post(path)).json()
    assert refused["error"].startswith("The URL must be on the public internet")
    answers = [await alice.post(path) for _ in range(7)]
    assert [answer.status_code for answer in answers] == [200] * 6 + [429]


async def test_a_certificate_that_is_not_trusted_is_refused(alice: Account, tmp_path: Path) -> None:
    _, context = certificates.make(tmp_path)
    async with receiver(tls=context) as hooks:
        webhook = await created(alice, url=hooks.url)
        tested = (await alice.post(f"{PATH}/{webhook['id']}/test")).json()
    assert (tested["isDelivered"], tested["status"], hooks.received) == (False, None, [])
    assert "its certificate is not trusted here" in tested["error"]


async def test_a_host_whose_address_is_private_is_not_connected_to(alice: Account) -> None:
    webhook = await created(alice, url="https://localhost.localdomain:1/")
    tested = (await alice.post(f"{PATH}/{webhook['id']}/test")).json()
    assert tested["error"] in (
        "It cannot be reached: its host is not on the public internet.",
        "It cannot be reached.",  # the name has no address here
    )


async def test_a_repeat_with_an_idempotency_key_creates_nothing_more(alice: Account) -> None:
    headers = {"Idempotency-Key": "hook"}
    answers = [await alice.post(PATH, {"url": URL}, headers=headers) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert len((await alice.get(PATH)).json()["data"]) == 1


async def test_the_secret_of_callbacks_is_made_once_and_rotated(alice: Account, bob: Account) -> None:
    path = "/api/v1/account/callback-secret"
    answers = await asyncio.gather(*[alice.get(path) for _ in range(3)])
    [secret] = {answer.json()["secret"] for answer in answers}
    assert secret.startswith("whsec_")
    assert (await bob.get(path)).json()["secret"] != secret
    rotated = (await alice.post(path, {"overlapSeconds": 3600})).json()
    assert rotated["secret"] != secret
    assert rotated["previousSecretUntil"]
    assert (await alice.get(path)).json() == rotated
    assert (await alice.post(path, {"secret": OWN_SECRET})).json()["secret"] == OWN_SECRET
    assert error_of(await alice.post(path, {"overlapSeconds": -1}))["code"] == "validation_error"
