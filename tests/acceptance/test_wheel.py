"""AgentContainer from its wheel, in a plain virtual environment outside of the repository."""

import os
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
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The installed command. The dependencies are those of the repository's environment."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--wheel-dir",
        str(folder),
        str(source),
    ]
    subprocess.run([*PIP, *build], check=True)
    [wheel] = folder.glob("*.whl")
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    [packages] = (venv / "lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    install = [
        "--python",
        str(venv / "bin/python"),
        "install",
        "--no-deps",
        "--no-index",
        "--ignore-installed",
    ]
    subprocess.run([*PIP, *install, str(wheel)], check=True)
    shutil.copytree(share_dir() / "tarballs", venv / "share/agentcontainer/tarballs")  # nothing is fetched
    yield venv / "bin/agentcontainer"
    shutil.rmtree(folder)


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
