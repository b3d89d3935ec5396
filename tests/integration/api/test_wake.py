"""Waking: by the client, by its deadline, by a link. Each once, and never by somebody who only looks."""

import asyncio
import html
import logging
import re
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from agentcontainer.api.app import create_app
from agentcontainer.domain.hibernation import links
from agentcontainer.domain.hibernation.service import wake_due
from agentcontainer.domain.tasks import checkpoints, store
from agentcontainer.domain.tasks.state import EndReason
from agentcontainer.ids import new_id

from .conftest import Account, Bed, error_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

V1 = "/api/v1"
MIB = 1024 * 1024
JSON = {"Accept": "application/json"}
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
EXTERNAL = {"kind": "external_wake"}


def wake(task_id: str) -> str:
    return f"{V1}/tasks/{task_id}/wake"


async def status(account: Account, task_id: str) -> str:
    return (await account.get(f"{V1}/tasks/{task_id}")).json()["status"]


async def events_of(account: Account, task_id: str, type_: str) -> list[dict[str, Any]]:
    answer = await account.get(f"{V1}/tasks/{task_id}/events", params={"limit": 100})
    return [event["data"] for event in answer.json()["data"] if event["type"] == type_]


async def said(account: Account, task_id: str) -> list[str]:
    answer = await account.get(f"{V1}/tasks/{task_id}/messages")
    return [message["content"] for message in answer.json()["data"]]


async def linked(account: Account, **options: Any) -> tuple[str, str]:
    """A hibernating task's id, and the path of its wake link."""
    task_id = (await account.dispatch())["id"]
    [token] = await account.hibernate(task_id, link_count=1, **options)
    return task_id, f"/wake/{token}"


class TestWake:
    @pytest.mark.parametrize(
        ("body", "path"),
        [
            ({}, "kind"), ({"kind": None}, "kind"), ({"kind": "deadline"}, "kind"), ({"kind": "link"}, "kind"),
            ({"kind": "Message", "message": "x"}, "kind"), ({"message": "x"}, "kind"), ({"kind": ["message"]}, "kind"),
            ({"kind": "message"}, "message"), ({"kind": "message", "message": None}, "message"),
            ({"kind": "message", "message": ""}, "message"), ({"kind": "message", "message": " \n"}, "message"),
            ({"kind": "message", "message": 1}, "message"), ({"kind": "message", "message": "a\0b"}, "message"),
            ({"kind": "message", "message": "x" * (MIB // 2 + 1)}, "message"),
            ({"kind": "message", "message": "é" * (MIB // 4 + 1)}, "message"),
            ({"kind": "message", "content": "x"}, "message"),
            ({"kind": "external_wake", "message": "x"}, "message"),
            ({"kind": "external_wake", "message": ""}, "message"),
            ({"kind": "external_wake", "inputFileIds": []}, "inputFileIds"),
            ({"kind": "external_wake", "overrides": {"model": "gpt-5"}}, "overrides.model"),
            ({"kind": "external_wake", "overrides": {"provider": "openai"}}, "overrides.model"),
            ({"kind": "external_wake", "overrides": {"egress": {"allow": ["pypi.org"]}}}, "overrides.egress"),
            ({"kind": "external_wake", "overrides": {"softFinishAfterSeconds": 3600}},
             "overrides.softFinishAfterSeconds"),
            ({"kind": "external_wake", "overrides": {"providerApiKey": "x"}}, "overrides.providerApiKey"),
            ({"kind": "external_wake", "overrides": {"modle": "x"}}, "overrides.modle"),
            ({"kind": "external_wake", "overrides": {"outputPolicy": {"mode": "named", "files": [
                {"name": "a", "jsonSchema": {"type": "no-such-type"}}]}}}, "overrides.outputPolicy.files.0.jsonSchema"),
        ],
        ids=lambda value: ascii(value)[:60],
    )  # fmt: skip
    async def test_bad_bodies(self, bed: Bed, alice: Account, body: dict[str, Any], path: str) -> None:
        task_id = await alice.hibernating()
        rows = await bed.rows()
        answer = await alice.post(wake(task_id), body)
        assert answer.status_code == 400, answer.text
        assert error_of(answer)["details"][0]["path"] == path
        assert await bed.rows() == rows
        assert await status(alice, task_id) == "hibernating"

    async def test_the_largest_message_fits_and_a_larger_body_is_413(self, alice: Account) -> None:
        largest = "\x01" * (MIB // 2)
        task_id, other_id = await alice.hibernating(), await alice.hibernating()
        answer = await alice.post(wake(task_id), {"kind": "message", "message": largest})
        assert answer.status_code == 200, answer.text
        assert await said(alice, task_id) == [largest]
        answer = await alice.post(wake(other_id), {"kind": "message", "message": "x" * 8 * MIB})
        assert (answer.status_code, error_of(answer)["code"]) == (413, "payload_too_large")

    async def test_a_message_is_the_next_thing_the_agent_is_told(self, bed: Bed, alice: Account) -> None:
        task_id = await alice.hibernating()
        answer = await alice.post(wake(task_id), {"kind": "message", "message": "The review is done."})
        assert answer.status_code == 200, answer.text
        assert (answer.json()["status"], answer.json()["hibernateUntilAt"]) == ("pending", None)
        assert await said(alice, task_id) == ["The review is done."]
        assert await events_of(alice, task_id, "task.woken") == [{"status": "pending", "kind": "message"}]
        task = await store.get(bed.pool, task_id)
        assert task is not None
        assert task.wake_kind == "message"
        assert task.checkpoint_id is not None  # what it goes on from

    async def test_an_external_wake_says_nothing(self, alice: Account) -> None:
        task_id = await alice.hibernating()
        answer = await alice.post(wake(task_id), EXTERNAL | {"message": None, "overrides": None})
        assert (answer.status_code, answer.json()["status"]) == (200, "pending")
        assert await said(alice, task_id) == []
        assert await events_of(alice, task_id, "task.woken") == [
            {"status": "pending", "kind": "external_wake"}
        ]

    async def test_overrides_lie_over_those_it_has_and_show_no_key(self, bed: Bed, alice: Account) -> None:
        before = {"maxRuntimeSeconds": 600, "model": "claude-opus-4-5"}
        task_id = (await alice.dispatch(overrides=before))["id"]
        await alice.hibernate(task_id)
        given = {"provider": "openai", "model": "gpt-5", "providerApiKey": "sk-of-the-second-half"}
        answer = await alice.post(wake(task_id), EXTERNAL | {"overrides": given})
        assert answer.status_code == 200, answer.text
        task = answer.json()
        assert task["overrides"] == {"maxRuntimeSeconds": 600, "provider": "openai", "model": "gpt-5"}
        assert task["execution"] == {"provider": "openai", "model": "gpt-5", "weakModel": None}
        assert "sk-of-the-second-half" not in answer.text
        sealed = await store.provider_key_ciphertext(bed.pool, task_id)
        assert sealed is not None
        assert bed.vault.open(sealed, task_id) == "sk-of-the-second-half"

    async def test_what_a_key_was_for_stays_with_it_when_none_is_sent(self, bed: Bed, alice: Account) -> None:
        task_id = (await alice.dispatch(overrides={"providerApiKey": "sk-of-the-dispatch"}))["id"]
        await alice.hibernate(task_id)
        answer = await alice.post(wake(task_id), EXTERNAL | {"overrides": {"maxRuntimeSeconds": 60}})
        assert answer.status_code == 200, answer.text
        sealed = await store.provider_key_ciphertext(bed.pool, task_id)
        assert sealed is not None
        assert bed.vault.open(sealed, task_id) == "sk-of-the-dispatch"

    async def test_a_task_that_does_not_hibernate(self, bed: Bed, alice: Account) -> None:
        async def pending() -> str:
            return (await alice.dispatch())["id"]

        async def running() -> str:
            await alice.claim(task_id := await pending())
            return task_id

        async def finished() -> str:
            await alice.finish(task_id := await pending())
            return task_id

        async def failed() -> str:
            await alice.finish(task_id := await pending(), reason=EndReason.AGENT_CRASHED)
            return task_id

        async def cancelled_in_its_sleep() -> str:
            task_id = await alice.hibernating()
            assert (await alice.post(f"{V1}/tasks/{task_id}/cancel")).status_code == 200
            return task_id

        async def woken() -> str:
            task_id = await alice.hibernating()
            assert (await alice.post(wake(task_id), EXTERNAL)).status_code == 200
            return task_id

        made: list[Callable[[], Coroutine[Any, Any, str]]] = [
            pending, running, finished, failed, cancelled_in_its_sleep, woken, alice.awaiting_input,
        ]  # fmt: skip
        for make in made:
            task_id = await make()
            before = (await alice.get(f"{V1}/tasks/{task_id}/events")).json()
            rows = await bed.rows()
            for body in (EXTERNAL, {"kind": "message", "message": "x"}):
                answer = await alice.post(wake(task_id), body)
                assert (answer.status_code, error_of(answer)["code"]) == (409, "conflict"), make.__name__
                assert task_id in error_of(answer)["message"]
            assert await bed.rows() == rows
            assert (await alice.get(f"{V1}/tasks/{task_id}/events")).json() == before

    async def test_ten_at_once_wake_it_once(self, alice: Account) -> None:
        task_id, path = await linked(alice)
        contents = [f"message {number}" for number in range(5)]
        answers = await asyncio.gather(
            *(alice.post(wake(task_id), {"kind": "message", "message": content}) for content in contents),
            *(alice.post(wake(task_id), EXTERNAL) for _ in range(4)),
            alice.bed.http.post(path, json={"message": "by link"}),
        )
        assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9
        [winner] = [number for number, answer in enumerate(answers) if answer.status_code == 200]
        told = [*([content] for content in contents), [], [], [], [], ["by link"]]
        assert await said(alice, task_id) == told[winner]
        assert len(await events_of(alice, task_id, "task.woken")) == 1

    async def test_a_repeat_with_the_same_key_gets_the_same_answer(self, alice: Account) -> None:
        task_id, headers = await alice.hibernating(), {"Idempotency-Key": "k"}
        body = {"kind": "message", "message": "Go on."}
        answers = await asyncio.gather(*(alice.post(wake(task_id), body, headers=headers) for _ in range(5)))
        assert [answer.status_code for answer in answers] == [200] * 5
        assert len({answer.text for answer in answers}) == 1
        assert await said(alice, task_id) == ["Go on."]
        other = await alice.post(wake(task_id), EXTERNAL, headers=headers)
        assert (other.status_code, error_of(other)["code"]) == (409, "conflict")

    async def test_a_wake_that_was_refused_can_be_tried_again_with_its_key(self, alice: Account) -> None:
        task_id, headers = (await alice.dispatch())["id"], {"Idempotency-Key": "again"}
        assert (await alice.post(wake(task_id), EXTERNAL, headers=headers)).status_code == 409
        await alice.hibernate(task_id)
        assert (await alice.post(wake(task_id), EXTERNAL, headers=headers)).status_code == 200

    async def test_it_may_sleep_and_wake_again(self, alice: Account) -> None:
        task_id = await alice.hibernating()
        for _ in range(3):
            assert (await alice.post(wake(task_id), EXTERNAL)).status_code == 200
            await alice.hibernate(task_id)
        kinds = [data["kind"] for data in await events_of(alice, task_id, "task.woken")]
        assert kinds == ["external_wake"] * 3

    async def test_a_message_that_its_agent_has_not_got_wakes_it_at_once(self, alice: Account) -> None:
        task_id = (await alice.dispatch())["id"]
        sent = await alice.post(f"{V1}/tasks/{task_id}/messages", {"content": "And be quick."})
        assert sent.status_code == 201
        await alice.hibernate(task_id)
        assert await status(alice, task_id) == "pending"
        assert len(await events_of(alice, task_id, "task.hibernated")) == 1
        assert await events_of(alice, task_id, "task.woken") == [{"status": "pending", "kind": "message"}]
        assert await said(alice, task_id) == ["And be quick."]

    async def test_sleep_is_not_billed(self, bed: Bed, alice: Account) -> None:
        task_id = await alice.hibernating()
        before = (await alice.get(f"{V1}/tasks/{task_id}")).json()
        await bed.pool.execute(
            "UPDATE tasks SET updated_at = updated_at - interval '3 days', created_at = created_at - interval '3 days'"
            " WHERE id = $1",
            task_id,
        )
        after = (await alice.get(f"{V1}/tasks/{task_id}")).json()
        assert (after["costUsd"], after["containerMinutes"]) == (
            before["costUsd"],
            before["containerMinutes"],
        )


class TestDeadline:
    async def test_it_wakes_what_is_due_and_nothing_else(self, bed: Bed, alice: Account) -> None:
        now = datetime.now(UTC)
        due = await alice.hibernating(until=now - timedelta(seconds=1))
        later = await alice.hibernating(until=now + timedelta(minutes=5))
        assert sum(await asyncio.gather(*(wake_due(bed.pool) for _ in range(5)))) == 1
        assert (await status(alice, due), await status(alice, later)) == ("pending", "hibernating")
        assert await events_of(alice, due, "task.woken") == [{"status": "pending", "kind": "deadline"}]

    async def test_either_the_deadline_wakes_it_or_the_client(self, bed: Bed, alice: Account) -> None:
        task_id = await alice.hibernating(until=datetime.now(UTC) - timedelta(seconds=1))
        answer, woken = await asyncio.gather(alice.post(wake(task_id), EXTERNAL), wake_due(bed.pool))
        assert (answer.status_code, woken) in ((200, 0), (409, 1))
        assert len(await events_of(alice, task_id, "task.woken")) == 1


class TestPage:
    async def test_it_says_what_it_would_wake(self, alice: Account) -> None:
        task_id = (await alice.dispatch(title="Sales, first quarter"))["id"]
        until = datetime(2031, 4, 14, 15, 0, tzinfo=UTC)
        [token] = await alice.hibernate(task_id, "Waiting for\nthe review.", until, link_count=1)
        answer = await alice.bed.http.get(f"/wake/{token}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        for words in (
            "Sales, first quarter", "Waiting for\nthe review.", "14 April 2031, 15:00 UTC",
            'datetime="2031-04-14T15:00:00.000Z"', '<html lang="en">', '<label for="message">', '<form method="post">',
        ):  # fmt: skip
            assert words in answer.text
        assert answer.text.count("<button") == 1

    async def test_what_an_agent_wrote_is_only_text(self, alice: Account) -> None:
        hostile = "</blockquote><script>alert(1)</script><img src=x onerror=alert(1)>\"'&amp;"
        task_id = (await alice.dispatch(title="<b onclick=x>'\"&"))["id"]
        [token] = await alice.hibernate(task_id, hostile, link_count=1)
        page = (await alice.bed.http.get(f"/wake/{token}")).text
        assert html.escape(hostile) in page
        assert html.escape("<b onclick=x>'\"&") in page
        assert set(re.findall(r"<(\w+)", page)) == {
            "html", "head", "meta", "title", "style", "body", "main", "h1", "p", "strong", "bdi", "blockquote", "time",
            "form", "label", "textarea", "button",
        }  # fmt: skip

    async def test_it_loads_nothing_and_runs_nothing(self, alice: Account) -> None:
        _, path = await linked(alice)
        for path_, code in ((path, 200), ("/wake/none", 404)):
            answer = await alice.bed.http.get(path_, headers=BROWSER)
            assert answer.status_code == code
            policy = dict(
                part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; ")
            )
            assert policy.pop("style-src").startswith("'sha256-")
            assert policy == {
                "default-src": "'none'",
                "form-action": "'self'",
                "base-uri": "'none'",
                "frame-ancestors": "'none'",
            }
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert "noindex" in answer.headers["x-robots-tag"]
            assert answer.headers["cache-control"] == "no-store"
            assert "set-cookie" not in answer.headers
            for part in (
                "src=",
                "href=",
                "url(",
                "@import",
                "<script",
                "http://",
                "https://",
                " on",
                "style=",
            ):
                assert part not in re.sub(r"<p>.*?</p>|<h1>.*?</h1>|<title>.*?</title>", "", answer.text)

    async def test_looking_wakes_nothing(self, bed: Bed, alice: Account) -> None:
        task_id, path = await linked(alice)
        rows = await bed.rows()
        before = (await alice.get(f"{V1}/tasks/{task_id}")).json()
        for method in ("GET", "GET", "HEAD", "OPTIONS", "PUT"):
            await bed.http.request(method, path)
        assert (await alice.get(f"{V1}/tasks/{task_id}")).json() == before
        assert await bed.rows() == rows
        assert (await bed.http.post(path)).status_code == 200


class TestLink:
    async def test_the_form_wakes_with_a_message(self, bed: Bed, alice: Account) -> None:
        task_id, path = await linked(alice)
        answer = await bed.http.post(
            path, data={"message": "Ja, größer & <b>fett</b>\r\nzweite"}, headers=BROWSER
        )
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "awake" in answer.text
        assert await said(alice, task_id) == ["Ja, größer & <b>fett</b>\nzweite"]
        assert await events_of(alice, task_id, "task.woken") == [{"status": "pending", "kind": "link"}]
        assert await status(alice, task_id) == "pending"

    @pytest.mark.parametrize(
        "options",
        [
            {"data": {"message": ""}},
            {"data": {"message": " \r\n"}},
            {"headers": {"Content-Type": "application/x-www-form-urlencoded"}},
            {},
            {"json": {}},
            {"json": {"message": None}},
            {"headers": {"Content-Type": "application/json"}},
        ],
        ids=str,
    )
    async def test_a_message_is_optional(self, bed: Bed, alice: Account, options: dict[str, Any]) -> None:
        task_id, path = await linked(alice)
        assert (await bed.http.post(path, **options)).status_code == 200
        assert (await status(alice, task_id), await said(alice, task_id)) == ("pending", [])

    @pytest.mark.parametrize(
        "options", [{"json": {"message": "Go."}}, {"data": {"message": "Go."}, "headers": JSON}], ids=str
    )
    async def test_programs_get_json(self, bed: Bed, alice: Account, options: dict[str, Any]) -> None:
        task_id, path = await linked(alice)
        answer = await bed.http.post(path, **options)
        assert (answer.status_code, answer.json()) == (200, {"status": "woken"})
        assert await said(alice, task_id) == ["Go."]
        again = await bed.http.post(path, **options)
        assert (again.status_code, error_of(again)["code"]) == (409, "conflict")
        assert "used already" in error_of(again)["message"]

    async def test_it_works_once_whoever_comes_at_the_same_time(self, bed: Bed, alice: Account) -> None:
        task_id, path = await linked(alice)
        answers = await asyncio.gather(*(bed.http.post(path, data={"message": str(n)}) for n in range(10)))
        assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9
        assert len(await said(alice, task_id)) == 1
        assert (await bed.http.get(path)).status_code == 409

    async def refused(self, bed: Bed, path: str, code: int, words: str) -> None:
        """Looking and waking, for people and for programs."""
        for method in ("GET", "POST"):
            answer = await bed.http.request(method, path, headers=JSON)
            assert answer.status_code == code, answer.text
            assert words in error_of(answer)["message"]
            page = await bed.http.request(method, path, headers=BROWSER)
            assert (page.status_code, page.headers["content-type"]) == (code, "text/html; charset=utf-8")
            assert words in page.text
            assert "<form" not in page.text
            for shown in (answer, page):
                assert path.rpartition("/")[2] not in shown.text + str(shown.headers)

    async def test_it_is_too_old(self, bed: Bed, alice: Account) -> None:
        task_id, path = await linked(alice)
        await bed.pool.execute(
            "UPDATE wake_links SET expires_at = now() - interval '1 second' WHERE task_id = $1", task_id
        )
        await self.refused(bed, path, 409, "too old")
        assert await status(alice, task_id) == "hibernating"

    async def test_it_is_for_one_hibernation(self, bed: Bed, alice: Account) -> None:
        task_id, path = await linked(alice)
        assert (await alice.post(wake(task_id), EXTERNAL)).status_code == 200
        await self.refused(bed, path, 409, "out of date")
        [token] = await alice.hibernate(task_id, link_count=1)
        await self.refused(bed, path, 409, "out of date")
        assert await status(alice, task_id) == "hibernating"
        assert (await bed.http.post(f"/wake/{token}")).status_code == 200

    async def test_its_task_has_ended(self, bed: Bed, alice: Account) -> None:
        task_id, path = await linked(alice)
        await alice.post(f"{V1}/tasks/{task_id}/cancel")
        await self.refused(bed, path, 409, "out of date")
        assert await status(alice, task_id) == "cancelled"

    async def test_its_task_does_not_hibernate_yet(self, bed: Bed, alice: Account) -> None:
        task_id = (await alice.dispatch())["id"]
        token = await links.create(bed.pool, bed.vault, await alice.claim(task_id))
        await self.refused(bed, f"/wake/{token}", 409, "not hibernate yet")
        assert await status(alice, task_id) == "running"

    async def test_several_of_one_hibernation(self, bed: Bed, alice: Account) -> None:
        task_id = (await alice.dispatch())["id"]
        tokens = await alice.hibernate(task_id, link_count=3)
        assert len(set(tokens)) == 3
        assert (await bed.http.post(f"/wake/{tokens[1]}")).status_code == 200
        for token in (tokens[0], tokens[2]):
            await self.refused(bed, f"/wake/{token}", 409, "out of date")

    async def test_who_guesses_finds_nothing(self, bed: Bed, alice: Account) -> None:
        task_id, path = await linked(alice)
        token = path.rpartition("/")[2]
        link_id, _, signature = token.partition("-")
        other = (await linked(alice))[1].rpartition("/")[2]
        ghost = new_id("wkl")
        for guess in (
            link_id, f"{link_id}-", f"{link_id}-{'0' * len(signature)}", f"{link_id}-{signature[:-1]}", token.upper(),
            f"{other.partition('-')[0]}-{signature}", f"{link_id}-{bed.vault.sign('upload', link_id)}",
            f"{ghost}-{bed.vault.sign('wake', ghost)}", task_id, f"{task_id}-{bed.vault.sign('wake', task_id)}",
            "x" * 129, "%00", "a%20b", "é", "a.b", "'%20OR%201=1--",
        ):  # fmt: skip
            for method in ("GET", "POST"):
                answer = await bed.http.request(method, f"/wake/{guess}", headers=JSON)
                assert (answer.status_code, error_of(answer)["code"]) == (404, "not_found"), guess
        await self.refused(bed, f"/wake/{link_id}-{'0' * len(signature)}", 404, "no such")
        assert await status(alice, task_id) == "hibernating"

    @pytest.mark.parametrize(
        ("options", "path"),
        [
            ({"data": {"messsage": "x"}}, "messsage"),
            ({"data": {"message": "x" * (MIB // 2 + 1)}}, "message"),
            ({"data": {"message": "a\0b"}}, "message"),
            ({"data": {"message": ["a", "b"]}}, "message"),
            ({"data": {"kind": "external_wake"}}, "kind"),
            ({"content": b"message=%FF", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}, "body"),
            ({"content": b"message=\xff", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}, "body"),
            ({"content": b"a&" * 100_000, "headers": {"Content-Type": "application/x-www-form-urlencoded"}}, "body"),
            ({"json": {"message": ""}}, "message"),
            ({"json": {"message": 1}}, "message"),
            ({"json": {"message": "x", "overrides": {}}}, "overrides"),
            ({"json": []}, "body"),
            ({"content": b"{", "headers": {"Content-Type": "application/json"}}, "body"),
            ({"params": {"message": "x"}}, "message"),
        ],
        ids=lambda value: ascii(value)[:60],
    )  # fmt: skip
    async def test_bad_bodies(self, bed: Bed, alice: Account, options: dict[str, Any], path: str) -> None:
        task_id, link = await linked(alice)
        rows = await bed.rows()
        headers = options.get("headers", {})
        answer = await bed.http.post(link, **options | {"headers": headers | JSON})
        assert answer.status_code == 400, answer.text
        assert error_of(answer)["details"][0]["path"] == path
        if "json" not in options and "json" not in str(headers):
            page = await bed.http.post(link, **options | {"headers": headers | BROWSER})
            assert page.status_code == 400
            assert path in page.text
        assert await bed.rows() == rows
        assert await status(alice, task_id) == "hibernating"

    async def test_other_bodies(self, bed: Bed, alice: Account) -> None:
        task_id, link = await linked(alice)
        for options, code in (
            ({"content": b"x", "headers": {"Content-Type": "text/plain"}}, 415),
            ({"files": {"message": b"x"}}, 415),
            ({"data": {"message": "x" * 5 * MIB}}, 413),
            ({"json": {"message": "x" * 5 * MIB}}, 413),
        ):
            headers = options.pop("headers", {})
            answer = await bed.http.post(link, headers=headers | BROWSER, **options)
            assert answer.status_code == code
        assert await status(alice, task_id) == "hibernating"
        largest = "ö" * (MIB // 4)
        assert (await bed.http.post(link, data={"message": largest})).status_code == 200
        assert await said(alice, task_id) == [largest]

    async def test_its_token_is_in_no_log(
        self, bed: Bed, alice: Account, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        _, path = await linked(alice)
        token = path.rpartition("/")[2]
        forged = token[:-4] + "0000"
        for method, path_ in (
            ("GET", path), ("HEAD", path), ("GET", f"{path}?x=1"), ("GET", f"{path}/"), ("GET", f"{path}/x"),
            ("GET", f"/wake/{forged}"), ("POST", f"/wake/{forged}"), ("POST", path), ("POST", path), ("PUT", path),
            ("GET", f"/wake/{token}.x"), ("GET", f"{V1}/tasks/{token}"), ("POST", f"{V1}/tasks/{token}/wake"),
        ):  # fmt: skip
            await bed.http.request(method, path_)
        lines = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
        assert len([line for line in lines if line.name == "agentcontainer.api.access"]) >= 13
        assert any(" GET /wake/{token} 200 " in line.getMessage() for line in lines)
        for record in lines:
            whole = f"{record.getMessage()} {record.exc_text}"
            for part in (token, token.partition("-")[0], token.partition("-")[2], forged):
                assert part not in whole

    async def test_a_fault_of_ours_shows_nothing(self, bed: Bed, alice: Account) -> None:
        _, path = await linked(alice)
        await bed.pool.execute("ALTER TABLE wake_links RENAME TO hidden")
        try:
            answers = [await bed.http.get(path, headers=headers) for headers in (BROWSER, JSON)]
        finally:
            await bed.pool.execute("ALTER TABLE hidden RENAME TO wake_links")
        assert [answer.status_code for answer in answers] == [500, 500]
        assert not any(
            word in answer.text for answer in answers for word in ("wake_links", "Trace", "asyncpg")
        )

    async def test_a_task_has_so_many(self, bed: Bed, alice: Account) -> None:
        task_id = (await alice.dispatch())["id"]
        tokens = await alice.hibernate(task_id, link_count=links.MAX_LINKS + 5)
        assert len(tokens) == links.MAX_LINKS


class TestCheckpointStorage:
    async def storage(self, account: Account) -> dict[str, Any]:
        return (await account.get(f"{V1}/account")).json()["checkpointStorage"]

    async def test_it_counts_what_live_tasks_start_from(self, bed: Bed, alice: Account, bob: Account) -> None:
        quota = {"quotaBytes": bed.settings.checkpoint_quota_bytes, "isEnforced": True}
        assert await self.storage(alice) == {"usedBytes": 0} | quota
        first = await alice.hibernating(size_bytes=1000)
        second = await alice.hibernating(size_bytes=200)
        await alice.checkpoint(second, 50_000)  # one that was never used
        assert await self.storage(alice) == {"usedBytes": 1200} | quota
        assert (await alice.post(wake(second), EXTERNAL)).status_code == 200
        await alice.hibernate(second, size_bytes=300)
        assert await self.storage(alice) == {"usedBytes": 1300} | quota
        await alice.post(f"{V1}/tasks/{first}/cancel")
        assert await self.storage(alice) == {"usedBytes": 300} | quota
        assert await self.storage(bob) == {"usedBytes": 0} | quota

    async def test_what_exceeds_the_quota_is_refused(self, bed: Bed, alice: Account, bob: Account) -> None:
        settings = bed.settings.model_copy(update={"checkpoint_quota_bytes": 1000})
        first = await alice.hibernating(size_bytes=400)
        await alice.hibernating(size_bytes=500)

        async def fault(task_id: str, size_bytes: int) -> str | None:
            return await checkpoints.quota_fault(bed.pool, settings, task_id, size_bytes)

        assert await fault(first, 500) is None  # in place of the one it has
        refused = await fault(first, 501)
        assert refused is not None
        assert "501 bytes" in refused
        assert "1000 bytes" in refused
        assert "500 are left" in refused
        new = (await alice.dispatch())["id"]
        assert (await fault(new, 100), await fault(new, 101) is None) == (None, False)
        assert await fault((await bob.dispatch())["id"], 1000) is None
        unlimited = bed.settings.model_copy(update={"checkpoint_quota_bytes": 0})
        assert await checkpoints.quota_fault(bed.pool, unlimited, first, 10**15) is None

    async def test_without_a_quota_it_says_so(self, bed: Bed, alice: Account) -> None:
        settings = bed.settings.model_copy(update={"checkpoint_quota_bytes": 0})
        transport = httpx.ASGITransport(app=create_app(settings, bed.pool, bed.vault, bed.blobs))
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as http:
            answer = await http.get(f"{V1}/account", headers={"Authorization": f"Bearer {alice.key}"})
        assert answer.json()["checkpointStorage"] == {"usedBytes": 0, "quotaBytes": 0, "isEnforced": False}
