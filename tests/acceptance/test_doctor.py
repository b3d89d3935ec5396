"""`agentcontainer doctor` finds nothing on a healthy platform, and finds and fixes each kind of leftover."""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from agentcontainer.db import Pool
from agentcontainer.domain.accounts import service
from agentcontainer.embedded.location import url_of
from agentcontainer.sandbox import procfs
from tests.ordinary_user import as_ordinary_user, home_in

from .conftest import Client, Platform, finish, script, waiting

COMMAND = [sys.executable, "-m", "agentcontainer.cli.main", "doctor"]
SLOW = script({"bash": "sleep 6; echo done > out.txt"}, finish("out.txt"))
NAP = script({"bash": 'hibernate --message "Waiting." --for 1h'}, finish())
ON_ONE_PLATFORM = pytest.mark.xdist_group("doctor")


@pytest.fixture(scope="module")
def one_platform(scripted_url: str) -> Iterator[Platform]:
    """One platform for all tests of this file; each test but the last fixes what it left behind."""
    with Platform(scripted_url, capacity="2") as platform:
        yield platform


@pytest.fixture
def platform(one_platform: Platform) -> Platform:
    """The running platform, started again if an earlier test stopped it."""
    assert one_platform.process is not None
    if one_platform.process.poll() is not None:
        one_platform.start()
    return one_platform


def run(environment: dict[str, str], *options: str, wrap: list[str] | None = None) -> tuple[int, Any]:
    """Exit code and report, without findings that come from other tests running on this host."""
    argv = [*(wrap or []), *COMMAND, "--json", *options]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=100)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def examined(platform: Platform, *options: str) -> list[dict[str, Any]]:
    """The findings about this platform, after checking that everything was examined."""
    code, answer = run(platform.environment, *options)
    assert answer["notExamined"] == []
    assert code == (0 if all(finding["isMended"] for finding in answer["findings"]) else 1)
    own_names = {
        str(platform.data_dir),
        *(task_id for client in platform.clients for task_id in client.task_ids),
    }
    by_host = ("processes", "control groups")
    return [
        finding for finding in answer["findings"]
        if finding["check"] not in by_host or any(name in finding["where"] for name in own_names)
    ]  # fmt: skip


def checks(findings: list[dict[str, Any]]) -> set[str]:
    return {finding["check"] for finding in findings}


def sql(platform: Platform, query: str, *arguments: Any) -> Any:
    async def poll() -> Any:
        connection = await asyncpg.connect(url_of(platform.data_dir))
        try:
            return await connection.fetchval(query, *arguments)
        finally:
            await connection.close()

    return asyncio.run(poll())


def working(client: Client, instructions: str = SLOW) -> str:
    task_id = client.dispatch(instructions)
    client.until_event(task_id, lambda event: event["type"] == "tool.started")
    return task_id


@ON_ONE_PLATFORM
def test_a_healthy_host_has_nothing_to_find_and_nothing_to_mend(platform: Platform) -> None:
    client = platform.account()
    asleep = client.dispatch(NAP)
    client.wait(asleep, "hibernating")
    done = client.run(script({"bash": "echo a > a.txt"}, finish("a.txt")))
    held = script(waiting(then="echo done > out.txt"), finish("out.txt"))
    started, queued = [working(client, held) for _ in range(2)], client.dispatch(held)
    assert examined(platform) == []
    assert examined(platform, "--fix") == []
    for task_id in (*started, queued):
        client.until_event(task_id, lambda event: event["type"] == "tool.started")
        platform.unblock(task_id)
        task = client.wait(task_id)
        assert task["status"] == "finished", task
        kinds = [event["type"] for event in client.events(task_id)]
        assert (kinds.count("task.started"), kinds.count("task.requeued")) == (1, 0)
    assert client.task(asleep)["status"] == "hibernating"
    assert client.outputs(done["id"]) == {"a.txt": b"a\n"}
    assert platform.stop() == 0
    assert examined(platform) == []  # doctor starts the database


@ON_ONE_PLATFORM
def test_kill_9_of_everything_is_mended_without_a_restart(platform: Platform) -> None:
    client = platform.account()
    task_id = working(client)
    kill_all(platform)
    findings = examined(platform)
    assert {"attempt folders", "control groups"} <= checks(findings), findings
    [folder] = [finding for finding in findings if finding["check"] == "attempt folders"]
    assert folder["where"].startswith(f"{platform.data_dir}/runners/rnr_")
    mended = examined(platform, "--fix")
    assert checks(mended) == {"attempt folders", "control groups", "stuck tasks"}
    assert all(finding["isMended"] for finding in mended)
    assert list((platform.data_dir / "runners").glob("rnr_*")) == []
    # Until the platform runs again, nothing claims the task.
    assert checks(examined(platform)) <= {"stuck tasks"}
    platform.start()
    assert client.wait(task_id, seconds=60)["status"] == "finished"
    kinds = [event["type"] for event in client.events(task_id)]
    assert kinds.count("task.requeued") == 1
    assert client.ledger_sum() == pytest.approx(100 - client.task(task_id)["costUsd"], abs=1e-6)


def kill_all(platform: Platform) -> None:
    """SIGKILL to `up` and all below it, at once: they are stopped first, so that none can clean up."""
    assert platform.process is not None
    family = [psutil.Process(platform.process.pid)]
    family += family[0].children(recursive=True)
    for process in family:  # a process may have ended meanwhile, or with its parent
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGSTOP)
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    platform.process.wait()
    psutil.wait_procs(family[1:], timeout=60)


@ON_ONE_PLATFORM
def test_each_kind_of_leftover_beside_a_running_platform(platform: Platform) -> None:
    client = platform.account()
    done = client.run(script({"bash": "echo a > a.txt"}, finish("a.txt")))
    living = working(client)
    blobs = platform.data_dir / "blobs"
    wait_for(blobs / "installation")
    for path in (
        "outputs/tsk_none/file_1",
        "uploads/upl_none/a",
        "checkpoints/tsk_none/ckp_1",
        "outputs/x#1",
    ):
        (blobs / path).parent.mkdir(parents=True, exist_ok=True)
        (blobs / path).write_bytes(b"x")
        os.utime(blobs / path, (1, 1))
    (blobs / "outputs/tsk_none/young").write_bytes(b"x")
    dead = platform.data_dir / "runners/rnr_dead/tsk_dead-1"
    (dead / "workspace").mkdir(parents=True)
    secret = platform.data_dir / "secret_key.abcd"
    secret.touch()
    os.utime(secret, (1, 1))
    sql(
        platform,
        "INSERT INTO checkpoints (id, task_id, blob_key, created_at) VALUES ('ckp_x', $1, 'checkpoints/x', 'epoch')",
        done["id"],
    )
    sql(platform, "UPDATE tasks SET hold_micro_usd = 500000 WHERE id = $1", done["id"])
    hold_locks = """
    WITH account AS (UPDATE accounts SET balance_micro_usd = balance_micro_usd - 700000 WHERE id = $1 RETURNING *)
    INSERT INTO ledger_entries
        (id, account_id, kind, counter_account, amount_micro_usd, balance_after_micro_usd, task_id)
    SELECT 'led_x', id, 'hold', 'holds', -700000, balance_micro_usd, 'tsk_never' FROM account
    """
    sql(platform, hold_locks, client.account_id)

    findings = examined(platform)
    expected = {
        "blobs without rows": 3, "half-written blobs": 1, "checkpoints": 1, "holds": 2, "attempt folders": 1,
        "temporary files": 1,
    }  # fmt: skip
    assert {
        name: len([finding for finding in findings if finding["check"] == name]) for name in checks(findings)
    } == expected
    assert all(
        finding["what"] and finding["where"] and finding["how"] and finding["isMendable"]
        for finding in findings
    )
    lines = subprocess.run(COMMAND, env=platform.environment, capture_output=True, text=True, check=False)
    assert lines.returncode == 1
    assert (
        "found: blob without a row in the database: outputs/tsk_none/file_1. To fix: delete it"
        in lines.stdout
    )
    assert dead.exists(), "only --fix changes anything"

    mended = examined(platform, "--fix")
    assert all(finding["isMended"] for finding in mended)
    assert checks(mended) == set(expected)
    assert examined(platform, "--fix") == []
    assert not dead.exists()
    assert not secret.exists()
    assert [path.name for path in (blobs / "outputs/tsk_none").iterdir()] == ["young"]
    assert client.wait(living)["status"] == "finished"
    assert client.outputs(done["id"]) == {"a.txt": b"a\n"}
    costs = client.task(done["id"])["costUsd"] + client.task(living)["costUsd"]
    assert client.ledger_sum() == pytest.approx(100 - costs, abs=1e-6)


@ON_ONE_PLATFORM
def test_faults_that_need_a_person_are_reported_and_left_alone(platform: Platform) -> None:
    client = platform.account()
    done = client.run(script({"bash": "echo a > a.txt"}, finish("a.txt")))
    wait_for(platform.data_dir / "blobs/installation")
    [blob] = (platform.data_dir / "blobs/outputs" / done["id"]).iterdir()
    blob.unlink()
    sql(platform, "DELETE FROM events WHERE task_id = $1 AND sequence = 2", done["id"])
    sql(
        platform,
        "UPDATE accounts SET balance_micro_usd = balance_micro_usd + 1 WHERE id = $1",
        client.account_id,
    )
    for options in ([], ["--fix"]):
        findings = examined(platform, *options)
        assert checks(findings) == {"rows without blobs", "event logs", "balances"}, findings
        assert not any(finding["isMended"] or finding["isMendable"] for finding in findings)
    where = {finding["check"]: finding["where"] for finding in findings}
    assert where["event logs"] == done["id"]
    assert where["balances"] == client.account_id


@pytest.fixture
def data_dir(short_dir: Path) -> Path:
    folder = short_dir / "data"
    folder.mkdir(mode=0o700)
    return folder


def environment(**settings: object) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AGENTCONTAINER_")}
    return inherited | {f"AGENTCONTAINER_{name}": str(value) for name, value in settings.items()}


def of(data_dir: Path, answer: Any) -> list[dict[str, Any]]:
    return [finding for finding in answer["findings"] if str(data_dir) in finding["where"]]


@pytest.mark.long
def test_without_its_database_the_host_is_examined(data_dir: Path) -> None:
    sandbox_id = f"tsk_{secrets.token_hex(6)}-1"
    (data_dir / "runners/rnr_dead" / sandbox_id).mkdir(parents=True)
    marked = ["sh", "-c", "sleep 100; :", procfs.marker(sandbox_id)]
    subprocess.run(["sh", "-c", '"$@" & ', "sh", *marked], check=True)
    settings = environment(DATA_DIR=data_dir, DATABASE_URL="postgresql://nobody@127.0.0.1:9/none")
    code, answer = run(settings)
    assert code == 1
    findings = [
        finding
        for finding in answer["findings"]
        if sandbox_id in finding["where"] or str(data_dir) in finding["where"]
    ]
    assert [finding["check"] for finding in findings] == ["processes", "attempt folders"]
    [sentence] = answer["notExamined"]
    assert sentence.startswith("The database could not be examined: ")
    assert procfs.with_marker(sandbox_id)
    code, answer = run(settings, "--fix")
    assert [finding["isMended"] for finding in of(data_dir, answer)] == [True]
    assert code == 1, "a store that cannot be examined is not reported as healthy"
    assert not (data_dir / "runners/rnr_dead").exists()
    assert not procfs.with_marker(sandbox_id)


@pytest.mark.long
async def test_doctor_works_with_only_the_urls_of_a_database_and_a_store(
    database_url: str, pool: Pool, data_dir: Path, tmp_path: Path
) -> None:
    await service.create_account(pool, name="a", credit_micro_usd=5)
    mark = await pool.fetchval("SELECT id FROM installation")
    orphan = tmp_path / "outputs/tsk_none/file_1"
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"x")
    settings = environment(
        DATA_DIR=data_dir / "none", DATABASE_URL=database_url, STORAGE_URL=tmp_path.as_uri()
    )
    _, answer = run(settings, "--fix", "--all")
    assert answer["notExamined"][0].startswith("The object store could not be compared")
    assert orphan.exists(), "nothing is removed from a store without the installation id"
    (tmp_path / "installation").write_text(str(mark))
    _, answer = run(settings, "--fix")
    assert orphan.exists(), "it is younger than 90 minutes"
    _, answer = run(settings, "--fix", "--all")
    assert answer["notExamined"] == []
    assert [
        finding["where"] for finding in answer["findings"] if finding["check"] == "blobs without rows"
    ] == ["outputs/tsk_none/file_1"]
    assert not orphan.exists()
    assert not (data_dir / "none").exists()


@pytest.mark.long
def test_an_ordinary_user_finds_and_fixes_leftovers(short_dir: Path) -> None:
    data_dir = home_in(short_dir) / "data"
    dead = data_dir / "runners/rnr_dead/tsk_dead-1/workspace"
    dead.mkdir(parents=True)
    for path in (data_dir, *data_dir.rglob("*")):
        os.chown(path, 65534, 65534)
    settings = environment(DATA_DIR=data_dir) | {"HOME": str(data_dir.parent)}
    wrap = as_ordinary_user([])
    code, answer = run(settings, wrap=wrap)
    assert (code, checks(answer["findings"])) == (1, {"attempt folders"})
    code, answer = run(settings, "--fix", wrap=wrap)
    assert code == 0, answer
    code, answer = run(settings, wrap=wrap)
    assert (code, answer["isWell"], answer["findings"], answer["notExamined"]) == (0, True, [], [])
    assert answer["notes"] == [
        "Only this host was examined: no database is configured, and the data folder contains none."
    ]
    refused = subprocess.run(COMMAND, env=settings, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "belongs to another user" in refused.stderr


def test_leftover_mounts_are_unmounted(data_dir: Path) -> None:
    """Run in a new mount namespace."""
    dead = data_dir / "runners/rnr_dead/tsk_dead-1/workspace"
    dead.mkdir(parents=True)
    steps = 'mount -t tmpfs none "$0" && mkdir "$0/deep er" && mount -t tmpfs none "$0/deep er" && exec "$@"'
    wrap = ["unshare", "--mount", "sh", "-c", steps, str(dead)]
    settings = environment(DATA_DIR=data_dir)
    _, answer = run(settings, wrap=wrap)
    assert [finding["where"] for finding in of(data_dir, answer) if finding["check"] == "mounts"] == [
        f"{dead}/deep er", str(dead)
    ]  # fmt: skip
    _, answer = run(settings, "--fix", wrap=wrap)
    assert all(finding["isMended"] for finding in of(data_dir, answer)), answer
    assert not (data_dir / "runners/rnr_dead").exists()


def test_loop_devices_of_dead_runners_are_detached(data_dir: Path) -> None:
    image = data_dir / "runners/rnr_dead/tsk_dead-1/image"
    image.parent.mkdir(parents=True)
    image.write_bytes(bytes(1024**2))
    loop_device = subprocess.run(
        ["losetup", "--find", "--show", image], capture_output=True, text=True, check=True
    )
    device = loop_device.stdout.strip()
    try:
        settings = environment(DATA_DIR=data_dir)
        _, answer = run(settings)
        assert [finding["check"] for finding in of(data_dir, answer)] == ["loop devices", "attempt folders"]
        _, answer = run(settings, "--fix")
        assert all(finding["isMended"] for finding in of(data_dir, answer)), answer
        assert subprocess.run(["losetup", "-j", image], capture_output=True, check=True).stdout == b""
    finally:
        subprocess.run(["losetup", "-d", device], stderr=subprocess.DEVNULL, check=False)


def test_loop_devices_of_another_containers_data_folder_are_not_found(data_dir: Path) -> None:
    image = data_dir / "runners/rnr_other/tsk_other-1/image"
    (data_dir / "runners").mkdir()
    commands = f"""
        mount -t tmpfs none {data_dir}/runners && mkdir -p {image.parent} && truncate -s 1M {image}
        losetup --find --show {image} && read -r _
    """
    other = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", commands],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert other.stdout is not None
    device = other.stdout.readline().strip()
    try:
        _, answer = run(environment(DATA_DIR=data_dir))
        assert of(data_dir, answer) == []
    finally:
        subprocess.run(["losetup", "-d", device], check=True)
        other.communicate()


@pytest.mark.long
@pytest.mark.timeout(180)
@ON_ONE_PLATFORM
def test_a_running_platform_cleans_up_within_a_minute(platform: Platform) -> None:
    dead = platform.data_dir / "runners/rnr_dead"
    (dead / "tsk_dead-1/workspace").mkdir(parents=True)
    task_id = working(platform.account())
    deadline = time.monotonic() + 70
    while dead.exists():
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert platform.clients[0].wait(task_id)["status"] == "finished"


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
