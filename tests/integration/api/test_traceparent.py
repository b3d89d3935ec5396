"""The header `traceparent`: stored with what a request starts, in its normal form, and never a reason to refuse."""

import pytest

from tests.api_bed import AGENT, Account, Bed

in_session = pytest.mark.asyncio(loop_scope="session")

SPAN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-00"
DISPATCH = f"/api/v1/agents/{AGENT}/tasks"


async def stored(bed: Bed, task_id: str) -> str | None:
    return await bed.pool.fetchval("SELECT traceparent FROM tasks WHERE id = $1", task_id)


@in_session
async def test_a_task_and_each_task_of_a_batch_keep_the_span_of_their_request(
    api_bed: Bed, alice: Account
) -> None:
    headers = {"traceparent": f" {SPAN} "}
    answer = await alice.post(DISPATCH, {"instructions": "x"}, headers=headers)
    assert await stored(api_bed, answer.json()["id"]) == SPAN
    body = {"tasks": [{"instructions": "a"}, {"instructions": "b"}]}
    answer = await alice.post(f"{DISPATCH}/batch", body, headers=headers)
    assert [await stored(api_bed, task_id) for task_id in answer.json()["taskIds"]] == [SPAN, SPAN]
    answer = await alice.post(DISPATCH, {"instructions": "x"})
    assert await stored(api_bed, answer.json()["id"]) is None


@in_session
async def test_each_message_of_a_conversation_keeps_its_own(api_bed: Bed, alice: Account) -> None:
    path = f"/api/v1/agents/{AGENT}/conversations"
    answer = await alice.post(path, {"message": "Hi"}, headers={"traceparent": SPAN})
    task_id = answer.json()["task"]["id"]
    messages = f"/api/v1/conversations/{task_id}"
    await alice.post(f"{messages}/messages", {"content": "And?"}, headers={"traceparent": OTHER})
    await alice.post(f"{messages}/messages", {"content": "Well?"})
    await alice.post(f"{messages}/handoff", {}, headers={"traceparent": OTHER})
    query = "SELECT traceparent FROM messages WHERE task_id = $1 ORDER BY sequence"
    rows = await api_bed.pool.fetch(query, task_id)
    assert [row["traceparent"] for row in rows] == [SPAN, OTHER, None, OTHER]
    assert await stored(api_bed, task_id) == SPAN


@in_session
@pytest.mark.parametrize(
    "headers",
    [
        [("traceparent", "00-zz")],
        [("traceparent", SPAN.upper())],
        [("traceparent", SPAN), ("traceparent", OTHER)],
        [("traceparent", "x" * 4000)],
    ],
)
async def test_a_malformed_header_is_ignored(
    api_bed: Bed, alice: Account, headers: list[tuple[str, str]]
) -> None:
    authorization = ("Authorization", f"Bearer {alice.key}")
    answer = await api_bed.http.post(DISPATCH, json={"instructions": "x"}, headers=[authorization, *headers])
    assert answer.status_code == 201, answer.text
    assert await stored(api_bed, answer.json()["id"]) is None


@in_session
async def test_a_repeat_with_the_same_key_and_another_span_is_the_same_request(
    api_bed: Bed, alice: Account
) -> None:
    """A client's retry has a new span."""
    body, key = {"instructions": "x"}, {"Idempotency-Key": "with-spans"}
    first = await alice.post(DISPATCH, body, headers={**key, "traceparent": SPAN})
    again = await alice.post(DISPATCH, body, headers={**key, "traceparent": OTHER})
    assert again.json()["id"] == first.json()["id"]
    assert await stored(api_bed, first.json()["id"]) == SPAN
