"""A repository's token: never answered, never plain in the database, gone when the task ends."""

import pytest

from .conftest import AGENT, Account, Bed

pytestmark = pytest.mark.asyncio(loop_scope="session")
TOKEN = "ghp_0123456789abcdefghij"
KEPT = "SELECT t::text AS text, input_repositories FROM tasks t WHERE id = $1"


async def test_a_token_is_sealed_and_dropped_at_the_end(alice: Account, bed: Bed) -> None:
    repository = {"url": "https://example.org/app.git", "ref": "main"}
    body = {"instructions": "Count.", "inputRepositories": [repository | {"token": TOKEN}, repository]}
    answer = await alice.post(f"/api/v1/agents/{AGENT}/tasks", body)
    assert answer.status_code == 201, answer.text
    assert TOKEN not in answer.text
    assert answer.json()["inputRepositories"] == [repository | {"path": None}] * 2
    task_id = answer.json()["id"]
    row = await bed.pool.fetchrow(KEPT, task_id)
    assert TOKEN not in row["text"]
    assert ["sealedToken" in entry for entry in row["input_repositories"]] == [True, False]
    await alice.finish(task_id)
    row = await bed.pool.fetchrow(KEPT, task_id)
    assert row["input_repositories"] == [repository | {"path": None}] * 2
    for path in (f"/api/v1/tasks/{task_id}", f"/api/v1/tasks/{task_id}/events"):
        assert TOKEN not in (await alice.get(path)).text


async def test_more_than_ten_repositories_are_refused(alice: Account) -> None:
    body = {"instructions": "Count.", "inputRepositories": [{"url": "https://example.org/a"}] * 11}
    answer = await alice.post(f"/api/v1/agents/{AGENT}/tasks", body)
    assert answer.json()["error"]["details"][0]["path"] == "inputRepositories"


async def test_a_file_of_another_account_cannot_be_a_skill(alice: Account, bob: Account) -> None:
    body = {"instructions": "Count.", "skills": [await alice.upload(), await bob.upload()]}
    answer = await alice.post(f"/api/v1/agents/{AGENT}/tasks", body)
    assert answer.json()["error"]["details"][0]["path"] == "skills.1"
