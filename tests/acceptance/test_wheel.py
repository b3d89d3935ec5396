"""AgentContainer from its wheel, in a plain virtual environment outside of the repository."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcontainer.runtime.install import share_dir
from tests.acceptance.up import environment

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """The wheels of server and client, built from copies of their sources."""
    folder = tmp_path_factory.mktemp("wheels")
    built: dict[str, Path] = {}
    for name, root in (("server", ROOT), ("client", ROOT / "client")):
        source = folder / name
        shutil.copytree(root / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__"))
        for file in ("pyproject.toml", "README.md", "LICENSE", "THIRD_PARTY.md", "hatch_build.py"):
            if (root / file).exists():  # the client has nothing of others
                shutil.copy(root / file, source)
        options = ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(source)]
        subprocess.run([*PIP, "wheel", *options, str(source)], check=True)
        [built[name]] = source.glob("*.whl")
    yield built
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def command(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The command of the server. The dependencies are those of the repository's environment."""
    folder = tmp_path_factory.mktemp("server")
    venv = installed(folder / "venv", wheels["client"], wheels["server"])
    shutil.copytree(share_dir() / "tarballs", venv / "share/agentcontainer/tarballs")  # nothing is fetched
    yield venv / "bin/agentcontainer"
    shutil.rmtree(folder)


def installed(venv: Path, *wheels: Path) -> Path:
    """A virtual environment with these wheels, which finds their dependencies in that of the repository."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    [packages] = (venv / "lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    options = ["--no-deps", "--no-index", "--ignore-installed"]
    for wheel in wheels:
        subprocess.run(
            [*PIP, "--python", str(venv / "bin/python"), "install", *options, str(wheel)], check=True
        )
    return venv


def run(command: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [command, *arguments], cwd=folder, env=environment() | {"TMPDIR": str(folder)}, capture_output=True,
        text=True, timeout=300,
    )  # fmt: skip


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_first_demo_of_a_wheel_installs_the_runtime_and_runs(command: Path, short_dir: Path) -> None:
    refused = run(command, short_dir, "doctor", "--prove")
    assert refused.returncode == 1
    assert refused.stderr == (
        f"error: The agent runtime of this version is not installed. Run: {command} setup\n"
    )
    demo = run(command, short_dir, "demo")
    assert demo.returncode == 0, demo.stderr
    assert "(1 of 3)" in demo.stderr
    assert "the agent runtime is installed" in demo.stderr
    assert (short_dir / "demo-output/report.md").is_file()
    setup = run(command, short_dir, "setup")
    assert setup.returncode == 0, setup.stdout
    assert "installing" not in setup.stdout, "it is there already"


@pytest.mark.long
def test_a_package_with_another_hash_is_not_installed(command: Path, short_dir: Path) -> None:
    share = command.parents[1] / "share/agentcontainer"
    shutil.rmtree(share / "runtime", ignore_errors=True)
    shutil.rmtree(share, ignore_errors=True)
    (share / "tarballs").mkdir(parents=True)
    for tarball in (share_dir() / "tarballs").iterdir():
        (share / "tarballs" / tarball.name).write_bytes(b"another content")
    offline = environment() | {"npm_config_registry": "http://127.0.0.1:9", "npm_config_fetch_retries": "0"}
    done = subprocess.run([command, "setup"], env=offline, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "could not be fetched" in done.stderr
    assert f"To try again: {command} setup" in done.stderr
    assert not os.path.lexists(share / "runtime")


@pytest.mark.long
@pytest.mark.timeout(600)
def test_after_up_the_commands_of_the_readme_work_from_the_wheel_of_the_client_alone(
    command: Path, wheels: dict[str, Path], short_dir: Path
) -> None:
    laptop = installed(short_dir / "laptop", wheels["client"]) / "bin"
    place = environment() | {"XDG_CONFIG_HOME": str(short_dir / "config"), "TMPDIR": str(short_dir)}
    [commands] = [block for block in BLOCK.findall((ROOT / "README.md").read_text()) if "chat" in block]

    server = subprocess.Popen(
        [command, "up", "--offline-model", "--data-dir", short_dir / "data", "--port", "0"],
        env=place, cwd=short_dir, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        started = "".join(iter(server.stdout.readline, "  Stop      Ctrl-C\n"))
        assert "Profile   local" in started
        done = subprocess.run(
            ["bash", "-euc", commands], cwd=short_dir, env=place | {"PATH": f"{laptop}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert (short_dir / "answer.txt").read_text()
        assert (short_dir / "out/report.md").is_file()
        assert "What can you do?" in done.stdout
    finally:
        server.terminate()
        server.communicate(timeout=60)
