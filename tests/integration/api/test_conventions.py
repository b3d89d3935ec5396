"""What holds for all routes: paths, field names, ids, authentication, errors, lists, status codes."""

import re
from typing import Any

import pytest

from agentcontainer.api.app import ROUTES
from agentcontainer.api.http.auth import is_authenticated

from .conftest import AGENT, Account, Bed, error_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

V1 = "/api/v1"
DISPATCH = f"{V1}/agents/{AGENT}/tasks"
PUBLIC = {
    "/healthz",
    "/readyz",
    "/metrics",
    "/uploads/{uploadId}",
    "/preview/{token}/{name}",
    "/wake/{token}",
    "/session",
    f"{V1}/openapi.yaml",
    f"{V1}/cli-logins",
    f"{V1}/cli-logins/poll",
}
JSON = {"Content-Type": "application/json"}


def keys_of(value: Any) -> set[str]:
    if isinstance(value, list):
        return {key for item in value for key in keys_of(item)}
    if isinstance(value, dict):
        return set(value) | {key for item in value.values() for key in keys_of(item)}
    return set()


async def pages(account: Account, path: str, **query: Any) -> list[list[str]]:
    """The ids of each page, by following the cursors."""
    ids_by_page: list[list[str]] = []
    while True:
        answer = await account.get(V1 + path, params=query)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        ids_by_page.append([row["id"] for row in body["data"]])
        if not body["pageInfo"]["hasMore"]:
            assert body["pageInfo"]["nextCursor"] is None
            return ids_by_page
        query["cursor"] = body["pageInfo"]["nextCursor"]


class TestShapes:
    async def test_every_path_that_needs_a_key_begins_with_api_v1(self) -> None:
        assert {route.path for route in ROUTES if not route.path.startswith(f"{V1}/")} == {
            path for path in PUBLIC if not path.startswith(V1)
        }

    async def test_field_names_are_camel_case_except_in_token_usage(self, alice: Account) -> None:
        task = await alice.dispatch()
        answers = [task, (await alice.get(f"{V1}/account")).json(), (await alice.get(f"{V1}/agents")).json()]
        odd = {key for key in keys_of(answers) if not re.fullmatch(r"[a-z][A-Za-z0-9]*", key)}
        assert odd == {"input_tokens", "output_tokens", "cached_input_tokens"}

    async def test_ids_are_a_prefix_and_20_or_more_url_safe_characters(self, alice: Account) -> None:
        for prefix, id_ in (await one_of_each(alice)).items():
            assert re.fullmatch(prefix + r"_[A-Za-z0-9_-]{20,}", id_)

    async def test_ids_sort_by_creation_time(self, alice: Account) -> None:
        task_ids = [(await alice.dispatch())["id"] for _ in range(5)]
        assert task_ids == sorted(task_ids)


async def one_of_each(account: Account) -> dict[str, str]:
    """Ids of all kinds of resources, by prefix."""
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
    @pytest.mark.parametrize("path", [f"{V1}/openapi.yaml", "/healthz", "/readyz"])
    async def test_the_document_and_health_need_no_key(self, bed: Bed, path: str) -> None:
        assert (await bed.http.get(path)).status_code == 200

    async def test_every_other_route_needs_a_key_except_signed_urls_and_wake_links(self, bed: Bed) -> None:
        assert {route.path for route in ROUTES if not is_authenticated(route)} == PUBLIC
        for route in ROUTES:
            path = re.sub(r"\{\w+\}", "x", route.path)
            for method in route.methods or ():
                answer = await bed.http.request(method, path)
                is_refused = is_authenticated(route) or (method, path) == ("GET", "/session")
                assert (answer.status_code == 401) == is_refused, path


class TestErrors:
    async def test_an_error_has_a_code_a_message_and_a_request_id(self, alice: Account) -> None:
        answer = await alice.get(f"{V1}/tasks/tsk_nowhere")
        assert set(error_of(answer)) == {"code", "message", "requestId"}

    async def test_a_validation_error_names_the_field_and_the_reason(self, alice: Account) -> None:
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


class TestLists:
    async def test_a_list_is_data_and_page_info(self, alice: Account) -> None:
        for path in ("/tasks", "/agents", "/files", "/api-keys", "/provider-keys", "/account/ledger"):
            body = (await alice.get(V1 + path)).json()
            assert set(body) == {"data", "pageInfo"}
            assert set(body["pageInfo"]) == {"hasMore", "nextCursor"}

    async def test_a_page_has_20_entries_by_default(self, alice: Account) -> None:
        for _ in range(21):
            await alice.post(f"{V1}/api-keys", {"name": "x"})
        assert [len(page) for page in await pages(alice, "/api-keys")] == [20, 2]
        assert [len(page) for page in await pages(alice, "/api-keys", limit=100)] == [22]


async def test_api_keys_are_created_once_per_idempotency_key(alice: Account) -> None:
    first, again = [
        await alice.post(f"{V1}/api-keys", {"name": "x"}, headers={"Idempotency-Key": "k"}) for _ in range(2)
    ]
    assert (first.status_code, first.json()) == (201, again.json())


class TestStatusCodes:
    async def test_routes_that_create_answer_201(self) -> None:
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


class TestRequestIds:
    @pytest.mark.parametrize("id_", ["4bf92f3577b34da6-1.x_Y", "a", "a" * 128])
    async def test_a_harmless_id_of_the_client_is_kept(self, bed: Bed, alice: Account, id_: str) -> None:
        missing = await alice.get(f"{V1}/tasks/tsk_0", headers={"X-Request-Id": id_})
        assert missing.headers["x-request-id"] == id_
        assert error_of(missing)["requestId"] == id_

    @pytest.mark.parametrize("id_", ["", "a b", "a" * 129, "é".encode(), "a\tb", "<script>"])
    async def test_any_other_is_replaced(self, alice: Account, id_: str) -> None:
        missing = await alice.get(f"{V1}/tasks/tsk_0", headers={"X-Request-Id": id_})
        assert re.fullmatch(r"req_[0-9a-z]{20,}", error_of(missing)["requestId"])

    async def test_two_ids_are_replaced(self, alice: Account) -> None:
        headers = [("Authorization", f"Bearer {alice.key}"), ("X-Request-Id", "a"), ("X-Request-Id", "b")]
        answer = await alice.bed.http.get(f"{V1}/account", headers=headers)
        assert answer.headers["x-request-id"].startswith("req_")
