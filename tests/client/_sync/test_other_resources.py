"""Files, agents, keys, account, feed, and the rest of the client, against a running platform."""

# Written by scripts/render_sync.py from _async. Do not edit.

import hashlib
import io
import secrets
from pathlib import Path

import pytest

from agentcontainer_client import AgentContainer, Conflict, NotFound, Unauthorized, __version__
from tests.acceptance.bed import finish, script


def test_files_come_back_as_they_were_sent(client: AgentContainer, tmp_path: Path) -> None:
    content = b"0123456789" * 100_000
    path = tmp_path / "in" / "große datei.bin"
    path.parent.mkdir()
    path.write_bytes(content)
    file = client.files.upload(path)
    assert (file.filename, file.size_bytes, file.sha256) == (
        path.name,
        len(content),
        hashlib.sha256(content).hexdigest(),
    )
    assert file.read() == content
    progress: list[tuple[int, int]] = []
    target = file.download(f"{tmp_path}/out/", on_progress=lambda *numbers: progress.append(numbers))
    assert target.read_bytes() == content
    assert progress[-1] == (len(content), len(content))
    assert sorted(entry.name for entry in target.parent.iterdir()) == [path.name]
    opened = client.files.upload(("typed.json", io.BytesIO(b"{}")), content_type="application/json")
    assert (client.files.get(opened.id)).content_type == "application/json"
    newest = client.files.list(limit=1).first()
    assert newest is not None
    assert newest.id == opened.id
    opened.delete()
    with pytest.raises(NotFound):
        client.files.read(opened.id)


def test_the_account_shows_its_usage_and_a_task_its_new_budget(
    client: AgentContainer,
) -> None:
    changed = client.account.update(low_balance_usd=0.5, usage_metadata_keys=["customer"])
    assert (changed.low_balance_usd, changed.usage_metadata_keys) == (0.5, ["customer"])
    assert (client.account.update(unset=["low_balance_usd"])).low_balance_usd is None
    overrides = {"budget": {"maxTokens": 100_000, "onReached": "pause"}}
    task = client.tasks.create(
        script(finish()), agent="agt_standard_data", metadata={"customer": "c-1"}, overrides=overrides
    )
    updated = client.tasks.update(task, title="Other", budget={"maxTokens": 200_000})
    assert updated.budget is not None
    assert (updated.title, updated.budget.max_tokens, updated.budget.on_reached) == (
        "Other",
        200_000,
        "pause",
    )
    task.wait(timeout=60)
    rows = [row for row in client.account.usage(by=["day", "metadata.customer"])]
    assert sum(row.tasks.finished for row in rows if row.metadata == {"customer": "c-1"}) == 1
    text = client.account.usage_csv(by="metadata.customer")
    assert text.startswith("metadata.customer,finished,")


def test_an_agent_has_versions_that_can_be_compared(client: AgentContainer) -> None:
    name = f"Reporter {secrets.token_hex(4)}"
    agent = client.agents.create(
        name, description="Writes reports.", base_prompt="Be brief.", defaults={"maxRuntimeSeconds": 600},
        reference_files=[("style.md", b"# Style")],
    )  # fmt: skip
    changed = agent.update(base_prompt="Be long.", defaults={"maxRuntimeSeconds": 900})
    assert [version.number for version in changed.versions()] == [2, 1]
    assert {(entry.path, entry.before, entry.after) for entry in changed.diff(1)} == {
        ("basePrompt", "Be brief.", "Be long."),
        ("defaults.maxRuntimeSeconds", 600, 900),
    }
    back = changed.activate(1)
    assert back.current_version.base_prompt == "Be brief."
    assert (back.version(2)).base_prompt == "Be long."
    assert (back.archive()).archived_at is not None
    with pytest.raises(Conflict):
        client.tasks.create("x", agent=agent)
    assert (back.unarchive()).archived_at is None
    assert (client.agents.get(agent.id)).name == name
    names = [listed.name for listed in client.agents.list()]
    assert name in names
    assert len(names) >= 4


def test_keys_are_made_used_and_revoked(client: AgentContainer) -> None:
    made = client.api_keys.create("CI")
    assert made.key not in repr(made)
    other = AgentContainer(client.base_url, made.key)
    assert (other.account.get()).id == (client.account.get()).id
    assert made.id in [key.id for key in client.api_keys.list()]
    client.api_keys.revoke(made.id)
    with pytest.raises(Unauthorized):
        other.account.get()
    other.close()


def test_provider_keys_are_stored_tested_and_removed(client: AgentContainer) -> None:
    stored = client.provider_keys.set("openai", "sk-test-0123456789")
    assert (stored.provider, stored.last4) == ("openai", "6789")
    assert "openai" in [key.provider for key in client.provider_keys.list()]
    assert (client.provider_keys.test("openai")).duration_ms >= 0
    client.provider_keys.delete("openai")
    assert "openai" not in [key.provider for key in client.provider_keys.list()]


def test_the_ledger_sums_up_to_the_balance(client: AgentContainer) -> None:
    client.tasks.run(script(finish()), agent="agt_standard_data", timeout=60)
    entries = client.account.ledger(order="asc").to_list()
    account = client.account.get()
    assert entries[0].kind == "credit"
    assert round(sum(entry.amount_usd for entry in entries), 6) == account.credit_balance


def test_the_feed_tells_of_all_tasks(client: AgentContainer) -> None:
    last = client.feed.list(order="desc").first()
    after = last.position if last else 0
    task = client.tasks.create(script(finish()), agent="agt_standard_data")
    types: list[str] = []
    with client.feed.stream(after=after, timeout=60) as stream:
        for entry in stream:
            if entry.task_id == task.id:
                types.append(entry.type)
            if entry.type == "task.finished" and entry.task_id == task.id:
                break
    assert types == ["task.created", "task.started", "task.finished"]
    assert [entry.type for entry in client.feed.list(after=after) if entry.task_id == task.id] == types


def test_the_installation_says_how_it_is(client: AgentContainer) -> None:
    assert (client.system.health()).status == "ok"
    assert (client.system.readiness()).status == "ready"
    assert "openapi: 3.1" in client.system.openapi()
    assert client.server_version == __version__
    response = client.raw.get("/tasks", limit=1)
    assert response.json()["pageInfo"]["nextCursor"] is None or response.status_code == 200
