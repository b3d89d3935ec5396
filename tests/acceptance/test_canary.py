"""What purged tasks held is in no table, no blob, no folder of a runner, and no log, also not in PostgreSQL's."""

import asyncio
import json
import os
import secrets
import subprocess
from pathlib import Path

import pytest

from agentcontainer import db
from agentcontainer.embedded.location import url_of
from tests.canary import tables_with

from .client import STANDARD
from .conftest import COMMAND, Client, Platform, finish, script
from .up import wait_until

DAYS = ("TASKS", "FILES", "IDEMPOTENCY")
AGE = (
    "UPDATE tasks SET completed_at = now() - interval '31 days' WHERE account_id = $1",
    "UPDATE files SET created_at = now() - interval '31 days' WHERE account_id = $1",
    "UPDATE idempotency_keys SET created_at = now() - interval '31 days' WHERE account_id = $1",
)


async def tables(platform: Platform, canary: str) -> list[str]:
    async with db.pool(url_of(platform.data_dir), max_size=1) as pool:
        return await tables_with(pool, canary)


async def make_old(platform: Platform, account_id: str) -> None:
    async with db.pool(url_of(platform.data_dir), max_size=1) as pool:
        for statement in AGE:
            await pool.execute(statement, account_id)


def paths(platform: Platform, canary: str, *task_ids: str) -> list[str]:
    """What has the text in its path or content or one of the ids in its path, but where PostgreSQL keeps tables."""
    texts = (canary, *task_ids)
    walked = [Path(folder, name) for folder, _, names in os.walk(platform.data_dir) for name in names]
    found = {path for path in walked if any(text in str(path) for text in texts)}
    found |= set(platform.files_with(canary.encode()))
    return [str(path) for path in found if not path.is_relative_to(platform.data_dir / "postgres/data")]


def purge(platform: Platform) -> dict[str, dict[str, int]]:
    settings = {f"AGENTCONTAINER_RETENTION_{name}_DAYS": "30" for name in DAYS}
    done = subprocess.run(
        [*COMMAND, "admin", "purge", "--json"],
        env=platform.environment | settings, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def end_with(client: Client, canary: str) -> list[str]:
    """A finished task, a hibernated one that is cancelled, and a conversation, all of which hold the text."""
    work = {"bash": f"cat inputs/* > {canary}.txt; echo {canary} >&2; ls /{canary}"}
    finished = client.sdk.tasks.create(
        script(work, finish(f"{canary}.txt", message=canary), task=f"Find {canary}."),
        agent=STANDARD, title=canary, metadata={"case": canary}, files=[(f"{canary}.csv", canary.encode())],
        idempotency_key=canary,
    ).id  # fmt: skip
    nap = {"bash": f'echo {canary} > notes.txt; hibernate --message "{canary}" --for 30m'}
    asleep = client.dispatch(script(nap, task=canary))
    message = script({"say": f"Here is {canary}."}, task=canary)
    conversation = client.begin(message, metadata={"case": canary})
    client.task_ids.add(finished)
    client.wait(asleep, "hibernating")
    client.cancel(asleep)
    client.wait(conversation, "awaiting_input")
    client.end(conversation)
    assert client.wait(finished)["status"] == "finished"
    return [finished, asleep, conversation]


@pytest.mark.timeout(300)  # it searches all that the platform of many tests has stored
def test_after_the_purge_nothing_has_what_the_tasks_held(client: Client, shared_platform: Platform) -> None:
    platform, canary = shared_platform, f"canary{secrets.token_hex(8)}"
    refused = (
        f"canary{secrets.token_hex(8)}"  # PostgreSQL refuses a row with it, because there is one already
    )
    agent = {"name": refused, "basePrompt": "x"}
    assert [client.http.post("/agents", json=agent).status_code for _ in range(2)] == [201, 409]
    task_ids = end_with(client, canary)
    client.get("/tasks", q=canary)
    for task_id in task_ids:
        platform.until_container_released(task_id)
    assert wait_until(lambda: bool(client.outputs(task_ids[1])), 120), (
        "no partial outputs of the task that was cancelled"
    )
    held = asyncio.run(tables(platform, canary))
    assert {"tasks", "events", "messages", "files", "feed_entries", "idempotency_keys"} <= set(held)
    assert paths(platform, canary, *task_ids)

    asyncio.run(make_old(platform, client.account_id))
    assert purge(platform)["tasks"]["rows"] >= len(task_ids)
    assert asyncio.run(tables(platform, canary)) == []
    assert paths(platform, canary, *task_ids) == []
    assert (platform.data_dir / "postgres/log").exists()
    assert paths(platform, refused) == []
    for text in (canary, refused):
        assert text not in platform.log()
