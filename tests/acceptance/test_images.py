"""Agents in custom images, from the API to the output file, with a real registry."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import oci
from tests.oci import Gate, Layout, Registry

from .conftest import Client, Platform, finish, script

pytestmark = pytest.mark.xdist_group("images")  # one platform and one registry for all of them

LOOK = {
    "bash": "cat /usr/share/greeting > out.txt; ls /usr/bin >> out.txt; pwd >> out.txt; env >> out.txt; id >> out.txt"
}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with oci.own_folder() as path:
        yield path


@pytest.fixture(scope="module")
def registry(folder: Path) -> Iterator[Registry]:
    with oci.registry(folder) as running:
        yield running


@pytest.fixture(scope="module")
def gate(registry: Registry) -> Iterator[Gate]:
    new_gate = Gate(registry.host)
    yield new_gate
    new_gate.close()


@pytest.fixture(scope="module")
def platform(scripted_url: str, folder: Path, registry: Registry, gate: Gate) -> Iterator[Platform]:
    allowed = f"http://{registry.host},http://{gate.host}"
    new_platform = Platform(
        scripted_url,
        capacity="2",
        image_registries=allowed,
        image_folders=str(folder),
        runner_lost_after_seconds="5",
    )
    with new_platform:
        yield new_platform


@pytest.fixture
def client(platform: Platform) -> Client:
    return platform.account()


@pytest.fixture(scope="module")
def valid_image(folder: Path) -> Layout:
    return Layout(folder / "good", [oci.system()], ["PATH=/opt/tool/bin:/usr/bin:/bin", "FOO=bar"])


def make(client: Client, image: str | None) -> dict[str, Any]:
    return client.sdk.agents.create(f"In {image}", image=image).to_wire()


def image_of(agent: dict[str, Any]) -> str | None:
    return agent["currentVersion"]["runtime"]["containerImage"]


def test_an_agent_works_in_its_image_and_a_moved_tag_does_not_move_it(
    client: Client, registry: Registry, folder: Path, valid_image: Layout
) -> None:
    name = f"{registry.host}/team/tool:1"
    registry.push(valid_image, "team/tool:1")
    agent = make(client, name)
    assert image_of(agent) == f"{name}@{valid_image.digest}"

    moved = Layout(folder / "moved", [oci.system(), oci.layer([oci.Entry("usr/share/greeting", b"moved\n")])])
    registry.push(moved, "team/tool:1")
    task = client.run(script(LOOK, finish("out.txt")), agent=agent["id"])
    assert task["status"] == "finished", task
    assert task["runtime"]["containerImage"] == image_of(agent)
    out = client.outputs(task["id"])["out.txt"].decode()
    assert out.startswith(oci.GREETING)
    lines = out.splitlines()
    assert {"bash", "/workspace/task", "FOO=bar"} <= set(lines)
    assert not {"python3", "git", "apt"} & set(lines)
    [path] = [line for line in lines if line.startswith("PATH=")]
    assert path == "PATH=/opt/agentcontainer/bin:/opt/tool/bin:/usr/bin:/bin:/usr/local/bin:/usr/sbin:/sbin"
    assert lines[-1].startswith("uid=1000(agent)")

    path = f"/agents/{agent['id']}"
    same = client.http.patch(path, json={"runtime": {"containerImage": image_of(agent)}}).json()
    assert same["currentVersion"] == agent["currentVersion"]
    changed = client.http.patch(path, json={"runtime": {"containerImage": name}}).json()
    assert (image_of(changed), changed["currentVersion"]["number"]) == (f"{name}@{moved.digest}", 2)
    unsaid = client.http.patch(
        path, json={"basePrompt": "Be brief.", "runtime": {"agentRuntime": "pi"}}
    ).json()
    assert image_of(unsaid) == image_of(changed)
    without = client.http.patch(path, json={"runtime": {"containerImage": None}}).json()
    assert (image_of(without), without["currentVersion"]["number"]) == (None, 4)
    plain = client.run(script({"bash": "ls /usr/bin > out.txt"}, finish("out.txt")), agent=agent["id"])
    assert "python3" in client.outputs(plain["id"])["out.txt"].decode()


def test_an_image_our_node_does_not_run_in_costs_nothing(client: Client, folder: Path) -> None:
    image = Layout(folder / "musl", [oci.system(loader="usr/lib/ld-musl-x86_64.so.1")])
    agent = make(client, f"oci:{image.folder}")
    before = client.get("/account")
    task = client.run(script(finish()), agent=agent["id"])
    assert (task["status"], task["errorCode"]) == ("failed", "image_unavailable")
    assert task["error"].startswith("The agent's image is made with musl")
    assert "python:3.12-slim" in task["error"]
    assert (task["costUsd"], task["containerMinutes"]) == (0, 0)
    assert client.get("/account") == before


@pytest.mark.long
def test_a_conversation_in_an_image(client: Client, registry: Registry, valid_image: Layout) -> None:
    registry.push(valid_image, "team/talk:1")
    agent = make(client, f"{registry.host}/team/talk:1")
    task_id = client.begin(script(LOOK, {"say": "Looked."}), agent=agent["id"])
    task = client.wait(task_id, "awaiting_input", "failed")
    assert task["status"] == "awaiting_input", task


def test_an_unusable_image_is_refused_at_dispatch(client: Client, registry: Registry) -> None:
    for image, status, explanation in (
        (f"{registry.host}/team/missing:1", 400, "does not exist"),
        ("127.0.0.1:1/x:1", 400, "not allowed here"),
        ("oci:/etc", 400, "names no folder below an allowed folder"),
        ("Not A Name", 400, ""),
    ):
        answer = client.http.post("/agents", json={"name": "x", "runtime": {"containerImage": image}})
        error = answer.json()["error"]
        assert (answer.status_code, error["details"][0]["path"]) == (status, "runtime.containerImage"), image
        assert explanation in error["message"]


def test_a_runner_killed_in_mid_pull_leaves_nothing_and_the_task_goes_on(
    platform: Platform, client: Client, registry: Registry, gate: Gate, folder: Path
) -> None:
    image = Layout(folder / "slow", [oci.system(), oci.layer([oci.Entry("opt/noise", os.urandom(1024**2))])])
    registry.push(image, "team/slow:1")
    agent = make(client, f"{gate.host}/team/slow:1")
    task_id = client.dispatch(script(LOOK, finish("out.txt")), agent=agent["id"])
    assert gate.was_hit.wait(60)
    runners = {path.name for path in (platform.data_dir / "runners").iterdir()}
    pullers = _running("skopeo")
    assert pullers
    os.kill(platform.pid("runner"), signal.SIGKILL)
    gate.is_open.set()
    task = client.wait(task_id)
    assert task["status"] == "finished", task
    assert client.outputs(task_id)["out.txt"].decode().startswith(oci.GREETING)
    deadline = time.monotonic() + 60
    while remaining := [path for name in runners if (path := platform.data_dir / "runners" / name).is_dir()]:
        assert time.monotonic() < deadline, remaining
        time.sleep(0.1)
    assert not pullers & _running("skopeo")
    stored = {path.name for path in (platform.data_dir / "images").iterdir()} - {"locks"}
    assert image.digest[7:] in stored and all(len(name) == 64 for name in stored)
    [runner] = [path for path in (platform.data_dir / "runners").iterdir() if path.is_dir()]
    assert [path.name for path in runner.iterdir() if path.name.startswith("image-")] == []


def _running(program: str) -> set[str]:
    return set(subprocess.run(["pgrep", "-x", program], capture_output=True, text=True).stdout.split())
