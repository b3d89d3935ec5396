"""`agentcontainer doctor` on hosts that lack something: programs, rights, disk space, a consistent store, providers.

What a host lacks is hidden in a mount namespace of the command.
"""

import os
import re
import shlex
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agentcontainer import db
from agentcontainer.db import Pool
from agentcontainer.doctor.belonging import BELONGING_CHECKS, Belonging
from agentcontainer.doctor.connectivity import STORAGE_CHECKS
from agentcontainer.doctor.store import Store
from agentcontainer.domain.files.blobs import Blobs
from agentcontainer.settings import load
from tests.shifted_clock import shift_clock

from .test_doctor import COMMAND, checks, environment, run


def where(answer: dict[str, Any], kind: str, check: str) -> list[str]:
    return [entry["where"] for entry in answer[kind] if entry["check"] == check]


def changed(*steps: str) -> list[str]:
    """Run a command after these steps, in a namespace that hides them from other processes."""
    script = "; ".join([*steps, 'exec "$@"'])
    return ["unshare", "--mount", "--propagation", "private", "sh", "-euc", script, "sh"]


def hiding(*programs: str) -> list[str]:
    paths = [program for name in programs for program in _found(name)]
    return changed(*(f"mount --bind /dev/null {shlex.quote(path)}" for path in paths))


def _found(name: str) -> list[str]:
    folders = ("/usr/local/bin", "/usr/sbin", "/usr/bin")
    paths = [f"{folder}/{name}" for folder in folders if os.path.exists(f"{folder}/{name}")]
    assert paths, f"{name} is not installed"
    return [os.path.realpath(path) for path in paths]


@pytest.fixture
def settings(short_dir: Path) -> dict[str, str]:
    (short_dir / "data").mkdir(mode=0o700)
    return environment(DATA_DIR=short_dir / "data")


def test_a_healthy_host_lacks_nothing(settings: dict[str, str]) -> None:
    code, answer = run(settings)
    assert (code, answer["notExamined"]) == (0, [])
    assert checks(answer["notices"]) <= {"providers", "limits"}
    assert all(notice["what"] and notice["where"] and notice["how"] for notice in answer["notices"])


def test_a_program_that_every_task_needs_is_a_finding(settings: dict[str, str]) -> None:
    code, answer = run(settings, wrap=hiding("bwrap"))
    assert code == 1
    [finding] = [entry for entry in answer["findings"] if entry["check"] == "programs"]
    assert (finding["where"], finding["how"]) == ("bwrap, for every sandbox", "apt install bubblewrap")


@pytest.mark.long
def test_a_program_that_some_tasks_need_is_a_notice(settings: dict[str, str]) -> None:
    code, answer = run(settings, wrap=hiding("git", "nft"))
    assert (code, answer["isWell"]) == (0, True)
    assert where(answer, "notices", "programs") == [
        "git, for input repositories", "nft, for tasks with internet access"
    ]  # fmt: skip
    lines = subprocess.run(
        [*hiding("git"), *COMMAND], env=settings, capture_output=True, text=True, check=False
    )
    assert "notice: missing program: git, for input repositories. To fix: apt install git" in lines.stdout


@pytest.mark.long
def test_root_that_may_not_become_another_user_is_a_finding(settings: dict[str, str]) -> None:
    code, answer = run(settings, wrap=["setpriv", "--bounding-set=-setuid,-setgid", "--inh-caps=-all"])
    assert code == 1
    [finding] = [entry for entry in answer["findings"] if entry["check"] == "user namespaces"]
    assert "root needs CAP_SETUID" in finding["how"]


def test_a_disk_that_is_nearly_full_is_a_finding(settings: dict[str, str]) -> None:
    folder = settings["AGENTCONTAINER_DATA_DIR"]
    code, answer = run(settings, wrap=changed(f"mount -t tmpfs -o size=64m,mode=700 none {folder}"))
    assert code == 1
    assert where(answer, "findings", "disk") == [f"{folder}: 64 MiB are free"]


@pytest.mark.long
def test_devices_for_some_tasks_are_notices(settings: dict[str, str]) -> None:
    code, answer = run(settings, wrap=changed("mount -t tmpfs none /dev/net"))
    assert code == 0
    assert where(answer, "notices", "kernel") == ["/dev/net/tun, for tasks with internet access"]


def test_providers_that_do_not_answer_are_notices(settings: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        living = f"http://127.0.0.1:{server.getsockname()[1]}"
        urls = {"ANTHROPIC": living, "OPENAI": "http://127.0.0.1:9/v1", "OPENROUTER": "http://no.invalid"}
        variables = {f"AGENTCONTAINER_{name}_BASE_URL": url for name, url in urls.items()}
        code, answer = run(settings | variables)
    assert code == 0
    places = where(answer, "notices", "providers")
    assert places[0] == "OpenAI at 127.0.0.1:9: Connection refused"
    assert places[1].startswith("OpenRouter at no.invalid: ")
    assert len(places) == 2


async def test_a_database_whose_clock_differs_is_a_finding(database_url: str, pool: Pool) -> None:
    [check] = BELONGING_CHECKS
    assert [entry async for entry in check.find(Belonging(pool, load(), None, None))] == []
    await shift_clock(pool, 60)
    async with db.pool(database_url) as shifted:
        [finding] = [entry async for entry in check.find(Belonging(shifted, load(), None, None))]
    assert re.match(r"The clock of this host is (59|60)\.[0-9] s behind that of the database", finding.where)


async def test_the_store_check_leaves_no_object(pool: Pool, tmp_path: Path) -> None:
    [check] = STORAGE_CHECKS
    assert [entry async for entry in check.find(Store(pool, Blobs(tmp_path.as_uri())))] == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    (other := tmp_path / "other").mkdir()
    (other / "uploads").write_text("in the way of the folder")
    [finding] = [entry async for entry in check.find(Store(pool, Blobs(other.as_uri())))]
    assert finding.what == "unusable object store"
    assert str(tmp_path) not in finding.where
