"""The OpenAPI document passes two linters, and what code generators make of it compiles and runs one task."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from agentcontainer.runtime.packages import node_path

from .conftest import Client, Platform, finish, script

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

PROGRAMS = Path(__file__).parent.parent / "generated_clients"
NPM = node_path().parent.parent / "lib/node_modules/npm/bin/npm-cli.js"
REPORT = "region,total\nnorth,40\n"


class Tools:
    """The linters and generators, and a folder with the document."""

    def __init__(self, folder: Path, installed: Path) -> None:
        self.folder = folder
        self.python = installed / "python/bin"
        self.node_modules = installed / "node_modules"

    def run(self, *command: str | Path) -> str:
        """What the command printed to stdout. It must succeed."""
        path = f"{node_path().parent}:{self.python}:{os.environ['PATH']}"
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=os.environ | {"PATH": path},
            capture_output=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, (done.stdout + done.stderr).decode()
        return done.stdout.decode()

    def node(self, tool: str, *arguments: str) -> str:
        return self.run(node_path(), (self.node_modules / ".bin" / tool).resolve(), *arguments)


@pytest.fixture(scope="module")
def installed() -> Path:
    """Where the linters and generators are installed, once for a clone."""
    target = Path(sys.prefix, "share/generators")
    done = subprocess.run(
        ["bash", PROGRAMS / "install.sh", target, node_path(), NPM], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return target


@pytest.fixture
def tools(installed: Path, shared_platform: Platform, tmp_path: Path) -> Tools:
    document = httpx2.get(f"{shared_platform.base_url}/api/v1/openapi.yaml", trust_env=False)
    (tmp_path / "openapi.yaml").write_bytes(document.content)
    for source in [*PROGRAMS.glob("run_task*"), PROGRAMS / "spectral.yaml"]:
        shutil.copy(source, tmp_path)
    (tmp_path / "node_modules").symlink_to(installed / "node_modules")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    return Tools(tmp_path, installed)


@pytest.fixture
def arguments(client: Client, shared_platform: Platform) -> list[str]:
    """What each of the programs takes: the URL, a key, and instructions for one output file."""
    instructions = script({"bash": f"cat > report.csv <<'END'\n{REPORT}END"}, finish("report.csv"))
    return [shared_platform.base_url, client.api_key, instructions]


def test_redocly_finds_no_fault(tools: Tools) -> None:
    report = tools.node("redocly", "lint", "--format=checkstyle", "openapi.yaml")
    assert "<error" not in report, report


def test_spectral_finds_no_fault(tools: Tools) -> None:
    tools.node("spectral", "lint", "--ruleset=spectral.yaml", "--fail-severity=hint", "openapi.yaml")


def test_openapi_typescript(tools: Tools, arguments: list[str]) -> None:
    tools.node("openapi-typescript", "openapi.yaml", "--output", "api.ts")
    strict = ["--strict", "--noEmit", "--allowImportingTsExtensions", "--noUncheckedIndexedAccess"]
    tools.node(
        "tsc",
        *strict,
        "--target",
        "es2022",
        "--module",
        "esnext",
        "--moduleResolution",
        "bundler",
        "run_task.ts",
    )
    assert tools.run(node_path(), "run_task.ts", *arguments) == REPORT


def test_openapi_python_client(tools: Tools, arguments: list[str]) -> None:
    generator = tools.python / "openapi-python-client"
    tools.run(generator, "generate", "--path", "openapi.yaml", "--meta", "none", "--output-path", "generated")
    tools.run(tools.python / "python", "-m", "compileall", "-q", "generated")
    assert tools.run(tools.python / "python", "run_task_with_client.py", *arguments) == REPORT


def test_datamodel_code_generator(tools: Tools, arguments: list[str]) -> None:
    generator = tools.python / "datamodel-codegen"
    options = ["--input-file-type", "openapi", "--output-model-type", "pydantic_v2.BaseModel"]
    tools.run(generator, "--input", "openapi.yaml", "--output", "models.py", *options)
    assert tools.run(tools.python / "python", "run_task_with_models.py", *arguments) == REPORT
