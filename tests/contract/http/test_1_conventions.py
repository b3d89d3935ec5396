"""CONTRACT §1, a test a sentence: paths, ids, keys, errors, lists, idempotency, the document."""

import asyncio
import logging
import re
from typing import Any

import httpx
import pytest
import pytest_asyncio
import yaml

from agentcontainer.api.app import ROUTES, create_app
from agentcontainer.api.http import idempotency
from agentcontainer.api.http.openapi import is_authenticated
from tests.api_bed import AGENT, Account, Bed, error_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

V1 = "/api/v1"
DISPATCH = f"{V1}/agents/{AGENT}/tasks"
PUBLIC = {"/healthz", "/readyz", "/uploads/{uploadId}", "/wake/{token}", f"{V1}/openapi.yaml"}
JSON = {"Content-Type": "application/json"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def keys_of(value: Any) -> set[str]:
    if isinstance(value, list):
        return {key for item in value for key in keys_of(item)}
    if isinstance(value, dict):
        return set(value) | {key for item in value.values() for key in keys_of(item)}
    return set()


async def pages(account: Account, path: str, **query: Any) -> list[list[str]]:
    """The ids of each page, by following the cursors."""
    found: list[list[str]] = []
    while True:
        answer = await account.get(V1 + path, params=query)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        found.append([row["id"] for row in body["data"]])
        if not body["pageInfo"]["hasMore"]:
            assert body["pageInfo"]["nextCursor"] is None
            return found
        query["cursor"] = body["pageInfo"]["nextCursor"]


class TestShapes:
    async def test_the_base_path_is_api_v1(self) -> None:
        assert {route.path for route in ROUTES if not route.path.startswith(f"{V1}/")} == PUBLIC - {
            f"{V1}/openapi.yaml"
        }

    async def test_keys_are_camel_case_but_those_of_token_usage(self, alice: Account) -> None:
        task = await alice.dispatch()
        answers = [task, (await alice.get(f"{V1}/account")).json(), (await alice.get(f"{V1}/agents")).json()]
        odd = {key for key in keys_of(answers) if not re.fullmatch(r"[a-z][A-Za-z0-9]*", key)}
        assert odd == {"input_tokens", "output_tokens"}

    async def test_times_are_iso_8601_utc_with_milliseconds_and_z(self, alice: Account) -> None:
        task = await alice.dispatch()
        assert TIME.fullmatch(task["createdAt"])

    async def test_money_is_a_usd_number_on_the_wire(self, alice: Account) -> None:
        assert (await alice.get(f"{V1}/account")).json()["creditBalance"] == 10

    @pytest.mark.parametrize("prefix", ["acc", "key", "agt", "agv", "tsk", "evt", "upl", "file", "led"])
    async def test_ids_are_a_prefix_and_20_or_more_url_safe_characters(
        self, alice: Account, prefix: str
    ) -> None:
        found = await one_of_each(alice)
        assert re.fullmatch(prefix + r"_[A-Za-z0-9_-]{20,}", found[prefix])

    async def test_ids_sort_by_creation_time(self, alice: Account) -> None:
        made = [(await alice.dispatch())["id"] for _ in range(5)]
        assert made == sorted(made)

    async def test_standard_agents_keep_readable_ids(self, alice: Account) -> None:
        assert (await alice.get(f"{V1}/agents/agt_standard_coding")).status_code == 200


async def one_of_each(account: Account) -> dict[str, str]:
    """An id of everything that has one, by prefix."""
    agent = (await account.post(f"{V1}/agents", {"name": "Own"})).json()
    upload = (
        await account.post(f"{V1}/uploads/prepare", {"filename": "a", "contentType": "text/plain"})
    ).json()
    task = await account.dispatch()
    events = (await account.get(f"{V1}/tasks/{task['id']}/events")).json()["data"]
    ledger = (await account.get(f"{V1}/account/ledger")).json()["data"]
    return {
        "acc": (await account.get(f"{V1}/account")).json()["id"],
        "key": (await account.post(f"{V1}/api-keys", {"name": "k"})).json()["id"],
        "agt": agent["id"], "agv": agent["currentVersion"]["id"], "tsk": task["id"], "evt": events[0]["id"],
        "upl": upload["uploadId"], "file": await account.upload(), "led": ledger[0]["id"],
    }  # fmt: skip


class TestAuth:
    async def test_a_bearer_key_opens_the_account_and_begins_with_ac_live(self, alice: Account) -> None:
        assert alice.key.startswith("ac_live_")
        answer = await alice.get(f"{V1}/account")
        assert (answer.status_code, answer.json()["id"]) == (200, alice.id)

    async def test_keys_are_stored_hashed(self, api_bed: Bed, alice: Account) -> None:
        rows = await api_bed.pool.fetch("SELECT * FROM api_keys WHERE account_id = $1", alice.id)
        assert rows and alice.key not in str(rows) and alice.key.removeprefix("ac_live_") not in str(rows)

    async def test_keys_are_shown_once_named_and_revocable(self, api_bed: Bed, alice: Account) -> None:
        made = (await alice.post(f"{V1}/api-keys", {"name": "laptop"})).json()
        listed = (await alice.get(f"{V1}/api-keys")).json()["data"]
        assert "laptop" in {key["name"] for key in listed} and made["key"] not in str(listed)
        other = Account(api_bed, alice.id, made["key"])
        assert (await other.get(f"{V1}/account")).status_code == 200
        assert (await alice.send("DELETE", f"{V1}/api-keys/{made['id']}")).status_code == 204
        assert (await other.get(f"{V1}/account")).status_code == 401

    async def test_the_last_use_of_a_key_is_recorded(self, alice: Account) -> None:
        await alice.get(f"{V1}/account")
        [key] = (await alice.get(f"{V1}/api-keys")).json()["data"]
        assert TIME.fullmatch(key["lastUsedAt"])

    async def test_a_key_in_the_query_is_not_accepted_here(self, api_bed: Bed, alice: Account) -> None:
        assert (await api_bed.http.get(f"{V1}/account?apiKey={alice.key}")).status_code == 401

    async def test_event_streams_accept_it_and_it_is_never_written_to_a_log(
        self, api_bed: Bed, alice: Account, caplog: pytest.LogCaptureFixture
    ) -> None:
        task_id = (await alice.dispatch())["id"]
        await alice.post(f"{V1}/tasks/{task_id}/cancel")
        with caplog.at_level(logging.DEBUG):
            for key, status in ((alice.key, 200), ("ac_live_wrong", 401)):
                url = f"{V1}/tasks/{task_id}/events?stream=true&apiKey={key}"
                assert (await api_bed.http.get(url)).status_code == status
        logged = [
            record.getMessage() for record in caplog.records if record.name.startswith("agentcontainer")
        ]
        assert any(task_id in line for line in logged)
        assert not any(key in line for line in logged for key in (alice.key, "ac_live_wrong"))

    @pytest.mark.parametrize("path", [f"{V1}/openapi.yaml", "/healthz", "/readyz"])
    async def test_the_document_and_health_need_no_key(self, api_bed: Bed, path: str) -> None:
        assert (await api_bed.http.get(path)).status_code == 200

    async def test_all_else_needs_one_but_signed_upload_urls(self, api_bed: Bed) -> None:
        assert {route.path for route in ROUTES if not is_authenticated(route)} == PUBLIC
        for route in ROUTES:
            path = re.sub(r"\{\w+\}", "x", route.path)
            for method in route.methods or ():
                answer = await api_bed.http.request(method, path)
                assert (answer.status_code == 401) == is_authenticated(route), path

    async def test_anothers_resource_answers_exactly_as_one_that_does_not_exist(
        self, alice: Account, bob: Account
    ) -> None:
        task_id = (await bob.dispatch())["id"]
        nobodys = "tsk_" + "z" * (len(task_id) - 4)
        theirs, missing = await alice.get(f"{V1}/tasks/{task_id}"), await alice.get(f"{V1}/tasks/{nobodys}")
        assert theirs.status_code == missing.status_code == 404
        assert error_of(theirs)["message"].replace(task_id, nobodys) == error_of(missing)["message"]


class TestErrors:
    async def test_an_error_has_a_code_a_message_and_a_request_id(self, alice: Account) -> None:
        answer = await alice.get(f"{V1}/tasks/tsk_nowhere")
        assert set(error_of(answer)) == {"code", "message", "requestId"}

    async def test_validation_adds_details_with_path_and_message(self, alice: Account) -> None:
        answer = await alice.post(DISPATCH, {"instructions": ""})
        assert answer.status_code == 400
        assert error_of(answer)["details"] == [{"path": "instructions", "message": "must not be empty"}]

    @pytest.mark.parametrize(
        ("code", "status", "request_"),
        [
            ("validation_error", 400, ("POST", DISPATCH, {"json": {}})),
            ("unauthorized", 401, ("GET", f"{V1}/account", {"headers": {"Authorization": "Bearer ac_live_no"}})),
            ("forbidden", 403, ("POST", f"{V1}/agents/{AGENT}/archive", {})),
            ("not_found", 404, ("GET", f"{V1}/nowhere", {})),
            ("conflict", 409, ("DELETE", f"{V1}/api-keys/OWN", {})),
            ("payload_too_large", 413, ("POST", DISPATCH, {"content": b" " * 5_000_000, "headers": JSON})),
            ("unsupported_media_type", 415, ("POST", DISPATCH, {"content": b"{}", "headers": {"Content-Type": "a/b"}})),
        ],
        ids=lambda value: str(value) if isinstance(value, int | str) else "",
    )  # fmt: skip
    async def test_each_code_has_its_status(
        self, alice: Account, code: str, status: int, request_: tuple[str, str, dict[str, Any]]
    ) -> None:
        method, path, options = request_
        if path.endswith("OWN"):
            path = path.replace("OWN", (await alice.get(f"{V1}/api-keys")).json()["data"][0]["id"])
        answer = await alice.send(method, path, **options)
        assert (answer.status_code, error_of(answer)["code"]) == (status, code)

    async def test_too_many_requests_are_429_with_retry_after(
        self, limited: httpx.AsyncClient, alice: Account
    ) -> None:
        headers = {"Authorization": f"Bearer {alice.key}"}
        answers = [await limited.get(f"{V1}/account", headers=headers) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert error_of(answers[2])["code"] == "rate_limited"
        assert int(answers[2].headers["retry-after"]) > 0

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b'{"instructions": NaN}', b"[" * 9999]
    )
    async def test_a_malformed_body_never_gives_500(self, alice: Account, body: bytes) -> None:
        answer = await alice.send(
            "POST", DISPATCH, content=body, headers={"Content-Type": "application/json"}
        )
        assert (answer.status_code, error_of(answer)["code"]) == (400, "validation_error")

    @pytest.mark.parametrize(("field", "path"), [("titel", "titel"), ("overrides", "overrides.modle")])
    async def test_unknown_fields_are_refused_by_path(self, alice: Account, field: str, path: str) -> None:
        value = {"modle": "x"} if field == "overrides" else "x"
        answer = await alice.post(DISPATCH, {"instructions": "x", field: value})
        assert (answer.status_code, error_of(answer)["details"][0]["path"]) == (400, path)


@pytest_asyncio.fixture(loop_scope="session")
async def limited(api_bed: Bed) -> Any:
    """Two requests a minute."""
    settings = api_bed.settings.model_copy(update={"rate_limit_per_minute": 2})
    app = create_app(settings, api_bed.pool, api_bed.vault, api_bed.blobs)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver") as http:
        yield http


class TestLists:
    async def test_a_list_is_data_and_page_info(self, alice: Account) -> None:
        for path in ("/tasks", "/agents", "/files", "/api-keys", "/provider-keys", "/account/ledger"):
            body = (await alice.get(V1 + path)).json()
            assert set(body) == {"data", "pageInfo"}
            assert set(body["pageInfo"]) == {"hasMore", "nextCursor"}

    async def test_limit_is_20_unless_given(self, alice: Account) -> None:
        for _ in range(21):
            await alice.post(f"{V1}/api-keys", {"name": "x"})
        assert [len(page) for page in await pages(alice, "/api-keys")] == [20, 2]
        assert [len(page) for page in await pages(alice, "/api-keys", limit=100)] == [22]

    @pytest.mark.parametrize("limit", [0, 101, -1, "x"])
    async def test_limit_is_1_to_100(self, alice: Account, limit: Any) -> None:
        assert (await alice.get(f"{V1}/tasks", params={"limit": limit})).status_code == 400

    async def test_the_newest_comes_first_unless_asked_otherwise(self, alice: Account) -> None:
        made = [(await alice.dispatch())["id"] for _ in range(3)]
        assert await pages(alice, "/tasks") == [made[::-1]]
        assert await pages(alice, "/tasks", order="asc") == [made]

    async def test_events_come_oldest_first(self, alice: Account) -> None:
        task_id = (await alice.dispatch())["id"]
        await alice.post(f"{V1}/tasks/{task_id}/cancel")
        events = (await alice.get(f"{V1}/tasks/{task_id}/events")).json()["data"]
        assert [event["type"] for event in events] == ["task.created", "task.cancelled"]

    async def test_rows_inserted_while_paging_are_neither_repeated_nor_skipped(self, alice: Account) -> None:
        old = [(await alice.dispatch())["id"] for _ in range(4)]
        first = (await alice.get(f"{V1}/tasks?limit=2")).json()
        await alice.dispatch()
        rest = await pages(alice, "/tasks", limit=2, cursor=first["pageInfo"]["nextCursor"])
        assert [row["id"] for row in first["data"]] + rest[0] == old[::-1]


class TestIdempotency:
    async def test_same_key_and_body_give_the_first_response_again(self, alice: Account) -> None:
        first, again = [
            await alice.post(DISPATCH, {"instructions": "x"}, headers={"Idempotency-Key": "k"})
            for _ in range(2)
        ]
        assert (first.status_code, again.status_code) == (201, 201)
        assert first.json() == again.json()
        assert len((await alice.get(f"{V1}/tasks")).json()["data"]) == 1

    async def test_same_key_and_another_body_are_409(self, alice: Account) -> None:
        await alice.post(DISPATCH, {"instructions": "x"}, headers={"Idempotency-Key": "k"})
        other = await alice.post(DISPATCH, {"instructions": "y"}, headers={"Idempotency-Key": "k"})
        assert (other.status_code, error_of(other)["code"]) == (409, "conflict")

    async def test_a_key_is_scoped_to_the_account(self, alice: Account, bob: Account) -> None:
        mine, theirs = [
            await account.post(DISPATCH, {"instructions": "x"}, headers={"Idempotency-Key": "k"})
            for account in (alice, bob)
        ]
        assert (mine.status_code, theirs.status_code) == (201, 201)
        assert mine.json()["id"] != theirs.json()["id"]

    async def test_a_key_is_kept_at_least_24_hours(self, api_bed: Bed, alice: Account) -> None:
        headers = {"Idempotency-Key": "yesterday"}
        first = await alice.post(DISPATCH, {"instructions": "x"}, headers=headers)
        await api_bed.pool.execute(
            "UPDATE idempotency_keys SET created_at = created_at - interval '23 hours 59 minutes' "
            "WHERE account_id = $1",
            alice.id,
        )
        await idempotency.sweep(api_bed.pool)
        again = await alice.post(DISPATCH, {"instructions": "x"}, headers=headers)
        assert again.json() == first.json()

    async def test_concurrent_repeats_create_one_thing(self, alice: Account) -> None:
        send = [
            alice.post(DISPATCH, {"instructions": "x"}, headers={"Idempotency-Key": "k"}) for _ in range(8)
        ]
        answers = await asyncio.gather(*send)
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert len((await alice.get(f"{V1}/tasks")).json()["data"]) == 1

    async def test_every_other_post_that_creates_takes_one_too(self, alice: Account) -> None:
        upload = {"filename": "a", "contentType": "text/plain"}
        for path, body in (
            ("/agents", {"name": "x"}),
            ("/api-keys", {"name": "x"}),
            ("/uploads/prepare", upload),
        ):
            send = [await alice.post(V1 + path, body, headers={"Idempotency-Key": path}) for _ in range(2)]
            assert send[0].status_code == 201 and send[0].json() == send[1].json()


class TestDocument:
    async def test_it_is_openapi_3_1_with_every_route_and_error(self, api_bed: Bed) -> None:
        document = yaml.safe_load((await api_bed.http.get(f"{V1}/openapi.yaml")).text)
        assert document["openapi"].startswith("3.1")
        described = {(path, method.upper()) for path, item in document["paths"].items() for method in item}
        assert described == {(route.path, method) for route in ROUTES for method in route.methods or ()}
        codes = {
            "validation_error", "unauthorized", "insufficient_balance", "forbidden", "not_found", "conflict",
            "payload_too_large", "unsupported_media_type", "rate_limited", "internal", "unavailable",
        }  # fmt: skip
        assert codes <= set(document["components"]["schemas"]["ErrorContent"]["properties"]["code"]["enum"])

    async def test_creates_answer_201(self) -> None:
        creating = {
            "/agents",
            "/api-keys",
            "/uploads/prepare",
            "/uploads/complete",
            "/agents/{agentId}/tasks",
        }
        posts = {
            route.path.removeprefix(V1): route.status_code
            for route in ROUTES
            if "POST" in (route.methods or ())
        }
        assert {path: posts[path] for path in creating} == dict.fromkeys(creating, 201)
