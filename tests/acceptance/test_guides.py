"""The README, the quickstart and the guides: their `sh` and `python` blocks run unchanged, with the scripted model."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import oci
from tests.git_server import GitServer
from tests.ports import free_port

from .bed import PROVIDER_KEY
from .conftest import Platform

pytestmark = pytest.mark.xdist_group("guides")  # all tests share one platform

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    DOCS / "quickstart.md",
    *sorted(set((DOCS / "guides").glob("*.md")) - {DOCS / "guides/README.md"}),
]
BLOCK = re.compile(
    r"^(?P<fence>```+)(?P<language>sh|python)\n(?P<content>.*?)^(?P=fence)$", re.MULTILINE | re.DOTALL
)
WITH_OTHER_PYTHON = {"README", "python"}  # whose Python blocks tests/client/test_guide.py runs


def commands(page: Path) -> str:
    """All `sh` and `python` blocks of a page, in their order. Blocks that cannot run here are marked otherwise."""
    parts: list[str] = []
    for block in BLOCK.finditer(page.read_text()):
        if block["language"] == "sh":
            parts.append(block["content"])
        elif page.stem not in WITH_OTHER_PYTHON:
            parts.append(f"python3 - <<'END OF PYTHON'\n{block['content']}END OF PYTHON\n")
    return "\n".join(parts)


def definitions() -> str:
    """The variables that every guide assumes, except the URL and the key, which this test sets."""
    return re.sub(r"^(API|AUTH)=.*$", "", commands(DOCS / "guides/README.md"), flags=re.MULTILINE)


@pytest.fixture(scope="module")
def running(
    scripted_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Path, subprocess.Popen[str]]]:
    """Run all pages concurrently, each in its own folder and shell."""
    server = GitServer(tmp_path_factory.mktemp("git"))
    server.make("app", {"README.md": b"An app.\n"})
    with oci.own_folder() as folder, server.running():
        image = oci.Layout(
            folder / "image", [oci.system(), oci.layer([oci.Entry("etc/os-release", b"NAME=Test\n")])]
        )
        with Platform(scripted_url, allow_private_repositories="true", image_folders=str(folder)) as platform:
            client = platform.account()
            environment = os.environ | {
                "AGENTCONTAINER_URL": platform.base_url,
                "AGENTCONTAINER_API_KEY": client.api_key,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "API": f"{platform.base_url}/api/v1",
                "AUTH": f"Authorization: Bearer {client.api_key}",
                "JSON": "Content-Type: application/json",
                "ANTHROPIC_API_KEY": PROVIDER_KEY,
                "PYTHONUNBUFFERED": "1",
                "REPO": server.url("git", "app"),
                "IMAGE": f"oci:{image.folder}",
                "PORT": str(free_port()),
                "no_proxy": "*",
            }
            shells = {page: start(page, environment, tmp_path_factory.mktemp(page.stem)) for page in PAGES}
            yield shells
            for shell in shells.values():
                with contextlib.suppress(ProcessLookupError):  # it has ended
                    os.killpg(shell.pid, signal.SIGKILL)
                shell.communicate()


def start(page: Path, environment: dict[str, str], folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", definitions() + commands(page)],
        cwd=folder, env=environment, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


@pytest.mark.timeout(300)  # all pages run at the same time, beside other tests
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_page_works(running: dict[Path, subprocess.Popen[str]], page: Path) -> None:
    output, _ = running[page].communicate(timeout=250)
    assert running[page].returncode == 0, output
    assert EXPECTED[page.stem] in output, output


# What the output of each page must contain.
EXPECTED = {
    "README": "event: task.finished",
    "quickstart": "Begin with the answer, in one sentence.",
    "budgets": "exit code 3\nbudget_exceeded ",
    "ci": "exit code 0",
    "conversations": "Roses are red",
    "files": '"partial": true',
    "following-everything": '"task.started"\n"task.created"',
    "hibernate-and-approve": "Approved and done.",
    "idempotent-clients": "idempotent-replayed: true",
    "images": '"result": "Seen"',
    "internet-access": '"rule": "example.com"',
    "own-models": "",  # there is no such server here, so none of its blocks runs
    "python": "finished",
    "output-policies": 'is not of type "integer"',
    "repositories": "input_unavailable",
    "skills": "skills/invoices/SKILL.md",
    "steering": "delivered: Leave out the south.",
    "streaming": "task.finished",
    "webhooks": "received task.finished tsk_",
}
