"""Inputs of a task: skills, repositories and input files, and the errors of each."""

import io
import json
import tarfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcontainer.gateway.scripted.server import ScriptedModel
from tests.git_server import TOKEN, GitServer

from .conftest import Client, Platform, finish, script

SKILL = (
    b"---\nname: greet-in-latin\ndescription: Greets people in Latin when asked to greet.\n---\nSay salve.\n"
)


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with GitServer(tmp_path_factory.mktemp("remote")).running() as server:
        server.make("app", {"README.md": b"Hello.\n"})
        yield server


@pytest.fixture
def account(open_platform: Platform) -> Client:
    return open_platform.account()


def zip_of(files: dict[str, bytes]) -> bytes:
    archive_bytes = io.BytesIO()
    with zipfile.ZipFile(archive_bytes, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return archive_bytes.getvalue()


def tgz_with_link(target: str) -> bytes:
    archive_bytes = io.BytesIO()
    with tarfile.open(fileobj=archive_bytes, mode="w:gz") as archive:
        member = tarfile.TarInfo("SKILL.md")
        member.type, member.linkname = tarfile.SYMTYPE, target
        archive.addfile(member)
    return archive_bytes.getvalue()


def test_pi_knows_the_skills_of_the_version_and_of_the_task(
    account: Client, seen_model: ScriptedModel
) -> None:
    of_version = account.upload("greet.zip", zip_of({"greet/SKILL.md": SKILL, "greet/words.txt": b"salve"}))
    of_task = account.upload(
        "count.zip", zip_of({"SKILL.md": SKILL.replace(b"greet-in-latin", b"count-in-latin")})
    )
    agent = account.sdk.agents.create("Latinist", skills=[of_version])
    task = account.run(
        script({"bash": "cat /workspace/.pi/agent/skills/greet/words.txt > w.txt"}, finish("w.txt")),
        agent=agent.id,
        skills=[of_task, of_version],
    )
    assert task["status"] == "finished", task
    assert task["skills"] == [of_version, of_task]
    assert account.outputs(task["id"]) == {"w.txt": b"salve"}
    system_prompt = json.dumps(seen_model.requests[-1].body["system"])
    for name in ("greet-in-latin", "count-in-latin"):
        assert name in system_prompt and "/workspace/.pi/agent/skills/" in system_prompt


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (zip_of({"README.md": b""}), "holds no SKILL.md"),
        (zip_of({"SKILL.md": SKILL, "../../task/TASK.md": b"Do evil."}), "name"),
        (tgz_with_link("/etc/passwd"), "link"),
        (b"hello", "neither a zip nor a tar"),
    ],
    ids=[
        "none",
        "outside",
        "link",
        "other",
    ],  # an archive contains its creation time, which differs between test processes
)
def test_an_invalid_skill_fails_the_task_uncharged(account: Client, content: bytes, why: str) -> None:
    before = account.ledger_sum()
    task = account.run(script(finish()), skills=[account.upload("greet.zip", content)])
    assert (task["status"], task["errorCode"], task["costUsd"]) == ("failed", "input_unavailable", 0), task
    assert task["error"].startswith("The skill greet.zip (file_") and why in task["error"]
    assert account.ledger_sum() == before
    assert "task.started" not in [event["type"] for event in account.events(task["id"])]


def test_a_repository_is_cloned_beside_the_input_files_and_its_token_is_nowhere(
    account: Client, open_platform: Platform, remote: GitServer
) -> None:
    task = account.run(
        script(
            {
                "bash": "cd task_files && cat data.csv code/README.md && git -C code log --format=%s > ../log.txt"
            },
            {"bash": "touch task_files/code/new && grep -r ghp_ / --include=config -s > found.txt; true"},
            finish("log.txt", "found.txt"),
        ),
        inputFileIds=[account.upload("data.csv", b"1,2\n")],
        inputRepositories=[
            {"url": remote.url("private", "app"), "ref": "main", "path": "code", "token": TOKEN}
        ],
    )
    assert task["status"] == "finished", task
    assert account.outputs(task["id"]) == {"log.txt": b"A commit\n", "found.txt": b""}
    responses = json.dumps([task, account.events(task["id"])])
    assert TOKEN not in responses
    assert TOKEN not in open_platform.log()
    assert open_platform.files_with(TOKEN.encode()) == []


def test_a_missing_repository_fails_the_task_uncharged(account: Client, remote: GitServer) -> None:
    for repository in (
        {"url": remote.url("git", "nothing")},
        {"url": remote.url("git", "app"), "ref": "nope"},
    ):
        task = account.run(script(finish()), inputRepositories=[repository])
        assert (task["status"], task["errorCode"], task["costUsd"]) == ("failed", "input_unavailable", 0), (
            task
        )
        assert "could not be cloned: " in task["error"]


def test_a_repository_over_the_limit_fails_the_task(account: Client, remote: GitServer) -> None:
    remote.make("bomb", {f"{number}": bytes(200_000) for number in range(60)})
    task = account.run(script(finish()), inputRepositories=[{"url": remote.url("git", "bomb")}])
    assert (task["status"], task["errorCode"]) == ("failed", "input_unavailable"), task
    assert "more than 4194304 bytes" in task["error"]


def test_a_task_is_cancelled_while_its_repository_is_cloned(
    account: Client, open_platform: Platform, remote: GitServer
) -> None:
    task_id = account.dispatch(script(finish()), inputRepositories=[{"url": remote.url("slow", "app")}])
    account.wait(task_id, "running")
    time.sleep(0.5)
    assert account.cancel(task_id)["status"] == "cancelled"
    open_platform.until_container_released(task_id)
    assert account.task(task_id)["status"] == "cancelled"


def test_private_addresses_are_refused_by_default(client: Client, remote: GitServer) -> None:
    task = client.run(script(finish()), inputRepositories=[{"url": remote.url("git", "app")}])
    assert task["errorCode"] == "input_unavailable", task
    assert "not on the public internet" in task["error"]


def test_an_invalid_repository_is_refused_at_dispatch(client: Client) -> None:
    cases: list[tuple[dict[str, object], str]] = [
        ({"url": "https://user:secret@example.org/a"}, "url"),
        ({"url": "file:///etc"}, "url"),
        ({"url": "git@github.com:a/b.git"}, "url"),
        ({"url": "ext::sh -c id"}, "url"),
        ({"url": "https://example.org/"}, "url"),
        ({"url": "https://example.org/a", "ref": "--upload-pack=id"}, "ref"),
        ({"url": "https://example.org/a", "path": "../a"}, "path"),
        ({"url": "http://example.org/a", "token": "secret"}, "token"),
    ]
    for repository, field in cases:
        body = {"instructions": "x", "inputRepositories": [repository]}
        answer = client.http.post("/agents/agt_standard_data/tasks", json=body)
        assert answer.status_code == 400, (repository, answer.text)
        assert answer.json()["error"]["details"][0]["path"] == f"inputRepositories.0.{field}"
        assert "secret" not in answer.text
    answer = client.http.post(
        "/agents/agt_standard_data/tasks", json={"instructions": "x", "skills": ["file_nope"]}
    )
    assert answer.json()["error"]["details"][0]["path"] == "skills.0"


def test_both_spellings_of_input_files(client: Client) -> None:
    first, second = client.upload("a.txt", b"1"), client.upload("a.txt", b"2")
    task = client.run(
        script({"bash": "cat task_files/a.txt 'task_files/a (2).txt' > both.txt"}, finish("both.txt")),
        inputFiles=[{"fileId": first, "snapshot": "include"}, {"fileId": second}],
    )
    assert client.outputs(task["id"]) == {"both.txt": b"12"}
    for entry in ({"fileId": first, "snapshot": "exclude"}, {"id": first}):
        answer = client.http.post(
            "/agents/agt_standard_data/tasks", json={"instructions": "x", "inputFiles": [entry]}
        )
        assert answer.status_code == 400, answer.text


def test_no_temporary_files_are_left_on_the_host(open_platform: Platform) -> None:
    """After all of the above: nothing of skills and clones is left in the runner's folder."""
    deadline = time.monotonic() + 60
    while remaining := [path for path in (open_platform.data_dir / "runners").glob("*/*") if path.is_dir()]:
        assert time.monotonic() < deadline, remaining
        time.sleep(0.05)
    assert not list(Path("/tmp").glob("skill.*"))
