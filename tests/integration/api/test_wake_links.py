"""Wake links: the page they show, and that each wakes its own task exactly once."""

import asyncio
import html
import logging
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from agentcontainer import db
from agentcontainer.domain.hibernation import service as hibernation
from agentcontainer.domain.hibernation import wake_links
from agentcontainer.domain.tasks.model import Hibernation
from agentcontainer.ids import new_id

from .conftest import Account, Bed, error_of
from .waking import BROWSER, EXTERNAL, JSON, MIB, V1, events_of, linked, message_contents, status, wake

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def task_of(account: Account, task_id: str) -> dict[str, Any]:
    return (await account.get(f"{V1}/tasks/{task_id}")).json()


def path_of(url: str) -> str:
    assert url.startswith("http://testserver/wake/wkl_")
    return url.removeprefix("http://testserver")


class TestLinksOfClients:
    async def test_a_task_tells_the_link_that_wakes_it_and_its_events_do_not(
        self, bed: Bed, alice: Account
    ) -> None:
        task_id = (await alice.dispatch())["id"]
        assert (await task_of(alice, task_id))["wakeUrl"] is None
        tokens = await alice.hibernate(task_id, link_count=2)
        task = await task_of(alice, task_id)
        assert task["wakeUrl"] in [f"http://testserver/wake/{token}" for token in tokens]
        listed = (await alice.get(f"{V1}/tasks", params={"status": "hibernating"})).json()["data"]
        assert [entry["wakeUrl"] for entry in listed if entry["id"] == task_id] == [task["wakeUrl"]]
        [hibernated] = await events_of(alice, task_id, "task.hibernated")
        assert hibernated["hasWakeLink"] is True
        for table, column in (("events", "task_id"), ("tasks", "id")):
            rows = await bed.pool.fetch(
                f"SELECT to_jsonb(t)::text FROM {table} t WHERE {column} = $1", task_id
            )
            stored = "".join(row[0] for row in rows)
            assert not [token for token in tokens if token.partition("-")[2] in stored]
        assert (await bed.http.post(path_of(task["wakeUrl"]), headers=JSON)).status_code == 200
        assert (await task_of(alice, task_id))["wakeUrl"] is None
        await alice.hibernate(task_id)
        assert (await task_of(alice, task_id))["wakeUrl"] is None, (
            "the other link was for the hibernation before"
        )
        assert [event["hasWakeLink"] for event in await events_of(alice, task_id, "task.hibernated")] == [
            True,
            False,
        ]

    async def test_a_link_that_has_expired_is_not_told(self, bed: Bed, alice: Account) -> None:
        task_id, _ = await linked(alice)
        await bed.pool.execute("UPDATE wake_links SET expires_at = now() WHERE task_id = $1", task_id)
        assert (await task_of(alice, task_id))["wakeUrl"] is None

    async def test_a_client_makes_a_link_for_the_hibernation_that_lasts(
        self, bed: Bed, alice: Account
    ) -> None:
        task_id = await alice.hibernating()
        answer = await alice.post(f"{V1}/tasks/{task_id}/wake-links")
        assert answer.status_code == 201, answer.text
        link = answer.json()
        assert set(link) == {"url", "expiresAt"}
        life = datetime.fromisoformat(link["expiresAt"]) - datetime.now(UTC)
        assert 29 < life.total_seconds() / 86400 <= 30
        assert (await task_of(alice, task_id))["wakeUrl"] == link["url"]
        assert (await bed.http.post(path_of(link["url"]), headers=JSON)).status_code == 200
        assert await status(alice, task_id) == "pending"

    async def test_a_client_makes_a_link_for_the_next_hibernation(self, bed: Bed, alice: Account) -> None:
        task_id = (await alice.dispatch())["id"]
        headers = {"Idempotency-Key": "once"}
        answers = [
            await alice.post(f"{V1}/tasks/{task_id}/wake-links", {}, headers=headers) for _ in range(2)
        ]
        [url] = {answer.json()["url"] for answer in answers}
        assert (await bed.http.post(path_of(url), headers=JSON)).status_code == 409
        await alice.hibernate(task_id)
        assert (await task_of(alice, task_id))["wakeUrl"] == url
        assert (await bed.http.post(path_of(url), headers=JSON)).status_code == 200

    async def test_tasks_that_cannot_be_woken_get_no_link(self, bed: Bed, alice: Account) -> None:
        ended, conversation = (await alice.dispatch())["id"], (await alice.converse())["task"]["id"]
        await alice.post(f"{V1}/tasks/{ended}/cancel")
        for task_id, words in ((ended, "is cancelled"), (conversation, "is a conversation")):
            refused = await alice.post(f"{V1}/tasks/{task_id}/wake-links")
            assert refused.status_code == 409
            assert words in error_of(refused)["message"]
        assert (await alice.post(f"{V1}/conversations/{conversation}/handoff")).status_code == 201
        for _ in range(wake_links.MAX_LINKS):
            assert (await alice.post(f"{V1}/tasks/{conversation}/wake-links")).status_code == 201
        refused = await alice.post(f"{V1}/tasks/{conversation}/wake-links")
        assert (refused.status_code, "100 wake links" in refused.text) == (409, True)

    async def test_a_hibernation_for_the_provider_uses_up_no_link(self, bed: Bed, alice: Account) -> None:
        task_id = (await alice.dispatch())["id"]
        url = (await alice.post(f"{V1}/tasks/{task_id}/wake-links")).json()["url"]
        claim = await alice.claim(task_id)
        until = datetime.now(UTC)
        async with db.transaction(bed.pool) as connection:
            asked = Hibernation("Overloaded.", until, None, "provider")
            assert await hibernation.begin(connection, bed.settings, claim, asked)
        assert (await task_of(alice, task_id))["wakeUrl"] is None
        assert (await bed.http.post(path_of(url), headers=JSON)).status_code == 409
        assert await hibernation.wake_due(bed.pool, bed.settings, task_id)
        await alice.hibernate(task_id)
        assert (await task_of(alice, task_id))["wakeUrl"] == url
        assert (await bed.http.post(path_of(url), headers=JSON)).status_code == 200


class TestPage:
    async def test_the_page_shows_the_task_it_would_wake(self, alice: Account) -> None:
        task_id = (await alice.dispatch(title="Sales, first quarter"))["id"]
        until = datetime(2031, 4, 14, 15, 0, tzinfo=UTC)
        [token] = await alice.hibernate(task_id, "Waiting for\nthe review.", until, link_count=1)
        answer = await alice.bed.http.get(f"/wake/{token}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        for text in (
            "Sales, first quarter", "Waiting for\nthe review.", "14 April 2031, 15:00 UTC",
            'datetime="2031-04-14T15:00:00.000Z"', '<html lang="en">', '<label for="message">', '<form method="post">',
        ):  # fmt: skip
            assert text in answer.text
        assert answer.text.count("<button") == 1

    async def test_text_of_an_agent_is_escaped(self, alice: Account) -> None:
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

    async def test_the_page_loads_no_resource_and_runs_no_script(self, alice: Account) -> None:
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

    async def test_opening_a_wake_link_wakes_nothing(self, bed: Bed, alice: Account) -> None:
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
        assert "was woken" in answer.text
        assert await message_contents(alice, task_id) == ["Ja, größer & <b>fett</b>\nzweite"]
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
        assert (await status(alice, task_id), await message_contents(alice, task_id)) == ("pending", [])

    @pytest.mark.parametrize(
        "options", [{"json": {"message": "Go."}}, {"data": {"message": "Go."}, "headers": JSON}], ids=str
    )
    async def test_a_program_gets_json(self, bed: Bed, alice: Account, options: dict[str, Any]) -> None:
        task_id, path = await linked(alice)
        answer = await bed.http.post(path, **options)
        assert (answer.status_code, answer.json()) == (200, {"status": "woken"})
        assert await message_contents(alice, task_id) == ["Go."]
        again = await bed.http.post(path, **options)
        assert (again.status_code, error_of(again)["code"]) == (409, "conflict")
        assert "used already" in error_of(again)["message"]

    async def test_concurrent_uses_of_a_link_wake_once(self, bed: Bed, alice: Account) -> None:
        task_id, path = await linked(alice)
        answers = await asyncio.gather(*(bed.http.post(path, data={"message": str(n)}) for n in range(10)))
        assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9
        assert len(await message_contents(alice, task_id)) == 1
        assert (await bed.http.get(path)).status_code == 409

    async def refused(self, bed: Bed, path: str, code: int, text: str) -> None:
        """GET and POST, by browsers and by programs, are all refused."""
        for method in ("GET", "POST"):
            answer = await bed.http.request(method, path, headers=JSON)
            assert answer.status_code == code, answer.text
            assert text in error_of(answer)["message"]
            page = await bed.http.request(method, path, headers=BROWSER)
            assert (page.status_code, page.headers["content-type"]) == (code, "text/html; charset=utf-8")
            assert text in page.text
            assert "<form" not in page.text
            for response in (answer, page):
                assert path.rpartition("/")[2] not in response.text + str(response.headers)

    async def test_an_expired_link_is_refused(self, bed: Bed, alice: Account) -> None:
        task_id, path = await linked(alice)
        await bed.pool.execute(
            "UPDATE wake_links SET expires_at = now() - interval '1 second' WHERE task_id = $1", task_id
        )
        await self.refused(bed, path, 409, "has expired")
        assert await status(alice, task_id) == "hibernating"

    async def test_a_link_is_for_one_hibernation_only(self, bed: Bed, alice: Account) -> None:
        task_id, path = await linked(alice)
        assert (await alice.post(wake(task_id), EXTERNAL)).status_code == 200
        await self.refused(bed, path, 409, "out of date")
        [token] = await alice.hibernate(task_id, link_count=1)
        await self.refused(bed, path, 409, "out of date")
        assert await status(alice, task_id) == "hibernating"
        assert (await bed.http.post(f"/wake/{token}")).status_code == 200

    async def test_a_link_of_an_ended_task_is_refused(self, bed: Bed, alice: Account) -> None:
        task_id, path = await linked(alice)
        await alice.post(f"{V1}/tasks/{task_id}/cancel")
        await self.refused(bed, path, 409, "out of date")
        assert await status(alice, task_id) == "cancelled"

    async def test_a_link_is_refused_until_its_task_hibernates(self, bed: Bed, alice: Account) -> None:
        task_id = (await alice.dispatch())["id"]
        token = await wake_links.create(bed.pool, bed.vault, await alice.claim(task_id))
        await self.refused(bed, f"/wake/{token}", 409, "not hibernate yet")
        assert await status(alice, task_id) == "running"

    async def test_one_of_several_links_invalidates_the_others(self, bed: Bed, alice: Account) -> None:
        task_id = (await alice.dispatch())["id"]
        tokens = await alice.hibernate(task_id, link_count=3)
        assert len(set(tokens)) == 3
        assert (await bed.http.post(f"/wake/{tokens[1]}")).status_code == 200
        for token in (tokens[0], tokens[2]):
            await self.refused(bed, f"/wake/{token}", 409, "out of date")

    async def test_a_guessed_token_is_not_found(self, bed: Bed, alice: Account) -> None:
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
    async def test_invalid_messages_are_refused(
        self, bed: Bed, alice: Account, options: dict[str, Any], path: str
    ) -> None:
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

    async def test_unsupported_and_oversized_bodies_are_refused(self, bed: Bed, alice: Account) -> None:
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
        assert await message_contents(alice, task_id) == [largest]

    async def test_the_token_of_a_link_is_never_logged(
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
        lines = [record for record in caplog.records if not record.name.startswith(("httpx2", "httpcore2"))]
        assert len([line for line in lines if line.name == "agentcontainer.api.access"]) >= 13
        assert any(" GET /wake/{token} 200 " in line.getMessage() for line in lines)
        for record in lines:
            logged = f"{record.getMessage()} {record.exc_text}"
            for part in (token, token.partition("-")[0], token.partition("-")[2], forged):
                assert part not in logged

    async def test_an_unexpected_error_shows_no_details(self, bed: Bed, alice: Account) -> None:
        _, path = await linked(alice)
        await bed.pool.execute("ALTER TABLE wake_links RENAME TO hidden")
        try:
            answers = [await bed.http.get(path, headers=headers) for headers in (BROWSER, JSON)]
        finally:
            await bed.pool.execute("ALTER TABLE hidden RENAME TO wake_links")
        assert [answer.status_code for answer in answers] == [500, 500]
        assert not any(
            text in answer.text for answer in answers for text in ("wake_links", "Trace", "asyncpg")
        )

    async def test_a_task_has_so_many(self, bed: Bed, alice: Account) -> None:
        task_id = (await alice.dispatch())["id"]
        tokens = await alice.hibernate(task_id, link_count=wake_links.MAX_LINKS + 5)
        assert len(tokens) == wake_links.MAX_LINKS
